"""Limits over three servers, as clients meet them (trust.md 5.3, quota bypass)."""

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ensembles import Ensemble, Member
from tests.harness import Node, RawClient, text
from tests.server.member_steps import start_three
from tests.tenants import AUTH_FAILED, PING, make_tenants, send_auth, start_trusting, trusting

EXISTS, SET_WATCHES = 3, 101
NO_NODE, QUOTA_EXCEEDED = -101, -125
CLOSED = 1  # no reply: try again, elsewhere or in a moment
SESSION_MS = 120_000
RATE = 300  # requests a second
AT_A_TIME = 8
MOVED_WITHIN_S = 15.0  # on a machine with more to do than these tests


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Ensemble]:
    # These clients send no pings.
    settings = {**trusting(tmp_path / "keys"), "maxSessionTimeout": SESSION_MS}
    ensemble = start_three(tmp_path, settings)
    ensemble.wait_serving()
    yield ensemble
    ensemble.kill()


@pytest.fixture
def clients() -> Iterator[list[RawClient]]:
    opened: list[RawClient] = []
    yield opened
    for client in opened:
        client.close()


def knock(port: int, token: bytes, clients: list[RawClient]) -> int:
    """A new session presents the tenant's credential: 0, AUTH_FAILED or CLOSED."""
    client = RawClient(port)
    assert client.connect(SESSION_MS)
    send_auth(client, "tenant", token)
    frame = client.read()
    error = CLOSED if frame is None else int(struct.unpack_from(">iqi", frame)[2])
    if error == 0:
        clients.append(client)
    else:
        client.close()
    return error


def fill(member: Member, token: bytes, clients: list[RawClient], count: int) -> list[int]:
    """Connections at one server until so many are in; what the others heard."""
    heard: list[int] = []
    deadline = time.monotonic() + MOVED_WITHIN_S
    while len(clients) < count:
        error = knock(member.client_port, token, clients)
        if error != 0:
            heard.append(error)
        assert time.monotonic() < deadline, f"{len(clients)} of {count}: {heard[-5:]}"
    return heard


def alive(clients: list[RawClient]) -> int:
    """Whose connection answers a ping."""
    count = 0
    for client in clients:
        with contextlib.suppress(OSError):
            client.request(-2, PING)
            count += client.read() is not None
    return count


def refused_for_good(member: Member, token: bytes, clients: list[RawClient]) -> None:
    """Nobody gets in, and soon the server knows that the limit is reached everywhere."""
    before = len(clients)
    deadline = time.monotonic() + MOVED_WITHIN_S
    while (error := knock(member.client_port, token, clients)) != AUTH_FAILED:
        assert error == CLOSED, f"{error}, and {alive(clients)} of {len(clients)} are connected"
        assert time.monotonic() < deadline
    assert len(clients) == before


async def test_connections_through_three_servers_end_exactly_at_the_limit(
    three: Ensemble, clients: list[RawClient]
) -> None:
    """All of them through one server: a third is there at once, the rest follows the demand."""
    leader = three.wait_serving()
    tokens = await make_tenants(leader.address, "a", limits={"connections": 20})
    one, two = (member for member in three.all if member is not leader)
    heard = fill(one, tokens["a"], clients, 20)
    assert AUTH_FAILED not in heard, "that would have been final"
    for member in (one, two, leader):
        refused_for_good(member, tokens["a"], clients)
    clients.pop().close()
    fill(two, tokens["a"], clients, 20)
    refused_for_good(one, tokens["a"], clients)


async def test_connections_that_come_at_once_do_not_pass_the_limit_together(
    three: Ensemble, clients: list[RawClient]
) -> None:
    """Their credentials are proved before the first one's session is bound."""
    leader = three.wait_serving()
    tokens = await make_tenants(leader.address, "a", limits={"connections": 6})
    for member in three.all:
        for _ in range(10):
            client = RawClient(member.client_port)
            assert client.connect(SESSION_MS)
            clients.append(client)
    for client in clients:
        send_auth(client, "tenant", tokens["a"])
    replies = [client.read() for client in clients]
    taken = [frame for frame in replies if frame and struct.unpack_from(">iqi", frame)[2] == 0]
    assert 0 < len(taken) <= 6


