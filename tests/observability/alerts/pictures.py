"""Pictures for tests of what rules see, and a plane in a database that they are painted from."""

import json
import time
from typing import Any

from observability.alerts.checks import Found
from observability.alerts.look import look
from observability.alerts.picture import Picture, Seen
from observability.samples import table
from observability.samples.totals import COUNTS, Totals
from tenants.alerts.table import RULES

NOW_S = 1_800_000_000.0


def seen(node: str = "node1", problem: str = "", ensemble: str = "main", **own: Any) -> Seen:
    """A node that says this of itself; with a problem it says nothing."""
    found = Seen(ensemble, node)
    if problem:
        found.problem, found.problem_since = problem, NOW_S - 100
        found.last = own
    else:
        found.own = found.last = own
    return found


def silent(node: str = "node1") -> Seen:
    """One of which nothing is known."""
    return Seen("main", node)


def picture(*nodes: Seen, **more: Any) -> Picture:
    ensembles: dict[str, list[Seen]] = {"main": []}
    for node in nodes:
        ensembles.setdefault(node.ensemble, []).append(node)
    fields: dict[str, Any] = {
        "now_s": NOW_S, "ensembles": ensembles, "kinds": dict.fromkeys(ensembles, "ours"),
        "tenants": {}, "usage": {}, "rates": {"main": {}}, "sources": [], "segments": [],
        "facts": {},
    }  # fmt: skip
    return Picture(**{**fields, **more})


def see(name: str, painted: Picture, value: float | None = None) -> Found:
    """What the rule of this name sees, by default with its own threshold."""
    rule = RULES[name]
    default = 0.0 if rule.bound is None else rule.bound.value
    return look(rule, default if value is None else value, painted)


def says(name: str, painted: Picture, value: float | None = None) -> list[str]:
    return [one.summary for one in see(name, painted, value).findings]


def write_node(node: str, ago_s: int = 1, ensemble: str = "main", **own: Any) -> None:
    """A node's figures of so many seconds ago."""
    one = table.make_series(ensemble, "node", [node])[node]
    at = int(time.time()) - ago_s
    rows = [table.row_of(one, at, 1, Totals(), {}, json.dumps(own))]
    for resolution in (1, 10):
        table.write(resolution, rows)


def write_tenant(slug: str, usage: dict[str, int], **rates: float) -> None:
    """A tenant's figures of the last ten seconds, whichever of them a look takes."""
    one = table.make_series("main", "tenant", [slug])[slug]
    totals = Totals()
    for name, rate in rates.items():
        totals.counts[COUNTS.index(name)] = int(rate * 10)
    last = int(time.time()) // 10 * 10 - 1
    whole = {"znodes": 0, "bytes": 0, "ephemerals": 0, "sessions": 0, "connections": 0}
    whole |= {"watches": 0, **usage}
    rows = [table.row_of(one, at, 10, totals, whole) for at in (last - 10, last, last + 10)]
    table.write(10, rows)
