"""Known bugs are found again: those that take few seeds here, all of them by `make sim-bugs`."""

import pytest

from tests.sim.bugs import BUGS, CORE_BUGS, kind_of
from tests.sim.runner import outcomes

QUICK = [
    ("core", "ack before sync"),
    ("core", "NEWLEADER acknowledged too early"),
    ("core", "NEWLEADER before the history"),
    ("core", "commit without a quorum"),
    ("core", "DIFF with a hole"),
    ("core", "tree behind the log"),
    ("core", "leader with a shorter history"),
    ("ensemble", "sessions not revalidated"),
    ("ensemble", "events behind replies"),
    ("ensemble", "the leader's disk is enough"),
    ("ensemble", "limits forget what is proposed"),
    ("ensemble", "ephemerals do not leave"),
    ("reconfig", "the old members are enough"),
    ("core", "the log outlives the role"),
    ("core", "a commit behind NEWLEADER is lost"),
    ("ensemble", "a failed write passed over"),
    ("walled", "more than is left"),
    ("core-groups", "groups left out"),
    ("wire", "a message ends the process"),
    ("wire", "sums left out"),
]
# Where to begin, for bugs that the seeds before do not find: searching those again tells nothing.
FIRST = {
    "DIFF with a hole": 20,
    "NEWLEADER acknowledged too early": 15,
    "NEWLEADER before the history": 15,
    "leader with a shorter history": 20,
    "sessions not revalidated": 110,
    "the log outlives the role": 20,
}
SEEDS_MAX = 200


@pytest.mark.parametrize(("kind", "name"), QUICK)
@pytest.mark.timeout(600)
def test_a_known_bug_is_found(kind: str, name: str) -> None:
    for outcome in outcomes(f"{kind}:{name}", FIRST.get(name, 0), SEEDS_MAX, 1):
        if outcome["wrong"]:
            return
    pytest.fail(f"{name!r} is not found within {SEEDS_MAX} seeds")


def test_there_are_bugs_enough_with_names_of_their_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 10
    assert {name for _, name in QUICK} <= {bug.name for bug in BUGS}
    assert all(bug in BUGS for bug in CORE_BUGS)
    assert {(kind_of(bug), bug.name) for bug in BUGS} >= set(QUICK)
