"""What the collector brings, on the plane's pages: usage, cost, the trail, the history."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from observability.models import Segment
from observability.samples import table
from observability.samples.node import USAGE
from observability.samples.totals import COUNTS, Totals
from tenants.models import Tenant
from tests.console.cast import SLUG
from tests.console.plane.conftest import Go, text_of
from tests.observability.people import NOON_MS, add, entry
from tests.observability.test_history import ROOT, Feed, closed, feed, line

__all__ = ["feed"]
pytestmark = pytest.mark.django_db(databases=["default", "observed"])
HISTORY = f"/tenants/{SLUG}/history"


@pytest.fixture
def old(tenant: Tenant) -> Tenant:
    """The cast's tenant, made before anything was collected."""
    made = datetime.fromtimestamp(NOON_MS / 1_000 - 3_600, UTC)
    Tenant.objects.update(created_at=made)
    tenant.refresh_from_db()
    return tenant


def test_the_lists_show_what_is_used_and_who_costs_most(go: Go, old: Tenant) -> None:
    limits = {"znodes": 20, "bytes": 1 << 20}
    old.plan.limits = limits
    old.plan.save()
    Tenant.objects.create(slug="quiet", ensemble=old.ensemble, plan=old.plan, root="/tenants/quiet")
    ids = table.make_series("main", "tenant", [SLUG, "quiet"])
    usage = dict.fromkeys(USAGE, 0) | {"znodes": 19, "bytes": 2_048}
    busy = Totals()
    busy.counts[COUNTS.index("busy_us")] = 50_000
    window = int(time.time()) // 10 * 10 - 1
    # Both windows that a ranking may look at, so that no tick of the clock between them matters.
    for at in (window - 10, window, window + 10):
        table.write(10, [table.row_of(ids[SLUG], at, 10, busy, usage)])
    table.write(60, [table.row_of(ids["quiet"], window, 60, Totals(), usage | {"znodes": 3})])
    page = text_of(go("olga", "/tenants/?sort=cost"))
    assert "<b>19</b> of 20" in page
    assert "<b>3</b> of 20" in page, "the coarser samples know who was quiet for long"
    assert "<b>2 KiB</b> of 1 MiB" in page
    assert '<td class="number">5.0</td>' in page
    assert page.index(f">{SLUG}<") < page.index(">quiet<")
    mine = text_of(go("bob", "/tenants/"))
    assert "<b>19</b> of 20" in mine
    assert "Cost" not in mine


def test_the_trail_is_searched_by_everybody_within_what_they_may_see(go: Go, old: Tenant) -> None:
    add(
        *(entry(n, seq=n, tenant=SLUG, path=f"{ROOT}/own-{n}") for n in range(60)),
        entry(61, seq=61, tenant="orders", path="/tenants/orders/theirs"),
        entry(62, seq=62, tenant=SLUG, path=f"{ROOT}/refused", result="NoAuth"),
    )
    first = text_of(go("ada", "/audit"))
    assert "theirs" in first
    assert "own-59" in first
    assert "own-1<" not in first
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "own-1<" in text_of(go("ada", f"/audit{older}"))
    own = text_of(go("bob", f"/tenants/{SLUG}/audit"))
    assert "<bdi>/own-59</bdi>" in own, "paths are as the tenant calls them"
    assert "theirs" not in own
    refused = text_of(go("bob", f"/tenants/{SLUG}/audit?failed=1&path=/refused"))
    assert refused.count('class="when"') == 1
    assert "form=csv" in refused
    assert "failed=true" in refused
    file = go("bob", f"/api/v1/tenants/{SLUG}/audit/export?form=csv&path=/refused")
    assert b"NoAuth" in b"".join(file.streaming_content)  # type: ignore[attr-defined]
    assert "No line of the trail fits" in text_of(go("ada", "/audit?person=nobody"))
    assert go("ada", "/audit?cursor=x").status_code == 422
    assert "own-59" not in text_of(go("ada", "/audit?of=plane"))


def test_a_broken_chain_is_visible_at_once(go: Go, old: Tenant) -> None:
    whole: dict[str, Any] = {"ensemble": "main", "lines": 812}
    Segment.objects.create(**whole, node="node1", anchor_seq=800)
    Segment.objects.create(
        **whole, node="node2", problems=1, first_problem_seq=77, first_problem="was changed"
    )
    page = text_of(go("ada", "/audit"))
    for words in ("node1: holds", "node2: broken", "at line 77: was changed", "up to line 800"):
        assert words in page, words
    assert "no collector is at work" in page
    assert '<details class="card verdict bad" open>' in page


