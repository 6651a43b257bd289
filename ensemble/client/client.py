"""The client: a session, the operations, and persistent watches. See docs/client.md."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Final, TypeVar

from ensemble.client.arguments import check_at_least
from ensemble.client.connection import REQUEST_HEADER_BYTES, Call, check
from ensemble.client.errors import (
    BadArgumentsError,
    ClientError,
    ClosedError,
    SessionExpiredError,
)
from ensemble.client.hosts import Host, HostRing, parse_hosts
from ensemble.client.operations import Operations, body_of
from ensemble.client.paths import check_path
from ensemble.client.sasl import SaslMechanism
from ensemble.client.session import Credential, Session
from ensemble.client.state import SessionOptions, State
from ensemble.client.watches import EVENTS_MAX, EventStream, Watcher, WatchKind, WatchTable
from ensemble.wire import codes
from ensemble.wire.framing import FRAME_BYTES_MAX_DEFAULT
from ensemble.wire.jute import Reader
from ensemble.wire.requests import WatchRequest, write_watch_request

REQUESTS_MAX: Final = 10_000  # requests that await replies
REQUESTS_BYTES_MAX: Final = 64 * 1024 * 1024  # their bytes
REPLY_BYTES_MAX: Final = 128 * 1024 * 1024  # one reply: the names of a million children fit
REPLY_BYTES_MIN: Final = 1024  # what opening a session takes fits

T = TypeVar("T")

log = logging.getLogger("ensemble.client")


class Client(Operations):
    """A session with a ZooKeeper ensemble; see `docs/client.md`.

    Args:
        hosts: `host:port,host2:port/chroot`.
        timeout: the session's timeout to ask for, in seconds; the server may change it.
        auth: credentials to present on each connection: `("digest", b"user:password")`.
        sasl: a mechanism to authenticate with on each connection: `DigestMd5(user, password)`.
        tls: connect by TLS, with this context.
        read_only: be content with a server that has lost its quorum and only answers reads.
        resume: the id and password of a session to take over.
        requests_max: how many requests may await replies (`QueueFullError`, `drain`).
        requests_bytes_max: how many bytes of requests may.
        request_bytes_max: the longest request; the server's jute.maxbuffer, above which it would
            cut the connection, and everything in flight with it.
        reply_bytes_max: the longest reply; a longer one costs the connection.
        rng: shuffles servers and pauses.
    """

    def __init__(
        self,
        hosts: str,
        *,
        timeout: float = 10.0,
        auth: Sequence[tuple[str, Credential]] = (),
        sasl: SaslMechanism | None = None,
        tls: ssl.SSLContext | None = None,
        read_only: bool = False,
        resume: tuple[int, bytes] | None = None,
        requests_max: int = REQUESTS_MAX,
        requests_bytes_max: int = REQUESTS_BYTES_MAX,
        request_bytes_max: int = FRAME_BYTES_MAX_DEFAULT,
        reply_bytes_max: int = REPLY_BYTES_MAX,
        rng: random.Random | None = None,
    ) -> None:
        if not 0.001 <= timeout <= 2_000_000:
            raise BadArgumentsError(f"a timeout of {timeout} s is not in 0.001..2000000")
        check_at_least("requests_max", requests_max, 1)
        check_at_least("requests_bytes_max", requests_bytes_max, 1)
        check_at_least("request_bytes_max", request_bytes_max, REQUEST_HEADER_BYTES)
        check_at_least("reply_bytes_max", reply_bytes_max, REPLY_BYTES_MIN)
        servers, chroot = parse_hosts(hosts)
        super().__init__(chroot)
        self._hosts = HostRing(servers, rng or random.Random(), timeout / 4)
        self._auth = list(auth)
        self._resume = resume
        self._request_bytes_max = request_bytes_max
        self._options = SessionOptions(
            timeout_s=timeout,
            sasl=sasl,
            tls=tls,
            read_only=read_only,
            requests_max=requests_max,
            requests_bytes_max=requests_bytes_max,
            reply_bytes_max=reply_bytes_max,
        )
        self._session: Session | None = None
        self._state_watchers: list[Callable[[State], None]] = []
        self._state_changed = asyncio.Event()

    # The session

    async def connect(self, within: float | None = None) -> None:
        """Start a session, a new one where the last is over, and wait for its first connection.

        Raises:
            ConnectionLossError: no server took it within `within` seconds (default: the timeout).
            AuthFailedError: a credential is refused.
            SessionExpiredError: the session to resume is over.
        """
        if self._session is None or self._session.state.is_final:
            self._watches = WatchTable(self.chroot)
            self._session = Session(
                self._options, self._hosts, self._auth, self._watches, self._on_state, self._resume
            )
        session = self._session
        try:
            await session.wait_connected(self._options.timeout_s if within is None else within)
        except BaseException as error:
            await session.close()
            if isinstance(error, SessionExpiredError):
                self._resume = None
            raise
        self._resume = None  # not before: until a server has answered, the session can be resumed

    async def close(self) -> None:
        """End the session: its ephemerals go, requests before this one are answered first.

        Without a connection the server cannot be told, and the session lasts until its timeout.
        """
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> "Client":
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> State:
        """Where the session stands now."""
        return State.CLOSED if self._session is None else self._session.state

    @property
    def session_id(self) -> int:
        """0 before the first connection."""
        return 0 if self._session is None else self._session.id

    @property
    def session_password(self) -> bytes:
        """What a later client needs, with the id, to resume this session."""
        return b"" if self._session is None else self._session.password

    @property
    def timeout(self) -> float:
        """The session's timeout in seconds, as negotiated."""
        return self._options.timeout_s if self._session is None else self._session.timeout_s

    @property
    def last_zxid(self) -> int:
        """The latest zxid that a reply brought."""
        return 0 if self._session is None else self._session.last_zxid

    @property
    def host(self) -> Host | None:
        """The server of the connection, if there is one."""
        return None if self._session is None else self._session.host

    def on_state(self, watcher: Callable[[State], None]) -> Callable[[], None]:
        """Call `watcher` with each new state, from the event loop. Gives what takes it back."""
        self._state_watchers.append(watcher)

        def take_back() -> None:
            if watcher in self._state_watchers:
                self._state_watchers.remove(watcher)

        return take_back

    async def states(self) -> AsyncIterator[State]:
        """The state, then each new one until the last; a slow consumer sees the newest only."""
        seen: State | None = None
        while True:
            state = self.state
            if state is not seen:
                seen = state
                yield state
                if state.is_final:
                    return
                continue
            changed = self._state_changed
            await changed.wait()

    def _on_state(self, state: State) -> None:
        self._state_changed.set()
        self._state_changed = asyncio.Event()
        for watcher in list(self._state_watchers):
            try:
                watcher(state)
            except Exception:
                log.exception("a watcher of the state failed on %s", state.value)

    async def drain(self) -> None:
        """Wait until there is room for requests: after `QueueFullError`, or to avoid it."""
        if self._session is not None:
            await self._session.drain()

    def add_auth(self, scheme: str, token: Credential) -> asyncio.Future[None]:
        """Present a credential, now and on each later connection.

        One that is valid for a while only is given as a function, which makes it each time.
        Presenting the same function again prolongs it on the connection.

        Raises (through the future):
            AuthFailedError: refused; ZooKeeper ends the connection, and with it ends this client.
        """
        return self._live_session().add_auth(scheme, token)

    # Watches

    def add_watch(
        self, path: str, watcher: Watcher, *, recursive: bool = False
    ) -> asyncio.Future[None]:
        """Call `watcher` for each change, until removed; `recursive`: of all znodes below as well.

        After a reconnect it gets a `GAP` event: what happened in between is not told.
        """
        watches = self._watches

        def finish(err: int, reader: Reader) -> None:
            check(err, path)
            watches.end_add(path, recursive, None if future.cancelled() else watcher)

        mode = codes.ADD_WATCH_PERSISTENT_RECURSIVE if recursive else codes.ADD_WATCH_PERSISTENT
        body = self._watch_body(path, mode)
        watches.begin_add(path, recursive)
        try:
            future = self._call(
                codes.OP_ADD_WATCH,
                body,
                path,
                finish,
                lambda: watches.end_add(path, recursive, None),
            )
        except ClientError:
            watches.end_add(path, recursive, None)
            raise
        return future

    @asynccontextmanager
    async def watch(
        self, path: str, *, recursive: bool = False, events_max: int = EVENTS_MAX
    ) -> AsyncIterator[EventStream]:
        """A persistent watch as a stream of events, for the time of an `async with`."""
        stream = EventStream(events_max)
        await self.add_watch(path, stream, recursive=recursive)
        try:
            yield stream
        finally:
            stream.end()
            await self.remove_watcher(path, stream, recursive=recursive)

    async def remove_watcher(self, path: str, watcher: Watcher, *, recursive: bool = False) -> None:
        """Take back one `add_watch`. The server's watch stays while other watchers need it."""
        last = self._watches.forget_persistent(path, watcher, recursive)
        # Without a connection there is nothing to take back: the next one restores what is left.
        if last and self.host is not None:
            kind = WatchKind.PERSISTENT_RECURSIVE if recursive else WatchKind.PERSISTENT
            body = self._watch_body(path, kind)
            with suppress(ClientError):
                await self._call(
                    codes.OP_REMOVE_WATCHES, body, path, lambda err, _: check(err, path)
                )

    def remove_watches(self, path: str, kind: WatchKind = WatchKind.ANY) -> asyncio.Future[None]:
        """Remove all this client's watches of a kind on a path; their watchers get `REMOVED`.

        Raises (through the future):
            NoWatcherError: there is none.
        """

        def finish(err: int, reader: Reader) -> None:
            check(err, path)
            self._watches.remove(kind, path)

        return self._call(codes.OP_REMOVE_WATCHES, self._watch_body(path, kind), path, finish)

    def check_watches(self, path: str, kind: WatchKind = WatchKind.ANY) -> asyncio.Future[bool]:
        """Whether the server holds a watch of this kind, of this connection, on this path."""

        def finish(err: int, reader: Reader) -> bool:
            if err == codes.NO_WATCHER:
                return False
            check(err, path)
            return True

        return self._call(codes.OP_CHECK_WATCHES, self._watch_body(path, kind), path, finish)

    # Inner

    def _live_session(self) -> Session:
        if self._session is None:
            raise ClosedError("not connected yet: `async with client` or `await client.connect()`")
        return self._session

    def _call(
        self,
        op: int,
        body: bytes,
        path: str | None,
        finish: Callable[[int, Reader], T],
        undo: Callable[[], None] | None = None,
    ) -> asyncio.Future[T]:
        size = len(body) + REQUEST_HEADER_BYTES
        if size > self._request_bytes_max:
            raise BadArgumentsError(
                f"a request of {size} bytes, at most {self._request_bytes_max}", path=path
            )
        session = self._live_session()
        call = Call(op, body, path, finish, undo)
        session.submit(call)
        return call.future

    def _watch_body(self, path: str, kind: int) -> bytes:
        return body_of(write_watch_request, WatchRequest(self._raw(check_path(path)), kind))
