"""How a session ends, is resumed, and proves who it is, against a server that follows a script."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ensemble.client import (
    AuthFailedError,
    Client,
    ClosedError,
    ConnectionLossError,
    DigestMd5,
    EventStream,
    SessionExpiredError,
    State,
)
from tests.client.fake_server import (
    NO_STAT,
    PASSWORD,
    SESSION_ID,
    FakeLink,
    FakeServer,
    Hello,
    data_reply,
    framed,
    reply,
)
from tests.client.scripted import CLOSE, connected, finish
from tests.client.waiting import until

GET, SET, ADD_WATCH = 4, 5, 106
AUTH, SASL = 100, 102
REFUSED_AUTH = struct.pack(">iqi", -4, 0, -115)


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
