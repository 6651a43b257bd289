"""OpenTelemetry: what arrives at an endpoint, and that one that is dead slows nobody down."""

import http.server
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ensemble.server.telemetry import Buckets
from ensemble.server.tenant_metrics import BOUNDS
from ensemble.tenancy.histogram import Histogram
from tests.harness import Node, RawClient
from tests.server import tenant_steps as steps

Start = Callable[..., Node]


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the bodies that are posted, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: dict[str, list[bytes]] = {}
        self.arrived = threading.Condition()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, path: str, count: int) -> list[bytes]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.bodies.get(path, ())) >= count, 30), path
            return list(self.bodies[path])


class Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, wbits=31)
        with self.server.arrived:
            self.server.bodies.setdefault(self.path, []).append(body)
            self.server.arrived.notify_all()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    found = Collector()
    yield found
    found.shutdown()
    found.server_close()
    found.thread.join(5)


def numbers_of(body: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Numbers and counts of histograms by name and attributes."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        names = {a.key: a.value.string_value for a in resource.resource.attributes}
        assert names["service.name"] == "ensemble"
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    attributes = frozenset((a.key, a.value.string_value) for a in point.attributes)
                    value = point.count if kind == "histogram" else point.as_double or point.as_int
                    found[metric.name, attributes] = value
    return found


def test_figures_of_tenants_and_server_arrive_under_their_names(
    collector: Collector, tmp_path: Path
) -> None:
    settings: dict[str, object] = {
        "ensemble.otel.endpoint": collector.url,
        "ensemble.otel.interval": 1,
    }
    node = steps.start(tmp_path, settings)
    try:
        steps.provision(node, "payments")
        client = steps.tenant_client(node, "payments")
        for _ in range(30):
            client.exists("/")
        client.create("/n", b"x")
        seen = len(collector.bodies.get("/v1/metrics", ()))
        body = collector.wait_for("/v1/metrics", seen + 2)[-1]
        numbers = numbers_of(body)
        rpc = {("tenant.id", "payments"), ("rpc.system.name", "zookeeper")}
        reads = frozenset(rpc | {("rpc.method", "read")})
        assert numbers["ensemble.tenant.requests", reads] == 30
        assert numbers["rpc.server.call.duration", reads] == 30
        writes = frozenset(rpc | {("rpc.method", "write")})
        assert numbers["rpc.server.call.duration", writes] == 1
        state = frozenset({("server.state", "standalone")})
        assert numbers["zookeeper.connection.active", state] == 1
        assert numbers["zookeeper.znode.count", state] >= 6
        steps.leave(client)
    finally:
        node.stop()


def test_slow_requests_become_traces_with_the_parts_of_their_time(
    collector: Collector, tmp_path: Path
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    settings: dict[str, object] = {
        "ensemble.otel.endpoint": collector.url,
        "ensemble.otel.interval": 1,
        "ensemble.slow.ms": 0,
    }
    node = steps.start(tmp_path, settings)
    try:
        client = steps.client(node)
        client.create("/traced", b"a value")
        spans = []
        for _ in range(10):
            seen = len(collector.bodies.get("/v1/traces", ()))
            if any(span.name == "zookeeper/create" for span in spans):
                break
            for body in collector.wait_for("/v1/traces", max(1, seen)):
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans += scope.spans
        (root,) = [span for span in spans if span.name == "zookeeper/create"]
        named = {a.key: a.value.string_value for a in root.attributes}
        assert named["zookeeper.path"] == "/traced"
        assert named["tenant.id"] == "_none"
        parts = [span for span in spans if span.parent_span_id == root.span_id]
        assert "propose, log, quorum, commit" in {span.name for span in parts}
        for part in parts:
            assert root.start_time_unix_nano <= part.start_time_unix_nano
            assert part.end_time_unix_nano <= root.end_time_unix_nano
        assert abs(root.start_time_unix_nano - time.time_ns()) < 120e9
        assert not any(b"a value" in body for body in collector.bodies["/v1/traces"])
        steps.leave(client)
    finally:
        node.stop()


def test_an_endpoint_that_takes_connections_and_never_answers_slows_nobody_down(
    tmp_path: Path,
) -> None:
    """Requests are served while the exporter hangs; the end of the server is not held up either."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings: dict[str, object] = {
            "ensemble.otel.endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "ensemble.otel.interval": 1,
            "ensemble.slow.ms": 0,
        }
        node = steps.start(tmp_path, settings)
        hung, _ = silent.accept()
        client = RawClient(node.port)
        client.connect()
        longest_s = 0.0
        end = time.monotonic() + 3
        served = 0
        while time.monotonic() < end:
            began = time.monotonic()
            client.request(served + 1, 3, b"\0\0\0\1/\0")
            client.reply()
            longest_s = max(longest_s, time.monotonic() - began)
            served += 1
        assert served > 300
        # The exporter's own attempt lasts five seconds.
        assert longest_s < 2.0
        client.close()
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 8
        hung.close()


def test_a_dead_endpoint_is_said_once(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    settings: dict[str, object] = {
        "ensemble.otel.endpoint": f"http://127.0.0.1:{port}",
        "ensemble.otel.interval": 1,
    }
    node = steps.start(tmp_path, settings)
    deadline = time.monotonic() + 40
    while "telemetry does not reach" not in node.log():
        assert time.monotonic() < deadline
        node.word("srvr")
    assert node.stop() == 0
    assert node.log().count("telemetry does not reach") == 1
    assert "Traceback" not in node.log()


def test_without_the_library_the_start_is_refused(tmp_path: Path, start_node: Start) -> None:
    """A module of that name which cannot be imported stands in for one that is missing."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ImportError('not here')\n")
    hide = ["env", f"PYTHONPATH={tmp_path}"]
    import os

    from tests.harness import ROOT

    hide[1] += f"{os.pathsep}{ROOT}"
    node = start_node({"ensemble.otel.endpoint": "http://127.0.0.1:4318"}, wrapper=hide, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert "pip install 'ensemble-zk[otel]'" in node.log()
    assert "ensemble.otel.endpoint" in node.log()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"ensemble.otel.endpoint": "localhost:4318"}, "http://host:4318"),
        ({"ensemble.otel.sample": "1.5"}, "it must be within 0 and 1"),
        ({"ensemble.otel.sample": "nan"}, "it must be within 0 and 1"),
        ({"ensemble.otel.interval": "0"}, "it must be within 1 and 3600"),
    ],
)
def test_settings_that_cannot_be_refuse_the_start(
    start_node: Start, settings: dict[str, object], what: str
) -> None:
    node = start_node(settings, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert what in node.log()


def test_buckets_of_a_histogram_are_its_counts_between_the_bounds() -> None:
    histogram = Histogram()
    for us in (10, 300, 300, 70_000_000):
        histogram.add(us, 1)
    buckets = Buckets(histogram, {})
    assert len(buckets.counts) == len(BOUNDS) + 1
    assert (buckets.counts[0], buckets.counts[1], buckets.counts[-1]) == (1, 2, 1)
    assert sum(buckets.counts) == buckets.count == 4
    histogram.add(1, 1)
    assert buckets.count == 4, "it stays as it was"
