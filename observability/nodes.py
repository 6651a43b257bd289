"""How nodes are now, all of them in a few queries: for the page that shows every ensemble at once.

Everything is what the collector has written; no node is asked. How far a member is behind is told
in time, too: for how long its leader has been further than it is. Samples of two nodes are up to a
second apart, so under load a number of transactions alone says little.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from observability.rows import zxid_of as zxid_in
from observability.samples import table
from observability.samples.table import Sample
from observability.samples.totals import DELIVERY, ClassTotals, Totals

FRESH_S: Final = 6  # an older sample is no state of now
WINDOW_S: Final = 10  # rates and latencies are of so long
TREND_S: Final = 60  # what a small chart shows, and how far back a lag is told
NODES_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class NodeNow:
    """One node by its newest sample. `at` 0: the collector has never seen it.

    `own`: the node's own figures by mntr's names. Latencies in microseconds, None: no requests.
    `sync_ms`: a sync of the log on average, lately. `trend`: requests/s of each second, oldest
    first. `behind_s` None: no further back than its leader, or nothing is known.
    """

    ensemble: str
    node: str
    at: int
    is_fresh: bool
    own: dict[str, Any] = field(default_factory=dict)
    requests: float = 0.0
    errors: float = 0.0
    p50_us: int | None = None
    p99_us: int | None = None
    sync_ms: float | None = None
    trend: tuple[float, ...] = ()
    behind: int = 0
    behind_s: int | None = None

    @property
    def role(self) -> str:
        return str(self.own.get("server_state", "")) if self.is_fresh else ""

    @property
    def zxid(self) -> int | None:
        return zxid_of(self.own)

    def number(self, name: str) -> int | None:
        """One of its own figures, where it has it."""
        value = self.own.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def zxid_of(own: dict[str, Any]) -> int | None:
    """The last transaction that a node has applied; None where it does not say."""
    said = own.get("last_zxid")
    return said if isinstance(said, int) else zxid_in(str(said))


def now(ensembles: Iterable[str], at: int | None = None) -> dict[tuple[str, str], NodeNow]:
    """Every node of these ensembles of which there are samples, by ensemble and name."""
    wanted = sorted(set(ensembles))
    at = int(time.time()) if at is None else at
    if not wanted:
        return {}
    marks = ", ".join(["%s"] * len(wanted))
    rows = table.ask(
        "SELECT id, ensemble, name FROM observability_series "
        f"WHERE kind = 'node' AND ensemble IN ({marks}) ORDER BY ensemble, name LIMIT %s",
        (*wanted, NODES_MAX),
    )
    names = {int(one): (str(ensemble), str(name)) for one, ensemble, name in rows}
    samples = recent(list(names), at)
    trends = trends_of(list(names), at)
    found: dict[tuple[str, str], NodeNow] = {}
    for one, (ensemble, name) in names.items():
        mine = samples.get(one) or newest_of(one)
        found[ensemble, name] = node_of(ensemble, name, mine, trends.get(one, {}), at)
    numbers = {place: one for one, place in names.items()}
    return {place: with_lag(node, found, numbers) for place, node in found.items()}


def recent(ids: list[int], at: int) -> dict[int, list[Sample]]:
    """The samples of the last WINDOW_S seconds, ascending, by series."""
    if not ids:
        return {}
    columns = ", ".join(table.COLUMNS)
    marks = ", ".join(["%s"] * len(ids))
    rows = table.ask(
        f"SELECT {columns} FROM observability_sample_1 "
        f"WHERE series IN ({marks}) AND at > %s AND at <= %s ORDER BY at",
        (*ids, at - WINDOW_S, at + FRESH_S),
    )
    found: dict[int, list[Sample]] = {}
    for row in rows:
        found.setdefault(int(row[0]), []).append(table.sample_of(row))
    return found


def newest_of(one: int) -> list[Sample]:
    """The last that is known of a node that says nothing at present."""
    for resolution in table.RESOLUTIONS:
        sample = table.newest(resolution, one)
        if sample is not None:
            return [sample]
    return []


def trends_of(ids: list[int], at: int) -> dict[int, dict[int, float]]:
    """Requests a second by second, of each series."""
    if not ids:
        return {}
    marks = ", ".join(["%s"] * len(ids))
    rows = table.ask(
        f"SELECT series, at, span, requests FROM observability_sample_1 "
        f"WHERE series IN ({marks}) AND at > %s AND at <= %s",
        (*ids, at - TREND_S, at),
    )
    found: dict[int, dict[int, float]] = {}
    for one, second, span, requests in rows:
        found.setdefault(int(one), {})[int(second)] = requests / max(1, span)
    return found


def node_of(
    ensemble: str, name: str, samples: list[Sample], trend: dict[int, float], at: int
) -> NodeNow:
    if not samples:
        return NodeNow(ensemble, name, 0, is_fresh=False)
    last = samples[-1]
    # A second's row is written whether the node answered or not: only with its own word it counts.
    is_fresh = at - last.at <= FRESH_S and bool(last.own)
    totals = Totals()
    seconds = 0
    for sample in samples:
        totals.add(sample.totals)
        seconds += sample.span
    latency = ClassTotals()
    for kind, one in totals.classes.items():
        if kind != DELIVERY:
            latency.add(one)
    seconds = max(1, seconds)
    return NodeNow(
        ensemble,
        name,
        last.at,
        is_fresh,
        own=last.own,
        requests=totals["requests"] / seconds if is_fresh else 0.0,
        errors=totals["errors"] / seconds if is_fresh else 0.0,
        p50_us=latency.quantile(0.5) if is_fresh and latency.buckets else None,
        p99_us=latency.quantile(0.99) if is_fresh and latency.buckets else None,
        sync_ms=sync_of(samples) if is_fresh else None,
        trend=tuple(trend.get(second, 0.0) for second in range(at - TREND_S + 1, at + 1)),
    )


def sync_of(samples: list[Sample]) -> float | None:
    """A sync on average over these samples; None where there was none, or it began anew."""
    known = [one.own for one in samples if "cnt_fsynctime" in one.own]
    if len(known) < 2:
        return None
    count = number(known[-1], "cnt_fsynctime") - number(known[0], "cnt_fsynctime")
    total = number(known[-1], "sum_fsynctime") - number(known[0], "sum_fsynctime")
    return total / count if count > 0 and total >= 0 else None


def number(own: dict[str, Any], name: str) -> float:
    value = own.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


# How far behind


def with_lag(
    node: NodeNow,
    nodes: dict[tuple[str, str], NodeNow],
    numbers: dict[tuple[str, str], int],
) -> NodeNow:
    """The same node, with how far its leader is ahead of it."""
    mine = node.zxid
    leader = next(
        (n for n in nodes.values() if n.ensemble == node.ensemble and n.role == "leader"), None
    )
    if mine is None or not node.is_fresh or leader is None or leader is node:
        return node
    theirs = leader.zxid
    if theirs is None or theirs <= mine:
        return node
    since = passed_at(numbers[leader.ensemble, leader.node], mine, node.at)
    values = {name: getattr(node, name) for name in NodeNow.__dataclass_fields__}
    values |= {"behind": distance(mine, theirs), "behind_s": max(0, node.at - since)}
    return NodeNow(**values)


def distance(mine: int, theirs: int) -> int:
    """Transactions from one zxid to another; in another epoch at least those of the new one."""
    if mine >> 32 == theirs >> 32:
        return theirs - mine
    return max(1, theirs & 0xFFFFFFFF)


def passed_at(leader: int, zxid: int, at: int) -> int:
    """The second in which a leader went beyond this zxid, as far back as TREND_S."""
    rows = table.ask(
        "SELECT at, own FROM observability_sample_1 "
        "WHERE series = %s AND at > %s AND at <= %s ORDER BY at",
        (leader, at - TREND_S, at),
    )
    for second, own in rows:
        theirs = zxid_of(json.loads(own)) if own else None
        if theirs is not None and theirs > zxid:
            return int(second)
    return at