def test_a_znodes_history_shows_values_beside_those_before(go: Go, old: Tenant, feed: Feed) -> None:
    feed(
        line(1, "create", f"{ROOT}/a", b"port: 1\nhost: x\n", version=0),
        line(2, "setData", f"{ROOT}/a", b"port: 2\nhost: x\n", version=1),
        line(3, "setData", f"{ROOT}/a", "\u202e<script>".encode(), version=2),
        line(4, "setData", f"{ROOT}/a", b"", version=3),
        line(5, "delete", f"{ROOT}/a"),
        line(6, "setData", "/tenants/orders/a", b"theirs", version=9),
    )
    page = text_of(go("bob", f"{HISTORY}?path=/a"))
    assert '<span class="gone">port: 1</span>' in page
    assert '<span class="new">port: 2</span>' in page
    assert "‹U+202E›&lt;script&gt;" in page
    assert "theirs" not in page
    assert "zxid 0x5" in page
    assert "port: 2" in text_of(go("ada", f"{HISTORY}?path=/a")), "auditors read what members do"
    assert "Nothing is known of" in text_of(go("bob", f"{HISTORY}?path=/b"))
    for wrong in ("path=a", "path=/a&cursor=x"):
        assert go("bob", f"{HISTORY}?{wrong}").status_code == 422, wrong


def test_a_znodes_page_has_its_revisions_and_hides_what_became_secret(
    go: Go, old: Tenant, feed: Feed
) -> None:
    where = f"/tenants/{SLUG}/znodes"
    feed(
        line(1, "create", f"{ROOT}/a", b"a: 1\nb: 2\n", version=0),
        line(2, "setData", f"{ROOT}/a", b"a: 2\nb: 2\n", version=1),
        line(3, "setData", f"{ROOT}/a", version=2, bytes=9_999_999, value=None),
        line(4, "delete", f"{ROOT}/a"),
    )
    add(entry(0, zxid=2, principal="app@payments", address="10.0.0.9"))
    add(entry(1, zxid=1, principal="operator:olga", address="10.0.0.1"))

    def ask(name: str, part: str) -> Any:
        return go(name, f"{where}/{part}", headers={"accept": "application/json"})

    for name in ("bob", "ada", "olga"):
        rows = ask(name, "revisions?path=/a").json()["rows"]
        assert [row["operation"] for row in rows] == ["delete", "setData", "setData", "create"]
        assert [row["from"] for row in rows] == ["", "", "10.0.0.9", ""], "operators' is not theirs"
    assert ask("bob", "revision?path=/a&zxid=0x2").json()["text"] == "a: 2\nb: 2\n"
    assert ask("bob", "revision?path=/a&zxid=0x1").json()["format"] == "yaml"
    assert ask("bob", "revision?path=/b&zxid=0x1").status_code == 404
    assert ask("bob", "revisions?path=a").status_code == 400
    assert ask("bob", "revisions?path=/a&cursor=x").status_code == 400
    assert ask("bob", "revision?path=/a&zxid=x").status_code == 400
    assert ask("carol", "revisions?path=/a").status_code == 404
    whole = f"/znodes/revisions?path={ROOT}/a"
    assert go("bob", whole).status_code == 403
    assert len(go("ada", whole).json()["rows"]) == 4  # type: ignore[attr-defined]
    closed("/a", True)
    for name, shown in (("bob", False), ("ada", False), ("alice", True), ("olga", True)):
        told = ask(name, "revision?path=/a&zxid=0x2").json()
        assert ("text" in told, "its ACL" in told["why"]) == (shown, not shown)
        assert ("b: 2" in text_of(go(name, f"{HISTORY}?path=/a"))) == shown
    for name, shown in (("ada", False), ("olga", True)):
        told = go(name, f"/znodes/revision?path={ROOT}/a&zxid=0x2").json()  # type: ignore[attr-defined]
        assert ("text" in told) == shown
    feed(line(5, "create", f"{ROOT}/b", b"", version=0))
    told = ["digest:ann:aGFzaA==:r", "world:anyone:r"]
    feed(line(6, "setACL", f"{ROOT}/b", acl_version=1, acl=told))
    shown_acl = ["digest:ann:x:r", "world:anyone:r"]
    newest, _ = ask("bob", "revisions?path=/b").json()["rows"]
    assert newest["acl"] == shown_acl
    assert ", ".join(shown_acl) in text_of(go("bob", f"{HISTORY}?path=/b"))
    assert "aGFzaA" not in text_of(go("olga", f"{HISTORY}?path=/b"))
    Tenant.objects.update(secret_paths=["/a"])
    hidden = ask("bob", "revision?path=/a&zxid=0x2").json()
    assert "text" not in hidden
    assert "marks as secret" in hidden["why"]
    assert "text" not in go("olga", f"/znodes/revision?path={ROOT}/a&zxid=0x2").json()  # type: ignore[attr-defined]


def test_what_changed_lately_is_listed_and_many_revisions_are_paged(
    go: Go, old: Tenant, feed: Feed
) -> None:
    assert "has seen no change" in text_of(go("bob", HISTORY))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    feed(
        *(line(n, "setData", f"{ROOT}/busy", b"%d" % n, version=n, time=now) for n in range(1, 31))
    )
    feed(line(31, "create", f"{ROOT}/new", b"", time=now))
    page = text_of(go("bob", f"{HISTORY}?hours=nonsense"))
    assert '<td class="number">30</td>' in page
    assert "/new" in page
    first = text_of(go("bob", f"{HISTORY}?path=/busy"))
    assert first.count("<article") == 20
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert text_of(go("bob", f"{HISTORY}{older}")).count("<article") == 10
