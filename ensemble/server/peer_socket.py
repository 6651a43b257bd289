"""One TCP stream to another server: never blocks, may be TLS, sends once a turn.

What a stream carries (election messages, Zab's packets) is its handler's business. Connecting,
listening and deadlines are `peer_net`'s. Source: zab.md 2 and 8, election.md 1.
"""

import contextlib
import os
import socket
import ssl
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from ensemble.server.poll import IN, OUT, Poll
from ensemble.wire.sealing import seal

RECV_BYTES: Final = 131_072
SEND_BYTES: Final = 262_144  # small pieces are joined up to this before the kernel gets them
STREAM_BYTES: Final = 65_536
TLS_READ_BYTES: Final = 65_536
LINK_UNSENT_BYTES_MAX: Final = 256 << 20  # a peer that reads nothing for so long is cut

KEEPALIVE_IDLE_S: Final = 15
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_PROBES: Final = 3

CONNECTING: Final = 0
SHAKING: Final = 1  # TLS is being negotiated
OPEN: Final = 2
CLOSED: Final = 3
NEVER_MS: Final = 1 << 62
CLOSED_BY_PEER: Final = "closed by the peer"


@mypyc_attr(allow_interpreted_subclasses=True)
class PeerHandler:
    """What a stream tells its owner. A handler may be changed while the stream lives."""

    def on_open(self, sock: "PeerSocket") -> None:
        """Connected, and TLS agreed on where it is asked for. Once, before anything else."""

    @abstractmethod
    def on_bytes(self, sock: "PeerSocket", data: bytes) -> None:
        """Something has come in, at least one byte."""

    @abstractmethod
    def on_closed(self, sock: "PeerSocket", reason: str) -> None:
        """It ended, or never came about. Once, but not where the owner itself closed it."""

    def on_drained(self, sock: "PeerSocket") -> None:
        """The kernel has taken everything that it had refused before."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PeerKeeper:
    """What a stream needs of the place that holds all of them."""

    def __init__(self, poll: Poll) -> None:
        self.poll: Final = poll
        self.now_ms: i64 = 0

    @abstractmethod
    def add(self, sock: "PeerSocket") -> None:
        """A stream has begun."""

    @abstractmethod
    def note(self, at_ms: i64) -> None:
        """Something is due then."""

    @abstractmethod
    def forget(self, sock: "PeerSocket") -> None:
        """The stream has ended."""

    @abstractmethod
    def fail_later(self, sock: "PeerSocket", reason: str) -> None:
        """End the stream from the poll, not from within a call of its owner."""


@final
class PeerSocket:
    """A stream to one server. Append whole messages to `out`, `flush` once a turn.

    `name` is for logs: the address, and who it is once that is known. `certificate` is the
    peer's (DER, checked), `user` the SASL user that it proved to be, both empty without.
    """

    __slots__ = (
        "after_stream",
        "certificate",
        "deadline_ms",
        "deadline_reason",
        "fd",
        "handler",
        "head_at",
        "host",
        "interest",
        "keeper",
        "last_read_ms",
        "name",
        "out",
        "queue",
        "read_timeout_ms",
        "sealed",
        "sock",
        "state",
        "stream_done",
        "stream_fd",
        "stream_watched",
        "tls",
        "tls_in",
        "tls_out",
        "unsent_bytes",
        "unsent_bytes_max",
        "user",
    )

    def __init__(self, keeper: PeerKeeper, handler: PeerHandler, name: str) -> None:
        self.keeper: Final = keeper
        self.handler = handler
        self.name = name
        self.host = ""
        self.sock: socket.socket | None = None
        self.fd = -1
        self.state: i64 = CONNECTING
        self.out: Final = BytesWriter()
        self.interest = IN
        self.queue: Final[deque[bytes]] = deque()  # refused by the kernel
        self.head_at: i64 = 0  # bytes of queue[0] that are sent
        self.after_stream: Final[deque[bytes]] = deque()
        self.unsent_bytes: i64 = 0
        self.unsent_bytes_max: i64 = LINK_UNSENT_BYTES_MAX
        self.stream_fd = -1
        self.stream_watched = False
        self.stream_done: Callable[[], None] | None = None
        self.deadline_ms: i64 = NEVER_MS  # of connecting and of handshakes
        self.deadline_reason = ""
        self.read_timeout_ms: i64 = 0
        self.last_read_ms: i64 = 0
        self.tls: ssl.SSLObject | None = None
        self.tls_in: Final = ssl.MemoryBIO()
        self.tls_out: Final = ssl.MemoryBIO()
        self.certificate = b""
        self.user = ""
        self.sealed = False
        keeper.add(self)

    # The owner's side

    def flush(self) -> None:
        """Give the kernel what `out` holds. Before the stream is open it waits."""
        if len(self.out) == 0 or self.state < OPEN:
            return
        data = self.out.getvalue()
        self.out.truncate(0)
        if self.state == CLOSED:
            return
        if self.stream_fd >= 0:
            self.after_stream.append(data)
            self.unsent_bytes += len(data)
            self.check_unsent()
        else:
            self.push(data)

    def seal(self) -> None:
        """What is written from here on leaves in sealed pieces, a pipe's content, too."""
        assert self.state >= OPEN, "what waits for the stream to open would be sealed, too"
        assert self.stream_fd < 0
        self.flush()
        self.sealed = True

    def stream_from(self, fd: int, done: Callable[[], None]) -> None:
        """Send `out` as it is now, then all that can be read from the pipe `fd`, then later `out`.

        The descriptor belongs to the stream from here on. `done` is called at the pipe's end,
        unless the stream ends before.
        """
        assert self.stream_fd < 0, "one snapshot at a time"
        assert self.state >= OPEN, "a stream begins on an open link"
        self.flush()
        if self.state == CLOSED:
            os.close(fd)
            return
        os.set_blocking(fd, False)
        self.stream_fd = fd
        self.stream_done = done
        self.watch_stream()

    def set_timeout(self, timeout_ms: i64) -> None:
        """Cut the link when nothing is read for so long; 0: never."""
        self.read_timeout_ms = timeout_ms
        self.last_read_ms = self.keeper.now_ms
        if timeout_ms > 0:
            self.keeper.note(self.last_read_ms + timeout_ms)

    def give_up_unheard(self, timeout_ms: i64) -> None:
        """Cut the link when the other end's system acknowledges nothing for so long.

        For links on which nobody answers: left to itself, TCP tries for a quarter of an hour, and
        at last so seldom that a network that works again goes unnoticed for minutes.
        """
        if self.sock is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout_ms))

    def set_deadline(self, at_ms: i64, reason: str) -> None:
        """Cut the link at that time, unless another deadline is set before."""
        self.deadline_ms = at_ms
        self.deadline_reason = reason
        self.keeper.note(at_ms)

    def close(self, reason: str = "") -> None:
        """End it now; what is unsent is lost. The handler is not called."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        poll = self.keeper.poll
        if self.stream_fd >= 0:
            self.unwatch_stream()
            os.close(self.stream_fd)
            self.stream_fd = -1
            self.stream_done = None
        if self.sock is not None:
            poll.unwatch(self.fd)
            hang_up(self.sock)
            self.sock = None
        self.queue.clear()
        self.after_stream.clear()
        self.unsent_bytes = 0
        self.keeper.forget(self)

    def fail(self, reason: str) -> None:
        """End it, and tell the handler why."""
        if self.state != CLOSED:
            self.close(reason)
            self.handler.on_closed(self, reason)

    # For peer_net

    def attach(self, sock: socket.socket, host: str) -> None:
        """A connected socket. The poll serves it from now on."""
        self.sock = sock
        self.fd = sock.fileno()
        self.host = host
        self.last_read_ms = self.keeper.now_ms
        self.interest = IN
        self.keeper.poll.watch(self.fd, self.on_ready, IN)

    def begin(self, tls: ssl.SSLContext | None, server_side: bool, server_name: str) -> None:
        """After `attach`: negotiate TLS, or be open at once."""
        if tls is None:
            self.become_open()
            return
        self.state = SHAKING
        self.tls = tls.wrap_bio(
            self.tls_in, self.tls_out, server_side, None if server_side else server_name
        )
        self.shake_hands()

    def become_open(self) -> None:
        self.state = OPEN
        self.handler.on_open(self)
        self.flush()

    # Reading

    def on_ready(self, events: int) -> None:
        if events & OUT and self.state != CLOSED:
            self.pump()
        if events & ~OUT and self.state != CLOSED:
            self.receive()

    def receive(self) -> None:
        """One receive call: level-triggered, the poll comes back where there is more."""
        sock = self.sock
        assert sock is not None
        try:
            data = sock.recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(error.strerror or str(error))
            return
        if not data:
            self.fail(CLOSED_BY_PEER)
            return
        self.last_read_ms = self.keeper.now_ms
        self.take(data)

    def take(self, data: bytes) -> None:
        """Bytes as they came; also those that somebody looked at before."""
        if self.tls is None:
            self.handler.on_bytes(self, data)
            return
        self.tls_in.write(data)
        if self.state == SHAKING and not self.shake_hands():
            return
        self.decrypt()

    def shake_hands(self) -> bool:
        """Go on with TLS. True: agreed."""
        assert self.tls is not None
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.send_tls()
            return False
        except (ssl.SSLError, ssl.CertificateError, OSError, ValueError) as error:
            self.send_tls()  # the alert: the other end may log why
            self.fail(f"TLS handshake: {error}")
            return False
        self.send_tls()
        if self.state == CLOSED:
            return False
        self.certificate = self.tls.getpeercert(True) or b""
        self.become_open()
        return self.is_alive()

    def is_alive(self) -> bool:
        return self.state != CLOSED

    def decrypt(self) -> None:
        tls = self.tls
        assert tls is not None
        while self.state != CLOSED:
            try:
                data = tls.read(TLS_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self.fail(f"TLS: {error}")
                return
            if not data:
                self.fail(CLOSED_BY_PEER)
                return
            self.handler.on_bytes(self, data)
        if self.state != CLOSED:
            self.send_tls()

    # Writing

    def push(self, data: bytes) -> None:
        """Plain bytes on their way out."""
        if self.sealed:
            data = seal(data)
        tls = self.tls
        if tls is None:
            self.send(data)
            return
        at: i64 = 0
        view = memoryview(data)
        try:
            while at < len(data):
                at += tls.write(view[at:])
        except ssl.SSLError as error:
            self.keeper.fail_later(self, f"TLS: {error}")
            return
        self.send_tls()

    def send_tls(self) -> None:
        data = self.tls_out.read()
        if data:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Bytes as the wire gets them; what the kernel refuses is kept."""
        sock = self.sock
        if sock is None:
            return
        count: i64 = 0
        if not self.queue:
            try:
                count = sock.send(data)
            except BlockingIOError:
                pass
            except OSError as error:
                self.keeper.fail_later(self, error.strerror or str(error))
                return
            if count == len(data):
                return
            data = data[count:]
            self.head_at = 0
        self.queue.append(data)
        self.unsent_bytes += len(data)
        self.want_write(True)
        self.check_unsent()

    def check_unsent(self) -> None:
        if self.unsent_bytes > self.unsent_bytes_max:
            self.keeper.fail_later(
                self,
                f"{self.unsent_bytes} bytes that the peer does not read, "
                f"the limit is {self.unsent_bytes_max}",
            )

    def want_write(self, wanted: bool) -> None:
        interest = IN | OUT if wanted else IN
        if interest != self.interest:
            self.interest = interest
            self.keeper.poll.change(self.fd, interest)

    def pump(self) -> None:
        """The kernel has room: give it what waits."""
        sock = self.sock
        assert sock is not None
        queue = self.queue
        while queue:
            if len(queue) > 1 and len(queue[0]) < STREAM_BYTES:
                self.join_head()
            head = queue[0]
            try:
                count = sock.send(memoryview(head)[self.head_at :] if self.head_at else head)
            except BlockingIOError:
                return
            except OSError as error:
                self.fail(error.strerror or str(error))
                return
            self.unsent_bytes -= count
            self.head_at += count
            if self.head_at < len(head):
                return
            queue.popleft()
            self.head_at = 0
        self.want_write(False)
        if self.stream_fd >= 0:
            self.watch_stream()
        else:
            self.handler.on_drained(self)

    def join_head(self) -> None:
        """Make one large piece of many small ones."""
        queue = self.queue
        pieces = [queue.popleft()[self.head_at :]]
        size: i64 = len(pieces[0])
        self.head_at = 0
        while queue and size + len(queue[0]) <= SEND_BYTES:
            size += len(queue[0])
            pieces.append(queue.popleft())
        queue.appendleft(b"".join(pieces))

    # The stream from a pipe

    def watch_stream(self) -> None:
        """Read the pipe only while the link takes what comes from it."""
        if not self.stream_watched and not self.queue:
            self.stream_watched = True
            self.keeper.poll.watch(self.stream_fd, self.on_stream, IN)

    def unwatch_stream(self) -> None:
        if self.stream_watched:
            self.stream_watched = False
            self.keeper.poll.unwatch(self.stream_fd)

    def on_stream(self, events: int) -> None:
        if self.stream_fd < 0:
            return
        try:
            data = os.read(self.stream_fd, STREAM_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(f"the stream broke: {error.strerror}")
            return
        if data:
            self.push(data)
            if self.queue:
                self.unwatch_stream()
            return
        self.unwatch_stream()
        os.close(self.stream_fd)
        self.stream_fd = -1
        done = self.stream_done
        self.stream_done = None
        while self.after_stream:
            later = self.after_stream.popleft()
            self.unsent_bytes -= len(later)
            self.push(later)
        if done is not None:
            done()


def hang_up(sock: socket.socket) -> None:
    """Close for both sides at once: a child that is still writing a snapshot holds a copy."""
    with contextlib.suppress(OSError):  # never connected, or gone already
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def prepare(sock: socket.socket) -> None:
    """A socket that waits for nothing: neither for a fuller packet nor for the peer."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # No message may come for hours on the election port: the kernel finds out who is gone.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
