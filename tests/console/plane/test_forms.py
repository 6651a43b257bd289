"""What people do by forms, over a real node: good input, bad input, and what is shown once."""

import asyncio
from typing import Any
from urllib.error import URLError

import pytest
from django.contrib.auth.models import AbstractBaseUser, User

from console import usage
from console.views.tenants import snippets
from ensemble.client import AuthFailedError, Client
from tenants.actions import credentials, tenants
from tenants.audit import PLANE
from tenants.models import (
    AuditEvent,
    Credential,
    CredentialSecret,
    Ensemble,
    Invitation,
    Membership,
    Plan,
    Publication,
    Request,
    Tenant,
)
from tests.console.plane.conftest import Go, committed, text_of
from tests.harness import Node
from tests.tenants import tenant_client

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
Plans = dict[str, Plan]


def new_values(one: Ensemble, plan: Plan, **changed: Any) -> dict[str, Any]:
    return {
        "slug": "orders", "title": "Orders", "plan": plan.pk, "ensemble": one.pk,
        "credential": "app", "purpose": "", **changed,
    }  # fmt: skip


def token_in(page: str) -> str:
    """The credential as the page shows it, this once."""
    return page.split('<code id="token">')[1].split("<")[0]


def sees(node: Node, token: str) -> list[str]:
    """What a program sees that signs in so."""

    async def look() -> list[str]:
        async with tenant_client(node.address, token.encode()) as client:
            return sorted(await client.children("/"))

    return asyncio.run(look())


# Creation


def test_a_tenant_is_made_at_once_and_its_credential_works_and_is_shown_this_once(
    go: Go, one: Ensemble, three_plans: Plans, registry_node: Node
) -> None:
    page = go("alice", "/new", new_values(one, three_plans["small"]))
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    text = text_of(page)
    token = token_in(text)
    assert token.startswith("orders:")
    for words in (
        "KazooClient(",
        "CuratorFramework",
        "addauth tenant",
        "zk.Connect(",
        "zoo_add_auth",
    ):
        assert words in text, words
    assert sees(registry_node, token) == ["zookeeper"]
    secret = token.split(":")[1]
    for where in ("", "credentials", "audit"):
        assert secret not in text_of(go("alice", f"/tenants/orders/{where}"))
    assert not AuditEvent.objects.filter(detail__icontains=secret).exists()
    assert not CredentialSecret.objects.filter(hash__icontains=secret).exists()
    assert "in force everywhere" not in text
    overview = text_of(go("alice", "/tenants/orders/"))
    assert "everywhere" in overview
    assert "<b>2</b> of 10,000" in overview, "the node has told what is used"
    assert [e.verb for e in AuditEvent.objects.filter(actor="alice").order_by("seq")] == [
        "tenant.created", "credential.created",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"slug": "Bad Name"}, "1 to 63 of a-z 0-9 -"),
        ({"slug": ""}, "required"),
        ({"slug": "x" * 64}, "at most 63"),
        ({"slug": "shop"}, "shop is taken"),
        ({"plan": 99_999}, "not one of the available choices"),
        ({"plan": ""}, "required"),
        ({"credential": "Not So"}, "1 to 63 of a-z 0-9 - _ ."),
        ({"title": "t" * 101}, "at most 100"),
    ],
)
def test_a_refused_tenant_says_why_at_its_field_and_loses_nothing_typed(
    changed: dict[str, Any], words: str, go: Go, shop: Tenant, one: Ensemble, three_plans: Plans
) -> None:
    values = new_values(one, three_plans["small"], purpose="so typed") | changed
    page = go("alice", "/new", values)
    assert page.status_code == 422
    text = text_of(page)
    assert words in text
    assert "so typed" in text
    assert 'role="alert"' in text
    assert not Tenant.objects.filter(slug="orders").exists()


