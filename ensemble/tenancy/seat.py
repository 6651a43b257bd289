"""In whose name a request runs. Every connection has a seat; identities and documents change it.

A `Tenant` is a tenant at this server: its document, which is replaced when a new one comes, and
what is counted meanwhile. A `Seat` is made once for each credential and shared by its connections.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.accounting import Account
from ensemble.tenancy.fairness import Flow
from ensemble.tenancy.namespace import View
from ensemble.tenancy.rates import Rates
from ensemble.tenancy.shares import (
    BYTES,
    CONNECTIONS,
    REQUESTS,
    WATCHES,
    WRITES,
    Share,
    Split,
    limits_of,
)
from ensemble.tenancy.spec import TenantSpec
from ensemble.tree.watches import WatchCount

SEATS_MAX: Final = 4_096  # remembered of one tenant: its credentials, and operators within it
NOBODY: Final = 0  # a seat's role besides those of `spec`: no credential was presented


@final
class Tenant:
    """A tenant at this server. `spec` is the document in force.

    `connections` and `watches` are those at this server; `sessions` those of the ensemble. `flow`:
    its requests at the client port; `rates`: what it may ask for here. `visitor`: the seat of a
    request from outside into the root, where the mode lets it in.
    """

    __slots__ = (
        "account",
        "connections",
        "flow",
        "joining",
        "rates",
        "seats",
        "sessions",
        "share",
        "spec",
        "split",
        "view",
        "visitor",
        "watching",
    )

    def __init__(self, spec: TenantSpec, split: Split) -> None:
        self.spec = spec
        self.view = View(spec.root)
        self.account: Final = Account()
        self.connections: i64 = 0
        self.joining: i64 = 0  # connections whose credentials were proved, and that are not seated
        self.sessions: i64 = 0
        self.watching: Final = WatchCount()
        self.split: Final = split
        self.share: Final = Share()
        self.visitor: Final = Seat(self, None, NOBODY, "")
        self.seats: Final[dict[str, Seat]] = {}
        self.flow: Final = Flow(spec.weight)
        self.rates: Final = Rates()
        self.use(spec)

    def use(self, spec: TenantSpec) -> None:
        """A new document is in force."""
        if spec.root != self.spec.root:
            self.view = View(spec.root)
        self.spec = spec
        self.seats.clear()
        self.flow.weight = spec.weight
        self.share.limits = limits_of(spec)
        self.settle()

    def settle(self) -> None:
        """What this server may use of the limits has changed."""
        share = self.share
        share.settle(self.split)
        allowed = share.allowed
        self.rates.use(allowed[REQUESTS], allowed[WRITES], allowed[BYTES])

    @property
    def watches(self) -> i64:
        """Paths that its connections at this server watch, each connection by itself."""
        return self.watching.count

    def may_connect(self) -> bool:
        """Whether one more connection is within what this server may use."""
        return self._has_room(CONNECTIONS, self.connections + self.joining)

    def may_watch(self) -> bool:
        """Whether one more watch is."""
        return self._has_room(WATCHES, self.watching.count)

    def _has_room(self, kind: int, used: i64) -> bool:
        share = self.share
        allowed = share.allowed[kind]
        if allowed < 0:
            return True
        if 2 * (used + 1) > allowed + share.told[kind] and allowed < share.limits[kind]:
            self.split.urgent = True  # half of the room is gone: ask for more
        if used < allowed:
            return True
        share.refused = True
        return False

    def seat_of(self, principal: str, role: i64) -> "Seat":
        """The seat that all connections of a credential share; with role NOBODY that of who has
        not presented one yet, on a session that is this tenant's.
        """
        seat = self.seats.get(principal)
        if seat is None or seat.role != role:
            seat = Seat(self, self.view, role, principal)
            if len(self.seats) >= SEATS_MAX:
                self.seats.clear()
            self.seats[principal] = seat
        return seat


@final
class Seat:
    """Who asks, what its paths mean, who pays.

    `tenant`: who pays; None for what belongs to no tenant. `view`: None where paths are the tree's
    own. A request from outside into a tenant's root (modes observe and permissive) has a tenant and
    no view. `principal`: `name@slug`, `alice` for an operator, empty for nobody.
    `is_operator`: of the whole ensemble: no wall stands in its way.
    """

    __slots__ = ("is_operator", "principal", "role", "tenant", "view")

    def __init__(
        self,
        tenant: Tenant | None,
        view: View | None,
        role: i64,
        principal: str,
        is_operator: bool = False,
    ) -> None:
        self.tenant: Final = tenant
        self.view: Final = view
        self.role: Final[i64] = role
        self.principal: Final = principal
        self.is_operator: Final = is_operator


OUTSIDE: Final = Seat(None, None, NOBODY, "")
