"""Who is a noisy neighbour, with the evidence: a rule that everybody can check.

Over the last whole minute, a tenant is named where it took at least `SHARE_MIN` of the time that
the nodes' threads spent on tenants, and `BUSY_MIN` of one thread, while at least one other tenant's
requests became slow: the p99 of its reads or writes is at least `RISE_MIN` times what is usual
(the median of its minutes in the hour before) and `RISE_MIN_US` more. Who asked too little to tell,
then or now, is no evidence. It is a hint: the two happened at once.
"""

from dataclasses import dataclass
from statistics import median
from typing import Final

from observability.samples import table
from observability.samples.table import Sample
from observability.samples.totals import CLASS_NAMES, Totals

WINDOW_S: Final = 60
BEFORE_S: Final = 3_600
SHARE_MIN: Final = 0.4
BUSY_MIN: Final = 0.2
RISE_MIN: Final = 2.0
RISE_MIN_US: Final = 2_000
REQUESTS_MIN: Final = 20  # of a class in the minute, and in a minute before that counts
MINUTES_MIN: Final = 5
LOOKED_AT_MAX: Final = 40  # tenants, the busiest by requests
NAMED_MAX: Final = 3
CLASSES: Final = (CLASS_NAMES.index("read"), CLASS_NAMES.index("write"))

RULE: Final = (
    f"Named is who took {SHARE_MIN:.0%} or more of the time that the nodes' threads spent on "
    f"tenants in the last minute, and {BUSY_MIN:.0%} of a thread at least, while the p99 of "
    f"another tenant's reads or writes rose to {RISE_MIN:g} times its usual (the median of its "
    f"minutes in the hour before) and by {RISE_MIN_US / 1_000:g} ms at least."
)


@dataclass(frozen=True, slots=True)
class Victim:
    """Somebody whose requests became slow; microseconds."""

    tenant: str
    kind: str
    usual_us: int
    now_us: int
    requests: int
    held: int  # of its own requests, by its own rates: those are not the neighbour's fault

    @property
    def usual_ms(self) -> float:
        return self.usual_us / 1_000

    @property
    def now_ms(self) -> float:
        return self.now_us / 1_000


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody who is noisy. `share`: of the threads' time on tenants; `busy`: of one thread."""

    tenant: str
    ensemble: str
    until: int
    share: float
    busy: float
    requests_per_s: float
    held: int  # its own requests that its rates have made wait already
    victims: list[Victim]

    @property
    def percent(self) -> int:
        return round(self.share * 100)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one tenant had in the window."""

    name: str
    series: int
    busy_us: int
    requests: int
    held: int

    @property
    def is_tenant(self) -> bool:
        """Whether it is somebody, and not what belongs to nobody."""
        return not self.name.startswith("_")


def neighbours(ensemble: str, now: int) -> list[Neighbour]:
    """Those of one ensemble; mostly none, which costs one statement."""
    last = now // 10 * 10 - 1
    found = spent(ensemble, last)
    whole = sum(one.busy_us for one in found)
    noisy = [
        one
        for one in sorted(found, key=lambda one: -one.busy_us)
        if one.is_tenant
        and one.busy_us >= SHARE_MIN * whole
        and one.busy_us >= BUSY_MIN * WINDOW_S * 1_000_000
    ][:NAMED_MAX]
    if not noisy:
        return []
    slow = victims(found, last)
    named = []
    for one in noisy:
        others = [victim for victim in slow if victim.tenant != one.name]
        if others:
            named.append(
                Neighbour(
                    *(one.name, ensemble, last, one.busy_us / whole),
                    *(one.busy_us / WINDOW_S / 1_000_000, one.requests / WINDOW_S, one.held),
                    others,
                )
            )
    return named


def spent(ensemble: str, last: int) -> list[Spent]:
    rows = table.ask(
        "SELECT n.name, n.id, SUM(s.busy_us), SUM(s.requests), SUM(s.held) "
        f"FROM observability_series n JOIN {table.table(10)} s ON s.series = n.id "
        "WHERE n.ensemble = %s AND n.kind = 'tenant' AND s.at > %s AND s.at <= %s "
        "GROUP BY n.name, n.id",
        (ensemble, last - WINDOW_S, last),
    )
    return [Spent(str(name), int(one), *(int(n) for n in counts)) for name, one, *counts in rows]


def victims(found: list[Spent], last: int) -> list[Victim]:
    """Whose p99 rose, the worst first."""
    asking = [one for one in found if one.is_tenant and one.requests >= REQUESTS_MIN]
    looked_at = sorted(asking, key=lambda one: -one.requests)[:LOOKED_AT_MAX]
    ids = [one.series for one in looked_at]
    lately = table.read_many(10, ids, last - WINDOW_S + 1, last)
    before = table.read_many(60, ids, last - WINDOW_S - BEFORE_S + 1, last - WINDOW_S)
    slow: list[Victim] = []
    for one in looked_at:
        totals = Totals()
        for sample in lately.get(one.series, ()):
            totals.add(sample.totals)
        worst: Victim | None = None
        for kind in CLASSES:
            usual = usual_p99(before.get(one.series, []), kind)
            of_class = totals.classes.get(kind)
            if usual is None or of_class is None or of_class.count < REQUESTS_MIN:
                continue
            p99 = of_class.quantile(0.99)
            if p99 < RISE_MIN * usual or p99 < usual + RISE_MIN_US:
                continue
            if worst is None or p99 - usual > worst.now_us - worst.usual_us:
                name = CLASS_NAMES[kind]
                worst = Victim(one.name, name, usual, p99, of_class.count, one.held)
        if worst is not None:
            slow.append(worst)
    return sorted(slow, key=lambda victim: victim.usual_us - victim.now_us)


def usual_p99(minutes: list[Sample], kind: int) -> int | None:
    """The median of the minutes' p99, of those in which enough was asked; None: too few."""
    known = [
        of_class.quantile(0.99)
        for sample in minutes
        if (of_class := sample.totals.classes.get(kind)) is not None
        and of_class.count >= REQUESTS_MIN
    ]
    return int(median(known)) if len(known) >= MINUTES_MIN else None
