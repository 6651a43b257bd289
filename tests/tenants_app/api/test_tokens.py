"""Tokens: what they open, what they never open, and when they end."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from tenants.actions import tokens
from tenants.models import ApiToken, AuditEvent, MemberRole, Membership, Tenant
from tests.tenants_app.api.conftest import COMMAND, Caller, Login, token_of


def in_days(days: float) -> str:
    return (timezone.now() + timedelta(days=days)).isoformat()


def test_a_token_says_who_comes(login: Login, tenant: Tenant) -> None:
    me = login("alice").get("me")
    assert me["username"] == "alice"
    assert me["standing"] == "person"
    assert [(m["tenant"], m["role"]) for m in me["memberships"]] == [("orders", "owner")]
    assert "tenant.create" in me["rights"]
    assert "plan.change" not in me["rights"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ens_",
        "Bearer ens_0000000000_x",
        "Bearer x" + "x" * 5_000,
        "Basic YWxpY2U6eA==",
        "Bearer ens_\u00e9_x",
    ],
)
def test_no_token_or_a_wrong_one_is_a_401_that_says_how(db: None, header: str) -> None:
    answer = Caller()("GET", "me", **({"authorization": header} if header else {}))
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert "Bearer ens_" in answer.json()["detail"] or "make another" in answer.json()["detail"]


def test_the_prefix_alone_opens_nothing(people: dict[str, User]) -> None:
    token, text = token_of(people["alice"])
    for wrong in (f"ens_{token.prefix}_", f"ens_{token.prefix}_{token.secret_hash}", text[:-1]):
        assert Caller(wrong)("GET", "me").status_code == 401
    assert Caller(text)("GET", "me").status_code == 200


def test_the_database_has_no_secret(people: dict[str, User]) -> None:
    token, text = token_of(people["alice"])
    secret = text.split("_", 2)[2]
    assert secret not in str(ApiToken.objects.filter(pk=token.pk).values())
    assert secret not in str(list(AuditEvent.objects.values()))


def test_an_expired_a_revoked_and_a_switched_off_one_are_void(people: dict[str, User]) -> None:
    for change in (
        lambda t: ApiToken.objects.filter(pk=t.pk).update(expires_at=timezone.now()),
        lambda t: tokens.revoke(COMMAND, token=t),
        lambda t: User.objects.filter(pk=t.user_id).update(is_active=False),
    ):
        token, text = token_of(people["alice"])
        assert Caller(text)("GET", "me").status_code == 200
        change(token)
        assert Caller(text)("GET", "me").status_code == 401


def test_a_role_that_somebody_loses_its_token_loses_at_once(
    login: Login, tenant: Tenant, people: dict[str, User]
) -> None:
    alice = login("alice")
    assert alice.get("me")["memberships"][0]["role"] == "owner"
    Membership.objects.filter(user=people["alice"]).update(role=MemberRole.VIEWER)
    assert alice.get("me")["memberships"][0]["role"] == "viewer"
    Membership.objects.filter(user=people["alice"]).delete()
    assert alice.get("me")["memberships"] == []


def test_an_operator_without_as_operator_is_a_person(login: Login) -> None:
    assert login("olga").get("me")["standing"] == "operator"
    plain = login("olga", as_operator=False).get("me")
    assert plain["standing"] == "person"
    assert "plan.change" not in plain["rights"]
    assert login("ada").get("me")["standing"] == "auditor"


def test_a_viewers_token_of_an_operator_changes_nothing(login: Login) -> None:
    rights = login("olga", role=MemberRole.VIEWER).get("me")["rights"]
    assert "audit.read" in rights
    assert not {"plan.change", "policy.apply", "tenant.create", "token.own"} & set(rights)


def test_a_token_of_one_tenant_knows_no_other(
    login: Login, tenant: Tenant, people: dict[str, User]
) -> None:
    other = Tenant.objects.create(
        slug="other", ensemble=tenant.ensemble, plan=tenant.plan, root="/tenants/other"
    )
    Membership.objects.create(tenant=other, user=people["alice"], role=MemberRole.OWNER)
    me = login("alice", tenant=tenant, role=MemberRole.DEVELOPER).get("me")
    assert [(m["tenant"], m["role"]) for m in me["memberships"]] == [("orders", "developer")]
    assert me["rights"] == []


def test_tokens_are_made_listed_and_revoked(login: Login, tenant: Tenant) -> None:
    alice = login("alice")
    wish = {"name": "ci", "role": "developer", "tenant": "orders", "expires_at": in_days(30)}
    made = alice("POST", "tokens", wish)
    assert made.status_code == 201
    text = made.json()["token"]
    assert Caller(text).get("me")["token"] == made.json()["prefix"]
    listed = alice.get("tokens")["results"]
    assert {row["name"] for row in listed} == {"ci", "test"}
    assert all("token" not in row for row in listed)
    gone = alice("DELETE", f"tokens/{made.json()['prefix']}")
    assert gone.status_code == 200
    assert gone.json()["revoked_at"]
    assert Caller(text)("GET", "me").status_code == 401
    assert len(alice.get("tokens", valid="true")["results"]) == 1
    verbs = AuditEvent.objects.filter(tenant="orders").values_list("verb", "actor", "via")
    assert [verb for verb, _, _ in verbs] == ["token.revoked", "token.made"]
    assert all(actor == "alice" and via.startswith("api:") for _, actor, via in verbs)


def test_others_tokens_are_not_there_for_anybody_but_operators(
    login: Login, people: dict[str, User]
) -> None:
    token, _ = token_of(people["alice"])
    path = f"tokens/{token.prefix}"
    for name in ("carol", "ada"):
        assert login(name)("GET", path).status_code == 404
        assert login(name)("DELETE", path).status_code == 404
    assert login("olga")("DELETE", path).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"expires_at": in_days(-1)}, 400, "366 days"),
        ({"expires_at": in_days(400)}, 400, "366 days"),
        ({"expires_at": "soon"}, 400, "expires_at"),
        ({"role": "king"}, 400, "role"),
        ({"name": ""}, 400, "name"),
        ({"name": "x" * 101}, 400, "name"),
        ({"as_operator": True}, 403, "neither operator nor auditor"),
        ({"tenant": "nowhere"}, 404, "nowhere"),
        ({"purpose": "x"}, 400, "there is no such key"),
    ],
)
def test_a_wish_for_a_token_is_checked(
    login: Login, tenant: Tenant, change: dict[str, object], status: int, word: str
) -> None:
    wish = {"name": "ci", "role": "owner", "expires_at": in_days(1), **change}
    answer = login("alice")("POST", "tokens", wish)
    assert answer.status_code == status
    assert word in str(answer.json())


def test_a_token_makes_none_that_reaches_further(
    login: Login, tenant: Tenant, people: dict[str, User]
) -> None:
    short = login("olga", as_operator=False, expires_at=timezone.now() + timedelta(hours=1))
    soon = {"name": "x", "role": "owner", "expires_at": in_days(0.01)}
    assert short("POST", "tokens", soon).status_code == 201
    assert short("POST", "tokens", {**soon, "as_operator": True}).status_code == 403
    assert short("POST", "tokens", {**soon, "expires_at": in_days(2)}).status_code == 403
    bound = login("alice", tenant=tenant)
    assert bound("POST", "tokens", soon).status_code == 403
    viewer = login("alice", role=MemberRole.VIEWER)
    assert viewer("POST", "tokens", soon).status_code == 403


def test_a_person_has_so_many_tokens_and_no_more(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "TOKENS_PER_PERSON_MAX", 2)
    carol = login("carol")
    wish = {"name": "x", "role": "owner", "expires_at": in_days(1)}
    assert carol("POST", "tokens", wish).status_code == 201
    answer = carol("POST", "tokens", wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "limit")


def test_a_browsers_session_works_and_needs_the_csrf_token(people: dict[str, User]) -> None:
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(people["carol"])
    assert browser.get("/api/v1/me").json()["username"] == "carol"
    wish = {"name": "x", "role": "owner", "expires_at": in_days(1)}
    answer = browser.post("/api/v1/tokens", wish, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
