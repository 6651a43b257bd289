"""Every page of the admin plane, for everybody who may see it; what hostile names do there."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.templatetags.plane import away, in_bytes, plain, plain_lines
from tenants.audit import PLANE, record
from tenants.models import Ensemble, Invitation, Plan, Publication, Request, Tenant
from tests.console.cast import SLUG
from tests.console.plane.conftest import Go, text_of

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
OF_TENANT = ["", "credentials", "members", "settings", "audit", "history", "history?path=/a"]
EVERYBODY = ["/tenants/", "/new", "/new/slug?slug=a", "/requests", "/plans", "/tokens"]
AUDITORS = ["/ensembles", "/ensembles/main/", "/audit"]
OPERATORS = ["/plans/new", "/plans/of/cast", "/ensembles/new", f"/tenants/{SLUG}/steer"]
EVIL = "<script>alert(1)</script>\u202e\x07\u200b\u2066 &amp; ' \""


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("carol", EVERYBODY),
        *((name, [*EVERYBODY, *OF_TENANT]) for name in ("bob", "dan", "alice")),
        ("ada", [*EVERYBODY, *OF_TENANT, *AUDITORS]),
        ("olga", [*EVERYBODY, *OF_TENANT, *AUDITORS, *OPERATORS]),
    ],
)
def test_every_page_comes_for_whom_it_is(
    name: str, pages: list[str], go: Go, tenant: Tenant
) -> None:
    for page in pages:
        where = page if page.startswith("/") else f"/tenants/{SLUG}/{page}"
        answer = go(name, where)
        assert answer.status_code == 200, where
        if page != "/new/slug?slug=a":
            assert "unsafe" not in answer["Content-Security-Policy"]
            assert ' style="' not in text_of(answer), f"{where}: the policy would not apply it"


@pytest.mark.parametrize("name", ["carol", "dan", "bob", "ada"])
def test_pages_offer_only_what_the_person_may_do(name: str, go: Go, tenant: Tenant) -> None:
    if name == "carol":
        assert go(name, f"/tenants/{SLUG}/").status_code == 404
        assert SLUG not in text_of(go(name, "/tenants/"))
        return
    settings, members = (text_of(go(name, f"/tenants/{SLUG}/{p}")) for p in ("settings", "members"))
    for words in (f"/tenants/{SLUG}/delete", f"/tenants/{SLUG}/mode", f"/tenants/{SLUG}/steer"):
        assert words not in settings
    assert "Make a link" not in members
    credentials = text_of(go(name, f"/tenants/{SLUG}/credentials"))
    assert ("New credential" in credentials) is (name == "dan")
    assert 'value="admin"' not in credentials, "credentials of role admin are for owners"


@pytest.fixture
def hostile(tenant: Tenant, cast: dict[str, AbstractBaseUser]) -> Tenant:
    """Everything that somebody may write is as bad as it can be."""
    Tenant.objects.update(
        title=EVIL[:100], state="suspended", state_reason=EVIL, secret_paths=[f"/{EVIL}"]
    )
    Plan.objects.update(title=EVIL[:100], description=EVIL)
    Ensemble.objects.update(title=EVIL[:100])
    Publication.objects.update(status="failed", error=EVIL, nodes={"node1": EVIL})
    alice = cast["alice"]
    Request.objects.create(
        kind="plan", slug=SLUG, title=EVIL, purpose=EVIL, plan=tenant.plan,
        ensemble=tenant.ensemble, tenant=tenant, asked_by=alice,
    )  # fmt: skip
    Invitation.objects.create(
        tenant=tenant, role=1, note=EVIL, secret_hash="x",
        expires_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    tenant.credentials.create(name="app", role="writer", subjects=[EVIL])
    record(PLANE, "tenant.described", tenant=tenant, target=EVIL, detail={EVIL: EVIL})
    alice.username = EVIL
    alice.save()
    return tenant


@pytest.mark.parametrize("name", ["bob", "olga"])
def test_hostile_names_are_shown_and_do_nothing(name: str, go: Go, hostile: Tenant) -> None:
    pages = [*EVERYBODY, *(f"/tenants/{SLUG}/{page}" for page in OF_TENANT)]
    if name == "olga":
        pages += [*AUDITORS, *OPERATORS]
    seen = 0
    for page in pages:
        text = text_of(go(name, page))
        assert "<script>alert" not in text, page
        # A field of a form shows what is kept, as it is; elsewhere nothing hides or turns the text.
        text = re.sub(r"<textarea.*?</textarea>|<input[^>]*>", "", text, flags=re.S)
        for sign in "\u202e\x07\u200b\u2066":
            assert sign not in text, f"{page}: {sign!r}"
        seen += "‹U+202E›" in text
    assert seen >= 5


def test_an_empty_page_says_what_to_do(go: Go) -> None:
    page = text_of(go("carol", "/tenants/"))
    assert "You have no tenant yet" in page
    assert 'href="/new"' in page
    assert "There is no ensemble that takes tenants" in text_of(go("carol", "/new"))


def test_a_thousand_tenants_are_searched_filtered_sorted_and_paged(
    go: Go, tenant: Tenant, cast: Any
) -> None:
    made = Tenant.objects.bulk_create(
        Tenant(
            slug=f"t{n:04}", title=f"Team {n}", ensemble=tenant.ensemble, plan=tenant.plan,
            root=f"/tenants/t{n:04}", state="suspended" if n % 100 == 0 else "active",
        )
        for n in range(1_000)
    )  # fmt: skip
    Publication.objects.bulk_create(
        Publication(tenant=one, status="failed" if n % 250 == 0 else "applied")
        for n, one in enumerate(made)
    )
    first = text_of(go("olga", "/tenants/"))
    assert first.count('<th scope="row">') == 50
    assert "1 to 50 of 1001" in first
    last = text_of(go("olga", "/tenants/?page=21"))
    assert last.count('<th scope="row">') == 1
    assert "1001 to 1001" not in first
    assert ">t0777<" in text_of(go("olga", "/tenants/?q=Team+777"))
    assert text_of(go("olga", "/tenants/?state=suspended")).count('<th scope="row">') == 10
    assert text_of(go("olga", "/tenants/?state=failed")).count('<th scope="row">') == 4
    assert "No tenant fits" in text_of(go("olga", "/tenants/?q=nobody"))
    backwards = text_of(go("olga", "/tenants/?sort=-slug"))
    assert backwards.index("t0999") < backwards.index("t0998")
    for nonsense in ("?page=x", "?page=-1", "?page=99999", "?sort=x", "?state=x", "?plan=x"):
        assert go("olga", f"/tenants/{nonsense}").status_code == 200
    part = text_of(go("olga", "/tenants/?q=Team+5", headers={"hx-request": "true"}))
    assert "<html" not in part
    assert ">t0005<" in part
    back = {"hx-request": "true", "hx-history-restore-request": "true"}
    assert "<html" in text_of(go("olga", "/tenants/?q=Team+5", headers=back))
    with CaptureQueriesContext(connection) as queries:
        go("olga", "/tenants/")
    shown = [query["sql"][:90] for query in queries]
    assert len(queries) <= 16, f"a page's queries do not grow with its lines: {shown}"


def test_the_trail_is_paged_by_number_and_a_tenants_people_see_its_own(
    go: Go, tenant: Tenant
) -> None:
    for n in range(60):
        record(PLANE, "tenant.described", tenant=tenant, target=f"own-{n}")
        record(PLANE, "plan.changed", target=f"other-{n}")
    first = text_of(go("ada", "/audit"))
    assert "other-59" in first
    assert "own-30" not in first
    assert "own-30" in text_of(go("ada", "/audit?before=71"))
    assert "other" not in text_of(go("bob", f"/tenants/{SLUG}/audit"))
    assert "own-5" in text_of(go("bob", f"/tenants/{SLUG}/audit?before=20"))
    assert "plan.changed" not in text_of(go("ada", "/audit?operation=tenant"))
    assert go("ada", "/audit?before=99999999999999999999999").status_code == 200
    assert "Nothing" in text_of(go("ada", "/audit?tenant=none"))
    assert go("ada", "/audit?cursor=x").status_code == 422


def test_values_are_shown_in_words() -> None:
    assert [in_bytes(n) for n in (0, 1023, 1024, 10_000_000, 1 << 40)] == [
        "0 bytes", "1023 bytes", "1 KiB", "9.54 MiB", "1,024 GiB",
    ]  # fmt: skip
    assert in_bytes(None) == "–"
    assert plain_lines("a\u202eb\nc") == "a‹U+202E›b\nc"
    assert plain("a\u202eb\n") == "a‹U+202E›b‹U+000A›"
    now = timezone.now()
    assert away(now + timedelta(days=2, seconds=5)) == "in 2 days"
    assert away(now - timedelta(hours=1, seconds=5)) == "1 hour ago"
    assert away(None) == ""


@pytest.mark.parametrize("name", ["alice", "olga"])
def test_every_id_is_one_and_every_label_has_its_field(name: str, go: Go, hostile: Tenant) -> None:
    hostile.credentials.create(name="other", role="writer")
    pages = [*EVERYBODY, *(f"/tenants/{SLUG}/{page}" for page in OF_TENANT)]
    for page in pages + (OPERATORS + AUDITORS if name == "olga" else []):
        text = text_of(go(name, page))
        ids = re.findall(r'\sid="([^"]*)"', text)
        assert len(set(ids)) == len(ids), (
            f"{page}: {sorted(one for one in ids if ids.count(one) > 1)}"
        )
        for wanted in re.findall(r'<label[^>]*\sfor="([^"]*)"', text):
            assert wanted in ids, f"{page}: {wanted}"
