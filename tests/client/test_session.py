"""A session's life, against a server that follows a script: losses, limits, ends."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ensemble.client import (
    AuthFailedError,
    BadArgumentsError,
    Client,
    ClosedError,
    ConnectionLossError,
    DigestMd5,
    EventStream,
    EventType,
    QueueFullError,
    SessionExpiredError,
    State,
    WatchEvent,
)
from tests.client.fake_server import (
    NO_STAT,
    PASSWORD,
    SESSION_ID,
    FakeLink,
    FakeServer,
    Hello,
    data_reply,
    event,
    framed,
    reply,
)
from tests.client.waiting import until

EXISTS, GET, SET, ADD_WATCH, CLOSE = 3, 4, 5, 106, -11
AUTH, SASL = 100, 102
REFUSED_AUTH = struct.pack(">iqi", -4, 0, -115)


async def connected(server: FakeServer, client: Client, **hello: int) -> FakeLink:
    """The server's end of the client's first connection."""
    connecting = asyncio.create_task(client.connect())
    link = await server.accept()
    await link.hello(**hello)
    await connecting
    return link


async def finish(link: FakeLink, client: Client) -> None:
    """An orderly close."""
    closing = asyncio.create_task(client.close())
    got = await link.request(CLOSE)
    link.send(reply(got.xid))
    await closing


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


# Ends


async def test_an_expired_session_fails_everything_and_connect_starts_another() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        states: list[State] = []
        client.on_state(states.append)
        async with watched(client, link) as stream:
            link.cut()
            await until(lambda: client.state is State.CONNECTING, "the state changes")
            waiting = client.get("/a")
            again = await server.accept()
            await again.expire()
            with pytest.raises(SessionExpiredError):
                await waiting
            with pytest.raises(SessionExpiredError):
                await anext(stream)
        assert states == [State.CONNECTING, State.EXPIRED]
        with pytest.raises(SessionExpiredError):
            await client.get("/a")
        connecting = asyncio.create_task(client.connect())
        third = await server.accept()
        assert (await third.hello(session_id=99)).session_id == 0
        await connecting
        assert client.session_id == 99
        await finish(third, client)


@asynccontextmanager
async def watched(client: Client, link: FakeLink) -> AsyncIterator[EventStream]:
    """`client.watch`, with the server's half of its beginning."""
    context = client.watch("/a")
    entering = asyncio.create_task(context.__aenter__())
    got = await link.request(ADD_WATCH)
    link.send(reply(got.xid))
    yield await entering
    await context.__aexit__(None, None, None)


async def test_close_waits_for_the_requests_before_it() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        call = client.set("/a", b"")
        closing = asyncio.create_task(client.close())
        got = await link.request(SET)
        last = await link.request(CLOSE)
        with pytest.raises(ClosedError):
            await client.get("/late")
        link.send(reply(got.xid, body=NO_STAT), reply(last.xid))
        await closing
        await call
        assert client.state is State.CLOSED
        with pytest.raises(ClosedError):
            await client.get("/a")


async def test_two_who_close_at_once_close_once() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        closing = asyncio.gather(client.close(), client.close())
        got = await link.request(CLOSE)
        assert not closing.done(), "the second waits for the first"
        link.send(reply(got.xid))
        await closing
        assert await link.ended()
        await client.close()


async def test_close_does_not_hang_on_a_server_that_does_not_answer() -> None:
    async with FakeServer() as server:
        client = Client(server.address, timeout=0.3)
        link = await connected(server, client, timeout_ms=300)
        closing = asyncio.create_task(client.close())
        await link.request(CLOSE)
        await asyncio.wait_for(closing, 5)
        assert client.state is State.CLOSED


async def test_a_client_can_be_closed_while_it_connects() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        connecting = asyncio.create_task(client.connect())
        link = await server.accept()
        await link.frame()  # and no answer
        await client.close()
        with pytest.raises(ClosedError):
            await connecting
        assert await link.ended()


