"""When to ping and when to give up; client.md section 19."""

import pytest

from ensemble.client.liveness import Liveness


def test_a_ping_is_due_after_a_third_of_the_timeout_without_sending() -> None:
    liveness = Liveness(9.0, now=100.0)
    assert not liveness.must_ping(102.9)
    assert liveness.must_ping(103.0)
    liveness.spoke = 103.0
    assert not liveness.must_ping(105.9)


def test_pings_are_never_more_than_ten_seconds_apart() -> None:
    liveness = Liveness(120.0, now=0.0)
    assert liveness.must_ping(10.0)


def test_the_connection_is_dropped_after_two_thirds_of_silence() -> None:
    liveness = Liveness(9.0, now=0.0)
    liveness.due = 6.0
    assert not liveness.must_drop(5.9)
    assert liveness.must_drop(6.0)
    liveness.heard, liveness.due = 5.0, 11.0
    assert not liveness.must_drop(10.9)
    assert liveness.must_drop(11.0)


def test_a_server_that_was_asked_nothing_is_not_blamed_for_our_own_delay() -> None:
    """The loop was busy past the time of drop: a third of the timeout to answer a ping."""
    liveness = Liveness(9.0, now=0.0)
    assert liveness.next_check(0.0) == 3.0
    assert not liveness.must_drop(7.0)
    assert liveness.must_ping(7.0)
    liveness.spoke = 7.0
    assert liveness.next_check(7.0) == pytest.approx(3.0)
    assert not liveness.must_drop(9.9)
    assert liveness.must_drop(10.0)


def test_a_check_that_is_a_little_late_changes_nothing() -> None:
    liveness = Liveness(9.0, now=0.0)
    liveness.spoke = 3.0
    assert liveness.next_check(3.0) == pytest.approx(3.0)
    assert liveness.must_drop(8.9)


@pytest.mark.parametrize(
    ("spoke", "heard", "wait"), [(0.0, 0.0, 3.0), (2.0, 0.0, 5.0), (4.0, 0.0, 6.0), (9.0, 1.0, 7.0)]
)
def test_the_next_check_is_at_the_earlier_of_the_two(
    spoke: float, heard: float, wait: float
) -> None:
    liveness = Liveness(9.0, now=0.0)
    liveness.spoke, liveness.heard = spoke, heard
    assert liveness.next_check(0.0) == pytest.approx(wait)


def test_a_late_check_waits_no_negative_time() -> None:
    assert Liveness(9.0, now=0.0).next_check(50.0) == 0.0
