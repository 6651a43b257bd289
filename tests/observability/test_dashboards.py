"""Columns for charts: gaps where nobody looked, noughts where nothing happened."""

import time

import pytest

from ensemble.tenancy.accounting import READ
from observability import dashboards
from observability.dashboards import Newest, Subject
from observability.samples import table
from observability.samples.totals import Totals
from observability.series import SeriesError
from tests.observability.people import make_tenant
from tests.observability.test_totals import account, totals

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
SHOP = Subject("tenant", "main", "payments")
NOTHING = {"num_alive_connections": 3, "watch_count": 5, "znode_count": 9}


def seconds(name: str, first: int, last: int, reads: int = 0, kind: str = "node") -> int:
    """A row a second, as the collector writes of a node; of a tenant with so many reads."""
    one = table.make_series("main", kind, [name])[name]
    own = '{"num_alive_connections": 3, "watch_count": 5, "znode_count": 9}'
    rows = [
        table.row_of(
            *(one, at, 1, totals(account([1_000] * reads)), {"znodes": 7}),
            own if kind == "node" else "",
        )
        for at in range(first, last + 1)
    ]
    table.write(1, rows)
    return one


def test_a_time_in_which_nobody_looked_is_a_gap_and_an_idle_one_is_nought() -> None:
    begin = int(time.time()) - 100
    seconds("node1", begin, begin + 9)
    seconds("node1", begin + 20, begin + 29)
    seconds("payments", begin + 3, begin + 4, reads=8, kind="tenant")
    found = dashboards.columns(SHOP, begin, begin + 30, points=30)
    requests = found.values["requests"]
    assert found.step == 1
    assert requests[:6] == [0.0, 0.0, 0.0, 8.0, 8.0, 0.0]
    assert requests[10:20] == [None] * 10
    assert requests[20:] == [0.0] * 10
    reads = found.values["read.p99"]
    assert reads[3] is not None
    assert reads[5] is None, "a latency of no request is not nought"
    znodes = found.values["znodes"]
    assert znodes[3:10] == [7] * 7, "what there was lasts until somebody says something else"
    assert znodes[2] is None
    assert znodes[20] is None, "after a gap it is not known"


def test_a_bin_of_which_half_was_seen_has_the_rate_of_that_half() -> None:
    begin = (int(time.time()) - 200) // 10 * 10
    seconds("node1", begin, begin + 1)
    seconds("payments", begin, begin + 1, reads=6, kind="tenant")
    found = dashboards.columns(SHOP, begin, begin + 100, points=20)
    assert found.step == 5
    assert found.values["requests"][0] == 6.0


def test_a_row_for_many_seconds_is_no_peak() -> None:
    begin = (int(time.time()) - 600) // 10 * 10
    node = table.make_series("main", "node", ["node1"])["node1"]
    table.write(1, [table.row_of(node, begin + 300, 300, totals(account([5] * 600)), {}, "{}")])
    found = dashboards.columns(Subject("node", "main", "node1"), begin, begin + 400, points=400)
    assert found.values["requests"] == [None] + [2.0] * 300


def test_nodes_of_an_ensemble_are_added_up_where_that_says_something() -> None:
    begin = int(time.time()) - 50
    for name, reads in (("node1", 4), ("node2", 6)):
        seconds(name, begin, begin + 19, reads=reads)
    found = dashboards.columns(Subject("ensemble", "main"), begin, begin + 20, points=20)
    assert found.values["requests"][5] == 10.0
    assert found.values["connections"][5] == 6
    assert found.values["znodes"][5] == 9, "each of them has the same tree"


def test_what_is_not_rolled_up_yet_is_read_from_finer_samples() -> None:
    now = int(time.time())
    begin = (now - 1_800) // 60 * 60
    node = seconds("node1", begin, begin + 605)
    one = seconds("payments", begin, begin + 605, reads=2, kind="tenant")
    for resolution in (10, 60):
        table.roll_up(resolution, [one, node], begin, begin + 605)
    found = dashboards.columns(SHOP, begin, begin + 606, points=12)
    assert [value for value in found.values["requests"] if value is not None] == [2.0] * 11


