"""Searching the trail, and what a tenant's people see of it."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from observability import trail
from observability.export import lines_of
from observability.roots import Roots, inward, outward
from observability.trail import Query, QueryError, facets, search
from tests.observability.people import NOON_MS, add, entry, make_tenant

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


def paths(query: Query, **more: Any) -> list[str]:
    return [line.path for line in search(query, **more).lines]


def test_pages_go_backwards_in_time_without_loss_or_double() -> None:
    add(*(entry(at) for at in range(25)))
    add(*(entry(3, path=f"/tenants/payments/same{i}") for i in range(10)))  # the same instant
    found: list[str] = []
    cursor = ""
    while True:
        page = search(Query(tenant="payments"), limit=7, cursor=cursor)
        found += [line.path for line in page.lines]
        cursor = page.cursor
        if not cursor:
            break
    assert len(found) == len(set(found)) == 35
    assert found[0] == "/tenants/payments/n24"
    assert found[-1] == "/tenants/payments/n0"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"person": "app@payments"}, {"/a", "/a/b", "/a-b"}),
        ({"person": "olga"}, {"/a0", "c"}),
        ({"person": "operator:olga"}, {"/a0", "c"}),
        ({"path": "/a"}, {"/a", "/a/b"}),
        ({"path": "/a/"}, {"/a", "/a/b"}),
        ({"path": "/"}, {"/a", "/a/b", "/a-b", "/a0", "c"}),
        ({"operation": "delete"}, {"/a/b"}),
        ({"result": "NoAuth"}, {"/a-b"}),
        ({"result": "Ok", "operation": "create"}, {"/a"}),
        ({"failed": True}, {"/a-b"}),
        ({"node": "node2"}, {"/a-b"}),
        ({"origin": "plane"}, {"c"}),
        ({"zxid": 2}, {"/a/b"}),
        ({"since_ms": NOON_MS + 2_000}, {"/a-b", "/a0", "c"}),
        ({"since_ms": NOON_MS + 1_000, "until_ms": NOON_MS + 3_000}, {"/a/b", "/a-b"}),
        ({"tenant": "orders"}, set()),
        ({"tenant": "payments", "person": "olga"}, {"c"}),
    ],
)
def test_every_filter_finds_what_it_names(query: dict[str, Any], expected: set[str]) -> None:
    add(
        entry(0, path="/a"),
        entry(1, path="/a/b", operation="delete"),
        entry(2, path="/a-b", result="NoAuth", node="node2", zxid=None),
        entry(3, path="/a0", tenant="", principal="operator:olga", operation="setData"),
        entry(4, path="c", origin="plane", principal="olga", operation="tenant.created", zxid=None),
    )
    assert set(paths(Query(**query))) == expected


def test_a_page_looks_at_so_many_rows_and_says_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "FEW", 5)
    monkeypatch.setattr(trail, "SCAN_MAX", 10)
    add(entry(0, operation="delete", result="NoAuth"))
    add(*(entry(at, operation="delete") for at in range(1, 30)))
    add(*(entry(at, result="NoAuth") for at in range(30, 60)))
    query = Query(operation="delete", result="NoAuth")
    page = search(query)
    assert page.is_cut
    assert page.lines == []
    assert page.looked_back_to == NOON_MS + 50_000
    found: list[str] = []
    pages = 0
    while page.cursor:
        page = search(query, cursor=page.cursor)
        found += [line.path for line in page.lines]
        pages += 1
    assert found == ["/tenants/payments/n0"]
    assert 2 <= pages <= 7


def test_a_tenants_people_see_its_lines_in_its_own_words() -> None:
    payments = make_tenant()
    add(
        entry(0, path="/tenants/payments"),
        entry(1, path="/tenants/payments/a/b"),
        entry(2, path="/zookeeper/quota/tenants/payments/a"),
        entry(3, path="/a", is_asked=True, result="NoAuth"),
        entry(4, tenant="orders", path="/tenants/orders/x", principal="app@orders"),
        entry(5, tenant="", path="/brokers", principal="operator:olga"),
        entry(6, is_foreign=True, principal="operator:olga", path="/tenants/payments/z"),
        entry(7, origin="plane", operation="member.added", path="bob", principal="olga"),
    )
    lines = {line.at - NOON_MS: line for line in search(Query(), tenant=payments).lines}
    assert [lines[at * 1_000].path for at in (0, 1, 2, 3)] == [
        "/",
        "/a/b",
        "/zookeeper/quota/a",
        "/a",
    ]
    assert 4_000 not in lines
    assert 5_000 not in lines
    assert lines[1_000].address == "10.0.0.9"
    foreign = lines[6_000]
    assert (foreign.path, foreign.principal) == ("/z", "operator:olga")
    assert (foreign.address, foreign.session) == ("", "")
    assert lines[7_000].address == ""
    # Whatever they ask for: another tenant's name, or a path outside, leads nowhere.
    assert paths(Query(tenant="orders"), tenant=payments) == paths(Query(), tenant=payments)
    assert paths(Query(path="/tenants/orders"), tenant=payments) == []
    assert paths(Query(path="/a"), tenant=payments) == ["/a/b"]


def test_a_name_that_was_given_anew_shows_nothing_of_who_had_it_before() -> None:
    born = datetime.fromtimestamp(NOON_MS / 1_000 + 5, UTC)
    payments = make_tenant(born=born)
    add(*(entry(at) for at in range(10)))
    found = paths(Query(since_ms=NOON_MS), tenant=payments)
    assert found == ["/n9", "/n8", "/n7", "/n6", "/n5"]


def test_facets_count_the_newest_rows() -> None:
    add(*(entry(at) for at in range(6)), entry(7, operation="delete", principal="operator:olga"))
    found = facets(Query(tenant="payments"))
    assert found.of == 7
    assert found.is_all
    assert found.counts["operation"] == [("create", 6), ("delete", 1)]
    assert found.counts["principal"] == [("app@payments", 6), ("operator:olga", 1)]


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".1", "1.2.3", "1" * 40 + ".1", "١.١"])
def test_a_cursor_that_is_none_is_named(cursor: str) -> None:
    with pytest.raises(QueryError, match="cursor is"):
        search(Query(), cursor=cursor)


def test_a_limit_has_its_bounds() -> None:
    with pytest.raises(QueryError, match="limit is 1001; use 1 to 1000"):
        search(Query(), limit=1001)


def test_exports_hold_every_line_and_no_formula() -> None:
    add(*(entry(at) for at in range(5)), entry(9, path="=1+1", is_asked=True))
    rows = list(csv.reader(io.StringIO(b"".join(lines_of(Query(), form="csv")).decode())))
    assert len(rows) == 7
    assert rows[1][rows[0].index("path")] == "'=1+1"
    assert rows[1][0] == "2026-11-21T12:00:09.000Z"
    found = [json.loads(raw) for raw in lines_of(Query(), form="jsonl")]
    assert [line["path"] for line in found][:2] == ["=1+1", "/tenants/payments/n4"]
    assert len(list(lines_of(Query(), form="jsonl", most=2))) == 2


def test_hostile_texts_are_kept_within_bounds() -> None:
    add(entry(0, path="/x" * 2_000, principal="p" * 900, operation="o\0p", address="\ud800"))
    (line,) = search(Query()).lines
    assert len(line.path) == 600
    assert line.detail["path"] == "/x" * 2_000
    assert line.operation == "o\\x00p"
    assert len(line.principal) == 500
    assert line.address == "\\ud800"


def test_a_path_belongs_to_the_tenant_whose_root_is_above_it() -> None:
    roots = Roots({"/tenants/a": "a", "/kafka": "k", "/deep/er/root": "d"})
    assert roots.tenant_of("/tenants/a") == "a"
    assert roots.tenant_of("/tenants/a/x/y") == "a"
    assert roots.tenant_of("/tenants/ab") == ""
    assert roots.tenant_of("/kafka/brokers") == "k"
    assert roots.tenant_of("/zookeeper/quota/kafka/brokers") == "k"
    assert roots.tenant_of("/deep/er") == ""
    assert roots.tenant_of("/deep/er/root") == "d"
    assert roots.tenant_of("") == ""
    for path in ("/", "/a/b", "/zookeeper/quota", "/zookeeper/quota/a"):
        assert inward("/kafka", outward("/kafka", path)) == path
    assert inward("/kafka", "/kafkaesque") is None
