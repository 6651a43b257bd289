"""Figures for pages, the API and websockets: what is used, how it went, who costs most.

Shapes are dataclasses with plain fields (`dataclasses.asdict` gives JSON). Rates are per second of
the time that a point stands for; latencies are microseconds, from merged histograms, so that a
quantile over an hour is that of all its requests.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from ensemble.client import ERROR_NAMES
from observability.samples import table
from observability.samples.node import USAGE
from observability.samples.table import RESOLUTIONS, Sample
from observability.samples.totals import CLASS_NAMES, COUNTS, ClassTotals, Totals
from tenants.models import Tenant

POINTS_MAX: Final = 1_000
ROWS_PER_POINT: Final = 5  # so many are merged for a point at most, about
FRESH_S: Final = 15  # what is older is no rate of now
TOP_MAX: Final = 1_000
ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "busy": ("busy_us",),
    "requests": ("requests",),
    "bytes": ("bytes_in", "bytes_out"),
    "errors": ("errors",),
    "throttled": ("throttled",),
    "held": ("held_ms",),
}


class SeriesError(ValueError):
    """An argument is none. The text is for people."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one class of operations (tenancy's names; `delivery`: of watch events)."""

    count: int
    errors: int
    p50_us: int
    p95_us: int
    p99_us: int
    max_us: int
    codes: dict[str, int] = field(default_factory=dict)  # errors by name


@dataclass(frozen=True, slots=True)
class Point:
    """`at`: the last second that it stands for (s since 1970), `span`: how many seconds.

    `rates` by the names of COUNTS, `usage` at its end, `own` a node's own figures at its end.
    """

    at: int
    span: int
    rates: dict[str, float]
    classes: dict[str, Latency]
    usage: dict[str, int]
    own: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Series:
    """Ascending; a time without a point is one of which nothing is known, or nothing happened."""

    since: int
    until: int
    resolution: int  # of the samples that were read, seconds
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has now against its limits. `at` 0: nothing was collected yet.

    `rates` of the last ten seconds, empty where nothing came. A limit of None: there is none.
    """

    at: int
    used: dict[str, int]
    limits: dict[str, int | None]
    rates: dict[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """Used of the limit, 1.0 is all of it; without those that have no limit."""
        return {
            what: (self.used.get(what, 0) / limit if limit else 1.0)
            for what, limit in self.limits.items()
            if limit is not None and what in self.used
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """A tenant in the ranking; rates per second of the last ten whole seconds."""

    tenant: str
    rates: dict[str, float]
    share: float  # of what all tenants together had

    @property
    def cost_ms(self) -> float:
        """Of the nodes' threads, a second."""
        return self.rates["busy_us"] / 1_000


def usage(tenant: Tenant) -> Usage:
    """What the tenant uses now."""
    limits = {what: tenant.limits.get(what) for what in USAGE}
    one = table.series_ids(tenant.ensemble.name, "tenant").get(tenant.slug)
    if one is None:
        return Usage(0, {}, limits, {})
    latest = None
    for resolution in RESOLUTIONS:
        latest = table.newest(resolution, one)
        if latest is not None:
            break
    if latest is None:
        return Usage(0, {}, limits, {})
    now = int(time.time())
    lately = table.read(1, one, now - 10, now)
    return Usage(latest.at, latest.usage, limits, rates_of(lately))


def rates_of(samples: list[Sample]) -> dict[str, float]:
    if not samples:
        return {}
    seconds = max(10, sum(sample.span for sample in samples))
    return {
        name: sum(sample.totals.counts[at] for sample in samples) / seconds
        for at, name in enumerate(COUNTS)
    }


def of_tenant(tenant: Tenant, since: int, until: int, points: int = 300) -> Series:
    """A tenant's figures from second `since` to `until`.

    Raises:
        SeriesError: the times or the number of points are none.
    """
    # A name that was given anew shows nothing of who had it before.
    since = min(max(since, int(tenant.created_at.timestamp())), until)
    return series("tenant", tenant.ensemble.name, tenant.slug, since, until, points)


