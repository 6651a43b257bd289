"""What the trail keeps, and that verdicts on chains outlive it; forks against what is committed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import override_settings

from observability.anchors import Anchor, check, read_anchors
from observability.chain import Found
from observability.models import Lease, Segment, Trail
from observability.retention import prune_trail
from observability.store import LEASE, LeaseLostError, keep_segments, now
from tests.harness import Node, RawClient, create_body
from tests.observability.people import NOON_MS, add, entry
from tests.server.audits import JOURNAL, Entry, entries, folder_of, wait_for
from tests.tenants import operator, trusting

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


@pytest.fixture(autouse=True)
def lease(db: None) -> None:
    Lease.objects.create(name=LEASE, holder="test", term=1)


def verdict() -> Segment:
    found = Found(first_seq=1, last_seq=30, last_hash="a" * 64, lines=30)
    keep_segments(("main", "node1"), {(1, 1): found}, now())
    return Segment.objects.get()


def test_old_lines_go_and_the_verdict_stays() -> None:
    day = 86_400
    add(*(entry(-400 * day + at) for at in range(5)), *(entry(at) for at in range(3)))
    verdict()
    while prune_trail(1):
        pass
    assert sorted(Trail.objects.values_list("at", flat=True)) == [
        NOON_MS + at * 1_000 for at in range(3)
    ]
    assert Segment.objects.get().lines == 30


@override_settings(OBSERVED_TRAIL_ROWS=10)
def test_no_more_lines_are_kept_than_set() -> None:
    add(*(entry(at) for at in range(25)))
    while prune_trail(1):
        pass
    kept = list(Trail.objects.order_by("id").values_list("path", flat=True))
    assert kept == [f"/tenants/payments/n{at}" for at in range(15, 25)]


def test_who_has_lost_the_lease_removes_nothing() -> None:
    add(entry(-400 * 86_400))
    with pytest.raises(LeaseLostError, match="term 0 is over"):
        prune_trail(0)
    assert Trail.objects.count() == 1


def test_a_line_as_it_was_committed_is_noted() -> None:
    add(*(entry(at) for at in range(5)))
    verdict()
    assert check(1, "main", "node1", Anchor(1, 1, 3, "a" * 64)) == ""
    assert Segment.objects.get().anchor_seq == 3
    assert Segment.objects.get().is_sound


def test_a_line_that_was_committed_with_another_hash_is_a_fork() -> None:
    add(*(entry(at) for at in range(5)))
    verdict()
    for _ in range(2):  # named once
        assert "a fork" in check(1, "main", "node1", Anchor(1, 1, 3, "c" * 64))
    segment = Segment.objects.get()
    assert (segment.problems, segment.first_problem_seq) == (1, 3)
    assert "/zookeeper/audit/1" in segment.first_problem


def test_a_line_that_is_not_collected_yet_says_nothing() -> None:
    verdict()
    assert check(1, "main", "node1", Anchor(1, 1, 99, "c" * 64)) == ""
    assert check(1, "main", "node9", Anchor(9, 1, 1, "c" * 64)) == ""
    assert Segment.objects.get().is_sound


def is_anchor(line: Entry) -> bool:
    return str(line.get("path")).startswith("/zookeeper/audit/") and line.get("result") == "Ok"


async def test_anchors_are_read_as_nodes_write_them(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    settings = {**JOURNAL, **trusting(tmp_path / "keys"), "ensemble.audit.anchorMs": 200}
    node = start_node({**settings, "tickTime": 400})
    client = RawClient(node.port)
    client.connect()
    client.request(1, 1, create_body("/n"))
    client.reply()
    client.close()
    wait_for(folder_of(node), lambda lines: any(is_anchor(line) for line in lines))
    async with operator(node.address) as admin:
        found = await read_anchors(admin)
    written = {e["seq"]: e["hash"] for e in entries(folder_of(node))}
    assert [written[anchor.seq] for anchor in found] == [anchor.hash for anchor in found]
    assert len(found) == 1
