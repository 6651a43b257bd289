"""Schemes tenant and operator at a running server: who gets in, who does not, what is bound."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.client import (
    CREATOR_ACL,
    OPEN_ACL,
    Acl,
    AuthFailedError,
    Client,
    DigestMd5,
    Id,
    InvalidAclError,
    NoAuthError,
)
from tests.harness import Node, RawClient, create_body, set_body, text
from tests.server.starting import until
from tests.tenants import (
    AUTH_FAILED,
    CREATE,
    GET,
    KEY,
    NO_AUTH,
    PING,
    SET,
    is_closed,
    make_tenants,
    operator,
    present,
    send_auth,
    session_name,
    start_trusting,
    tenant_client,
    whoami,
)

Connect = Callable[..., RawClient]
TENANTS = "/zookeeper/tenants"


@pytest.fixture
def tenant_node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_trusting(start_node, tmp_path / "keys")


async def bindings(address: str, slug: str) -> list[str]:
    async with operator(address) as admin:
        return sorted(await admin.children(f"{TENANTS}/{slug}"))


async def until_bound(admin: Client, slug: str, names: list[str]) -> None:
    """Wait until these are the tenant's sessions, five seconds at most."""
    async with asyncio.timeout(5):
        while sorted(await admin.children(f"{TENANTS}/{slug}")) != names:  # noqa: ASYNC110 - other
            await asyncio.sleep(0.02)  # processes decide when


async def test_a_secret_binds_the_session_to_its_tenant(
    tenant_node: Node, connect: Connect
) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    assert ("tenant", "app@payments") in whoami(client)
    name = session_name(client)
    assert await bindings(tenant_node.address, "payments") == [name]
    async with operator(tenant_node.address) as admin:
        data, stat = await admin.get(f"{TENANTS}/payments/{name}")
        assert json.loads(data) == {"who": "app@payments", "role": "writer"}
        assert stat.ephemeral_owner == client.session_id
        acl, _ = await admin.get_acl(f"{TENANTS}/payments/{name}")
        assert [(entry.perms, entry.id.scheme) for entry in acl] == [(0, "world")]
    client.request(1, -11)
    assert client.reply()[2] == 0
    assert await bindings(tenant_node.address, "payments") == []


@pytest.mark.parametrize(
    "token",
    [
        b"payments:wrong",
        b"payments:",
        b"payments",
        b"",
        b":secret",
        b"nobody:secret",
        b"PAYMENTS:x",
        b"payments:" + b"x" * 5_000,
        b"\xff\xfe:x",
    ],
)
async def test_a_wrong_secret_is_refused_and_closes(
    tenant_node: Node, connect: Connect, token: bytes
) -> None:
    await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", token) == AUTH_FAILED
    assert is_closed(client)
    assert await bindings(tenant_node.address, "payments") == []
    until(lambda: "auth refused" in tenant_node.log())


