"""The half of `telemetry` that knows the OpenTelemetry SDK, in a thread of its own.

The SDK asks its observable instruments, which answer from the last sample. It has none for
histograms that are there already, so these are put into its batch on the way out. Spans are made
after the fact, with the times that were noted. Nothing here touches the node's state.

Loaded where `ensemble.otel.endpoint` is set; the library is the extra `otel`.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from ensemble.server.observe_config import TelemetryOptions
from ensemble.server.paging import session_text, shown
from ensemble.server.slow import SlowRequest
from ensemble.server.telemetry import Point, Sample
from ensemble.server.tenant_metrics import BOUNDS
from ensemble.wire import codes

log = logging.getLogger("ensemble.telemetry")

SCOPE: Final = "ensemble"
TIMEOUT_S: Final = 5.0  # of one attempt to reach the endpoint
UNITS: Final = {
    "zookeeper.data_tree.size": "By",
    "ensemble.tenant.io": "By",
    "ensemble.tenant.busy": "s",
    "zookeeper.latency.avg": "ms",
    "zookeeper.latency.min": "ms",
    "zookeeper.latency.max": "ms",
}
Callback = Callable[[CallbackOptions], Iterable[Observation]]
BOUNDS_S: Final = [(us + 1) / 1_000_000 for us in BOUNDS]

# What there may be, so that instruments exist before their first value.
GAUGES: Final = (
    *("zookeeper.connection.active", "zookeeper.data_tree.size", "zookeeper.znode.count"),
    *("zookeeper.data_tree.ephemeral_node.count", "zookeeper.watch.count"),
    *("zookeeper.latency.avg", "zookeeper.latency.min", "zookeeper.latency.max"),
    *("zookeeper.request.active", "zookeeper.sync.pending", "zookeeper.follower.count"),
    *("zookeeper.file_descriptor.open", "zookeeper.file_descriptor.limit"),
    *("ensemble.tenant.usage", "ensemble.tenant.limit"),
)
COUNTERS: Final = (
    *("zookeeper.packet.count", "zookeeper.fsync.exceeded_threshold.count"),
    *("ensemble.tenant.requests", "ensemble.tenant.errors", "ensemble.tenant.throttled"),
    *("ensemble.tenant.held", "ensemble.tenant.io", "ensemble.tenant.busy"),
)


@final
class WithHistograms(MetricExporter):
    """Adds the sample's histograms to what the SDK has collected, and sends both."""

    def __init__(self, exporter: OTLPMetricExporter, resource: Resource) -> None:
        super().__init__()
        self.exporter: Final = exporter
        self.resource: Final = resource
        self.sample = Sample()
        self.began_ns: Final = time.time_ns()
        self.succeeded = True

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        # One scope of one resource: of two that are equal the encoder keeps the last.
        found = self.histograms()
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                found += scope.metrics
        scopes = [ScopeMetrics(InstrumentationScope(SCOPE), found, "")]
        whole = MetricsData([ResourceMetrics(self.resource, scopes, "")])
        result: MetricExportResult = self.exporter.export(whole, timeout_millis=timeout_millis)
        self.succeeded = result is MetricExportResult.SUCCESS
        return result

    def histograms(self) -> list[Metric]:
        now_ns = time.time_ns()
        found: list[Metric] = []
        for name, all_buckets in self.sample.histograms.items():
            points = [
                HistogramDataPoint(
                    attributes=buckets.attributes,
                    start_time_unix_nano=self.began_ns,
                    time_unix_nano=now_ns,
                    count=buckets.count,
                    sum=buckets.sum_s,
                    bucket_counts=buckets.counts,
                    explicit_bounds=BOUNDS_S,
                    min=0.0,
                    max=buckets.max_s,
                )
                for buckets in all_buckets
                if buckets.count
            ]
            if points:
                data = Histogram(points, AggregationTemporality.CUMULATIVE)
                found.append(Metric(name, "", "s", data))
        return found

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self.exporter.shutdown(timeout_millis)


