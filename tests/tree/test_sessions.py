"""Session expiry: rounded up to ticks, renewed by requests, decided once."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.tree.sessions import SessionTracker

TICK = 2_000


def tracker_with(session_id: int, timeout_ms: int, now_ms: int) -> SessionTracker:
    tracker = SessionTracker(TICK)
    tracker.add(session_id, timeout_ms, now_ms)
    return tracker


def test_a_session_lives_its_timeout_and_at_most_one_tick_more() -> None:
    """client.md 3.5: expiry instants are rounded up to the next multiple of tickTime."""
    tracker = tracker_with(1, 4_000, 10_500)
    assert tracker.expire(14_500) == []
    assert tracker.expire(15_999) == []
    assert tracker.expire(16_000) == [1]


def test_an_expired_session_is_handed_out_once_and_cannot_be_renewed() -> None:
    tracker = tracker_with(1, 4_000, 0)
    session = tracker.get(1)
    assert session is not None
    assert tracker.expire(10_000) == [1]
    assert session.closing
    tracker.touch(session, 10_001)
    assert tracker.expire(1_000_000) == []


def test_a_request_renews_a_session() -> None:
    tracker = tracker_with(1, 4_000, 0)
    session = tracker.get(1)
    assert session is not None
    tracker.touch(session, 3_999)
    assert tracker.expire(7_999) == []
    assert tracker.expire(8_000) == [1]


def test_a_shorter_timeout_never_moves_an_expiry_to_an_earlier_tick() -> None:
    """A re-attached session with a smaller timeout keeps what it had been promised."""
    tracker = tracker_with(1, 30_000, 0)
    tracker.add(1, 4_000, 100)
    assert tracker.expire(31_999) == []
    assert tracker.expire(32_000) == [1]


def test_a_session_that_closes_does_not_expire() -> None:
    tracker = tracker_with(1, 4_000, 0)
    session = tracker.get(1)
    assert session is not None
    tracker.set_closing(session)
    assert tracker.expire(100_000) == []
    tracker.remove(1)
    assert len(tracker) == 0


def test_removing_twice_or_the_unknown_is_harmless() -> None:
    """A closeSession may be applied twice."""
    tracker = tracker_with(1, 4_000, 0)
    tracker.remove(1)
    tracker.remove(1)
    tracker.remove(99)
    assert tracker.expire(100_000) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "touch", "remove", "expire"]), st.integers(1, 5)),
        max_size=60,
    ),
    st.lists(st.integers(0, 3_000), min_size=60, max_size=60),
)
def test_buckets_agree_with_a_table_of_deadlines(
    steps: list[tuple[str, int]], pauses: list[int]
) -> None:
    """I13: against the obvious model, no session expires early and none is forgotten."""
    tracker = SessionTracker(TICK)
    deadlines: dict[int, int] = {}
    closing: set[int] = set()
    now = 0
    for (step, session_id), pause in zip(steps, pauses, strict=False):
        now += pause
        deadline = ((now + 4_000) // TICK + 1) * TICK
        session = tracker.get(session_id)
        if step == "add" and session_id not in closing:
            tracker.add(session_id, 4_000, now)
            deadlines[session_id] = max(deadline, deadlines.get(session_id, 0))
        elif step == "touch" and session is not None and session_id not in closing:
            tracker.touch(session, now)
            deadlines[session_id] = max(deadline, deadlines[session_id])
        elif step == "remove":
            tracker.remove(session_id)
            deadlines.pop(session_id, None)
            closing.discard(session_id)
        elif step == "expire":
            due = {s for s, d in deadlines.items() if d <= now and s not in closing}
            assert set(tracker.expire(now)) == due
            closing |= due
        held = [s for bucket in tracker.buckets.values() for s in bucket]
        assert sorted(held) == sorted(set(deadlines) - closing)
