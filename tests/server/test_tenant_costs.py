"""What the admin port says of tenants, each figure against a load that is known."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from kazoo.exceptions import NoNodeError
from prometheus_client.parser import text_string_to_metric_families

from ensemble.server.costs import Window
from ensemble.server.metrics import escaped
from ensemble.server.tenant_metrics import Named, labels
from ensemble.tenancy.accounting import Account, Meter
from ensemble.wire import codes
from tests.harness import Node
from tests.server import tenant_steps as steps


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = steps.start(tmp_path_factory.mktemp("costs"), {"ensemble.metrics.tenants": 2})
    steps.provision(node, "payments", "search", "mail", limits={"znodes": 100, "sessions": 7})
    yield node
    node.kill9()


def classes_of(node: Node, slug: str) -> dict[str, dict[str, object]]:
    account = steps.command(node, "tenant", slug=slug)["account"]
    return account["classes"]


def test_counts_errors_and_bytes_are_those_of_the_load(node: Node) -> None:
    client = steps.tenant_client(node, "payments")
    for n in range(7):
        client.create(f"/n{n}", b"x" * 100)
    for _ in range(20):
        client.get("/n0")
    for _ in range(3):
        with pytest.raises(NoNodeError):
            client.get("/none")
    transaction = client.transaction()
    transaction.create("/m1")
    transaction.create("/m2")
    transaction.commit()
    client.sync("/n0")
    client.get("/n1", watch=lambda event: None)
    client.set("/n1", b"y")
    found = classes_of(node, "payments")
    assert found["write"]["count"] == 8
    assert found["write"]["errors"] == 0
    assert found["read"]["count"] == 20 + 3 + 1
    assert found["read"]["errors_by_code"] == {"NoNode": 3}
    assert found["multi"]["count"] == 1
    assert found["sync"]["count"] == 1
    for figures in found.values():
        latency = figures["latency"]
        assert latency["count"] == figures["count"]
        assert sum(n for _, n in latency["buckets"]) == figures["count"]
        assert 0 < latency["p50_us"] <= latency["p99_us"] <= latency["max_us"] < 60_000_000
    # A create: 4 length, 8 header, path, data and its length, ACL, flags.
    assert found["write"]["bytes_in"] > 7 * (12 + 100)
    assert found["read"]["bytes_out"] > 20 * 100
    account = steps.command(node, "tenant", slug="payments")["account"]
    assert account["delivery"]["count"] == 1
    assert account["event_bytes"] > 0
    assert account["busy_ms"] > 0
    steps.leave(client)


def test_what_one_tenant_does_is_nobody_elses(node: Node) -> None:
    before = {slug: classes_of(node, slug) for slug in ("mail", "_none")}
    client = steps.tenant_client(node, "search")
    for _ in range(50):
        client.exists("/")
    after = classes_of(node, "search")
    assert after["read"]["count"] == 50
    assert classes_of(node, "mail") == before["mail"] == {}
    assert classes_of(node, "_none").get("read") == before["_none"].get("read")
    steps.leave(client)


def test_usage_stands_beside_the_limits(node: Node) -> None:
    client = steps.tenant_client(node, "mail")
    found = steps.command(node, "tenant", slug="mail")
    assert found["limits"] == {"znodes": 100, "sessions": 7}
    assert found["usage"]["sessions"] == 1
    assert found["usage"]["connections"] == 1
    assert found["usage"]["znodes"] == 1, "its root"
    assert (found["mode"], found["state"], found["root"]) == (
        "permissive",
        "active",
        "/tenants/mail",
    )
    steps.leave(client)


def test_the_list_is_paged_in_order_of_names(node: Node) -> None:
    first = steps.command(node, "tenants", limit=2)
    assert [t["tenant"] for t in first["tenants"]] == ["mail", "payments"]
    second = steps.command(node, "tenants", limit=2, after=first["next"])
    assert [t["tenant"] for t in second["tenants"]] == ["search"]
    assert second["next"] is None
    whole = steps.command(node, "tenants", histograms="true")
    assert all("classes" in t["account"] for t in whole["tenants"])


def test_the_costliest_are_on_top(node: Node) -> None:
    client = steps.tenant_client(node, "search")
    for _ in range(200):
        client.exists("/")
    for by in ("requests", "busy", "bytes", "errors", "throttled"):
        top = steps.command(node, "top", by=by, since="start")["tenants"]
        assert {t["tenant"] for t in top} == {"_none", "mail", "payments", "search"}
    ranked = steps.command(node, "top", by="requests", since="start", limit=1)["tenants"]
    assert [t["tenant"] for t in ranked] == ["search"]
    assert 0 < ranked[0]["busy_share"] <= 1
    steps.leave(client)


@pytest.mark.parametrize(
    ("name", "query", "what"),
    [
        ("top", {"by": "beauty"}, "busy, bytes, requests"),
        ("top", {"since": "ever"}, "window or start"),
        ("top", {"limit": 0}, "limit=0 is outside of 1 to 1000"),
        ("tenants", {"limit": 1001}, "limit=1001 is outside of 1 to 1000"),
        ("tenants", {"limit": "many"}, "limit=many is no number"),
        ("tenants", {"limit": "9" * 30}, "is no number"),
        ("tenant", {}, "there is no such tenant"),
        ("tenant", {"slug": "../payments"}, "there is no such tenant"),
        ("tenant", {"slug": "Payments"}, "there is no such tenant"),
    ],
)
def test_bad_queries_are_refused_with_what_is_expected(
    node: Node, name: str, query: dict[str, object], what: str
) -> None:
    status, answer = steps.asked(node, name, **query)
    assert status == 400
    assert what in answer["error"]


def test_a_document_that_is_not_in_force_is_told(node: Node) -> None:
    admin = steps.client(node, ("digest", steps.SUPER))
    admin.create("/zookeeper/tenants/broken", b"{", acl=steps.NOBODY)
    found = steps.command(node, "tenants")
    assert found["not_in_force"] == 1
    assert "broken" in found["errors"]
    assert "ensemble_tenant_documents_rejected 1" in steps.metrics(node)
    admin.delete("/zookeeper/tenants/broken")
    steps.leave(admin)


def test_series_are_read_by_prometheus_and_bounded_by_the_setting(node: Node) -> None:
    """ensemble.metrics.tenants is 2, there are three tenants."""
    families = {f.name: f for f in text_string_to_metric_families(steps.metrics(node))}
    requests = families["ensemble_tenant_requests"]
    tenants = {sample.labels["tenant"] for sample in requests.samples}
    assert len(tenants - {"_other", "_none"}) <= 2
    for family in families.values():
        if family.name.startswith("ensemble_tenant_"):
            names = {s.labels["tenant"] for s in family.samples if "tenant" in s.labels}
            assert len(names) <= 4, family.name
    total = sum(s.value for s in requests.samples)
    listed = steps.command(node, "top", by="requests", since="start")["tenants"]
    # The scrape that was made before the list was: pings may have come between.
    assert 0 <= sum(t["requests"] for t in listed) - total <= 5


def test_a_histogram_of_prometheus_is_cumulative_and_ends_with_its_count(node: Node) -> None:
    families = {f.name: f for f in text_string_to_metric_families(steps.metrics(node))}
    latency = families["ensemble_tenant_latency_seconds"]
    by_labels: dict[tuple[str, str], list[float]] = {}
    counts: dict[tuple[str, str], float] = {}
    for sample in latency.samples:
        key = (sample.labels["tenant"], sample.labels["class"])
        if sample.name.endswith("_bucket"):
            by_labels.setdefault(key, []).append(sample.value)
        elif sample.name.endswith("_count"):
            counts[key] = sample.value
    assert counts
    for key, values in by_labels.items():
        assert values == sorted(values)
        assert values[-1] == counts[key]


def test_hostile_names_stay_within_their_label() -> None:
    assert escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'
    hostile = 'q"} evil 1\n'
    line = "x{" + labels(tenant=hostile) + "} 1\n"
    (family,) = text_string_to_metric_families(line)
    assert [s.labels["tenant"] for s in family.samples] == [hostile]


def test_who_has_series_keeps_them_until_somebody_costs_twice_as_much() -> None:
    named = Named()
    assert named.choose({"a": 10, "b": 20, "c": 5}, 2) == {"a", "b"}
    assert named.choose({"a": 10, "b": 20, "c": 19}, 2) == {"a", "b"}, "not twice as much"
    assert named.choose({"a": 10, "b": 20, "c": 21}, 2) == {"b", "c"}
    assert named.choose({"a": 10, "c": 21}, 2) == {"a", "c"}, "a place was free"
    assert named.choose({"a": 10, "c": 21, "d": 1}, 0) == set()
    assert named.choose({}, 2) == set()


def test_D5_no_more_tenants_than_the_bound_have_series_however_many_there_are() -> None:
    named = Named()
    costs = {f"t{n}": n for n in range(5_000)}
    for _ in range(3):
        assert len(named.choose(costs, 100)) == 100
        costs = {slug: 5_000 - cost for slug, cost in costs.items()}


def test_a_client_that_reads_nothing_of_metrics_does_not_stop_the_server(node: Node) -> None:
    head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {steps.READ}\r\n\r\n"
    request = head.encode()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", node.admin_port)))
            sock.sendall(request)
        assert b"Mode" in node.word("srvr")


def test_requests_that_a_rate_holds_are_counted_with_their_wait(node: Node) -> None:
    """20 a second, in bursts of 3: of 13 requests in a row about ten wait, 50 ms each."""
    steps.provision(node, "slow", limits={"requests_per_second": 20})
    client = steps.tenant_client(node, "slow")
    client.exists("/")
    before = steps.command(node, "tenant", slug="slow")["account"]
    for _ in range(13):
        client.exists("/")
    account = steps.command(node, "tenant", slug="slow")["account"]
    held = account["held"] - before["held"]
    assert 5 <= held <= 13
    assert account["held_ms"] - before["held_ms"] > held * 10
    latency = account["classes"]["read"]["latency"]
    assert latency["sum_us"] / 1_000 >= account["held_ms"] * 0.9, "the wait is part of the latency"
    steps.leave(client)


def test_a_window_holds_what_was_spent_in_it_and_nothing_older() -> None:
    meter, quiet, busy = Meter(), Account(), Account()
    known = {"quiet": quiet, "busy": busy}

    def ask(account: Account, times: int) -> None:
        for _ in range(times):
            meter.on_request(account, codes.OP_GET_DATA, 40)
            meter.on_reply(account, codes.OP_GET_DATA, codes.NO_NODE, 100, 0, 0)
        meter.end_turn(0, 1_000)

    ask(quiet, 5)
    ask(busy, 5)
    window = Window()
    window.close(known.items(), 50_000)
    ask(busy, 3)
    window.close(known.items(), 55_000)
    assert window.last["busy"].requests == 5, "the window is not over"
    window.close(known.items(), 60_000)
    assert window.length_ms == 10_000
    assert set(window.last) == {"busy"}
    spent = window.last["busy"]
    assert (spent.requests, spent.errors, spent.bytes_in, spent.bytes_out) == (3, 3, 120, 300)
    assert spent.busy_us == 1_000
    known["busy"] = Account()
    ask(known["busy"], 2)
    window.close(known.items(), 70_000)
    assert window.last["busy"].requests == 2, "a tenant that was made anew begins at nothing"
