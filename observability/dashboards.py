"""Figures as charts want them: columns by name, over bins of one width, with gaps where nothing is
known.

A tenant that does nothing writes no rows, and neither does a collector that is down. Which of the
two it was, the nodes' rows tell: they come every second as long as somebody looks. So a bin in
which a node was seen is a nought without a tenant's row, and a bin without either is `None`.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ensemble.client import ERROR_NAMES
from observability.samples import table
from observability.samples.node import USAGE
from observability.samples.table import RESOLUTIONS, Sample
from observability.samples.totals import CLASS_NAMES, COUNTS, Totals
from observability.series import SeriesError, resolution_for
from tenants.models import Tenant

POINTS: Final = 300
POINTS_MAX: Final = 1_000
CODES_SHOWN_MAX: Final = 12  # codes of errors with a column of their own; the rest is `other`
NODES_MAX: Final = 64
AGES_MAX_S: Final = 400 * 86_400
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))

# A node's own figures (mntr's names) under the names that tenants' usage has; how to add nodes up.
GAUGES: Final[dict[str, tuple[str, bool]]] = {
    "znodes": ("znode_count", False),
    "bytes": ("approximate_data_size", False),
    "ephemerals": ("ephemerals_count", False),
    "sessions": ("global_sessions", False),
    "connections": ("num_alive_connections", True),
    "watches": ("watch_count", True),
    "outstanding": ("outstanding_requests", True),
    "fsync_p99": ("p99_fsynctime", False),
    "descriptors": ("open_file_descriptor_count", True),
    "latency_avg": ("avg_latency", False),
}

Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose figures: a tenant's, a node's, or those of all nodes of an ensemble (`name` empty)."""

    kind: str  # tenant, node, ensemble
    ensemble: str
    name: str = ""
    born: int = 0  # s since 1970: a name that was given anew shows nothing of who had it before

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.ensemble}:{self.name}"


def of_tenant(tenant: Tenant) -> Subject:
    return Subject("tenant", tenant.ensemble.name, tenant.slug, int(tenant.created_at.timestamp()))


