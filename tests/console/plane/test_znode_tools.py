"""ACLs and their tester on a znode's page: who may, and what it says. On a real node."""

import asyncio
import json
from typing import Any

import pytest

from ensemble.client import Acl, Id, digest_id
from tenants.actions import credentials
from tenants.audit import Actor
from tenants.models import Tenant
from tests.console.plane.conftest import Go, committed
from tests.harness import Node
from tests.tenants import operator

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
BASE = "/tenants/shop/znodes"
JSON = {"accept": "application/json"}


@pytest.fixture
def tree(shop: Tenant, registry_node: Node) -> Tenant:
    async def fill() -> None:
        async with operator(registry_node.address) as client:
            await client.create("/tenants/shop/config", b"x")

    asyncio.run(fill())
    return shop


def acl_of(node: Node) -> list[Acl]:
    async def read() -> list[Acl]:
        async with operator(node.address) as client:
            return (await client.get_acl("/tenants/shop/config"))[0]

    return asyncio.run(read())


def change(go: Go, name: str, *rows: list[Any], **values: str) -> Any:
    shown = go(name, f"{BASE}/data", None, data={"path": "/config"}).json()  # type: ignore[attr-defined]
    sent = {"path": "/config", "czxid": shown["czxid"], "aversion": shown["aversion"]}
    return go(name, f"{BASE}/acl", {**sent, "acl": json.dumps(rows), **values}, headers=JSON)


def try_out(go: Go, name: str, who: str) -> Any:
    return go(name, f"{BASE}/acl-test", {"path": "/config", "who": who}, headers=JSON)


def test_owners_change_acls_by_compare_and_set_and_nobody_else_does(
    go: Go, tree: Tenant, registry_node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [["digest-plain", "curator:s3cret", 31], ["world", "anyone", 1]]
    for name, status in (("ada", 403), ("bob", 403), ("dan", 403)):
        assert change(go, name, *rows).status_code == status, name
    assert go("carol", f"{BASE}/acl", {}, headers=JSON).status_code == 404
    done = change(go, "alice", *rows)
    assert (done.status_code, done.json()["aversion"]) == (200, 1)
    assert acl_of(registry_node) == [
        Acl(31, digest_id("curator", "s3cret")),
        Acl(1, Id("world", "anyone")),
    ]
    late = change(go, "alice", *rows, aversion="0")
    assert (late.status_code, late.json()["theirs"]["aversion"]) == (409, 1)
    assert "s3cret" not in caplog.text


def test_an_acl_that_locks_out_is_warned_of_first(
    go: Go, tree: Tenant, registry_node: Node
) -> None:
    closed = ["world", "anyone", 2]
    warned = change(go, "alice", closed)
    assert warned.status_code == 409
    assert len(warned.json()["warnings"]) == 2
    assert acl_of(registry_node)[0].perms == 31
    assert change(go, "alice", closed, sure="1").status_code == 200
    assert acl_of(registry_node)[0].perms == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "1 to 100 entries"),
        ([["world", "anyone"]], "Entry 1 is none"),
        ([["world", "anyone", 32]], "Entry 1 is none"),
        ([["world", "anyone", 31], ["ip", 7, 1]], "Entry 2 is none"),
        ([["digest-plain", "curator", 31]], "user:password"),
        ([["rot13", "x", 31]], "not valid"),
        ([["ip", "10.0.0.0/99", 31]], "not valid"),
    ],
)
def test_an_acl_that_is_none_is_refused_with_the_entry(
    rows: list[Any], words: str, go: Go, tree: Tenant
) -> None:
    answer = change(go, "alice", *rows)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_the_tester_knows_the_tenants_credentials_wall_and_roles(
    go: Go, tree: Tenant, cast: dict[str, Any]
) -> None:
    with committed():
        credentials.create(Actor(cast["alice"], "form", ""), tenant=tree, name="app", role="reader")
    found = {
        who: [one["allowed"] for one in try_out(go, "bob", who).json()["verdicts"]]
        for who in ("credential:app", "tenant:app@shop", "anyone", "me")
    }
    reads = [True, False, False, False, False]
    assert found == {
        "credential:app": reads,
        "tenant:app@shop": reads,
        "anyone": [False] * 5,
        "me": reads,
    }
    owner = try_out(go, "alice", "me").json()["verdicts"]
    assert {one["why"] for one in owner} == {"the role admin passes every ACL"}
    for who, words in (
        ("credential:none", "no credential 'none'"),
        ("tenant:app@bank", "no credential here"),
        ("nonsense", "use anyone"),
        ("digest-plain:x", "user:password"),
    ):
        answer = try_out(go, "bob", who)
        assert answer.status_code == 400
        assert words in answer.json()["error"], who
    assert try_out(go, "carol", "anyone").status_code == 404
