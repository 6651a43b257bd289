"""The audit journal at a running server: who did what, with which result, and never a value."""

import json
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Client, CreateMode, NoAuthError
from tests.harness import OPEN_ACL, Node, RawClient, create_body, set_body, text
from tests.server.audits import JOURNAL, entries, folder_of, told, verified, wait_for
from tests.tenants import make_tenants, operator, present, tenant_client, trusting

CANARY = b"canary-7c1d9a52"


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_node({**JOURNAL, **trusting(tmp_path / "keys"), "extendedTypesEnabled": "true"})


def brief(found: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [
        (entry["operation"], entry.get("path") or entry.get("asked"), entry["result"])
        for entry in found
    ]


def test_every_kind_of_write_is_told_with_who_where_what_and_its_zxid(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    assert present(client, "digest", b"u:pw") == 0
    asked = [
        (1, create_body("/a"), "create", "/a"),
        (15, create_body("/s-", flags=2), "create2", "/s-0000000001"),
        (19, create_body("/c", flags=4), "createContainer", "/c"),
        (21, create_body("/t", flags=5) + struct.pack(">q", 9_000), "createTTL", "/t"),
        (5, set_body("/a", b"x"), "setData", "/a"),
        (7, text("/a") + OPEN_ACL + struct.pack(">i", -1), "setACL", "/a"),
        (2, text("/a") + struct.pack(">i", -1), "delete", "/a"),
    ]
    zxids = []
    for xid, (op, body, _, _) in enumerate(asked, 1):
        client.request(xid, op, body)
        _, committed, error, _ = client.reply()
        assert error == 0
        zxids.append(hex(committed))
    found = told(folder_of(node), len(asked) + 1)
    assert brief(found)[0] == ("auth", None, "Ok")
    for entry, (_, _, name, path), zxid in zip(found[1:], asked, zxids, strict=True):
        assert entry["operation"] == name
        assert entry["path"] == path
        assert entry["result"] == "Ok"
        assert entry["zxid"] == zxid
        assert entry["session"] == hex(client.session_id & (1 << 64) - 1)
        assert entry["address"] == "127.0.0.1"
        assert entry["principal"] == "digest:u"
        assert entry["node"] == 1
    client.close()
    assert verified(folder_of(node)).problems == []


def test_a_multi_is_one_line_with_all_its_paths_whatever_came_of_it(node: Node) -> None:
    def part(op: int, body: bytes) -> bytes:
        return struct.pack(">ibi", op, 0, -1) + body

    end = struct.pack(">ibi", -1, 1, -1)
    client = RawClient(node.port)
    client.connect()
    good = part(1, create_body("/a")) + part(13, text("/a") + struct.pack(">i", 0))
    client.request(1, 14, good + part(2, text("/a") + struct.pack(">i", -1)) + end)
    assert client.reply()[2] == 0
    client.request(2, 14, part(1, create_body("/b")) + part(5, set_body("/none", b"x")) + end)
    client.reply()
    found = told(folder_of(node), 2)
    assert found[0]["paths"] == [
        {"operation": "create", "path": "/a"},
        {"operation": "delete", "path": "/a"},
    ]
    assert found[0]["result"] == "Ok"
    assert found[1]["paths"] == [
        {"operation": "create", "path": "/b"},
        {"operation": "setData", "path": "/none"},
    ]
    assert found[1]["result"] == "NoNode"
    client.close()


def test_more_paths_than_a_record_holds_go_on_in_the_next_line(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    parts = b""
    for at in range(1_500):
        parts += struct.pack(">ibi", 1, 0, -1) + create_body(f"/many-{at:04d}-{'x' * 40}")
    client.request(1, 14, parts + struct.pack(">ibi", -1, 1, -1))
    assert client.reply()[2] == 0
    found = wait_for(
        folder_of(node),
        lambda lines: sum(str(line).count("/many-") for line in lines) == 1_500,
    )
    multi = [entry for entry in found if entry["operation"] == "multi"]
    assert len(multi) > 1
    assert [entry.get("continued", False) for entry in multi] == [False] + [True] * (len(multi) - 1)
    assert len({entry["zxid"] for entry in multi}) == 1
    client.close()
    assert verified(folder_of(node)).problems == []


def test_refused_writes_and_reads_that_an_acl_forbids_are_told_with_their_paths(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    closed = struct.pack(">ii", 1, 31) + text("digest") + text("x:y")
    body = text("/mine") + struct.pack(">i", 0) + closed + struct.pack(">i", 0)
    client.request(1, 1, body)
    assert client.reply()[2] == 0
    for xid, (op, body) in enumerate(
        [
            (4, text("/mine") + b"\0"),
            (8, text("/mine") + b"\0"),
            (5, set_body("/mine", b"v")),
            (1, create_body("/mine")),
            (4, text("/none") + b"\0"),  # no refusal: not told
            (5, set_body("/none", b"v")),
        ],
        2,
    ):
        client.request(xid, op, body)
        client.reply()
    assert brief(told(folder_of(node), 6))[1:] == [
        ("getData", "/mine", "NoAuth"),
        ("getChildren", "/mine", "NoAuth"),
        ("setData", "/mine", "NoAuth"),
        ("create", "/mine", "NodeExists"),
        ("setData", "/none", "NoNode"),
    ]
    client.close()


def test_failed_authentication_is_told_by_scheme_and_never_by_secret(node: Node) -> None:
    for scheme, token in (("nope", b"x"), ("x509", b""), ("tenant", b"payments:" + CANARY)):
        client = RawClient(node.port)
        client.connect()
        assert present(client, scheme, token) == -115
        client.close()
    intruder = RawClient(node.port)
    honest = RawClient(node.port)
    honest.connect()
    assert not intruder.connect(session_id=honest.session_id, password=b"p" * 16)
    found = told(folder_of(node), 4)
    assert [(e["operation"], e.get("scheme"), e["result"]) for e in found] == [
        ("auth", "nope", "AuthFailed"),
        ("auth", "x509", "AuthFailed"),
        ("auth", "tenant", "AuthFailed"),
        ("reattach", None, "AuthFailed"),
    ]
    assert found[3]["session"] == hex(honest.session_id & (1 << 64) - 1)
    honest.close()
    intruder.close()


def test_who_asks_and_leaves_is_told_all_the_same(node: Node) -> None:
    for at in range(20):
        client = RawClient(node.port)
        client.connect()
        client.request(1, 1, create_body(f"/left-{at}"))
        client.close()
    found = told(folder_of(node), 20)
    assert {entry["path"] for entry in found} == {f"/left-{at}" for at in range(20)}
    assert {entry["address"] for entry in found} == {"127.0.0.1"}


async def test_a_tenants_requests_carry_slug_and_principal_and_the_trees_own_path(
    node: Node,
) -> None:
    tokens = await make_tenants(node.address, "payments", "orders")
    async with tenant_client(node.address, tokens["payments"]) as client:
        await client.create("/a", CANARY)
        await client.create("/e", mode=CreateMode.EPHEMERAL)
        session = hex(client.session_id & (1 << 64) - 1)
    found = wait_for(
        folder_of(node),
        lambda lines: any(
            e["operation"] == "closeSession" and e.get("session") == session for e in lines
        ),
    )
    mine = [entry for entry in found if entry.get("session") == session]
    assert [entry["operation"] for entry in mine][:4] == [
        "createSession",
        "auth",
        "create",
        "create",
    ]
    auth, create = mine[1], mine[2]
    assert (auth["scheme"], auth["result"]) == ("tenant", "Ok")
    assert int(str(auth["zxid"]), 16) > 0, "of the session's binding"
    for entry in (auth, create, mine[-1]):
        assert (entry["tenant"], entry["principal"]) == ("payments", "app@payments")
    assert create["path"] == "/tenants/payments/a"
    assert {part["path"] for part in mine[-1]["paths"]} >= {"/tenants/payments/e"}  # type: ignore[attr-defined]


async def test_what_the_wall_refuses_is_told_as_it_was_asked_for(node: Node) -> None:
    await make_tenants(node.address, "payments")
    client = RawClient(node.port)
    client.connect()
    part = struct.pack(">ibi", 1, 0, -1) + create_body("/tenants/payments/y")
    asked = [
        (4, text("/tenants/payments/a") + b"\0", "getData"),
        (1, create_body("/tenants/payments/x"), "create"),
        (14, part + struct.pack(">ibi", -1, 1, -1), "multi"),
    ]
    for xid, (op, body, _) in enumerate(asked, 1):
        client.request(xid, op, body)
        client.reply()
    session = hex(client.session_id & (1 << 64) - 1)
    found = wait_for(
        folder_of(node),
        lambda lines: sum(e.get("session") == session for e in lines) >= 1 + len(asked),
    )
    mine = [entry for entry in found if entry.get("session") == session][1:]
    assert [entry["operation"] for entry in mine] == [name for _, _, name in asked]
    assert {entry["result"] for entry in mine} == {"NoAuth"}
    assert [entry.get("asked") for entry in mine][:2] == [
        "/tenants/payments/a",
        "/tenants/payments/x",
    ]
    assert mine[2]["asked_paths"] == [{"operation": "create", "path": "/tenants/payments/y"}]
    client.close()


async def test_reads_are_told_where_the_tenant_asks_for_it(node: Node) -> None:
    tokens = await make_tenants(node.address, "watched", audit_reads=True)
    more = await make_tenants(node.address, "unwatched")
    for token in (tokens["watched"], more["unwatched"]):
        async with tenant_client(node.address, token) as client:
            await client.create("/a", CANARY)
            await client.get("/a")
            await client.children("/")
            await client.exists("/none")
    found = wait_for(
        folder_of(node),
        lambda lines: sum(e["operation"] == "closeSession" for e in lines) >= 4,
    )
    reads = [e for e in found if e["operation"] in ("getData", "exists") or "getCh" in str(e)]
    assert {e["tenant"] for e in reads} == {"watched"}
    assert {e.get("path") or e.get("asked") for e in reads} >= {
        "/tenants/watched/a",
        "/tenants/watched",
        "/tenants/watched/none",
    }


async def test_values_and_secrets_never_reach_the_journal(node: Node, tmp_path: Path) -> None:
    secret = CANARY.decode()
    async with Client(node.address, auth=[("digest", b"u:" + CANARY)]) as client:
        await client.create("/v", CANARY)
        await client.set("/v", CANARY * 3)
        deal = client.transaction()
        deal.create("/w", CANARY)
        deal.set("/v", CANARY)
        await deal.commit()
        with pytest.raises(Exception):  # noqa: B017
            await client.create("/v", CANARY)
    tokens = await make_tenants(node.address, "payments")
    async with tenant_client(node.address, tokens["payments"]):
        pass
    told(folder_of(node), 8)
    kept = b"".join(path.read_bytes() for path in folder_of(node).iterdir())
    assert secret.encode() not in kept
    assert tokens["payments"].split(b":")[1] not in kept
    assert b"/v" in kept


HOSTILE = [
    "line\nbreak",
    "carriage\rreturn",
    "tab\tand \x1b[31mcolour",
    'quote","hash":"' + "0" * 64 + '"}',
    "right-to-left \u202e and bidi \u2066",
    "line separator \u2028 and \u2029",
    "nul \x00 end",
    "emoji \U0001f4a9 beyond the plane",
    "\\u0022 escaped",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_log_injection_a_name_forges_neither_member_nor_line(node: Node, name: str) -> None:
    """Whatever stands in a path or a name of who asks comes out as the same text, in one line."""
    client = RawClient(node.port)
    client.connect()
    assert present(client, "digest", name.encode() + b":pw") == 0
    client.request(1, 1, create_body("/" + name))
    client.reply()
    found = told(folder_of(node), 2)
    assert len(found) == 2
    assert found[1]["path"] == "/" + name
    assert found[1]["principal"] == "digest:" + name.partition(":")[0]
    raw = b"".join(p.read_bytes() for p in folder_of(node).glob("*.jsonl"))
    assert raw.isascii()
    assert not any(byte < 0x20 for byte in raw.replace(b"\n", b""))
    client.close()
    assert verified(folder_of(node)).problems == []


def test_a_path_that_is_no_text_and_one_that_is_too_long_are_told_as_such(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 2, struct.pack(">i", 4) + b"/a\xff\xfe" + struct.pack(">i", -1))
    client.reply()
    client.request(2, 2, text("/" + "l" * 9_000) + struct.pack(">i", -1))
    client.reply()
    found = told(folder_of(node), 2)
    assert found[0]["path"] == "/a\\xff\\xfe"
    assert str(found[1]["path"]).endswith("l… (9001 bytes)")
    assert len(str(found[1]["path"])) < 4_200
    client.close()


def test_start_and_stop_are_told_files_are_private_and_the_chain_goes_on(node: Node) -> None:
    node.stop()
    folder = folder_of(node)
    assert [e["operation"] for e in entries(folder)] == ["segment", "start", "stop"]
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    node.start()
    node.stop()
    assert [e["operation"] for e in entries(folder)][3:] == ["start", "stop"]
    assert verified(folder).problems == []


def test_segments_roll_and_the_oldest_go(start_node: Callable[..., Node]) -> None:
    sizes = {"ensemble.audit.segmentBytes": 1 << 16, "ensemble.audit.keepBytes": 1 << 17}
    node = start_node({**JOURNAL, **sizes})
    client = RawClient(node.port)
    client.connect()
    for at in range(1_500):
        client.request(at + 1, 5, set_body(f"/none-{at}", b""))
        client.reply()
    found = told(folder_of(node), 100)
    assert found
    wait_for(folder_of(node), lambda lines: bool(lines) and int(str(lines[-1]["seq"])) > 1_500)
    client.close()
    node.stop()
    found_now = verified(folder_of(node))
    assert found_now.problems == []
    assert found_now.first_seq > 1
    assert found_now.missing == 0
    size = sum(path.stat().st_size for path in folder_of(node).iterdir())
    assert size <= (1 << 17) + (1 << 16)


def test_it_is_off_unless_asked_for(start_node: Callable[..., Node]) -> None:
    node = start_node()
    assert not folder_of(node).exists()


def test_a_folder_that_cannot_be_used_refuses_the_start(start_node: Callable[..., Node]) -> None:
    node = start_node({**JOURNAL, "ensemble.audit.folder": "/proc/nothing"}, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert "ensemble.audit.folder: /proc/nothing: No such file" in node.log()


async def test_the_head_is_committed_into_the_tree_for_operators_alone(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_node(
        {**JOURNAL, **trusting(tmp_path / "keys"), "ensemble.audit.anchorMs": 100, "tickTime": 500}
    )
    async with operator(node.address) as admin:
        while True:
            if await admin.exists("/zookeeper/audit/1"):
                break
        data, _ = await admin.get("/zookeeper/audit/1")
    head = json.loads(data)
    by_seq = {entry["seq"]: entry for entry in entries(folder_of(node))}
    assert by_seq[head["seq"]]["hash"] == head["hash"]
    async with Client(node.address) as nobody:
        with pytest.raises(NoAuthError):
            await nobody.get("/zookeeper/audit/1")
