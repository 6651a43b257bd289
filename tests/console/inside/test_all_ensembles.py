"""The overview: every ensemble and node from the collector's samples, what is wrong, in words."""

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.test import Client as Browser

from console import overview
from observability import nodes
from observability.models import Alert, Lease, Segment, Source
from observability.samples import table
from observability.samples.totals import Totals
from observability.store import LEASE
from tenants.models import Ensemble, Node
from tests.observability.test_totals import account, totals

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
GIB = 1 << 30
WELL = {
    "server_state": "follower",
    "version": "3.9.5-abc",
    "quorum_size": 3,
    "last_zxid": "0x500000064",
    "num_alive_connections": 7,
    "outstanding_requests": 0,
    "global_sessions": 12,
    "znode_count": 99,
    "datadir_disk_bytes": 100 * GIB,
    "datadir_free_bytes": 50 * GIB,
    "logdir_disk_bytes": 100 * GIB,
    "logdir_free_bytes": 50 * GIB,
    "cnt_fsynctime": 10,
    "sum_fsynctime": 20,
}


NOW = 1_900_000_000


@pytest.fixture(autouse=True)
def collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector is at work, and a second lasts as long as a test."""
    monkeypatch.setattr(nodes, "time", SimpleNamespace(time=lambda: NOW + 0.5))
    Lease.objects.create(name=LEASE, holder="box/1", until=int(time.time() * 1_000) + 60_000)


def make(name: str, count: int = 3) -> Ensemble:
    ensemble = Ensemble.objects.create(name=name, hosts="127.0.0.1:1")
    for n in range(1, count + 1):
        Node.objects.create(ensemble=ensemble, name=f"node{n}", client=f"127.0.0.1:{n}")
    return ensemble


def says(ensemble: str, node: str, ago: int = 0, requests: int = 0, **own: object) -> None:
    """One of a node's samples."""
    one = table.make_series(ensemble, "node", [node])[node]
    made = totals(account([1_000] * requests)) if requests else Totals()
    text = json.dumps({**WELL, **own})
    table.write(1, [table.row_of(one, NOW - ago, 1, made, {}, text)])


def healthy(ensemble: str) -> None:
    says(ensemble, "node1", server_state="leader")
    says(ensemble, "node2")
    says(ensemble, "node3")


def only() -> overview.EnsembleRow:
    (row,) = overview.overview().rows
    return row


def test_a_healthy_ensemble_says_so_and_how_many_may_fail(auditor: Browser) -> None:
    make("main")
    for ago in (3, 1):
        says("main", "node1", ago, 20, server_state="leader", cnt_fsynctime=100 - 10 * ago)
    says("main", "node2")
    says("main", "node3")
    row = only()
    assert (row.kind, row.problems) == ("good", [])
    assert row.quorum == "3 of 3 voters serve, 1 may fail"
    assert (row.epoch, row.sessions, row.requests) == (5, 12, 20.0)
    leader = row.nodes[0]
    assert leader.role == "leader"
    assert leader.p50_ms is not None
    assert 0.9 <= leader.p50_ms <= 1.2
    assert leader.now.trend[-5:] == (0.0, 20.0, 0.0, 20.0, 0.0)
    page = auditor.get("/").content.decode()
    for words in ("Everything is well", "in step", "50 GiB", "3.9.5", "3 of 3 voters serve"):
        assert words in page, words
    assert 'data-fresh="/"' in page


def test_one_voter_that_is_gone_is_named_with_its_reason_and_what_is_left(
    auditor: Browser,
) -> None:
    make("main")
    says("main", "node1", server_state="leader")
    says("main", "node2")
    says("main", "node3", ago=40)
    since = datetime.now(UTC)
    Source.objects.create(
        kind="metrics",
        ensemble="main",
        node="node3",
        problem="refused <b>here</b>",
        problem_since=since,
    )
    row = only()
    assert row.kind == "bad"
    assert row.quorum == "2 of 3 voters serve, none more may fail"
    assert [one.sentence for one in row.problems] == [
        "node3: does not answer.",
        "2 of 3 voters serve: if one more fails, writes stop.",
    ]
    assert row.nodes[0].name == "node3", "the worst comes first"
    page = auditor.get("/").content.decode()
    assert "1 of 1 ensemble needs you" in page
    assert "refused &lt;b&gt;here&lt;/b&gt;" in page
    assert "at zxid 0x500000064" in page


def test_what_a_node_that_is_gone_brings_no_more_is_not_told_besides() -> None:
    make("main")
    says("main", "node1", server_state="leader")
    says("main", "node2")
    says("main", "node3")
    for kind in ("metrics", "journal"):
        Source.objects.create(kind=kind, ensemble="main", node="node3", problem="refused")
    row = only()
    assert row.nodes[0].role == "down", "the collector knows it before the last sample is old"
    assert [one.sentence for one in row.problems] == [
        "node3: does not answer.",
        "2 of 3 voters serve: if one more fails, writes stop.",
    ]


def test_without_a_majority_or_a_leader_writes_wait() -> None:
    make("main")
    says("main", "node1")
    says("main", "node2", server_state="looking")
    row = only()
    assert "No quorum: 1 of 3 voters serve, 2 are needed. Writes wait." in {
        one.sentence for one in row.problems
    }
    assert "node2: finds no leader." in {one.sentence for one in row.problems}


def test_how_far_a_member_is_behind_is_told_in_time_too() -> None:
    make("main")
    for ago in range(20, -1, -1):
        says("main", "node1", ago, server_state="leader", last_zxid=hex(0x500000064 + 20 - ago))
    says("main", "node2", last_zxid=hex(0x500000064 + 19))
    says("main", "node3", last_zxid=hex(0x500000064 + 5))
    row = only()
    (problem,) = row.problems
    assert problem.nodes == ("node3",)
    assert problem.text == "15 transactions behind its leader, for 14 s."
    assert row.kind == "warn"