def test_plans_of_operators_cannot_be_chosen_by_others(
    go: Go, one: Ensemble, three_plans: Plans
) -> None:
    assert "Large" not in text_of(go("alice", "/new"))
    assert go("alice", "/new", new_values(one, three_plans["large"])).status_code == 422
    assert (
        go("olga", "/new", new_values(one, three_plans["large"], owner="alice")).status_code == 200
    )
    assert Membership.objects.get(tenant__slug="orders").user.get_username() == "alice"


def test_an_operators_owner_must_exist_and_an_adoption_needs_a_path(
    go: Go, one: Ensemble, three_plans: Plans
) -> None:
    for changed, words in [
        ({"owner": "nobody-like-that"}, "no account nobody-like-that"),
        ({"adopt": "on"}, "needs the path"),
        ({"root": "/kafka"}, "only"),
        ({"adopt": "on", "root": "/zookeeper"}, "/zookeeper"),
    ]:
        page = go("olga", "/new", new_values(one, three_plans["small"], **changed))
        assert page.status_code == 422, changed
        assert words in text_of(page), changed


def test_a_path_is_adopted_in_mode_observe(
    go: Go, one: Ensemble, three_plans: Plans, registry_node: Node
) -> None:
    async def prepare() -> None:
        async with Client(registry_node.address) as client:
            if await client.exists("/kafka") is None:
                await client.create("/kafka", b"")
                await client.create("/kafka/brokers", b"")

    asyncio.run(prepare())
    values = new_values(
        one, three_plans["small"], slug="kafka", adopt="on", root="/kafka", owner=""
    )
    page = go("olga", "/new", values)
    assert page.status_code == 200, text_of(page)
    assert Tenant.objects.get(slug="kafka").mode == "observe"
    assert sees(registry_node, token_in(text_of(page))) == ["brokers", "zookeeper"]


def test_the_name_is_checked_while_it_is_typed(go: Go, shop: Tenant) -> None:
    for typed, words in [("free", "can be had"), ("shop", "cannot be had"), ("No", "1 to 63")]:
        assert words in text_of(go("alice", f"/new/slug?slug={typed}"))
    assert "<p" not in text_of(go("alice", "/new/slug?slug="))


# Requests


def test_a_wish_is_approved_rejected_or_withdrawn(
    go: Go, one: Ensemble, three_plans: Plans
) -> None:
    medium = three_plans["medium"]
    for slug in ("wish-a", "wish-b", "wish-c"):
        values = new_values(one, medium, slug=slug, purpose=f"for {slug}")
        page = go("carol", "/new", values, follow=True)
        assert "was asked" in text_of(page)
    wishes = {wish.slug: wish.pk for wish in Request.objects.all()}
    assert "for wish-a" in text_of(go("carol", "/requests"))
    assert "wish-a" not in text_of(go("dan", "/requests")), "others do not see it"
    inbox = text_of(go("olga", "/requests"))
    assert inbox.count("Approve") == 3
    assert "Approve" not in text_of(go("ada", "/requests"))
    go("olga", f"/requests/{wishes['wish-a']}/approve", {"answer": "welcome"})
    assert Membership.objects.get(tenant__slug="wish-a").user.get_username() == "carol"
    refused = go("olga", f"/requests/{wishes['wish-b']}/reject", {"answer": ""})
    assert refused.status_code == 422, "a refusal needs a reason"
    go("olga", f"/requests/{wishes['wish-b']}/reject", {"answer": "too large"})
    assert go("dan", f"/requests/{wishes['wish-c']}/withdraw", {}).status_code == 404
    go("carol", f"/requests/{wishes['wish-c']}/withdraw", {})
    again = go("olga", f"/requests/{wishes['wish-c']}/approve", {"answer": ""})
    assert again.status_code == 422
    text = text_of(go("carol", "/requests"))
    for words in ("welcome", "too large", "withdrawn", "approved", "rejected"):
        assert words in text, words


# Credentials


