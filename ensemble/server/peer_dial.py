"""The way to a peer: its names, then its addresses side by side, until one is connected.

Each address is tried a moment after the one before, or at once where that one refuses; the first
that answers is taken. Source: election.md 1.3 and 4.
"""

import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from ensemble.server.names import Address, Names
from ensemble.server.peer_socket import PeerKeeper, PeerSocket, prepare
from ensemble.server.poll import OUT

NEXT_ADDRESS_MS: Final = 250  # after which a peer's next address is tried beside the first
ATTEMPTS_MAX: Final = 64  # addresses tried in one dial


def printed(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@final
class Candidate:
    """One address to try: what to connect to, and the name that a certificate must carry."""

    __slots__ = ("family", "host", "name", "port")

    def __init__(self, family: int, host: str, port: int, name: str) -> None:
        self.family: Final = family
        self.host: Final = host
        self.port: Final = port
        self.name: Final = name


@final
class Dial:
    """The way to one peer's stream: names, then addresses, until one is connected."""

    def __init__(
        self,
        keeper: PeerKeeper,
        names: Names,
        forget: Callable[[PeerSocket], None],
        sock: PeerSocket,
        addresses: list[Address],
        tls: ssl.SSLContext | None,
        until_ms: i64,
    ) -> None:
        self.keeper: Final = keeper
        self.names: Final = names
        self.forget: Final = forget
        self.sock: Final = sock
        self.tls: Final = tls
        self.until_ms: Final[i64] = until_ms
        self.unresolved: list[Address] = list(addresses)
        self.candidates: list[Candidate] = []
        self.tried = 0
        self.attempts: Final[dict[int, tuple[socket.socket, Candidate]]] = {}
        self.next_ms: i64 = 0
        self.reasons: list[str] = []

    def step(self) -> None:
        """Look up, start what is due; end where nothing is left to wait for."""
        self.look_up()
        now_ms = self.keeper.now_ms
        while self.candidates and (not self.attempts or now_ms >= self.next_ms):
            if self.start(self.candidates.pop(0)):
                self.next_ms = now_ms + NEXT_ADDRESS_MS
        if now_ms >= self.until_ms:
            waiting = [f"{c.host}:{c.port} does not answer" for _, c in self.attempts.values()]
            waiting += [f"{host} is not resolved" for host, _ in self.unresolved]
            self.fail("; ".join(self.reasons + waiting))
        elif not (self.attempts or self.candidates or self.unresolved):
            self.fail("; ".join(self.reasons) or "no address")

    def look_up(self) -> None:
        left: list[Address] = []
        for host, port in self.unresolved:
            found = self.names.find(host)
            if found is None:
                left.append((host, port))
            elif not found:
                self.reasons.append(f"{host}: {self.names.why(host)}")
                self.names.renew(host)
            else:
                for family, address in found:
                    if self.tried < ATTEMPTS_MAX:
                        self.tried += 1
                        self.candidates.append(Candidate(family, address, port, host))
        self.unresolved = left

    def start(self, candidate: Candidate) -> bool:
        """Begin to connect. False: refused at once."""
        try:
            sock = socket.socket(candidate.family, socket.SOCK_STREAM)
        except OSError as error:
            self.give_up(candidate, error.strerror or str(error))
            return False
        sock.setblocking(False)
        code = sock.connect_ex((candidate.host, candidate.port))
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            self.give_up(candidate, os.strerror(code))
            return False
        fd = sock.fileno()
        self.attempts[fd] = (sock, candidate)
        self.keeper.poll.watch(fd, lambda events: self.on_ready(fd), OUT)
        return True

    def on_ready(self, fd: int) -> None:
        found = self.attempts.get(fd)
        if found is None:
            return
        sock, candidate = found
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            try:
                # A free port that the kernel gave to this very attempt answers itself.
                if sock.getpeername() == sock.getsockname():
                    code = errno.ECONNREFUSED
            except OSError as error:
                if error.errno == errno.ENOTCONN:
                    return  # an event of a descriptor before
                code = error.errno or errno.ECONNREFUSED
        del self.attempts[fd]
        self.keeper.poll.unwatch(fd)
        if code != 0:
            sock.close()
            self.give_up(candidate, os.strerror(code))
            self.step_on()
            return
        self.win(sock, candidate)

    def step_on(self) -> None:
        self.next_ms = 0
        self.step()

    def win(self, sock: socket.socket, candidate: Candidate) -> None:
        self.end()
        peer = self.sock
        peer.name = printed(candidate.host, candidate.port)
        prepare(sock)
        peer.attach(sock, candidate.host)
        peer.set_deadline(self.until_ms, "connected, but the other end did not go on in time")
        peer.begin(self.tls, False, candidate.name)

    def give_up(self, candidate: Candidate, reason: str) -> None:
        self.reasons.append(f"{printed(candidate.host, candidate.port)}: {reason}")
        self.names.renew(candidate.name)

    def fail(self, reason: str) -> None:
        for _, candidate in self.attempts.values():
            self.names.renew(candidate.name)
        self.end()
        self.sock.fail(reason)

    def end(self) -> None:
        """Drop every attempt."""
        self.forget(self.sock)
        for fd, (sock, _) in self.attempts.items():
            self.keeper.poll.unwatch(fd)
            sock.close()
        self.attempts.clear()
        self.candidates = []
        self.unresolved = []
