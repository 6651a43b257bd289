"""Series by tenant for Prometheus: so many tenants by cost, the others summed as `_other`.

A scrape is made in slices, so that a hundred tenants do not hold the node's thread. Who has series
of his own keeps them until somebody else costs twice as much: with each exchange `_other` falls by
what has left it, and a falling counter looks like a restart.
"""

import asyncio
import heapq
from typing import TYPE_CHECKING, Final, final

from ensemble.server.costs import OUTSIDE, limits_of, usage_of
from ensemble.server.metrics import escaped
from ensemble.tenancy.accounting import CLASS_NAMES, CLASSES, PING, Account
from ensemble.tenancy.histogram import Histogram
from ensemble.wire import codes

if TYPE_CHECKING:
    from ensemble.server.node import Node

OTHER: Final = "_other"
TENANTS_PER_SLICE: Final = 4
MERGED_PER_SLICE: Final = 16
# Bounds in microseconds, and as Prometheus wants them: in seconds. Each is the top of a bucket.
BOUNDS: Final = (
    *(255, 511, 1_023, 2_047, 4_095, 8_191, 16_383, 32_767),
    *(65_535, 131_071, 262_143, 524_287, 1_048_575, 4_194_303, 16_777_215),
)
COSTLIER: Final = 2  # how many times as much somebody must cost to take another's place

# name: (type, what it is)
HELP: Final = {
    "requests_total": ("counter", "Requests answered, by class of operation"),
    "errors_total": ("counter", "Requests answered with an error, by code"),
    "throttled_total": ("counter", "Requests answered with ThrottledOp"),
    "held_total": ("counter", "Requests that a rate has made wait"),
    "held_seconds_total": ("counter", "How long rates have made requests wait"),
    "received_bytes_total": ("counter", "Bytes of requests"),
    "sent_bytes_total": ("counter", "Bytes of replies and watch events"),
    "busy_seconds_total": ("counter", "Time of the server's thread"),
    "events_total": ("counter", "Watch events sent"),
    "latency_seconds": ("histogram", "From a request's last byte to its reply, by class"),
    "delivery_seconds": ("histogram", "From a commit to its watch event"),
    "usage": ("gauge", "What a tenant has now, by the name of the limit"),
    "limit": ("gauge", "Its limits, where they are set"),
}


def labels(**pairs: str) -> str:
    return ",".join(f'{name}="{escaped(value)}"' for name, value in pairs.items())


@final
class Named:
    """The tenants with series of their own, from scrape to scrape."""

    def __init__(self) -> None:
        self.slugs: set[str] = set()

    def choose(self, costs: dict[str, int], most: int) -> set[str]:
        """At most `most` of those that have costs; see the module."""
        kept = {slug for slug in self.slugs if slug in costs}
        if len(kept) > most:
            kept = set(heapq.nlargest(most, kept, key=costs.__getitem__))
        rest = heapq.nlargest(
            most, (slug for slug in costs if slug not in kept), key=costs.__getitem__
        )
        for slug in rest:
            if len(kept) < most:
                kept.add(slug)
                continue
            cheapest = min(kept, key=costs.__getitem__, default=None)
            if cheapest is None or costs[slug] <= COSTLIER * costs[cheapest]:
                break
            kept.remove(cheapest)
            kept.add(slug)
        self.slugs = kept
        return kept


