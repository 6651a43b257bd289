"""E10: every route and method of the API stands in the table, and no other is open.

The second half is the proof: each of them asked by the whole cast, against what is written here by
hand and not computed from the table.
"""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse

from tenants import access
from tenants.api.access import ROUTES, SIGNED_IN
from tenants.api.schema import patterns
from tenants.models import ApiToken, MemberRole, Tenant
from tests.tenants_app.api.conftest import (
    PEOPLE,
    Caller,
    Login,
    one_of_each,
    token_of,
    values_of,
)

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
METHODS = ["get", "post", "put", "patch", "delete"]


def test_E10_every_route_and_method_stands_in_the_table_and_the_other_way_round() -> None:
    found = {
        str(pattern.name): {m.upper() for m in METHODS if hasattr(pattern.callback.view_class, m)}
        for pattern in patterns()
    }
    assert found == {name: set(methods) for name, methods in ROUTES.items()}
    assert len(patterns()) == len(ROUTES)


def test_E10_every_right_in_the_table_is_one() -> None:
    for pattern in patterns():
        for right in ROUTES[str(pattern.name)].values():
            is_of_tenant = right in access.RIGHTS
            assert is_of_tenant or right in access.PLANE or right == SIGNED_IN
            assert not is_of_tenant or "<slug:slug>" in str(pattern.pattern), pattern


