"""The last requests that took long: who asked for what, and where the time went.

Called for slow requests only. Values are never looked at, a path is the first one of the request.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from ensemble.server.connection import Connection, Pending
from ensemble.tenancy.seat import Seat
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.requests import HEADER_BYTES

PATH_BYTES_MAX: Final = 1_024  # of a path as it is kept
MULTI_HEADER_BYTES: Final = 9  # opcode, done, error
TURN: Final = -1_000  # instead of an opcode: a whole turn of the server took long

WITH_PATH: Final = frozenset(
    (
        *(codes.OP_CREATE, codes.OP_CREATE2, codes.OP_CREATE_CONTAINER, codes.OP_CREATE_TTL),
        *(codes.OP_DELETE, codes.OP_SET_DATA, codes.OP_SET_ACL, codes.OP_GET_ACL, codes.OP_SYNC),
        *(codes.OP_EXISTS, codes.OP_GET_DATA, codes.OP_GET_CHILDREN, codes.OP_GET_CHILDREN2),
        *(codes.OP_CHECK_WATCHES, codes.OP_REMOVE_WATCHES, codes.OP_ADD_WATCH),
        *(codes.OP_GET_EPHEMERALS, codes.OP_GET_ALL_CHILDREN_NUMBER),
    )
)


@final
class SlowRequest:
    """One of them. Times are monotonic microseconds; `number` counts all that there ever were.

    Received at `arrived_us`, taken up at `taken_us`, its result there at `ready_us`, sent at
    `sent_us`, 0 while the turn runs.
    """

    __slots__ = (
        "arrived_us",
        "error",
        "number",
        "op",
        "path",
        "peer_host",
        "peer_port",
        "principal",
        "ready_us",
        "sent_us",
        "session_id",
        "size",
        "slug",
        "taken_us",
        "zxid",
    )

    def __init__(self, number: int, op: int, arrived_us: int, taken_us: int, ready_us: int) -> None:
        self.number: Final = number
        self.op: Final = op
        self.arrived_us: Final = arrived_us
        self.taken_us: Final = taken_us
        self.ready_us: Final = ready_us
        self.sent_us = 0
        self.error = 0
        self.size = 0
        self.zxid = 0
        self.path = b""
        self.slug = ""
        self.principal = ""
        self.session_id = 0
        self.peer_host = ""
        self.peer_port = 0

    def total_us(self) -> int:
        return (self.sent_us or self.ready_us) - self.arrived_us


@final
class SlowLog:
    """A ring of the last `entries_max` requests that took `threshold_us` or more."""

    def __init__(self, threshold_us: int, entries_max: int) -> None:
        self.threshold_us: Final = threshold_us
        self.entries_max: Final = entries_max
        self.ring: Final[deque[SlowRequest]] = deque(maxlen=entries_max)
        self.total = 0
        self.unsent: Final[deque[SlowRequest]] = deque(maxlen=entries_max)  # of this turn

    def note(
        self,
        conn: Connection,
        pending: Pending | None,
        op: i64,
        error: i64,
        size: i64,
        now_us: i64,
    ) -> None:
        """A slow request has its reply."""
        seat = conn.seat
        path = b""
        zxid: i64 = 0
        arrived_us = conn.frames.arrived_us
        taken_us = now_us
        if pending is not None:
            seat = pending.seat
            arrived_us = pending.arrived_us
            taken_us = pending.taken_us
            if is_write_zxid(pending.zxid):
                zxid = pending.zxid
            if pending.reader is not None:
                body = Reader(pending.reader.buf, pending.body_at, pending.reader.end)
                path = first_path(body, op)
        else:
            frames = conn.frames
            path = first_path(Reader(frames.buf, frames.start + HEADER_BYTES, frames.end), op)
            path = in_tree(seat, path)
        self.total += 1
        entry = SlowRequest(self.total, int(op), int(arrived_us), int(taken_us), int(now_us))
        entry.error = int(error)
        entry.size = int(size)
        entry.zxid = int(zxid)
        entry.path = path
        entry.slug = "" if seat.tenant is None else seat.tenant.spec.slug
        entry.principal = seat.principal
        entry.session_id = int(conn.session_id)
        entry.peer_host = conn.peer_host
        entry.peer_port = conn.peer_port
        self.ring.append(entry)
        self.unsent.append(entry)

    def end_turn(self, turn_us: i64, now_us: i64, units: i64) -> None:
        """A turn is over; it may have been slow itself."""
        while self.unsent:
            self.unsent.pop().sent_us = int(now_us)
        if 0 < self.threshold_us <= now_us - turn_us:
            self.total += 1
            entry = SlowRequest(self.total, TURN, int(turn_us), int(turn_us), int(now_us))
            entry.size = int(units)
            entry.sent_us = int(now_us)
            self.ring.append(entry)


def is_write_zxid(zxid: i64) -> bool:
    """Whether a pending request's zxid is one: not a mark of what it waits for."""
    return 0 < zxid < 1 << 62


def first_path(body: Reader, op: i64) -> bytes:
    """The path that a request names, the first one of a multi; empty where it names none."""
    try:
        if op == codes.OP_MULTI or op == codes.OP_MULTI_READ:
            body.at += MULTI_HEADER_BYTES
        elif op not in WITH_PATH:
            return b""
        path = body.read_buffer()
    except MarshallingError:
        return b""
    return b"" if path is None else path[:PATH_BYTES_MAX]


def in_tree(seat: Seat, path: bytes) -> bytes:
    """A path as a client said it, as it is in the tree."""
    return path if seat.view is None else seat.view.inward_text(path)
