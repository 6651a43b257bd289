"""Checker B: what can be explained passes, what cannot is found, and the search has an end."""

import pytest

from ensemble.wire import codes
from tests.sim import linearizable
from tests.sim.history import History, Op
from tests.sim.linearizable import Call, Undecided, check_linearizable, is_linearizable

STAT = (0,) * 11


def call(
    kind: str, start: int, end: int | None, version: int | None = None, **more: object
) -> Call:
    """`version`: that of the stat in the answer."""
    op = Op(kind, 0, 1, 1, 1, b"/k", start, **more)  # type: ignore[arg-type]
    if end is not None:
        op.done_us = end
    if version is not None:
        op.stat = (*STAT[:4], version, *STAT[5:])
    return Call(op, start, end)


def test_one_after_the_other_passes() -> None:
    calls = [
        call("create", 0, 1, data=b"a"),
        call("set", 2, 3, 1, data=b"b"),
        call("get", 4, 5, 1, value=b"b"),
        call("delete", 6, 7),
        call("get", 8, 9, error=codes.NO_NODE),
    ]
    assert is_linearizable(calls)


def test_a_read_of_the_past_is_found() -> None:
    calls = [
        call("create", 0, 1, data=b"a"),
        call("set", 2, 3, 1, data=b"b"),
        call("get", 4, 5, 0, value=b"a"),
    ]
    assert not is_linearizable(calls)


def test_a_lost_write_is_found() -> None:
    calls = [
        call("create", 0, 1, data=b"a"),
        call("set", 2, 3, 1, data=b"b"),
        call("set", 4, 5, 1, data=b"c"),
    ]
    assert not is_linearizable(calls)


def test_calls_that_overlap_have_any_order() -> None:
    calls = [
        call("create", 0, 1, data=b"a"),
        call("set", 2, 9, 2, data=b"b"),
        call("set", 3, 8, 1, data=b"c"),
        call("get", 4, 5, 1, value=b"c"),
    ]
    assert is_linearizable(calls)


def test_a_call_without_an_answer_may_have_happened_at_any_later_time() -> None:
    begin = [call("create", 0, 1, data=b"a"), call("set", 2, None, data=b"b")]
    assert is_linearizable([*begin, call("get", 8, 9, 1, value=b"b")])
    assert is_linearizable([*begin, call("get", 8, 9, 0, value=b"a")])
    assert not is_linearizable([*begin, call("get", 8, 9, 2, value=b"b")])


def test_a_call_without_an_answer_happens_once() -> None:
    calls = [
        call("create", 0, 1, data=b"a"),
        call("delete", 2, None),
        call("create", 4, 5, data=b"c"),
        call("get", 6, 7, error=codes.NO_NODE),
    ]
    assert not is_linearizable(calls)


def test_a_condition_that_did_not_hold_is_found() -> None:
    calls = [call("create", 0, 1, data=b"a"), call("set", 2, 3, 1, data=b"b")]
    calls[1].op.version = 5
    assert not is_linearizable(calls)


def test_a_refusal_must_have_its_reason() -> None:
    assert not is_linearizable([call("create", 0, 1, error=codes.NODE_EXISTS)])
    assert is_linearizable(
        [call("create", 0, 5, data=b""), call("create", 1, 6, error=codes.NODE_EXISTS)]
    )


def test_too_much_at_once_is_said_and_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizable, "STEPS_MAX", 10)
    calls = [call("create", 0, 1, data=b"")]
    calls += [call("set", 2, 99, 50 - at, data=b"%d" % at) for at in range(50)]
    with pytest.raises(Undecided):
        is_linearizable(calls)


def test_a_read_counts_only_behind_its_own_sync() -> None:
    """A read alone may be old; behind a sync it may not."""
    history = History()
    create = call("create", 0, 1, data=b"").op
    change = call("set", 2, 3, 1, data=b"b").op
    stale = call("get", 6, 7, 0, value=b"").op
    sync = Op("sync", 0, 1, 1, 1, b"/", 5, done_us=6)
    history.ops = [create, change, stale]
    assert check_linearizable(history, b"/k") == []
    history.ops = [create, change, sync, stale]
    assert check_linearizable(history, b"/k") != []
