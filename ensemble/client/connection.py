"""One TCP connection to one server: frames, the requests that await replies, pings.

Source: client.md sections 1, 3, 4, 19. Knows nothing of other servers: when it is lost, everything
in flight fails and the session looks for the next connection. Frames are handled in the order of
their arrival, a watch event before the reply behind it, and nothing here waits in between.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from ensemble.client.errors import ClientError, ConnectionLossError, error_of
from ensemble.client.hosts import Host
from ensemble.client.liveness import Liveness
from ensemble.errors import ProtocolError
from ensemble.wire import codes
from ensemble.wire.framing import FrameBuffer, begin_frame, end_frame
from ensemble.wire.jute import BytesWriter, MarshallingError, Reader
from ensemble.wire.replies import (
    ConnectResponse,
    read_connect_response,
    read_reply_header,
    read_watcher_event,
)
from ensemble.wire.requests import ConnectRequest, write_connect_request, write_request_header

XID_MAX: Final = 2**31 - 1
REQUEST_HEADER_BYTES: Final = 8

T = TypeVar("T")

log = logging.getLogger("ensemble.client")


class Request(Protocol):
    """What a connection needs of a request."""

    op: int
    body: bytes
    release: Callable[[int], None] | None

    def is_wanted(self) -> bool: ...

    def on_reply(self, err: int, reader: Reader) -> None: ...

    def fail(self, error: ClientError) -> None: ...

    def on_connection_loss(self, reason: str) -> None: ...


class Call(Generic[T]):
    """A request and the future of its result.

    `finish` makes the result of an error code and the reply's body, or raises a `ClientError`; it
    runs when the reply arrives, also if nobody waits for the future any more. `undo` is called if
    the request fails. `release`, which the session sets, is called once, whatever comes of it.
    """

    __slots__ = ("_finish", "_undo", "body", "future", "op", "path", "release")

    def __init__(
        self,
        op: int,
        body: bytes,
        path: str | None,
        finish: Callable[[int, Reader], T],
        undo: Callable[[], None] | None = None,
    ) -> None:
        self.op = op
        self.body = body
        self.path: Final = path
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.release: Callable[[int], None] | None = None
        self._finish = finish
        self._undo = undo

    def on_reply(self, err: int, reader: Reader) -> None:
        try:
            value = self._finish(err, reader)
        except ClientError as error:
            self.fail(error)
            return
        self._leave()
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: ClientError) -> None:
        self._leave()
        if self._undo is not None:
            self._undo()
        if not self.future.done():
            self.future.set_exception(error)

    def on_connection_loss(self, reason: str) -> None:
        self.fail(ConnectionLossError(reason, path=self.path))

    def is_wanted(self) -> bool:
        """Whether anybody still waits for the result."""
        return not self.future.cancelled()

    def _leave(self) -> None:
        release, self.release = self.release, None
        if release is not None:
            release(len(self.body))


def check(err: int, path: str | None = None) -> None:
    """Raise what a reply's error code stands for, if it is one."""
    if err:
        raise error_of(err, path)


class Owner(Protocol):
    """The session, as its connection sees it."""

    def on_event(self, type: int, path: bytes, zxid: int) -> None: ...

    def on_zxid(self, zxid: int) -> None: ...


