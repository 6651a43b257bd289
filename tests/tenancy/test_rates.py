"""Token buckets: a rate holds over any time, at any rate (trust.md D6)."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.tenancy.rates import RATE_MAX, Rates
from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.shares import Split
from ensemble.tenancy.spec import ACTIVE, ENFORCE, NO_LIMIT, OBSERVE, Limits, TenantSpec

SECOND_US = 1_000_000
INT64_MAX = (1 << 63) - 1
ANY_RATE = st.one_of(st.integers(-2, 20), st.integers(0, INT64_MAX), st.just(RATE_MAX))


def rates(requests: int = NO_LIMIT, writes: int = NO_LIMIT, size: int = NO_LIMIT) -> Rates:
    made = Rates()
    made.use(requests, writes, size)
    return made


@given(rate=st.integers(1, 5_000), gaps=st.lists(st.integers(0, 50_000), max_size=300))
def test_no_span_of_time_lets_more_through_than_the_rate_and_one_burst(
    rate: int, gaps: list[int]
) -> None:
    limited = rates(requests=rate)
    now_us = 0
    passed: list[int] = []
    for gap_us in gaps:
        now_us += gap_us
        if limited.admits(now_us, 0, 40):
            passed.append(now_us)
    burst = rate / 10 + 1
    for first, begin in enumerate(passed):
        for last in range(first, len(passed)):
            span_us = passed[last] - begin
            assert (last - first + 1) <= burst + span_us * rate / SECOND_US + 1e-6


@given(rate=st.integers(1, 300))
def test_who_keeps_asking_gets_the_whole_rate(rate: int) -> None:
    limited = rates(requests=rate)
    step_us = 10_000  # how often those who wait are looked at
    passed = 0
    for now_us in range(0, 5 * SECOND_US, step_us):
        while limited.admits(now_us, 0, 0):
            passed += 1
    burst = rate / 10 + 1
    assert rate * 5 * 0.99 - 1 <= passed <= rate * 5 + burst


@given(
    requests=ANY_RATE,
    writes=ANY_RATE,
    size=ANY_RATE,
    steps=st.lists(
        st.tuples(st.integers(0, INT64_MAX), st.integers(0, INT64_MAX), st.integers(0, INT64_MAX)),
        max_size=30,
    ),
)
def test_D6_no_rate_and_no_time_overflows_a_bucket(
    requests: int, writes: int, size: int, steps: list[tuple[int, int, int]]
) -> None:
    limited = rates(requests, writes, size)
    for now_us, count, length in steps:
        limited.admits(now_us, count, length)
        limited.sent(length)
        for bucket in (limited.requests, limited.writes, limited.bytes):
            assert -(1 << 62) < bucket.level <= bucket.burst <= (RATE_MAX // 10 + 1) * 10**6
            assert bucket.rate <= RATE_MAX


def test_zero_is_a_limit_and_nothing_passes() -> None:
    for limited, writes in [(rates(requests=0), 0), (rates(size=0), 0), (rates(writes=0), 1)]:
        for now_us in (0, SECOND_US, 100 * SECOND_US):
            assert not limited.admits(now_us, writes, 1)


def test_no_limit_holds_nothing() -> None:
    free = rates()
    assert not free.is_limited
    assert all(free.admits(0, 1, 1 << 20) for _ in range(100_000))


def test_reads_pass_where_only_writes_are_exhausted() -> None:
    limited = rates(requests=1_000, writes=1)
    assert limited.admits(0, 1, 10)
    assert not limited.admits(0, 1, 10)
    assert limited.admits(0, 0, 10)
    assert limited.admits(SECOND_US, 1, 10)


def test_what_is_refused_has_taken_nothing() -> None:
    limited = rates(requests=10, writes=1)
    assert limited.admits(0, 1, 0)
    assert not limited.admits(0, 1, 0)
    before = (limited.requests.level, limited.writes.level)
    assert not limited.admits(0, 1, 0)
    assert (limited.requests.level, limited.writes.level) == before


def test_a_request_larger_than_the_bucket_passes_and_is_paid_for_afterwards() -> None:
    limited = rates(size=1_000)
    assert limited.admits(0, 0, 5_000)
    assert not limited.admits(4 * SECOND_US, 0, 1)
    assert limited.admits(5 * SECOND_US + 1, 0, 1)


def test_replies_count_as_bytes() -> None:
    limited = rates(size=1_000)
    assert limited.admits(0, 0, 1)
    limited.sent(2_100)
    assert not limited.admits(2 * SECOND_US - 1_000, 0, 1)
    assert limited.admits(2 * SECOND_US + 1_000, 0, 1)


def test_the_operations_of_a_multi_count_as_writes() -> None:
    limited = rates(writes=100)
    assert limited.admits(0, 110, 0)
    assert not limited.admits(SECOND_US - 1, 1, 0)
    assert limited.admits(SECOND_US, 1, 0)


def test_a_clock_that_goes_back_adds_nothing() -> None:
    limited = rates(requests=1)
    assert limited.admits(10 * SECOND_US, 0, 0)
    assert not limited.admits(0, 0, 0)
    assert not limited.admits(10 * SECOND_US, 0, 0)
    assert limited.admits(11 * SECOND_US, 0, 0)


def document(mode: int, weight: int, limits: Limits) -> TenantSpec:
    return TenantSpec("a", b"/tenants/a", ACTIVE, mode, weight, limits, [], {}, False, 0)


def test_a_new_document_changes_weight_and_rates_at_once() -> None:
    tenant = Tenant(document(ENFORCE, 100, Limits(requests_per_second=1)), Split())
    assert tenant.rates.admits(0, 0, 0)
    assert not tenant.rates.admits(0, 0, 0)
    tenant.use(document(ENFORCE, 700, Limits()))
    assert tenant.flow.weight == 700
    assert tenant.rates.admits(0, 0, 0)


def test_mode_observe_limits_nothing() -> None:
    tenant = Tenant(
        document(OBSERVE, 100, Limits(requests_per_second=0, bytes_per_second=0)), Split()
    )
    assert tenant.rates.admits(0, 1, 1)
