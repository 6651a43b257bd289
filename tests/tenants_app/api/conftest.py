"""Programs that call the API: the usual people, and a token of each."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client as Browser
from django.utils import timezone

from ensemble.admin.keys import save_key
from observability.models import Alert
from tenants import reach
from tenants.access import AUDITORS
from tenants.actions import tokens
from tenants.alerts.sealing import seal
from tenants.api.rates import rates
from tenants.audit import Actor
from tenants.bulk import places
from tenants.models import (
    AlertChannel,
    AlertSilence,
    ApiToken,
    Credential,
    Ensemble,
    Invitation,
    Job,
    MemberRole,
    Membership,
    Plan,
    Publication,
    Request,
    SavedSearch,
    Tenant,
)
from tests.harness import Node
from tests.tenants import KEY, make_tenants, trusting

COMMAND = Actor(None, "command")
PEOPLE = ["olga", "ada", "alice", "dan", "bob", "carol"]


class Caller:
    """A program with a token, or without one."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.browser = Browser(enforce_csrf_checks=True)

    def __call__(self, method: str, path: str, body: Any = None, /, **headers: str) -> Any:
        """An answer of Django's test client; `json()` has the body."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.text:
            given["authorization"] = f"Bearer {self.text}"
        options: dict[str, Any] = {"headers": given}
        if body is not None:
            options.update(data=body, content_type="application/json")
        return getattr(self.browser, method.lower())(f"/api/v1/{path}", **options)

    def get(self, path: str, /, **query: object) -> Any:
        """The body of a GET that succeeds."""
        answer = self.browser.get(
            f"/api/v1/{path}", query, headers={"authorization": f"Bearer {self.text}"}
        )
        assert answer.status_code == 200, answer.content
        return answer.json()


@pytest.fixture(autouse=True)
def full_buckets() -> Iterator[None]:
    """Leases of one test's callers are not the next one's."""
    rates.forget()
    yield
    rates.forget()


@pytest.fixture
def people(db: None) -> dict[str, User]:
    """The cast, without any tenant yet."""
    found = {name: User.objects.create_user(name, f"{name}@example.org") for name in PEOPLE}
    found["olga"].is_staff = True
    found["olga"].save()
    found["ada"].groups.add(Group.objects.get_or_create(name=AUDITORS)[0])
    return found


@pytest.fixture
def ensemble(db: None) -> Ensemble:
    """One that nobody serves: port 1 is closed."""
    return Ensemble.objects.create(name="main", hosts="127.0.0.1:1")


@pytest.fixture
def plan(db: None) -> Plan:
    return Plan.objects.create(
        name="tiny", title="Tiny", entry="self-service", limits={"znodes": 9}
    )


@pytest.fixture
def tenant(people: dict[str, User], ensemble: Ensemble, plan: Plan) -> Tenant:
    """`orders` of alice, with dan who develops and bob who looks."""
    made = Tenant.objects.create(
        slug="orders", ensemble=ensemble, plan=plan, root="/tenants/orders"
    )
    Publication.objects.create(tenant=made)
    for name, role in (
        ("alice", MemberRole.OWNER),
        ("dan", MemberRole.DEVELOPER),
        ("bob", MemberRole.VIEWER),
    ):
        Membership.objects.create(tenant=made, user=people[name], role=role)
    return made


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A server that trusts the key of tests, and has a tenant `orders`."""
    folder = Path(tmp_path_factory.mktemp("serving"))
    properties = {"extendedTypesEnabled": "true"}
    node = Node(folder / "node", trusting(folder), properties, []).start()
    asyncio.run(make_tenants(node.address, "orders"))
    save_key(KEY, folder / "operator.key")
    yield node
    node.kill9()


@pytest.fixture
def served(serving: Node, tenant: Tenant, settings: object) -> Iterator[Node]:
    """The ensemble `main` is that server."""
    Ensemble.objects.filter(pk=tenant.ensemble_id).update(hosts=serving.address)
    key = str(serving.folder.parent / "operator.key")
    settings.MAIN_KEYS = {"operator_key": key}  # type: ignore[attr-defined]
    reach.stop()
    yield serving
    reach.stop()


