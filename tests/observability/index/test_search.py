"""Searches: what is found, by whom, page by page, and what never is."""

import time
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser

from observability.index import leads, substrings, suggest, write
from observability.index import search as searching
from observability.index.query import QueryError, parse
from observability.index.rows import Found
from observability.index.scope import Scope, of_ensemble, of_tenant
from observability.index.search import Page, search
from observability.models import Lease, Source, Znode
from observability.store import LEASE, source_of
from tenants.models import Tenant
from tests.console.cast import make_cast, make_tenant

pytestmark = pytest.mark.django_db(databases=["default", "observed"])

NOW_MS = int(time.time() * 1_000)
OURS, THEIRS = "/tenants/payments", "/tenants/orders"


@pytest.fixture
def cast() -> dict[str, AbstractBaseUser]:
    return make_cast()


@pytest.fixture
def tenant(cast: dict[str, AbstractBaseUser]) -> Tenant:
    made = make_tenant(cast)
    Tenant.objects.create(
        slug="orders", ensemble=made.ensemble, plan=made.plan, root=THEIRS, secret_paths=["/keys"]
    )
    return made


@pytest.fixture
def whole(cast: dict[str, AbstractBaseUser], tenant: Tenant) -> Scope:
    """The ensemble, for an operator."""
    return of_ensemble(cast["olga"], tenant.ensemble)


@pytest.fixture
def own(cast: dict[str, AbstractBaseUser], tenant: Tenant) -> Scope:
    """The tenant, for one of its viewers."""
    return of_tenant(cast["bob"], tenant)


def fill(*found: tuple[str, str], ensemble: str = "main", **more: Any) -> None:
    """Znodes with values, in the index."""
    Lease.objects.get_or_create(name=LEASE, defaults={"holder": "test", "term": 1})
    source = source_of(Source.Kind.INDEX, ensemble, "")
    if write.state_of(ensemble) is None or not write.state_of(ensemble).fill:  # type: ignore[union-attr]
        write.begin(1, source, "test")
    rows = [
        Found(path, at, NOW_MS, size=len(text), text=text, **{"is_closed": False, **more})
        for at, (path, text) in enumerate(found, 1)
    ]
    write.add(1, source, rows, "/", "x")


def ask(text: str, scope: Scope, **options: Any) -> Page:
    return search(parse(text), scope, **options)


def paths(text: str, scope: Scope, **options: Any) -> list[str]:
    return [hit.path for hit in ask(text, scope, **options).hits]


def test_words_are_parts_of_path_or_value_and_the_best_comes_first(whole: Scope) -> None:
    fill(
        ("/app/value", "the Timeout is 7"),
        ("/app/timeout/x", ""),
        ("/app/my-timeout", ""),
        ("/timeout", ""),
        ("/other", "nothing"),
    )
    ordered = ["/timeout", "/app/my-timeout", "/app/timeout/x", "/app/value"]
    assert paths("TIMEOUT", whole) == ordered
    assert paths("timeout in:value", whole) == ["/app/value"]
    assert paths("timeout in:path", whole) == ordered[:3]
    assert paths("timeout app", whole) == ordered[1:]
    assert paths('"timeout is 7"', whole) == ["/app/value"]
    assert paths("ti", whole, limit=1) == ordered[:1], "too short for trigrams, and found"
    hit = ask("timeout is", whole).hits[0]
    assert [(one.text, one.is_hit) for one in hit.value][:2] == [("the ", False), ("Timeout", True)]


