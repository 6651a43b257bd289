"""From a commit in SQL to every node, whatever goes wrong on the way."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import TypeVar

import pytest
from django.db import transaction
from django.utils import timezone

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.client import AuthFailedError, Client, ClientError, CreateMode, NoAuthError
from tenants import publication, registry
from tenants.actions import credentials, tenants
from tenants.actions.base import changed
from tenants.models import Credential, CredentialSecret, Ensemble, Plan, Publication, Tenant
from tenants.zk import Loop
from tests.harness import Node
from tests.tenants import operator, tenant_client
from tests.tenants_app.conftest import Cast, acts

T = TypeVar("T")

pytestmark = pytest.mark.django_db(transaction=True)


def admin_does(node: Node, work: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with operator(node.address) as admin:
            return await work(admin)

    return asyncio.run(run())


def tenant_does(node: Node, token: str, work: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with tenant_client(node.address, token.encode()) as client:
            return await work(client)

    return asyncio.run(run())


def standing(node: Node, slug: str) -> provision.Registered:
    return admin_does(node, lambda client: provision.read(client, slug))


def row(tenant: Tenant) -> Publication:
    return Publication.objects.get(tenant=tenant)


def make(cast: Cast, small: Plan, one: Ensemble, slug: str) -> Tenant:
    return tenants.create(acts(cast.alice), slug=slug, plan=small, ensemble=one, owner=cast.alice)


def test_a_tenant_is_in_force_when_its_action_returns(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "fresh")
    published = row(tenant)
    assert published.status == "applied", (published.error, published.nodes)
    assert published.nodes == {"node1": 0}
    assert published.applied == published.written == published.wanted == tenant.revision
    kept = standing(registry_node, "fresh").draft
    assert kept is not None
    assert kept.limits == small.limits

    made = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")

    async def write(client: Client) -> bytes:
        await client.create("/x", b"1")
        return (await client.get("/x"))[0]

    assert tenant_does(registry_node, made.token, write) == b"1"


def test_a_document_that_nodes_refuse_is_a_failure_with_their_words(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    async def by_hand(client: Client) -> None:
        await provision.create(client, Draft(slug="older"))
        await provision.add_credential(client, "older", "app", "reader", subjects=("CN=app",))

    admin_does(registry_node, by_hand)
    tenant = make(cast, small, one, "younger")
    credentials.create(
        acts(cast.alice), tenant=tenant, name="app", role="reader", subjects=["CN=app"]
    )
    failed = row(tenant)
    assert (failed.status, failed.written, failed.applied) == ("failed", 2, 1)
    assert failed.error.startswith("node1 refuses the document: ")
    assert "CN=app" in failed.error
    credentials.revoke(acts(cast.alice), credential=Credential.objects.get(tenant=tenant))
    assert row(tenant).status == "applied", row(tenant).error


def test_the_same_revision_is_written_once(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "once")
    tenants.set_limits(acts(cast.olga), tenant=tenant, overrides={"znodes": 5}, weight=None)
    version = standing(registry_node, "once").version
    for _ in range(3):
        assert publication.publish(tenant.pk).status == "applied"
    assert standing(registry_node, "once").version == version == 1


def test_a_rotated_secret_overlaps_and_a_revoked_one_is_void(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "turning")
    first = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")
    credential = Credential.objects.get(tenant=tenant, name="app")
    second = credentials.rotate(
        acts(cast.alice), credential=credential, overlap=timedelta(minutes=5)
    )
    for made in (first, second):
        assert tenant_does(registry_node, made.token, lambda client: client.children("/"))
    third = credentials.rotate(acts(cast.alice), credential=credential)
    for made in (first, second):
        with pytest.raises(AuthFailedError):
            tenant_does(registry_node, made.token, lambda client: client.children("/"))
    assert tenant_does(registry_node, third.token, lambda client: client.children("/"))
    credentials.revoke(acts(cast.alice), credential=credential)
    with pytest.raises(AuthFailedError):
        tenant_does(registry_node, third.token, lambda client: client.children("/"))


def test_suspended_deleted_restored_and_purged(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "leaving")
    made = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")
    tenant_does(registry_node, made.token, lambda client: client.create("/kept", b"1"))

    tenants.suspend(acts(cast.olga), tenant=tenant, reason="too loud")
    with pytest.raises(NoAuthError):
        tenant_does(registry_node, made.token, lambda client: client.set("/kept", b"2"))
    tenants.resume(acts(cast.olga), tenant=tenant)

    tenants.delete(acts(cast.alice), tenant=tenant, confirm="leaving")
    assert row(tenant).status == "applied"
    with pytest.raises(AuthFailedError):
        tenant_does(registry_node, made.token, lambda client: client.children("/"))

    tenants.restore(acts(cast.alice), tenant=tenant)
    data, _ = tenant_does(registry_node, made.token, lambda client: client.get("/kept"))
    assert data == b"1"

    tenants.delete(acts(cast.alice), tenant=tenant, confirm="leaving")
    tenants.purge(acts(cast.olga), tenant=tenant)
    assert row(tenant).status == "applied", row(tenant).error
    for path in (
        "/zookeeper/tenants/leaving",
        "/tenants/leaving",
        "/zookeeper/quota/tenants/leaving",
    ):
        assert admin_does(registry_node, lambda client, p=path: client.exists(p)) is None, path
    again = make(cast, small, one, "leaving")
    assert row(again).status == "applied"


def test_a_large_tree_is_removed_in_slices_and_the_wall_stands_meanwhile(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make(cast, small, one, "large")
    free = {"writes_per_second": None, "requests_per_second": None}
    tenants.set_limits(acts(cast.olga), tenant=tenant, overrides=free, weight=None)
    made = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")

    async def fill(client: Client) -> None:
        for name in ("wide", "wide/deep", "wide/deep/deeper"):
            await client.create(f"/{name}", b"")
            await asyncio.gather(*(client.create(f"/{name}/n{n}", b"") for n in range(300)))

    tenant_does(registry_node, made.token, fill)
    monkeypatch.setattr(registry, "REMOVAL_SLICE_S", 0.0)
    tenants.delete(acts(cast.alice), tenant=tenant, confirm="large")
    tenants.purge(acts(cast.olga), tenant=tenant)
    assert (row(tenant).status, row(tenant).error) == ("pending", "its data are being removed")
    assert standing(registry_node, "large").draft is not None

    async def look_from_outside() -> None:
        async with Client(registry_node.address) as stranger:
            await stranger.children("/tenants/large")

    with pytest.raises(NoAuthError):
        asyncio.run(look_from_outside())
    monkeypatch.setattr(registry, "REMOVAL_SLICE_S", 30.0)
    assert publication.publish_due() == 1
    assert row(tenant).status == "applied", row(tenant).error
    assert admin_does(registry_node, lambda client: client.exists("/tenants/large")) is None


def test_a_secret_is_exchanged_under_a_running_client(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    """Who presents the new one within the overlap keeps connection, session and ephemerals."""
    tenant = make(cast, small, one, "running")
    first = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")
    credential = Credential.objects.get(tenant=tenant)

    clients = Loop()  # beside this thread, which has the database

    def do(work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, clients.loop).result(30)

    async def connected() -> Client:
        client = tenant_client(registry_node.address, first.token.encode())
        await client.connect()
        return client

    async def create(client: Client) -> None:
        await client.create("/mine", b"", mode=CreateMode.EPHEMERAL)

    async def present(client: Client, token: str) -> None:
        await client.add_auth("tenant", token.encode())
        await client.set("/mine", b"during the overlap")

    async def until_cut(client: Client) -> None:
        with pytest.raises(ClientError):
            while True:  # until the node's next tick
                await client.get("/mine")
        await client.close()

    async def owner(client: Client) -> int:
        _, stat = await client.get("/mine")
        return stat.ephemeral_owner

    try:
        moving, staying = do(connected()), do(connected())
        do(create(moving))
        second = credentials.rotate(
            acts(cast.alice), credential=credential, overlap=timedelta(minutes=5)
        )
        do(present(moving, second.token))
        assert do(owner(staying)) == moving.session_id
        end_overlap(tenant)
        do(until_cut(staying))
        assert do(owner(moving)) == moving.session_id
        do(moving.close())
    finally:
        clients.stop()


def end_overlap(tenant: Tenant) -> None:
    """The time of all secrets but the youngest is over."""
    over = timezone.now() - timedelta(seconds=1)
    CredentialSecret.objects.filter(credential__tenant=tenant, until__isnull=False).update(
        until=over
    )
    tenant.refresh_from_db()
    with transaction.atomic():
        changed(tenant)
