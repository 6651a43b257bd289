"""A server with tenants and tokens, for the tests of what is told about them."""

import hashlib
import hmac
import json
import urllib.parse
from pathlib import Path
from typing import Protocol

from kazoo.client import KazooClient
from kazoo.security import make_acl

from tests.harness import Node
from tests.server.test_admin_port import ask

READ = "read-0123456789abcdefghij"
SUPER = "super:admin"
SUPER_DIGEST = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
HASH_KEY = bytes(range(32))
NOBODY = [make_acl("world", "anyone")]


def start(folder: Path, config: dict[str, object] | None = None) -> Node:
    """A node with a token to read and a superuser."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "read").write_text(READ)
    node = Node(
        folder / "node",
        {"ensemble.admin.readTokens": folder / "read", **(config or {})},
        {"zookeeper.DigestAuthenticationProvider.superDigest": SUPER_DIGEST},
        [],
    )
    try:
        return node.start()
    except AssertionError:
        node.kill9()
        raise


def command(node: Node, name: str, **query: object) -> dict[str, object]:
    """A command's answer, with the right to read."""
    status, answer = asked(node, name, **query)
    assert status == 200, answer
    assert answer["error"] is None
    return answer


def asked(node: Node, name: str, **query: object) -> tuple[int, dict[str, object]]:
    text = urllib.parse.urlencode(query)
    headers = {"Authorization": f"Bearer {READ}"}
    status, body = ask(node, f"/commands/{name}?{text}", headers=headers)
    return status, json.loads(body)


def metrics(node: Node) -> str:
    status, body = ask(node, "/metrics", headers={"Authorization": f"Bearer {READ}"})
    assert status == 200
    return body


class Addressed(Protocol):
    """A server of ours, alone or a member."""

    @property
    def address(self) -> str: ...


def client(node: Addressed, *auth: tuple[str, str]) -> KazooClient:
    found = KazooClient(node.address, auth_data=list(auth), timeout=30)
    found.start(15)
    return found


def secret_of(slug: str) -> str:
    return f"secret-of-{slug}"


def document(slug: str, **fields: object) -> bytes:
    """A tenant with one writer `app`."""
    proof = hmac.new(HASH_KEY, f"{slug}:{secret_of(slug)}".encode(), hashlib.sha256).hexdigest()
    secrets = [{"hash": proof, "until": None}]
    return json.dumps(
        {
            "schema": 1,
            "slug": slug,
            "root": f"/tenants/{slug}",
            "state": "active",
            "mode": "permissive",
            "limits": {},
            "credentials": [{"name": "app", "role": "writer", "secrets": secrets}],
            **fields,
        }
    ).encode()


def provision(node: Addressed, *slugs: str, **fields: object) -> None:
    """Make the registry, as far as it is missing, and these tenants."""
    admin = client(node, ("digest", SUPER))
    top = json.dumps({"schema": 1, "hash_key": HASH_KEY.hex(), "signing_keys": {}}).encode()
    if not admin.exists("/zookeeper/tenants"):
        admin.create("/zookeeper/tenants", top, acl=NOBODY)
        admin.create("/tenants", b"")
    for slug in slugs:
        admin.create(f"/tenants/{slug}", b"")
        admin.create(f"/zookeeper/tenants/{slug}", document(slug, **fields), acl=NOBODY)
    admin.stop()
    admin.close()


def tenant_client(node: Addressed, slug: str) -> KazooClient:
    """A client whose session is the tenant's: it has been answered after its credential."""
    found = client(node, ("tenant", f"{slug}:{secret_of(slug)}"))
    found.add_auth("tenant", f"{slug}:{secret_of(slug)}")
    return found


def leave(*clients: KazooClient) -> None:
    for each in clients:
        each.stop()
        each.close()
