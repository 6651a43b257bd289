"""Scheme operator: assertions that are signed, short-lived, and for one tenant or for all."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.admin.keys import OperatorKey
from ensemble.client import Client, NoAuthError
from ensemble.tenancy.assertions import ASSERTION_PREFIX, encode_base64url
from tests.harness import Node, RawClient
from tests.server.starting import refused
from tests.tenants import (
    AUTH_FAILED,
    KEY,
    is_closed,
    make_tenants,
    operator,
    present,
    start_trusting,
)
from tests.tenants import whoami as ids_of

TENANTS = "/zookeeper/tenants"
STRANGER = OperatorKey("test-key", bytes(32))  # the right name, another key
Connect = Callable[..., RawClient]


@pytest.fixture
def tenant_node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_trusting(start_node, tmp_path / "keys")


def forged(**changes: object) -> bytes:
    """An assertion with other contents under a right signature."""
    body = KEY.sign("alice").partition(b".")[0]
    raw = json.loads(base64.urlsafe_b64decode(body + b"=="))
    return sign({**raw, **changes})


def sign(document: object) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    body = encode_base64url(json.dumps(document).encode())
    key = Ed25519PrivateKey.from_private_bytes(KEY.private)
    return body + b"." + encode_base64url(key.sign(ASSERTION_PREFIX + body))


async def test_an_operator_of_everything_reads_the_registry(
    tenant_node: Node, connect: Connect
) -> None:
    await make_tenants(tenant_node.address, "a")
    client = connect(tenant_node.port)
    assert present(client, "operator", KEY.sign("alice")) == 0
    assert ("operator", "alice") in ids_of(client)
    async with operator(tenant_node.address) as admin:
        assert await admin.children(TENANTS) == ["a"]


@pytest.mark.parametrize("role", ["reader", "writer"])
async def test_who_is_no_admin_does_not_pass_acls(tenant_node: Node, role: str) -> None:
    await make_tenants(tenant_node.address, "a")
    async with operator(tenant_node.address, role=role) as user:
        with pytest.raises(NoAuthError):
            await user.get(f"{TENANTS}/a")


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b".",
        b"x.y",
        b"\xff.\xff",
        STRANGER.sign("alice"),
        OperatorKey("another-key", KEY.private).sign("alice"),
        KEY.sign("alice", tenant="nobody-here"),
        KEY.sign("alice", valid_ms=1, now_ms=1_000),
        KEY.sign("alice", now_ms=4_000_000_000_000),
        KEY.sign("alice")[:-2],
        KEY.sign("alice") + b"=",
        KEY.sign("alice").replace(b".", b"A.", 1),
        KEY.sign("alice").partition(b".")[0] + b"." + KEY.sign("bob").partition(b".")[2],
        KEY.sign("alice").partition(b".")[0],
        b"x" * 2_000,
        forged(role="root"),
        forged(role=3),
        forged(who=""),
        forged(who="a" * 64),
        forged(who="app@payments"),
        forged(who="al\nice"),
        forged(tenant=""),
        forged(tenant="../x"),
        forged(until=None),
        forged(until="9999999999999"),
        forged(key="x" * 65),
        forged(extra=1),
        sign([]),
        sign("alice"),
        sign({}),
    ],
)
def test_what_proves_nothing_is_refused(tenant_node: Node, token: bytes, connect: Connect) -> None:
    client = connect(tenant_node.port)
    assert present(client, "operator", token) == AUTH_FAILED
    assert is_closed(client)


async def test_a_tenants_key_signs_for_that_tenant_alone(
    tenant_node: Node, connect: Connect
) -> None:
    await make_tenants(tenant_node.address, "a", "b")
    key = OperatorKey("console-1", bytes(range(1, 33)))
    async with operator(tenant_node.address) as admin:

        def change(draft: Draft) -> None:
            draft.signing_keys["console-1"] = key.public

        await provision.update(admin, "a", change)
    client = connect(tenant_node.port)
    assert present(client, "operator", key.sign("bob", tenant="a", role="reader")) == 0
    assert ("operator", "bob") in ids_of(client)
    for tenant in ("b", "*"):
        stranger = connect(tenant_node.port)
        assert present(stranger, "operator", key.sign("bob", tenant=tenant)) == AUTH_FAILED
    async with operator(tenant_node.address) as admin:

        def revoke(draft: Draft) -> None:
            draft.signing_keys.clear()

        await provision.update(admin, "a", revoke)
        assert is_closed(client)


async def test_a_key_of_the_registry_is_trusted_like_one_of_the_configuration(
    tenant_node: Node, connect: Connect
) -> None:
    await make_tenants(tenant_node.address)
    key = OperatorKey("second", bytes(range(2, 34)))
    assert present(connect(tenant_node.port), "operator", key.sign("bob")) == AUTH_FAILED
    async with operator(tenant_node.address) as admin:
        await provision.trust(admin, key.id, key.public)
        assert present(connect(tenant_node.port), "operator", key.sign("bob")) == 0


async def test_an_assertion_ends_its_connection_unless_a_fresh_one_came(
    tenant_node: Node, connect: Connect
) -> None:
    await make_tenants(tenant_node.address, "a")
    short, renewed = connect(tenant_node.port), connect(tenant_node.port)
    within = connect(tenant_node.port)
    assert present(short, "operator", KEY.sign("alice", valid_ms=900)) == 0
    assert present(renewed, "operator", KEY.sign("alice", valid_ms=900)) == 0
    assert present(within, "operator", KEY.sign("alice", tenant="a", valid_ms=900)) == 0
    assert present(renewed, "operator", KEY.sign("alice", valid_ms=60_000)) == 0
    assert is_closed(short)
    assert is_closed(within)
    assert ("operator", "alice") in ids_of(renewed)
    again = connect(tenant_node.port, session_id=within.session_id, password=within.password)
    assert present(again, "operator", KEY.sign("alice", tenant="a")) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ops\n", "line 1"),
        ("# fine\n\nops AAAA\n", "line 3"),
        (f"{KEY.line}\n{KEY.line}\n", "comes twice"),
        (f"{KEY.line} more\n", "line 1"),
        ("o!s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "line 1"),
        ("x" * 70_000, "more than 65536 bytes"),
        (None, "No such file"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_refuses_the_start(
    start_node: Callable[..., Node], tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    refused(start_node, {"ensemble.operator.keys": path}, "ensemble.operator.keys", words)


async def test_without_a_registry_and_without_keys_nobody_is_an_operator(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    assert present(client, "operator", KEY.sign("alice")) == AUTH_FAILED
    client.close()
    client = RawClient(node.port)
    client.connect()
    assert present(client, "tenant", b"a:secret") == AUTH_FAILED
    client.close()
    async with Client(node.address) as plain:
        await plain.create("/works-as-before", b"")