def test_E10_a_method_that_no_route_has_is_a_405_and_an_address_that_none_has_a_404(
    login: Login, people: dict[str, User]
) -> None:
    alice = login("alice")
    assert alice("DELETE", "me").status_code == 405
    for method in ("options", "trace"):
        assert alice(method, "me").status_code == 405
    answer = alice("GET", "nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert Caller()("DELETE", "me").status_code == 401


# The proof. One letter for each of the cast: y may, 1 is to sign in, 3 may not, 4 learns nothing.

CAST = ["alice", "dan", "bob", "olga", "ada", "carol", "nobody"]
"""owner, developer, viewer, operator, auditor, stranger, anonymous"""

EVERYBODY, OPERATORS, READERS = "yyyyyy1", "333y331", "333yy31"
MEMBERS, SOME_MEMBERS, OWNERS, OPERATORS_OF = "yyyyy41", "yy3y341", "y33y341", "333y341"

EXPECTED = {
    "GET me": EVERYBODY,
    "GET schema": EVERYBODY,
    "GET tokens": EVERYBODY,
    "POST tokens": EVERYBODY,
    "GET token": "y44y441",
    "DELETE token": "y44y441",
    "GET plans": EVERYBODY,
    "POST plans": OPERATORS,
    "GET plan": EVERYBODY,
    "PATCH plan": OPERATORS,
    "POST plan-retire": OPERATORS,
    "GET tenants": EVERYBODY,
    "POST tenants": EVERYBODY,
    "GET tenant": MEMBERS,
    "PATCH tenant": OWNERS,
    "DELETE tenant": OWNERS,
    "PUT tenant-mode": OWNERS,
    "PUT tenant-plan": OWNERS,
    "PUT tenant-limits": OPERATORS_OF,
    "POST tenant-suspend": OPERATORS_OF,
    "POST tenant-drain": OPERATORS_OF,
    "POST tenant-resume": OPERATORS_OF,
    "POST tenant-throttle": OPERATORS_OF,
    "POST tenant-restore": OWNERS,
    "POST tenant-purge": OPERATORS_OF,
    "GET tenant-publication": MEMBERS,
    "POST tenant-publication": OPERATORS_OF,
    "GET members": MEMBERS,
    "POST members": OWNERS,
    "GET member": MEMBERS,
    "PATCH member": OWNERS,
    "DELETE member": OWNERS,
    "GET invitations": OWNERS,
    "POST invitations": OWNERS,
    "DELETE invitation": OWNERS,
    "POST invitation-accept": EVERYBODY,
    "GET credentials": MEMBERS,
    "POST credentials": SOME_MEMBERS,
    "GET credential": MEMBERS,
    "DELETE credential": SOME_MEMBERS,
    "POST credential-rotate": SOME_MEMBERS,
    "PUT credential-subjects": SOME_MEMBERS,
    "GET tenant-znodes": MEMBERS,
    "PUT tenant-znodes": SOME_MEMBERS,
    "POST tenant-znodes": SOME_MEMBERS,
    "DELETE tenant-znodes": SOME_MEMBERS,
    "GET tenant-children": MEMBERS,
    "GET tenant-acl": MEMBERS,
    "PUT tenant-acl": OWNERS,
    "GET jobs": EVERYBODY,
    "GET job": "y44y441",
    "DELETE job": "y444441",
    "POST job-confirm": "y444441",
    "POST job-resume": "y444441",
    "POST job-cancel": "y444441",
    "POST job-undo": "y444441",
    "GET job-file": "y444441",
    "POST tenant-jobs": MEMBERS,
    "POST ensemble-jobs": READERS,
    "GET requests": EVERYBODY,
    "POST requests": EVERYBODY,
    "GET request": "y44yy41",
    "POST request-approve": OPERATORS,
    "POST request-reject": OPERATORS,
    "POST request-withdraw": "y443341",  # whose it is not rejects it
    "GET ensembles": READERS,
    "POST ensembles": OPERATORS,
    "GET ensemble": READERS,
    "PATCH ensemble": OPERATORS,
    "DELETE ensemble": OPERATORS,
    "GET ensemble-drift": READERS,
    "POST ensemble-repair": OPERATORS,
    "GET ensemble-znodes": READERS,
    "PUT ensemble-znodes": OPERATORS,
    "POST ensemble-znodes": OPERATORS,
    "DELETE ensemble-znodes": OPERATORS,
    "GET ensemble-children": READERS,
    "GET ensemble-acl": READERS,
    "PUT ensemble-acl": OPERATORS,
    "GET tenant-usage": MEMBERS,
    "GET tenant-metrics": MEMBERS,
    "GET tenant-objectives": MEMBERS,
    "PUT tenant-objectives": OWNERS,
    "PUT plan-objectives": OPERATORS,
    "GET ensemble-neighbours": READERS,
    "GET tenant-audit": MEMBERS,
    "GET tenant-audit-facets": MEMBERS,
    "GET tenant-audit-export": MEMBERS,
    "GET ensemble-metrics": READERS,
    "GET ensemble-top": READERS,
    "GET tenant-history": MEMBERS,
    "GET tenant-history-at": MEMBERS,
    "GET tenant-history-changed": MEMBERS,
    "GET tenant-search": MEMBERS,
    "GET ensemble-search": READERS,
    "GET ensemble-history": READERS,
    "GET ensemble-history-at": READERS,
    "GET ensemble-history-changed": READERS,
    "GET ensemble-collected": READERS,
    "GET audit-verdicts": READERS,
    "GET audit": READERS,
    "GET audit-facets": READERS,
    "GET audit-export": READERS,
    "GET alerts": READERS,
    "GET alert-counts": READERS,
    "GET alert": READERS,
    "POST alert-acknowledge": OPERATORS,
    "POST alert-take-back": OPERATORS,
    "GET alert-silences": READERS,
    "POST alert-silences": OPERATORS,
    "GET alert-silence": READERS,
    "DELETE alert-silence": OPERATORS,
    "GET alert-channels": READERS,
    "POST alert-channels": OPERATORS,
    "GET alert-channel": READERS,
    "PATCH alert-channel": OPERATORS,
    "DELETE alert-channel": OPERATORS,
    "POST alert-channel-secret": OPERATORS,
    "POST alert-channel-test": OPERATORS,
    "GET alert-channel-log": READERS,
    "GET alert-rules": READERS,
    "GET alert-rule": READERS,
    "PUT alert-rule": OPERATORS,
    "GET tenant-alerts": MEMBERS,
    "GET tenant-alert-counts": MEMBERS,
    "GET tenant-alert": MEMBERS,
    "POST tenant-alert-acknowledge": SOME_MEMBERS,
    "POST tenant-alert-take-back": SOME_MEMBERS,
    "GET tenant-alert-silences": MEMBERS,
    "POST tenant-alert-silences": SOME_MEMBERS,
    "GET tenant-alert-silence": MEMBERS,
    "DELETE tenant-alert-silence": SOME_MEMBERS,
    "GET tenant-alert-channels": OWNERS,
    "POST tenant-alert-channels": OWNERS,
    "GET tenant-alert-channel": OWNERS,
    "PATCH tenant-alert-channel": OWNERS,
    "DELETE tenant-alert-channel": OWNERS,
    "POST tenant-alert-channel-secret": OWNERS,
    "POST tenant-alert-channel-test": OWNERS,
    "GET tenant-alert-channel-log": OWNERS,
    "GET tenant-sessions": MEMBERS,
    "GET tenant-session": MEMBERS,
    "DELETE tenant-session": OWNERS,
    "GET tenant-locks": MEMBERS,
    "GET ensemble-sessions": READERS,
    "GET ensemble-session": READERS,
    "DELETE ensemble-session": OPERATORS,
    "GET ensemble-locks": READERS,
    "GET searches": EVERYBODY,
    "POST searches": EVERYBODY,
    "GET search": "y444441",
    "DELETE search": "y444441",
    "GET policy": READERS,
    "POST policy-apply": OPERATORS,
    "GET people": READERS,
    "POST people": OPERATORS,
    "GET person": READERS,
    "PATCH person": OPERATORS,
    "POST person-password": OPERATORS,
    "POST person-activate": OPERATORS,
    "POST person-deactivate": OPERATORS,
    "POST person-mfa-reset": OPERATORS,
}
MAY_NOT = {"1": {401}, "3": {403}, "4": {404}}


def test_E10_the_proof_leaves_nothing_out() -> None:
    assert set(EXPECTED) == {f"{m} {name}" for name, methods in ROUTES.items() for m in methods}


@pytest.fixture
def addresses(tenant: Tenant, people: dict[str, User]) -> dict[str, Any]:
    """What the names in addresses stand for: all of it is there."""
    return one_of_each(tenant, people["alice"], "127.0.0.1:1").addresses()


@pytest.fixture
def everybody(people: dict[str, User]) -> dict[str, Caller]:
    found = {name: Caller(token_of(people[name])[1]) for name in PEOPLE}
    return {**found, "nobody": Caller()}


def address(name: str, addresses: dict[str, Any]) -> str:
    (route,) = [str(p.pattern) for p in patterns() if p.name == name]
    values = values_of(re.sub(r"<\w+:(\w+)>", r"{\1}", route), addresses)
    return reverse(f"api:{name}", kwargs=values).removeprefix("/api/v1/")


@pytest.mark.parametrize("what", EXPECTED)
def test_E10_the_whole_cast_at_every_route(
    what: str, addresses: dict[str, Any], everybody: dict[str, Caller]
) -> None:
    method, name = what.split()
    path = address(name, addresses)
    found = ""
    for person, letter in zip(CAST, EXPECTED[what], strict=True):
        body = None if method == "GET" else {}
        with transaction.atomic():
            status = everybody[person](method, path, body).status_code
            transaction.set_rollback(True)
        assert status not in (405, 500), (person, status)
        if letter != "y":
            found += letter if status in MAY_NOT[letter] else f"[{person}: {status}]"
        elif status == 403 and name == "invitation-accept":
            found += "y"  # may ask; the secret is none
        else:
            found += "y" if status not in (401, 403, 404) else f"[{person}: {status}]"
    assert found == EXPECTED[what]


def test_E10_strangers_get_the_same_answer_whether_a_tenant_exists_or_not(
    addresses: dict[str, Any], everybody: dict[str, Caller]
) -> None:
    carol = everybody["carol"]
    for name, methods in ROUTES.items():
        path = address(name, addresses)
        if "orders" not in path:
            continue
        for method in methods:
            body = None if method == "GET" else {}
            there = carol(method, path, body)
            nowhere = carol(method, path.replace("orders", "nowhere"), body)
            assert there.status_code == nowhere.status_code == 404
            assert there.json() == {
                **nowhere.json(),
                "detail": nowhere.json()["detail"].replace("nowhere", "orders"),
            }


def test_E10_a_token_of_one_tenant_is_a_stranger_everywhere_else(
    addresses: dict[str, Any], people: dict[str, User], tenant: Tenant
) -> None:
    other = Tenant.objects.create(
        slug="other", ensemble=tenant.ensemble, plan=tenant.plan, root="/tenants/other"
    )
    other.memberships.create(user=people["alice"], role=MemberRole.OWNER)
    caller = Caller(token_of(people["alice"], tenant=other)[1])
    for what in EXPECTED:
        method, name = what.split()
        path = address(name, addresses)
        body = None if method == "GET" else {}
        with transaction.atomic():
            status = caller(method, path, body).status_code
            transaction.set_rollback(True)
        if "orders" in path or name in ("token", "request", "request-withdraw"):
            assert status in (403, 404), what
        elif EXPECTED[what] == EVERYBODY and method == "POST":
            assert status == 403, what


def test_E10_a_token_with_a_smaller_role_does_what_that_role_does(
    addresses: dict[str, Any], people: dict[str, User], everybody: dict[str, Caller]
) -> None:
    """Alice by a viewer's token may in the tenant what bob may, by a developer's what dan may."""
    for role, like in ((MemberRole.VIEWER, "bob"), (MemberRole.DEVELOPER, "dan")):
        caller = Caller(token_of(people["alice"], role=role)[1])
        for what in EXPECTED:
            method, name = what.split()
            path = address(name, addresses)
            if "orders" not in path:
                continue
            body = None if method == "GET" else {}
            with transaction.atomic():
                found = caller(method, path, body).status_code
                transaction.set_rollback(True)
            with transaction.atomic():
                wanted = everybody[like](method, path, body).status_code
                transaction.set_rollback(True)
            assert found == wanted, (what, like)
    assert ApiToken.objects.exists()
