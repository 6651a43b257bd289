"""Samples in their tables: rolled up, asked for, pruned."""

import time

import pytest

from observability import series
from observability.samples import table
from observability.series import SeriesError
from tests.observability.people import make_tenant
from tests.observability.test_totals import account, totals

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


def fill(one: int, first: int, last: int, usage: dict[str, int] | None = None) -> None:
    """A sample a second: so many reads as its last digit, one write."""
    for at in range(first, last + 1):
        made = totals(account([100 * (at % 10 + 1)] * (at % 10), 1))
        table.write(1, [table.row_of(one, at, 1, made, usage or {"znodes": at % 60})])


def test_rolled_up_samples_are_the_sum_of_their_seconds() -> None:
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    begin = 1_800_000_000
    fill(one, begin, begin + 129)
    for _ in range(2):  # doing it twice changes nothing
        table.roll_up(10, [one], begin, begin + 129)
        table.roll_up(60, [one], begin, begin + 129)
    tens, minutes = (table.read(res, one, begin, begin + 200) for res in (10, 60))
    assert [sample.at - begin for sample in tens] == list(range(9, 130, 10))
    assert [sample.at - begin for sample in minutes] == [59, 119]
    for coarse, width in ((tens, 10), (minutes, 60)):
        for sample in coarse:
            fine = table.read(1, one, sample.at - width + 1, sample.at)
            assert sample.span == len(fine) == width
            assert sample.totals.counts == [
                sum(column) for column in zip(*(s.totals.counts for s in fine), strict=True)
            ]
            reads = sum(s.totals.classes[0].count for s in fine if 0 in s.totals.classes)
            assert sample.totals.classes[0].count == reads
            assert sum(sample.totals.classes[0].buckets.values()) == reads
            assert sample.usage == fine[-1].usage


def test_a_window_that_has_not_ended_is_not_rolled_up() -> None:
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    begin = 1_800_000_000
    fill(one, begin, begin + 14)
    table.roll_up(10, [one], begin, begin + 14)
    assert [sample.at for sample in table.read(10, one, begin, begin + 99)] == [begin + 9]


def test_a_series_has_rates_and_quantiles_of_all_its_requests() -> None:
    tenant = make_tenant()
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    now = int(time.time())
    begin = (now - 200) // 10 * 10
    fill(one, begin, begin + 99)
    table.roll_up(10, [one], begin, begin + 99)
    found = series.of_tenant(tenant, begin, begin + 99, points=10)
    assert [point.span for point in found.points] == [10] * 10
    point = found.points[0]
    assert point.rates["requests"] == 5.5
    assert point.classes["read"].count == 45
    assert 700 <= point.classes["read"].p50_us <= 900
    assert point.classes["read"].p99_us <= 1_151
    assert found.resolution == 10
    fine = series.of_tenant(tenant, begin, begin + 99, points=50)
    assert fine.resolution == 1
    assert [p.span for p in fine.points] == [2] * 50
    nothing = series.of_node("main", "node9", begin, now)
    assert nothing.points == []


def test_a_row_for_many_seconds_is_no_peak() -> None:
    tenant = make_tenant()
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    now = int(time.time())
    made = totals(account([5] * 600))
    table.write(1, [table.row_of(one, now - 50, 300, made, {})])
    (point,) = series.of_tenant(tenant, now - 100, now).points
    assert point.rates["requests"] == 2.0


def test_usage_stands_beside_its_limits() -> None:
    tenant = make_tenant(overrides={"znodes": 100})
    assert series.usage(tenant).at == 0
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    now = int(time.time())
    table.write(1, [table.row_of(one, now - 3, 1, totals(account([5] * 20)), {"znodes": 25})])
    found = series.usage(tenant)
    assert found.used["znodes"] == 25
    assert found.limits["znodes"] == 100
    assert found.shares["znodes"] == 0.25
    assert found.rates["requests"] == 2.0


def test_the_costliest_come_first() -> None:
    ids = table.make_series("main", "tenant", ["a", "b", "c"])
    at = int(time.time()) // 10 * 10 - 1
    for name, reads in (("a", 10), ("b", 30), ("c", 0)):
        table.write(10, [table.row_of(ids[name], at, 10, totals(account([5] * reads)), {})])
    found = series.top("main", by="requests")
    assert [(cost.tenant, cost.rates["requests"]) for cost in found] == [("b", 3.0), ("a", 1.0)]
    assert found[0].share == 0.75
    with pytest.raises(SeriesError, match="by is 'size'; use one of busy"):
        series.top("main", by="size")


def test_what_is_too_old_goes_by_its_resolution() -> None:
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    now = 1_800_000_000
    for resolution, kept in table.KEEP_S.items():
        for age in (kept + 60, kept - 60):
            made = totals(account([1]))
            table.write(resolution, [table.row_of(one, now - age, 1, made, {})])
    assert table.prune([one], now) == len(table.KEEP_S)
    for resolution, kept in table.KEEP_S.items():
        left = table.read(resolution, one, 0, now)
        assert [now - sample.at for sample in left] == [kept - 60]


@pytest.mark.parametrize(
    ("since", "until", "points", "said"),
    [(5, 4, 10, "since 5 is not before"), (0, 9, 0, "points is 0"), (0, 9, 1_001, "1 to 1000")],
)
def test_what_is_no_series_is_named(since: int, until: int, points: int, said: str) -> None:
    with pytest.raises(SeriesError, match=said):
        series.series("tenant", "main", "x", since, until, points)
