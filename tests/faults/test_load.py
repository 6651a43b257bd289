"""Too many of everything: the server stays within its bounds (trust.md F23, F25, D7)."""

import asyncio
import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Client
from tests.harness import Node, RawClient

IDLE = 10_000
CONNECT_REQUEST = struct.pack(">iiqiqi", 45, 0, 0, 40_000, 0, 16) + bytes(17)


def descriptors(node: Node) -> int:
    assert node.process is not None
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def resident_bytes(node: Node) -> int:
    assert node.process is not None
    pages = int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_D7_connections_that_come_and_go_leave_nothing_behind(node: Node) -> None:
    before = descriptors(node)
    for turn in range(300):
        client = RawClient(node.port)
        if turn % 3 == 0:
            client.connect()
        elif turn % 3 == 1:
            client.sock.sendall(b"\x00\x00\x00")
        client.close()
    deadline = time.monotonic() + 10
    while descriptors(node) > before:
        assert time.monotonic() < deadline, f"{before} descriptors before, {descriptors(node)} now"
        time.sleep(0.05)
    assert b"Connections: 1\n" in node.word("srvr")


def is_served(node: Node) -> bool:
    """Whether a new connection gets a session."""
    try:
        with contextlib.closing(RawClient(node.port, timeout_s=1)) as client:
            return client.connect()
    except (OSError, AssertionError):
        return False


def test_F25_without_descriptors_the_server_goes_on_and_recovers(
    start_node: Callable[..., Node],
) -> None:
    node = start_node(wrapper=["prlimit", "--nofile=64:64"])
    served = RawClient(node.port)
    served.connect()
    crowd = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(100)]
    served.request(1, 3, struct.pack(">i", 1) + b"/\0")
    assert served.reply()[2] == 0, "who was connected is served"
    for sock in crowd:
        sock.close()
    deadline = time.monotonic() + 10
    while not is_served(node):
        assert time.monotonic() < deadline, node.log()
    served.close()
    assert "cannot accept connections" in node.log()
    assert "Traceback" not in node.log()


def test_thousands_of_idle_clients_are_cheap(node: Node) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 500:
        pytest.skip(f"{hard} descriptors at most, {IDLE + 500} are needed")
    node.stop()
    node.wrapper = ["prlimit", f"--nofile={IDLE + 500}:{IDLE + 500}"]
    node.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 500, hard))
    try:
        before = resident_bytes(node)
        crowd = []
        for _ in range(IDLE):
            sock = socket.create_connection(("127.0.0.1", node.port))
            sock.sendall(CONNECT_REQUEST)
            crowd.append(sock)
        for sock in crowd:
            sock.settimeout(20)
            assert len(sock.recv(64)) == 41
        each = (resident_bytes(node) - before) / IDLE
        assert each < 6_000, f"{each:.0f} bytes a session"
        served = RawClient(node.port)
        served.connect()
        began = time.monotonic()
        for xid in range(1, 201):
            served.request(xid, 3, struct.pack(">i", 1) + b"/\0")
            assert served.reply()[0] == xid
        assert time.monotonic() - began < 2.0
        for sock in [*crowd, served.sock]:
            sock.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_F23_a_client_that_never_reads_holds_up_nobody_and_no_memory(node: Node) -> None:
    slow, other = RawClient(node.port), RawClient(node.port)
    slow.connect()
    other.connect()
    path = struct.pack(">i", 2) + b"/b"
    acl = struct.pack(">iii", 1, 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone"
    data = bytes(500_000)
    other.request(1, 1, path + struct.pack(">i", len(data)) + data + acl + struct.pack(">i", 0))
    assert other.reply()[2] == 0
    before = resident_bytes(node)
    slow.sock.settimeout(0.5)
    try:
        for xid in range(1, 20_000):
            slow.request(xid, 4, path + b"\0")
    except OSError:
        pass  # the server does not take more
    began = time.monotonic()
    for xid in range(2, 102):
        other.request(xid, 3, path + b"\0")
        assert other.reply()[0] == xid
    assert time.monotonic() - began < 3.0
    assert resident_bytes(node) - before < 64 << 20
    slow.close()
    other.close()


async def test_a_hundred_thousand_requests_ahead_of_their_replies(node: Node) -> None:
    async with Client(node.address, timeout=60, requests_max=200_000) as client:
        await client.create("/p", b"0")
        calls = [client.set("/p", b"x") for _ in range(100_000)]
        last = await calls[-1]
        assert last.version == 100_000
        versions = [call.result().version for call in calls]
        assert versions == list(range(1, 100_001))


async def test_a_hundred_thousand_watches_of_one_client_all_fire(node: Node) -> None:
    count = 100_000
    fired: list[str] = []
    async with Client(node.address, timeout=60, requests_max=count + 10) as client:
        await client.create("/w")
        calls = [
            client.exists(f"/w/{n}", watch=lambda e: fired.append(e.path)) for n in range(count)
        ]
        await asyncio.gather(*calls)
        text = node.word("wchs").decode()
        assert f"Total watches:{count}" in text
        for base in range(0, count, 10_000):
            creates = [client.create(f"/w/{n}") for n in range(base, base + 10_000)]
            await asyncio.gather(*creates)
        assert len(fired) == count
        assert len(set(fired)) == count
        assert "Total watches:0" in node.word("wchs").decode()


async def test_one_change_reaches_a_thousand_watchers(node: Node) -> None:
    clients = [Client(node.address) for _ in range(100)]
    await asyncio.gather(*(client.connect() for client in clients))
    seen = 0
    done = asyncio.Event()

    def watcher() -> Callable[[object], None]:
        def fired(event: object) -> None:
            nonlocal seen
            seen += 1
            if seen == 1_000:
                done.set()

        return fired

    await clients[0].create("/one", b"0")
    for client in clients:
        for _ in range(10):  # the server keeps one, the client tells all ten
            await client.exists("/one", watch=watcher())
    await clients[0].set("/one", b"1")
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.gather(*(client.close() for client in clients))
