"""The AdminServer's commands and /metrics, over HTTP, against a real node."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ensemble.server.admin_commands import COMMANDS
from ensemble.server.admin_protocol import Access, Need
from tests.harness import Node, RawClient


def ask(
    node: Node, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.admin_port}{path}", method=method, headers=headers or {}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")


# What Apache's standalone server answers, too.
ERRORS = {
    "leader": "server is not initialized",
    "set_trace_mask": "setTraceMask requires long traceMask argument",
}
GUARDED = (Need.GUARDED_READ, Need.GUARDED_CONTROL)
READS = [c.name for c in COMMANDS.values() if c.answer is not None and c.need not in GUARDED]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> object:
    node = Node(tmp_path_factory.mktemp("admin") / "node", {}, {}, []).start()
    client = RawClient(node.port)
    client.connect()
    yield node
    client.close()
    node.kill9()


@pytest.mark.parametrize("name", READS)
def test_E10_every_command_answers_json_with_its_name(name: str, served: Node) -> None:
    status, text = ask(served, f"/commands/{name}")
    assert status == 200
    answer = json.loads(text)
    assert answer["command"] == name
    assert answer["error"] == ERRORS.get(name)


def test_E10_what_changes_or_copies_everything_needs_an_identity() -> None:
    guarded = {name for name, c in COMMANDS.items() if c.access is Access.ALL_ON_ROOT}
    assert {"snapshot", "restore"} <= guarded


def test_E10_a_snapshot_is_given_to_those_who_may_do_everything_on_the_root(
    start_node: Callable[..., Node],
) -> None:
    digest = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="  # of super:admin
    node = start_node(
        {"admin.rateLimiterIntervalInMS": 0},
        {"zookeeper.DigestAuthenticationProvider.superDigest": digest},
    )
    client = RawClient(node.port)
    client.connect()
    acl = b"\0\0\0\1\0\0\0\1\0\0\0\5world\0\0\0\6anyone"
    client.request(1, 7, b"\0\0\0\1/" + acl + b"\xff\xff\xff\xff")
    assert client.reply()[2] == 0
    assert ask(node, "/commands/snapshot")[0] == 401
    wrong = {"Authorization": "digest super:guess"}
    assert ask(node, "/commands/snapshot", headers=wrong)[0] == 403
    right = {"Authorization": "digest super:admin"}
    status, text = ask(node, "/commands/snapshot", headers=right)
    assert (status, text[:4]) == (200, "ZKSN")
    assert ask(node, "/commands/restore", "POST")[0] == 401
    assert ask(node, "/commands/restore", "POST", wrong)[0] == 403
    assert ask(node, "/commands/restore", "POST", right)[0] == 500, "let in, but without a body"
    client.close()


def test_unknown_commands_and_wrong_methods_are_said_so(served: Node) -> None:
    assert "Unknown command" in ask(served, "/commands/nope")[1]
    assert ask(served, "/commands/ruok", "POST")[0] == 405
    assert ask(served, "/")[0] == 404
    status, text = ask(served, "/commands")
    assert status == 200
    assert '<a href="/commands/monitor">' in text


def test_monitor_has_numbers_and_the_names_of_mntr_without_zk(served: Node) -> None:
    answer = json.loads(ask(served, "/commands/monitor")[1])
    assert answer["znode_count"] >= 4
    assert answer["server_state"] == "standalone"
    mntr = {line.split("\t")[0] for line in served.word("mntr").decode().splitlines()}
    assert {f"zk_{name}" for name in answer if name not in ("command", "error")} <= mntr


def test_prometheus_reads_metrics(served: Node) -> None:
    status, text = ask(served, "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["znode_count"].samples[0].value >= 4
    for name in ("num_alive_connections", "outstanding_requests", "watch_count"):
        assert name in families
    assert any(name.startswith("fsynctime") for name in families)


def test_metrics_stand_on_a_port_of_their_own_where_configured(
    start_node: Callable[..., Node],
) -> None:
    from tests.ports import free_port

    port = free_port()
    provider = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
    node = start_node(
        {
            "metricsProvider.className": provider,
            "metricsProvider.httpPort": port,
            "metricsProvider.httpHost": "127.0.0.1",
        }
    )
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"znode_count" in answer.read()
    assert b"Mode" in node.word("srvr")


def test_a_taken_admin_port_refuses_the_start_with_status_4(
    served: Node, start_node: Callable[..., Node]
) -> None:
    node = start_node({"admin.serverPort": served.admin_port}, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 4
    assert str(served.admin_port) in node.log()


def test_the_admin_port_can_be_left_out(start_node: Callable[..., Node]) -> None:
    node = start_node({"admin.enableServer": "false"})
    with pytest.raises(urllib.error.URLError):
        ask(node, "/commands/ruok")


def test_an_answered_connection_is_closed_when_it_has_been_idle(
    start_node: Callable[..., Node],
) -> None:
    node = start_node({"admin.idleTimeout": 300})
    connection = http.client.HTTPConnection("127.0.0.1", node.admin_port, timeout=10)
    connection.request("GET", "/commands/ruok")
    answer = connection.getresponse()
    assert json.load(answer)["error"] is None
    assert not answer.will_close, "it stays open for the next request"
    assert connection.sock.recv(1) == b"", "until the server has waited long enough"
    connection.close()