@dataclass(slots=True)
class Columns:
    """`at`: the last second of each bin; a value for each bin, None where nothing is known."""

    since: int
    until: int
    step: int
    resolution: int
    at: list[int]
    values: dict[str, list[float | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Bin:
    """What came together in one."""

    totals: Totals = field(default_factory=Totals)
    seconds: int = 0  # that its rows stand for
    gauges: Values = field(default_factory=dict)
    is_empty: bool = True


def columns(
    subject: Subject, since: int, until: int, points: int = POINTS, least: int = 1
) -> Columns:
    """The figures of a stretch, from samples of `least` seconds or more.

    Raises:
        SeriesError: the times or the number of points are none.
    """
    if not 1 <= points <= POINTS_MAX:
        raise SeriesError(f"points is {points}; use 1 to {POINTS_MAX}")
    if not 0 <= since < until:
        raise SeriesError(f"since {since} is not before until {until} (seconds since 1970)")
    if until - since > AGES_MAX_S:
        raise SeriesError(f"{(until - since) // 86_400} days are asked for; 400 are the most")
    resolution = max(least, resolution_for(since, until, points))
    step = max(resolution, -(-(until - since) // points))
    step = -(-step // resolution) * resolution
    first = since // step * step
    until = min(until, int(time.time()))
    count = max(0, -(-(until - first) // step))
    found = Columns(
        since, until, step, resolution, [first + (n + 1) * step - 1 for n in range(count)]
    )
    if not count:
        return found
    ids = series_of(subject)
    begin = max(first, subject.born)
    known, same_as = known_seconds(subject.ensemble, resolution, begin, until, first, step, count)
    bins = [Bin() for _ in range(count)]
    for one in ids:
        fill(bins, rows(resolution, one, begin, until), subject, first, step)
    fill_columns(found, bins, known, same_as)
    return found


def series_of(subject: Subject) -> list[int]:
    """The numbers of the series that make a subject; none where nothing was collected."""
    if subject.kind == "ensemble":
        return list(table.series_ids(subject.ensemble, "node").values())[:NODES_MAX]
    one = table.series_ids(subject.ensemble, subject.kind).get(subject.name)
    return [] if one is None else [one]


def rows(resolution: int, one: int, first: int, last: int) -> list[Sample]:
    """A series' samples, the newest in finer ones: what is not rolled up yet is not missing."""
    found = table.read(resolution, one, first, last)
    for finer, coarser in tails(resolution):
        begin = max(found[-1].at + 1 if found else first, last - 2 * coarser, first)
        found += table.read(finer, one, begin, last)
    return found


def tails(resolution: int) -> list[tuple[int, int]]:
    """(finer, coarser) from a resolution down to the finest."""
    below = [one for one in RESOLUTIONS if one <= resolution]
    return [(below[at - 1], below[at]) for at in range(len(below) - 1, 0, -1)]


def known_seconds(
    ensemble: str, resolution: int, begin: int, last: int, first: int, step: int, count: int
) -> tuple[list[int], dict[int, int]]:
    """For each bin, how many seconds the rows of the node that was seen most stand for; and which
    bins are told of by the row of a later one.

    More than a bin has where a collector was late or away: a row of many seconds is no peak, and
    what it stands for is no gap.
    """
    known = [0] * count
    same_as: dict[int, int] = {}
    for one in list(table.series_ids(ensemble, "node").values())[:NODES_MAX]:
        seen = [0] * count
        newest = begin - 1
        for finer, coarser in [(resolution, 0), *tails(resolution)]:
            start = begin if not coarser else max(newest + 1, last - 2 * coarser, begin)
            for at, span in table.spans(finer, one, start, last):
                place = (at - first) // step
                if 0 <= place < count:
                    seen[place] += span
                    for before in range(max(0, (at - span + 1 - first) // step), place):
                        same_as.setdefault(before, place)
                newest = max(newest, at)
        known = [max(a, b) for a, b in zip(known, seen, strict=True)]
    return known, same_as


def fill(
    bins: list[Bin], samples: Iterable[Sample], subject: Subject, first: int, step: int
) -> None:
    """Add one series' samples."""
    gauges: dict[int, Values] = {}
    spans: dict[int, int] = {}
    for sample in samples:
        place = (sample.at - first) // step
        if not 0 <= place < len(bins):
            continue
        bins[place].totals.add(sample.totals)
        bins[place].is_empty = False
        spans[place] = spans.get(place, 0) + sample.span
        gauges[place] = gauges_of(sample, subject.kind)
    for place, seconds in spans.items():
        bins[place].seconds = max(bins[place].seconds, seconds)
        for name, value in gauges[place].items():
            before = bins[place].gauges.get(name)
            if value is not None and before is not None:
                is_added = name in GAUGES and GAUGES[name][1]
                value = before + value if is_added else max(before, value)
            bins[place].gauges[name] = value


def gauges_of(sample: Sample, kind: str) -> Values:
    if kind == "tenant":
        return {name: sample.usage.get(name) for name in USAGE}
    found: Values = {}
    for name, (own, _) in GAUGES.items():
        value = sample.own.get(own)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


def fill_columns(
    found: Columns, bins: list[Bin], known: list[int], same_as: Mapping[int, int]
) -> None:
    lasting: Values = {}
    every: list[Values | None] = []
    for place, (bin_, seconds) in enumerate(zip(bins, known, strict=True)):
        if bin_.is_empty and not seconds:
            every.append(None)
            if place not in same_as:
                lasting = {}  # nobody looked: what it has now is not known
            continue
        if not bin_.is_empty:
            lasting = bin_.gauges
        every.append(values_of(bin_.totals, max(1, seconds or bin_.seconds), lasting))
    for place, later in same_as.items():
        if every[place] is None:
            every[place] = every[later]
    while every and every[-1] is None:  # not collected yet, or never: nothing is drawn there
        every.pop()
    del found.at[len(every) :]
    names = dict.fromkeys(name for values in every if values is not None for name in values)
    for name in names:
        default = None if is_gauge(name) else 0.0
        found.values[name] = [
            None if values is None else values.get(name, default) for values in every
        ]


def is_gauge(name: str) -> bool:
    """Whether a column says how much there is, rather than how often something happened."""
    return name in USAGE or name in GAUGES or name.endswith((".p50", ".p95", ".p99"))


def values_of(totals: Totals, seconds: float, gauges: Mapping[str, float | None]) -> Values:
    """Rates a second, latencies in ms, what there is; by the names of the charts' columns."""
    values: Values = {}
    for name, amount in zip(COUNTS, totals.counts, strict=True):
        if name == "busy_us":
            values["busy_ms"] = short(amount / 1_000 / seconds)
        else:
            values[name] = short(amount / seconds)
    codes: dict[int, int] = {}
    for kind, of_class in totals.classes.items():
        name = CLASS_NAMES[kind]
        if of_class.count:
            values[f"{name}.rate"] = short(of_class.count / seconds)
            for word, share in QUANTILES:
                values[f"{name}.{word}"] = short(of_class.quantile(share) / 1_000)
        if of_class.errors:
            values[f"{name}.errors"] = short(of_class.errors / seconds)
        for code, times in of_class.codes.items():
            codes[code] = codes.get(code, 0) + times
    if not totals.classes and totals["requests"]:  # one of Apache's, which tells no classes
        values["other.rate"] = values["requests"]
    ranked = sorted(codes, key=lambda code: (-codes[code], code))
    for code in ranked[:CODES_SHOWN_MAX]:
        values[f"code.{code_name(code)}"] = short(codes[code] / seconds)
    rest = totals["errors"] - sum(codes[code] for code in ranked[:CODES_SHOWN_MAX])
    if rest > 0:
        values["code.other"] = short(rest / seconds)
    values |= {name: value for name, value in gauges.items() if value is not None}
    return values


def code_name(code: int) -> str:
    return ERROR_NAMES.get(code, f"error {code}")


def short(value: float) -> float:
    """As many digits as a chart can show: four, and no noise of binary fractions."""
    if value >= 1_000:
        return float(round(value))
    return float(f"{value:.4g}")


def subjects_of(ensemble: str) -> list[Subject]:
    """An ensemble and its nodes, as far as they were collected."""
    names = sorted(table.series_ids(ensemble, "node"))[:NODES_MAX]
    return [Subject("ensemble", ensemble), *(Subject("node", ensemble, name) for name in names)]


def as_fields(found: Columns) -> dict[str, Any]:
    """For JSON."""
    return {
        "since": found.since,
        "until": found.until,
        "step": found.step,
        "resolution": found.resolution,
        "at": found.at,
        "values": found.values,
    }


# Now, second by second


class Newest:
    """What is new of some subjects since one last looked; for those who watch live.

    One of these is asked once a second for all subjects together. It remembers, of each ensemble,
    the last second that was told, and of each subject what it had then.
    """

    def __init__(self) -> None:
        self.told: dict[str, int] = {}  # by ensemble: the last second
        self.gauges: dict[str, Values] = {}  # by subject's key

    def look(self, subjects: Iterable[Subject]) -> dict[str, tuple[int, int, Values]]:
        """By subject's key: the last second, how many it stands for, and the values."""
        by_ensemble: dict[str, list[Subject]] = {}
        for subject in subjects:
            by_ensemble.setdefault(subject.ensemble, []).append(subject)
        wanted = {subject.key for found in by_ensemble.values() for subject in found}
        self.gauges = {key: kept for key, kept in self.gauges.items() if key in wanted}
        self.told = {name: at for name, at in self.told.items() if name in by_ensemble}
        found: dict[str, tuple[int, int, Values]] = {}
        for ensemble, watched in by_ensemble.items():
            found |= self.look_at(ensemble, watched)
        return found

    def look_at(self, ensemble: str, watched: list[Subject]) -> dict[str, tuple[int, int, Values]]:
        nodes = table.series_ids(ensemble, "node")
        last = table.last_second(list(nodes.values())[:NODES_MAX])
        told = self.told.get(ensemble, last - 1)
        if not last or last <= told:
            return {}
        self.told[ensemble] = last
        tenants = {s.name for s in watched if s.kind == "tenant"}
        ids = table.ids_of(ensemble, "tenant", sorted(tenants))
        numbers = {**{f"tenant:{ensemble}:{name}": [one] for name, one in ids.items()}}
        for name, one in nodes.items():
            numbers[f"node:{ensemble}:{name}"] = [one]
        numbers[f"ensemble:{ensemble}:"] = list(nodes.values())[:NODES_MAX]
        wanted = sorted({one for s in watched for one in numbers.get(s.key, ())})
        by_series = table.read_many(1, wanted, told + 1, last)
        found: dict[str, tuple[int, int, Values]] = {}
        for subject in watched:
            bin_ = [Bin()]
            for one in numbers.get(subject.key, ()):
                samples = by_series.get(one, [])
                fill(bin_, samples, subject, told + 1, last - told)
            if bin_[0].is_empty:
                kept = self.gauges.get(subject.key)
                if kept is None:
                    kept = self.gauges[subject.key] = gauges_before(subject, numbers)
            else:
                kept = self.gauges[subject.key] = bin_[0].gauges
            seconds = last - told
            found[subject.key] = (last, seconds, values_of(bin_[0].totals, seconds, kept))
        return found


def gauges_before(subject: Subject, numbers: Mapping[str, list[int]]) -> Values:
    """What a subject had when it was looked at last, where it does nothing now."""
    for one in numbers.get(subject.key, ())[:1]:
        for resolution in (1, 60):
            sample = table.newest(resolution, one)
            if sample is not None and sample.at >= subject.born:
                return gauges_of(sample, subject.kind)
    return {}
