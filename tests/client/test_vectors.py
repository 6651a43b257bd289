"""What our client sends is, byte for byte, what the Java client 3.9.3 sent for the same calls.

The other side plays captured conversations (tests/interop/vectors 40 to 43): it compares each frame
and sends the captured answers. Excepted: xids on a second connection, where Java goes on counting,
and the order of paths in setWatches, which is a hash's.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ensemble.client import (
    Acl,
    AuthFailedError,
    BadVersionError,
    Client,
    CreateMode,
    Id,
    InvalidAclError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NoNodeError,
    NotEmptyError,
    State,
    WatchEvent,
    WatchKind,
)
from ensemble.client.acl import CREATOR_ACL, OPEN_ACL
from ensemble.client.errors import MarshallingFailedError
from ensemble.wire.jute import reader_of
from ensemble.wire.requests import read_set_watches
from tests.client.fake_server import DEADLINE_S, SET_WATCHES, SET_WATCHES2, FakeLink, FakeServer
from tests.client.vectors import Turn, load, turns


def comparable(payload: bytes, first: bool) -> object:
    """A request without its xid, lists of watches without their order."""
    if first:
        return payload
    op = struct.unpack_from(">i", payload, 4)[0]
    if op in (SET_WATCHES, SET_WATCHES2):
        found = read_set_watches(reader_of(payload[8:]), op)
        lists = (found.data, found.exist, found.child, found.persistent, found.recursive)
        return op, found.relative_zxid, [sorted(paths) for paths in lists]
    return payload[4:]


async def play(link: FakeLink, script: list[Turn]) -> None:
    """The server's side of one connection."""
    for number, turn in enumerate(script):
        got = await link.frame()
        assert comparable(got, number == 0) == comparable(turn.request, number == 0), (
            f"frame {number}: {got.hex()} is not {turn.request.hex()}"
        )
        for answer in turn.answers:
            xid = struct.unpack_from(">i", answer)[0]
            if number and xid != -1:
                answer = got[:4] + answer[4:]
            link.send(struct.pack(">i", len(answer)) + answer)
    await link.writer.drain()


@asynccontextmanager
async def played(*scripts: list[Turn]) -> AsyncIterator[FakeServer]:
    """A server that plays one script a connection, cutting in between."""

    async def run(server: FakeServer) -> None:
        for script in scripts:
            link = await server.accept()
            try:
                await play(link, script)
            except BaseException:
                link.cut()
                await server.stop_listening()
                raise
            if script is not scripts[-1]:
                link.cut()

    async with FakeServer() as server:
        playing = asyncio.create_task(run(server))
        try:
            yield server
        except Exception:
            # A frame that differs is the cause, what the client met thereafter only the effect.
            if playing.done():
                playing.result()
            raise
        else:
            async with asyncio.timeout(DEADLINE_S):
                await playing
        finally:
            playing.cancel()


async def refused(kind: type[Exception], awaited: asyncio.Future[object]) -> None:
    with pytest.raises(kind):
        await awaited


