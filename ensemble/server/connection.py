"""One client connection as the pipeline sees it: no socket, only bytes in, bytes out and state."""

from typing import Final, final

from librt.strings import BytesWriter
from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from ensemble.server.stats import ConnectionStats
from ensemble.tenancy.fairness import Flow
from ensemble.tenancy.identity import Grant
from ensemble.tenancy.seat import OUTSIDE, Seat
from ensemble.tree.sessions import Session
from ensemble.wire.framing import FrameBuffer
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id

# Where a connection is in its life
NEW: Final = 0  # a ConnectRequest, or a four-letter word, is awaited
WAITING: Final = 1  # the session is being created; nothing is read until its answer is queued
OPEN: Final = 2
DRAINING: Final = 3  # what is queued still goes out, then the connection closes; input is ignored
CLOSED: Final = 4

RECENT: Final = 8  # operations of a connection that are remembered; a power of two
TIME_MASK: Final = (1 << 39) - 1  # of milliseconds: 17 years, as they leave room in 64 bits

# What a pending request waits for, where it is no zxid
FORWARDED: Final = 1 << 62  # the leader's transaction for it
SYNCING: Final = (1 << 62) + 1  # the leader's word that this server has caught up


@final
@mypyc_attr(acyclic=True)
class Pending:
    """A request of a connection that is not answered yet, in its place among the others.

    One of three: a write that awaits its commit (`zxid` > 0, FORWARDED until it is known), a
    finished reply that may not overtake the ones before it (`reply`), or a read that waits for the
    writes before it, or for a sync (`reader`). A write's `reader` is its body, to tell of it if it
    is slow. `arrived_us`: its last byte was received; `taken_us`: the pipeline looked at it.
    """

    __slots__ = (
        "arrived_us",
        "body_at",
        "cost",
        "flow",
        "ids",
        "next",
        "op",
        "reader",
        "reply",
        "seat",
        "taken_us",
        "xid",
        "zxid",
    )

    def __init__(
        self,
        xid: i64,
        op: i64,
        zxid: i64,
        reply: bytes | None,
        reader: Reader | None,
        ids: list[Id],
        seat: Seat,
        arrived_us: i64,
        taken_us: i64 = 0,
    ) -> None:
        self.xid: Final = xid
        self.op: Final = op
        self.zxid: i64 = zxid
        self.reply: Final = reply
        self.reader: Final = reader
        self.ids: Final = ids
        self.seat: Final = seat
        self.arrived_us: Final = arrived_us
        self.taken_us: Final = taken_us
        at: i64 = 0
        if reader is not None:  # in one expression it would be boxed
            at = reader.at
        self.body_at: Final = at
        self.next: Pending | None = None
        self.flow: Flow | None = None  # whose `ahead` it counts in, with `cost`
        self.cost: i64 = 0


@final
class PendingQueue:
    """The unanswered requests of a connection, oldest first: a linked list, as it is cheapest."""

    __slots__ = ("count", "first", "last")

    def __init__(self) -> None:
        self.count: i64 = 0
        self.first: Pending | None = None
        self.last: Pending | None = None

    def first_zxid(self) -> i64:
        """The zxid that the oldest one waits for, 0 if for none; -1 where there is none."""
        first = self.first
        return -1 if first is None else first.zxid

    def append(self, pending: Pending) -> None:
        last = self.last
        if last is None:
            self.first = pending
        else:
            last.next = pending
        self.last = pending
        self.count += 1

    def pop(self) -> Pending:
        """Take the oldest one out; there must be one."""
        first = self.first
        assert first is not None
        self.first = first.next
        if self.first is None:
            self.last = None
        first.next = None
        self.count -= 1
        flow = first.flow
        if flow is not None:
            flow.ahead -= first.cost
            first.flow = None
        return first

    def clear(self) -> None:
        """Drop all, one by one: a long chain must not be freed by recursion."""
        while self.count > 0:
            self.pop()


@final
class Connection:
    """State of one client connection.

    `ids` is replaced, never changed, when an identity is added: requests that were read earlier
    keep the list they came with. `grant`: the credential of a tenant or operator that it has
    proved; `wanted`: one that has been proved and is not in force yet. `dirty` is true while the
    connection stands in the list of those to flush.
    """

    __slots__ = (
        "actor",
        "actor_ids",
        "actor_seat",
        "close_reason",
        "connect_timeout_ms",
        "connected_ms",
        "dirty",
        "frames",
        "grant",
        "id",
        "ids",
        "is_refused",
        "out",
        "peer_host",
        "peer_port",
        "pending",
        "read_only_byte",
        "recent",
        "recent_at",
        "sasl",
        "seat",
        "secure",
        "session",
        "session_id",
        "state",
        "stats",
        "unsent_bytes",
        "wanted",
    )

    def __init__(
        self,
        id: i64,
        peer_host: str,
        peer_port: int,
        secure: bool,
        ids: list[Id],
        frame_bytes_max: int,
        stats: ConnectionStats,
        now_ms: i64,
    ) -> None:
        self.id: Final = id
        self.peer_host: Final = peer_host
        self.peer_port: Final = peer_port
        self.secure = secure  # on a port for both, known with its first byte
        self.frames: Final = FrameBuffer(frame_bytes_max)
        self.out: Final = BytesWriter()
        self.pending: Final = PendingQueue()
        self.stats: Final = stats
        self.connected_ms: Final = now_ms
        self.ids: list[Id] = ids
        self.seat: Seat = OUTSIDE
        self.grant: Grant | None = None
        self.wanted: Grant | None = None
        self.state: i64 = NEW
        self.session: Session | None = None
        self.session_id: i64 = 0
        self.connect_timeout_ms: i64 = 0
        self.read_only_byte = True
        self.dirty = False
        self.unsent_bytes: i64 = 0  # what the kernel did not take yet
        self.close_reason = ""
        self.is_refused = False  # and the last reply says so: it is to arrive
        self.recent = vec[i64]()  # the last operations, packed; see `remember`
        self.recent_at: i64 = 0
        # Who asks, as the audit journal has it, and of whom that was made.
        self.actor = b""
        self.actor_ids: list[Id] | None = None
        self.actor_seat: Seat | None = None
        self.sasl: object | None = None  # the server's half of a SASL exchange, while one runs

    def remember(self, op: i64, error: i64, now_ms: i64) -> None:
        """Keep the last RECENT operations: the time, the opcode, the error."""
        if len(self.recent) == 0:
            self.recent = vec[i64]([0] * RECENT)
        self.recent[self.recent_at & (RECENT - 1)] = (
            (now_ms & TIME_MASK) << 24 | (op & 0xFF) << 16 | error & 0xFFFF
        )
        self.recent_at += 1

    def last_operations(self) -> list[tuple[int, int, int]]:
        """(time in ms, opcode, error), the last one first."""
        recent = self.recent
        found: list[tuple[int, int, int]] = []
        for back in range(1, min(int(self.recent_at), RECENT) + 1):
            packed = int(recent[(self.recent_at - back) & (RECENT - 1)])
            op = (packed >> 16) & 0xFF
            error = packed & 0xFFFF
            found.append(
                (packed >> 24, op - 256 if op >= 128 else op, error - 65_536 if error else 0)
            )
        return found

    def backlog_bytes(self) -> i64:
        """Bytes that wait for the client to read them."""
        return self.unsent_bytes + len(self.out)
