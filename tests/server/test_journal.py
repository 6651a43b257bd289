"""The audit log: Apache's lines, for every change and by whom, whatever the outcome."""

import asyncio
import json
import os
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import (
    Acl,
    Client,
    CreateMode,
    Id,
    NodeExistsError,
    NoNodeError,
    digest_id,
)
from ensemble.server.journal import user_of_process
from tests.harness import OPEN_ACL, Node, RawClient, create_body, text

Pairs = dict[str, str]


def lines(node: Node, wanted: int = 0) -> list[Pairs]:
    """The events so far, at least `wanted`, without those of the server's own start."""
    path = node.folder / "audit.log"
    deadline = time.monotonic() + 5
    while True:
        found = []
        for line in path.read_text().splitlines():
            pairs = line.split(" audit: ", 1)[1].split("\t")
            found.append(dict(pair.split("=", 1) for pair in pairs))
        found = [pairs for pairs in found if pairs["operation"] != "serverStart"]
        if len(found) >= wanted:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {wanted}: {found}"
        time.sleep(0.01)


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_node(
        {"audit.enable": "true", "ensemble.audit.file": tmp_path / "node" / "audit.log"}
    )


def hex_session(session_id: int) -> str:
    return f"0x{session_id & (1 << 64) - 1:x}"


async def test_every_kind_of_change_is_told_as_apache_tells_it(node: Node) -> None:
    async with Client(node.address, auth=[("digest", b"u:pw")]) as client:
        await client.create("/audit", b"x")
        await client.create("/aue-", mode=CreateMode.EPHEMERAL_SEQUENTIAL)
        await client.set("/audit", b"y")
        await client.set_acl(
            "/audit", [Acl(31, Id("world", "anyone")), Acl(1, digest_id("u", "p"))]
        )
        await client.delete("/audit")
        with pytest.raises(NoNodeError):
            await client.set("/none", b"")
        with pytest.raises(NodeExistsError):
            await client.create("/aue-0000000001")
            await client.create("/aue-0000000001")
        session = hex_session(client.session_id)
    who = {"session": session, "user": "127.0.0.1,u", "ip": "127.0.0.1"}
    done = {"result": "success"}
    acl = "world:anyone:cdrwadigest:u:x:r"
    sequential = {"znode": "/aue-0000000001", "znode_type": "ephemeral_sequential"}
    plain = {"znode_type": "persistent"}
    own = {"session": session, "user": user_of_process()}
    expected = [
        {**who, "operation": "create", "znode": "/audit", **plain, **done},
        {**who, "operation": "create", **sequential, **done},
        {**who, "operation": "setData", "znode": "/audit", **done},
        {**who, "operation": "setAcl", "znode": "/audit", "acl": acl, **done},
        {**who, "operation": "delete", "znode": "/audit", **done},
        {**who, "operation": "setData", "znode": "/none", "result": "failure"},
        {**who, "operation": "create", "znode": "/aue-0000000001", **plain, "result": "failure"},
        {
            **own,
            "operation": "ephemeralZNodeDeletionOnSessionCloseOrExpire",
            "znode": "/aue-0000000001",
            **done,
        },
    ]
    found = await asyncio.to_thread(lines, node, len(expected))
    assert found == expected
    assert [list(pairs) for pairs in found] == [list(pairs) for pairs in expected], "their order"


async def test_a_multi_is_told_by_its_parts_or_as_a_failure(node: Node) -> None:
    async with Client(node.address) as client:
        await client.create("/a")
        good = client.transaction()
        good.check("/a", 0)
        good.create("/b")
        good.set("/a", b"1")
        good.delete("/b")
        await good.commit()
        bad = client.transaction()
        bad.create("/c")
        bad.delete("/none")
        with pytest.raises(Exception):  # noqa: B017  # which one is the client's tests' business
            await bad.commit()
    found = await asyncio.to_thread(lines, node, 5)
    assert [(p["operation"], p.get("znode"), p["result"]) for p in found] == [
        ("create", "/a", "success"),
        ("create", "/b", "success"),
        ("setData", "/a", "success"),
        ("delete", "/b", "success"),
        ("multiOperation", None, "failure"),
    ]


