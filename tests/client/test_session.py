"""A session's life, against a server that follows a script: losses, limits, garbage."""

import asyncio
import struct

import pytest

from ensemble.client import (
    BadArgumentsError,
    Client,
    ConnectionLossError,
    EventType,
    QueueFullError,
    State,
    WatchEvent,
)
from tests.client.fake_server import (
    NO_STAT,
    PASSWORD,
    SESSION_ID,
    FakeServer,
    Hello,
    data_reply,
    event,
    framed,
    reply,
)
from tests.client.scripted import connected, finish
from tests.client.waiting import until

EXISTS, GET, SET = 3, 4, 5


# In flight, and waiting


async def test_what_is_in_flight_fails_and_is_never_sent_again() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        calls = [client.set("/a", b"1"), client.set("/a", b"2"), client.get("/a")]
        await link.request(SET)
        link.cut()
        for call in calls:
            with pytest.raises(ConnectionLossError) as caught:
                await call
            assert caught.value.path == "/a"
        again = await server.accept()
        hello = await again.hello()
        assert (hello.session_id, hello.password) == (SESSION_ID, PASSWORD)
        probe = client.exists("/probe")
        got = await again.request()
        assert got.op == EXISTS, "the first request of the new connection is the new one"
        again.send(reply(got.xid, body=NO_STAT))
        await probe
        await finish(again, client)


async def test_what_is_asked_without_a_connection_waits_for_the_next_in_order() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        link.cut()
        await until(lambda: client.state is State.CONNECTING, "the state changes")
        calls = [client.get(f"/{n}") for n in range(3)]
        calls[1].cancel()
        again = await server.accept()
        await again.hello()
        for n in (0, 2):
            got = await again.request(GET)
            assert got.body[4:6] == f"/{n}".encode(), "the cancelled one was not sent"
            again.send(reply(got.xid, body=data_reply(b"%d" % n)))
        assert (await calls[0])[0] == b"0"
        assert (await calls[2])[0] == b"2"
        await finish(again, client)


async def test_what_waits_for_a_connection_waits_a_session_timeout_at_most() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client, timeout_ms=400)
        await server.stop_listening()
        link.cut()
        await until(lambda: client.state is State.CONNECTING, "the state changes")
        with pytest.raises(ConnectionLossError, match=r"not sent"):
            await client.get("/a")
        assert client.state is State.CONNECTING, "the session goes on trying"
        await client.close()


async def test_a_cancelled_request_leaves_the_order_of_replies_alone() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        first, second = client.get("/1"), client.get("/2")
        first.cancel()
        one, two = await link.request(GET), await link.request(GET)
        link.send(reply(one.xid, body=data_reply(b"1")), reply(two.xid, body=data_reply(b"2")))
        assert (await second)[0] == b"2"
        await finish(link, client)


async def test_a_watch_of_a_cancelled_read_is_not_kept() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        seen: list[WatchEvent] = []
        read = client.get("/a", watch=seen.append)
        got = await link.request(GET)
        read.cancel()
        link.send(reply(got.xid, body=data_reply(b"")), event(3, "/a"))
        probe = client.get("/b")
        got = await link.request(GET)
        link.send(reply(got.xid, body=data_reply(b"")))
        await probe
        assert seen == []
        await finish(link, client)


# Limits


async def test_a_full_queue_refuses_and_drain_waits_for_room() -> None:
    async with FakeServer() as server:
        client = Client(server.address, requests_max=4)
        link = await connected(server, client)
        calls = [client.get("/a") for _ in range(4)]
        with pytest.raises(QueueFullError, match="4 requests await replies"):
            client.get("/a")
        draining = asyncio.create_task(client.drain())
        for call in calls[:2]:
            await asyncio.sleep(0)
            assert not draining.done(), "more than half is taken"
            got = await link.request(GET)
            link.send(reply(got.xid, body=data_reply(b"")))
            await call
        await draining
        for call in calls[2:]:
            got = await link.request(GET)
            link.send(reply(got.xid, body=data_reply(b"")))
            await call
        await finish(link, client)


