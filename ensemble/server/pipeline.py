"""From a frame to its reply: order within a connection, sessions, watch delivery.

Source: client.md sections 3, 13, 14, 15. The rules of order, all in this file:

- Requests of one connection are answered in the order in which they came, errors, auth and SASL
  included. A write is prepared when it arrives; its reply waits for its commit.
- A read waits for the connection's own earlier writes and for nothing else.
- An identity counts from its auth packet on: requests keep the ids that they arrived with.
- A watch event enters a connection's buffer when its transaction is applied, thus before any reply
  that could show the change.

No sockets and no clock: the port calls in, and flushes the connections in `dirty` at the end of a
turn.
"""

from typing import Final, final

from librt.strings import BytesWriter, read_i32_be
from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.server.answers import Answers
from ensemble.server.connection import (
    CLOSED,
    DRAINING,
    FORWARDED,
    NEW,
    OPEN,
    SYNCING,
    WAITING,
    Connection,
    Pending,
)
from ensemble.server.contracts import (
    Authority,
    Door,
    Journal,
    LocalSessions,
    NoLocalSessions,
    SessionRules,
    Throttle,
)
from ensemble.server.operations import is_read, is_write
from ensemble.server.stats import ServerStats
from ensemble.server.write_replies import write_write_reply
from ensemble.tree.acl import AclList, AclSchemes
from ensemble.tree.apply import Applied
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import WriteRequest
from ensemble.tree.sessions import Session, SessionTracker
from ensemble.tree.watches import WatchTable
from ensemble.wire import codes
from ensemble.wire.framing import end_frame
from ensemble.wire.jute import MarshallingError, Reader, write_buffer, write_int
from ensemble.wire.replies import (
    NO_PASSWORD,
    ConnectResponse,
    begin_reply,
    write_connect_response,
    write_header_only,
    write_watch_event,
)
from ensemble.wire.requests import (
    HEADER_BYTES,
    ConnectRequest,
    read_connect_request,
)
from ensemble.wire.txns import TxnHeader

OUT_BYTES_SOFT: Final = (
    1 << 20
)  # beyond it a connection's next request waits for the client to read
PENDING_MAX: Final = 16_384  # unanswered requests of one connection before reading from it stops


