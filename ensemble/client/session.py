"""A session across connections: finding a server, re-attaching, restoring, ending.

Source: client.md sections 3, 13.6, 15, 16, 19. What is in flight when a connection is lost fails
with ConnectionLossError and is never sent again: only the caller knows whether that is safe. What
was asked for while there was no connection was never sent, so it waits, in order, for the next one,
at most for a session timeout.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from ensemble.client.connection import Call, Connection, Request, check
from ensemble.client.errors import (
    AuthFailedError,
    ClientError,
    ClosedError,
    ConnectionLossError,
    QueueFullError,
    SessionExpiredError,
)
from ensemble.client.hosts import Host, HostRing
from ensemble.client.readonly import find_writable
from ensemble.client.sasl import SaslMechanism
from ensemble.client.state import SessionOptions, State
from ensemble.client.watches import WatchTable
from ensemble.errors import ProtocolError
from ensemble.wire import codes
from ensemble.wire.jute import BytesWriter, Reader, write_buffer
from ensemble.wire.replies import NO_PASSWORD, ConnectResponse
from ensemble.wire.requests import AuthPacket, ConnectRequest, write_auth, write_set_watches

CONNECT_S_MIN: Final = 0.5  # for one attempt, however many servers share the session's timeout
CLOSE_S_MAX: Final = 5.0  # close() waits no longer for the server's answer

log = logging.getLogger("ensemble.client")


Credential = bytes | Callable[[], bytes]
"""What stands for an identity; made anew for each connection where it is valid for a while only."""


class Session:
    """One ZooKeeper session, from its first connection to its end."""

    def __init__(
        self,
        options: SessionOptions,
        hosts: HostRing,
        auth: list[tuple[str, Credential]],
        watches: WatchTable,
        on_state: Callable[[State], None],
        resume: tuple[int, bytes] | None = None,
    ) -> None:
        self.state = State.CONNECTING
        self.id, self.password = resume or (0, NO_PASSWORD)
        self.timeout_s = options.timeout_s  # as negotiated, once connected
        self.last_zxid = 0
        self.host: Host | None = None
        self.last_failure = ""  # of the attempts to connect; for messages
        self._options = options
        self._hosts = hosts
        self._auth = auth  # the client's own list: it grows
        self._watches = watches
        self._on_state = on_state
        self._seen_writable = resume is not None
        self._link: Connection | None = None  # only when it is ready for requests
        self._waiting: deque[tuple[float, Request, int]] = deque()
        self._waiting_timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._bytes = 0
        self._draining: list[asyncio.Future[None]] = []
        self._error: ClientError | None = None
        self._auth_error: AuthFailedError | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._settled: asyncio.Future[None] = self._loop.create_future()
        self._runner = self._loop.create_task(self._run(), name="ensemble-client-session")

    @property
    def name(self) -> str:
        """The id as it is printed: signed on the wire, unsigned in words."""
        return hex(self.id & 0xFFFF_FFFF_FFFF_FFFF)

    # Requests

    def submit(self, request: Request, xid: int = 0) -> None:
        """Send a request, or keep it until there is a connection. `xid` 0: the next number.

        Raises:
            QueueFullError: too many requests, or bytes of requests, await replies.
        """
        if self._error is not None:
            request.fail(_copy_of(self._error))
            return
        if self._closing:
            request.fail(ClosedError("the client is being closed"))
            return
        options = self._options
        size = len(request.body)
        if self._count >= options.requests_max:
            raise QueueFullError(f"{self._count} requests await replies, the limit")
        if self._bytes + size > options.requests_bytes_max and self._count:
            raise QueueFullError(
                f"{self._bytes} bytes of requests await replies, {size} more are above the limit "
                f"of {options.requests_bytes_max}"
            )
        self._count += 1
        self._bytes += size
        request.release = self._on_released
        if self._link is not None:
            self._link.send(request, xid)
        else:
            self._waiting.append((self._loop.time() + self.timeout_s, request, xid))
            self._time_waiting()

    async def drain(self) -> None:
        """Return when at most half of the limits are taken, or the session is over."""
        while self._error is None and not self._has_room():
            room = self._loop.create_future()
            self._draining.append(room)
            await room

    def add_auth(self, scheme: str, token: Credential) -> asyncio.Future[None]:
        """Present a credential; one that the server accepts is presented on each new connection."""
        call = self._auth_call(scheme, token, remember=(scheme, token) not in self._auth)
        self.submit(call, codes.XID_AUTH)
        return call.future

    def _has_room(self) -> bool:
        half, bytes_half = self._options.requests_max // 2, self._options.requests_bytes_max // 2
        return self._count <= half and self._bytes <= bytes_half

    def _on_released(self, size: int) -> None:
        self._count -= 1
        self._bytes -= size
        assert self._count >= 0, "a request left twice"
        if self._draining and self._has_room():
            self._wake_drainers()

    def _wake_drainers(self) -> None:
        draining, self._draining = self._draining, []
        for room in draining:
            if not room.done():
                room.set_result(None)

    def _time_waiting(self) -> None:
        if self._waiting_timer is None and self._waiting:
            self._waiting_timer = self._loop.call_at(self._waiting[0][0], self._expire_waiting)

    def _expire_waiting(self) -> None:
        self._waiting_timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, request, _ = self._waiting.popleft()
            request.on_connection_loss(
                f"no connection for {self.timeout_s:g} s, not sent ({self.last_failure})"
            )
        self._time_waiting()

    def _flush_waiting(self, link: Connection) -> None:
        if self._waiting_timer is not None:
            self._waiting_timer.cancel()
            self._waiting_timer = None
        waiting, self._waiting = self._waiting, deque()
        for _, request, xid in waiting:
            if request.is_wanted():
                link.send(request, xid)
            else:
                request.fail(ClosedError("cancelled before it was sent"))

    # Life

    async def wait_connected(self, within_s: float) -> None:
        """Return when there is a connection.

        Raises:
            ConnectionLossError: none after `within_s` seconds. The session goes on trying.
            ClientError: the session ended: why.
        """
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(self._settled)
        except TimeoutError:
            tried = ", ".join(str(host) for host in self._hosts.hosts)
            why = self.last_failure or "no answer"
            raise ConnectionLossError(
                f"no server of {tried} within {within_s:g} s: {why}"
            ) from None
        if self._error is not None:
            raise _copy_of(self._error)

    async def close(self) -> None:
        """Close the session on the server, if there is a connection, and end."""
        if self._closing and not self._runner.done():
            await asyncio.wait([self._runner])  # whoever was first is at it
            return
        try:
            self._closing = True
            if self._link is not None and self._error is None:
                call = Call(codes.OP_CLOSE_SESSION, b"", None, lambda err, _: check(err))
                self._link.send(call)
                with contextlib.suppress(ClientError, TimeoutError):
                    async with asyncio.timeout(min(self.timeout_s, CLOSE_S_MAX)):
                        await call.future
        finally:
            self._end(State.CLOSED, ClosedError("the client was closed"))
            self._runner.cancel()
        await asyncio.wait([self._runner])

    async def _run(self) -> None:
        try:
            while not self._closing:
                link = await self._reach()
                await asyncio.wait([link.lost])  # awaited bare, a cancellation would be its result
                reason = link.lost.result()
                self._link = None
                self.host = None
                if self._auth_error is not None:
                    raise self._auth_error
                if not self._closing:
                    log.info("session %s lost its connection: %s", self.name, reason)
                    self.last_failure = reason
                    self._become(State.CONNECTING)
        except SessionExpiredError as error:
            self._end(State.EXPIRED, error)
        except AuthFailedError as error:
            self._end(State.AUTH_FAILED, error)
        except Exception as error:
            log.exception("the client's session %s failed", self.name)
            self._end(State.CLOSED, ClosedError(f"internal failure: {error!r}"))

    async def _reach(self) -> Connection:
        """Try servers until one takes the session."""
        attempt = 0
        first = not self._settled.done()  # a new client does not wait before its first attempt
        while True:
            if not (first and attempt == 0):
                await asyncio.sleep(self._hosts.pause_s(attempt))
            host = self._hosts.next_host()
            attempt += 1
            try:
                return await self._establish(host)
            except TimeoutError:
                self.last_failure = f"{host} did not answer in {self._connect_s():.1f} s"
            except (SessionExpiredError, AuthFailedError):
                raise
            except (OSError, UnicodeError, ClientError, ProtocolError) as error:
                self.last_failure = f"{host}: {error}"
            log.debug("session %s: attempt %d: %s", self.name, attempt, self.last_failure)

    def _connect_s(self) -> float:
        return max(CONNECT_S_MIN, self.timeout_s / len(self._hosts.hosts))

    async def _establish(self, host: Host) -> Connection:
        """Connect, attach the session, authenticate, restore watches, send what waits."""
        link = Connection(self, host, self._options.reply_bytes_max)
        try:
            async with asyncio.timeout(self._connect_s()):
                await self._loop.create_connection(
                    lambda: link, host.name, host.port, ssl=self._options.tls
                )
                state = self._on_attached(await link.open_session(self._connect_request()))
                link.start_pinging(self.timeout_s)
                if self._options.sasl is not None:
                    await self._authenticate(link, self._options.sasl)
                calls = [self._auth_call(scheme, token) for scheme, token in self._auth]
                for call in calls:
                    link.send(call, codes.XID_AUTH)
                await asyncio.gather(*(call.future for call in calls))
            await self._restore_watches(link)
            if link.lost.done():
                raise ConnectionLossError(link.lost.result())
        except BaseException as error:
            link.drop(f"no session with {host}: {error}")
            raise
        self._link = link
        self.host = host
        self._flush_waiting(link)  # before anybody is told, who would get ahead of it
        if self._settled.done():
            self._watches.tell_gap()
        else:
            self._settled.set_result(None)
        self._become(state)
        if state is State.READ_ONLY:
            probe = self._loop.create_task(self._seek_writable(link))
            link.lost.add_done_callback(lambda _: probe.cancel())
        return link

    def _connect_request(self) -> ConnectRequest:
        # An id from a read-only server means nothing elsewhere, if no other has ever confirmed it.
        session_id = self.id if self._seen_writable else 0
        return ConnectRequest(
            0,
            self.last_zxid,
            round(self._options.timeout_s * 1000),
            session_id,
            self.password if session_id else NO_PASSWORD,
            self._options.read_only,
        )

    def _on_attached(self, answer: ConnectResponse) -> State:
        if answer.timeout_ms <= 0:
            raise SessionExpiredError(f"session {self.name} is over")
        self.id = answer.session_id
        self.password = answer.password
        self.timeout_s = answer.timeout_ms / 1000
        if answer.read_only:
            return State.READ_ONLY
        self._seen_writable = True
        return State.CONNECTED

    async def _authenticate(self, link: Connection, mechanism: SaslMechanism) -> None:
        exchange = mechanism.begin()
        challenge = await self._sasl_step(link, b"")
        exchange.verify(await self._sasl_step(link, exchange.respond(challenge)))

    async def _sasl_step(self, link: Connection, token: bytes) -> bytes:
        def finish(err: int, reader: Reader) -> bytes:
            if err in (codes.AUTH_FAILED, codes.SESSION_CLOSED_REQUIRE_SASL_AUTH):
                raise AuthFailedError(f"{link.host} refused the SASL credential")
            check(err)
            answer = reader.read_buffer()
            if answer is None:  # no SASL configured there, or allowSaslFailedClients
                raise AuthFailedError(f"{link.host} did not accept SASL")
            return answer

        out = BytesWriter()
        write_buffer(out, token)
        call = Call(codes.OP_SASL, out.getvalue(), None, finish)
        link.send(call)
        return await call.future

    def _auth_call(self, scheme: str, token: Credential, remember: bool = False) -> Call[None]:
        def finish(err: int, reader: Reader) -> None:
            if err:
                self._auth_error = AuthFailedError(f"the server refused scheme {scheme}")
                raise AuthFailedError(f"the server refused scheme {scheme}")
            if remember:
                self._auth.append((scheme, token))

        out = BytesWriter()
        write_auth(out, AuthPacket(scheme, token if isinstance(token, bytes) else token()))
        return Call(codes.OP_AUTH, out.getvalue(), None, finish)

    async def _restore_watches(self, link: Connection) -> None:
        # last_zxid is read once: the first reply moves it on, past what the second must catch up.
        op, requests = self._watches.set_watches(self.last_zxid)
        for request in requests:
            out = BytesWriter()
            write_set_watches(out, request, op)
            call = Call(op, out.getvalue(), None, lambda err, _: check(err))
            link.send(call, codes.XID_SET_WATCHES)
            await call.future

    async def _seek_writable(self, link: Connection) -> None:
        host = await find_writable(self._hosts.hosts, self._options.tls)
        self._hosts.prefer(host)
        link.drop(f"{host} takes writes, {link.host} does not")

    def _end(self, state: State, error: ClientError) -> None:
        if self._error is not None:
            return
        self._error = error
        link, self._link = self._link, None
        if link is not None:
            link.drop("the session is over")
        if self._waiting_timer is not None:
            self._waiting_timer.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, request, _ in waiting:
            request.fail(_copy_of(error))
        self._watches.end(None if state is State.CLOSED else error)
        self._wake_drainers()
        if not self._settled.done():
            self._settled.set_result(None)
        self.host = None
        self._become(state)

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._on_state(state)

    # What the connection calls

    def on_event(self, type: int, path: bytes, zxid: int) -> None:
        self._watches.fire(type, path.decode("utf-8", "replace"), zxid)

    def on_zxid(self, zxid: int) -> None:
        self.last_zxid = max(self.last_zxid, zxid)


def _copy_of(error: ClientError) -> ClientError:
    """One exception object for each who gets it: a traceback belongs to one raise."""
    return type(error)(str(error))
