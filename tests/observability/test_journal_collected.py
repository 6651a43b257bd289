"""Journals of real nodes, collected by a real process: every line once, whatever is killed."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.server.audit_chain import segment_name, segments
from tests.harness import Node, RawClient, create_body
from tests.observability.planes import Plane
from tests.server.audits import JOURNAL, entries, folder_of, make_journal, told
from tests.server.feeds import access


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    settings = {**JOURNAL, **access(tmp_path / "access"), "admin.enableServer": "true"}
    return start_node({**settings, "tickTime": 400})


def fill(node: Node, first: int, count: int) -> None:
    client = RawClient(node.port)
    client.connect()
    for at in range(first, first + count):
        client.request(at + 1, 1, create_body(f"/n{at:05d}"))
        client.reply()
    client.close()


def names(count: int) -> list[str]:
    return [f"/n{at:05d}" for at in range(count)]


def test_every_line_is_collected_once_with_its_chain(node: Node, plane: Plane) -> None:
    plane.add([node])
    fill(node, 0, 40)
    plane.collect()
    plane.wait(lambda: len(plane.created()) == 40, "40 creates")
    fill(node, 40, 10)
    plane.wait(lambda: len(plane.created()) == 50, "10 more")
    assert plane.created() == names(50)
    written = {e["seq"]: e["hash"] for e in entries(folder_of(node)) if e["operation"] != "segment"}
    kept = dict(
        plane.rows(
            "SELECT seq, hash FROM observability_trail WHERE origin = 'node' AND part = 0"
            " AND path LIKE '/n%'"
        )
    )
    assert kept
    assert all(written[seq] == made for seq, made in kept.items())
    assert plane.rows("SELECT sum(problems) FROM observability_segment") == [(0,)]


def test_a_collector_that_is_killed_again_and_again_takes_nothing_twice(
    node: Node, plane: Plane
) -> None:
    plane.add([node])
    fill(node, 0, 300)
    told(folder_of(node), 300)
    collector = plane.collect()
    done = 300
    for _ in range(4):
        fill(node, done, 50)
        done += 50
        have = len(plane.created())
        plane.wait(lambda have=have: len(plane.created()) > have, "some")  # type: ignore[misc]
        collector.kill()
        collector.wait(10)
        # Who was killed cannot give its lease back: its successor need not wait in this test.
        plane.execute("UPDATE observability_lease SET until = 0")
        collector = plane.collect()
    plane.wait(lambda: len(plane.created()) >= done, "all of it")
    assert plane.created() == names(done)
    lines = "SELECT count(*), count(DISTINCT seq) FROM observability_trail WHERE part = 0"
    count, distinct = plane.rows(f"{lines} AND origin = 'node'")[0]
    assert count == distinct
    assert plane.rows("SELECT sum(problems) FROM observability_segment") == [(0,)]


def test_a_node_that_is_killed_loses_no_line(node: Node, plane: Plane) -> None:
    plane.add([node])
    plane.collect()
    done = 0
    for _ in range(3):
        fill(node, done, 30)
        done += 30
        node.kill9()
        node.start()
    fill(node, done, 1)
    plane.wait(lambda: len(plane.created()) == done + 1, "all of it")
    assert plane.created() == names(done + 1)
    assert plane.rows("SELECT sum(problems) FROM observability_segment") == [(0,)]


def test_lines_that_were_removed_before_they_were_collected_are_a_gap(
    start_node: Callable[..., Node], tmp_path: Path, plane: Plane
) -> None:
    settings = {**JOURNAL, **access(tmp_path / "access"), "admin.enableServer": "true"}
    settings |= {"ensemble.audit.segmentBytes": 1 << 20, "ensemble.audit.keepBytes": 2 << 20}
    node = start_node(settings)
    plane.add([node])
    fill(node, 0, 5)
    collector = plane.collect()
    plane.wait(lambda: len(plane.created()) == 5, "the first lines")
    collector.terminate()
    assert collector.wait(20) == 0
    node.stop()
    # As if a lot had been written meanwhile, and the oldest segments were removed.
    folder = folder_of(node)
    for number in segments(str(folder)):
        (folder / segment_name(number)).unlink()
    other = tmp_path / "other"
    make_journal(other, 2000, segment_bytes=1 << 16)
    for number in segments(str(other)):
        shutil.copy(other / segment_name(number), folder / segment_name(number + 5))
    node.start()
    plane.collect()
    gaps = "SELECT detail FROM observability_trail WHERE operation = 'gap' AND origin = 'collector'"
    plane.wait(lambda: plane.rows(gaps), "a gap")
    assert "has removed its journal's lines" in json.loads(str(plane.rows(gaps)[0][0]))["reason"]


def test_a_journal_that_begins_anew_is_a_gap_and_a_verdict(node: Node, plane: Plane) -> None:
    plane.add([node])
    fill(node, 0, 20)
    plane.collect()
    plane.wait(lambda: len(plane.created()) == 20, "the first lines")
    node.stop()
    shutil.rmtree(folder_of(node))
    node.start()
    plane.wait(
        lambda: plane.rows("SELECT 1 FROM observability_trail WHERE chain = 2 AND origin = 'node'"),
        "lines of the new journal",
    )
    problems = plane.rows(
        "SELECT chain, first_problem FROM observability_segment WHERE problems > 0"
    )
    assert problems
    assert problems[0][0] == 1
    assert "written anew or begun anew" in str(problems[0][1])


def test_an_edited_line_is_named(node: Node, plane: Plane) -> None:
    plane.add([node])
    fill(node, 0, 20)
    told(folder_of(node), 20)
    node.stop()
    path = folder_of(node) / segment_name(1)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"/n00007", b"/n00099"))
    node.start()
    plane.collect()
    problem = (
        "SELECT first_problem_seq, first_problem FROM observability_segment WHERE problems > 0"
    )
    plane.wait(lambda: plane.rows(problem), "a problem")
    edited = next(e for e in entries(folder_of(node)) if e.get("path") == "/n00099")
    assert plane.rows(f"{problem} ORDER BY segment")[0] == (
        edited["seq"],
        "its hash is not that of its content: edited",
    )


def test_a_second_collector_waits_and_takes_over(node: Node, plane: Plane) -> None:
    plane.add([node])
    first = plane.collect()
    plane.wait(lambda: plane.rows("SELECT 1 FROM observability_lease WHERE term = 1"), "a lease")
    second: subprocess.Popen[bytes] = plane.collect()
    fill(node, 0, 30)
    plane.wait(lambda: len(plane.created()) == 30, "30 creates")
    assert plane.rows("SELECT term FROM observability_lease") == [(1,)]
    first.terminate()
    assert first.wait(20) == 0
    fill(node, 30, 10)
    plane.wait(lambda: len(plane.created()) == 40, "10 more by the second")
    assert second.poll() is None
    assert plane.created() == names(40)
    assert plane.rows("SELECT term FROM observability_lease") == [(2,)]


def test_lines_that_are_read_before_they_are_on_the_disk_are_no_other_journal(
    start_node: Callable[..., Node], tmp_path: Path, plane: Plane
) -> None:
    """The head that a node tells of is behind what it lets read, until it syncs."""
    settings = {**JOURNAL, **access(tmp_path / "access"), "admin.enableServer": "true"}
    node = start_node({**settings, "ensemble.audit.syncMs": 10_000})
    plane.add([node])
    plane.collect()
    done = 0
    looked = "SELECT looked_at FROM observability_source WHERE kind = 'journal'"
    for _ in range(3):
        fill(node, done, 3)
        done += 3
        plane.wait(lambda done=done: len(plane.created()) == done, "them")  # type: ignore[misc]
        before = plane.rows(looked)
        plane.wait(lambda before=before: plane.rows(looked) != before, "a look")  # type: ignore[misc]
    assert plane.created() == names(done)
    assert plane.rows("SELECT DISTINCT chain FROM observability_trail WHERE origin = 'node'") == [
        (1,)
    ]
