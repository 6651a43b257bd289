"""A port that other servers connect to, and the strangers at it.

Source: election.md 1, zab.md 8 (port unification).
"""

import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from ensemble.server.names import Address, literal, resolve
from ensemble.server.peer_dial import printed
from ensemble.server.peer_socket import (
    NEVER_MS,
    PeerHandler,
    PeerKeeper,
    PeerSocket,
    hang_up,
    prepare,
)
from ensemble.server.poll import IN

ACCEPTS_PER_TURN_MAX: Final = 64
ACCEPT_PAUSE_MS: Final = 100  # when descriptors have run out
LISTEN_BACKLOG: Final = 256
STRANGERS_MAX: Final = 64  # accepted and not known yet, at one port
STRANGERS_PER_HOST_MAX: Final = 16
TLS_HANDSHAKE: Final = 0x16


def everywhere(addresses: list[Address]) -> list[Address]:
    """The same ports on all addresses: of both kinds where one of these is of the newer kind."""
    any_address = "::" if any(":" in host for host, _ in addresses) else "0.0.0.0"
    return list(dict.fromkeys((any_address, port) for _, port in addresses))


def bind(addresses: list[Address]) -> list[socket.socket]:
    """A listening socket for each address; a name is asked for here and now.

    Raises:
        OSError: one cannot be bound; its text names the address, and nothing is open then.
    """
    socks: list[socket.socket] = []
    for host, port in addresses:
        try:
            family, address = (literal(host) or resolve(host))[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
            socks.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind((address, port))
            sock.listen(LISTEN_BACKLOG)
        except OSError as error:
            for each in socks:
                each.close()
            raise OSError(error.errno, error.strerror, printed(host, port)) from None
    return socks


@final
class Listener:
    """A port that other servers connect to.

    Until `admit` an accepted stream is a stranger, and of strangers so many are kept: beyond, the
    one that has been at it for longest goes. So those that are quick get in whatever else hangs.
    """

    def __init__(
        self,
        keeper: PeerKeeper,
        forget: Callable[["Listener"], None],
        socks: list[socket.socket],
        accept: Callable[[PeerSocket], PeerHandler],
        tls: ssl.SSLContext | None,
        handshake_ms: i64,
        peek: bool,
    ) -> None:
        self.keeper: Final = keeper
        self.forget: Final = forget
        self.socks: Final = socks
        self.accept: Final = accept
        self.tls = tls  # may be replaced, for those that come later
        self.handshake_ms: Final[i64] = handshake_ms
        self.peek: Final = peek  # TLS and plain on one port
        self.strangers: Final[dict[PeerSocket, str]] = {}  # with their hosts, oldest first
        self.paused_until_ms: i64 = 0  # 0: it accepts
        for sock in socks:
            self.watch(sock)

    def watch(self, sock: socket.socket) -> None:
        self.keeper.poll.watch(sock.fileno(), lambda events: self.serve(sock))

    def addresses(self) -> list[Address]:
        """Where it listens, with the ports that the kernel chose for port 0."""
        found: list[Address] = []
        for sock in self.socks:
            name = sock.getsockname()
            found.append((str(name[0]), int(name[1])))
        return found

    def admit(self, sock: PeerSocket) -> None:
        """It is no stranger any more: no deadline, no place taken."""
        if self.strangers.pop(sock, None) is not None:
            sock.set_deadline(NEVER_MS, "")

    def close(self) -> None:
        """Strangers go with it, admitted streams stay."""
        for sock in self.socks:
            self.keeper.poll.unwatch(sock.fileno())
            hang_up(sock)
        self.socks.clear()
        self.forget(self)
        for stranger in list(self.strangers):
            stranger.close()
        self.strangers.clear()

    def serve(self, sock: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                new, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.ECONNABORTED, errno.EINTR):
                    self.pause()  # out of descriptors: the listener lives (trust.md F25)
                    return
                continue
            self.welcome(new, str(address[0]), int(address[1]))
            if not self.socks:
                return

    def pause(self) -> None:
        self.paused_until_ms = self.keeper.now_ms + ACCEPT_PAUSE_MS
        for sock in self.socks:
            self.keeper.poll.change(sock.fileno(), 0)
        self.keeper.note(self.paused_until_ms)

    def resume(self) -> None:
        if 0 < self.paused_until_ms <= self.keeper.now_ms:
            self.paused_until_ms = 0
            for sock in self.socks:
                self.keeper.poll.change(sock.fileno(), IN)

    def welcome(self, new: socket.socket, host: str, port: int) -> None:
        self.make_room(host)
        keeper = self.keeper
        prepare(new)
        peer = PeerSocket(keeper, Stranger(self), printed(host, port))
        self.strangers[peer] = host
        peer.attach(new, host)
        peer.set_deadline(
            keeper.now_ms + self.handshake_ms, f"no word within {self.handshake_ms} ms"
        )
        if self.peek:
            peer.handler = Peek(self)
            peer.become_open()
        else:
            self.introduce(peer, self.tls)

    def introduce(self, peer: PeerSocket, tls: ssl.SSLContext | None) -> None:
        peer.handler = self.accept(peer)
        peer.begin(tls, True, "")

    def make_room(self, host: str) -> None:
        same = [peer for peer, its_host in self.strangers.items() if its_host == host]
        if len(same) >= STRANGERS_PER_HOST_MAX:
            same[0].fail(f"{len(same)} others of {host} have not said who they are either")
        elif len(self.strangers) >= STRANGERS_MAX:
            oldest = next(iter(self.strangers))
            oldest.fail(f"{len(self.strangers)} others have not said who they are either")


@final
class Stranger(PeerHandler):
    """Stands in for the moment until the port's own handler is there."""

    def __init__(self, listener: Listener) -> None:
        self.listener: Final = listener

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        raise AssertionError("a stream is served before it has begun")

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        return


@final
class Peek(PeerHandler):
    """Port unification: TLS where the first byte is a TLS record's, plain otherwise (zab.md 8)."""

    def __init__(self, listener: Listener) -> None:
        self.listener: Final = listener

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        secure = data[0] == TLS_HANDSHAKE
        self.listener.introduce(sock, self.listener.tls if secure else None)
        if sock.is_alive():
            sock.take(data)

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        return
