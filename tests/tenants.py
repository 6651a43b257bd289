"""Servers with a registry, operators, and clients of tenants, for the tests of several folders."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.admin.keys import OperatorKey
from ensemble.client import Client
from tests.harness import Node, RawClient, text

KEY = OperatorKey("test-key", bytes(range(32)))
AUTH, SASL, GET, CREATE, PING, SET = 100, 102, 4, 1, 11, 5
AUTH_FAILED = -115
NO_AUTH = -102


def trusting(folder: Path, key: OperatorKey = KEY) -> dict[str, object]:
    """The setting by which a server trusts the key."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "operators"
    path.write_text(f"# for tests\n{key.line}\n")
    return {"ensemble.operator.keys": path}


def start_trusting(start_node: Callable[..., Node], folder: Path, **config: object) -> Node:
    return start_node({**trusting(folder), **config})


def operator(address: str, who: str = "alice", **claims: str) -> Client:
    """A client of the whole ensemble's operator; claims: tenant, role."""
    return Client(address, auth=[("operator", KEY.sign(who, **claims))])


async def make_tenants(address: str, *slugs: str, **draft: object) -> dict[str, bytes]:
    """Tenants with a writer `app` each; the tokens for scheme `tenant`."""
    tokens: dict[str, bytes] = {}
    async with operator(address) as admin:
        await provision.init(admin, KEY.id, KEY.public)
        for slug in slugs:
            await provision.create(admin, Draft(slug=slug, **draft))  # type: ignore[arg-type]
            made = await provision.add_credential(admin, slug, "app", "writer")
            tokens[slug] = made.token.encode()
    return tokens


def tenant_client(address: str, token: bytes, **options: object) -> Client:
    return Client(address, auth=[("tenant", token)], **options)  # type: ignore[arg-type]


def present(client: RawClient, scheme: str, token: bytes) -> int:
    """Send an auth packet; the error of its reply."""
    send_auth(client, scheme, token)
    return client.reply()[2]


def send_auth(client: RawClient, scheme: str, token: bytes) -> None:
    body = struct.pack(">i", 0) + text(scheme) + struct.pack(">i", len(token)) + token
    client.request(-4, AUTH, body)


def is_closed(client: RawClient) -> bool:
    """Whether the server ends the connection; the frames before that are read away."""
    while client.read() is not None:
        pass
    return True


def whoami(client: RawClient, xid: int = 9) -> set[tuple[str, str]]:
    """Scheme and user of every id that is shown."""
    client.request(xid, 107)
    _, _, error, body = client.reply()
    assert error == 0
    (count,) = struct.unpack_from(">i", body)
    at = 4
    found: list[str] = []
    for _ in range(2 * count):
        (size,) = struct.unpack_from(">i", body, at)
        found.append(body[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return set(zip(found[::2], found[1::2], strict=True))


def session_name(client: RawClient) -> str:
    return f"{client.session_id & 0xFFFFFFFFFFFFFFFF:016x}"


Names = Sequence[str]
