"""In whose name the plane reaches an ensemble: as itself, or as the person who asked.

- `as_plane`: everything, for publication and collectors (`operator:plane`, role admin).
- `as_person`: somebody within one tenant's wall; the node itself holds the role and writes the
  name into its journal. So a fault of ours cannot cross the wall.
- `as_operator`: an operator on the whole tree.

Apache's ensembles know no operators: there everybody uses the one credential that was given.
"""

import asyncio
import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import AbstractBaseUser

from ensemble.tenancy.assertions import EVERYTHING
from tenants import keys
from tenants.keys import NoKeyError
from tenants.models import Ensemble, MemberRole, Tenant
from tenants.zk import Auth, Bridge, Loop

IDLE_S: Final = 120.0  # so long a person's connection is kept for the next page
BRIDGES_MAX: Final = 200  # connections of one process, all ensembles and persons together

NODE_ROLES: Final = {
    MemberRole.VIEWER: "reader",
    MemberRole.DEVELOPER: "writer",
    MemberRole.OWNER: "admin",
}
"""What a member's role is to a node."""


@dataclass(frozen=True, slots=True)
class Name:
    """In whose name: the key of a connection. `role` as nodes call it."""

    ensemble: str
    hosts: str
    who: str
    tenant: str
    role: str


class BusyError(Exception):
    """More people than this process has connections for. The text is for people."""


class Pool:
    """One process's bridges, on one loop. Those that nobody uses are closed."""

    def __init__(self) -> None:
        self._loop: Final = Loop()
        self._lock: Final = threading.Lock()
        self._bridges: Final[dict[Name, Bridge]] = {}

    def bridge(self, name: Name, make_auth: Callable[[], Auth | None]) -> Bridge:
        """The bridge of this name, made where there is none yet.

        Raises:
            BusyError: there are BRIDGES_MAX already, all of them in use.
            NoKeyError: there is nothing to sign in with.
        """
        with self._lock:
            found = self._bridges.get(name)
            if found is None:
                self._close_idle(IDLE_S)
                if len(self._bridges) >= BRIDGES_MAX:
                    self._close_idle(0.0)
                if len(self._bridges) >= BRIDGES_MAX:
                    raise BusyError(
                        f"{BRIDGES_MAX} connections to ensembles are in use: try again later"
                    )
                found = Bridge(name.hosts, make_auth(), self._loop.loop)
                self._bridges[name] = found
            found.used_at = time.monotonic()
            return found

    def _close_idle(self, for_s: float) -> None:
        since = time.monotonic() - for_s
        for name, bridge in list(self._bridges.items()):
            if bridge.is_idle and bridge.used_at <= since:
                del self._bridges[name]
                asyncio.run_coroutine_threadsafe(bridge.close(), bridge.loop)

    def stop(self) -> None:
        with self._lock:
            for bridge in self._bridges.values():
                bridge.stop()
            self._bridges.clear()
        self._loop.stop()


def as_plane(ensemble: Ensemble) -> Bridge:
    """The plane itself, on the whole tree."""
    return reach(ensemble, keys.PLANE_WHO, EVERYTHING, "admin")


def as_operator(ensemble: Ensemble, user: AbstractBaseUser, *, reads: bool = False) -> Bridge:
    """An operator, on the whole tree. The caller has checked that it is one."""
    return reach(ensemble, keys.who_of(user), EVERYTHING, "reader" if reads else "admin")


def as_person(tenant: Tenant, user: AbstractBaseUser, role: MemberRole) -> Bridge:
    """Somebody within a tenant's wall, with a role that the caller has checked."""
    return reach(tenant.ensemble, keys.who_of(user), tenant.slug, NODE_ROLES[role])


def reach(ensemble: Ensemble, who: str, tenant: str, role: str) -> Bridge:
    """The bridge in this name.

    Raises:
        BusyError, NoKeyError: with a text for people.
    """
    if ensemble.kind == Ensemble.Kind.APACHE:
        if tenant != EVERYTHING:
            raise NoKeyError(f"{ensemble.name} is Apache's: it has no tenants")
        name = Name(ensemble.name, ensemble.hosts, "", EVERYTHING, "admin")
        return pool().bridge(name, lambda: keys.keys_of(ensemble).credential())
    name = Name(ensemble.name, ensemble.hosts, who, tenant, role)

    def signed() -> Auth:
        key = keys.keys_of(ensemble).operator()
        return "operator", lambda: key.sign(who, tenant, role)

    return pool().bridge(name, signed)


_pool: Pool | None = None
_lock: Final = threading.Lock()


def pool() -> Pool:
    """This process's pool."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = Pool()
        return _pool


def stop() -> None:
    """At the process's end, and for tests: the next `pool()` is a new one."""
    global _pool
    with _lock:
        if _pool is not None:
            _pool.stop()
            _pool = None


atexit.register(stop)