def test_errors_come_by_code_also_from_rolled_up_samples() -> None:
    now = int(time.time())
    begin = (now - 300) // 10 * 10
    made = account([1_000] * 10)
    for code, times in ((-101, 3), (-102, 1), (-7_777, 1)):
        for _ in range(times):
            made.figures(READ).on_error(code)
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    table.write(1, [table.row_of(one, begin, 1, totals(made), {})])
    table.roll_up(10, [one], begin, begin + 9)
    for resolution in (1, 10):
        (sample,) = table.read(resolution, one, begin, begin + 9)
        assert sample.totals.classes[READ].codes == {-101: 3, -102: 1, -7_777: 1}
    values = dashboards.values_of(sample.totals, 1, {})
    assert values["code.NoNode"] == 3.0
    assert values["code.NoAuth"] == 1.0
    assert values["code.error -7777"] == 1.0
    assert "code.other" not in values
    nameless = Totals()
    nameless.counts[1] = 4
    assert dashboards.values_of(nameless, 2, {})["code.other"] == 2.0, "an older node names none"


def test_the_newest_second_is_told_once_and_of_the_idle_too() -> None:
    tenant = make_tenant()
    begin = int(time.time()) - 60
    seconds("node1", begin, begin + 10)
    seconds("payments", begin + 10, begin + 10, reads=5, kind="tenant")
    newest = Newest()
    watched = [
        dashboards.of_tenant(tenant),
        Subject("ensemble", "main"),
        Subject("node", "main", "x"),
    ]
    found = newest.look(watched)
    at, span, values = found[watched[0].key]
    assert (at, span) == (begin + 10, 1)
    assert values["requests"] == 5.0
    assert values["znodes"] == 7
    assert found["ensemble:main:"][2]["connections"] == 3
    assert newest.look(watched) == {}
    seconds("node1", begin + 11, begin + 13)
    at, span, values = newest.look(watched)[watched[0].key]
    assert (at, span) == (begin + 13, 3)
    assert values["requests"] == 0.0
    assert values["znodes"] == 7
    assert newest.look([]) == {}
    assert not newest.told, "what nobody follows is forgotten"


@pytest.mark.parametrize(
    ("since", "until", "points", "words"),
    [
        (10, 10, 10, "since 10 is not before until 10"),
        (-1, 10, 10, "since -1"),
        (0, 10, 0, "points is 0; use 1 to 1000"),
        (0, 10, 1_001, "points is 1001"),
        (0, 401 * 86_400, 10, "401 days are asked for; 400 are the most"),
    ],
)
def test_what_is_no_stretch_is_refused(since: int, until: int, points: int, words: str) -> None:
    with pytest.raises(SeriesError, match=words):
        dashboards.columns(SHOP, since, until, points)


def test_nothing_collected_and_times_to_come_are_empty() -> None:
    now = int(time.time())
    found = dashboards.columns(SHOP, now - 100, now)
    assert found.at == []
    assert found.values == {}
    assert dashboards.columns(SHOP, now + 100, now + 200).at == []


def test_one_of_apaches_tells_how_many_requests_and_how_long_on_average() -> None:
    begin = int(time.time()) - 50
    one = table.make_series("main", "node", ["apache"])["apache"]
    made = Totals()
    made.counts[0] = 30
    own = '{"avg_latency": 1.5, "num_alive_connections": true, "znode_count": "many"}'
    table.write(1, [table.row_of(one, begin, 1, made, {}, own)])
    found = dashboards.columns(Subject("node", "main", "apache"), begin, begin + 10, points=10)
    assert found.values["other.rate"][0] == 30.0
    assert found.values["latency_avg"][0] == 1.5
    assert "connections" not in found.values, "what is no number is not drawn"