@final
class Pipeline:
    """Every connection's requests, in order. The caller sets `now_ms` at each turn (`clock.py`)."""

    __slots__ = (
        "answers",
        "authority",
        "connections",
        "dirty",
        "door",
        "enforced",
        "epoch_zxid",
        "journal",
        "large",
        "large_bytes",
        "large_bytes_max",
        "large_threshold",
        "locals",
        "now_ms",
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
        self.outstanding -= conn.pending.count
        conn.pending.clear()
        del self.connections[conn.id]
        self.watches.drop_connection(conn.id)
        session = conn.session
        if session is not None and session.connection_id == conn.id:
            session.connection_id = 0
            self.session_connections.pop(conn.session_id, None)

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
        self.outstanding -= conn.pending.count
        conn.pending.clear()
        self.drain(conn, reason)

    def may_read(self, conn: Connection) -> bool:
        """Whether the next request of this connection may be looked at now (back-pressure).

        Behind a sync nothing is: its answer takes a round trip to a quorum, and a write that is
        committed meanwhile would have to wait for its reply with a zxid of the past.
        """
        last = conn.pending.last
        if last is not None and last.zxid == SYNCING:
            return False
        return (
            (conn.state == OPEN or conn.state == NEW)
            and conn.pending.count < PENDING_MAX
            and conn.backlog_bytes() < OUT_BYTES_SOFT
        )

    # Frames

    def on_frame(self, conn: Connection, buf: bytes, start: i64, end: i64) -> None:
        """One whole frame of a connection.

        Raises:
            ProtocolError: the frame breaks the protocol; the caller closes the connection.
        """
        if conn.state != OPEN:
            if conn.state == NEW:
                self.on_connect(conn, Reader(buf, start, end))
            return
        if end - start < HEADER_BYTES:
            raise ProtocolError(f"a request of {end - start} bytes, a header takes {HEADER_BYTES}")
        xid = i64(read_i32_be(buf, start))
        op = i64(read_i32_be(buf, start + 4))
        session = conn.session
        assert session is not None
        if session.closing:
            return  # expired, or its own close is on its way: nothing more is answered
        if not session.is_local:
            self.tracker.touch(session, self.now_ms)
        conn.stats.on_request(op, xid)
        self.stats.received += 1
        if 0 < self.large_threshold < end - start:
            self.check_large(end - start)
        reader = Reader(buf, start + HEADER_BYTES, end)
        if self.enforced and not self.door.may_run(conn, op):
            self.refuse(conn, xid, op, 0, codes.SESSION_CLOSED_REQUIRE_SASL_AUTH)
            self.drain_after_pending(conn, "authentication is enforced and missing")
        elif session.is_local and self.locals.take(conn, session, xid, op, reader):
            pass
        elif is_write(op):
            self.write(conn, xid, op, reader)
        elif is_read(op):
            if op == codes.OP_SYNC and not self.authority.sync(conn, xid, reader):
                self.outstanding += 1
                conn.pending.append(Pending(xid, op, SYNCING, None, reader, conn.ids, self.now_ms))
            elif conn.pending.count == 0:
                self.answers.answer(conn, xid, op, reader, conn.ids)
                self.sent(conn, op, self.now_ms)
                self.touch_dirty(conn)
            else:
                self.outstanding += 1
                conn.pending.append(Pending(xid, op, 0, None, reader, conn.ids, self.now_ms))
        elif op == codes.OP_AUTH:
            self.auth(conn, xid, reader)
        elif op == codes.OP_SASL:
            self.sasl(conn, xid, reader)
        else:
            self.refuse(conn, xid, op, -1, codes.UNIMPLEMENTED)
            self.drain_after_pending(conn, f"unknown opcode {op}")

    def check_large(self, size: i64) -> None:
        """All large requests together stay within a bound (largeRequestMaxBytes)."""
        if self.large_bytes + size > self.large_bytes_max:
            self.stats.large_requests_rejected += 1
            raise ProtocolError(
                f"a large request of {size} bytes, {self.large_bytes} are under way and "
                f"largeRequestMaxBytes is {self.large_bytes_max}"
            )

    def refuse_late(self, conn: Connection, buf: bytes, start: i64, end: i64) -> bool:
        """Refuse a request that waited too long to be taken up; False where it must run anyway."""
        if conn.state != OPEN or end - start < HEADER_BYTES:
            return False
        op = i64(read_i32_be(buf, start + 4))
        if op == codes.OP_PING or op == codes.OP_CLOSE_SESSION or not (is_write(op) or is_read(op)):
            return False
        self.stats.received += 1
        self.stats.throttled_ops += 1
        xid = i64(read_i32_be(buf, start))
        self.refuse(conn, xid, op, self.tree.last_zxid, codes.THROTTLED_OP)
        return True

    def write(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> None:
        request = WriteRequest(conn.session_id, xid, op, reader, conn.ids)
        body_at = reader.at
        try:
            zxid = self.authority.submit(request)
        except MarshallingError:
            self.refuse(conn, xid, op, self.authority.last_proposed(), codes.MARSHALLING_ERROR)
            return
        if zxid != FORWARDED:  # else the replica does so once the leader has given it one
            self.on_ordered(conn, op, zxid, Reader(reader.buf, body_at, reader.end))
        self.outstanding += 1
        conn.pending.append(Pending(xid, op, zxid, None, None, conn.ids, self.now_ms))
        if op == codes.OP_CLOSE_SESSION:
            session = conn.session
            if session is not None:
                self.tracker.set_closing(session)

    def on_ordered(self, conn: Connection, op: i64, zxid: i64, body: Reader) -> None:
        """A client's write has its place in the order."""
        if self.journal is not None:
            self.journal.on_proposed(int(zxid), conn, int(op), body)
        size = body.end - body.at + HEADER_BYTES
        if 0 < self.large_threshold < size:
            self.large[int(zxid)] = int(size)
            self.large_bytes += size

    def refuse(self, conn: Connection, xid: i64, op: i64, zxid: i64, err: int) -> None:
        """Reply with an error in its turn."""
        reply = BytesWriter()
        write_header_only(reply, xid, zxid, err)
        self.reply_in_turn(conn, xid, op, reply.getvalue())

    def reply_in_turn(self, conn: Connection, xid: i64, op: i64, reply: bytes) -> None:
        if conn.pending.count > 0:
            self.outstanding += 1
            conn.pending.append(Pending(xid, op, 0, reply, None, conn.ids, self.now_ms))
        else:
            conn.out.write(reply)
            self.sent(conn, op, self.now_ms)
            self.touch_dirty(conn)

    def drain_after_pending(self, conn: Connection, reason: str) -> None:
        """Close once everything that is pending has been answered."""
        conn.state = DRAINING
        conn.close_reason = reason
        self.touch_dirty(conn)

    def sent(self, conn: Connection, op: i64, arrived_ms: i64) -> None:
        """Count a reply."""
        latency_ms = self.now_ms - arrived_ms
        conn.stats.on_reply(self.tree.last_zxid, self.now_ms, latency_ms)
        if is_write(op):
            self.stats.on_update(latency_ms)
        else:
            self.stats.on_read(latency_ms)

    def auth(self, conn: Connection, xid: i64, reader: Reader) -> None:
        try:
            err = self.door.on_auth(conn, reader)
        except MarshallingError as error:
            raise ProtocolError(f"an auth packet that cannot be decoded: {error}") from None
        self.refuse(conn, xid, codes.OP_AUTH, 0, err)
        if err != 0:
            self.drain_after_pending(conn, "authentication failed")

    def sasl(self, conn: Connection, xid: i64, reader: Reader) -> None:
        try:
            err, token, close = self.door.on_sasl(conn, reader)
        except MarshallingError as error:
            raise ProtocolError(f"a SASL packet that cannot be decoded: {error}") from None
        reply = BytesWriter()
        start = begin_reply(reply, xid, 0, err)
        write_buffer(reply, token)
        end_frame(reply, start)
        self.reply_in_turn(conn, xid, codes.OP_SASL, reply.getvalue())
        if close:
            self.drain_after_pending(conn, "SASL authentication failed")

    # Sessions

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
        """The session is valid: bind it to its connection and say so."""
        session_id = session.id
        timeout_ms = session.timeout_ms
        conn.session = session
        conn.session_id = session_id
        session.connection_id = conn.id
        self.session_connections[session_id] = conn
        conn.state = OPEN
        conn.stats.on_session(session_id, timeout_ms)
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

    # Commits

    def on_committed(self, header: TxnHeader, error: i64, applied: Applied) -> None:
        """A transaction is applied: deliver events, answer who asked, go on with who waited."""
        if self.large_bytes > 0:
            self.large_bytes -= self.large.pop(header.zxid, 0)
        for change in applied.changes:
            fired = self.watches.fire(change.event, change.path)
            if fired:
                self.deliver(change.event, change.path, header.zxid, change.acl, fired)
        session_id = header.session_id
        if header.type == codes.OP_CREATE_SESSION:
            self.session_created(header, applied)
            return
        conn = self.session_connections.get(session_id)
        if header.type == codes.OP_CLOSE_SESSION:
            self.tracker.remove(session_id)
            self.session_closed(conn, header)
            return
        if conn is None or conn.pending.first_zxid() != header.zxid:
            return  # the connection that asked is gone, or nobody asked (the container sweep)
        if error == codes.SESSION_MOVED:
            self.cut(conn, "its session moved to another server")
            return
        pending = conn.pending.pop()
        self.outstanding -= 1
        write_write_reply(conn.out, pending, header.zxid, error, applied)
        self.sent(conn, pending.op, pending.arrived_ms)
        self.go_on(conn)
        self.touch_dirty(conn)

    def go_on(self, conn: Connection) -> None:
        """Answer what waited behind a commit, up to the next write."""
        while conn.pending.count > 0 and conn.pending.first_zxid() == 0:
            pending = conn.pending.pop()
            self.outstanding -= 1
            if pending.reply is not None:
                conn.out.write(pending.reply)
            elif pending.reader is not None:
                self.answers.answer(conn, pending.xid, pending.op, pending.reader, pending.ids)
            else:  # the close of a local session
                write_header_only(conn.out, pending.xid, self.tree.last_zxid, 0)
                self.drain(conn, "")
            self.sent(conn, pending.op, pending.arrived_ms)

    def on_synced(self, conn: Connection) -> None:
        """The sync that a connection waits for has happened: answer it in its turn."""
        first = conn.pending.first
        if first is not None and first.zxid == SYNCING:
            first.zxid = 0
            self.go_on(conn)
            self.touch_dirty(conn)

    def stop_serving(self, reason: str) -> None:
        """The leader is lost: cut every connection; sessions live on in the tree."""
        self.serving = False
        self.read_only = False
        for conn in list(self.connections.values()):
            if conn.state != NEW:
                self.cut(conn, reason)
        self.session_connections.clear()
        self.tracker.clear()
        self.large.clear()
        self.large_bytes = 0
        self.locals.on_serving_stopped()

    def begin_serving(self, epoch_zxid: i64) -> None:
        """Every session goes on, with a full timeout."""
        self.serving = True
        self.epoch_zxid = epoch_zxid
        self.tracker.clear()
        for session_id, timeout_ms in self.tree.sessions.items():
            self.tracker.add(session_id, timeout_ms, self.now_ms)
        self.locals.on_serving()

    def deliver(
        self, event: int, path: bytes, zxid: i64, acl: AclList, connection_ids: list[int]
    ) -> None:
        """Queue one event for each watcher who may read the node; encoded once."""
        frame = BytesWriter()
        write_watch_event(frame, zxid, event, path)
        encoded = frame.getvalue()
        for connection_id in connection_ids:
            conn = self.connections.get(connection_id)
            if conn is None or conn.state != OPEN:
                continue
            if self.schemes.check(acl, codes.PERM_READ, conn.ids):
                conn.out.write(encoded)
                self.stats.sent += 1
                self.touch_dirty(conn)

    def session_created(self, header: TxnHeader, applied: Applied) -> None:
        session_id = header.session_id
        timeout_ms = i64(self.tree.sessions[session_id])
        session = self.tracker.add(session_id, timeout_ms, self.now_ms)
        self.locals.on_session_created(session_id)
        conn = self.session_connections.get(session_id)
        if conn is not None and conn.state == WAITING:
            self.open(conn, session)

    def session_closed(self, conn: Connection | None, header: TxnHeader) -> None:
        if conn is None:
            return
        if conn.pending.first_zxid() == header.zxid:
            pending = conn.pending.pop()
            self.outstanding -= 1
            write_header_only(conn.out, pending.xid, header.zxid, 0)
            self.sent(conn, pending.op, pending.arrived_ms)
            self.drain(conn, "")
        else:
            self.cut(conn, "its session expired")
        self.session_connections.pop(header.session_id, None)