async def test_bytes_that_wait_have_a_limit_too_and_one_large_request_passes() -> None:
    async with FakeServer() as server:
        client = Client(server.address, requests_bytes_max=1_000)
        link = await connected(server, client)
        large = client.set("/a", b"x" * 2_000)
        with pytest.raises(QueueFullError, match="above the limit of 1000"):
            client.set("/a", b"")
        got = await link.request(SET)
        link.send(reply(got.xid, body=NO_STAT))
        await large
        await finish(link, client)


async def test_a_transaction_that_met_a_full_queue_can_be_committed_again() -> None:
    async with FakeServer() as server:
        client = Client(server.address, requests_max=1)
        link = await connected(server, client)
        call = client.get("/a")
        transaction = client.transaction().delete("/b")
        with pytest.raises(QueueFullError):
            transaction.commit()
        got = await link.request(GET)
        link.send(reply(got.xid, body=data_reply(b"")))
        await call
        commit = transaction.commit()
        got = await link.request(14)
        done = struct.pack(">ibi", 2, 0, 0) + struct.pack(">ibi", -1, 1, -1)
        link.send(reply(got.xid, body=done))
        assert await commit == [None]
        with pytest.raises(BadArgumentsError, match="committed before"):
            transaction.commit()
        await finish(link, client)


async def test_a_request_above_the_servers_limit_is_refused_before_it_costs_the_connection() -> (
    None
):
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        with pytest.raises(BadArgumentsError, match=r"at most 1048575") as caught:
            client.set("/a", b"x" * 1_048_575)
        assert caught.value.path == "/a"
        await finish(link, client)


async def test_a_reply_above_the_limit_costs_the_connection_and_says_why() -> None:
    async with FakeServer() as server:
        client = Client(server.address, reply_bytes_max=2_000)
        link = await connected(server, client)
        call = client.get("/a")
        got = await link.request(GET)
        link.send(reply(got.xid, body=data_reply(b"x" * 3_000)))
        with pytest.raises(ConnectionLossError, match="the limit is 2000"):
            await call
        assert await link.ended()
        await client.close()


# Silence and garbage


async def test_a_silent_server_is_left_after_two_thirds_of_the_timeout() -> None:
    async with FakeServer() as server:
        client = Client(server.address, timeout=0.6)
        link = await connected(server, client, timeout_ms=600)
        call = client.get("/a")
        with pytest.raises(ConnectionLossError, match=r"silent for 0\.4 s"):
            await call
        assert await link.ended()
        again = await server.accept()
        assert (await again.hello()).session_id == SESSION_ID
        await client.close()


async def test_an_idle_session_is_kept_alive_by_pings() -> None:
    async with FakeServer() as server:
        client = Client(server.address, timeout=0.6)
        link = await connected(server, client, timeout_ms=600)
        for _ in range(4):  # more than a whole timeout
            got = await link.request(11)
            assert got.xid == -2
            link.send(reply(-2))
        assert client.state is State.CONNECTED
        await finish(link, client)


@pytest.mark.parametrize(
    ("garbage", "named"),
    [
        (framed(b""), "wanted"),
        (struct.pack(">i", -5), "-5 bytes"),
        (reply(77), "xid 77"),
        (reply(-4), "no auth"),
        (framed(struct.pack(">iqi", -1, 1, 0) + b"\0\0"), "wanted"),
    ],
    ids=["an empty frame", "a negative length", "a wrong xid", "an auth reply", "half an event"],
)
async def test_what_is_not_understood_costs_the_connection_only(garbage: bytes, named: str) -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        call = client.get("/a")
        await link.request(GET)
        link.send(garbage)
        with pytest.raises(ConnectionLossError, match=named):
            await call
        again = await server.accept()
        await again.hello()
        await client.close()


async def test_a_reply_with_too_short_a_body_fails_its_request_and_those_behind() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        short, behind = client.get("/a"), client.get("/b")
        got = await link.request(GET)
        link.send(reply(got.xid, body=b"\0\0"))
        with pytest.raises(ConnectionLossError, match="not understood"):
            await short
        with pytest.raises(ConnectionLossError):
            await behind
        await client.close()


# Watches across connections


