"""The pages of searches: who finds what, hostile names, and what to do where nothing is found."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from console.plane_metrics import exposition
from observability.index import write
from observability.models import Lease, Source
from observability.store import source_of
from tenants.models import Tenant
from tests.console.cast import SLUG
from tests.console.plane.conftest import Go, text_of
from tests.observability.index.test_search import OURS, THEIRS, fill

pytestmark = pytest.mark.django_db(databases=["default", "observed"])

PAGE = f"/tenants/{SLUG}/search"
WHOLE = "/ensembles/main/search"
PART = {"HX-Request": "true"}


@pytest.fixture
def filled(tenant: Tenant) -> Tenant:
    fill(
        (f"{OURS}/config/app", "port: 2181\ntimeout: needle ms"),
        (f"{OURS}/needle", ""),
        (f"{OURS}/<b>\u202egpj", "<script>needle</script>\x1b[31m"),
        (f"{THEIRS}/needle", "theirs"),
        ("/outside/needle", "of nobody"),
    )
    return tenant


def rows(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["label"] for row in json.loads(answer.content)["rows"]]


def test_members_find_their_own_and_see_where(go: Go, filled: Tenant) -> None:
    page = text_of(go("bob", f"{PAGE}?q=needle"))
    assert "<b>3</b> znodes" in page
    assert f'href="/tenants/{SLUG}/znodes/at/config/app"' in page
    assert "<mark>needle</mark>" in page
    assert f'href="/tenants/{SLUG}/history?path=%2Fneedle"' in page
    for words in ("theirs", "outside", THEIRS, "indexed"):
        assert words not in page.split('id="results"')[1], words
    assert "follows every change" not in page, "there is no feed here"
    part = text_of(go("bob", f"{PAGE}?q=needle", headers=PART))
    assert "<html" not in part
    assert "<mark>needle</mark>" in part


def test_names_and_values_of_others_are_text(go: Go, filled: Tenant) -> None:
    page = text_of(go("bob", f"{PAGE}?q=needle in:value"))
    assert "&lt;script&gt;<mark>needle</mark>&lt;/script&gt;‹U+001B›[31m" in page
    assert "/&lt;b&gt;‹U+202E›gpj" in page
    assert "<b>\u202e" not in page
    echoed = text_of(go("bob", f'{PAGE}?q="><script>alert(1)</script>'))
    assert "<script>alert" not in echoed


def test_auditors_and_operators_search_whole_ensembles(go: Go, filled: Tenant) -> None:
    assert "2181" in text_of(go("ada", f"{PAGE}?q=needle"))
    whole = text_of(go("ada", f"{WHOLE}?q=needle"))
    assert "/outside/" in whole
    assert go("ada", f"{WHOLE}?q=nobody in:value").status_code == 200
    every = text_of(go("olga", f"{WHOLE}?q=needle"))
    assert 'href="/ensembles/main/znodes/at/outside/needle"' in every
    assert "5 znodes are indexed" in every
    assert f'href="/tenants/{SLUG}/history?path=%2Fneedle"' in every
    assert "tenant%3Apayments" in every
    assert go("alice", WHOLE).status_code == 403
    assert go("olga", "/ensembles/none/search").status_code == 404
    assert go("carol", f"{PAGE}?q=needle").status_code == 404


def test_everywhere_is_what_somebody_sees(go: Go, filled: Tenant) -> None:
    mine = text_of(go("bob", "/search?q=needle"))
    assert f'href="{PAGE}?q=needle"' in mine
    assert "outside" not in mine
    assert "/outside/" in text_of(go("olga", "/search?q=needle"))
    nobody = text_of(go("carol", "/search?q=needle"))
    assert "Nothing like that" in nobody
    assert "There is nothing to search" in text_of(go("carol", "/search"))
    assert "no znode" not in text_of(go("bob", "/search?q=zzz", headers=PART)).lower()[:20]


def test_what_is_wrong_is_said_and_what_to_write_is_shown(go: Go, filled: Tenant) -> None:
    answer = go("bob", f"{PAGE}?q=size:huge")
    assert answer.status_code == 422
    assert "write it as in size:&gt;10k" in text_of(answer)
    assert go("bob", f"{PAGE}?q=a&cursor=x").status_code == 422
    assert go("bob", f"{PAGE}?q={'a' * 2_000}").status_code == 422
    assert go("bob", "/search?q=size:huge", headers=PART).status_code == 422
    empty = text_of(go("bob", PAGE))
    assert "changed:&lt;1h" in empty
    assert "Nothing like that" in text_of(go("bob", f"{PAGE}?q=zzz"))


def test_how_fresh_it_is_and_what_it_does_not_know(go: Go, filled: Tenant) -> None:
    assert "No collector is at work" in text_of(go("bob", PAGE))
    Lease.objects.update(until=1 << 50)
    page = text_of(go("olga", f"{WHOLE}?q=needle"))
    assert "not complete yet" in page
    assert "read for the first time: 5 znodes so far" in page
    assert "so far" not in text_of(go("bob", PAGE))
    source = source_of(Source.Kind.INDEX, "main", "")
    write.walked(1, source)
    write.sweep(1, source)
    page = text_of(go("olga", WHOLE))
    assert "as of <time" in page
    assert "read anew every 15 minutes" in page


def test_an_index_that_lacks_its_key_is_neither_a_silent_node_nor_a_gap_in_the_trail(
    go: Go, filled: Tenant
) -> None:
    Source.objects.filter(kind="index").update(
        problem="no key", looked_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    Lease.objects.update(until=1 << 50)
    assert "no key" not in text_of(go("ada", "/audit"))
    assert 'kind="index"' not in exposition().decode()
    assert "no key" in text_of(go("olga", f"{WHOLE}?q=needle"))
    assert "no key" not in text_of(go("bob", f"{PAGE}?q=needle"))


def test_more_than_a_page_goes_on(go: Go, tenant: Tenant) -> None:
    fill(*((f"{OURS}/n{n:03}", "word") for n in range(70)))
    first = text_of(go("bob", f"{PAGE}?q=word"))
    assert first.count('class="hit"') == 50
    more = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert text_of(go("bob", f"{PAGE}{more}")).count('class="hit"') == 20


def test_suggestions_are_of_what_somebody_may_open(go: Go, filled: Tenant) -> None:
    ask = "/search/suggest?q="
    assert rows(go("bob", f"{ask}/con&scope=tenant:{SLUG}")) == ["/config", "/config/app"]
    assert rows(go("bob", f"{ask}needle&scope=tenant:{SLUG}")) == ["/needle"]
    assert rows(go("olga", f"{ask}/out&scope=ensemble:main")) == ["/outside", "/outside/needle"]
    assert go("carol", f"{ask}a&scope=tenant:{SLUG}").status_code == 404
    assert go("bob", f"{ask}a&scope=ensemble:main").status_code == 403
    assert go("olga", f"{ask}a&scope=what").status_code == 404
    assert rows(go("bob", ask)) == []
    assert rows(go("bob", f"{ask}pay")) == [SLUG, "pay"]
    assert rows(go("carol", f"{ask}pay")) == ["pay"], "which leads to a search of everything"
    assert rows(go("bob", f"{ask}peop&pages=1")) == ["peop"]
    assert rows(go("ada", f"{ask}peop&pages=1")) == ["People", "peop"]
    assert "alice" in rows(go("olga", f"{ask}ali"))
    assert "main" in rows(go("olga", f"{ask}main"))
    assert "/config" in rows(go("bob", f"{ask}/"))
    assert rows(go("bob", f"{ask}gpj")) == ["/<b>‹U+202E›gpj", "gpj"]
    assert "/outside/needle" in rows(go("olga", f"{ask}needle"))
    assert "/outside/needle" not in rows(go("bob", f"{ask}needle"))