def test_another_epoch_counts_from_its_beginning() -> None:
    assert nodes.distance(0x500000064, 0x500000068) == 4
    assert nodes.distance(0x5FFFFFFFF, 0x600000003) == 3
    assert nodes.distance(0x500000064, 0x600000000) == 1


@pytest.mark.parametrize(
    ("own", "kind", "words"),
    [
        ({"datadir_free_bytes": 5 * GIB}, "warn", "5.0 GiB of disk are left, 5%."),
        ({"logdir_free_bytes": GIB // 2}, "bad", "0.5 GiB of disk are left, 0%."),
        ({"outstanding_requests": 501}, "warn", "501 requests wait."),
        ({"client_certificate_end": NOW + 86_400 * 9}, "warn", "its certificate ends in 9 days."),
        ({"client_certificate_end": NOW - 5}, "bad", "its certificate is over."),
        (
            {"open_file_descriptor_count": 900, "max_file_descriptor_count": 1_000},
            "warn",
            "900 of 1,000 files are open.",
        ),
    ],
)
def test_what_is_wrong_with_a_node_is_said_with_what_to_do(
    own: dict[str, object], kind: str, words: str
) -> None:
    make("main")
    healthy("main")
    says("main", "node2", **own)
    (problem,) = only().problems
    assert (problem.kind, problem.text, problem.nodes) == (kind, words, ("node2",))
    assert problem.advice


def test_a_slow_sync_is_named_and_what_is_the_same_with_several_is_said_once() -> None:
    make("main")
    says("main", "node1", server_state="leader")
    for node in ("node2", "node3"):
        says("main", node, 2, cnt_fsynctime=10, sum_fsynctime=20)
        says("main", node, 0, cnt_fsynctime=20, sum_fsynctime=3_020)
    (problem,) = only().problems
    assert problem.sentence == "node2, node3: 300 ms to sync its log."


def test_a_trail_that_does_not_come_and_a_chain_that_is_broken_are_named() -> None:
    make("main")
    healthy("main")
    Source.objects.create(kind="journal", ensemble="main", node="node1", problem="no token")
    Source.objects.create(kind="changes", ensemble="main", behind=45_000)
    Segment.objects.create(
        ensemble="main", node="node2", problems=1, first_problem_seq=7, first_problem="was changed"
    )
    row = only()
    assert [(one.kind, one.sentence) for one in row.problems] == [
        ("bad", "node2: the chain of its journal is broken: was changed"),
        ("warn", "node1: nothing comes of the audit trail: no token"),
        ("warn", "the history of znodes is 45 s behind."),
    ]
    assert (row.kind, row.behind_s) == ("bad", 45.0)


def test_a_large_disk_with_little_of_it_left_is_no_alarm() -> None:
    make("main")
    healthy("main")
    says("main", "node2", datadir_disk_bytes=1_000 * GIB, datadir_free_bytes=60 * GIB)
    assert only().problems == []


def test_without_a_collector_nothing_is_called_down(auditor: Browser) -> None:
    make("main")
    says("main", "node1", ago=100)
    Lease.objects.update(until=0)
    page = auditor.get("/").content.decode()
    assert "Nobody is looking" in page
    assert "box/1" in page
    assert "does not answer" not in page
    Lease.objects.all().delete()
    overview.last.clear()
    assert "No collector has ever run here" in auditor.get("/").content.decode()


def test_the_worst_ensemble_comes_first_and_one_without_servers_says_what_to_do(
    operator: Browser,
) -> None:
    for name in ("a-well", "b-slow", "c-down"):
        make(name)
        says(name, "node1", server_state="leader")
        says(name, "node2", outstanding_requests=9_999 if name == "b-slow" else 0)
        says(name, "node3", ago=30 if name == "c-down" else 0)
    make("d-bare", count=0)
    names = [(one.ensemble.name, one.kind) for one in overview.overview().rows]
    assert names == [("c-down", "bad"), ("b-slow", "warn"), ("d-bare", "none"), ("a-well", "good")]
    assert "None of its servers is registered" in operator.get("/").content.decode()


def test_ten_ensembles_of_five_nodes_take_a_bounded_number_of_queries(
    auditor: Browser, django_assert_max_num_queries: object
) -> None:
    for n in range(10):
        make(f"e{n}", 5)
        for node in range(1, 6):
            state = "leader" if node == 1 else "follower"
            says(f"e{n}", f"node{node}", server_state=state, quorum_size=5)
    with django_assert_max_num_queries(20, connection=None):  # type: ignore[operator]
        page = auditor.get("/").content.decode()
    assert page.count('<tr class="good">') == 50


def test_alerts_that_nobody_sees_to_stand_with_their_ensemble(auditor: Browser) -> None:
    make("main")
    healthy("main")
    now_ms = int(time.time() * 1_000)
    for n, status in enumerate(("firing", "resolved")):
        Alert.objects.create(
            rule="node_down", ensemble="main", node=f"node{n}<b>", severity="page", status=status,
            summary="x", since=now_ms - 90_000, seen_at=now_ms, fired_at=now_ms - 90_000,
        )  # fmt: skip
    page = auditor.get("/").content.decode()
    assert page.count(">1 alert<") == 2
    assert "node0&lt;b&gt;" in page
    assert "node1&lt;b&gt;" not in page


def test_names_that_deceive_are_written_out(auditor: Browser) -> None:
    ensemble = make("main", 0)
    Node.objects.create(ensemble=ensemble, name="node\u202e<b>", client="127.0.0.1:9")
    page = auditor.get("/").content.decode()
    assert "node‹U+202E›&lt;b&gt;" in page
