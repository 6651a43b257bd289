"""Everything that rules look at, read from the database once a round. Nothing is asked elsewhere.

A node has `own` figures (mntr's names) as far as it has said something in the last FRESH_S; its
last ones before that are `last`. What is not known is None, and never counts as fine.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from observability.alerts.burning import Burning, burning_of
from observability.latest import AT_ONCE_MAX, usages
from observability.models import Fact, Segment, Source
from observability.neighbours import Neighbour, neighbours
from observability.samples import table
from observability.samples.totals import COUNTS
from tenants.models import Ensemble, Tenant
from tenants.models import Node as NodeRow

FRESH_S: Final = 12
TENANTS_MAX: Final = 20_000  # looked at in a round, by name
RATES_S: Final = 10.0
USAGE_S: Final = 15.0
BURNING_S: Final = 60.0
PAST_S: Final = (300, 600)  # figures of so long ago, for what is counted since a node's start


@dataclass(slots=True)
class Seen:
    """A node as it is known."""

    ensemble: str
    node: str
    is_configured: bool = True  # there is a port to ask it at
    own: dict[str, Any] | None = None  # of now
    last: dict[str, Any] = field(default_factory=dict)
    past: dict[int, dict[str, Any]] = field(default_factory=dict)  # by seconds ago
    problem: str = ""
    problem_since: float = 0.0

    @property
    def is_gone(self) -> bool:
        return self.own is None and bool(self.problem)

    def number(self, name: str) -> float | None:
        """A figure of now; None where it says none."""
        return number(self.own or {}, name)

    def gained(self, name: str, seconds: int) -> float | None:
        """How much a counter has grown; None where that is not known, 0 or more else."""
        before, now = number(self.past.get(seconds, {}), name), self.number(name)
        if before is None or now is None:
            return None
        up, was_up = self.number("uptime"), number(self.past[seconds], "uptime")
        if up is not None and was_up is not None and up < was_up:
            return now  # restarted: all of it is new
        return max(0.0, now - before)


def number(figures: dict[str, Any], name: str) -> float | None:
    value = figures.get(name)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


@dataclass(slots=True)
class Picture:
    """One round's. `tenants` by slug; `rates` per second by ensemble and tenant, None: unknown."""

    now_s: float
    ensembles: dict[str, list[Seen]]
    kinds: dict[str, str]
    tenants: dict[str, Tenant]
    usage: dict[str, dict[str, int]]
    rates: dict[str, dict[str, dict[str, float]] | None]
    sources: list[Source]
    segments: list[Segment]
    facts: dict[str, Fact]
    burning: dict[str, Burning] = field(default_factory=dict)
    neighbours: dict[str, list[Neighbour]] = field(default_factory=dict)  # noisy, by ensemble
    asleep_s: float = 0.0  # between the evaluation before this one and now
    values: dict[str, float] = field(default_factory=dict)  # thresholds of the rules that are on

    @property
    def nodes(self) -> list[Seen]:
        return [node for nodes in self.ensembles.values() for node in nodes]


class Painter:
    """Reads pictures; what costs more is read less often and kept meanwhile."""

    def __init__(self) -> None:
        self.rates: dict[str, dict[str, dict[str, float]] | None] = {}
        self.rates_at = 0.0
        self.usage: dict[str, dict[str, int]] = {}
        self.usage_at = 0.0
        self.noisy: dict[str, list[Neighbour]] = {}
        self.burning: dict[str, Burning] = {}
        self.burning_at = 0.0

    def paint(self, now_s: float | None = None) -> Picture:
        now = time.time() if now_s is None else now_s
        alive = Tenant.objects.exclude(lifecycle=Tenant.Lifecycle.GONE).select_related(
            "ensemble", "plan"
        )
        tenants = {tenant.slug: tenant for tenant in alive.order_by("slug")[:TENANTS_MAX]}
        kinds = {one.name: one.kind for one in Ensemble.objects.all()}
        sources = list(Source.objects.order_by("ensemble", "node", "kind"))
        if now - self.rates_at >= RATES_S or now < self.rates_at:
            self.rates = {name: rates_of(name, int(now)) for name in kinds}
            self.noisy = {name: neighbours(name, int(now)) for name in kinds}
            self.rates_at = now
        if now - self.usage_at >= USAGE_S or now < self.usage_at:
            self.usage = usage_of(tenants)
            self.usage_at = now
        if now - self.burning_at >= BURNING_S or now < self.burning_at:
            self.burning = burning_of(tenants, int(now))
            self.burning_at = now
        return Picture(
            now_s=now,
            ensembles=nodes_of(kinds, sources, int(now)),
            kinds=kinds,
            tenants=tenants,
            usage=self.usage,
            rates=self.rates,
            sources=sources,
            segments=list(Segment.objects.filter(problems__gt=0)[:1_000]),
            burning=self.burning,
            neighbours=self.noisy,
            facts={fact.name: fact for fact in Fact.objects.all()},
        )


