"""TLS certificates of tenants: the session is bound before its client hears that it has one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.admin.draft import Draft, DraftCredential
from ensemble.client import Client, ClientError, NoNodeError
from tests.harness import Node, RawClient
from tests.ports import free_port
from tests.server.authority import Authority, tls_settings
from tests.server.starting import until
from tests.tenants import AUTH_FAILED, make_tenants, operator, present, trusting

TENANTS = "/zookeeper/tenants"
Connect = Callable[..., RawClient]


async def tls_node(
    start_node: Callable[..., Node], authority: Authority, folder: Path
) -> tuple[Node, int, dict[str, bytes]]:
    """A server with tenants a and b; alice's certificate is a reader's of a."""
    port = free_port()
    settings = {**tls_settings(authority, port, False, "want"), **trusting(folder)}
    node = start_node(settings)
    tokens = await make_tenants(node.address, "a", "b")

    def change(draft: Draft) -> None:
        subjects = ["CN=alice,O=Acme"]
        draft.credentials.append(DraftCredential(name="cert", role="writer", subjects=subjects))

    async with operator(node.address) as admin:
        await provision.update(admin, "a", change)
    return node, port, tokens


async def test_a_certificate_needs_nothing_else(
    start_node: Callable[..., Node], authority: Authority, tmp_path: Path
) -> None:
    node, port, _ = await tls_node(start_node, authority, tmp_path / "keys")
    alice, _ = authority.issue("alice")
    async with Client(f"localhost:{port}", tls=authority.context(alice)) as client:
        assert ("tenant", "cert@a") in {(id.scheme, id.id) for id in await client.whoami()}
        await client.create("/mine", b"x")
        async with operator(node.address) as admin:
            assert (await admin.get("/tenants/a/mine"))[0] == b"x"
            name = f"{client.session_id & 0xFFFFFFFFFFFFFFFF:016x}"
            assert await admin.children(f"{TENANTS}/a") == [name]
        # The same session on another connection writes nothing more.
        session = (client.session_id, client.session_password)
        again = Client(f"localhost:{port}", tls=authority.context(alice), resume=session)
        async with again:
            assert (await again.get("/mine"))[0] == b"x"
    async with operator(node.address) as admin:
        assert await admin.children(f"{TENANTS}/a") == []


async def test_a_certificate_that_nobody_knows_is_outside(
    start_node: Callable[..., Node], authority: Authority, tmp_path: Path
) -> None:
    _, port, tokens = await tls_node(start_node, authority, tmp_path / "keys")
    bob, _ = authority.issue("bob")
    async with Client(f"localhost:{port}", tls=authority.context(bob)) as client:
        ids = {id.scheme for id in await client.whoami()}
        assert "tenant" not in ids
        await client.add_auth("tenant", tokens["b"])
        await client.create("/of-b", b"")
        with pytest.raises(NoNodeError):
            await client.get("/mine")


async def test_a_session_of_another_tenant_is_not_taken_by_certificate(
    start_node: Callable[..., Node], authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    node, port, tokens = await tls_node(start_node, authority, tmp_path / "keys")
    victim = connect(node.port)
    assert present(victim, "tenant", tokens["b"]) == 0
    alice, _ = authority.issue("alice")
    thief = Client(
        f"localhost:{port}",
        tls=authority.context(alice),
        resume=(victim.session_id, victim.password),
    )
    with pytest.raises(ClientError):
        await thief.connect()
    until(lambda: "the session belongs to tenant b, not to a" in node.log())
    again = connect(node.port, session_id=victim.session_id, password=victim.password)
    assert present(again, "tenant", tokens["a"]) == AUTH_FAILED


async def test_a_subject_that_is_taken_away_ends_its_sessions(
    start_node: Callable[..., Node], authority: Authority, tmp_path: Path
) -> None:
    node, port, _ = await tls_node(start_node, authority, tmp_path / "keys")
    alice, _ = authority.issue("alice")
    client = Client(f"localhost:{port}", tls=authority.context(alice))
    await client.connect()
    name = f"{client.session_id & 0xFFFFFFFFFFFFFFFF:016x}"
    async with operator(node.address) as admin:
        await provision.revoke_credential(admin, "a", "cert")
        async with asyncio.timeout(5):
            while name in await admin.children(f"{TENANTS}/a"):  # noqa: ASYNC110 - the server decides
                await asyncio.sleep(0.02)
    await client.close()


async def test_a_draining_tenant_takes_no_new_certificates_and_leaves_no_session(
    start_node: Callable[..., Node], authority: Authority, tmp_path: Path
) -> None:
    node, port, _ = await tls_node(start_node, authority, tmp_path / "keys")
    alice, _ = authority.issue("alice")
    async with operator(node.address) as admin:
        await provision.set_state(admin, "a", "draining")
    client = Client(f"localhost:{port}", tls=authority.context(alice))
    with pytest.raises(ClientError):
        await client.connect(2)
    await client.close()
    until(lambda: "tenant a is draining" in node.log())
    until(lambda: "zk_global_sessions\t0" in node.word("mntr").decode())