class Connection(asyncio.Protocol):
    """See the module. Calls in order: `open_session`, `start_pinging`, then `send` as needed."""

    def __init__(self, owner: Owner, host: Host, reply_bytes_max: int) -> None:
        self.host: Final = host
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._frames = FrameBuffer(reply_bytes_max)
        self._hello: asyncio.Future[ConnectResponse] | None = None
        self._pending: deque[tuple[int, Request]] = deque()
        self._auths: deque[Request] = deque()
        self._out = BytesWriter()
        self._xid = 0
        self._liveness: Liveness | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Why the connection ended; everything that was in flight has failed by then."""

    # What the session calls

    async def open_session(self, request: ConnectRequest) -> ConnectResponse:
        """The first exchange of a connection, without headers."""
        if self.lost.done():
            raise ConnectionLossError(self.lost.result())
        self._hello = self._loop.create_future()
        start = self._begin()
        write_connect_request(self._out, request)
        end_frame(self._out, start)
        return await self._hello

    def start_pinging(self, timeout_s: float) -> None:
        """Keep the session alive, and drop the connection when the server falls silent."""
        self._liveness = Liveness(timeout_s, self._loop.time())
        self._check_liveness()

    def send(self, request: Request, xid: int = 0) -> None:
        """Send a request behind those in flight. `xid` 0: the next number."""
        if self.lost.done():
            request.on_connection_loss(self.lost.result())
            return
        if xid == 0:
            self._xid = xid = 1 if self._xid == XID_MAX else self._xid + 1
        self._write(xid, request.op, request.body)
        # Apache answers auth out of turn (client.md section 14), so it has a queue of its own.
        if xid == codes.XID_AUTH:
            self._auths.append(request)
        else:
            self._pending.append((xid, request))

    def drop(self, reason: str) -> None:
        """Cut the connection now; `lost` follows."""
        if not self._reason:
            self._reason = reason
        if self._transport is not None:
            self._transport.abort()
        elif not self.lost.done():
            self.lost.set_result(reason)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._reason:  # dropped while it was being made
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._liveness is not None:
            self._liveness.heard = self._loop.time()
        frames = self._frames
        try:
            frames.feed(data)
            while not self._reason and frames.next_frame():
                self._on_frame(Reader(frames.buf, frames.start, frames.end))
        except (ProtocolError, MarshallingError) as error:
            log.warning("%s sent what is not understood: %s", self.host, error)
            self.drop(f"{self.host} sent what is not understood: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        reason = self._reason or f"{self.host} closed the connection"
        if exc is not None and not self._reason:
            reason = f"{self.host}: {exc}"
        self._reason = reason
        lost = [request for _, request in self._pending]
        lost += self._auths
        self._pending.clear()
        self._auths.clear()
        for request in lost:
            request.on_connection_loss(reason)
        if self._hello is not None and not self._hello.done():
            self._hello.set_exception(ConnectionLossError(reason))
        if not self.lost.done():
            self.lost.set_result(reason)

    # Frames

    def _on_frame(self, reader: Reader) -> None:
        if self._hello is not None:
            hello, self._hello = self._hello, None
            self._on_hello(hello, reader)
            return
        header = read_reply_header(reader)
        if header.xid == codes.XID_NOTIFICATION:
            event = read_watcher_event(reader)
            self._owner.on_event(event.type, event.path, header.zxid)
            return
        # Not the zxids of events: of a multi's events, which share one zxid, a lost connection may
        # bring only the first; a setWatches relative to it would never bring the others.
        if header.zxid > 0:
            self._owner.on_zxid(header.zxid)
        if header.xid == codes.XID_PING:
            return
        request = self._take_pending(header.xid)
        try:
            request.on_reply(header.err, reader)
        except MarshallingError as error:
            request.on_connection_loss(f"the reply of {self.host} is not understood: {error}")
            raise

    def _on_hello(self, hello: asyncio.Future[ConnectResponse], reader: Reader) -> None:
        try:
            answer = read_connect_response(reader)
        except MarshallingError as error:
            # A read-only server without local sessions answers so (client.md section 16).
            if not hello.done():
                hello.set_exception(
                    ConnectionLossError(f"{self.host} answers with no ConnectResponse")
                )
            raise ProtocolError("no ConnectResponse") from error
        if not hello.done():
            hello.set_result(answer)

    def _take_pending(self, xid: int) -> Request:
        if xid == codes.XID_AUTH:
            if not self._auths:
                raise ProtocolError("a reply to no auth request")
            return self._auths.popleft()
        if not self._pending or self._pending[0][0] != xid:
            awaited = self._pending[0][0] if self._pending else "none"
            raise ProtocolError(f"a reply with xid {xid}, awaited is {awaited}")
        return self._pending.popleft()[1]

    def _write(self, xid: int, op: int, body: bytes) -> None:
        start = self._begin()
        write_request_header(self._out, xid, op)
        self._out.write(body)
        end_frame(self._out, start)

    def _begin(self) -> int:
        # All that is sent in one turn of the loop leaves in one write.
        if len(self._out) == 0:
            self._loop.call_soon(self._flush)
        return begin_frame(self._out)

    def _flush(self) -> None:
        data = self._out.getvalue()
        self._out = BytesWriter()
        if self._liveness is not None:
            self._liveness.spoke = self._loop.time()
        if self._transport is not None and not self._reason:
            self._transport.write(data)

    def _check_liveness(self) -> None:
        liveness = self._liveness
        assert liveness is not None
        now = self._loop.time()
        if liveness.must_drop(now):
            self.drop(f"{self.host} was silent for {liveness.drop_after_s:.1f} s")
            return
        if liveness.must_ping(now):
            liveness.spoke = now
            self._write(codes.XID_PING, codes.OP_PING, b"")
        self._timer = self._loop.call_later(liveness.next_check(now), self._check_liveness)
