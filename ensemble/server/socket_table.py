"""Every client socket of a server: listening, accepting, TLS, limits, closing.

The lower half of the client port; `client_port` says in which turn who is served.
"""

import errno
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from ensemble.server.client_socket import EPOLL_IN, EPOLL_OUT, ClientSocket
from ensemble.server.connection import CLOSED, NEW, Connection
from ensemble.server.pipeline import Pipeline
from ensemble.server.poll import Poll
from ensemble.server.port_limits import PortLimits
from ensemble.server.stats import ConnectionStats
from ensemble.wire.records import Id

RECV_BYTES: Final = 65_536
PARTING_MS: Final = 1_000  # that who was refused has to read why
TLS_HANDSHAKE: Final = b"\x16"
LISTENER_IN: Final = select.EPOLLIN


class SocketTable:
    """Sockets come and go. Callbacks as for `ClientPort`."""

    def __init__(
        self,
        pipeline: Pipeline,
        limits: PortLimits,
        identify: Callable[[str, ssl.SSLSocket | None], list[Id]],
        wall_ms: Callable[[], int],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self.pipeline: Final = pipeline
        self.limits: Final = limits
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
        self.parting: Final[deque[ClientSocket]] = deque()  # the first was first
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
        self.epoll.register(sock.fileno(), LISTENER_IN)
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

    # Accepting

    def accept(self, count_max: i64) -> None:
        """Take what has connected. New connections are served from the next turn on."""
        for fd in list(self.listeners):
            listener, context, unified = self.listeners[fd]
            for _ in range(count_max):
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
                self.epoll.modify(fd, LISTENER_IN)

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

    # Receiving

    def receive(self, client: ClientSocket) -> bool:
        """Take what has come in; False where there is nothing, now or ever."""
        if client.context is not None and not self.tell_tls(client):
            return False
        if client.handshaking and not self.shake_hands(client):
            return False
        try:
            data = client.sock.recv(RECV_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            client.readable = False
            return False
        except ssl.SSLWantWriteError:
            self.set_interest(client, client.interest | EPOLL_OUT)
            return False
        except OSError as error:
            self.close_socket(client, error.strerror or str(error))
            return False
        if not data:
            self.close_socket(client, "")
            return False
        conn = client.conn
        pipeline = self.pipeline
        pipeline.stats.bytes_received += len(data)
        conn.frames.feed(data, pipeline.now_us)
        if conn.secure:
            self.drain_tls(client)
        elif len(data) < RECV_BYTES and not client.is_gone:
            client.readable = False
        return True

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
            client.readable = False
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
            except (OSError, ValueError):
                return  # the next receive meets it again
            if not data:
                return
            self.pipeline.stats.bytes_received += len(data)
            client.conn.frames.feed(data, self.pipeline.now_us)
        if not client.is_gone:
            # What the kernel still holds is unknown: asking for the events again tells.
            client.readable = False
            self.epoll.modify(client.fd, int(client.interest))

    def shake_hands(self, client: ClientSocket) -> bool:
        """Go on with a TLS handshake. True: it is complete."""
        sock = client.sock
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            client.readable = False
            self.set_interest(client, EPOLL_IN)
            return False
        except ssl.SSLWantWriteError:
            client.readable = False
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

    def set_interest(self, client: ClientSocket, interest: i64) -> None:
        if interest != client.interest:
            client.interest = interest
            self.epoll.modify(client.fd, int(interest))

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

    def part(self, client: ClientSocket) -> bool:
        """Say that nothing more comes, and wait for the other's end. False: there is no need to.

        A socket that is closed with input unread is reset: who was still sending would learn that,
        and not read the reply that says why.
        """
        if client.is_gone or client.conn.secure:
            return False
        if client.parting_ms == 0:
            try:
                client.sock.shutdown(socket.SHUT_WR)
            except OSError:
                return False
            client.parting_ms = max(self.pipeline.now_ms, 1)
            self.parting.append(client)
        return True

    def close_idle(self, now_ms: i64) -> None:
        """Close connections that never sent a ConnectRequest in time, and those that do not part.

        Called once a tick.
        """
        parting = self.parting
        while parting and now_ms - parting[0].parting_ms >= PARTING_MS:
            client = parting.popleft()
            self.close_socket(client, client.conn.close_reason)
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
