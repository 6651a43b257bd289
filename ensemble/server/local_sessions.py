"""Sessions that one server keeps for itself: local ones, and all of a server that is read-only.

Source: zab.md 6.6, client.md 15 and 16. No transaction opens or closes them, no other server knows
them, and they own no ephemerals. Where localSessionsUpgradingEnabled is set, the first request for
an ephemeral makes such a session everybody's: a createSession goes ahead of it, on the same path,
so the order of the two is the leader's to keep and neither can be there without the other.

From the moment its createSession is on its way a session counts as global here: its close, its
expiry and its further requests are the ensemble's. So nothing of it can be lost or left behind
between the two lives (ZOOKEEPER-1496, 3471; trust.md C1).
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.server.connection import WAITING, Connection
from ensemble.server.contracts import LocalSessions
from ensemble.server.operations import is_write
from ensemble.server.pipeline import Pipeline
from ensemble.tree.prepare import WriteRequest
from ensemble.tree.sessions import Session, SessionTracker
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader, reader_of, write_int
from ensemble.wire.requests import CreateRequest, read_create, read_multi

LOCAL_SESSIONS_MAX: Final = 1_000_000  # of one server


@final
class LocalTable(LocalSessions):
    """One server's local sessions.

    Invariants:
      - a session is in `tracker` or in the pipeline's, never in both, and `is_local` says which;
      - `upgrading` holds those whose createSession is on its way and not applied yet.
    """

    __slots__ = ("enabled", "passing", "pipeline", "tracker", "upgrades", "upgrading")

    def __init__(self, pipeline: Pipeline, tick_ms: i64, enabled: bool, upgrades: bool) -> None:
        self.pipeline: Final = pipeline
        self.enabled: Final = enabled
        self.upgrades: Final = enabled and upgrades
        self.tracker: Final = SessionTracker(tick_ms)
        self.upgrading: Final[set[int]] = set()
        self.passing: Final[set[int]] = set()  # opened while read-only: they end with it

    # Sessions come and go

    def open(self, conn: Connection, timeout_ms: i64) -> bool:
        pipeline = self.pipeline
        if not self.enabled and not pipeline.read_only:
            return False
        if len(self.tracker) >= LOCAL_SESSIONS_MAX:
            raise ProtocolError(f"{LOCAL_SESSIONS_MAX} local sessions, that is the limit")
        session_id = pipeline.rules.take_id()
        if pipeline.read_only:
            self.passing.add(int(session_id))
        pipeline.open(conn, self.track(session_id, timeout_ms))
        return True

    def track(self, session_id: i64, timeout_ms: i64) -> Session:
        session = self.tracker.add(session_id, timeout_ms, self.pipeline.now_ms)
        session.is_local = True
        return session

    def is_local(self, session_id: i64) -> bool:
        return self.tracker.get(int(session_id)) is not None

    def reattach(self, conn: Connection, session_id: i64, timeout_ms: i64) -> bool:
        pipeline = self.pipeline
        if self.is_local(session_id):
            pipeline.cut_older(session_id)
            pipeline.open(conn, self.track(session_id, timeout_ms))
            return True
        if int(session_id) in self.upgrading:
            # Its createSession opens it, when it is applied, for the connection that waits.
            pipeline.cut_older(session_id)
            session = pipeline.tracker.get(int(session_id))
            assert session is not None
            session.connection_id = conn.id
            conn.session_id = session_id
            conn.state = WAITING
            pipeline.session_connections[int(session_id)] = conn
            return True
        if pipeline.read_only:
            # It may live well on the other side of a partition: nobody may say that it has expired.
            raise ProtocolError("a session of the ensemble, of which this server knows nothing now")
        return False

    def expire(self) -> int:
        """End every session whose time is over; how many."""
        pipeline = self.pipeline
        expired = self.tracker.expire(pipeline.now_ms)
        for session_id in expired:
            self.forget(session_id)
            conn = pipeline.session_connections.pop(session_id, None)
            if conn is not None:
                pipeline.cut(conn, "its session expired")
        return len(expired)

    def end(self, session_id: i64) -> bool:
        if not self.is_local(session_id):
            return False
        self.forget(int(session_id))
        return True

    def forget(self, session_id: int) -> None:
        self.tracker.remove(session_id)
        self.passing.discard(session_id)

    # Requests

    def take(self, conn: Connection, session: Session, xid: i64, op: i64, reader: Reader) -> bool:
        pipeline = self.pipeline
        self.tracker.touch(session, pipeline.now_ms)
        if op == codes.OP_CLOSE_SESSION:
            # What is unanswered comes first, with the events that belong before it. `session`
            # stays with the connection and is closing: nothing more of it is looked at.
            self.tracker.set_closing(session)
            self.forget(session.id)
            pipeline.outstanding += 1
            conn.pending.append(pipeline.pending_of(conn, xid, op, 0, None, None))
            pipeline.go_on(conn)
            pipeline.touch_dirty(conn)
            return True
        if pipeline.read_only:
            if is_write(op) or op == codes.OP_SYNC:
                pipeline.refuse(conn, xid, op, pipeline.tree.last_zxid, codes.NOT_READ_ONLY)
                return True
        elif self.upgrades and creates_ephemeral(op, reader):
            self.upgrade(conn, session)
        return False

    def upgrade(self, conn: Connection, session: Session) -> None:
        """Make a session everybody's; the caller's next request follows its createSession."""
        pipeline = self.pipeline
        self.tracker.remove(session.id)
        upgraded = pipeline.tracker.add(session.id, session.timeout_ms, pipeline.now_ms)
        upgraded.connection_id = conn.id
        upgraded.slug = session.slug
        conn.session = upgraded
        self.upgrading.add(int(session.id))
        body = BytesWriter()
        write_int(body, int(session.timeout_ms))
        pipeline.authority.submit(
            WriteRequest(
                session.id, 0, codes.OP_CREATE_SESSION, reader_of(body.getvalue()), conn.ids
            )
        )
        if pipeline.bindings is not None:
            pipeline.bindings.on_upgraded(conn, upgraded)

    def on_session_created(self, session_id: i64) -> None:
        self.upgrading.discard(int(session_id))

    def error_of(self, session_id: i64, error: i64) -> i64:
        """What a client hears of an error transaction.

        Apache's leader calls the session of an ephemeral that it does not know expired; the server
        that does know it says what is wrong.
        """
        if error == codes.SESSION_EXPIRED:
            conn = self.pipeline.session_connections.get(int(session_id))
            session = None if conn is None else conn.session
            if conn is not None and session is not None and session.is_local:
                first = conn.pending.first
                if first is not None and first.op in (codes.OP_CREATE, codes.OP_CREATE2):
                    return codes.EPHEMERAL_ON_LOCAL_SESSION
        return error

    # Serving

    def on_serving(self) -> None:
        """Local sessions have outlived the search for a leader; each has a full timeout again."""
        now_ms = self.pipeline.now_ms
        for session in list(self.tracker.sessions.values()):
            self.tracker.touch(session, now_ms)

    def on_serving_stopped(self) -> None:
        self.upgrading.clear()
        for session_id in list(self.passing):
            self.forget(session_id)

    def begin_read_only(self) -> None:
        """There is no leader: clients that want no more may read the tree as it is known here.

        Nothing here changes the tree, and nothing is logged (ZOOKEEPER-3526).
        """
        pipeline = self.pipeline
        assert not pipeline.serving
        pipeline.serving = True
        pipeline.read_only = True
        self.on_serving()
        if pipeline.gate is not None:
            pipeline.gate.on_serving()


def creates_ephemeral(op: i64, reader: Reader) -> bool:
    """Whether a request asks for an ephemeral. What cannot be decoded does not: it fails later."""
    body = Reader(reader.buf, reader.at, reader.end)
    try:
        if op == codes.OP_CREATE or op == codes.OP_CREATE2:
            return is_ephemeral(op, read_create(body, op))
        if op == codes.OP_MULTI:
            for item in read_multi(body):
                request = item.request
                if isinstance(request, CreateRequest) and is_ephemeral(item.op, request):
                    return True
    except MarshallingError:
        return False
    return False


def is_ephemeral(op: i64, request: CreateRequest) -> bool:
    return (op == codes.OP_CREATE or op == codes.OP_CREATE2) and (
        request.flags == codes.CREATE_EPHEMERAL
        or request.flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
    )