@final
class Gathering(SpanProcessor):
    """Keeps ended spans until the thread sends them, all of an interval in one request."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@final
class Exporter:
    """Sends samples. `put` never waits: a sample that was not taken up yet is replaced."""

    def __init__(self, options: TelemetryOptions, server_id: str, version: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we say it, once
        self.endpoint: Final = options.endpoint
        resource = Resource.create(
            {
                "service.name": "ensemble",
                "service.instance.id": server_id,
                "zk.version": version,
            }
        )
        self.metrics: Final = WithHistograms(
            OTLPMetricExporter(endpoint=f"{options.endpoint}/v1/metrics", timeout=TIMEOUT_S),
            resource,
        )
        # Without an interval the reader has no thread of its own, which would come to life in every
        # forked child, too.
        self.reader: Final = PeriodicExportingMetricReader(
            self.metrics, export_interval_millis=math.inf
        )
        # Kept: the reader knows it weakly.
        self.provider: Final = MeterProvider([self.reader], resource, shutdown_on_exit=False)
        meter = self.provider.get_meter(SCOPE)
        for name in GAUGES:
            meter.create_observable_gauge(name, [self.gauge_of(name)], UNITS.get(name, ""))
        for name in COUNTERS:
            meter.create_observable_counter(name, [self.counter_of(name)], UNITS.get(name, ""))
        self.spans: Final[SpanExporter] = OTLPSpanExporter(
            endpoint=f"{options.endpoint}/v1/traces", timeout=TIMEOUT_S
        )
        self.gathering: Final = Gathering()
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracers.add_span_processor(self.gathering)
        self.tracer: Final = tracers.get_tracer(SCOPE)
        self.lock: Final = threading.Lock()
        self.waiting: Sample | None = None
        self.wake: Final = threading.Event()
        self.stopping = False
        self.fails = False
        self.thread: Final = threading.Thread(target=self.run, name="telemetry", daemon=True)
        self.thread.start()

    # Of the node's thread

    def put(self, sample: Sample) -> int:
        """Take a sample; how many traces were lost with the one that it replaces."""
        with self.lock:
            lost = 0 if self.waiting is None else len(self.waiting.slow)
            self.waiting = sample
        self.wake.set()
        return lost

    def stop(self, timeout_s: float) -> None:
        """Send what waits, if that is possible within so long, and end."""
        self.stopping = True
        self.wake.set()
        self.thread.join(timeout_s)
        self.metrics.exporter.shutdown()  # wakes up who waits for another attempt
        self.spans.shutdown()

    # Of the exporter's thread

    def run(self) -> None:
        while True:
            self.wake.wait()
            self.wake.clear()
            with self.lock:
                sample, self.waiting = self.waiting, None
            if sample is not None:
                self.send(sample)
            if self.stopping:
                return

    def send(self, sample: Sample) -> None:
        self.metrics.sample = sample
        self.reader.collect(timeout_millis=TIMEOUT_S * 1_000)
        succeeded = self.metrics.succeeded
        for entry in sample.slow:
            self.trace(entry, sample.ahead_us)
        spans, self.gathering.spans = self.gathering.spans, []
        if spans and succeeded:
            succeeded = self.spans.export(spans) is SpanExportResult.SUCCESS
        if succeeded == self.fails:
            self.fails = not succeeded
            if self.fails:
                log.warning("telemetry does not reach %s: it is dropped until then", self.endpoint)
            else:
                log.info("telemetry reaches %s again", self.endpoint)

    def gauge_of(self, name: str) -> Callback:
        return lambda options: observations(self.metrics.sample.gauges.get(name, []))

    def counter_of(self, name: str) -> Callback:
        return lambda options: observations(self.metrics.sample.counters.get(name, []))

    def trace(self, entry: SlowRequest, ahead_us: int) -> None:
        """A span for a request, and one below it for each part of its time."""

        def at(us: int) -> int:
            return (us + ahead_us) * 1_000

        sent_us = entry.sent_us or entry.ready_us
        method = codes.name_of_op(entry.op)
        root = self.tracer.start_span(
            f"zookeeper/{method}",
            kind=SpanKind.SERVER,
            start_time=at(entry.arrived_us),
            attributes={
                "rpc.system.name": "zookeeper",
                "rpc.method": method,
                "tenant.id": entry.slug or "_none",
                "client.address": entry.peer_host,
                "client.port": entry.peer_port,
                "zookeeper.path": shown(entry.path).encode("utf-8", "replace").decode(),
                "zookeeper.session": session_text(entry.session_id),
                "zookeeper.zxid": f"{entry.zxid:#x}",
            },
        )
        if entry.error:
            root.set_attribute("error.type", codes.name_of_error(entry.error))
            root.set_status(Status(StatusCode.ERROR))
        context = set_span_in_context(root)
        waited = "propose, log, quorum, commit" if entry.zxid else "wait"
        for name, begin_us, end_us in (
            ("queue", entry.arrived_us, entry.taken_us),
            (waited, entry.taken_us, entry.ready_us),
            ("reply", entry.ready_us, sent_us),
        ):
            if end_us > begin_us:
                part = self.tracer.start_span(name, context, start_time=at(begin_us))
                part.end(at(end_us))
        root.end(at(sent_us))


def observations(points: list[Point]) -> list[Observation]:
    return [Observation(point.value, point.attributes) for point in points]
