"""The quorum port: learners connect to the leader, each stream proved before it is handed out.

Source: election.md 4, zab.md 2 and 8. Packets are the replica's: from here on a stream is bytes.
"""

from collections.abc import Callable
from typing import Final, final

from ensemble.errors import ProtocolError
from ensemble.server.names import Address
from ensemble.server.peer_listener import Listener, everywhere
from ensemble.server.peer_net import PeerNet
from ensemble.server.peer_security import CalledSide, CallingSide, PeerSecurity
from ensemble.server.peer_socket import NEVER_MS, PeerHandler, PeerSocket
from ensemble.zab.members import Members

# Between the attempts to reach a leader that may not have opened its port yet. Apache waits 100 ms
# each time, five times; the short ones first make the usual case, a leader that is a moment late,
# cost a moment.
CONNECT_PAUSES_MS: Final = (10, 20, 40, 80, 100, 100, 100)
LINKS_PER_HOST_MAX: Final = 64


@final
class QuorumPort:
    """Streams to and from the quorum ports.

    `on_accepted(sock)` and `on_connected(sid, sock)` give the handler that a stream has from then
    on; `on_connect_failed(sid, reason)` says that a leader cannot be reached.
    """

    def __init__(
        self,
        sid: int,
        net: PeerNet,
        security: PeerSecurity,
        on_accepted: Callable[[PeerSocket], PeerHandler],
        on_connected: Callable[[int, PeerSocket], PeerHandler],
        on_connect_failed: Callable[[int, str], None],
        on_refused: Callable[[str, str], None],
        connect_ms: int,
        handshake_ms: int,
        listen_everywhere: bool = False,
    ) -> None:
        self.sid: Final = sid
        self.net: Final = net
        self.security: Final = security
        self.on_accepted: Final = on_accepted
        self.on_connected: Final = on_connected
        self.on_connect_failed: Final = on_connect_failed
        self.on_refused: Final = on_refused
        self.connect_ms: Final = connect_ms
        self.handshake_ms: Final = handshake_ms
        self.listen_everywhere: Final = listen_everywhere
        self.members: Members | None = None
        self.listener: Listener | None = None
        self.accepted: Final[set[PeerSocket]] = set()
        self.attempt: Attempt | None = None

    def set_members(self, members: Members) -> None:
        """Where everybody is. An open port stays where it is until it is opened anew."""
        self.members = members

    def addresses(self, sid: int) -> list[Address]:
        member = None if self.members is None else self.members.servers.get(sid)
        return [] if member is None else list(member.quorum_addresses)

    def listen(self) -> None:
        """Open the port; only a leader does.

        Raises:
            OSError: it cannot be bound; the text names the address.
        """
        if self.listener is not None:
            return
        where = self.addresses(self.sid)
        if self.listen_everywhere:
            where = everywhere(where)
        security = self.security
        self.listener = self.net.listen(
            where,
            self.welcome,
            security.server_tls,
            self.handshake_ms,
            security.unification,
        )

    def stop_listening(self) -> None:
        """Close the port. Streams that were handed out live on."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def renew_certificates(self) -> None:
        """`security` has others now: they are for who connects from here on."""
        if self.listener is not None:
            self.listener.tls = self.security.server_tls

    def connect(self, sid: int, within_ms: int) -> None:
        """Connect to the leader, trying again while it refuses; one at a time."""
        self.cancel()
        self.attempt = Attempt(self, sid, self.net.now_ms + within_ms)
        self.attempt.go()

    def cancel(self) -> None:
        """Stop connecting; nothing is called."""
        if self.attempt is not None:
            self.attempt.end()
            self.attempt = None

    def check(self, sock: PeerSocket, sid: int) -> None:
        """May the learner that calls itself `sid` be it?

        Raises:
            ProtocolError: its credentials name another server.
        """
        self.security.check(sock, sid, [host for host, _ in self.addresses(sid)])

    def welcome(self, sock: PeerSocket) -> PeerHandler:
        return Incoming(self)

    def admit(self, sock: PeerSocket, data: bytes) -> None:
        """A learner has spoken: it is no stranger any more."""
        for ended in [each for each in self.accepted if not each.is_alive()]:
            self.accepted.discard(ended)
        same = sum(1 for each in self.accepted if each.host == sock.host)
        if same >= LINKS_PER_HOST_MAX:
            raise ProtocolError(f"{same} links of {sock.host} already, the limit of one address")
        assert self.listener is not None
        self.listener.admit(sock)
        self.accepted.add(sock)
        sock.handler = self.on_accepted(sock)
        if sock.is_alive():
            sock.handler.on_bytes(sock, data)


@final
class Incoming(CalledSide):
    """An accepted stream: SASL if it is asked for, then its first bytes."""

    stranger = "before its first packet"

    def __init__(self, port: QuorumPort) -> None:
        super().__init__(port.security, port.on_refused)
        self.port: Final = port

    def take(self, sock: PeerSocket, data: bytes) -> None:
        sasl = self.sasl
        if sasl is not None and not sasl.done:
            sock.out.write(sasl.feed(data))
            sock.flush()
            sock.user = sasl.user
            data = sasl.rest
        if data and sock.is_alive() and (sasl is None or sasl.done):
            self.port.admit(sock, data)


@final
class Attempt(CallingSide):
    """The way to a leader."""

    def __init__(self, port: QuorumPort, sid: int, until_ms: int) -> None:
        super().__init__(port.security)
        self.port: Final = port
        self.sid: Final = sid
        self.until_ms: Final = until_ms
        self.sock: PeerSocket | None = None
        self.tries = 0
        self.ended = False

    def go(self) -> None:
        port = self.port
        if self.ended:
            return
        self.sock = port.net.dial(
            port.addresses(self.sid),
            self,
            port.security.client_tls,
            max(1, min(port.connect_ms, self.until_ms - int(port.net.now_ms))),
        )

    def end(self) -> None:
        self.ended = True
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def finish(self, sock: PeerSocket, rest: bytes) -> None:
        sock.name = f"server {self.sid} ({sock.name})"
        sock.set_deadline(NEVER_MS, "")
        self.sock = None
        self.ended = True
        self.port.attempt = None
        sock.handler = self.port.on_connected(self.sid, sock)
        if rest and sock.is_alive():
            sock.handler.on_bytes(sock, rest)

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        self.sock = None
        port = self.port
        pause_ms = CONNECT_PAUSES_MS[min(self.tries, len(CONNECT_PAUSES_MS) - 1)]
        at_ms = int(port.net.now_ms) + pause_ms
        self.tries += 1
        if self.tries <= len(CONNECT_PAUSES_MS) and at_ms < self.until_ms:
            port.net.call_at(at_ms, self.go)
            return
        self.ended = True
        port.attempt = None
        port.on_connect_failed(self.sid, f"{self.tries} attempts: {reason}")