@dataclass
class Rows:
    """A row of each kind that has a number or a name of its own."""

    invitation: Invitation
    wish: Request
    token: ApiToken
    job: Job
    alert: Alert
    silence: AlertSilence
    channel: AlertChannel
    own_channel: AlertChannel
    search: SavedSearch

    def addresses(self) -> dict[str, Any]:
        """What stands behind a word in an address: all of it is there."""
        return {
            "tokens": self.token.prefix,
            "plans": "tiny",
            "tenants": "orders",
            "members": "bob",
            "invitations": self.invitation.pk,
            "credentials": "app",
            "requests": self.wish.pk,
            "jobs": self.job.key,
            "ensembles": "main",
            "nodes": "node1",
            "people": "carol",
            "alerts": self.alert.pk,
            "silences": self.silence.pk,
            "channels": self.channel.pk,
            "own channels": self.own_channel.pk,
            "rules": "sync-slow",
            "sessions": "0xab",
            "searches": self.search.pk,
        }


def values_of(path: str, addresses: dict[str, Any]) -> dict[str, Any]:
    """The values for an address like `tenants/{slug}/members/{username}`, by the words before."""
    found: dict[str, Any] = {}
    for before, part in pairwise(path.split("/")):
        if part.startswith("{"):
            own = "own channels" if before == "channels" and "slug" in found else before
            found[part.strip("{}")] = addresses[own]
    return found


def one_of_each(tenant: Tenant, person: User, node: str) -> Rows:
    """What addresses can name, beyond the tenant and its people; `node` is a node's address."""
    soon = timezone.now() + timedelta(days=1)
    Credential.objects.create(tenant=tenant, name="app", role="writer")
    invitation = Invitation.objects.create(
        tenant=tenant, role=MemberRole.VIEWER, secret_hash="0" * 64, expires_at=soon
    )
    wish = Request.objects.create(
        kind="create",
        asked_by=person,
        slug="wished",
        ensemble=tenant.ensemble,
        plan=tenant.plan,
    )
    token, _ = token_of(person, name="another")
    tenant.ensemble.nodes.create(name="node1", client=node)
    job = Job.objects.create(
        kind="export",
        state="done",
        person=person,
        via="api:session",
        where="tenant",
        tenant=tenant,
        ensemble=tenant.ensemble.name,
        path="/",
        file_name="orders.json",
        expires_at=soon,
    )
    places.folder(job)
    places.file(job, places.DOWNLOAD).write_bytes(b"{}")
    return Rows(
        invitation,
        wish,
        token,
        job,
        make_alert(),
        AlertSilence.objects.create(
            tenant="orders", reason="a load test", made_by="dan", ends_at=soon
        ),
        make_channel(None),
        make_channel(tenant),
        SavedSearch.objects.create(user=person, tenant="orders", name="mine", query="path=/a"),
    )


def make_alert(rule: str = "quota-full", **more: Any) -> Alert:
    """One that fires, of the tenant `orders`."""
    now = time.time_ns() // 1_000_000
    fields: dict[str, Any] = {
        "rule": rule,
        "ensemble": "main",
        "tenant": "orders",
        "severity": "page",
        "status": "firing",
        "summary": f"summary of {rule}",
        "since": now - 60_000,
        "seen_at": now,
        "fired_at": now - 30_000,
        "evidence": {"now": {"used": 990, "limit": 1_000, "at": now}},
    }
    return Alert.objects.create(**{**fields, **more})


def make_channel(tenant: Tenant | None) -> AlertChannel:
    return AlertChannel.objects.create(
        name="hook",
        kind="webhook",
        tenant=tenant,
        url="https://hooks.example.com/in/secret-part",
        secret=seal("s"),
        made_by="olga",
    )


Login = Callable[..., Caller]


@pytest.fixture
def login(people: dict[str, User]) -> Login:
    """A caller with a token of somebody; as an operator's or auditor's where it is one."""

    def make(name: str, **options: Any) -> Caller:
        return Caller(token_of(people[name], **options)[1])

    return make


def token_of(user: User, **options: Any) -> tuple[ApiToken, str]:
    user = User.objects.get(pk=user.pk)
    is_high = user.is_staff or user.groups.exists()
    settings: dict[str, Any] = {
        "user": user,
        "name": "test",
        "tenant": None,
        "role": MemberRole.OWNER,
        "as_operator": is_high and "tenant" not in options,
        "expires_at": timezone.now() + timedelta(days=60),
        **options,
    }
    return tokens.make(COMMAND, **settings)