def test_filters(whole: Scope) -> None:
    fill(("/a/b/x.json", "x" * 20_000), ("/a-b/y.json", "1"), ("/a/b", "2"))
    fill(("/locks/l-1", ""), owner="0x7")
    Znode.objects.filter(path="/a-b/y.json").update(at=NOW_MS - 7_200_000)
    assert paths("path:/a/b", whole) == ["/a/b", "/a/b/x.json"]
    assert paths("path:*/y*", whole) == ["/a-b/y.json"]
    assert paths("name:*.json", whole) == ["/a-b/y.json", "/a/b/x.json"]
    assert paths("name:b", whole) == ["/a/b"]
    assert paths("size:>10k", whole) == ["/a/b/x.json"]
    assert paths("size:0", whole) == ["/locks/l-1"]
    assert paths("ephemeral:yes", whole) == ["/locks/l-1"]
    assert paths("changed:>1h", whole) == ["/a-b/y.json"]
    assert len(paths("changed:<1h", whole)) == 3
    assert paths("json size:<1k", whole) == ["/a-b/y.json"]
    assert paths("/y\\.j.on|^l-/", whole) == ["/a-b/y.json"]
    assert paths("/L-[0-9]$/ in:path", whole) == ["/locks/l-1"]


def test_a_regular_expression_is_looked_for_where_its_words_are(whole: Scope) -> None:
    fill(("/a", "timeout=30ms"), ("/b", "timeout=xms"), ("/c", "other=30ms"))
    found = ask("/timeout=\\d+/", whole)
    assert [hit.path for hit in found.hits] == ["/a"]
    assert [one.text for one in found.hits[0].value if one.is_hit] == ["timeout=30"]
    assert ask("/timeout=.0/", whole).looked_at == 2, "trigrams have left out the third"


def test_a_tenant_finds_nothing_outside_its_root(own: Scope, whole: Scope) -> None:
    fill(
        (f"{OURS}/secret-plan", "needle"),
        (f"{THEIRS}/secret-plan", "needle"),
        ("/tenants/paymentsx/secret-plan", "needle"),
        ("/outside", "needle"),
    )
    assert paths("needle", own) == ["/secret-plan"]
    assert paths("path:/", own) == ["/secret-plan"]
    assert paths("name:*plan", own) == ["/secret-plan"]
    assert paths("changed:<1h", own) == ["/secret-plan"]
    assert paths("/needle/", own) == ["/secret-plan"]
    for outer in ("tenants", "payments", "orders", f"path:{THEIRS}", "path:/../orders"):
        assert paths(outer, own) == [], f"{outer}: the root's own name is not the tenant's"
    with pytest.raises(QueryError, match="whole ensemble"):
        paths("needle tenant:orders", own)
    facets = ask("needle", own)
    assert facets.tenants == []
    assert [one.label for one in facets.subtrees] == ["/secret-plan"]
    assert len(paths("needle", whole)) == 4
    assert paths("needle tenant:orders", whole) == [f"{THEIRS}/secret-plan"]
    assert paths("needle tenant:nobody", whole) == []


def test_a_cursor_leads_nowhere_else(own: Scope) -> None:
    fill(*((f"{OURS}/n{n}", "") for n in range(5)), (f"{THEIRS}/n9", ""))
    first = search(parse("path:/ size:0"), own, limit=2)
    assert first.cursor
    for cursor in ("p.", "p.L3RlbmFudHMvYQ==", "p.Ly4uL29yZGVycw=="):
        assert all(hit.path.startswith("/n") for hit in ask("path:/", own, cursor=cursor).hits)
    for cursor in ("x", "i.1", "t.1.2", "o.x", "o.99999", "o.-1", "i." + "9" * 40):
        with pytest.raises(QueryError, match="cursor is"):
            ask("path:/", own, cursor=cursor)


def test_auditors_find_values_as_they_read_them_and_without_the_right_nobody_does(
    cast: dict[str, AbstractBaseUser], tenant: Tenant
) -> None:
    fill((f"{OURS}/a", "hunter2"), (f"{OURS}/hunter", ""))
    for scope in (of_tenant(cast["ada"], tenant), of_ensemble(cast["ada"], tenant.ensemble)):
        assert {path.rpartition("/")[2] for path in paths("hunter", scope)} == {"hunter", "a"}
        scope = replace(scope, sees_values=False)
        assert [path.rpartition("/")[2] for path in paths("hunter", scope)] == ["hunter"]
        assert paths("/hunter2/", scope) == []
        assert ask("name:a", scope).hits[0].value == []
        with pytest.raises(QueryError, match="may read values"):
            ask("hunter in:value", scope)