async def call_everything(zk: Client, events: list[tuple[int, str]]) -> None:
    """The calls of vector 40, in its order, and what they must give."""

    def seen(event: WatchEvent) -> None:
        events.append((event.type, event.path))

    assert await zk.create("/a", b"data") == "/a"
    path, stat = await zk.create_with_stat("/a/b", None, mode=CreateMode.EPHEMERAL)
    assert (path, stat.czxid, stat.ephemeral_owner) == ("/a/b", 3, zk.session_id)
    sequential = CreateMode.PERSISTENT_SEQUENTIAL
    assert await zk.create("/a/s-", mode=sequential) == "/a/s-0000000001"
    sequential = CreateMode.EPHEMERAL_SEQUENTIAL
    assert await zk.create("/a/es-", mode=sequential) == "/a/es-0000000002"
    assert await zk.create("/cont", mode=CreateMode.CONTAINER) == "/cont"
    path, stat = await zk.create_with_stat("/cont2", mode=CreateMode.CONTAINER)
    assert (path, stat.ephemeral_owner) == ("/cont2", 0)
    ttl = CreateMode.PERSISTENT_WITH_TTL
    assert await zk.create("/ttl", mode=ttl, ttl_ms=60_000) == "/ttl"
    ttl = CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL
    path, _ = await zk.create_with_stat("/ttl-", mode=ttl, ttl_ms=60_000)
    assert path == "/ttl-0000000004"
    found = await zk.exists("/a", seen)
    assert found is not None
    assert (found.cversion, found.num_children) == (3, 3)
    assert await zk.exists("/none", seen) is None
    data, stat = await zk.get("/a", seen)
    assert (data, stat.version) == (b"data", 0)
    await refused(NoNodeError, zk.get("/none", seen))
    assert (await zk.set("/a", b"x", 0)).version == 1
    assert events == [(3, "/a")], "the event comes before the reply"
    await refused(BadVersionError, zk.set("/a", b"x", 0))
    names = ["b", "es-0000000002", "s-0000000001"]
    assert sorted(await zk.children("/a", seen)) == names
    found_names, stat = await zk.children_with_stat("/a")
    assert (sorted(found_names), stat.version) == (names, 1)
    acl, stat = await zk.get_acl("/a")
    assert (acl, stat.aversion) == (list(OPEN_ACL), 0)
    assert (await zk.set_acl("/a", acl)).aversion == 1
    assert await zk.sync("/a") == "/a"
    assert await zk.all_children_count("/a") == 3
    assert sorted(await zk.ephemerals()) == ["/a/b", "/a/es-0000000002"]
    assert await zk.ephemerals("/a/e") == ["/a/es-0000000002"]
    assert await zk.whoami() == [Id("ip", "127.0.0.1")]
    await call_multis(zk)
    await call_watches(zk, seen)
    await refused(NotEmptyError, zk.delete("/a"))
    assert (await zk.config())[0] == b""
    await refused(NoAuthError, zk.create("/zookeeper/config/x"))
    await refused(NoChildrenForEphemeralsError, zk.create("/a/b/c"))
    await refused(InvalidAclError, zk.create("/ia", acl=[Acl(31, Id("digest", "x"))]))


async def call_multis(zk: Client) -> None:
    results = await (
        zk.transaction().create("/m").set("/m", b"1", 0).check("/m", 1).delete("/m", 1).commit()
    )
    assert results[0] == "/m"
    assert [type(result).__name__ for result in results[1:]] == ["Stat", "NoneType", "NoneType"]
    both = zk.transaction().create("/mc", mode=CreateMode.CONTAINER)
    both.create("/mt", mode=CreateMode.PERSISTENT_WITH_TTL, ttl_ms=60_000)
    assert await both.commit() == ["/mc", "/mt"]
    with pytest.raises(NoNodeError) as caught:
        await zk.transaction().create("/m").delete("/nope").set("/a", b"").commit()
    assert (caught.value.index, caught.value.path) == (1, "/nope")
    (got, names, failed) = await zk.multi_read().get("/a").children("/a").get("/nope").fetch()
    assert isinstance(got, tuple)
    assert got[0] == b"x"
    assert isinstance(names, list)
    assert sorted(names) == ["b", "es-0000000002", "s-0000000001"]
    assert isinstance(failed, NoNodeError)
    assert await zk.transaction().create("/tx").check("/tx", 0).commit() == ["/tx", None]


async def call_watches(zk: Client, seen: Callable[[WatchEvent], None]) -> None:
    await zk.add_watch("/w", seen)
    await zk.add_watch("/w", seen, recursive=True)
    await zk.create("/w")
    await zk.create("/w/k")
    await zk.set("/w/k", b"")
    await zk.get("/w", seen)
    await zk.children("/w", seen)
    assert await zk.check_watches("/w", WatchKind.DATA)
    assert await zk.check_watches("/w", WatchKind.CHILDREN)
    await zk.remove_watches("/w")
    assert not await zk.check_watches("/w", WatchKind.DATA)
    await zk.delete("/w/k")
    await zk.delete("/w", 0)


