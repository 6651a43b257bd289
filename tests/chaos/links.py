"""Links between the members of an ensemble that can be cut: a proxy for each pair and port.

A direction is *held*: bytes wait where they are, as on a cut wire, and go on when it heals. Or a
pair is *refused*: its connections are reset, new ones at once. One thread moves all bytes; no
buffer grows past `PIPE_BYTES_MAX`, behind it the kernel makes the sender wait.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from tests.ensembles import Ensemble
from tests.ports import free_ports

PIPE_BYTES_MAX: Final = 256 * 1024
TURN_S: Final = 0.5
# A leader opens its quorum port a moment after it is elected. Without links in between, who comes
# too early is refused, and tries again (election.md 4); here it has been accepted already, so it
# waits for the port that long.
QUORUM_PORT_WAIT_S: Final = 0.5
AGAIN_S: Final = 0.02
STOP_TIMEOUT_S: Final = 10.0
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of nothing: close() resets

Direction = tuple[int, int]  # from one member to another


@dataclass(eq=False)
class Half:
    """One direction of a connection."""

    direction: Direction
    source: socket.socket
    sink: socket.socket
    waiting: bytearray = field(default_factory=bytearray)
    is_ended: bool = False  # the source sent its last byte
    is_closed: bool = False  # and the sink knows


@dataclass(eq=False)
class Pair:
    """A connection: two sockets, two directions."""

    halves: tuple[Half, Half]
    is_broken: bool = False  # by an error on one side; who is beyond a held link does not hear


@dataclass(eq=False)
class Early:
    """Accepted, but nobody listens at the target yet."""

    direction: Direction
    sock: socket.socket
    target: int
    deadline: float


class Links:
    """All links of an ensemble; to be made before its members start."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._lock: Final = threading.Lock()
        self._held: Final[set[Direction]] = set()
        self._refused: Final[set[frozenset[int]]] = set()
        self._selector: Final = selectors.DefaultSelector()
        self._listeners: Final[dict[socket.socket, tuple[Direction, int, float]]] = {}
        self._pairs: Final[list[Pair]] = []
        self._early: Final[list[Early]] = []
        self._wake_in, self._wake_out = socket.socketpair()
        self._is_stopping = False
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        for one in ensemble.all:
            for other in ensemble.all:
                if one is not other:
                    ports = free_ports(2)
                    one.dials[other.sid] = (ports[0], ports[1])
                    targets = [(other.quorum_port, QUORUM_PORT_WAIT_S), (other.election_port, 0.0)]
                    for port, (target, wait_s) in zip(ports, targets, strict=True):
                        listener = socket.create_server(("127.0.0.1", port))
                        listener.setblocking(False)
                        self._listeners[listener] = ((one.sid, other.sid), target, wait_s)
                        self._selector.register(listener, selectors.EVENT_READ)
        self._thread: Final = threading.Thread(target=self._run, name="links", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Links":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping = True
        self._wake()
        self._thread.join(STOP_TIMEOUT_S)
        assert not self._thread.is_alive(), "the links do not stop"
        # Not by the thread: it may see the end before it is woken, and then nobody would listen.
        self._wake_in.close()
        self._wake_out.close()

    def hold(self, *directions: Direction) -> None:
        """Let nothing through from the one to the other; connections stay open."""
        with self._lock:
            self._held.update(directions)
        self._wake()

    def refuse(self, one: int, other: int) -> None:
        """Reset the connections between two members, and every new one."""
        with self._lock:
            self._refused.add(frozenset((one, other)))
        self._wake()

    def heal(self) -> None:
        """Everything goes on; what waited is delivered."""
        with self._lock:
            self._held.clear()
            self._refused.clear()
        self._wake()

    def _wake(self) -> None:
        self._wake_out.send(b"x")

    # The thread

    def _run(self) -> None:
        while not self._is_stopping:
            for key, events in self._selector.select(AGAIN_S if self._early else TURN_S):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._wake_in:
                    self._wake_in.recv(4096)
                elif sock in self._listeners:
                    self._accept(sock)
                else:
                    self._move(key.data, sock, events)
            for early in list(self._early):
                self._early.remove(early)
                self._dial(early)
            self._adjust()
        for pair in list(self._pairs):
            self._close(pair)
        for sock in (*(early.sock for early in self._early), *self._listeners):
            sock.close()
        self._selector.close()

    def _is_held(self, direction: Direction) -> bool:
        with self._lock:
            return direction in self._held

    def _is_refused(self, direction: Direction) -> bool:
        with self._lock:
            return frozenset(direction) in self._refused

    def _accept(self, listener: socket.socket) -> None:
        direction, target, wait_s = self._listeners[listener]
        if self._is_held(direction) or self._is_held((direction[1], direction[0])):
            return  # held since this thread looked for who is ready
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            self._dial(Early(direction, sock, target, time.monotonic() + wait_s))

    def _dial(self, early: Early) -> None:
        """Go on to the target; if nobody listens there, the caller learns it as if from there."""
        direction, sock = early.direction, early.sock
        try:
            if self._is_refused(direction):
                raise ConnectionRefusedError
            onward = socket.create_connection(("127.0.0.1", early.target), timeout=1.0)
        except OSError:
            if time.monotonic() < early.deadline:
                self._early.append(early)
            else:
                reset(sock)
            return
        for one in (sock, onward):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = (direction[1], direction[0])
        pair = Pair((Half(direction, sock, onward), Half(back, onward, sock)))
        self._pairs.append(pair)
        for one in (sock, onward):
            self._selector.register(one, selectors.EVENT_READ, pair)

    def _move(self, pair: Pair, sock: socket.socket, events: int) -> None:
        """Receive what this socket has, send what it may be sent."""
        try:
            for half in pair.halves:
                if self._is_held(half.direction):
                    continue
                if half.source is sock and events & selectors.EVENT_READ and not half.is_ended:
                    data = sock.recv(PIPE_BYTES_MAX)
                    half.is_ended = not data
                    half.waiting += data
                self._send(half)
        except BlockingIOError:
            pass
        except OSError:
            pair.is_broken = True

    def _send(self, half: Half) -> None:
        with contextlib.suppress(BlockingIOError):
            while half.waiting:
                del half.waiting[: half.sink.send(half.waiting)]
        if half.is_ended and not half.waiting and not half.is_closed:
            half.is_closed = True
            half.sink.shutdown(socket.SHUT_WR)

    def _adjust(self) -> None:
        """What each socket waits for now; broken and finished connections go."""
        for listener, (direction, _, _) in self._listeners.items():
            # Who dials over a held link waits: both ways are needed for a connection.
            waits = self._is_held(direction) or self._is_held((direction[1], direction[0]))
            self._listen_for(listener, 0 if waits else selectors.EVENT_READ, None)
        for pair in list(self._pairs):
            first, second = pair.halves
            held = [half for half in pair.halves if self._is_held(half.direction)]
            if self._is_refused(first.direction) or (first.is_closed and second.is_closed):
                self._close(pair)
            elif pair.is_broken:
                if not held:
                    self._close(pair)
                else:
                    for half in pair.halves:
                        self._listen_for(half.source, 0, pair)
            else:
                for half, back in ((first, second), (second, first)):
                    events = 0
                    if half not in held and not half.is_ended:
                        if len(half.waiting) < PIPE_BYTES_MAX:
                            events |= selectors.EVENT_READ
                    if back not in held and back.waiting:
                        events |= selectors.EVENT_WRITE
                    self._listen_for(half.source, events, pair)

    def _listen_for(self, sock: socket.socket, events: int, data: Pair | None) -> None:
        known = self._selector.get_map().get(sock)
        if known is None:
            if events:
                self._selector.register(sock, events, data)
        elif not events:
            self._selector.unregister(sock)
        elif known.events != events:
            self._selector.modify(sock, events, data)

    def _close(self, pair: Pair) -> None:
        self._pairs.remove(pair)
        for half in pair.halves:
            self._listen_for(half.source, 0, None)
            reset(half.source)


def reset(sock: socket.socket) -> None:
    """Close at once, in the sight of the other end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
