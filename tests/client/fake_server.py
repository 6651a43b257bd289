"""A server that does what a test says: it accepts, reads frames, sends bytes, cuts.

Knows nothing of `ensemble.wire`, so that a fault there cannot hide on both sides. Every wait has a
deadline.
"""

import asyncio
import ssl
import struct
from types import TracebackType

DEADLINE_S = 10.0
SESSION_ID = 0x1234_5678_9ABC
PASSWORD = bytes(range(16))
NO_STAT = struct.pack(">qqqqiiiqiiq", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1)

PING = 11
SET_WATCHES = 101
SET_WATCHES2 = 105


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">i", len(raw)) + raw


def texts(values: list[str]) -> bytes:
    return struct.pack(">i", len(values)) + b"".join(map(text, values))


def data_reply(data: bytes) -> bytes:
    """The body of a reply to getData."""
    return struct.pack(">i", len(data)) + data + NO_STAT


def framed(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


def reply(xid: int, zxid: int = 1, err: int = 0, body: bytes = b"") -> bytes:
    """A whole frame."""
    return framed(struct.pack(">iqi", xid, zxid, err) + body)


def event(type: int, path: str, zxid: int = 1) -> bytes:
    """A whole frame."""
    return framed(struct.pack(">iqiii", -1, zxid, 0, type, 3) + text(path))


class Hello:
    """A decoded ConnectRequest."""

    def __init__(self, payload: bytes) -> None:
        self.raw = payload
        _, self.last_zxid, self.timeout_ms, self.session_id, size = struct.unpack_from(
            ">iqiqi", payload
        )
        self.password = payload[28 : 28 + size]
        self.read_only = payload[28 + size :] == b"\x01"


class Got:
    """A decoded request."""

    def __init__(self, payload: bytes) -> None:
        self.raw = payload
        self.xid, self.op = struct.unpack_from(">ii", payload)
        self.body = payload[8:]


class FakeLink:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> bytes:
        """One frame's payload."""
        async with asyncio.timeout(DEADLINE_S):
            size = struct.unpack(">i", await self.reader.readexactly(4))[0]
            return await self.reader.readexactly(size)

    async def hello(
        self,
        session_id: int = SESSION_ID,
        timeout_ms: int = 10_000,
        password: bytes = PASSWORD,
        read_only: bool = False,
    ) -> Hello:
        """Read the ConnectRequest and take the session."""
        hello = Hello(await self.frame())
        self.send(
            framed(
                struct.pack(">iiqi", 0, timeout_ms, session_id, len(password))
                + password
                + bytes([read_only])
            )
        )
        return hello

    async def expire(self) -> Hello:
        """Read the ConnectRequest and say that the session is over."""
        return await self.hello(0, 0, bytes(16))

    async def request(self, op: int | None = None) -> Got:
        """The next request that is not a ping; pings are answered."""
        while True:
            got = Got(await self.frame())
            if got.op == PING and op != PING:
                self.send(reply(-2))
                continue
            assert op is None or got.op == op, f"op {got.op}, expected {op}"
            return got

    def send(self, *frames: bytes) -> None:
        """All in one segment."""
        self.writer.write(b"".join(frames))

    async def ended(self) -> bool:
        """Whether the client closes the connection, within the deadline."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionResetError:
                pass
        return True

    def cut(self) -> None:
        self.writer.transport.abort()


class FakeServer:
    """Listens on a free port; `accept` gives the connections one by one."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._links: asyncio.Queue[FakeLink] = asyncio.Queue()
        self._all: list[FakeLink] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> "FakeServer":
        self._server = await asyncio.start_server(
            self._on_connection, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = FakeLink(reader, writer)
        self._all.append(link)
        self._links.put_nowait(link)

    async def accept(self) -> FakeLink:
        """The next connection."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._links.get()

    async def stop_listening(self) -> None:
        assert self._server is not None
        self._server.close()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.stop_listening()
        for link in self._all:
            link.cut()