def test_a_multi_that_cannot_be_decoded_is_a_failure(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 14, struct.pack(">ibi", 1, 0, -1) + b"\0\0")
    assert client.reply()[2] == -5
    assert [p["operation"] for p in lines(node, 1)] == ["multiOperation"]
    client.close()


def test_who_asks_and_leaves_is_told_all_the_same(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 1, create_body("/left"))
    client.close()
    found = lines(node, 1)
    assert found[0]["znode"] == "/left"
    assert found[0]["session"] == hex_session(client.session_id)


def test_log_injection_a_name_forges_neither_pair_nor_line(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    name = "eve\tresult=success\n2026 INFO audit: session=0x1\toperation=create"
    client.request(-4, 100, struct.pack(">i", 0) + text("digest") + text(name + ":pw"))
    assert client.reply()[2] == 0
    acl = struct.pack(">ii", 1, 31) + text("digest") + text("x\ty\nz:hash")
    client.request(1, 7, text("/") + acl + struct.pack(">i", -1))
    assert client.reply()[2] == 0
    client.request(2, 1, text("/a") + struct.pack(">i", 0) + OPEN_ACL + struct.pack(">i", 0))
    assert client.reply()[2] == -102, "closed to this client, too"
    found = lines(node, 2)
    assert [p["operation"] for p in found] == ["setAcl", "create"]
    assert found[0]["user"] == "127.0.0.1,eve\\tresult=success\\n2026 INFO audit"
    assert found[0]["acl"] == "digest:x\\ty\\nz:x:cdrwa"
    assert found[1]["result"] == "failure"
    client.close()


def test_start_and_stop_are_told_and_the_file_is_private(node: Node) -> None:
    node.stop()
    path = node.folder / "audit.log"
    told = [line.split(" audit: ", 1)[1] for line in path.read_text().splitlines()]
    user = user_of_process()
    assert told == [
        f"user={user}\toperation=serverStart\tresult=success",
        f"user={user}\toperation=serverStop\tresult=invoked",
    ]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_failed_start_is_told(node: Node, start_node: Callable[..., Node]) -> None:
    path = node.folder / "other.log"
    other = start_node(
        {"audit.enable": "true", "ensemble.audit.file": path, "clientPort": node.port},
        name="other",
        wait=False,
    )
    assert other.process is not None
    assert other.process.wait(20) == 1
    assert path.read_text().split(" audit: ")[1].strip().endswith("serverStart\tresult=failure")
    assert " ERROR audit: " in path.read_text()


def test_lines_stand_in_the_servers_log_without_a_file(start_node: Callable[..., Node]) -> None:
    node = start_node({"audit.enable": "true", "ensemble.log.format": "json"})
    events = [json.loads(line) for line in node.log().splitlines()]
    messages = [e["message"] for e in events if e["logger"] == "ensemble.audit"]
    assert messages == [f"user={user_of_process()}\toperation=serverStart\tresult=success"]


def test_a_file_that_cannot_be_opened_refuses_the_start(start_node: Callable[..., Node]) -> None:
    settings = {"audit.enable": "true", "ensemble.audit.file": "/nowhere/audit.log"}
    node = start_node(settings, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert "ensemble.audit.file: /nowhere/audit.log: No such file" in node.log()


def test_a_moved_file_is_begun_anew(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 1, create_body("/one"))
    client.reply()
    path = node.folder / "audit.log"
    path.rename(node.folder / "audit.log.1")
    client.request(2, 1, create_body("/two"))
    client.reply()
    assert [p["znode"] for p in lines(node, 1)] == ["/two"]
    client.close()


def test_it_is_off_unless_asked_for(start_node: Callable[..., Node]) -> None:
    node = start_node()
    assert "serverStart" not in node.log()