async def test_a_cancelled_connect_leaves_nothing_running() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        connecting = asyncio.create_task(client.connect())
        link = await server.accept()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert await link.ended()
        assert client.state is State.CLOSED
        assert not [t for t in asyncio.all_tasks() if t.get_name() == "ensemble-client-session"]


async def test_no_server_within_the_time_says_which_were_tried() -> None:
    async with FakeServer() as server:
        await server.stop_listening()
        client = Client(server.address)
        with pytest.raises(ConnectionLossError, match=rf"{server.address} within 0\.2 s"):
            await client.connect(within=0.2)
        assert client.state is State.CLOSED


async def test_a_session_to_resume_is_not_forgotten_by_a_connect_that_found_no_server() -> None:
    async with FakeServer() as server:
        client = Client(server.address, resume=(SESSION_ID, PASSWORD))
        with pytest.raises(ConnectionLossError):
            await client.connect(within=0.1)  # nobody answers the first one
        stale = await server.accept()
        assert Hello(await stale.frame()).session_id == SESSION_ID
        connecting = asyncio.create_task(client.connect())
        link = await server.accept()
        hello = await link.hello()
        assert (hello.session_id, hello.password) == (SESSION_ID, PASSWORD)
        await connecting
        await finish(link, client)


async def test_a_session_to_resume_that_is_over_says_so_and_the_next_is_new() -> None:
    async with FakeServer() as server:
        client = Client(server.address, resume=(-2, PASSWORD))
        connecting = asyncio.create_task(client.connect())
        link = await server.accept()
        await link.expire()
        with pytest.raises(SessionExpiredError, match="0xfffffffffffffffe is over"):
            await connecting
        link = await connected(server, client)
        assert client.session_id == SESSION_ID
        await finish(link, client)


# Credentials


async def test_credentials_are_presented_again_before_anything_else() -> None:
    async with FakeServer() as server:
        client = Client(server.address, auth=[("digest", b"ann:secret")])
        connecting = asyncio.create_task(client.connect())
        link = await server.accept()
        await link.hello()
        got = await link.request(AUTH)
        assert got.xid == -4
        link.send(reply(-4))
        await connecting
        adding = client.add_auth("digest", b"bob:secret")
        await link.request(AUTH)
        link.send(reply(-4))
        await adding
        link.cut()
        again = await server.accept()
        await again.hello()
        for who in (b"ann:secret", b"bob:secret"):
            assert (await again.request(AUTH)).body.endswith(who)
            again.send(reply(-4))
        read = client.get("/a")
        got = await again.request(GET)
        again.send(reply(got.xid, body=data_reply(b"")))
        await read
        await finish(again, client)


async def test_a_credential_that_is_refused_later_ends_the_client() -> None:
    async with FakeServer() as server:
        client = Client(server.address)
        link = await connected(server, client)
        adding, read = client.add_auth("digest", b"bad"), client.get("/a")
        await link.request(AUTH)
        link.send(framed(REFUSED_AUTH))
        with pytest.raises(AuthFailedError, match="digest"):
            await adding
        link.cut()
        with pytest.raises(ConnectionLossError):
            await read
        await until(lambda: client.state.is_final, "the refusal ends the client")
        assert client.state is State.AUTH_FAILED
        with pytest.raises(AuthFailedError):
            await client.get("/a")
        await client.close()


async def test_sasl_that_the_server_does_not_know_is_no_silent_success() -> None:
    async with FakeServer() as server:
        client = Client(server.address, sasl=DigestMd5("bob", "secret"))
        connecting = asyncio.create_task(client.connect())
        link = await server.accept()
        await link.hello()
        got = await link.request(SASL)
        link.send(reply(got.xid, body=struct.pack(">i", -1)))
        with pytest.raises(AuthFailedError, match="did not accept SASL"):
            await connecting
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