async def test_a_secret_of_one_tenant_opens_no_other(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments", "search")
    secret = tokens["payments"].partition(b":")[2]
    client = connect(tenant_node.port)
    assert present(client, "tenant", b"search:" + secret) == AUTH_FAILED
    assert is_closed(client)


async def test_a_bound_session_stays_its_tenants(tenant_node: Node, connect: Connect) -> None:
    """Takeover: another tenant's credential on the session, at once and after a reconnect."""
    tokens = await make_tenants(tenant_node.address, "payments", "search")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    assert present(client, "tenant", tokens["payments"]) == 0
    assert present(client, "tenant", tokens["search"]) == AUTH_FAILED
    assert is_closed(client)
    session = {"session_id": client.session_id, "password": client.password}
    for scheme, token in (("tenant", tokens["search"]), ("operator", KEY.sign("alice"))):
        again = connect(tenant_node.port, **session)
        assert present(again, scheme, token) == AUTH_FAILED
        assert is_closed(again)
    again = connect(tenant_node.port, **session)
    assert present(again, "tenant", tokens["payments"]) == 0
    assert await bindings(tenant_node.address, "payments") == [session_name(client)]
    assert await bindings(tenant_node.address, "search") == []


async def test_a_reconnect_writes_nothing(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    async with operator(tenant_node.address) as admin:
        path = f"{TENANTS}/payments/{session_name(client)}"
        _, before = await admin.get(path)
        again = connect(tenant_node.port, session_id=client.session_id, password=client.password)
        assert present(again, "tenant", tokens["payments"]) == 0
        _, after = await admin.get(path)
    assert (after.czxid, after.mzxid) == (before.czxid, before.mzxid)


async def test_secrets_overlap_while_they_rotate(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    async with operator(tenant_node.address) as admin:
        made = await provision.rotate_credential(admin, "payments", "app", overlap_ms=60_000)
        new = made.token.encode()
        for token in (tokens["payments"], new):
            assert present(connect(tenant_node.port), "tenant", token) == 0
        await provision.rotate_credential(admin, "payments", "app", overlap_ms=0)
        for token in (tokens["payments"], new):
            client = connect(tenant_node.port)
            assert present(client, "tenant", token) == AUTH_FAILED


async def test_an_expired_secret_ends_its_sessions(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    async with operator(tenant_node.address) as admin:
        await provision.rotate_credential(admin, "payments", "app", overlap_ms=500)
        assert is_closed(client)
    again = RawClient(tenant_node.port)
    assert not again.connect(session_id=client.session_id, password=client.password)
    again.close()
    assert present(connect(tenant_node.port), "tenant", tokens["payments"]) == AUTH_FAILED


async def test_a_revoked_credential_ends_its_sessions(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    absent = connect(tenant_node.port)  # its client is away when it happens
    assert present(absent, "tenant", tokens["payments"]) == 0
    absent.close()
    async with operator(tenant_node.address) as admin:
        other = await provision.add_credential(admin, "payments", "other", "reader")
        stays = connect(tenant_node.port)
        assert present(stays, "tenant", other.token.encode()) == 0
        await provision.revoke_credential(admin, "payments", "app")
        assert is_closed(client)
        await until_bound(admin, "payments", [session_name(stays)])
    assert ("tenant", "other@payments") in whoami(stays)


async def test_a_role_changes_on_running_connections(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    async with operator(tenant_node.address) as admin:
        closed = (Acl(0, Id("world", "anyone")),)
        await admin.create("/tenants/payments/closed", b"x", acl=closed)
        may = {"writer": (NO_AUTH, 0), "admin": (0, 0), "reader": (NO_AUTH, NO_AUTH)}
        for xid, role in enumerate(("writer", "admin", "reader", "writer"), 1):

            def change(draft: Draft, role: str = role) -> None:
                draft.credential("app").role = role

            await provision.update(admin, "payments", change)
            assert ("tenant", "app@payments") in whoami(client)
            client.request(xid, GET, text("/closed") + b"\0")
            read = client.reply()[2]
            client.request(xid, CREATE, create_body(f"/{xid}"))
            assert (read, client.reply()[2]) == may[role], role


async def test_a_draining_tenant_takes_no_new_sessions(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    async with operator(tenant_node.address) as admin:
        await provision.set_state(admin, "payments", "draining")
        fresh = connect(tenant_node.port)
        assert present(fresh, "tenant", tokens["payments"]) == AUTH_FAILED
        again = connect(tenant_node.port, session_id=client.session_id, password=client.password)
        assert present(again, "tenant", tokens["payments"]) == 0
        await provision.set_state(admin, "payments", "active")
        assert present(connect(tenant_node.port), "tenant", tokens["payments"]) == 0


async def test_sasl_users_of_tenants_need_no_login_file(tenant_node: Node) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    secret = tokens["payments"].decode().partition(":")[2]
    async with Client(tenant_node.address, sasl=DigestMd5("app@payments", secret)) as client:
        ids = {(id.scheme, id.id) for id in await client.whoami()}
        assert ("tenant", "app@payments") in ids
        assert len(await bindings(tenant_node.address, "payments")) == 1
    for user, password in (
        ("app@payments", "wrong"),
        ("app@search", secret),
        ("eve@payments", secret),
        ("app", secret),
    ):
        stranger = Client(tenant_node.address, sasl=DigestMd5(user, password))
        with pytest.raises(AuthFailedError):
            await stranger.connect()


async def test_no_secret_is_ever_logged(tenant_node: Node, connect: Connect) -> None:
    """Canary (trust.md 5.3): right, wrong, without a slug, with SASL; also at the end."""
    tokens = await make_tenants(tenant_node.address, "payments")
    secret = tokens["payments"].partition(b":")[2]
    assert present(connect(tenant_node.port), "tenant", tokens["payments"]) == 0
    canaries = [b"canary-one", b"canary-two:x", b"search:canary-three", b"payments:canary-four"]
    for canary in canaries:
        assert present(connect(tenant_node.port), "tenant", canary) == AUTH_FAILED
        assert present(connect(tenant_node.port), "operator", canary) == AUTH_FAILED
    with pytest.raises(AuthFailedError):
        await Client(tenant_node.address, sasl=DigestMd5("app@payments", "canary-five")).connect()
    assertion = KEY.sign("alice")
    assert present(connect(tenant_node.port), "operator", assertion) == 0
    tenant_node.stop()
    log = tenant_node.log_path.read_text()
    assert "auth refused" in log
    for word in ("canary", secret.decode(), assertion.decode()):
        assert word not in log


async def test_bindings_outlive_a_crash(tenant_node: Node, connect: Connect) -> None:
    tokens = await make_tenants(tenant_node.address, "payments", "search")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    tenant_node.kill9()
    tenant_node.start()
    again = connect(tenant_node.port, session_id=client.session_id, password=client.password)
    assert present(again, "tenant", tokens["search"]) == AUTH_FAILED
    again = connect(tenant_node.port, session_id=client.session_id, password=client.password)
    assert present(again, "tenant", tokens["payments"]) == 0
    assert await bindings(tenant_node.address, "payments") == [session_name(client)]


async def test_the_registry_is_closed_to_everybody_else(tenant_node: Node) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    async with Client(tenant_node.address, auth=[("digest", b"a:b")]) as stranger:
        for path in (TENANTS, f"{TENANTS}/payments"):
            for refused in (
                stranger.get(path),
                stranger.children(path),
                stranger.set(path, b"{}"),
                stranger.create(f"{path}/x"),
                stranger.set_acl(path, OPEN_ACL),
            ):
                with pytest.raises(NoAuthError):
                    await refused
    assert tokens


async def test_one_session_more_than_the_limit_is_refused(
    tenant_node: Node, connect: Connect
) -> None:
    """The limit of sessions, where bindings are prepared; a closed one makes room."""
    tokens = await make_tenants(tenant_node.address, "payments", limits={"sessions": 2})
    clients = [connect(tenant_node.port) for _ in range(3)]
    for client in clients[:2]:
        assert present(client, "tenant", tokens["payments"]) == 0
    assert present(clients[2], "tenant", tokens["payments"]) == AUTH_FAILED
    assert is_closed(clients[2])
    until(lambda: "QuotaExceeded" in tenant_node.log())
    again = connect(
        tenant_node.port, session_id=clients[0].session_id, password=clients[0].password
    )
    assert present(again, "tenant", tokens["payments"]) == 0
    clients[1].request(1, -11)
    assert clients[1].reply()[2] == 0
    assert present(connect(tenant_node.port), "tenant", tokens["payments"]) == 0


async def test_what_is_pipelined_behind_a_credential_runs_as_the_tenant(
    tenant_node: Node, connect: Connect
) -> None:
    """Nothing overtakes the binding; replies come in order."""
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    send_auth(client, "tenant", tokens["payments"])
    for xid in range(1, 51):
        client.request(xid, CREATE, create_body(f"/n{xid}"))
    client.request(51, PING)
    assert client.reply()[0] == -4
    for xid in range(1, 51):
        got, _, error, _ = client.reply()
        assert (got, error) == (xid, 0)
    assert client.reply()[0] == -2
    async with operator(tenant_node.address) as admin:
        assert len(await admin.children("/tenants/payments")) == 50


async def test_before_its_credential_a_bound_session_may_only_ping(
    tenant_node: Node, connect: Connect
) -> None:
    tokens = await make_tenants(tenant_node.address, "payments")
    client = connect(tenant_node.port)
    assert present(client, "tenant", tokens["payments"]) == 0
    again = connect(tenant_node.port, session_id=client.session_id, password=client.password)
    for xid, op, body in (
        (1, CREATE, create_body("/x")),
        (2, GET, text("/") + b"\0"),
        (3, SET, set_body("/", b"")),
        (4, 8, text("/") + b"\0"),
    ):
        again.request(xid, op, body)
        assert again.reply()[2] == NO_AUTH, op
    again.request(-2, PING)
    assert again.reply()[2] == 0
    assert present(again, "tenant", tokens["payments"]) == 0
    again.request(5, CREATE, create_body("/x"))
    assert again.reply()[2] == 0


async def test_acls_of_scheme_tenant_name_credentials(tenant_node: Node) -> None:
    """`auth` stands for the credential by its name, which outlives its secrets."""
    tokens = await make_tenants(tenant_node.address, "payments")
    address = tenant_node.address
    async with operator(address) as admin:
        other = await provision.add_credential(admin, "payments", "other", "writer")
        async with tenant_client(address, tokens["payments"]) as owner:
            await owner.create("/mine", b"x", acl=CREATOR_ACL)
            acl, _ = await owner.get_acl("/mine")
            assert acl == [Acl(31, Id("tenant", "app@payments"))]
            shared = [Acl(31, Id("tenant", "app@payments")), Acl(1, Id("tenant", "other@payments"))]
            await owner.create("/shared", b"y", acl=shared)
            for bad in ("app", "app@", "@payments", "APP@payments", "a@b@payments", "operator"):
                with pytest.raises(InvalidAclError):
                    await owner.create("/bad", b"", acl=[Acl(31, Id("tenant", bad))])
            with pytest.raises(InvalidAclError):
                await owner.create("/bad", b"", acl=[Acl(31, Id("operator", "alice"))])
        async with tenant_client(address, other.token.encode()) as user:
            assert (await user.get("/shared"))[0] == b"y"
            for refused in (user.get("/mine"), user.set("/shared", b"")):
                with pytest.raises(NoAuthError):
                    await refused
        new = await provision.rotate_credential(admin, "payments", "app", overlap_ms=0)
        async with tenant_client(address, new.token.encode()) as owner:
            assert (await owner.get("/mine"))[0] == b"x"


async def test_a_mistake_in_a_document_opens_nothing(tenant_node: Node, connect: Connect) -> None:
    """The last good one goes on; after a restart the root is closed until it is put right."""
    tokens = await make_tenants(tenant_node.address, "payments")
    path = f"{TENANTS}/payments"
    async with operator(tenant_node.address) as admin:
        good, _ = await admin.get(path)
        await admin.set(path, b'{"schema": 1}')
        client = connect(tenant_node.port)
        assert present(client, "tenant", tokens["payments"]) == 0
        client.request(1, CREATE, create_body("/x", b"x"))
        assert client.reply()[2] == 0
    tenant_node.kill9()
    tenant_node.start()
    assert present(connect(tenant_node.port), "tenant", tokens["payments"]) == AUTH_FAILED
    stranger = connect(tenant_node.port)
    for name in ("/tenants/payments", "/tenants/payments/x"):
        stranger.request(1, GET, text(name) + b"\0")
        assert stranger.reply()[2] == NO_AUTH
    async with operator(tenant_node.address) as admin:
        assert (await admin.get("/tenants/payments/x"))[0] == b"x"
        await admin.set(path, good)
        again = connect(tenant_node.port, session_id=client.session_id, password=client.password)
        assert present(again, "tenant", tokens["payments"]) == 0
