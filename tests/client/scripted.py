"""What tests against a scripted server begin and end with."""

import asyncio

from ensemble.client import Client
from tests.client.fake_server import FakeLink, FakeServer, reply

CLOSE = -11


async def connected(server: FakeServer, client: Client, **hello: int) -> FakeLink:
    """The server's end of the client's first connection."""
    connecting = asyncio.create_task(client.connect())
    link = await server.accept()
    await link.hello(**hello)  # type: ignore[arg-type]
    await connecting
    return link


async def finish(link: FakeLink, client: Client) -> None:
    """An orderly close."""
    closing = asyncio.create_task(client.close())
    got = await link.request(CLOSE)
    link.send(reply(got.xid))
    await closing
