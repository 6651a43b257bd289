"""Whether tenants get what they are promised: budgets of errors, and how fast they burn.

A budget is what an objective leaves: of 99.9 % a thousandth of the requests may fail. `left` is the
share of it that is not spent yet, below 0 where the objective is missed. A burn rate of 1 spends
exactly the budget in the objective's days; of 14.4 over an hour, a fiftieth of a month's.

Availability counts what the server failed, by code of error. What a tenant's own limits refuse
(`ThrottledOp`, `QuotaExceeded`) or its own requests deserve (`NoNode`) is no fault of the server's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from observability.dashboards import rows
from observability.samples import table
from observability.samples.table import Sample
from observability.samples.totals import CLASS_NAMES, DELIVERY, Totals
from tenants.models import Tenant

KINDS: Final = ("availability", "latency")
HOUR_S: Final = 3_600
RECENT_S: Final = 6 * HOUR_S  # read minute by minute, what is before by the hour
DAY_S: Final = 86_400
PING: Final = CLASS_NAMES.index("ping")
SERVER_FAULTS: Final = frozenset((-1, -2, -3, -4, -7, -13))
"""SystemError, RuntimeInconsistency, DataInconsistency, ConnectionLoss, OperationTimeout,
NewConfigNoQuorum."""


@dataclass(frozen=True, slots=True)
class Objective:
    """`target`: percent. `kind_of`: the class of requests, empty for all; `us`: 0 where any."""

    kind: str
    target: float
    days: int
    kind_of: str = ""
    us: int = 0

    @property
    def words(self) -> str:
        if self.kind == "latency":
            return f"{self.target:g} % of {self.kind_of}s within {self.us / 1_000:g} ms"
        return f"{self.target:g} % of requests without an error of the server's"

    @property
    def allowed(self) -> float:
        """The share of requests that may be bad."""
        return 1 - self.target / 100

    def count(self, totals: Totals) -> tuple[int, int]:
        """(good, all) of these figures."""
        if self.kind == "latency":
            of_class = totals.classes.get(CLASS_NAMES.index(self.kind_of))
            return (0, 0) if of_class is None else (of_class.within(self.us), of_class.count)
        every = bad = 0
        for kind, of_class in totals.classes.items():
            if kind in (PING, DELIVERY):
                continue  # a client's library sends pings; nobody waits for them
            every += of_class.count
            bad += sum(times for code, times in of_class.codes.items() if code in SERVER_FAULTS)
        return every - bad, every


@dataclass(frozen=True, slots=True)
class Budget:
    """How an objective fares. A burn of None: no request in that time.

    `left`: 1 is all of the budget, 0 none, below 0 the objective is missed.
    """

    objective: Objective
    good: int
    total: int
    left: float
    burn_1h: float | None
    burn_6h: float | None
    burn_3d: float | None

    @property
    def percent(self) -> float | None:
        """Of the requests that were good; None where there was none."""
        return 100 * self.good / self.total if self.total else None

    @property
    def kind(self) -> str:
        """For a page: good, warn, bad."""
        if self.left <= 0:
            return "bad"
        return "warn" if self.left < WARN_LEFT or (self.burn_6h or 0) > 1 else "good"

    @property
    def left_percent(self) -> int:
        return max(0, min(100, round(self.left * 100)))


WARN_LEFT: Final = 0.25


def objective_of(tenant: Tenant, kind: str) -> Objective:
    """What a tenant is promised."""
    assert kind in KINDS, f"{kind} is none of {KINDS}"
    wanted = tenant.objectives_in_force
    days = int(wanted["days"])
    if kind == "availability":
        return Objective(kind, float(wanted["availability"]), days)
    us = int(wanted["latency_ms"]) * 1_000
    return Objective(kind, float(wanted["latency"]), days, str(wanted["latency_of"]), us)


def budget(tenant: Tenant, now: int, kind: str = "availability") -> Budget:
    """One budget of a tenant. `now`: s since 1970."""
    return budgets(tenant, now, (kind,))[0]


def budgets(tenant: Tenant, now: int, kinds: Iterable[str] = KINDS) -> list[Budget]:
    """Several at once: the samples are read one time."""
    wanted = [objective_of(tenant, kind) for kind in kinds]
    one = table.ids_of(tenant.ensemble.name, "tenant", [tenant.slug]).get(tenant.slug)
    days = max((objective.days for objective in wanted), default=1)
    first = max(now - days * DAY_S, int(tenant.created_at.timestamp()))
    samples = [] if one is None else samples_of(one, first, now)
    return [budget_of(objective, samples, now) for objective in wanted]


def samples_of(one: int, first: int, now: int) -> list[Sample]:
    """Hours, and the last six of them in minutes."""
    cut = max(first, (now - RECENT_S) // HOUR_S * HOUR_S)
    older = table.read(HOUR_S, one, first, cut - 1) if first < cut else []
    return older + rows(60, one, cut, now)


def budget_of(objective: Objective, samples: Iterable[Sample], now: int) -> Budget:
    """From samples of the objective's days."""
    good = total = 0
    windows = {HOUR_S: [0, 0], RECENT_S: [0, 0], 3 * DAY_S: [0, 0]}
    for sample in samples:
        some, every = objective.count(sample.totals)
        good += some
        total += every
        for width, counted in windows.items():
            if sample.at > now - width:
                counted[0] += some
                counted[1] += every
    burn_1h, burn_6h, burn_3d = (burn(objective, *counted) for counted in windows.values())
    spent = (total - good) / (objective.allowed * total) if total else 0.0
    return Budget(objective, good, total, 1 - spent, burn_1h, burn_6h, burn_3d)


def burn(objective: Objective, good: int, total: int) -> float | None:
    return (total - good) / total / objective.allowed if total else None