async def test_the_whole_api_sends_what_the_java_client_sends() -> None:
    events: list[tuple[int, str]] = []
    async with played(turns(load("40_java_client_api"), "1")) as server:
        async with Client(server.address, timeout=10) as zk:
            await call_everything(zk, events)
    assert events == [
        (3, "/a"),
        (1, "/w"),
        (1, "/w/k"),
        (4, "/w"),
        (3, "/w/k"),
        (101, "/w"),  # removed
        (4, "/a"),  # the session's own ephemerals, while it closes
    ]


async def test_credentials_are_sent_as_by_the_java_client() -> None:
    async with played(turns(load("41_java_client_auth"), "1")) as server:
        async with Client(server.address, timeout=10, auth=[("digest", b"alice:pw")]) as zk:
            await zk.create("/ca", acl=[Acl(31, Id("auth", ""))])
            acl, _ = await zk.get_acl("/ca")
            assert acl == [Acl(31, Id("digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0="))]
            assert Id("digest", "alice") in await zk.whoami()


async def test_a_refused_credential_ends_the_client() -> None:
    async with played(turns(load("41_java_client_auth"), "2")) as server:
        zk = Client(server.address, timeout=10)
        await zk.connect()
        await refused(NoAuthError, zk.get("/ca"))
        await refused(NoAuthError, zk.get_acl("/ca"))
        (link,) = server._all
        with pytest.raises(AuthFailedError):
            await zk.add_auth("nosuch", b"x")
        link.cut()
        assert [state async for state in zk.states()][-1] is State.AUTH_FAILED
        await refused(AuthFailedError, zk.get("/ca"))
        await zk.close()


async def reconnect(name: str) -> list[object]:
    """The calls of vectors 42 and 43; the events that came after the reconnect."""
    items = load(name)
    events: list[object] = []

    def seen(event: WatchEvent) -> None:
        events.append((event.type.name, event.path))

    async with played(turns(items, "1"), turns(items, "2")) as server:
        async with Client(server.address, timeout=10, auth=[("digest", b"alice:pw")]) as zk:
            await asyncio.gather(*(zk.create(path) for path in ("/d", "/c", "/p", "/dx")))
            await zk.get("/d", seen)
            await zk.get("/dx", seen)
            await zk.exists("/e", seen)
            await zk.children("/c", seen)
            if name.endswith("2"):
                await zk.add_watch("/p", seen)
                await zk.add_watch("/r", seen, recursive=True)
            states = zk.states()
            async for state in states:  # cut by the other side
                if state is State.CONNECTING:
                    break
            assert await zk.exists("/d") is not None
            assert zk.last_zxid >= 0xA
    return events


CAUGHT_UP = [
    ("DELETED", "/dx"),
    ("DATA_CHANGED", "/d"),
    ("CREATED", "/e"),
    ("CHILDREN_CHANGED", "/c"),
]


async def test_a_reconnect_restores_session_credentials_and_watches_as_the_java_client_does() -> (
    None
):
    events = await reconnect("42_java_client_reconnect_setwatches")
    assert events == CAUGHT_UP


async def test_a_reconnect_restores_persistent_watches_too() -> None:
    events = await reconnect("43_java_client_reconnect_setwatches2")
    assert events == [
        *CAUGHT_UP,
        # Captured with three changes before the next request: they follow the reply to setWatches2.
        ("GAP", "/p"),
        ("GAP", "/r"),
        ("DATA_CHANGED", "/p"),
        ("CREATED", "/r"),
        ("CREATED", "/r/k"),
    ]


def test_a_java_clients_creator_acl_is_ours() -> None:
    assert (Acl(31, Id("auth", "")),) == CREATOR_ACL
    assert MarshallingFailedError.code == -5