async def test_watches_are_restored_in_requests_of_bounded_size_before_waiting_requests() -> None:
    names = [f"/{n:03}-{'x' * 2000}" for n in range(100)]  # 200 KB, two requests
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        seen: list[WatchEvent] = []
        calls = [client.get(name, watch=seen.append) for name in names]
        for _ in names:
            got = await link.request(GET)
            link.send(reply(got.xid, zxid=7, body=data_reply(b"")))
        await asyncio.gather(*calls)
        link.cut()
        await until(lambda: client.state is State.CONNECTING, "the state changes")
        waiting = client.exists("/z")
        again = await server.accept()
        assert (await again.hello()).last_zxid == 7
        restored = 0
        for _ in range(2):
            got = await again.request(101)
            assert len(got.raw) < 140_000
            relative, count = struct.unpack_from(">qi", got.body)
            assert relative == 7, "of the second too: the first reply must not move it on"
            restored += count
            again.send(event(3, names[0], -1), reply(got.xid, zxid=9))
        assert restored == len(names)
        got = await again.request(EXISTS)
        again.send(reply(got.xid, body=NO_STAT))
        await waiting
        assert [e.path for e in seen] == [names[0]], "a one-shot watch fires once"
        await finish(again, client)


async def test_an_event_is_told_before_the_reply_behind_it() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        order: list[str] = []
        watching = client.get("/a", watch=lambda e: order.append("event"))
        got = await link.request(GET)
        link.send(reply(got.xid, body=data_reply(b"")))
        await watching
        read = client.get("/a")
        read.add_done_callback(lambda _: order.append("reply"))
        got = await link.request(GET)
        link.send(event(3, "/a"), reply(got.xid, body=data_reply(b"new")))
        await read
        assert order == ["event", "reply"]
        await finish(link, client)


async def test_a_watcher_that_fails_costs_neither_the_connection_nor_the_reply(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: WatchEvent) -> None:
        raise RuntimeError("a bug of the caller")

    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        client.on_state(lambda state: fail(WatchEvent(EventType.GAP, "/")))
        watching = client.get("/a", watch=fail)
        got = await link.request(GET)
        link.send(reply(got.xid, body=data_reply(b"")), event(3, "/a"))
        await watching
        read = client.get("/a")
        got = await link.request(GET)
        link.send(reply(got.xid, body=data_reply(b"fine")))
        assert (await read)[0] == b"fine"
        await finish(link, client)
    assert "a watcher failed on DATA_CHANGED of /a" in caplog.text
    assert "a watcher of the state failed on closed" in caplog.text


# Read-only servers


async def test_a_read_only_server_is_left_for_one_that_writes() -> None:
    async with FakeServer() as reading, FakeServer() as writing:
        await writing.stop_listening()
        client = Client(f"{reading.address},{writing.address}", read_only=True)
        connecting = asyncio.create_task(client.connect())
        link = await reading.accept()
        hello = await link.hello(session_id=5, read_only=True)
        assert hello.read_only
        await connecting
        assert client.state is State.READ_ONLY
        await writing.__aenter__()
        word = asyncio.create_task(answer_words(reading, writing))
        attached = await word
        assert attached.session_id == 0, "an id of a read-only server means nothing elsewhere"
        await until(lambda: client.state is State.CONNECTED, "the state changes")
        await client.close()


async def answer_words(reading: FakeServer, writing: FakeServer) -> Hello:
    """`ro` from the one, `rw` from the other, until the client comes over."""

    async def say_ro() -> None:
        while True:
            link = await reading.accept()
            assert await link.reader.readexactly(4) == b"isro"
            link.send(b"ro")
            link.writer.close()

    saying = asyncio.create_task(say_ro())
    try:
        while True:
            link = await writing.accept()
            first = await link.reader.readexactly(4)
            if first != b"isro":
                hello = Hello(await link.reader.readexactly(int.from_bytes(first, "big")))
                answer = struct.pack(">iiqi", 0, 10_000, 6, len(PASSWORD)) + PASSWORD + b"\0"
                link.send(framed(answer))
                return hello
            link.send(b"rw")
            link.writer.close()
    finally:
        saying.cancel()
