"""Whom this server has accounts of, what each has spent lately, what it has left.

Readers of `ensemble.tenancy.accounting`: the admin port, metrics, telemetry.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, final

from ensemble.tenancy.accounting import Account
from ensemble.tenancy.seat import Tenant

if TYPE_CHECKING:
    from ensemble.server.node import Node

OUTSIDE: Final = "_none"  # the account of requests that belong to no tenant; no slug begins so
WINDOW_MS: Final = 10_000  # `top` ranks by what was spent in the last whole window


@final
class Spent:
    """What an account had spent at an instant, or within a window."""

    __slots__ = ("busy_us", "bytes_in", "bytes_out", "errors", "requests", "throttled")

    def __init__(self, account: Account | None = None) -> None:
        self.busy_us = 0 if account is None else int(account.busy_us)
        self.requests = 0 if account is None else int(account.requests)
        self.bytes_in = 0 if account is None else account.bytes_in()
        self.bytes_out = 0 if account is None else account.bytes_out()
        self.errors = 0 if account is None else account.errors()
        self.throttled = 0 if account is None else account.throttled()

    def since(self, before: "Spent") -> "Spent":
        """The difference; an account that began anew has spent all that it shows."""
        if self.requests < before.requests:
            return self
        found = Spent()
        for name in self.__slots__:
            setattr(found, name, getattr(self, name) - getattr(before, name))
        return found


ORDERS: Final[dict[str, Callable[[Spent], int]]] = {
    "busy": lambda spent: spent.busy_us,
    "bytes": lambda spent: spent.bytes_in + spent.bytes_out,
    "requests": lambda spent: spent.requests,
    "errors": lambda spent: spent.errors,
    "throttled": lambda spent: spent.throttled,
}


@final
class Window:
    """What every account spent in the last whole window: who is costly now, not since the start."""

    def __init__(self) -> None:
        self.began_ms = 0
        self.length_ms = 0
        self.before: dict[str, Spent] = {}
        self.last: dict[str, Spent] = {}

    def is_recent(self, name: str, account: Account) -> bool:
        """Whether it has spent anything in the last whole window, or since."""
        if name in self.last:
            return True
        before = self.before.get(name)
        return before is None or (
            before.requests != account.requests or before.busy_us != account.busy_us
        )

    def close(self, known: Iterable[tuple[str, Account]], now_ms: int) -> None:
        """Called often; closes a window when it is over. Who asked for nothing is not in it."""
        if now_ms - self.began_ms < WINDOW_MS:
            return
        now: dict[str, Spent] = {}
        last: dict[str, Spent] = {}
        nothing = Spent()
        for name, account in known:
            before = self.before.get(name, nothing)
            if before.requests == account.requests and before.busy_us == account.busy_us:
                now[name] = before  # most tenants are quiet most of the time
            else:
                now[name] = Spent(account)
                last[name] = now[name].since(before)
        self.last = last
        self.length_ms = now_ms - self.began_ms if self.began_ms else 0
        self.began_ms = now_ms
        self.before = now


def accounts(node: "Node") -> Iterable[tuple[str, Account]]:
    """Every account with its name, OUTSIDE first."""
    yield OUTSIDE, node.gate.meter.outside
    for slug, tenant in node.directory.by_slug.items():
        yield slug, tenant.account


def usage_of(node: "Node", tenant: Tenant) -> dict[str, int]:
    """What a tenant has now, under the names of its limits.

    `connections` and `watches` are those at this server, the others the whole ensemble's.
    """
    budget = node.tree.budgets.by_name.get(tenant.spec.slug)
    size = {}
    if budget is not None:
        size = {
            "znodes": int(budget.used_znodes),
            "bytes": int(budget.used_bytes),
            "ephemerals": int(budget.used_ephemerals),
        }
    return {
        **size,
        "sessions": int(tenant.sessions),
        "connections": int(tenant.connections),
        "watches": int(tenant.watches),
    }


def limits_of(tenant: Tenant) -> dict[str, int]:
    """Those that are set."""
    limits = tenant.spec.limits
    every = {
        "znodes": limits.znodes,
        "bytes": limits.bytes,
        "znode_bytes": limits.znode_bytes,
        "ephemerals": limits.ephemerals,
        "watches": limits.watches,
        "sessions": limits.sessions,
        "connections": limits.connections,
        "requests_per_second": limits.requests_per_second,
        "writes_per_second": limits.writes_per_second,
        "bytes_per_second": limits.bytes_per_second,
    }
    return {name: int(limit) for name, limit in every.items() if limit >= 0}
