"""Real sockets on loopback for the tests of the links: one poll, as many servers as wanted."""

import socket
import time
from collections.abc import Callable

from ensemble.server.election_port import ElectionPort
from ensemble.server.names import Address, Resolve, resolve
from ensemble.server.peer_net import PeerNet
from ensemble.server.peer_security import PeerSecurity
from ensemble.server.peer_socket import PeerHandler, PeerSocket
from ensemble.server.poll import Poll
from ensemble.zab.members import Member, Members
from tests.ports import free_port

PATIENCE_S = 10.0
HOST = "127.0.0.1"


FIRST_MS = 1_000_000
STEP_MS = 50


class World:
    """Turns for every net in it. The clock stands still until a test puts it forward."""

    def __init__(self) -> None:
        self.poll = Poll()
        self.nets: list[PeerNet] = []
        self.ahead_ms = 0
        self.keep: list[socket.socket] = []

    def now_ms(self) -> int:
        return FIRST_MS + self.ahead_ms

    def net(self, resolver: Resolve = resolve) -> PeerNet:
        net = PeerNet(self.poll, self.now_ms(), resolver)
        self.nets.append(net)
        return net

    def turn(self) -> None:
        self.poll.serve(0.005)
        for net in self.nets:
            net.on_time(self.now_ms())

    def until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        """Take turns until it holds; the test fails where it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come about"
            self.turn()

    def pass_until(self, condition: Callable[[], bool], limit_ms: int) -> None:
        """Time goes by until it holds, so much at most."""
        end_ms = self.now_ms() + limit_ms
        while not condition():
            assert self.now_ms() < end_ms, f"not within {limit_ms} ms"
            self.pass_ms(STEP_MS)

    def pass_ms(self, ms: int) -> None:
        """Time goes by, for deadlines; what has come in is served first."""
        for _ in range(3):
            self.turn()
        self.ahead_ms += ms
        self.turn()

    def listener(self, backlog: int = 16) -> tuple[socket.socket, Address]:
        """A plain listening socket, which the test plays itself."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, 0))
        sock.listen(backlog)
        sock.settimeout(PATIENCE_S)
        self.keep.append(sock)
        return sock, (HOST, int(sock.getsockname()[1]))

    def black_hole(self) -> Address:
        """An address where nothing ever answers: a full backlog that nobody accepts from."""
        _, address = self.listener(backlog=0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            self.keep.append(filler)
        return address

    def connect(self, address: Address) -> socket.socket:
        sock = socket.create_connection(address, PATIENCE_S)
        self.keep.append(sock)
        return sock

    def read(self, sock: socket.socket, count: int) -> bytes:
        """So many bytes at the test's own end, while the servers take their turns."""
        got = bytearray()
        sock.setblocking(False)

        def arrived() -> bool:
            try:
                data = sock.recv(count - len(got))
            except BlockingIOError:
                return False
            got.extend(data)
            assert data or len(got) == count, f"closed after {bytes(got)!r}"
            return len(got) == count

        self.until(arrived, f"{count} bytes")
        return bytes(got)

    def ended(self, sock: socket.socket) -> bool:
        """Whether the servers have closed their end; what was sent before is dropped."""
        sock.setblocking(False)
        try:
            while sock.recv(65_536):
                pass
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def accept(self, listener: socket.socket) -> socket.socket:
        found: list[socket.socket] = []
        listener.setblocking(False)

        def came() -> bool:
            try:
                found.append(listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.until(came, "a connection")
        self.keep.append(found[0])
        return found[0]

    def close(self) -> None:
        for net in self.nets:
            net.close()
        self.poll.close()
        for sock in self.keep:
            sock.close()


class Recorder(PeerHandler):
    """Writes down what a stream says."""

    def __init__(self) -> None:
        self.opened: list[PeerSocket] = []
        self.data = b""
        self.closed: list[str] = []
        self.drained = 0

    def on_open(self, sock: PeerSocket) -> None:
        self.opened.append(sock)

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        self.data += data

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        self.closed.append(reason)

    def on_drained(self, sock: PeerSocket) -> None:
        self.drained += 1


class ElectionServer:
    """An election port, and what it told."""

    def __init__(self, world: World, sid: int, security: PeerSecurity | None = None) -> None:
        self.sid = sid
        self.net = world.net()
        self.heard: list[tuple[int, bytes]] = []
        self.unreachable: list[int] = []
        self.reachable: list[int] = []
        self.refused: list[str] = []
        self.port = ElectionPort(
            sid,
            self.net,
            security or PeerSecurity(),
            lambda sid, payload: self.heard.append((sid, payload)),
            self.unreachable.append,
            self.reachable.append,
            lambda who, why: self.refused.append(f"{who}: {why}"),
            connect_ms=5_000,
            handshake_ms=5_000,
        )

    @property
    def address(self) -> Address:
        assert self.port.listener is not None
        return self.port.listener.addresses()[0]

    def link(self, sid: int) -> PeerSocket | None:
        peer = self.port.peers.get(sid)
        return None if peer is None else peer.link


def members_at(addresses: dict[int, Address]) -> Members:
    """A configuration with these election addresses."""
    return Members(
        0,
        {sid: Member(sid, [(host, 1)], [(host, port)]) for sid, (host, port) in addresses.items()},
    )


def start_servers(
    world: World, sids: list[int], security: PeerSecurity | None = None
) -> list[ElectionServer]:
    """Servers that know each other."""
    servers = [ElectionServer(world, sid, security) for sid in sids]
    addresses = {sid: (HOST, free_port()) for sid in sids}
    for server in servers:
        server.port.set_members(members_at(addresses))
        server.port.start()
    return servers


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload
