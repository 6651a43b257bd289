"""Sessions at the pipeline: ConnectRequests, clients that come back, expiry, what a commit opens.

Source: client.md sections 3 and 15. The second layer of the pipeline (see `connections`).
"""

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.server.connection import CLOSED, DRAINING, OPEN, WAITING, Connection
from ensemble.server.connections import ConnectionTable
from ensemble.tree.prepare import WriteRequest
from ensemble.tree.sessions import Session
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader, write_int
from ensemble.wire.replies import (
    NO_PASSWORD,
    ConnectResponse,
    write_connect_response,
    write_header_only,
)
from ensemble.wire.requests import ConnectRequest, read_connect_request
from ensemble.wire.txns import TxnHeader


class SessionDesk(ConnectionTable):
    """Binds connections to sessions."""

    __slots__ = ()

    def on_connect(self, conn: Connection, reader: Reader) -> None:
        """A ConnectRequest: decided in the order of client.md 3.3, the password before the cut."""
        try:
            request = read_connect_request(reader)
        except MarshallingError as error:
            raise ProtocolError(f"a ConnectRequest that cannot be decoded: {error}") from None
        self.stats.received += 1
        if not self.serving:
            raise ProtocolError("no clients are served: no leader, or leaderServes=no")
        conn.stats.on_connect()
        conn.read_only_byte = request.read_only is not None
        if self.throttle is not None:
            admitted = self.throttle.admits(int(self.now_ms))
            self.stats.token_deficit.record(self.throttle.deficit())
            if not admitted:
                self.stats.connections_rejected += 1
                raise ProtocolError("too many new sessions: connection_throttle_tokens")
        if self.read_only and not request.read_only:
            raise ProtocolError("this server is read-only, and the client wants to write")
        if request.last_zxid_seen > max(self.tree.last_zxid, self.epoch_zxid):
            raise ProtocolError(
                f"the client has seen zxid {request.last_zxid_seen:#x}, "
                f"this server's last is {self.tree.last_zxid:#x}"
            )
        rules = self.rules
        timeout_ms = request.timeout_ms
        if timeout_ms < rules.timeout_min_ms:
            timeout_ms = rules.timeout_min_ms
        if timeout_ms > rules.timeout_max_ms:
            timeout_ms = rules.timeout_max_ms
        conn.connect_timeout_ms = timeout_ms
        if request.session_id != 0:
            self.reattach(conn, request, timeout_ms)
            return
        if self.locals.open(conn, timeout_ms):
            return
        session_id = rules.take_id()
        conn.session_id = session_id
        conn.state = WAITING
        body = BytesWriter()
        write_int(body, timeout_ms)
        raw = body.getvalue()
        self.authority.submit(
            WriteRequest(session_id, 0, codes.OP_CREATE_SESSION, Reader(raw, 0, len(raw)), conn.ids)
        )
        self.session_connections[session_id] = conn

    def reattach(self, conn: Connection, request: ConnectRequest, timeout_ms: i64) -> None:
        session_id = request.session_id
        self.stats.reattachments += 1
        if not self.door.password_matches(session_id, request.password):
            if self.audit is not None:
                self.audit.on_reattach_refused(conn, session_id)
            self.refuse_session(conn, "a wrong session password")
        elif self.locals.reattach(conn, session_id, timeout_ms):
            pass
        elif self.authority.revalidate(conn, session_id, timeout_ms):
            session = self.tracker.get(session_id)
            valid = session is not None and not session.closing
            self.on_revalidated(conn, session_id, timeout_ms, valid)
        else:
            conn.state = WAITING

    def on_revalidated(
        self, conn: Connection, session_id: i64, timeout_ms: i64, valid: bool
    ) -> None:
        """It is known whether the session that a connection asked for is alive."""
        if conn.state == CLOSED or conn.state == DRAINING:
            return
        if not valid:
            self.refuse_session(conn, "an expired session")
            return
        self.cut_older(session_id)
        # A learner may hear of the session from its client before the leader's stream tells it.
        session = self.tracker.get(session_id)
        if session is None or not session.closing:
            self.open(conn, self.tracker.add(session_id, timeout_ms, self.now_ms))
        else:
            self.refuse_session(conn, "a closing session")

    def cut_older(self, session_id: i64) -> None:
        """A session has one connection, the last one."""
        old = self.session_connections.get(session_id)
        if old is not None:
            self.cut(old, "its session moved to another connection")

    def refuse_session(self, conn: Connection, reason: str) -> None:
        """Say that the session is over: session id 0."""
        self.write_connect_response(conn, 0, 0, NO_PASSWORD)
        self.drain(conn, reason)

    def open(self, conn: Connection, session: Session) -> None:
        """The session is valid: it has a connection, and is told so unless it has to wait."""
        session_id = session.id
        conn.session = session
        conn.session_id = session_id
        session.connection_id = conn.id
        self.session_connections[session_id] = conn
        if self.bindings is None or not self.bindings.begin(conn, session):
            self.welcome(conn, session)

    def welcome(self, conn: Connection, session: Session) -> None:
        """Tell a client that its session is valid; it may ask from now on."""
        session_id = session.id
        timeout_ms = session.timeout_ms
        conn.state = OPEN
        conn.stats.on_session(session_id, timeout_ms)
        if self.gate is not None:
            self.gate.on_opened(conn)
        password = self.door.new_password(session_id)
        self.write_connect_response(conn, timeout_ms, session_id, password)

    def write_connect_response(
        self, conn: Connection, timeout_ms: i64, session_id: i64, password: bytes
    ) -> None:
        read_only = self.read_only if conn.read_only_byte else None
        response = ConnectResponse(timeout_ms, session_id, password, read_only)
        write_connect_response(conn.out, response)
        self.stats.sent += 1
        self.touch_dirty(conn)

    def expire_sessions(self) -> int:
        """Have every session closed whose time is over; how many."""
        expired = self.tracker.expire(self.now_ms)
        for session_id in expired:
            self.close_session(session_id)
        return len(expired)

    def close_session(self, session_id: i64) -> None:
        """Ask for a closeSession on the server's own account."""
        self.authority.submit(
            WriteRequest(session_id, 0, codes.OP_CLOSE_SESSION, Reader(b"", 0, 0), [])
        )

    def close_orphans(self) -> int:
        """Of sessions that are gone nothing stays; how many had left something."""
        orphans = [owner for owner in self.tree.ephemerals if owner not in self.tree.sessions]
        for owner in orphans:
            self.close_session(owner)
        return len(orphans)

    # Commits of sessions

    def session_created(self, header: TxnHeader) -> None:
        session_id = header.session_id
        timeout_ms = i64(self.tree.sessions[session_id])
        session = self.tracker.add(session_id, timeout_ms, self.now_ms)
        self.locals.on_session_created(session_id)
        conn = self.session_connections.get(session_id)
        if conn is not None and conn.state == WAITING:
            if self.audit is not None:
                self.audit.on_session_opened(conn, header)
            self.open(conn, session)

    def session_closed(self, conn: Connection | None, header: TxnHeader) -> None:
        if conn is None:
            return
        if conn.pending.first_zxid() == header.zxid:
            pending = conn.pending.pop()
            self.outstanding -= 1
            begin = len(conn.out)
            write_header_only(conn.out, pending.xid, header.zxid, 0)
            self.sent(conn, pending.op, 0, len(conn.out) - begin, pending)
            self.drain(conn, "")
        else:
            self.cut(conn, "its session expired")
        self.session_connections.pop(header.session_id, None)
