"""The whole walk by the API alone: a person without rights gets a namespace, and everything after.

On a real node; commits are real, so that what the ensemble has to know gets there by itself.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import StringIO
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from ensemble.client import AuthFailedError, Client, NoAuthError, QuotaExceededError
from tenants.actions import people
from tenants.models import ApiToken, Ensemble, Plan
from tests.harness import Node
from tests.tenants import tenant_client
from tests.tenants_app.api.conftest import COMMAND, Caller

T = TypeVar("T")

pytestmark = pytest.mark.django_db(transaction=True)


def use(node: Node, auth: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do something as an application with a credential."""

    async def run() -> T:
        async with tenant_client(node.address, auth.encode()) as client:
            return await work(client)

    return asyncio.run(run())


def done(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()


def command(*words: str) -> Any:
    out = StringIO()
    call_command(*words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_from_nothing_to_a_namespace_and_all_that_follows(
    small: Plan, one: Ensemble, registry_node: Node
) -> None:
    people.create(COMMAND, username="olga", operator=True)
    olga = Caller(command("token", "make", "olga", "--as-operator")["token"])
    done(olga("POST", "people", {"username": "alice", "email": "alice@example.org"}), 201)
    alice = Caller(command("token", "make", "alice")["token"])

    # A tenant, in force when the answer comes, and a credential of it.
    wish = {"slug": "walk", "plan": "small", "title": "A walk"}
    made = done(alice("POST", "tenants", wish, Idempotency_Key="walk-1"), 201)
    assert made["publication"] == "applied"
    assert made["connect"] == registry_node.address
    again = alice("POST", "tenants", wish, Idempotency_Key="walk-1")
    assert again["Idempotency-Replayed"] == "true"
    assert done(again, 201)["slug"] == "walk"
    app = done(alice("POST", "tenants/walk/credentials", {"name": "app", "role": "writer"}), 201)
    use(registry_node, app["auth"], lambda c: c.create("/hello", b"world"))
    read = alice.get("tenants/walk/znodes", path="/hello")
    assert read["data"] == "world"

    # Rotated with an overlap: both secrets work; without one, the old ones are void.
    newer = done(
        alice("POST", "tenants/walk/credentials/app/rotate", {"overlap_s": 600}),
    )
    for auth in (app["auth"], newer["auth"]):
        use(registry_node, auth, lambda c: c.get("/hello"))
    newest = done(alice("POST", "tenants/walk/credentials/app/rotate", {}))
    with pytest.raises(AuthFailedError):
        use(registry_node, app["auth"], lambda c: c.get("/hello"))
    use(registry_node, newest["auth"], lambda c: c.get("/hello"))

    # The quota holds; an operator raises it; alice could not have.
    done(olga("PUT", "tenants/walk/limits", {"overrides": {"znodes": 2}, "weight": None}))
    with pytest.raises(QuotaExceededError):
        use(registry_node, newest["auth"], lambda c: c.create("/more", b""))
    answer = alice("PUT", "tenants/walk/limits", {"overrides": {}, "weight": None})
    assert answer.status_code == 403
    refused = alice("POST", "tenants/walk/znodes", {"path": "/more"})
    assert (refused.status_code, refused.json()["code"]) == (409, "quota-exceeded")
    done(olga("PUT", "tenants/walk/limits", {"overrides": {}, "weight": None}))
    use(registry_node, newest["auth"], lambda c: c.create("/more", b""))

    # Suspended: reads pass, writes do not.
    done(olga("POST", "tenants/walk/suspend", {"reason": "a test"}))
    use(registry_node, newest["auth"], lambda c: c.get("/hello"))
    with pytest.raises(NoAuthError):
        use(registry_node, newest["auth"], lambda c: c.set("/hello", b"x"))
    done(olga("POST", "tenants/walk/resume", {}))
    use(registry_node, newest["auth"], lambda c: c.set("/hello", b"x"))

    # Deleted: nobody gets in; brought back with its credential and its data.
    assert alice("DELETE", "tenants/walk?confirm=wolk").status_code == 400
    gone = done(alice("DELETE", "tenants/walk?confirm=walk"))
    assert gone["lifecycle"] == "deleted"
    with pytest.raises(AuthFailedError):
        use(registry_node, newest["auth"], lambda c: c.get("/hello"))
    done(alice("POST", "tenants/walk/restore", {}))
    assert use(registry_node, newest["auth"], lambda c: c.get("/hello"))[0] == b"x"


def test_what_is_not_self_service_is_asked_for_and_members_are_invited(
    small: Plan, one: Ensemble, registry_node: Node
) -> None:
    people.create(COMMAND, username="olga", operator=True)
    for name in ("alice", "dan"):
        people.create(COMMAND, username=name)
    olga = Caller(command("token", "make", "olga", "--as-operator")["token"])
    alice, dan = (Caller(command("token", "make", name)["token"]) for name in ("alice", "dan"))
    refused = alice("POST", "tenants", {"slug": "big", "plan": "medium"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, "plan")
    wish = {"kind": "create", "slug": "big", "plan": "medium", "purpose": "All orders"}
    asked = done(alice("POST", "requests", wish), 201)
    assert dan("GET", f"requests/{asked['id']}").status_code == 404
    assert olga.get("requests", status="pending")["results"][0]["purpose"] == "All orders"
    done(olga("POST", f"requests/{asked['id']}/approve", {"answer": "Welcome"}))
    assert alice.get("tenants/big")["plan"] == "medium"
    invited = done(alice("POST", "tenants/big/invitations", {"role": "developer"}), 201)
    assert "secret" not in alice.get("tenants/big/invitations")["results"][0]
    assert dan("GET", "tenants/big").status_code == 404
    done(dan("POST", "invitations/accept", {"secret": invited["secret"]}))
    assert dan("POST", "invitations/accept", {"secret": invited["secret"]}).status_code == 403
    assert dan.get("me")["memberships"][0]["role"] == "developer"
    last = alice("DELETE", "tenants/big/members/alice")
    assert (last.status_code, last.json()["code"]) == (409, "conflict")


def test_tokens_by_the_command_line(db: None) -> None:
    people.create(COMMAND, username="alice")
    made = command("token", "make", "alice", "--name", "ci", "--days", "2")
    assert Caller(made["token"]).get("me")["username"] == "alice"
    listed = command("token", "list", "--person", "alice")
    assert [(row["name"], row["role"]) for row in listed] == [("ci", "owner")]
    assert made["token"] not in str(listed)
    assert command("token", "revoke", made["prefix"])["revoked"]
    assert Caller(made["token"])("GET", "me").status_code == 401
    for words, problem in (
        (["make", "nobody"], "nobody called"),
        (["make", "alice", "--as-operator"], "neither operator nor auditor"),
        (["make", "alice", "--days", "400"], "use 1 to 366"),
        (["make", "alice", "--tenant", "nowhere"], "no tenant nowhere"),
        (["revoke", "x"], "no token x"),
    ):
        with pytest.raises(CommandError, match=problem):
            command("token", *words)
    assert ApiToken.objects.count() == 1
    assert User.objects.count() == 1
