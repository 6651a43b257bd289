"""OpenTelemetry: this server's aggregates as metrics, slow requests as traces, over OTLP/HTTP.

No request calls the SDK. Every interval the node's thread takes a `Sample` of its figures, in
slices, and leaves it with `telemetry_export.Exporter`, whose own thread does all the rest; while
that one waits for an endpoint that does not answer, samples replace each other and the traces
beyond a bound are counted and dropped. Names as far as there are conventions: those of RPC for
requests, of the collector's ZooKeeper receiver for the server.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

from ensemble.errors import ConfigError
from ensemble.server import metrics
from ensemble.server.clock import monotonic_us, wall_ms
from ensemble.server.costs import OUTSIDE, limits_of, usage_of
from ensemble.server.slow import TURN, SlowRequest
from ensemble.server.tenant_metrics import (
    BOUNDS,
    MERGED_PER_SLICE,
    OTHER,
    TENANTS_PER_SLICE,
    Named,
)
from ensemble.tenancy.accounting import CLASS_NAMES, CLASSES, PING, Account
from ensemble.tenancy.histogram import Histogram
from ensemble.wire import codes

if TYPE_CHECKING:
    from ensemble.server.node import Node
    from ensemble.server.telemetry_export import Exporter

log = logging.getLogger("ensemble.telemetry")

TRACES_MAX: Final = 200  # of one interval; more are counted and dropped
STOP_TIMEOUT_S: Final = 2.0  # for the last export when the server stops
ENDPOINT_KEY: Final = "ensemble.otel.endpoint"

Attributes = dict[str, str]

# The receiver's names, by ours.
GAUGES: Final[Mapping[str, tuple[str, Attributes]]] = {
    "num_alive_connections": ("zookeeper.connection.active", {}),
    "approximate_data_size": ("zookeeper.data_tree.size", {}),
    "ephemerals_count": ("zookeeper.data_tree.ephemeral_node.count", {}),
    "znode_count": ("zookeeper.znode.count", {}),
    "watch_count": ("zookeeper.watch.count", {}),
    "avg_latency": ("zookeeper.latency.avg", {}),
    "min_latency": ("zookeeper.latency.min", {}),
    "max_latency": ("zookeeper.latency.max", {}),
    "outstanding_requests": ("zookeeper.request.active", {}),
    "pending_syncs": ("zookeeper.sync.pending", {}),
    "synced_followers": ("zookeeper.follower.count", {"state": "synced"}),
    "open_file_descriptor_count": ("zookeeper.file_descriptor.open", {}),
    "max_file_descriptor_count": ("zookeeper.file_descriptor.limit", {}),
}
COUNTERS: Final[Mapping[str, tuple[str, Attributes]]] = {
    "packets_received": ("zookeeper.packet.count", {"direction": "received"}),
    "packets_sent": ("zookeeper.packet.count", {"direction": "sent"}),
    "fsync_threshold_exceed_count": ("zookeeper.fsync.exceeded_threshold.count", {}),
}


@final
class Point:
    """One number with its attributes."""

    __slots__ = ("attributes", "value")

    def __init__(self, value: float, attributes: Attributes) -> None:
        self.value: Final = value
        self.attributes: Final = attributes


@final
class Buckets:
    """One histogram in seconds, by `BOUNDS`: as it was, whatever goes on being counted."""

    __slots__ = ("attributes", "count", "counts", "max_s", "sum_s")

    def __init__(self, histogram: Histogram, attributes: Attributes) -> None:
        below = [histogram.below(us) for us in BOUNDS]
        self.count: Final = int(histogram.count)
        self.counts: Final = [
            here - before for here, before in zip([*below, self.count], [0, *below], strict=True)
        ]
        self.sum_s: Final = int(histogram.sum) / 1_000_000
        self.max_s: Final = int(histogram.max) / 1_000_000
        self.attributes: Final = attributes


@final
class Sample:
    """What the exporter is given: figures at one instant, and the traces since the last one."""

    def __init__(self) -> None:
        self.gauges: Final[dict[str, list[Point]]] = {}
        self.counters: Final[dict[str, list[Point]]] = {}
        self.histograms: Final[dict[str, list[Buckets]]] = {}
        self.slow: list[SlowRequest] = []
        self.ahead_us = 0  # of the wall clock before the monotonic one, which `slow` is timed by

    def gauge(self, name: str, value: float, attributes: Attributes) -> None:
        self.gauges.setdefault(name, []).append(Point(value, attributes))

    def counter(self, name: str, value: float, attributes: Attributes) -> None:
        self.counters.setdefault(name, []).append(Point(value, attributes))

    def histogram(self, name: str, histogram: Histogram, attributes: Attributes) -> None:
        self.histograms.setdefault(name, []).append(Buckets(histogram, attributes))

    def add_server(self, node: "Node") -> None:
        values = metrics.gauges(node)
        state = {"server.state": node.mode()}
        for name, (known_as, attributes) in GAUGES.items():
            if name in values:
                self.gauge(known_as, float(values[name]), {**attributes, **state})
        for name, (known_as, attributes) in COUNTERS.items():
            if name in values:
                self.counter(known_as, float(values[name]), attributes)

    def add_account(self, name: str, account: Account) -> None:
        tenant = {"tenant.id": name}
        for kind in range(CLASSES):
            figures = account.by_class[kind]
            if figures is None:
                continue
            rpc = {**tenant, "rpc.system.name": "zookeeper", "rpc.method": CLASS_NAMES[kind]}
            self.counter("ensemble.tenant.requests", int(figures.count), rpc)
            if kind != PING:
                self.histogram("rpc.server.call.duration", figures.latency, rpc)
            for code, times in list(figures.errors_by_code.items()):
                error = {**rpc, "error.type": codes.name_of_error(code)}
                self.counter("ensemble.tenant.errors", times, error)
        self.counter("ensemble.tenant.throttled", account.throttled(), tenant)
        self.counter("ensemble.tenant.held", int(account.held), tenant)
        for direction, size in (("in", account.bytes_in()), ("out", account.bytes_out())):
            self.counter("ensemble.tenant.io", size, {**tenant, "direction": direction})
        self.counter("ensemble.tenant.busy", int(account.busy_us) / 1_000_000, tenant)
        self.histogram("ensemble.tenant.delivery.duration", account.delivery, tenant)

    def add_amounts(self, name: str, tenant: str, amounts: dict[str, int]) -> None:
        for what, amount in amounts.items():
            self.gauge(name, amount, {"tenant.id": tenant, "of": what})


async def take_sample(node: "Node", named: Named) -> Sample:
    """All figures, in slices: of so many tenants by cost, of the others together."""
    sample = Sample()
    sample.add_server(node)
    sample.add_account(OUTSIDE, node.gate.meter.outside)
    tenants = node.directory.by_slug
    costs = {slug: int(tenant.account.busy_us) for slug, tenant in tenants.items()}
    own = named.choose(costs, node.config.observe.metrics_tenants)
    rest = Account()
    for at, slug in enumerate(costs):
        tenant = tenants.get(slug)
        if tenant is None:
            continue
        if slug in own:
            sample.add_account(slug, tenant.account)
            sample.add_amounts("ensemble.tenant.usage", slug, usage_of(node, tenant))
            sample.add_amounts("ensemble.tenant.limit", slug, limits_of(tenant))
        else:
            rest.merge(tenant.account)
        if at % (TENANTS_PER_SLICE if slug in own else MERGED_PER_SLICE) == 0:
            await asyncio.sleep(0)
    if len(own) < len(costs):
        sample.add_account(OTHER, rest)
    sample.ahead_us = wall_ms() * 1_000 - monotonic_us()
    return sample


@final
class Telemetry:
    """Takes samples while the server runs."""

    def __init__(self, node: "Node", exporter: "Exporter") -> None:
        self.node: Final = node
        self.exporter: Final = exporter
        self.named: Final = Named()
        self.seen = node.slow.total  # slow requests up to this number have been looked at
        self.dropped = 0  # traces beyond the bound
        self.chance: Final = random.Random()
        self.task: Final = asyncio.get_running_loop().create_task(self.run())

    async def run(self) -> None:
        options = self.node.config.telemetry
        while True:
            await asyncio.sleep(options.interval_s)
            sample = await take_sample(self.node, self.named)
            sample.slow = self.take_slow(options.sample)
            self.dropped += self.exporter.put(sample)

    def take_slow(self, share: float) -> list[SlowRequest]:
        """Of the slow requests since the last sample so large a share, no more than the bound."""
        found: list[SlowRequest] = []
        last = self.seen
        for entry in reversed(self.node.slow.ring):
            if entry.number <= self.seen:
                break
            last = max(last, entry.number)
            if entry.op != TURN and self.chance.random() < share:
                found.append(entry)
        self.seen = last
        self.dropped += max(0, len(found) - TRACES_MAX)
        return found[:TRACES_MAX]

    async def stop(self) -> None:
        """End; what is on its way has two seconds."""
        self.task.cancel()
        await asyncio.to_thread(self.exporter.stop, STOP_TIMEOUT_S)


def open_telemetry(node: "Node") -> Telemetry:
    """Begin to tell the configured endpoint.

    Raises:
        ConfigError: the library for it is not installed.
    """
    options = node.config.telemetry
    try:
        from ensemble.server.telemetry_export import Exporter
    except ImportError as error:
        raise ConfigError(
            f"needs the OpenTelemetry SDK ({error}): pip install 'ensemble-zk[otel]'", ENDPOINT_KEY
        ) from None
    exporter = Exporter(options, f"{node.config.server_id}", metrics.version())
    log.info("telemetry goes to %s every %d s", options.endpoint, options.interval_s)
    return Telemetry(node, exporter)