def test_a_path_that_was_marked_secret_a_moment_ago_tells_nothing(
    own: Scope, cast: dict[str, AbstractBaseUser], tenant: Tenant
) -> None:
    fill((f"{OURS}/keys/db", "hunter2"), (f"{THEIRS}/keys/db", "hunter2"))
    assert paths("hunter2", own) == ["/keys/db"]
    tenant.secret_paths = ["/keys"]
    tenant.save()
    for scope in (of_tenant(cast["bob"], tenant), of_ensemble(cast["olga"], tenant.ensemble)):
        assert paths("hunter2", scope) == []
        assert {hit.why for hit in ask("name:db", scope).hits} == {"secret"}


def test_what_an_acl_closes_is_found_by_those_alone_whom_acls_do_not_stop(
    cast: dict[str, AbstractBaseUser], tenant: Tenant
) -> None:
    fill((f"{OURS}/open", "needle"))
    fill((f"{OURS}/closed", "needle"), is_closed=True)
    fill((f"{OURS}/unknown", "needle"), is_closed=None)
    seen = {
        name: paths("needle", of_tenant(cast[name], tenant))
        for name in ("alice", "dan", "bob", "ada", "olga")
    }
    everything = ["/closed", "/open", "/unknown"]
    assert seen == {
        "alice": everything,
        "olga": everything,
        "dan": ["/open"],
        "bob": ["/open"],
        "ada": ["/open"],
    }
    assert len(paths("needle", of_ensemble(cast["olga"], tenant.ensemble))) == 3
    whole = of_ensemble(cast["ada"], tenant.ensemble)
    assert paths("needle", whole) == [f"{OURS}/open"]
    assert ask("name:closed", whole).hits[0].why == "acl", "the path is known"


def test_pages_follow_each_other_without_gap_and_twice(whole: Scope) -> None:
    many = [(f"/n/{n:04}", "word") for n in range(searching.GATHER + 150)]
    fill(*many)
    for text in ("word", "path:/n", "size:4", "changed:<1d"):
        seen: list[str] = []
        cursor = ""
        for _ in range(40):
            page = ask(text, whole, limit=100, cursor=cursor)
            seen += [hit.path for hit in page.hits]
            cursor = page.cursor
            if not cursor:
                break
        assert sorted(seen) == [path for path, _ in many], text
    few = ask("0001 0 n", whole, limit=1)
    assert few.is_all
    assert few.total == 1
    ranked = ask("word path:/n/000", whole)
    assert ranked.hits == []


def test_ranked_hits_are_paged_too(whole: Scope) -> None:
    fill(*((f"/n/{n:03}", "word") for n in range(25)))
    first = ask("word", whole, limit=10)
    second = ask("word", whole, limit=10, cursor=first.cursor)
    third = ask("word", whole, limit=10, cursor=second.cursor)
    assert (first.is_all, first.total, third.cursor) == (True, 25, "")
    assert [hit.path for page in (first, second, third) for hit in page.hits] == [
        f"/n/{n:03}" for n in range(25)
    ]


def test_facets_narrow_a_search(whole: Scope) -> None:
    fill((f"{OURS}/a", "w"), (f"{OURS}/b", "w"), (f"{THEIRS}/a", "w"), ("/big one/x", "w"))
    page = ask("w", whole)
    assert [(one.label, one.count) for one in page.tenants] == [("payments", 2), ("orders", 1)]
    assert [(one.label, one.add) for one in page.subtrees] == [
        ("/tenants", "path:/tenants"),
        ("/big one", 'path:"/big one"'),
    ]
    for facet in (*page.tenants, *page.subtrees):
        assert len(paths(f"w {facet.add}", whole)) == facet.count


