"""The audit page: search, facets, timeline, one line with what it changed, saved searches."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from observability import timeline as lines
from observability.asked import Asked, read_time, written
from observability.models import Trail
from observability.timeline import timeline
from observability.trail import Query
from tenants.audit import PLANE, Actor, record
from tenants.models import AuditEvent, SavedSearch, Tenant
from tests.console.cast import SLUG
from tests.console.plane.conftest import Go, text_of
from tests.console.plane.test_collected import old
from tests.observability.people import NOON_MS, add, entry, make_tenant
from tests.observability.test_history import ROOT, Feed, feed, line

__all__ = ["feed", "old"]
pytestmark = pytest.mark.django_db(databases=["default", "observed"])
OWN = f"/tenants/{SLUG}/audit"
EVIL = "<script>alert(1)</script>\u202e"


def number_of(path: str) -> int:
    return Trail.objects.get(path=path).pk


# The timeline


def at(second: int) -> int:
    return NOON_MS + second * 1_000


def test_bars_count_every_line_between_their_edges() -> None:
    add(*(entry(n) for n in range(600)))
    query = Query(since_ms=at(0), until_ms=at(600))
    for asked in (query, Query(tenant="payments", since_ms=at(0), until_ms=at(600)),
                  Query(path="/tenants", since_ms=at(0), until_ms=at(600))):  # fmt: skip
        found = timeline(asked, bars=6)
        assert [bar.count for bar in found.bars] == [100] * 6
        assert found.known_from is None
        assert (found.bars[0].since_ms, found.bars[-1].until_ms) == (at(0), at(600))
        edges = zip(found.bars, found.bars[1:], strict=False)
        assert all(a.until_ms == b.since_ms for a, b in edges)


def test_a_timeline_without_times_goes_from_the_first_line_to_now() -> None:
    add(*(entry(n) for n in range(10)), entry(20, operation="delete"))
    found = timeline(Query())
    assert found.since_ms == at(0)
    assert abs(found.until_ms - time.time() * 1_000) < 60_000
    assert found.total == 11
    assert timeline(Query(operation="delete")).since_ms == at(20)
    nothing = timeline(Query(operation="nobody"))
    assert nothing.total == 0
    assert nothing.since_ms < nothing.until_ms


def test_what_is_counted_has_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "EACH_MAX", 50)
    monkeypatch.setattr(lines, "ROWS_MAX", 50)
    add(*(entry(n) for n in range(200)))
    times: dict[str, Any] = {"since_ms": at(0), "until_ms": at(200)}
    capped = timeline(Query(**times), bars=2)
    assert [(bar.count, bar.is_more) for bar in capped.bars] == [(50, True), (50, True)]
    rows = timeline(Query(path="/tenants", **times), bars=4)
    assert [bar.count for bar in rows.bars] == [0, 0, 0, 50]
    assert rows.known_from == at(150)


def test_a_tenants_timeline_holds_its_own_lines_since_it_was_made() -> None:
    payments = make_tenant(born=datetime.fromtimestamp(NOON_MS / 1_000 + 5, UTC))
    add(*(entry(n) for n in range(10)), entry(7, tenant="orders"))
    assert timeline(Query(), tenant=payments).total == 5
    assert timeline(Query(tenant="orders"), tenant=payments).total == 5
    assert timeline(Query(path="/n7"), tenant=payments).total == 1


# What the address asks for


def test_addresses_lead_to_more_less_and_else() -> None:
    asked = Asked({"person": "app@payments", "failed": "1"})
    assert asked.address(operation="setData") == "?person=app%40payments&failed=1&operation=setData"
    assert asked.less("person") == "?failed=1"
    assert [words for _, words, _ in asked.chips] == ["app@payments", "refused or failed"]
    assert read_time({"since": written(NOON_MS)}, "since") == NOON_MS
    assert read_time({"since": "2026-11-21T12:00"}, "since") == NOON_MS


@pytest.mark.parametrize(
    "wrong",
    [
        "since=yesterday", "until=2026-13-01", "span=5y", "zxid=abc", "cursor=x",
        "since=2026-11-21T12:00&until=2026-11-21T11:00", "since=0001-01-01T00:00",
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_named_and_not_dropped(wrong: str, go: Go, old: Tenant) -> None:
    add(entry(0, tenant=SLUG))
    name = wrong.split("=")[0]
    for who, where in (("ada", "/audit"), ("bob", OWN)):
        answer = go(who, f"{where}?{wrong}")
        if wrong.startswith("since=0001"):
            assert answer.status_code in (200, 422)
            continue
        page = text_of(answer)
        assert 'role="alert"' in page
        assert name in page or "exchange from and before" in page
        assert answer.status_code == (422 if who == "ada" else 200)


# The page


def test_facets_and_bars_are_links_that_narrow(go: Go, old: Tenant) -> None:
    add(
        *(entry(n, tenant=SLUG, path=f"{ROOT}/a{n}") for n in range(20)),
        entry(30, tenant=SLUG, path=f"{ROOT}/gone", operation="delete", principal="operator:olga"),
        entry(40, tenant="orders", path="/tenants/orders/theirs", principal="app@orders"),
    )
    page = text_of(go("bob", OWN))
    assert "21 lines" in page
    assert 'href="/tenants/payments/audit?operation=delete"' in page
    assert "theirs" not in page
    assert "app@orders" not in page
    narrowed = text_of(go("bob", f"{OWN}?operation=delete"))
    assert 'aria-current="true"' in narrowed
    assert "/gone" in narrowed
    assert "/a1<" not in narrowed
    bars = [bar.replace("&amp;", "&") for bar in re.findall(r'href="([^"]*since=[^"]*)"', page)]
    assert len(bars) >= 60
    assert "/a0<" in text_of(go("bob", bars[0]))
    assert "theirs" in text_of(go("ada", "/audit?tenant=orders"))
    hidden = text_of(go("ada", f"/audit?since={written(at(35))}&operation="))
    assert "theirs" in hidden
    assert "/gone" not in hidden
    assert "since_ms=" in hidden, "the export is of the same search"
    session = text_of(go("ada", "/audit?session=0x1&span=30d"))
    assert session.count("<script") <= page.count("<script")


def test_who_did_it_takes_three_clicks(go: Go, old: Tenant, feed: Feed) -> None:
    feed(
        line(1, "create", f"{ROOT}/config", b"port: 1\nhost: x\n", version=0),
        line(2, "setData", f"{ROOT}/config", b"port: 2\nhost: x\n", version=1),
    )
    add(entry(2, tenant=SLUG, path=f"{ROOT}/config", operation="setData", zxid=2, seq=7))
    listed = text_of(go("bob", f"{OWN}?path=/config"))
    link = re.search(r'href="(/tenants/payments/audit/line/\d+)"', listed)
    assert link is not None
    own = text_of(go("bob", link[1]))
    assert '<span class="gone">port: 1</span>' in own
    assert '<span class="new">port: 2</span>' in own
    assert "app@payments" in own
    assert "/tenants/payments/history?path=%2Fconfig&amp;zxid=0x2" in own
    part = text_of(go("bob", link[1], headers={"hx-request": "true"}))
    assert "<html" not in part
    number = link[1].rsplit("/", 1)[1]
    whole = text_of(go("olga", f"/audit/line/{number}"))
    assert '<span class="new">port: 2</span>' in whole
    assert f"{ROOT}/config" in whole
    reads = text_of(go("ada", f"/audit/line/{number}"))
    assert '<span class="new">port: 2</span>' in reads
    for who, page in (("ada", reads), ("bob", own)):
        assert "Revert it" not in page, f"{who} does not write"
    assert "Revert it" in text_of(go("dan", link[1]))


def test_a_line_of_somebody_else_is_not_there(go: Go, old: Tenant) -> None:
    born = int(old.created_at.timestamp() * 1_000)
    add(
        entry(0, tenant="orders", path="/tenants/orders/x"),
        entry(1, tenant=SLUG, path=f"{ROOT}/mine", is_foreign=True, principal="operator:olga"),
        entry((born - NOON_MS) // 1_000 - 5, tenant=SLUG, path=f"{ROOT}/before", seq=3),
    )
    for path in ("/tenants/orders/x", f"{ROOT}/before"):
        assert go("bob", f"{OWN}/line/{number_of(path)}").status_code == 404
    mine = text_of(go("bob", f"{OWN}/line/{number_of(f'{ROOT}/mine')}"))
    assert "10.0.0.9" not in mine, "what others did in it: who and what, no address"
    assert go("bob", f"/audit/line/{number_of(f'{ROOT}/mine')}").status_code == 403
    assert go("carol", f"{OWN}/line/1").status_code == 404
    for nobody in ("999999999", "9" * 40):
        assert go("ada", f"/audit/line/{nobody}").status_code == 404


def test_a_search_is_saved_by_and_for_one_person(go: Go, old: Tenant) -> None:
    save = {"name": "refused writes", "query": "failed=1&operation=setData&nonsense=1", "of": ""}
    saved = go("ada", "/searches/save", save, follow=True)
    page = text_of(saved)
    assert "refused writes" in page
    made = SavedSearch.objects.get()
    assert made.query == "operation=setData&failed=1", "only what a search is made of"
    assert 'class="saved"' in page
    assert 'class="saved"' not in text_of(go("olga", "/audit"))
    assert AuditEvent.objects.get(verb="search.saved").actor == "ada"
    assert go("olga", f"/searches/{made.pk}/remove", {}).status_code == 404
    go("ada", "/searches/save", save | {"query": "person=eve"})
    assert SavedSearch.objects.get().query == "person=eve", "the same name is replaced"
    assert go("bob", "/searches/save", save).status_code == 403
    own = {**save, "of": SLUG, "query": "path=/a&tenant=orders", "name": EVIL}
    assert go("carol", "/searches/save", own).status_code == 404
    page = text_of(go("bob", "/searches/save", own, follow=True))
    assert "<script>alert" not in page
    assert SavedSearch.objects.get(tenant=SLUG).query == "path=%2Fa"
    empty = text_of(go("ada", "/searches/save", save | {"name": ""}, follow=True))
    assert "required" in empty
    go("ada", f"/searches/{made.pk}/remove", {})
    assert not SavedSearch.objects.filter(tenant="").exists()


def test_searches_of_one_person_are_bounded(go: Go, old: Tenant) -> None:
    for n in range(50):
        SavedSearch.objects.create(user=old.memberships.get(role=3).user, tenant=SLUG, name=str(n))
    full = go("alice", "/searches/save", {"name": "x", "query": "", "of": SLUG}, follow=True)
    assert "no more are kept" in text_of(full)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ("", 3), ("tenant=orders", 1), ("person=alice", 1), ("operation=tenant.", 2),
        ("failed=1", 1), ("path=bo", 1), ("node=node1", 0), ("zxid=0x1", 0),
        ("session=0x1", 0), ("span=1h", 3),
        ("until=2026-01-01", 0), ("result=refused", 1),
    ],
)  # fmt: skip
def test_the_planes_own_rows_are_narrowed_by_the_same_words(
    asked: str, count: int, go: Go, cast: Any
) -> None:
    record(Actor(cast["alice"], "form"), "tenant.created", tenant="orders")
    record(PLANE, "tenant.deleted", target="x", result="refused")
    record(PLANE, "person.created", target="bob")
    page = text_of(go("ada", f"/audit?of=plane&{asked}"))
    assert page.count('<td class="number less">') == count
    assert go("ada", "/audit?of=plane&since=x").status_code == 422


def test_hostile_lines_do_nothing_on_either_page(go: Go, old: Tenant) -> None:
    short = EVIL[:20]
    add(
        entry(0, tenant=SLUG, path=f"/{EVIL}", principal=EVIL, operation=EVIL, node=EVIL,
              result=EVIL, session=short, address=EVIL, is_asked=True, detail='{"a": "\u202e"}'),
    )  # fmt: skip
    pk = Trail.objects.get().pk
    for who, where in (("ada", "/audit"), ("bob", OWN)):
        for page in (text_of(go(who, where)), text_of(go(who, f"{where}/line/{pk}"))):
            assert "<script>alert" not in page
            assert "\u202e" not in page
            assert "‹U+202E›" in page


def test_the_verdict_says_what_it_proves_and_what_it_does_not(go: Go, old: Tenant) -> None:
    from observability.models import Segment

    Segment.objects.create(ensemble="main", node="node1", lines=5)
    page = text_of(go("ada", "/audit"))
    for words in ("every chain holds", "What it does not", "ensemble audit verify &lt;folder&gt;"):
        assert words in page, words
