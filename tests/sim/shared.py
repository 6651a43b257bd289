"""Limits that all servers share hold in every turn (docs/tenancy.md, "Limits over several nodes").

Looked at from outside: what each server goes by for a tenant, summed up. Connections and watches
have to stay within the limit whatever happens to servers and links; exceptions are stated. Watches
that clients register again after a reconnect pass. A
server that does not know yet what others go by has a tenth of its even part, on top of what they
have. And one that stands still for longer than the others wait keeps its clients until it wakes,
or, if it led, until it notices that nobody follows it any more.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ensemble.server.share_exchange import WAIT_TICKS
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.shares import CONNECTIONS, UNSURE, WATCHES
from tests.sim.machine import Machine
from tests.sim.tap import Violation

NAMES = {CONNECTIONS: "connections", WATCHES: "watches"}


@dataclass
class Held:
    """What a server goes by of one limit."""

    sid: int
    allowed: int
    used: int
    unsure: bool

    def __str__(self) -> str:
        doubt = ", unsure" if self.unsure else ""
        return f"{self.sid}: {self.used} of {self.allowed}{doubt}"


class SharedLimits:
    """`directory_of` gives the directory of a server that serves, None of any other."""

    def __init__(
        self,
        machines: dict[int, Machine],
        tick_ms: int,
        sync_limit: int,
        directory_of: Callable[[int], Directory | None],
    ) -> None:
        self.machines = machines
        self.wait_us = WAIT_TICKS * tick_ms * 1_000
        self.notices_us = (sync_limit + 2) * tick_ms * 1_000
        self.directory_of = directory_of
        self.went_by: dict[tuple[str, int], int] = {}  # watches, at the turn before
        # By tenant and server: watches beyond that, and when they were seen last
        self.again: dict[str, dict[int, tuple[int, int]]] = {}

    def check(self, slug: str) -> None:
        """At the end of some server's turn.

        Raises:
            Violation: the sum over all servers is above the limit.
        """
        for kind in NAMES:
            limit = -1
            found: list[Held] = []
            for sid, machine in self.machines.items():
                directory = self.directory_of(sid)
                if directory is None or self.stood_still(machine):
                    continue
                tenant = directory.by_slug[slug]
                limit = max(limit, tenant.share.limits[kind])
                allowed = tenant.share.allowed[kind]
                used = int(tenant.connections) if kind == CONNECTIONS else int(tenant.watches)
                found.append(Held(sid, allowed, used, int(directory.split.percent) == UNSURE))
            if limit >= 0:
                self.judge(slug, kind, limit, found)

    def stood_still(self, machine: Machine) -> bool:
        return machine.stood_still_us(self.notices_us) >= self.wait_us

    def registered_again(self, slug: str, found: list[Held], is_within: bool) -> int:
        """Watches that clients have brought along after a reconnect: those always pass, and are
        allowed then, before others have heard that they may register less.

        They are excused until all is within the limit, and as long as servers wait for one
        another: the sum may be lower for a moment, as a leader lowers its own part first.
        """
        again = self.again.setdefault(slug, {})
        now_us = next(iter(self.machines.values())).world.now_us
        if is_within:
            for sid, (_, seen_us) in list(again.items()):
                if now_us - seen_us >= self.wait_us:
                    del again[sid]
        for one in found:
            # It may have been told of less or of more in the turn that registered them.
            before = min(one.allowed, self.went_by.get((slug, one.sid), one.allowed))
            self.went_by[slug, one.sid] = one.allowed
            if one.used > before:
                most, _ = again.get(one.sid, (0, 0))
                again[one.sid] = max(most, one.used - before), now_us
        return sum(most for most, _ in again.values())

    def judge(self, slug: str, kind: int, limit: int, found: list[Held]) -> None:
        spare = sum(one.allowed for one in found if one.unsure)
        if kind == CONNECTIONS:
            total = sum(max(one.allowed, one.used) for one in found)
        else:
            total = sum(one.allowed for one in found)
            spare += self.registered_again(slug, found, total <= limit)
        if total - spare > limit:
            servers = "; ".join(map(str, found))
            raise Violation(f"I18: {slug} may have {limit} {NAMES[kind]}, and has {servers}")
