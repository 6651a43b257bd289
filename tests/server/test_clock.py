"""The clock that stands still while the server does."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.server.clock import GAP_COUNTED_MAX_MS, ServingClock


def test_a_clock_that_is_read_often_tells_the_time() -> None:
    clock = ServingClock()
    for now in range(5_000_000, 5_100_000, 500):
        assert clock.now_ms(now) == now


def test_F17_a_pause_counts_as_one_gap_only() -> None:
    clock = ServingClock()
    clock.now_ms(5_000)
    assert clock.now_ms(65_000) == 5_000 + GAP_COUNTED_MAX_MS
    assert clock.away_ms == 60_000 - GAP_COUNTED_MAX_MS
    assert clock.now_ms(65_500) == 5_500 + GAP_COUNTED_MAX_MS, "and then it goes on"


@given(st.lists(st.integers(0, 5_000), min_size=1))
def test_it_never_goes_back_nor_faster_than_time(gaps: list[int]) -> None:
    clock = ServingClock()
    real = 1_000
    last = clock.now_ms(real)
    for gap in gaps:
        real += gap
        now = clock.now_ms(real)
        assert 0 <= now - last <= min(gap, GAP_COUNTED_MAX_MS)
        last = now
