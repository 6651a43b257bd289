"""The client against a real node: what a scripted server cannot show."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from ensemble.client import (
    Client,
    ConnectionLossError,
    CreateMode,
    EventType,
    NoNodeError,
    SessionExpiredError,
    State,
    WatchEvent,
)
from tests.client.waiting import until
from tests.harness import ROOT, Node
from tests.ports import free_port


async def test_ten_thousand_requests_ahead_are_answered_in_order(node: Node) -> None:
    async with Client(node.address, requests_max=20_000) as client:
        await client.create("/p", b"")
        calls = [client.set("/p", b"x") for _ in range(10_000)]
        versions = [stat.version for stat in await asyncio.gather(*calls)]
        assert versions == list(range(1, 10_001))


async def test_a_restart_is_survived_with_session_watches_and_no_silent_repeats(
    node: Node,
) -> None:
    events: list[WatchEvent] = []
    # A request without a connection waits for a session timeout.
    async with Client(node.address, timeout=4) as client:
        await client.create("/r", b"0")
        await client.create("/r/e", mode=CreateMode.EPHEMERAL)
        once: list[WatchEvent] = []
        await client.get("/r", watch=once.append)
        await client.add_watch("/r", events.append, recursive=True)
        session = client.session_id
        await asyncio.to_thread(node.kill9)
        with pytest.raises(ConnectionLossError):
            await client.set("/r", b"lost")
        await asyncio.to_thread(node.start)
        await until(lambda: client.host is not None, "no connection again")
        assert client.session_id == session
        assert (await client.get("/r"))[0] in (b"0", b"lost")
        assert await client.exists("/r/e") is not None
        await until(lambda: any(e.type is EventType.GAP for e in events), "a gap is told")
        events.clear()
        await client.set("/r", b"after")
        await client.sync("/")
        assert [e.type for e in events] == [EventType.DATA_CHANGED]
        # It may have fired when the lost write turned out to have happened.
        assert [e.type for e in once] == [EventType.DATA_CHANGED]


async def test_an_expired_session_says_so(start_node: Callable[..., Node]) -> None:
    node = start_node({"tickTime": 200, "minSessionTimeout": 400})
    client = Client(node.address, timeout=0.5)
    await client.connect()
    states: list[State] = []
    client.on_state(states.append)
    await asyncio.to_thread(node.kill9)
    # Another server would have expired it: here its sessions are gone with the data.
    for path in (node.folder / "data").rglob("*"):
        if path.is_file():
            path.unlink()
    await asyncio.to_thread(node.start)
    await until(lambda: client.state is State.EXPIRED, "the session is over")
    with pytest.raises(SessionExpiredError):
        await client.get("/")
    assert states[-1] is State.EXPIRED
    await client.close()


async def test_a_chroot_is_the_world(node: Node) -> None:
    async with Client(node.address) as outside:
        await outside.create("/team")
        async with Client(f"{node.address}/team") as client:
            events: list[WatchEvent] = []
            await client.add_watch("/", events.append, recursive=True)
            assert await client.create("/a", b"x") == "/a"
            assert await client.children("/") == ["a"]
            await client.transaction().set("/a", b"y").create("/b").commit()
            with pytest.raises(NoNodeError) as caught:
                await client.get("/team/a")
            assert caught.value.path == "/team/a"
            assert [event.path for event in events] == ["/a", "/a", "/b"]
        assert (await outside.get("/team/a"))[0] == b"y"


async def test_dead_servers_in_the_list_are_passed_over(node: Node) -> None:
    dead = ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))
    async with Client(f"{dead},{node.address}") as client:
        assert client.host is not None
        assert str(client.host) == node.address


async def test_an_abandoned_request_harms_nobody(node: Node) -> None:
    async with Client(node.address) as client:
        await client.create("/a", b"0")
        calls = [client.set("/a", b"x") for _ in range(100)]
        for call in calls[::2]:
            call.cancel()
        kept = await asyncio.gather(*calls[1::2])
        assert [stat.version for stat in kept] == list(range(2, 101, 2))


async def test_many_clients_share_a_loop(node: Node) -> None:
    clients = [Client(node.address) for _ in range(200)]
    await asyncio.gather(*(client.connect() for client in clients))
    await clients[0].create("/n", b"")
    await asyncio.gather(*(client.set("/n", b"x") for client in clients))
    stat = await clients[0].exists("/n")
    assert stat is not None
    assert stat.version == 200
    await asyncio.gather(*(client.close() for client in clients))


async def test_unicode_and_large_data_come_back_as_they_were(node: Node) -> None:
    async with Client(node.address) as client:
        await client.create("/grüße-日本", b"x" * 1_000_000)
        data, stat = await client.get("/grüße-日本")
        assert (data, stat.data_bytes) == (b"x" * 1_000_000, 1_000_000)
        await client.create("/none", None)
        assert (await client.get("/none"))[0] == b"", "null reads as empty"


def zk(node: Node, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ensemble.server.main", "zk", "-s", node.address, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_the_command_line_reads_and_writes(node: Node) -> None:
    assert zk(node, "create", "/cli", "hello").returncode == 0
    assert zk(node, "get", "/cli").stdout.strip() == "hello"
    assert zk(node, "ls", "/").stdout.split() == ["cli", "zookeeper"]
    shown = json.loads(zk(node, "get", "/cli", "--json").stdout)
    assert "hello" in shown.values()
    missing = zk(node, "get", "/nothing")
    assert missing.returncode == 1
    assert "/nothing" in missing.stderr
    node.stop()
    assert zk(node, "get", "/cli").returncode == 3