def test_a_credential_is_made_rotated_with_an_overlap_and_revoked(
    go: Go, shop: Tenant, registry_node: Node
) -> None:
    base = "/tenants/shop/credentials"
    made = {"name": "reports", "role": "reader", "expires": "30", "subjects": "CN=a\nCN=b\n"}
    first = token_in(text_of(go("dan", f"{base}/new", made)))
    assert sees(registry_node, first) == ["zookeeper"]
    kept = Credential.objects.get(name="reports")
    assert kept.subjects == ["CN=a", "CN=b"]
    assert not kept.sasl
    second = token_in(text_of(go("dan", f"{base}/reports/rotate", {"overlap": "24"})))
    assert sees(registry_node, first) == sees(registry_node, second) == ["zookeeper"]
    listed = text_of(go("bob", base))
    assert "in 23 hours" in listed or "in 1 day" in listed
    assert "Revoke" not in listed, "a viewer is offered nothing"
    go("dan", f"{base}/reports/subjects", {"subjects": "CN=c"})
    kept.refresh_from_db()
    assert kept.subjects == ["CN=c"]
    wrong = go("dan", f"{base}/reports/revoke", {"confirm": "report"})
    assert (wrong.status_code, "nothing was done" in text_of(wrong)) == (422, True)
    assert go("dan", f"{base}/reports/revoke", {"confirm": "reports"}).status_code == 302
    with pytest.raises(AuthFailedError):
        sees(registry_node, second)
    assert go("dan", f"{base}/reports/rotate", {"overlap": "0"}).status_code == 404


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a b", "role": "writer"}, "1 to 63 of a-z"),
        ({"name": "", "role": "writer"}, "required"),
        ({"name": "app", "role": "king"}, "not one of the available choices"),
        ({"name": "taken", "role": "writer"}, "has a credential taken already"),
        ({"name": "app", "role": "writer", "expires": "7"}, "not one of the available choices"),
        ({"name": "app", "role": "writer", "subjects": "CN=x\nCN=x"}, "named twice"),
    ],
)
def test_a_credential_that_cannot_be_is_refused_at_its_field(
    values: dict[str, str], words: str, go: Go, shop: Tenant
) -> None:
    credentials.create(PLANE, tenant=shop, name="taken", role="writer")
    page = go("dan", "/tenants/shop/credentials/new", values)
    assert page.status_code == 422
    assert words in text_of(page)
    assert Credential.objects.count() == 1


def test_credentials_of_role_admin_are_for_owners(go: Go, shop: Tenant) -> None:
    values = {"name": "root", "role": "admin"}
    assert go("dan", "/tenants/shop/credentials/new", values).status_code == 403
    assert go("alice", "/tenants/shop/credentials/new", values).status_code == 200
    for act, sent in [("rotate", {"overlap": "0"}), ("revoke", {"confirm": "root"})]:
        assert go("dan", f"/tenants/shop/credentials/root/{act}", sent).status_code == 403


def test_a_try_really_signs_in(go: Go, shop: Tenant, nowhere: Ensemble) -> None:
    with committed():
        made = credentials.create(PLANE, tenant=shop, name="app", role="writer")
    values = {"token": made.token, "name": "app"}
    assert "It works" in text_of(go("dan", "/tenants/shop/try", values))
    part = text_of(go("dan", "/tenants/shop/try", values, headers={"hx-request": "true"}))
    assert "It works" in part
    assert "<html" not in part
    wrong = {**values, "token": "shop:" + "x" * 43}
    assert "does not take this credential" in text_of(go("dan", "/tenants/shop/try", wrong))
    for token in ("other:" + "x" * 43, "", "shop:a b"):
        page = go("dan", "/tenants/shop/try", {**values, "token": token})
        assert page.status_code == 422, token
    Ensemble.objects.filter(name="one").update(hosts=nowhere.hosts)
    assert "No connection" in text_of(go("dan", "/tenants/shop/try", values))


