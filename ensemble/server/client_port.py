"""The client port: accepts, receives, frames, flushes. All client sockets hang in one epoll.

The event loop of the process sees a single descriptor, that epoll's. When it is readable,
`on_ready` takes a turn: everything that has come in goes through the pipeline, then the log gets
its batch, then each connection with replies is written to once. With a hundred busy connections a
turn serves them all, which is where the throughput comes from (docs/performance.md).
"""

import errno
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.server.connection import CLOSED, DRAINING, NEW, Connection
from ensemble.server.pipeline import Pipeline
from ensemble.server.poll import Poll
from ensemble.server.port_limits import PortLimits
from ensemble.server.stats import ConnectionStats
from ensemble.wire.records import Id

RECV_BYTES: Final = 65_536
POLL_EVENTS_MAX: Final = 1_024
ACCEPTS_PER_TURN_MAX: Final = 64
FRAMES_PER_TURN_MAX: Final = 1_024  # of one connection: a deep pipeline does not starve the others
OUT_BYTES_HARD: Final = 256 << 20  # a client that reads nothing while events pile up is cut here
WORD_BYTES: Final = 4
TLS_HANDSHAKE: Final = b"\x16"

EPOLL_IN: Final = select.EPOLLIN
EPOLL_OUT: Final = select.EPOLLOUT


@final
class ClientSocket:
    """A socket and its connection. `unsent` is what the kernel did not take yet."""

    __slots__ = (
        "blocked",
        "conn",
        "context",
        "fd",
        "handshaking",
        "interest",
        "more_frames",
        "paused_ms",
        "sock",
        "unsent",
    )

    def __init__(
        self,
        sock: socket.socket,
        fd: int,
        conn: Connection,
        handshaking: bool,
        context: ssl.SSLContext | None,
    ) -> None:
        self.sock = sock
        self.context = context  # of a port for both: until the first byte tells TLS from plain
        self.fd: Final = fd
        self.conn: Final = conn
        self.handshaking = handshaking
        self.interest: i64 = EPOLL_IN
        self.unsent = b""
        self.more_frames = False  # whole frames wait in the buffer: look again without receiving
        self.paused_ms: i64 = 0
        self.blocked = False  # stands in the queue of those that wait for others' requests


