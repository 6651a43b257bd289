"""The collector as it runs: figures, trail and history of one node, by one process that is killed.

Each of the three has its own tests on what it does with them; here they share their turns, the
lease and, with `make postgres`, a server of SQL that goes on where a process ends.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Node
from tests.observability import test_changes_collected as history
from tests.observability import test_figures_collected as figures
from tests.observability import test_journal_collected as trail
from tests.observability.planes import Plane
from tests.server.audits import JOURNAL
from tests.server.feeds import access
from tests.tenants import make_tenants, trusting

READS, LINES, CHANGES = 10, 15, 20
ROUNDS = 3


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    settings = {**JOURNAL, **access(tmp_path / "access"), **trusting(tmp_path / "keys")}
    return start_node({**settings, "admin.enableServer": "true", "tickTime": 400})


async def test_figures_trail_and_history_come_once_whoever_is_killed(
    node: Node, plane: Plane
) -> None:
    token = (await make_tenants(node.address, "a"))["a"]
    plane.add([node])
    collector = plane.collect()
    plane.wait(lambda: figures.baseline(plane), "a baseline")
    done = 0

    def happen() -> None:
        nonlocal done
        figures.work(node, token, READS)
        trail.fill(node, done * LINES, LINES)
        history.change(node, done * CHANGES, CHANGES)
        done += 1

    def has_all() -> bool:
        return (
            figures.counted(plane) >= done * READS
            # A change of /n is a line of the trail, too, and its create one of the creates.
            and len(plane.created()) >= done * LINES + 1
            and len(history.values(plane)) >= done * CHANGES
        )

    for _ in range(ROUNDS):
        have = len(plane.created()) + len(history.values(plane))
        happen()
        plane.wait(
            lambda have=have: len(plane.created()) + len(history.values(plane)) > have,  # type: ignore[misc]
            "some",
        )
        collector.kill()
        collector.wait(10)
        happen()  # while nobody collects
        # Who was killed cannot give its lease back: its successor need not wait in this test.
        plane.execute("UPDATE observability_lease SET until = 0")
        collector = plane.collect()
    plane.wait(has_all, "all of it")
    collector.terminate()
    assert collector.wait(20) == 0
    assert done == 2 * ROUNDS
    assert figures.counted(plane) == done * READS
    assert figures.negative(plane) == 0
    names = trail.names(done * LINES)
    assert plane.created() == [*names[:LINES], "/n", *names[LINES:]]
    assert history.values(plane) == list(range(done * CHANGES))
    lines = "SELECT count(*), count(DISTINCT seq) FROM observability_trail"
    count, distinct = plane.rows(f"{lines} WHERE part = 0 AND origin = 'node'")[0]
    assert count == distinct
    assert plane.rows("SELECT sum(problems) FROM observability_segment") == [(0,)]
    assert plane.rows("SELECT term FROM observability_lease") == [(ROUNDS + 1,)]
