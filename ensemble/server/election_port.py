"""The election port: one stream to each other server, kept by the larger id, and its last message.

Source: election.md 1. A peer is a slot of one message: a newer one replaces what was not sent, and
the last one is sent again whenever the stream is made anew. What messages mean is `zab/election`'s.
"""

from collections.abc import Callable
from typing import Final, final

from ensemble.errors import ProtocolError
from ensemble.server.names import Address
from ensemble.server.peer_dial import printed
from ensemble.server.peer_listener import Listener, everywhere
from ensemble.server.peer_net import PeerNet
from ensemble.server.peer_security import CalledSide, CallingSide, PeerSecurity
from ensemble.server.peer_socket import NEVER_MS, PeerHandler, PeerSocket
from ensemble.wire.framing import FrameBuffer
from ensemble.wire.peers import (
    NOTIFICATION_BYTES_MAX,
    Hello,
    encode_hello,
    hello_bytes_wanted,
    read_hello,
)
from ensemble.zab.members import Members

UNKNOWN_PEERS_MAX: Final = 16  # servers that no configuration names: joiners, the removed
HELLO_ADDRESSES_MAX: Final = 16
# A stream younger than this is not dropped for a call that may have crossed with it, and is not
# made anew at once when it breaks: two servers would break each other's streams for ever.
YOUNG_LINK_MS: Final = 500
# Whoever should be heard and cannot be reached is called again after so long, whether or not there
# is something new to say: votes are repeated ever more slowly, and a partition that has healed must
# not have to wait for the next one.
CALL_AGAIN_MS: Final = 1_000
UNKNOWN_SID_MAX: Final = 255  # what a server's myid may hold; beyond, it is no server that calls


@final
class Peer:
    """Another server: where it is, the stream to it, what it was told last."""

    __slots__ = (
        "addresses",
        "away",
        "dialling",
        "hello_addresses",
        "last",
        "link",
        "link_ms",
        "sid",
        "slot",
    )

    def __init__(self, sid: int) -> None:
        self.sid: Final = sid
        self.addresses: list[Address] = []  # configured; empty: no configuration names it
        self.hello_addresses: list[Address] = []
        self.link: PeerSocket | None = None
        self.link_ms = 0
        self.dialling: PeerSocket | None = None
        self.slot = b""  # not sent yet
        self.away = False  # told as unreachable, and not reached since
        self.last = b""  # sent last

    def ways(self) -> list[Address]:
        """Every address that it may be found at, the configured ones first."""
        return self.addresses + [a for a in self.hello_addresses if a not in self.addresses]


