"""Provisioning under the hands of several operators at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.admin.draft import Draft, draft_of
from ensemble.admin.errors import ConflictError, ProvisionError
from ensemble.client import Client
from ensemble.tenancy.registry import read_tenant
from tests.harness import Node
from tests.tenants import KEY, make_tenants, operator, start_trusting, tenant_client


@pytest.fixture
def tenant_node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_trusting(start_node, tmp_path / "keys")


async def test_changes_of_several_operators_are_all_kept(tenant_node: Node) -> None:
    await make_tenants(tenant_node.address, "a")
    clients = [operator(tenant_node.address, f"op{i}") for i in range(4)]
    for client in clients:
        await client.connect()
    try:
        names = [f"c{i}" for i in range(len(clients))]
        await asyncio.gather(
            *(
                provision.add_credential(client, "a", name, "reader")
                for client, name in zip(clients, names, strict=True)
            )
        )
        kept = await provision.read(clients[0], "a")
        assert kept.draft is not None
        assert {c.name for c in kept.draft.credentials} == {"app", *names}
    finally:
        for client in clients:
            await client.close()


async def test_of_two_who_make_the_same_tenant_one_is_told(tenant_node: Node) -> None:
    await make_tenants(tenant_node.address)
    async with operator(tenant_node.address) as one, operator(tenant_node.address) as other:
        results = await asyncio.gather(
            *(provision.create(client, Draft(slug="a")) for client in (one, other)),
            *(provision.create(client, Draft(slug=s)) for client, s in ((one, "b"), (other, "c"))),
            return_exceptions=True,
        )
        assert sum(isinstance(result, ConflictError) for result in results) == 1
        assert sum(result is None for result in results) == 3
        assert {kept.slug for kept in await provision.read_all(one)} == {"a", "b", "c"}


async def test_a_failed_creation_leaves_nothing(tenant_node: Node) -> None:
    await make_tenants(tenant_node.address)
    async with operator(tenant_node.address) as admin:
        await admin.create("/taken", b"")
        with pytest.raises(ConflictError, match="/taken exists already"):
            await provision.create(admin, Draft(slug="a", root="/taken"))
        assert await provision.read_all(admin) == []
        with pytest.raises(ProvisionError, match="does not exist"):
            await provision.adopt(admin, Draft(slug="a", root="/missing"))


async def test_five_rotations_at_once_are_one_too_many(tenant_node: Node) -> None:
    await make_tenants(tenant_node.address, "a")
    async with operator(tenant_node.address) as admin:
        for _ in range(3):
            await provision.rotate_credential(admin, "a", "app", overlap_ms=60_000)
        with pytest.raises(ProvisionError, match="4 secrets that are still valid, at most 4"):
            await provision.rotate_credential(admin, "a", "app", overlap_ms=60_000)
        await provision.rotate_credential(admin, "a", "app", overlap_ms=0)


async def test_a_tenant_with_sessions_is_deleted_with_all_that_it_had(tenant_node: Node) -> None:
    tokens = await make_tenants(tenant_node.address, "a")
    client = tenant_client(tenant_node.address, tokens["a"])
    await client.connect()
    await client.create("/x", b"")
    async with operator(tenant_node.address) as admin:
        with pytest.raises(ProvisionError, match="holds 1 znodes"):
            await provision.delete(admin, "a", with_data=False)
        assert (await provision.read(admin, "a")).sessions == 1
        await provision.delete(admin, "a", with_data=True)
        for path in ("/zookeeper/tenants/a", "/tenants/a", "/zookeeper/quota/tenants/a"):
            assert await admin.exists(path) is None, path
    await client.close()


async def test_who_is_no_operator_provisions_nothing(tenant_node: Node) -> None:
    tokens = await make_tenants(tenant_node.address, "a")
    for client in (
        Client(tenant_node.address),
        tenant_client(tenant_node.address, tokens["a"]),
        operator(tenant_node.address, role="writer"),
        operator(tenant_node.address, tenant="a"),
    ):
        async with client as user:
            for attempt in (
                provision.create(user, Draft(slug="b")),
                provision.add_credential(user, "a", "mine", "admin"),
                provision.init(user, KEY.id, KEY.public),
            ):
                with pytest.raises(Exception, match=r"NoAuth|no registry|NoNode"):
                    await attempt


def test_a_document_survives_being_read_and_written() -> None:
    draft = Draft(slug="a", root="/kafka", limits={"znodes": 0}, weight=9, audit_reads=True)
    draft.signing_keys["k"] = bytes(range(32))
    made = provision.make_secret("a", "app")
    assert made.secret not in repr(made)
    raw = draft.encode()
    assert draft_of(read_tenant("a", raw, 3)).encode() == raw