@final
class ClientPort:
    """Every client socket of this server, plain and TLS.

    Callbacks: `answer_word` gives the reply to a four-letter word or None where the bytes are none,
    `identify` the ids that a new connection holds, `on_refused` is told of what was closed and why.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        limits: PortLimits,
        end_turn: Callable[[], None],
        answer_word: Callable[[bytes, Connection], bytes | None],
        identify: Callable[[str, ssl.SSLSocket | None], list[Id]],
        wall_ms: Callable[[], int],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self.pipeline: Final = pipeline
        self.limits: Final = limits
        self.end_turn: Final = end_turn
        self.answer_word: Final = answer_word
        self.identify: Final = identify
        self.wall_ms: Final = wall_ms
        self.on_refused: Final = on_refused
        self.poll: Final = Poll()  # for what else is served in the same turns: watch it there
        self.epoll: Final = self.poll.epoll
        self.sockets: Final[dict[int, ClientSocket]] = {}
        self.by_connection: Final[dict[int, ClientSocket]] = {}
        self.per_host: Final[dict[str, int]] = {}
        self.listeners: Final[dict[int, tuple[socket.socket, ssl.SSLContext | None, bool]]] = {}
        self.extra: Final = self.poll.callbacks
        self.waiting: list[ClientSocket] = []  # with frames to look at in the next turn
        # Those that more than `outstanding_max` unanswered requests hold up, in the order in which
        # they came: with less order some would wait for many times as long as others.
        self.blocked: Final[deque[ClientSocket]] = deque()
        self.next_connection_id: i64 = 1
        self.accepting = True

    # Set-up

    def listen(
        self, host: str, port: int, context: ssl.SSLContext | None, unified: bool = False
    ) -> int:
        """Open a listening socket; the port it got (for port 0). `unified`: TLS and plain."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        try:
            sock.bind((host, port))
            sock.listen(self.limits.backlog if self.limits.backlog > 0 else 1_024)
        except OSError:
            sock.close()
            raise
        self.listeners[sock.fileno()] = (sock, context, unified)
        self.epoll.register(sock.fileno(), EPOLL_IN)
        return int(sock.getsockname()[1])

    def move(self, old: int, host: str, port: int) -> int:
        """Listen there and not on port `old` any more; who is connected stays so. The port it got.

        Raises:
            OSError: the new address cannot be bound; the old one is listened on still.
        """
        context: ssl.SSLContext | None = None
        unified = False
        before = ""
        closed: list[int] = []
        for fd, (sock, its_context, its_unified) in self.listeners.items():
            if sock.getsockname()[1] == old:
                before = sock.getsockname()[0]
                context, unified = its_context, its_unified
                closed.append(fd)
        number = port
        if port != old:
            number = self.listen(host, port, context, unified)
        for fd in closed:
            self.epoll.unregister(fd)
            self.listeners.pop(fd)[0].close()
        if port == old:  # two sockets cannot have the port, whatever their hosts
            try:
                number = self.listen(host, port, context, unified)
            except OSError:
                self.listen(before, old, context, unified)
                raise
        return number

    def renew_context(self, context: ssl.SSLContext) -> None:
        """Other certificates for who connects from now on."""
        for fd, (sock, old, unified) in list(self.listeners.items()):
            if old is not None:
                self.listeners[fd] = (sock, context, unified)

    def stop_listening(self) -> None:
        for fd, (sock, _, _) in self.listeners.items():
            self.epoll.unregister(fd)
            sock.close()
        self.listeners.clear()

    def close(self) -> None:
        """Cut every connection and close all descriptors."""
        self.stop_listening()
        for client in list(self.sockets.values()):
            self.close_socket(client, "")
        self.poll.close()

    # A turn

    def on_ready(self) -> bool:
        """One turn. True where another is due at once, because frames wait in buffers."""
        accepts = False
        if self.blocked:
            self.admit_blocked()
        if self.waiting:
            # First those that had to wait: else the ones with new input take all the room again.
            waiting = self.waiting
            self.waiting = []
            for waiter in waiting:
                waiter.more_frames = False
                self.take_frames(waiter)
        for fd, event in self.epoll.poll(0, POLL_EVENTS_MAX):
            client = self.sockets.get(fd)
            if client is not None:
                if event & EPOLL_OUT:
                    self.on_writable(client)
                if event & ~EPOLL_OUT:
                    self.on_readable(client)
            elif fd in self.extra:
                self.extra[fd](event)
            elif fd in self.listeners:
                accepts = True
        if accepts:
            self.accept()
        self.end_turn()
        self.flush()
        gate = self.pipeline.gate
        if gate is not None:
            gate.end_turn(time.monotonic_ns() // 1_000)
        return bool(self.waiting) or self.may_admit()

    def may_admit(self) -> bool:
        """Whether a request that was held up for the sake of the others may be looked at now."""
        return len(self.blocked) > 0 and self.pipeline.outstanding <= self.limits.outstanding_max

    def admit_blocked(self) -> None:
        while self.may_admit():
            client = self.blocked.popleft()
            client.blocked = False
            if client.conn.state != CLOSED:
                self.take_frames(client)

    def accept(self) -> None:
        """Take what has connected. New connections are served from the next turn on."""
        for fd in list(self.listeners):
            listener, context, unified = self.listeners[fd]
            for _ in range(ACCEPTS_PER_TURN_MAX):
                try:
                    sock, address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    # Out of descriptors, or the peer has gone again: the listener lives (trust.md
                    # F25).
                    if error.errno not in (errno.ECONNABORTED, errno.EINTR):
                        self.pause_accepting(error)
                    break
                self.admit(sock, str(address[0]), int(address[1]), context, unified)

    def pause_accepting(self, error: OSError) -> None:
        """Do not spin on a listener that cannot accept; the next tick tries again."""
        if self.accepting:
            self.accepting = False
            for fd in self.listeners:
                self.epoll.modify(fd, 0)
            self.on_refused("", f"cannot accept connections: {error.strerror}")

    def resume_accepting(self) -> None:
        if not self.accepting:
            self.accepting = True
            for fd in self.listeners:
                self.epoll.modify(fd, EPOLL_IN)

    def admit(
        self,
        sock: socket.socket,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        unified: bool,
    ) -> None:
        """A new connection, unless a limit stands against it: then it is closed without a byte."""
        limits = self.limits
        stats = self.pipeline.stats
        stats.connection_requests += 1
        count = self.per_host.get(host, 0)
        if 0 < limits.connections_per_host_max <= count:
            sock.close()
            stats.connections_rejected += 1
            self.on_refused(host, f"too many connections from {host}: {count}, maxClientCnxns")
            return
        if 0 < limits.connections_max <= len(self.sockets):
            sock.close()
            stats.connections_rejected += 1
            self.on_refused(host, f"too many connections: {len(self.sockets)}, maxCnxns")
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if limits.keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        secure = context is not None and not unified
        if context is not None and secure:
            try:
                sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except (OSError, ValueError) as error:
                sock.close()
                self.on_refused(host, f"TLS: {error}")
                return
        pipeline = self.pipeline
        conn = Connection(
            self.next_connection_id,
            host,
            port,
            secure,
            self.identify(host, None),
            limits.frame_bytes_max,
            ConnectionStats(self.wall_ms()),
            pipeline.now_ms,
        )
        self.next_connection_id += 1
        fd = sock.fileno()
        client = ClientSocket(sock, fd, conn, secure, context if unified else None)
        self.sockets[fd] = client
        self.by_connection[conn.id] = client
        self.per_host[host] = count + 1
        pipeline.add(conn)
        self.epoll.register(fd, EPOLL_IN)

    # Reading

    def on_readable(self, client: ClientSocket) -> None:
        if client.context is not None and not self.tell_tls(client):
            return
        if client.handshaking and not self.shake_hands(client):
            return
        sock = client.sock
        try:
            data = sock.recv(RECV_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self.close_socket(client, error.strerror or str(error))
            return
        if not data:
            self.close_socket(client, "")
            return
        conn = client.conn
        self.pipeline.stats.bytes_received += len(data)
        conn.frames.feed(data, self.pipeline.now_us)
        if client.conn.secure:
            self.drain_tls(client)
        self.take_frames(client)

    def handshakes(self) -> int:
        """How many TLS handshakes are under way."""
        return sum(1 for client in self.sockets.values() if client.handshaking)

    def tell_tls(self, client: ClientSocket) -> bool:
        """Whether it is known by now if a connection speaks TLS; if so it begins to."""
        context = client.context
        assert context is not None
        try:
            first = client.sock.recv(1, socket.MSG_PEEK)
            if first == TLS_HANDSHAKE:  # as the length of a frame it would be 369 MB
                client.sock = context.wrap_socket(
                    client.sock, server_side=True, do_handshake_on_connect=False
                )
                client.conn.secure = True
                client.handshaking = True
        except BlockingIOError:
            return False
        except (OSError, ValueError) as error:
            self.close_socket(client, f"TLS: {error}")
            return False
        client.context = None
        return True

    def drain_tls(self, client: ClientSocket) -> None:
        """TLS may hold decrypted bytes that epoll does not know of."""
        sock = client.sock
        assert isinstance(sock, ssl.SSLSocket)
        while sock.pending() > 0:
            try:
                data = sock.recv(RECV_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                return
            if not data:
                return
            self.pipeline.stats.bytes_received += len(data)
            client.conn.frames.feed(data, self.pipeline.now_us)

    def shake_hands(self, client: ClientSocket) -> bool:
        """Go on with a TLS handshake. True: it is complete."""
        sock = client.sock
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self.set_interest(client, EPOLL_IN)
            return False
        except ssl.SSLWantWriteError:
            self.set_interest(client, EPOLL_OUT | EPOLL_IN)
            return False
        except OSError as error:
            self.pipeline.stats.unsuccessful_handshakes += 1
            self.close_socket(client, f"TLS handshake: {error}")
            return False
        client.handshaking = False
        self.set_interest(client, EPOLL_IN)
        client.conn.ids = self.identify(client.conn.peer_host, sock)
        return True

    def take_frames(self, client: ClientSocket) -> None:
        """Give the pipeline every whole frame, as far as back-pressure lets it."""
        conn = client.conn
        frames = conn.frames
        pipeline = self.pipeline
        outstanding_max = self.limits.outstanding_max
        try:
            if conn.state == NEW and self.take_word(client):
                return
            for _ in range(FRAMES_PER_TURN_MAX):
                if not pipeline.may_read(conn):
                    self.pause(client)
                    return
                if conn.pending.count > 0 and pipeline.outstanding > outstanding_max:
                    self.pause(client)
                    if not client.blocked:
                        client.blocked = True
                        self.blocked.append(client)
                    return
                if not frames.next_frame():
                    if client.paused_ms != 0:
                        self.resume(client)
                    return
                if (
                    client.paused_ms != 0
                    and 0 < self.limits.throttled_wait_ms < pipeline.now_ms - client.paused_ms
                    and pipeline.refuse_late(conn, frames.buf, frames.start, frames.end)
                ):
                    continue
                pipeline.on_frame(conn, frames.buf, frames.start, frames.end)
        except ProtocolError as error:
            self.pipeline.stats.protocol_errors += 1
            self.close_socket(client, str(error))
            return
        self.look_again(client)

    def take_word(self, client: ClientSocket) -> bool:
        """Whether the first bytes of a connection are a four-letter word; if so it is answered."""
        conn = client.conn
        frames = conn.frames
        held = frames.pending()
        if held < WORD_BYTES:
            return held > 0  # too little to tell: wait for more
        first = frames.buf[frames.at : frames.at + WORD_BYTES * 3]
        if not first:
            return False
        reply = self.answer_word(first, conn)
        if reply is None:
            return False
        conn.out.write(reply)
        self.pipeline.drain(conn, "")
        return True

    def look_again(self, client: ClientSocket) -> None:
        if not client.more_frames:
            client.more_frames = True
            self.waiting.append(client)

    def pause(self, client: ClientSocket) -> None:
        """Stop receiving: what has come waits in the buffer until replies have gone out."""
        if client.conn.state >= DRAINING:
            return
        if client.paused_ms == 0:
            client.paused_ms = self.pipeline.now_ms
            self.set_interest(client, client.interest & ~EPOLL_IN)

    def resume(self, client: ClientSocket) -> None:
        client.paused_ms = 0
        self.set_interest(client, client.interest | EPOLL_IN)

    def set_interest(self, client: ClientSocket, interest: i64) -> None:
        if interest != client.interest:
            client.interest = interest
            self.epoll.modify(client.fd, int(interest))

    # Writing

    def flush(self) -> None:
        """One write for each connection that has something to say."""
        pipeline = self.pipeline
        while pipeline.dirty:
            dirty = pipeline.dirty
            pipeline.dirty = []
            for conn in dirty:
                conn.dirty = False
                client = self.by_connection.get(conn.id)
                if client is not None:
                    self.flush_one(client)

    def flush_one(self, client: ClientSocket) -> None:
        conn = client.conn
        out = conn.out
        if len(out) > 0:
            data = out.getvalue()
            out.truncate(0)
            if client.unsent:
                data = client.unsent + data
            self.send(client, data)
        if conn.state == CLOSED:
            return
        if client.unsent:
            if len(client.unsent) > OUT_BYTES_HARD:
                self.close_socket(client, f"{len(client.unsent)} bytes unread by the client")
            return
        if conn.state == DRAINING and conn.pending.count == 0:
            self.close_socket(client, conn.close_reason)
        elif client.blocked:
            if conn.pending.count == 0:
                self.look_again(client)
        elif client.paused_ms != 0 or conn.frames.pending() > 0:
            self.look_again(client)

    def send(self, client: ClientSocket, data: bytes) -> None:
        """Give the kernel what it takes; keep the rest and wait until it takes more."""
        try:
            count = client.sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            count = 0
        except OSError as error:
            self.close_socket(client, error.strerror or str(error))
            return
        self.pipeline.stats.bytes_sent += count
        if count == len(data):
            if client.unsent:
                client.unsent = b""
                client.conn.unsent_bytes = 0
                self.set_interest(client, client.interest & ~EPOLL_OUT)
            return
        client.unsent = data[count:]
        client.conn.unsent_bytes = len(client.unsent)
        self.set_interest(client, client.interest | EPOLL_OUT)

    def on_writable(self, client: ClientSocket) -> None:
        if client.handshaking:
            self.shake_hands(client)
            return
        if client.unsent:
            self.send(client, client.unsent)
        if client.conn.state != CLOSED:
            self.pipeline.touch_dirty(client.conn)

    # Closing

    def close_socket(self, client: ClientSocket, reason: str) -> None:
        """Close a connection; its session is not touched."""
        conn = client.conn
        if conn.state == CLOSED:
            return
        self.pipeline.remove(conn)
        del self.sockets[client.fd]
        del self.by_connection[conn.id]
        left = self.per_host[conn.peer_host] - 1
        if left:
            self.per_host[conn.peer_host] = left
        else:
            del self.per_host[conn.peer_host]
        try:
            self.epoll.unregister(client.fd)
        except OSError as error:
            # Where a socket could not be wrapped in TLS, the attempt has closed it.
            if error.errno != errno.EBADF:
                raise
        client.sock.close()
        if reason:
            self.on_refused(conn.peer_host, reason)

    def close_idle(self, now_ms: i64) -> None:
        """Close connections that never sent a ConnectRequest in time; called once a tick."""
        limit_ms = self.limits.sessionless_ms
        late = [
            client
            for client in self.sockets.values()
            if client.conn.state == NEW and now_ms - client.conn.connected_ms > limit_ms
        ]
        for client in late:
            self.pipeline.stats.sessionless_expired += 1
            self.close_socket(client, f"no ConnectRequest within {limit_ms} ms")
        self.resume_accepting()