def test_tries_are_few_at_a_time(go: Go, shop: Tenant) -> None:
    taken = [snippets._tries.acquire(blocking=False) for _ in range(snippets.TRIES_MAX)]
    assert all(taken)
    try:
        values = {"token": "shop:" + "x" * 43, "name": "app"}
        assert "other tries are under way" in text_of(go("dan", "/tenants/shop/try", values))
    finally:
        for _ in taken:
            snippets._tries.release()


def test_a_node_that_does_not_answer_is_not_asked_again_at_once(
    go: Go, shop: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open pages look again every few seconds: they must not hold all threads of the console."""
    asked: list[str] = []

    def silent(request: Any, timeout: float) -> None:
        asked.append(request.full_url)
        raise URLError("timed out")

    monkeypatch.setattr(usage, "_silent_until", {})
    monkeypatch.setattr(usage, "urlopen", silent)
    for _ in range(3):
        assert "No node has said yet" in text_of(go("bob", "/tenants/shop/"))
    assert len(asked) == 1


# Members


def test_members_come_by_account_or_link_change_and_go(
    go: Go, shop: Tenant, cast: dict[str, AbstractBaseUser]
) -> None:
    base = "/tenants/shop/members"
    unknown = go("alice", f"{base}/add", {"username": "nobody", "role": "1"})
    assert (unknown.status_code, "no such account" in text_of(unknown)) == (422, True)
    twice = go("alice", f"{base}/add", {"username": "bob", "role": "1"})
    assert (twice.status_code, "bob is a member" in text_of(twice)) == (422, True)
    page = text_of(go("alice", f"{base}/invite", {"note": "Carol", "role": "2", "days": "7"}))
    link = page.split('<code id="link">')[1].split("<")[0]
    where = link.split("testserver")[1]
    assert "Become a member" in text_of(go("carol", where))
    assert not Membership.objects.filter(user__username="carol").exists(), "a look changes nothing"
    assert go("carol", where, {}).headers["Location"] == "/tenants/shop/"
    assert go("ada", where, {}).status_code == 422, "a link works once"
    carol = Membership.objects.get(user__username="carol")
    go("alice", f"{base}/{carol.pk}/role", {"role": "1"})
    carol.refresh_from_db()
    assert carol.role == 1
    alice = Membership.objects.get(user__username="alice")
    for act, values in [("role", {"role": "1"}), ("remove", {})]:
        last = go("alice", f"{base}/{alice.pk}/{act}", values)
        assert (last.status_code, "last owner" in text_of(last)) == (422, True), act
    go("alice", f"{base}/{carol.pk}/remove", {})
    assert go("carol", "/tenants/shop/").status_code == 404
    for values in ({"role": "9"}, {"role": ""}):
        assert go("alice", f"{base}/{alice.pk}/role", values).status_code == 422
    assert go("alice", f"{base}/99999/remove", {}).status_code == 404


@pytest.mark.parametrize("days", ["0", "31", "x", ""])
def test_an_invitation_has_a_bound_and_can_be_taken_back(days: str, go: Go, shop: Tenant) -> None:
    wrong = go("alice", "/tenants/shop/members/invite", {"role": "1", "days": days, "note": "Ann"})
    assert wrong.status_code == 422
    assert "Ann" in text_of(wrong), "what was typed is still there"
    page = go("alice", "/tenants/shop/members/invite", {"role": "1", "days": "1"})
    secret = text_of(page).split("/invitations/")[1].split("<")[0]
    made = Invitation.objects.get()
    assert go("alice", f"/tenants/shop/invitations/{made.pk}/revoke", {}).status_code == 302
    assert go("carol", f"/invitations/{secret}", {}).status_code == 422
    assert go("carol", "/invitations/guessed", {}).status_code == 422


# Settings, and the end


def test_settings_are_changed_and_bad_ones_are_not(go: Go, shop: Tenant) -> None:
    good = {
        "title": "Shops", "audit_reads": "on", "secret_paths": "/a\n/b", "history_days": "5",
        "history_bytes": "1000",
    }  # fmt: skip
    assert go("alice", "/tenants/shop/describe", good).status_code == 302
    shop.refresh_from_db()
    assert (shop.title, shop.audit_reads, shop.secret_paths) == ("Shops", True, ["/a", "/b"])
    for changed, words in [
        ({"secret_paths": "a"}, "does not begin with /"),
        ({"history_days": "-1"}, "greater than or equal to 0"),
        ({"history_days": "x"}, "whole number"),
        ({"title": "t" * 101}, "at most 100"),
    ]:
        page = go("alice", "/tenants/shop/describe", {**good, "title": "Typed", **changed})
        assert page.status_code == 422, changed
        assert words in text_of(page), changed
        assert "Typed" in text_of(page) or "title" in changed
    assert go("alice", "/tenants/shop/mode", {"mode": "permissive"}).status_code == 302
    assert go("alice", "/tenants/shop/mode", {"mode": "open"}).status_code == 422
    assert Publication.objects.get(tenant=shop).status == "applied"


def test_a_plan_is_changed_at_once_or_asked_for(go: Go, shop: Tenant, three_plans: Plans) -> None:
    where = "/tenants/shop/plan"
    assert go("alice", where, {"plan": three_plans["large"].pk}).status_code == 422
    go("alice", where, {"plan": three_plans["medium"].pk, "purpose": "we grow"})
    shop.refresh_from_db()
    assert shop.plan.name == "small"
    assert "Asked for: plan Medium" in text_of(go("bob", "/tenants/shop/"))
    wish = Request.objects.get()
    go("olga", f"/requests/{wish.pk}/approve", {"answer": ""})
    shop.refresh_from_db()
    assert shop.plan.name == "medium"
    go("olga", where, {"plan": three_plans["large"].pk})
    shop.refresh_from_db()
    assert shop.plan.name == "large"


def test_a_deleted_tenant_lets_nobody_in_until_it_is_brought_back(
    go: Go, shop: Tenant, registry_node: Node
) -> None:
    with committed():
        made = credentials.create(PLANE, tenant=shop, name="app", role="writer")
    wrong = go("alice", "/tenants/shop/delete", {"confirm": "shops"})
    assert (wrong.status_code, "nothing was done" in text_of(wrong)) == (422, True)
    go("alice", "/tenants/shop/delete", {"confirm": "shop"})
    with pytest.raises(AuthFailedError):
        sees(registry_node, made.token)
    page = text_of(go("alice", "/tenants/shop/"))
    assert "Bring it back" in page
    assert "Bring it back" not in text_of(go("dan", "/tenants/shop/"))
    assert go("alice", "/tenants/shop/mode", {"mode": "observe"}).status_code == 422
    go("alice", "/tenants/shop/restore", {})
    assert sees(registry_node, made.token) == ["zookeeper"]
    assert go("alice", "/tenants/shop/restore", {}).status_code == 422
    assert go("olga", "/tenants/shop/purge", {"confirm": "shop"}).status_code == 422, "it is alive"
    go("alice", "/tenants/shop/delete", {"confirm": "shop"})
    assert go("olga", "/tenants/shop/purge", {"confirm": "x"}).status_code == 422
    assert go("olga", "/tenants/shop/purge", {"confirm": "shop"}).status_code == 302
    assert go("alice", "/tenants/shop/").status_code == 404


# Operators


def test_limits_of_its_own_replace_the_plans(go: Go, shop: Tenant) -> None:
    values = {"limit_znodes": "5", "limit_watches": "none", "weight": "300"}
    assert go("olga", "/tenants/shop/limits", values).status_code == 302
    shop.refresh_from_db()
    assert shop.overrides == {"znodes": 5, "watches": None}
    assert shop.weight == 300
    page = text_of(go("olga", "/tenants/shop/steer"))
    assert 'value="none"' in page
    assert "as wished" in page
    for name, value in [("limit_znodes", "-1"), ("limit_bytes", "many"), ("weight", "0"),
                        ("limit_bytes", "9" * 30)]:  # fmt: skip
        bad = go("olga", "/tenants/shop/limits", {**values, name: value})
        assert bad.status_code == 422, name
    shop.refresh_from_db()
    assert shop.overrides == {"znodes": 5, "watches": None}


def test_a_tenant_is_suspended_drained_throttled_and_resumed(go: Go, shop: Tenant) -> None:
    for values in ({"reason": ""}, {"reason": "x", "hours": "0"}, {"reason": "r" * 501}):
        assert go("olga", "/tenants/shop/suspend", values).status_code == 422
    go("olga", "/tenants/shop/suspend", {"reason": "unpaid", "hours": "2", "how": "suspend"})
    page = text_of(go("bob", "/tenants/shop/"))
    assert "reads pass, writes are refused until" in page
    assert "unpaid" in page
    go("olga", "/tenants/shop/resume", {})
    go("olga", "/tenants/shop/suspend", {"reason": "moving", "how": "drain"})
    assert "no new sessions" in text_of(go("bob", "/tenants/shop/"))
    go("olga", "/tenants/shop/resume", {})
    bad = go("olga", "/tenants/shop/throttle", {"reason": "noisy", "hours": "1"})
    assert (bad.status_code, "at least one rate" in text_of(bad)) == (422, True)
    sent = {"reason": "noisy", "hours": "1", "limit_writes_per_second": "7"}
    go("olga", "/tenants/shop/throttle", sent)
    shop.refresh_from_db()
    assert shop.limits["writes_per_second"] == 7
    assert "noisy" in text_of(go("bob", "/tenants/shop/"))


def test_a_document_that_was_changed_by_hand_is_shown_and_repaired(
    go: Go, shop: Tenant, registry_node: Node
) -> None:
    from ensemble.admin import provision
    from ensemble.admin.draft import Draft
    from tests.tenants import operator

    def heavier(draft: Draft) -> None:
        draft.weight = 777

    async def by_hand() -> None:
        async with operator(registry_node.address) as client:
            await provision.update(client, "shop", heavier)

    for direction, weight in (("registry", None), ("sql", 777)):
        asyncio.run(by_hand())
        page = text_of(go("olga", "/tenants/shop/steer"))
        assert "drift" in page
        assert "777" in page
        assert "1 differ" in text_of(go("olga", "/ensembles/one/"))
        assert go("olga", "/tenants/shop/repair", {"direction": "up"}).status_code == 422
        answer = go("olga", "/tenants/shop/repair", {"direction": direction})
        assert answer.status_code == 302, text_of(answer)
        shop.refresh_from_db()
        assert shop.weight == weight
        assert "agree" in text_of(go("olga", "/ensembles/one/"))
    assert go("olga", "/tenants/shop/repair", {"direction": "sql"}).status_code == 422
    sent = {"slug": "shop", "direction": "sql"}
    assert go("olga", "/ensembles/one/repair", sent).status_code == 422


def test_plans_are_made_changed_and_retired(go: Go, shop: Tenant) -> None:
    values = {
        "name": "tiny", "title": "Tiny", "entry": "self-service", "tenants_per_person_max": "1",
        "weight": "50", "position": "5", "limit_znodes": "10",
    }  # fmt: skip
    for changed in ({"name": "Not"}, {"weight": "0"}, {"entry": "free"}, {"limit_bytes": "-3"}):
        bad = go("olga", "/plans/new", {**values, **changed})
        assert bad.status_code == 422, changed
    assert go("olga", "/plans/new", values).status_code == 302
    assert go("olga", "/plans/new", values).status_code == 422, "there is one of this name"
    assert "Tiny" in text_of(go("carol", "/plans"))
    changed = {**values, "title": "Small", "limit_znodes": "77"}
    assert go("olga", "/plans/of/small", changed).status_code == 302
    assert "of 77" in text_of(go("alice", "/tenants/shop/")), "its tenants have the new limits"
    go("olga", "/plans/of/tiny/retire", {})
    assert "Tiny" not in text_of(go("carol", "/new"))
    assert go("olga", "/plans/of/none", values).status_code == 404


def test_ensembles_are_registered_changed_and_forgotten(go: Go, shop: Tenant) -> None:
    values = {
        "name": "old", "kind": "apache", "title": "Old", "hosts": "127.0.0.1:1",
        "nodes": "a 127.0.0.1:1\nb 127.0.0.1:2 http://127.0.0.1:3",
    }  # fmt: skip
    for changed in ({"name": "No"}, {"hosts": "nonsense:x"}, {"nodes": "one"},
                    {"nodes": "a 127.0.0.1:1 ftp://x"}, {"takes_tenants": "on"}):  # fmt: skip
        bad = go("olga", "/ensembles/new", {**values, **changed})
        assert bad.status_code == 422, changed
        assert "old" in text_of(bad) or "name" in changed
    assert go("olga", "/ensembles/new", values).status_code == 302
    page = text_of(go("ada", "/ensembles/old/"))
    assert "Apache" in page
    assert "not there" in page
    assert "Change it" not in page, "an auditor looks"
    sent = {**values, "title": "Older", "nodes": "a 127.0.0.1:1"}
    assert go("olga", "/ensembles/old/change", sent).status_code == 302
    assert go("olga", "/ensembles/old/remove", {"confirm": "one"}).status_code == 422
    assert go("olga", "/ensembles/old/remove", {"confirm": "old"}).status_code == 302
    assert go("olga", "/ensembles/one/remove", {"confirm": "one"}).status_code == 422, "tenants"
    assert Ensemble.objects.get().name == "one"
    assert "standalone" in text_of(go("ada", "/ensembles/one/"))


def test_tokens_are_made_shown_once_and_revoked(go: Go, shop: Tenant) -> None:
    values = {"name": "ci", "tenant": shop.pk, "role": "2", "days": "30"}
    page = text_of(go("dan", "/tokens", values))
    token = page.split('<code id="token">')[1].split("<")[0]
    assert token.startswith("ens_")
    assert token not in text_of(go("dan", "/tokens"))
    for changed in ({"name": ""}, {"days": "0"}, {"days": "9999"}, {"role": "7"}, {"tenant": "99"}):
        bad = go("dan", "/tokens", {**values, "name": "typed", **changed})
        assert bad.status_code == 422, changed
        assert "typed" in text_of(bad) or "name" in changed
    prefix = token.split("_")[1]
    assert go("bob", f"/tokens/{prefix}/revoke", {}).status_code == 404, "not his"
    assert go("dan", f"/tokens/{prefix}/revoke", {}).status_code == 302
    assert "No token" in text_of(go("dan", "/tokens"))
    assert "whole plane" not in text_of(go("dan", "/tokens"))
    assert "as_operator" in text_of(go("olga", "/tokens"))


def test_an_ensemble_that_does_not_answer_leaves_the_change_pending_and_visible(
    go: Go, nowhere: Ensemble, three_plans: Plans, cast: dict[str, User]
) -> None:
    far = tenants.create(PLANE, slug="far", plan=three_plans["small"], owner=cast["alice"])
    page = text_of(go("alice", "/tenants/far/"))
    assert "on its way" in page
    assert "not in force yet" in text_of(go("alice", "/tenants/"))
    made = go("alice", "/tenants/far/credentials/new", {"name": "app", "role": "writer"})
    assert made.status_code == 503
    assert "cannot be asked now" in text_of(made)
    assert 'value="app"' in text_of(made)
    assert go("olga", "/tenants/far/steer").status_code == 200
    assert far.ensemble == nowhere