@final
class Series:
    """Lines by metric: the text format wants all of one metric together."""

    def __init__(self) -> None:
        self.lines: Final[dict[str, list[str]]] = {name: [] for name in HELP}

    def add(self, name: str, label: str, value: int | str) -> None:
        self.lines[name].append(f"ensemble_tenant_{name}{{{label}}} {value}\n")

    def add_histogram(self, name: str, label: str, histogram: Histogram) -> None:
        lines = self.lines[name]
        full = f"ensemble_tenant_{name}"
        for us in BOUNDS:
            # The largest values of a bucket, so the bound belongs to it: le is exact.
            bound = (us + 1) / 1_000_000
            lines.append(f'{full}_bucket{{{label},le="{bound}"}} {histogram.below(us)}\n')
        lines.append(f'{full}_bucket{{{label},le="+Inf"}} {histogram.count}\n')
        lines.append(f"{full}_sum{{{label}}} {int(histogram.sum) / 1_000_000}\n")
        lines.append(f"{full}_count{{{label}}} {histogram.count}\n")

    def add_account(self, name: str, account: Account) -> None:
        label = labels(tenant=name)
        errors: dict[int, int] = {}
        for kind in range(CLASSES):
            figures = account.by_class[kind]
            if figures is None:
                continue
            by_class = label + f',class="{CLASS_NAMES[kind]}"'
            self.add("requests_total", by_class, int(figures.count))
            if kind != PING:
                self.add_histogram("latency_seconds", by_class, figures.latency)
            for code, times in figures.errors_by_code.items():
                errors[code] = errors.get(code, 0) + times
        for code, times in sorted(errors.items()):
            self.add("errors_total", label + f',code="{codes.name_of_error(code)}"', times)
        self.add("throttled_total", label, account.throttled())
        self.add("held_total", label, int(account.held))
        self.add("held_seconds_total", label, str(int(account.held_us) / 1_000_000))
        self.add("received_bytes_total", label, account.bytes_in())
        self.add("sent_bytes_total", label, account.bytes_out())
        self.add("busy_seconds_total", label, str(int(account.busy_us) / 1_000_000))
        self.add("events_total", label, int(account.delivery.count))
        self.add_histogram("delivery_seconds", label, account.delivery)

    def add_amounts(self, metric: str, name: str, amounts: dict[str, int]) -> None:
        for what, amount in amounts.items():
            self.add(metric, labels(tenant=name, of=what), amount)

    def text(self) -> str:
        parts: list[str] = []
        for name, lines in self.lines.items():
            if lines:
                kind, what = HELP[name]
                full = f"ensemble_tenant_{name}"
                parts.append(f"# HELP {full} {what}\n# TYPE {full} {kind}\n")
                parts += lines
        return "".join(parts)


async def tenant_series(node: "Node", named: Named) -> str:
    """All series by tenant: of the named ones, of OTHER, and of what belongs to nobody."""
    directory = node.directory
    costs = {slug: int(tenant.account.busy_us) for slug, tenant in directory.by_slug.items()}
    own = named.choose(costs, node.config.observe.metrics_tenants)
    series = Series()
    series.add_account(OUTSIDE, node.gate.meter.outside)
    for at, slug in enumerate(sorted(own)):
        tenant = directory.by_slug.get(slug)
        if tenant is not None:  # else removed during this scrape
            series.add_account(slug, tenant.account)
            series.add_amounts("usage", slug, usage_of(node, tenant))
            series.add_amounts("limit", slug, limits_of(tenant))
        if at % TENANTS_PER_SLICE == 0:
            await asyncio.sleep(0)
    others = [slug for slug in costs if slug not in own]
    if others:
        rest = Account()
        usage: dict[str, int] = {}
        for at, slug in enumerate(others):
            tenant = directory.by_slug.get(slug)
            if tenant is not None:
                rest.merge(tenant.account)
                for what, amount in usage_of(node, tenant).items():
                    usage[what] = usage.get(what, 0) + amount
            if at % MERGED_PER_SLICE == 0:
                await asyncio.sleep(0)
        series.add_account(OTHER, rest)
        series.add_amounts("usage", OTHER, usage)
    return series.text() + (
        "# HELP ensemble_tenants Tenants in force\n# TYPE ensemble_tenants gauge\n"
        f"ensemble_tenants {len(directory.by_slug)}\n"
        "# HELP ensemble_tenant_documents_rejected Documents of the registry not in force\n"
        "# TYPE ensemble_tenant_documents_rejected gauge\n"
        f"ensemble_tenant_documents_rejected {len(directory.errors)}\n"
    )
