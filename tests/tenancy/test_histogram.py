"""The log-linear histogram against the values themselves."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.tenancy.histogram import PER_POWER, SIZE, Histogram, bucket_of, bucket_top

VALUES = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=200)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value, 1)
    return histogram


def test_buckets_follow_one_another_without_a_gap() -> None:
    for index in range(SIZE - 1):
        assert bucket_of(bucket_top(index)) == index
        assert bucket_of(bucket_top(index) + 1) == index + 1
    assert bucket_top(0) == 0


def test_what_is_longer_than_the_last_bucket_is_in_it() -> None:
    assert bucket_of(1 << 60) == SIZE - 1
    assert bucket_top(SIZE - 1) >= 2_000_000_000, "half an hour and more"


@given(st.integers(0, (1 << 31) - 1))
def test_a_value_is_known_to_an_eighth(value: int) -> None:
    top = bucket_top(bucket_of(value))
    assert value <= top <= value + value // PER_POWER


@given(VALUES)
def test_count_sum_and_max_are_exact(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert (histogram.count, histogram.sum, histogram.max) == (
        len(values),
        sum(values),
        max(values),
    )
    assert sum(n for _, n in histogram.sparse()) == len(values)


@given(VALUES, VALUES)
def test_merging_is_the_same_as_recording_all(left: list[int], right: list[int]) -> None:
    merged = histogram_of(left)
    merged.merge(histogram_of(right))
    whole = histogram_of(left + right)
    assert merged.sparse() == whole.sparse()
    assert (merged.count, merged.sum, merged.max) == (whole.count, whole.sum, whole.max)


@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_not_exceeded_by_its_share(values: list[int], q: float) -> None:
    found = histogram_of(values).quantile(q)
    assert sum(1 for value in values if value <= found) >= q * len(values) - 1e-9
    assert found <= max(values)


def test_an_empty_one_and_negative_values_are_no_trouble() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.99) == 0
    histogram.add(-5, 2)
    assert (histogram.count, histogram.sum, histogram.max) == (2, 0, 0)
    histogram.add(1_000, 3)
    assert histogram.below(1_000) == 5
    assert histogram.below(10) == 2