def look(client: RawClient, xid: int, path: str) -> int:
    """`exists` with a watch; NO_NODE where it was registered."""
    client.request(xid, EXISTS, text(path) + b"\1")
    return int(client.reply()[2])


async def test_watches_of_all_servers_together_end_at_the_limit(
    three: Ensemble, clients: list[RawClient]
) -> None:
    """Registered until 60 are in; nobody else gets one; what a client gives back is free again."""
    leader = three.wait_serving()
    tokens = await make_tenants(leader.address, "a", limits={"watches": 60})
    for member in three.all:
        assert knock(member.client_port, tokens["a"], clients) == 0
    first, second, third = clients
    registered = xid = 0
    deadline = time.monotonic() + MOVED_WITHIN_S
    while registered < 60:
        xid += 1
        error = look(first, xid, f"/w{registered}")
        assert error in (NO_NODE, QUOTA_EXCEEDED)
        registered += error == NO_NODE
        assert time.monotonic() < deadline, f"{registered} of 60"
    for client in clients:
        assert look(client, xid + 1, "/more") == QUOTA_EXCEEDED
    session, password = first.session_id, first.password
    first.close()
    back = RawClient(three.all[0].client_port)
    clients.append(back)
    assert back.connect(session_id=session, password=password)
    send_auth(back, "tenant", tokens["a"])
    assert back.reply()[2] == 0
    paths = b"".join(text(f"/w{number}") for number in range(60))
    back.request(
        -8,
        SET_WATCHES,
        struct.pack(">qi", 1 << 60, 0) + struct.pack(">i", 60) + paths + struct.pack(">i", 0),
    )
    assert back.reply()[2] == 0, "registered again after a reconnect: never refused"
    assert look(third, 50, "/more") == QUOTA_EXCEEDED
    back.close()
    while look(second, 51, "/more") == QUOTA_EXCEEDED:
        assert time.monotonic() < deadline + MOVED_WITHIN_S


async def test_one_server_alone_has_the_whole_limit(
    start_node: object, tmp_path: Path, clients: list[RawClient]
) -> None:
    node = start_trusting(start_node, tmp_path / "keys")  # type: ignore[arg-type]
    assert isinstance(node, Node)
    tokens = await make_tenants(node.address, "a", limits={"connections": 3})
    heard = [knock(node.port, tokens["a"], clients) for _ in range(5)]
    assert heard == [0, 0, 0, AUTH_FAILED, AUTH_FAILED]


class Flood(threading.Thread):
    """Reads one after the other, a few at a time; when each was answered without being refused."""

    def __init__(self, member: Member, token: bytes) -> None:
        super().__init__()
        self.client = RawClient(member.client_port)
        assert self.client.connect(SESSION_MS)
        send_auth(self.client, "tenant", token)
        assert self.client.reply()[2] == 0
        self.ends = False
        self.answered: list[float] = []

    def run(self) -> None:
        for xid in range(1, AT_A_TIME):
            self.client.request(xid, EXISTS, text("/nothing") + b"\0")
        while not self.ends:
            self.client.request(1, EXISTS, text("/nothing") + b"\0")
            if self.client.reply()[2] == NO_NODE:
                self.answered.append(time.monotonic())
        self.client.close()

    def between(self, begin: float, end: float) -> int:
        return sum(begin <= at < end for at in self.answered)


async def test_rates_of_all_servers_together_stay_within_a_tenth_of_the_limit(
    three: Ensemble,
) -> None:
    """300 requests a second through three servers, then through one, which has them all soon."""
    leader = three.wait_serving()
    tokens = await make_tenants(leader.address, "a", limits={"requests_per_second": RATE})
    floods = [Flood(member, tokens["a"]) for member in three.all]
    for flood in floods:
        flood.start()
    began = time.monotonic()
    await asyncio.sleep(4)
    for flood in floods[1:]:
        flood.ends = True
    await asyncio.sleep(4)
    floods[0].ends = True
    for flood in floods:
        flood.join()
    for begin in (began + 0.5 * step for step in range(13)):
        total = sum(flood.between(begin, begin + 2) for flood in floods)
        assert total <= 1.1 * RATE * 2, f"{total} from {begin - began} s on"
    assert floods[0].between(began + 6, began + 8) >= 0.75 * RATE * 2