def test_long_paths_odd_names_and_other_ensembles(whole: Scope) -> None:
    long = "/deep" + "/0123456789" * 90 + "/needle"
    fill((long, ""), ("/\u202egnp.exe", ""), ("/a%b_c", ""), ("/Straße", "ÄÖ"))
    fill(("/needle", ""), ensemble="other")
    assert paths("needle", whole) == [long]
    assert paths(f"path:{long[:700]}", whole) == []
    assert paths(f"path:{long.rpartition('/')[0]}"[:499], whole) == []
    assert paths("a%b_c", whole) == ["/a%b_c"]
    assert paths("a_b%c", whole) == []
    assert paths("straße äö", whole) == ["/Straße"]
    assert paths("gnp", whole) == ["/\u202egnp.exe"]


def test_suggestions_complete_a_path_level_by_level(own: Scope, whole: Scope) -> None:
    fill(
        (f"{OURS}/app", ""),
        (f"{OURS}/app-2/x", ""),
        (f"{OURS}/app/one", ""),
        (f"{OURS}/app/two/deep", ""),
        (f"{THEIRS}/app/theirs", ""),
    )
    assert suggest.paths("/", own) == ["/app", "/app-2"]
    assert suggest.paths("/ap", own)[:2] == ["/app", "/app-2"]
    assert suggest.paths("/app/", own)[:2] == ["/app/one", "/app/two"]
    assert suggest.paths("deep", own) == ["/app/two/deep"]
    assert suggest.paths("theirs", own) == []
    assert suggest.paths("/tenants/", own) == []
    assert suggest.paths("/tenants/", whole)[:2] == [THEIRS, OURS]
    assert suggest.paths("x", own) == []
    assert len(suggest.paths("/tenants/payments/app", whole, most=2)) == 2


def test_many_siblings_below_one_do_not_slow_suggestions(whole: Scope) -> None:
    fill(*((f"/a/{n:04}", "") for n in range(2_000)), ("/b", ""))
    assert suggest.paths("/", whole) == ["/a", "/b"]


def test_without_trigrams_the_same_is_found(whole: Scope, monkeypatch: Any) -> None:
    fill(("/a", "needle"), ("/b", "hay"))
    monkeypatch.setattr(substrings, "are_there", lambda: False)
    assert paths("needle", whole) == ["/a"]


def test_a_search_says_how_far_it_got(whole: Scope, monkeypatch: Any) -> None:
    monkeypatch.setattr(searching, "CANDIDATES_MAX", 100)
    monkeypatch.setattr(leads, "CANDIDATES_MAX", 100)
    fill(*((f"/n{n:03}", "hay") for n in range(250)), ("/z", "needle in hay"))
    found, cursor, looks = [], "", 0
    while True:
        page = ask("/needle/ hay", whole, cursor=cursor)
        found += [hit.path for hit in page.hits]
        looks += 1
        cursor = page.cursor
        if not cursor:
            break
        assert not page.is_all
    assert found == ["/z"]
    assert looks <= 3


def test_a_scan_that_runs_out_of_time_goes_on_where_it_was(whole: Scope, monkeypatch: Any) -> None:
    monkeypatch.setattr(leads, "SCAN_IDS", 10)
    fill(*((f"/n{n:03}", "") for n in range(35)), ("/zz", "1234567"))
    found, cursor, looks = [], "", 0
    while looks == 0 or cursor:
        page = search(parse("size:7"), whole, cursor=cursor, within_s=0.0)
        found += [hit.path for hit in page.hits]
        cursor, looks = page.cursor, looks + 1
    assert found == ["/zz"]
    assert looks == 4


def test_an_empty_search_is_refused(whole: Scope) -> None:
    with pytest.raises(QueryError, match="nothing to look for"):
        ask(" ", whole)
    with pytest.raises(QueryError, match="limit is 0"):
        ask("a", whole, limit=0)
