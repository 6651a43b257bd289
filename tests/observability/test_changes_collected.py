"""The change feed of real nodes, collected by a real process: every change once, with its value."""

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Node, RawClient, create_body, set_body
from tests.observability.planes import Plane
from tests.server.feeds import access

CHANGES_MAX = 100_000


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_node({**access(tmp_path / "access"), "tickTime": 400})


def change(node: Node, first: int, count: int) -> None:
    """Make /n at the beginning, then set it so often; each value is its number."""
    client = RawClient(node.port)
    client.connect()
    for at in range(first, first + count):
        if at == 0:
            client.request(1, 1, create_body("/n", b"0"))
        else:
            client.request(1, 5, set_body("/n", b"%d" % at))
        assert client.reply()[2] == 0
    client.close()


def values(plane: Plane) -> list[int]:
    rows = plane.rows(
        "SELECT v.data FROM observability_revision r JOIN observability_value v "
        "ON v.id = r.value_id WHERE r.path = '/n' ORDER BY r.id"
    )
    return [int(zlib.decompress(bytes(row[0]))) for row in rows]  # type: ignore[call-overload]


def test_every_change_is_kept_once_whoever_is_killed(node: Node, plane: Plane) -> None:
    plane.add([node])
    change(node, 0, 30)  # before anybody collects
    collector = plane.collect()
    done = 30
    for round_ in range(3):
        change(node, done, 25)
        done += 25
        have = len(values(plane))
        plane.wait(lambda have=have: len(values(plane)) > have, "some")  # type: ignore[misc]
        if round_ == 1:
            node.kill9()
            node.start()
        collector.kill()
        collector.wait(10)
        plane.execute("UPDATE observability_lease SET until = 0")
        collector = plane.collect()
    plane.wait(lambda: len(values(plane)) >= done, "all of it")
    assert values(plane) == list(range(done))
    count = "SELECT count(*), count(DISTINCT zxid) FROM observability_revision WHERE path = '/n'"
    assert plane.rows(count) == [(done, done)]


def test_history_that_was_purged_is_a_gap(
    start_node: Callable[..., Node], tmp_path: Path, plane: Plane
) -> None:
    node = start_node({**access(tmp_path / "access"), "snapCount": 20, "preAllocSize": 4})
    plane.add([node])
    change(node, 0, 5)
    plane.collect()
    plane.wait(lambda: len(values(plane)) == 5, "the first changes")
    plane.kill9()
    data = node.folder / "data" / "version-2"
    done = 5
    while len(list(data.glob("log.*"))) <= 4:  # a new one with each snapshot, which takes a while
        assert done < CHANGES_MAX
        change(node, done, 50)
        done += 50
    node.stop()
    logs = sorted(data.glob("log.*"), key=lambda path: int(path.suffix[1:], 16))
    for log in logs[:2]:
        log.unlink()
    node.start()
    plane.execute("UPDATE observability_lease SET until = 0")
    plane.collect()
    plane.wait(lambda: values(plane)[-1:] == [done - 1], "the last change")
    gaps = plane.rows(
        "SELECT detail FROM observability_trail WHERE operation = 'gap' AND node = ''"
    )
    assert len(gaps) == 1
    assert "history is gone" in str(gaps[0][0])
    found = values(plane)
    assert found[:5] == list(range(5))
    assert found[5:] == list(range(done - len(found) + 5, done)), "no hole behind the gap"


def test_a_tree_that_was_made_anew_is_a_gap_and_is_collected(node: Node, plane: Plane) -> None:
    plane.add([node])
    change(node, 0, 40)
    plane.collect()
    plane.wait(lambda: len(values(plane)) == 40, "the first tree")
    node.stop()
    shutil.rmtree(node.folder / "data")
    node.start()
    change(node, 0, 3)
    plane.wait(lambda: len(values(plane)) == 43, "the second tree")
    assert values(plane)[40:] == [0, 1, 2]
    gaps = plane.rows(
        "SELECT detail FROM observability_trail WHERE operation = 'gap' AND node = ''"
    )
    assert len(gaps) == 1
    assert "restored or made anew" in str(gaps[0][0])
