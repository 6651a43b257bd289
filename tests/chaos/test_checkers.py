"""The checkers find what they look for: a checker that finds nothing proves nothing."""

from collections.abc import Callable

import pytest

from tests.chaos.checkers import (
    FIRST_VALUE,
    Tree,
    Znode,
    check_equal,
    check_final,
    check_history,
    check_no_ephemerals,
)
from tests.chaos.history import Change, History, Outcome, Read, Sequential, Write

KEY = "/k"


def write(zxid: int, sent: float, version: int, outcome: Outcome = Outcome.DONE) -> Write:
    change = Change(KEY, f"v{version}", -1, version)
    return Write(0, sent, sent + 1, outcome, [change], zxid)


def read(zxid: int, sent: float, version: int, mzxid: int, client: int = 1) -> Read:
    value = f"v{version}" if version else FIRST_VALUE
    return Read(client, sent, sent + 1, KEY, value, version, mzxid, zxid)


def znode(version: int, mzxid: int, owner: int = 0) -> Znode:
    value = f"v{version}" if version else FIRST_VALUE
    return Znode(value.encode(), (1, mzxid, 0, 0, version), "", owner)


def history() -> History:
    """Three writes, two reads: as it should be. Writes at 2, 4 and 6, at the times 10, 20, 30."""
    return History(
        writes=[write(2, 10, 1), write(4, 20, 2), write(6, 30, 3)],
        reads=[read(1, 1, 0, 1), read(4, 25, 2, 4), read(5, 28, 2, 4)],
        sequentials=[
            Sequential(0, 40, 41, "/s-0000000001"),
            Sequential(1, 42, 43, "/s-0000000002"),
        ],
    )


def test_a_right_history_passes() -> None:
    assert check_history(history()) == []
    assert check_final(history(), {KEY: znode(3, 6), **sequentials()}, [KEY]) == []


def sequentials() -> Tree:
    return {f"/s-000000000{n}": znode(0, 9) for n in (1, 2)}


def lose_a_write(h: History) -> None:
    h.writes[2].changes[0].version = 2


def answer_with_an_older_zxid(h: History) -> None:
    h.writes[2].zxid = 3


def use_a_zxid_twice(h: History) -> None:
    h.writes[2].zxid = 4


def ignore_the_version(h: History) -> None:
    h.writes[2].changes[0].expected_version = 0


def read_an_old_state(h: History) -> None:
    h.reads[1] = read(4, 25, 1, 2)


def read_the_future(h: History) -> None:
    h.reads[1] = read(4, 25, 3, 6)


def read_what_nobody_wrote(h: History) -> None:
    h.reads[1].value = "nobody's"


def read_what_was_refused(h: History) -> None:
    h.writes.append(write(0, 24, 7, Outcome.REFUSED))
    h.reads.append(read(8, 40, 7, 8))


def go_back_in_a_session(h: History) -> None:
    h.reads.append(read(3, 50, 1, 2))


def read_stale_after_a_sync(h: History) -> None:
    h.reads.append(read(5, 50, 2, 4, client=2))
    h.reads[-1].synced_from = 45


def expire_a_session(h: History) -> None:
    h.expired.append(0xAB)


def give_a_name_twice(h: History) -> None:
    h.sequentials[1].path = "/s-0000000001"


def count_back(h: History) -> None:
    h.sequentials[1].path = "/s-0000000000"


@pytest.mark.parametrize(
    ("hurt", "word"),
    [
        (lose_a_write, "a write is gone"),
        (answer_with_an_older_zxid, "sent after"),
        (use_a_zxid_twice, "two writes at 0x4"),
        (ignore_the_version, "another version was expected"),
        (read_an_old_state, "where 0x4 is the last write"),
        (read_the_future, "read /k of 0x6 at 0x4"),
        (read_what_nobody_wrote, "nobody's"),
        (read_what_was_refused, "never written"),
        (go_back_in_a_session, "is told 0x3 after 0x5"),
        (read_stale_after_a_sync, "after a sync"),
        (expire_a_session, "session 0xab expired"),
        (give_a_name_twice, "given twice"),
        (count_back, "had been given"),
    ],
)
def test_a_wrong_history_is_found(hurt: Callable[[History], None], word: str) -> None:
    hurt_one = history()
    hurt(hurt_one)
    assert any(word in line for line in check_history(hurt_one)), check_history(hurt_one)


def test_a_stale_sync_is_no_violation_where_syncs_are_not_confirmed() -> None:
    stale = history()
    read_stale_after_a_sync(stale)
    assert check_history(stale, sync_is_linearizable=False) == []


@pytest.mark.parametrize(
    ("tree", "word"),
    [
        ({KEY: znode(2, 4), **sequentials()}, "version 2 after 3 acknowledged"),
        ({KEY: znode(4, 8), **sequentials()}, "version 4 after 3 acknowledged"),
        ({KEY: znode(3, 4), **sequentials()}, "acknowledged 0x6"),
        ({**sequentials()}, "/k is gone"),
        ({KEY: znode(3, 6)}, "/s-0000000001 was acknowledged and is gone"),
    ],
)
def test_a_final_tree_that_lacks_something_is_found(tree: Tree, word: str) -> None:
    assert any(word in line for line in check_final(history(), tree, [KEY]))


def test_an_unknown_write_may_be_there_or_not() -> None:
    unsure = history()
    unsure.writes.append(write(0, 35, 4, Outcome.UNKNOWN))
    assert check_final(unsure, {KEY: znode(3, 6), **sequentials()}, [KEY]) == []
    assert check_final(unsure, {KEY: znode(4, 8), **sequentials()}, [KEY]) == []


def test_ephemerals_stay_with_their_sessions_and_go_with_them() -> None:
    h = history()
    h.ephemerals["/e"] = 7
    tree = {KEY: znode(3, 6), **sequentials()}
    assert any("is gone" in line for line in check_final(h, tree, [KEY]))
    tree["/e"] = znode(0, 9, owner=8)
    assert any("belongs to 0x8" in line for line in check_final(h, tree, [KEY]))
    assert len(check_no_ephemerals({"server 1": tree})) == 1


def test_different_trees_are_found() -> None:
    tree = {KEY: znode(3, 6)}
    assert check_equal({"server 1": tree, "server 2": dict(tree)}) == []
    assert len(check_equal({"server 1": tree, "server 2": {KEY: znode(3, 5)}})) == 1
    assert len(check_equal({"server 1": tree, "server 2": {**tree, "/x": znode(0, 7)}})) == 1
