"""A client of this server inside the server: a connection without a socket.

What it asks for takes the way of any client's request, so it works on a leader, a follower and an
observer, also under an Apache leader: it has a session, pings, and comes back with the same session
after an election. It has every right. It is driven by the server's tick, which is slow and enough:
for the audit's anchors, a few requests a minute.
"""

import logging
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, final

from librt.strings import BytesWriter

from ensemble.errors import ProtocolError
from ensemble.server.connection import CLOSED, NEW, OPEN, WAITING, Connection
from ensemble.server.pipeline import Pipeline
from ensemble.server.stats import ConnectionStats
from ensemble.tenancy.seat import Seat
from ensemble.tenancy.spec import ADMIN
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id
from ensemble.wire.requests import PASSWORD_BYTES, ConnectRequest, write_connect_request

log = logging.getLogger("ensemble.node")

CONNECTION_ID: Final = -1  # those of sockets are positive
TIMEOUT_MS: Final = 30_000  # of its session; the server's bounds apply
WAITING_MAX: Final = 16  # requests that are not answered yet
FRAME_BYTES_MAX: Final = 1 << 20
RETRY_MS: Final = 1_000
REQUEST: Final = struct.Struct(">ii")
LENGTH: Final = struct.Struct(">i")

Answer = Callable[[int, Reader], None]


@final
class InnerClient:
    """See above. `ask` while `is_open`; answers come from `on_tick`."""

    def __init__(self, pipeline: Pipeline, name: str, wall_ms: Callable[[], int]) -> None:
        self.pipeline: Final = pipeline
        self.wall_ms: Final = wall_ms
        self.seat: Final = Seat(None, None, ADMIN, name, is_operator=True)
        self.ids: Final = [Id("super", ""), Id("operator", name)]
        self.conn: Connection | None = None
        self.session_id = 0
        self.password = bytes(PASSWORD_BYTES)
        self.timeout_ms = TIMEOUT_MS
        self.last_zxid = 0
        self.xid = 0
        self.waiting: Final[deque[tuple[int, Answer]]] = deque()
        self.is_connecting = False
        self.next_try_ms = 0
        self.next_ping_ms = 0

    @property
    def is_open(self) -> bool:
        conn = self.conn
        return conn is not None and conn.state == OPEN and not self.is_connecting

    def on_tick(self, now_ms: int) -> None:
        """Take answers; connect, or ping, when it is time."""
        conn = self.conn
        if conn is not None:
            self.take_frames(conn)
            if self.conn is not None and conn.state not in (NEW, WAITING, OPEN):
                self.drop()  # cut: by an election, or the session has ended
        if self.conn is None:
            if self.pipeline.serving and not self.pipeline.read_only and now_ms >= self.next_try_ms:
                self.next_try_ms = now_ms + RETRY_MS
                self.connect(now_ms)
        elif self.is_open and now_ms >= self.next_ping_ms:
            self.next_ping_ms = now_ms + self.timeout_ms // 3
            self.send(REQUEST.pack(codes.XID_PING, codes.OP_PING))

    def ask(self, op: int, body: bytes, answer: Answer) -> bool:
        """Send a request; `answer` gets its error and body. False: not now."""
        if not self.is_open or len(self.waiting) >= WAITING_MAX:
            return False
        self.xid = self.xid % 0x7FFFFFFF + 1
        self.waiting.append((self.xid, answer))
        self.send(REQUEST.pack(self.xid, op) + body)
        return True

    def connect(self, now_ms: int) -> None:
        conn = Connection(
            CONNECTION_ID,
            "",
            0,
            True,
            self.ids,
            FRAME_BYTES_MAX,
            ConnectionStats(self.wall_ms()),
            self.pipeline.now_ms,
        )
        conn.seat = self.seat
        self.conn = conn
        self.is_connecting = True
        self.pipeline.add(conn)
        self.next_ping_ms = now_ms
        out = BytesWriter()
        request = ConnectRequest(
            0, self.last_zxid, TIMEOUT_MS, self.session_id, self.password, False
        )
        write_connect_request(out, request)
        self.send(out.getvalue())

    def send(self, payload: bytes) -> None:
        conn = self.conn
        assert conn is not None
        try:
            self.pipeline.on_frame(conn, payload, 0, len(payload))
        except ProtocolError as error:
            log.debug("the inner client was refused: %s", error)
            self.drop()

    def drop(self) -> None:
        """Let go of the connection; the session may go on with the next one."""
        conn = self.conn
        self.conn = None
        self.waiting.clear()
        if conn is not None and conn.state != CLOSED:
            self.pipeline.remove(conn)

    def take_frames(self, conn: Connection) -> None:
        raw = conn.out.getvalue()
        conn.out.truncate(0)
        at = 0
        while at + LENGTH.size <= len(raw) and self.conn is conn:
            size = LENGTH.unpack_from(raw, at)[0]
            at += LENGTH.size
            reader = Reader(raw, at, at + size)
            at += size
            if self.is_connecting:
                self.take_session(reader)
            else:
                self.take_reply(reader)

    def take_session(self, reader: Reader) -> None:
        """The answer to the ConnectRequest; id 0: the session is over, begin another."""
        self.is_connecting = False
        reader.read_int()
        self.timeout_ms = int(reader.read_int()) or TIMEOUT_MS
        self.session_id = int(reader.read_long())
        self.password = reader.read_buffer() or bytes(PASSWORD_BYTES)
        if self.session_id == 0:
            self.password = bytes(PASSWORD_BYTES)
            self.drop()

    def take_reply(self, reader: Reader) -> None:
        xid = int(reader.read_int())
        zxid = int(reader.read_long())
        error = int(reader.read_int())
        if zxid > 0:
            self.last_zxid = max(self.last_zxid, zxid)
        if xid == codes.XID_PING:
            return
        if not self.waiting or self.waiting[0][0] != xid:
            log.error("the inner client got reply %d, not the one that it waits for", xid)
            self.drop()
            return
        self.waiting.popleft()[1](error, reader)