def nodes_of(kinds: dict[str, str], sources: list[Source], now: int) -> dict[str, list[Seen]]:
    """The nodes that the plane knows, with what they said last."""
    metrics = {(s.ensemble, s.node): s for s in sources if s.kind == Source.Kind.METRICS}
    found: dict[str, list[Seen]] = {name: [] for name in kinds}
    series = {name: table.series_ids(name, "node") for name in kinds}
    for row in NodeRow.objects.select_related("ensemble").order_by("ensemble", "name"):
        name = row.ensemble.name
        is_ours = row.ensemble.kind == Ensemble.Kind.OURS
        node = Seen(name, row.name, bool(row.admin_url if is_ours else row.client))
        source = metrics.get((name, row.name))
        if source is not None and source.problem:
            node.problem = source.problem
            since = source.problem_since
            node.problem_since = since.timestamp() if since is not None else float(now)
        one = series.get(name, {}).get(row.name)
        if one is not None:
            read_figures(node, one, now)
        found.setdefault(name, []).append(node)
    return found


def read_figures(node: Seen, one: int, now: int) -> None:
    at, figures = own_at(1, one, now)
    if figures and at >= now - FRESH_S:
        node.own = node.last = figures
        for seconds in PAST_S:
            then, before = own_at(10, one, now - seconds)
            if before and then >= now - seconds - 60:
                node.past[seconds] = before
        return
    for resolution in (10, 60):
        if not figures:
            _, figures = own_at(resolution, one, now)
    node.last = figures


def own_at(resolution: int, one: int, at: int) -> tuple[int, dict[str, Any]]:
    """What a node said of itself at a second, or last before it."""
    name = table.table(resolution)
    rows = table.ask(
        f"SELECT at, own FROM {name} WHERE series = %s AND at <= %s AND own <> '' "
        "ORDER BY at DESC LIMIT 1",
        (one, at),
    )
    if not rows:
        return 0, {}
    found = json.loads(rows[0][1])
    return int(rows[0][0]), found if isinstance(found, dict) else {}


def rates_of(ensemble: str, now: int) -> dict[str, dict[str, float]] | None:
    """Per second of the newest ten seconds, by tenant; None: nothing was counted then."""
    columns = ", ".join(f"s.{name}" for name in COUNTS)
    last = now // 10 * 10 - 1
    for at in (last, last - 10, last - 20):  # the newest ones may not be rolled up yet
        rows = table.ask(
            f"SELECT n.name, n.kind, s.span, {columns} FROM observability_series n "
            "JOIN observability_sample_10 s ON s.series = n.id AND s.at = %s "
            "WHERE n.ensemble = %s",
            (at, ensemble),
        )
        if rows:
            return {
                str(name): {
                    what: value / max(10, span) for what, value in zip(COUNTS, counts, strict=True)
                }
                for name, kind, span, *counts in rows
                if kind == "tenant"
            }
    return None


def usage_of(tenants: dict[str, Tenant]) -> dict[str, dict[str, int]]:
    by_ensemble: dict[str, list[str]] = {}
    for slug, tenant in tenants.items():
        by_ensemble.setdefault(tenant.ensemble.name, []).append(slug)
    found: dict[str, dict[str, int]] = {}
    for ensemble, slugs in by_ensemble.items():
        for at in range(0, len(slugs), AT_ONCE_MAX):
            found |= usages(ensemble, slugs[at : at + AT_ONCE_MAX])
    return found
