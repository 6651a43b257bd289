"""The connections of a server: who is there, who is to be flushed, whose turn to be read.

The first of three layers of one object: `ConnectionTable`, `SessionDesk`, then `Pipeline`.
No sockets and no clock: the port calls in, and flushes the connections in `dirty` at the end of a
turn.
"""

from typing import Final

from mypy_extensions import i64

from ensemble.server.answers import Answers
from ensemble.server.connection import (
    CLOSED,
    DRAINING,
    NEW,
    OPEN,
    SYNCING,
    Connection,
    Pending,
)
from ensemble.server.contracts import (
    Audit,
    Authority,
    Bindings,
    Door,
    Feed,
    Gate,
    Journal,
    LocalSessions,
    NoLocalSessions,
    SessionRules,
    Throttle,
)
from ensemble.server.operations import is_write
from ensemble.server.stats import ServerStats
from ensemble.tree.acl import AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.sessions import SessionTracker
from ensemble.tree.watches import WatchTable
from ensemble.wire.jute import Reader

OUT_BYTES_SOFT: Final = (
    1 << 20
)  # beyond it a connection's next request waits for the client to read
COMMITS_AVERAGED: Final = 8
PENDING_MAX: Final = 16_384  # unanswered requests of one connection before reading from it stops


class ConnectionTable:
    """Every connection, and what all parts of the pipeline share. `now_ms` is set at each turn."""

    __slots__ = (
        "answers",
        "asked",
        "audit",
        "authority",
        "bindings",
        "commit_us",
        "connections",
        "dirty",
        "door",
        "enforced",
        "epoch_zxid",
        "feed",
        "gate",
        "journal",
        "large",
        "large_bytes",
        "large_bytes_max",
        "large_threshold",
        "locals",
        "now_ms",
        "now_us",
        "outstanding",
        "read_only",
        "rules",
        "schemes",
        "serving",
        "session_connections",
        "stats",
        "throttle",
        "tracker",
        "tree",
        "watches",
    )

    def __init__(
        self,
        tree: DataTree,
        schemes: AclSchemes,
        tracker: SessionTracker,
        watches: WatchTable,
        answers: Answers,
        authority: Authority,
        door: Door,
        enforced: bool,
        rules: SessionRules,
        stats: ServerStats,
    ) -> None:
        self.tree = tree
        self.schemes: Final = schemes
        self.tracker: Final = tracker
        self.watches: Final = watches
        self.answers: Final = answers
        self.authority: Final = authority
        self.door: Final = door
        self.enforced: Final = enforced
        self.rules: Final = rules
        self.stats: Final = stats
        self.connections: Final[dict[int, Connection]] = {}
        self.session_connections: Final[dict[int, Connection]] = {}
        self.dirty: list[Connection] = []
        self.outstanding: i64 = 0  # requests of clients that are not answered yet
        self.now_ms: i64 = 0
        self.now_us: i64 = 0  # monotonic, for latencies; it does not stand still in pauses
        # How long a write takes, on average; kept while several flows have work
        self.commit_us: i64 = 0
        self.gate: Gate | None = None
        self.bindings: Bindings | None = None
        self.audit: Audit | None = None
        self.feed: Feed | None = None
        self.asked: Reader | None = None  # the request that is looked at, as the client wrote it
        self.journal: Journal | None = None
        self.throttle: Throttle | None = None
        self.locals: LocalSessions = NoLocalSessions()
        # Requests above the threshold, in bytes: those that await their commit, by zxid.
        self.large_threshold: i64 = -1
        self.large_bytes_max: i64 = 0
        self.large_bytes: i64 = 0
        self.large: Final[dict[int, int]] = {}
        self.serving = True  # False: a member of an ensemble that has no leader
        self.read_only = False  # no leader either, but clients may read what this server has
        self.epoch_zxid: i64 = 0  # where the leader's epoch begins: nobody can have seen less

    # Connections come and go

    def add(self, conn: Connection) -> None:
        self.connections[conn.id] = conn

    def remove(self, conn: Connection) -> None:
        """The connection is gone. Its session lives on until it expires."""
        if conn.state == CLOSED:
            return
        conn.state = CLOSED
        self.forget_pending(conn)
        del self.connections[conn.id]
        self.watches.drop_connection(conn.id)
        session = conn.session
        if session is not None and session.connection_id == conn.id:
            session.connection_id = 0
            self.session_connections.pop(conn.session_id, None)
        if self.gate is not None:
            self.gate.on_removed(conn)

    def forget_pending(self, conn: Connection) -> None:
        """Nobody will be answered on this connection any more."""
        if self.audit is not None:
            self.audit.on_left(conn)
        self.outstanding -= conn.pending.count
        conn.pending.clear()

    def touch_dirty(self, conn: Connection) -> None:
        """Have the port flush this connection at the end of the turn."""
        if not conn.dirty:
            conn.dirty = True
            self.dirty.append(conn)

    def drain(self, conn: Connection, reason: str) -> None:
        """Let what is queued go out, then close. No further request is looked at."""
        if conn.state != CLOSED:
            conn.state = DRAINING
            conn.close_reason = reason
            self.touch_dirty(conn)

    def cut(self, conn: Connection, reason: str) -> None:
        """Close at once, without a reply to what is pending."""
        conn.out.truncate(0)
        conn.is_refused = False
        self.forget_pending(conn)
        self.drain(conn, reason)

    def may_read(self, conn: Connection) -> bool:
        """Whether the next request of this connection may be looked at now (back-pressure).

        Behind a sync nothing is: its answer takes a round trip to a quorum, and a write that is
        committed meanwhile would have to wait for its reply with a zxid of the past. Nor behind a
        credential whose binding is being written: it decides what all that follows means.
        """
        last = conn.pending.last
        if last is not None and (last.zxid == SYNCING or conn.wanted is not None):
            return False
        return (
            (conn.state == OPEN or conn.state == NEW)
            and conn.pending.count < PENDING_MAX
            and conn.backlog_bytes() < OUT_BYTES_SOFT
        )

    def sent(
        self, conn: Connection, op: i64, error: i64, size: i64, pending: Pending | None = None
    ) -> None:
        """Count a reply of `size` bytes; `pending` where the request had to wait for it."""
        latency_ms: i64 = 0
        if pending is not None:
            latency_ms = (self.now_us - pending.arrived_us) // 1_000
            if pending.cost > 0 and pending.zxid > 0 and pending.taken_us > 0:
                took_us = self.now_us - pending.taken_us
                self.commit_us += (took_us - self.commit_us) // COMMITS_AVERAGED
        conn.stats.on_reply(self.tree.last_zxid, self.now_ms, latency_ms)
        if is_write(op):
            self.stats.on_update(latency_ms)
        else:
            self.stats.on_read(latency_ms)
        tenant = conn.seat.tenant if pending is None else pending.seat.tenant
        if tenant is not None and tenant.rates.is_limited:
            tenant.rates.sent(size)
        if self.gate is not None:
            self.gate.on_sent(conn, pending, op, error, size)