@final
class ElectionPort:
    """All election streams of server `sid`.

    `on_notification(sid, payload)` gets each message as it came; `on_unreachable(sid)` says that no
    stream could be made or that it broke, `on_reachable(sid)` that there is one.
    """

    def __init__(
        self,
        sid: int,
        net: PeerNet,
        security: PeerSecurity,
        on_notification: Callable[[int, bytes], None],
        on_unreachable: Callable[[int], None],
        on_reachable: Callable[[int], None],
        on_refused: Callable[[str, str], None],
        connect_ms: int,
        handshake_ms: int,
        listen_everywhere: bool = False,
    ) -> None:
        self.sid: Final = sid
        self.net: Final = net
        self.security: Final = security
        self.on_notification: Final = on_notification
        self.on_unreachable: Final = on_unreachable
        self.on_reachable: Final = on_reachable
        self.on_refused: Final = on_refused
        self.connect_ms: Final = connect_ms
        self.handshake_ms: Final = handshake_ms
        self.listen_everywhere: Final = listen_everywhere
        self.peers: Final[dict[int, Peer]] = {}
        self.own: list[Address] = []
        self.listener: Listener | None = None
        self.hello = b""
        self.calling = False  # `call_again` is due some time

    # The owner's side

    def set_members(self, members: Members) -> None:
        """Whom to connect to, and where this server listens: at once, if it does listen.

        Raises:
            OSError: the new address of this server cannot be bound.
        """
        for sid, member in members.servers.items():
            if sid != self.sid:
                self.set_addresses(sid, list(member.election_addresses))
        for sid in [s for s in self.peers if s not in members.servers]:
            self.set_addresses(sid, [])
        own = members.servers.get(self.sid)
        if own is not None and own.election_addresses != self.own:
            self.own = list(own.election_addresses)
            texts = [printed(host, port) for host, port in self.own]
            self.hello = encode_hello(Hello(self.sid, texts))
            if self.listener is not None:
                self.listener.close()
                self.listener = None
                self.start()

    def set_addresses(self, sid: int, addresses: list[Address]) -> None:
        peer = self.peers.get(sid)
        if peer is None:
            peer = self.peers[sid] = Peer(sid)
        elif peer.addresses != addresses:
            # It moves, or joins, or leaves: the next message finds it where it is then.
            self.drop(peer)
        peer.addresses = addresses
        self.forget_unknown(peer)

    def start(self) -> None:
        """Open the port. The observers' and the leader's, too, in every state.

        Raises:
            OSError: it cannot be bound; the text names the address.
        """
        assert self.own, "set_members comes first"
        assert self.listener is None
        where = everywhere(self.own) if self.listen_everywhere else self.own
        security = self.security
        self.listener = self.net.listen(
            where,
            self.welcome,
            security.server_tls,
            self.handshake_ms,
            security.unification,
        )
        if not self.calling:
            self.calling = True
            self.net.call_at(int(self.net.now_ms) + CALL_AGAIN_MS, self.call_again)

    def call_again(self) -> None:
        """Call the members that have no stream and should have one."""
        if self.listener is None:
            self.calling = False
            return
        self.net.call_at(int(self.net.now_ms) + CALL_AGAIN_MS, self.call_again)
        for peer in list(self.peers.values()):
            wanted = peer.addresses and (peer.slot or peer.last)
            if wanted and peer.link is None and peer.dialling is None:
                self.dial(peer)

    def stop(self) -> None:
        """Close the port and every stream."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        for peer in list(self.peers.values()):
            self.drop(peer)

    def renew_certificates(self) -> None:
        """`security` has others now: they are for who connects from here on."""
        if self.listener is not None:
            self.listener.tls = self.security.server_tls

    def send(self, sid: int, frame: bytes) -> None:
        """Put a message, with its length, into the slot of `sid`; it goes out as soon as it can."""
        assert sid != self.sid, "a message to oneself does not leave"
        peer = self.peers.get(sid)
        if peer is None:
            return  # a stranger that has gone again
        peer.slot = frame
        if peer.link is not None:
            self.transmit(peer)
        elif peer.dialling is None:
            self.dial(peer)

    # Streams

    def dial(self, peer: Peer) -> None:
        ways = peer.ways()
        if ways:
            security = self.security
            peer.dialling = self.net.dial(
                ways, Outgoing(self, peer), security.client_tls, self.connect_ms
            )

    def drop(self, peer: Peer) -> None:
        """End both streams of a peer without a word to the owner."""
        for sock in (peer.link, peer.dialling):
            if sock is not None:
                sock.close()
        peer.link = None
        peer.dialling = None

    def keep(self, peer: Peer, sock: PeerSocket) -> None:
        """This is the one stream to `peer` from now on."""
        sock.name = f"server {peer.sid} ({sock.name})"
        sock.set_deadline(NEVER_MS, "")
        sock.give_up_unheard(self.connect_ms)
        peer.link = sock
        peer.link_ms = self.net.now_ms
        peer.away = False
        sock.handler = Link(self, peer)
        if not peer.slot:
            peer.slot = peer.last
        self.transmit(peer)
        if peer.link is sock:
            self.on_reachable(peer.sid)

    def transmit(self, peer: Peer) -> None:
        """Send what is in the slot, unless the one before it has not left yet."""
        link = peer.link
        assert link is not None
        if peer.slot and link.unsent_bytes == 0:
            link.out.write(peer.slot)
            peer.last = peer.slot
            peer.slot = b""
            link.flush()

    def lost(self, peer: Peer) -> None:
        """Its stream broke. One attempt to make it anew tells whether it is there."""
        young = self.net.now_ms - peer.link_ms < YOUNG_LINK_MS
        peer.link = None
        if peer.dialling is not None:
            return
        if not young:
            self.dial(peer)
        if peer.dialling is None:
            self.on_unreachable(peer.sid)
            self.forget_unknown(peer)

    def unreachable(self, peer: Peer, reason: str) -> None:
        peer.dialling = None
        if peer.link is None:
            if not peer.away:
                self.on_refused(f"server {peer.sid}", f"no election connection: {reason}")
            peer.away = True
            self.on_unreachable(peer.sid)
            self.forget_unknown(peer)

    def forget_unknown(self, peer: Peer) -> None:
        if not peer.addresses and peer.link is None and peer.dialling is None:
            self.peers.pop(peer.sid, None)

    # Who calls

    def welcome(self, sock: PeerSocket) -> PeerHandler:
        return Incoming(self)

    def on_caller(self, sock: PeerSocket, hello: Hello, rest: bytes) -> None:
        """Somebody has said who it is, and proved it where that is asked for."""
        sid = int(hello.sid)
        if sid == self.sid:
            raise ProtocolError(f"server id {sid} called, this is server {self.sid}")
        peer = self.peers.get(sid)
        if peer is None and not 0 <= sid <= UNKNOWN_SID_MAX:
            raise ProtocolError(f"server id {sid} called, 0 to {UNKNOWN_SID_MAX} can be one")
        hosts = [] if peer is None else [host for host, _ in peer.addresses]
        self.security.check(sock, sid, hosts)
        if peer is None:
            unknown = sum(1 for each in self.peers.values() if not each.addresses)
            if unknown >= UNKNOWN_PEERS_MAX:
                raise ProtocolError(
                    f"server {sid} is in no configuration, and {unknown} others like it are here"
                )
            peer = self.peers[sid] = Peer(sid)
        peer.hello_addresses = usable(hello.addresses)
        assert self.listener is not None
        self.listener.admit(sock)
        if sid < self.sid:
            sock.close()
            self.call_back(peer)
            return
        self.drop(peer)
        self.keep(peer, sock)
        if rest and sock.is_alive():
            sock.handler.on_bytes(sock, rest)

    def call_back(self, peer: Peer) -> None:
        """A smaller id called: the stream that is kept is the one that this server makes."""
        if peer.dialling is not None:
            return
        if peer.link is not None:
            if self.net.now_ms - peer.link_ms < YOUNG_LINK_MS:
                return  # its call and this server's crossed
            peer.link.close()
            peer.link = None
        self.dial(peer)
        self.forget_unknown(peer)


def usable(texts: list[str]) -> list[Address]:
    """Addresses of a hello that one can connect to: no wildcards, no nonsense."""
    found: list[Address] = []
    for text in texts[:HELLO_ADDRESSES_MAX]:
        host, _, port = text.rpartition(":")
        host = host.strip("[]")
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
        if host not in ("", "0.0.0.0", "::", "0:0:0:0:0:0:0:0") and 0 < number <= 65_535:
            found.append((host, number))
    return found


@final
class Incoming(CalledSide):
    """An accepted stream: hello, SASL if it is asked for, then the rule of the larger id."""

    def __init__(self, port: ElectionPort) -> None:
        super().__init__(port.security, port.on_refused)
        self.port: Final = port
        self.head = b""
        self.hello: Hello | None = None

    def is_proving(self) -> bool:
        return self.hello is not None and super().is_proving()

    def take(self, sock: PeerSocket, data: bytes) -> None:
        if self.hello is None:
            self.head += data
            wanted = hello_bytes_wanted(self.head)
            if wanted > len(self.head):
                return
            self.hello = read_hello(self.head[:wanted])
            data = self.head[wanted:]
            self.head = b""
        sasl = self.sasl
        if sasl is not None:
            sock.out.write(sasl.feed(data))
            sock.flush()
            if not (sasl.done and sock.is_alive()):
                return
            sock.user = sasl.user
            data = sasl.rest
        self.port.on_caller(sock, self.hello, data)


@final
class Outgoing(CallingSide):
    """A stream that this server makes: to keep it, or only to wake a larger id."""

    def __init__(self, port: ElectionPort, peer: Peer) -> None:
        super().__init__(port.security)
        self.port: Final = port
        self.peer: Final = peer
        self.woken = False

    def begin(self, sock: PeerSocket) -> None:
        sock.out.write(self.port.hello)

    def finish(self, sock: PeerSocket, rest: bytes) -> None:
        peer = self.peer
        if peer.sid > self.port.sid:
            # It closes this one and calls back; the deadline of dialling still holds.
            self.woken = True
            return
        peer.dialling = None
        self.port.keep(peer, sock)
        if rest and sock.is_alive():
            sock.handler.on_bytes(sock, rest)

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        if self.woken and sock.deadline_ms > self.port.net.now_ms:
            self.peer.dialling = None
            self.port.forget_unknown(self.peer)
            return
        self.port.unreachable(self.peer, reason)


@final
class Link(PeerHandler):
    """The one stream to a peer."""

    def __init__(self, port: ElectionPort, peer: Peer) -> None:
        self.port: Final = port
        self.peer: Final = peer
        self.frames: Final = FrameBuffer(NOTIFICATION_BYTES_MAX)

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        frames = self.frames
        frames.feed(data)
        try:
            while frames.next_frame():
                if frames.start == frames.end:
                    raise ProtocolError("a message of 0 bytes, at least 1 is expected")
                self.port.on_notification(self.peer.sid, frames.buf[frames.start : frames.end])
                if not sock.is_alive():
                    return
        except ProtocolError as error:
            self.port.on_refused(sock.name, str(error))
            sock.fail(str(error))

    def on_drained(self, sock: PeerSocket) -> None:
        if self.peer.link is sock:
            self.port.transmit(self.peer)

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        if self.peer.link is sock:
            self.port.lost(self.peer)
