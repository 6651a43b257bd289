"""How much was done when: a search of the trail as bars over time.

Where one filter alone is asked for, its index is counted bar by bar, EACH_MAX a bar at most. Where
several are, or a path, the newest ROWS_MAX lines that fit are put into their bars, and the timeline
says from when on that is all.
"""

import time
from dataclasses import dataclass, replace
from typing import Final

from observability import trail
from observability.trail import Filter, Query
from tenants.models import Tenant

BARS: Final = 60
EACH_MAX: Final = 20_000
ROWS_MAX: Final = 5_000
SPAN_LEAST_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Bar:
    """What was done from `since_ms` on and before `until_ms`; `is_more`: at least so much."""

    since_ms: int
    until_ms: int
    count: int
    is_more: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """`known_from` None: all of it is counted; else older lines than this may fit, too."""

    since_ms: int
    until_ms: int
    bars: list[Bar]
    known_from: int | None = None

    @property
    def most(self) -> int:
        return max((bar.count for bar in self.bars), default=0)

    @property
    def total(self) -> int:
        return sum(bar.count for bar in self.bars)


def timeline(query: Query, *, tenant: Tenant | None = None, bars: int = BARS) -> Timeline:
    """The search from its first line to now, or between the times that it names."""
    whole = trail.bound(query, tenant)
    untimed = replace(whole, since_ms=None, until_ms=None)
    filters = trail.filters_of(untimed)
    if (
        tenant is not None
    ):  # a name is one ensemble's: who has it now has its lines since it was made
        filters = tuple(one for one in filters if one.name != "ensemble")
    leader = filters[0] if len(filters) == 1 else None
    is_simple = not filters or (leader is not None and leader.index not in ("", "trail_path"))
    if is_simple:
        return by_index(whole, leader, bars)
    return by_rows(whole, bars)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def times(query: Query, oldest: int | None) -> tuple[int, int]:
    """From when to when; never nothing."""
    until = query.until_ms if query.until_ms is not None else now_ms() + 1
    since = query.since_ms
    if since is None or (oldest is not None and oldest > since and query.until_ms is None):
        since = until - SPAN_LEAST_MS if oldest is None else oldest
    return min(since, until - SPAN_LEAST_MS), until


def edges(since: int, until: int, bars: int) -> list[tuple[int, int]]:
    width = max(1, -(-(until - since) // bars))
    return [(at, min(at + width, until)) for at in range(since, until, width)]


def by_index(query: Query, leader: Filter | None, bars: int) -> Timeline:
    index = "trail_at" if leader is None else leader.index
    where = "1 = 1" if leader is None else leader.where
    params = () if leader is None else leader.params
    head = f"FROM observability_trail {trail.by(index)} WHERE {where}"
    since_given = "" if query.since_ms is None else " AND at >= %s"
    given: tuple[object, ...] = () if query.since_ms is None else (query.since_ms,)
    rows = trail.execute(f"SELECT at {head}{since_given} ORDER BY at LIMIT 1", (*params, *given))
    since, until = times(query, int(rows[0][0]) if rows else None)
    found = []
    sql = f"SELECT count(*) FROM (SELECT 1 {head} AND at >= %s AND at < %s LIMIT %s) AS found"
    for begin, end in edges(since, until, bars):
        count = int(trail.execute(sql, (*params, begin, end, EACH_MAX))[0][0])
        found.append(Bar(begin, end, count, count >= EACH_MAX))
    return Timeline(since, until, found)


def by_rows(query: Query, bars: int) -> Timeline:
    rows, end = trail.fetch(query, ("at",), ROWS_MAX, None)
    ats = [int(row[0]) for row in rows]
    is_cut = end is not None or len(rows) == ROWS_MAX
    oldest = ats[-1] if ats else None
    since, until = times(query, oldest)
    spans = edges(since, until, bars)
    width = spans[0][1] - spans[0][0]
    counts = [0] * len(spans)
    for at in ats:
        if since <= at < until:
            counts[(at - since) // width] += 1
    known = (end[0] if end is not None else oldest) if is_cut else None
    listed = [Bar(a, b, count) for (a, b), count in zip(spans, counts, strict=True)]
    return Timeline(since, until, listed, known)