def of_node(ensemble: str, node: str, since: int, until: int, points: int = 300) -> Series:
    """A node's: its own figures, and the sum of what it did for all tenants.

    Raises:
        SeriesError: the times or the number of points are none.
    """
    return series("node", ensemble, node, since, until, points)


def series(kind: str, ensemble: str, name: str, since: int, until: int, points: int) -> Series:
    """See `of_tenant`, `of_node`."""
    if not 1 <= points <= POINTS_MAX:
        raise SeriesError(f"points is {points}; use 1 to {POINTS_MAX}")
    if not 0 <= since <= until:
        raise SeriesError(f"since {since} is not before until {until} (seconds since 1970)")
    resolution = resolution_for(since, until, points)
    one = table.series_ids(ensemble, kind).get(name)
    if one is None:
        return Series(since, until, resolution, [])
    width = max(1, -(-(until - since + 1) // points))
    width = -(-width // resolution) * resolution
    bins: dict[int, list[Sample]] = {}
    for sample in table.read(resolution, one, since, until + resolution - 1):
        bins.setdefault((sample.at - since) // width, []).append(sample)
    return Series(since, until, resolution, [point_of(samples) for samples in bins.values()])


def resolution_for(since: int, until: int, points: int) -> int:
    """The finest whose samples are still kept and are not too many; else the coarsest."""
    now = int(time.time())
    for resolution in RESOLUTIONS:
        kept = since >= now - table.keep_s(resolution)
        if kept and (until - since) // resolution <= points * ROWS_PER_POINT:
            return resolution
    return RESOLUTIONS[-1]


def point_of(samples: list[Sample]) -> Point:
    totals = Totals()
    for sample in samples:
        totals.add(sample.totals)
    last = samples[-1]
    span = last.at - samples[0].began + 1
    rates = {name: totals.counts[at] / span for at, name in enumerate(COUNTS)}
    classes = {
        CLASS_NAMES[kind]: latency_of(found) for kind, found in sorted(totals.classes.items())
    }
    return Point(last.at, span, rates, classes, last.usage, last.own)


def latency_of(totals: ClassTotals) -> Latency:
    return Latency(
        totals.count,
        totals.errors,
        totals.quantile(0.5),
        totals.quantile(0.95),
        totals.quantile(0.99),
        totals.max_us,
        {ERROR_NAMES.get(code, f"error {code}"): n for code, n in sorted(totals.codes.items())},
    )


def top(ensemble: str, by: str = "busy", limit: int = 20) -> list[Cost]:
    """Who had most of it in the last ten whole seconds; who had nothing is not in it.

    Raises:
        SeriesError: there is no such order, or limit.
    """
    if by not in ORDERS:
        raise SeriesError(f"by is {by[:40]!r}; use one of {', '.join(ORDERS)}")
    if not 1 <= limit <= TOP_MAX:
        raise SeriesError(f"limit is {limit}; use 1 to {TOP_MAX}")
    # From the newest whole window: no index leads by time alone, so each series is looked up.
    last = int(time.time()) // 10 * 10 - 1
    columns = ", ".join(f"s.{name}" for name in COUNTS)
    found: list[tuple[Any, ...]] = []
    for at in (last, last - 10):  # the newest one may not be rolled up yet
        found = table.ask(
            f"SELECT n.name, s.span, {columns} FROM observability_series n "
            "JOIN observability_sample_10 s ON s.series = n.id AND s.at = %s "
            "WHERE n.ensemble = %s AND n.kind = 'tenant'",
            (at, ensemble),
        )
        if found:
            break
    ranked = []
    for name, span, *counts in found:
        totals = dict(zip(COUNTS, counts, strict=True))
        amount = sum(totals[what] for what in ORDERS[by])
        if amount:
            seconds = max(10, span)
            rates = {what: value / seconds for what, value in totals.items()}
            ranked.append((amount / seconds, str(name), rates))
    whole = sum(amount for amount, _, _ in ranked)
    ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    return [Cost(name, rates, amount / whole) for amount, name, rates in ranked[:limit]]
