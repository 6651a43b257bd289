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
from ensemble.server.audit_paths import scheme_by, scheme_of
from ensemble.server.connection import (
    DRAINING,
    FORWARDED,
    NEW,
    OPEN,
    SYNCING,
    Connection,
    Pending,
)
from ensemble.server.edge_limits import LimitReachedError, write_refusal
from ensemble.server.operations import is_read, is_write
from ensemble.server.session_desk import SessionDesk
from ensemble.server.write_replies import write_write_reply
from ensemble.tree.acl import AclList
from ensemble.tree.apply import Applied
from ensemble.tree.prepare import WriteRequest
from ensemble.wire import codes
from ensemble.wire.framing import end_frame
from ensemble.wire.jute import MarshallingError, Reader, write_buffer
from ensemble.wire.replies import begin_reply, write_header_only, write_watch_event
from ensemble.wire.requests import HEADER_BYTES
from ensemble.wire.txns import TxnHeader

ERROR_AT: Final = 16


@final
class Pipeline(SessionDesk):
    """Every connection's requests, in order. The caller sets `now_ms` at each turn (`clock.py`)."""

    __slots__ = ()

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
        if self.audit is not None:
            self.asked = Reader(buf, start + HEADER_BYTES, end)
        gate = self.gate
        if gate is not None and not gate.enter(conn, xid, op, reader):
            return
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
                conn.pending.append(self.pending_of(conn, xid, op, SYNCING, None, reader))
            elif conn.pending.count == 0:
                begin = len(conn.out)
                at = reader.at
                error = self.answers.answer(conn, xid, op, reader, conn.ids, conn.seat)
                if self.audit is not None:
                    body = Reader(reader.buf, at, reader.end)
                    self.audit.on_read(conn, op, error, body, conn.seat, conn.ids)
                self.sent(conn, op, error, len(conn.out) - begin)
                self.touch_dirty(conn)
            else:
                self.outstanding += 1
                conn.pending.append(self.pending_of(conn, xid, op, 0, None, reader))
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
        if self.audit is not None:
            self.asked = Reader(buf, start + HEADER_BYTES, end)
        xid = i64(read_i32_be(buf, start))
        self.refuse(conn, xid, op, self.tree.last_zxid, codes.THROTTLED_OP)
        return True

    def pending_of(
        self,
        conn: Connection,
        xid: i64,
        op: i64,
        zxid: i64,
        reply: bytes | None,
        reader: Reader | None,
    ) -> Pending:
        """A request that has to wait, as of now."""
        arrived_us = conn.frames.arrived_us
        if arrived_us == 0:
            arrived_us = self.now_us  # nobody noted it: a connection without a socket
        return Pending(xid, op, zxid, reply, reader, conn.ids, conn.seat, arrived_us, self.now_us)

    def write(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> None:
        request = WriteRequest(conn.session_id, xid, op, reader, conn.ids)
        body = Reader(reader.buf, reader.at, reader.end)
        try:
            zxid = self.authority.submit(request)
        except MarshallingError:
            self.refuse(conn, xid, op, self.authority.last_proposed(), codes.MARSHALLING_ERROR)
            return
        except LimitReachedError as error:
            self.reply_in_turn(conn, xid, op, write_refusal(xid, self.tree.last_zxid, error))
            return
        if zxid != FORWARDED:  # else the replica does so once the leader has given it one
            self.on_ordered(conn, op, zxid, body)
        self.outstanding += 1
        conn.pending.append(self.pending_of(conn, xid, op, zxid, None, body))
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
        if self.audit is not None:
            self.audit.on_refused(conn, op, err, self.asked)
        reply = BytesWriter()
        write_header_only(reply, xid, zxid, err)
        self.reply_in_turn(conn, xid, op, reply.getvalue())

    def reply_in_turn(self, conn: Connection, xid: i64, op: i64, reply: bytes) -> None:
        if conn.pending.count > 0:
            self.outstanding += 1
            conn.pending.append(self.pending_of(conn, xid, op, 0, reply, None))
        else:
            conn.out.write(reply)
            self.sent(conn, op, error_in(reply), len(reply))
            self.touch_dirty(conn)

    def drain_after_pending(self, conn: Connection, reason: str) -> None:
        """Close once everything that is pending has been answered."""
        conn.state = DRAINING
        conn.is_refused = True
        conn.close_reason = reason
        self.touch_dirty(conn)

    def auth(self, conn: Connection, xid: i64, reader: Reader) -> None:
        scheme = b"" if self.audit is None else scheme_of(reader)
        try:
            err = self.door.on_auth(conn, reader)
        except MarshallingError as error:
            raise ProtocolError(f"an auth packet that cannot be decoded: {error}") from None
        except ProtocolError:
            self.note_auth(conn, codes.OP_AUTH, scheme, codes.AUTH_FAILED)
            raise
        grant = conn.wanted
        if grant is not None and self.bindings is not None:
            conn.wanted = None
            reply = BytesWriter()
            write_header_only(reply, xid, 0, 0)
            self.bindings.take(conn, grant, xid, codes.OP_AUTH, reply.getvalue())
            self.note_seat(conn, codes.OP_AUTH, scheme, 0)
            return
        self.note_auth(conn, codes.OP_AUTH, scheme, err)
        self.refuse(conn, xid, codes.OP_AUTH, 0, err)
        if err != 0:
            self.drain_after_pending(conn, "authentication failed")

    def note_auth(self, conn: Connection, op: i64, scheme: bytes, error: i64) -> None:
        if self.audit is not None:
            self.audit.on_auth(conn, op, scheme, error, 0)

    def note_seat(self, conn: Connection, op: i64, scheme: bytes, zxid: i64) -> None:
        """A credential was taken, unless it was not, which has been noted, or is not known yet."""
        if self.audit is not None and conn.wanted is None and conn.grant is not None:
            if conn.state == OPEN:
                self.audit.on_auth(conn, op, scheme, 0, zxid)

    def sasl(self, conn: Connection, xid: i64, reader: Reader) -> None:
        held = conn.ids
        failures = self.stats.auth_failures
        try:
            err, token, close = self.door.on_sasl(conn, reader)
        except MarshallingError as error:
            raise ProtocolError(f"a SASL packet that cannot be decoded: {error}") from None
        if self.stats.auth_failures != failures:  # also where such clients may go on (auth.md 5)
            self.note_auth(conn, codes.OP_SASL, b"sasl", codes.AUTH_FAILED)
        elif conn.ids is not held and conn.wanted is None:
            self.note_auth(conn, codes.OP_SASL, b"sasl", 0)
        reply = BytesWriter()
        start = begin_reply(reply, xid, 0, err)
        write_buffer(reply, token)
        end_frame(reply, start)
        grant = conn.wanted
        if grant is not None and self.bindings is not None:
            conn.wanted = None
            self.bindings.take(conn, grant, xid, codes.OP_SASL, reply.getvalue())
            self.note_seat(conn, codes.OP_SASL, b"sasl", 0)
            return
        self.reply_in_turn(conn, xid, codes.OP_SASL, reply.getvalue())
        if close:
            self.drain_after_pending(conn, "SASL authentication failed")

    # Commits

    def on_committed(self, header: TxnHeader, error: i64, applied: Applied) -> None:
        """A transaction is applied: deliver events, answer who asked, go on with who waited."""
        if self.large_bytes > 0:
            self.large_bytes -= self.large.pop(header.zxid, 0)
        gate = self.gate
        if gate is not None:
            gate.on_applied(header, applied)
        for change in applied.changes:
            fired = self.watches.fire(change.event, change.path)
            if fired:
                self.deliver(change.event, change.path, header.zxid, change.acl, fired)
        session_id = header.session_id
        if header.type == codes.OP_CREATE_SESSION:
            self.session_created(header)
            return
        conn = self.session_connections.get(session_id)
        audit = self.audit
        if header.type == codes.OP_CLOSE_SESSION:
            if audit is not None:
                audit.on_session_closed(conn, header, applied)
            self.tracker.remove(session_id)
            self.session_closed(conn, header)
            return
        first = None if conn is None else conn.pending.first
        if conn is None or first is None or first.zxid != header.zxid:
            # The connection that asked is gone, or nobody asked here (or at all: the sweep).
            if audit is not None:
                audit.on_unasked(header, error, applied)
            return
        if audit is not None and is_write(first.op):
            audit.on_committed(conn, first, header, error, applied)
        pending = conn.pending.pop()
        self.outstanding -= 1
        if error == codes.SESSION_MOVED:
            self.cut(conn, "its session moved to another server")
            return
        if not is_write(pending.op):
            assert self.bindings is not None
            self.bindings.on_bound(conn, pending, error)
            self.note_seat(conn, pending.op, scheme_by(pending.op), header.zxid)
            self.go_on(conn)
            return
        begin = len(conn.out)
        write_write_reply(conn.out, pending, header.zxid, error, applied, self.answers)
        if error == 0:
            error = applied.error  # of a multi
        self.sent(conn, pending.op, error, len(conn.out) - begin, pending)
        self.go_on(conn)
        self.touch_dirty(conn)

    def go_on(self, conn: Connection) -> None:
        """Answer what waited behind a commit, up to the next write."""
        while conn.pending.count > 0 and conn.pending.first_zxid() == 0:
            pending = conn.pending.pop()
            self.outstanding -= 1
            begin = len(conn.out)
            error: i64 = 0
            if pending.reply is not None:
                conn.out.write(pending.reply)
                error = error_in(pending.reply)
            elif pending.reader is not None:
                body = pending.reader
                at = body.at
                error = self.answers.answer(
                    conn, pending.xid, pending.op, body, pending.ids, pending.seat
                )
                if self.audit is not None:
                    body = Reader(body.buf, at, body.end)
                    self.audit.on_read(conn, pending.op, error, body, pending.seat, pending.ids)
            else:  # the close of a local session
                write_header_only(conn.out, pending.xid, self.tree.last_zxid, 0)
                self.drain(conn, "")
            self.sent(conn, pending.op, error, len(conn.out) - begin, pending)

    def on_synced(self, conn: Connection) -> None:
        """The sync that a connection waits for has happened: answer it in its turn."""
        first = conn.pending.first
        if first is not None and first.zxid == SYNCING:
            first.zxid = 0
            self.go_on(conn)
            self.touch_dirty(conn)

    def deliver(
        self, event: int, path: bytes, zxid: i64, acl: AclList, connection_ids: list[int]
    ) -> None:
        """Queue one event for each watcher who may read the node; encoded once."""
        frame = BytesWriter()
        write_watch_event(frame, zxid, event, path)
        encoded = frame.getvalue()
        gate = self.gate
        for connection_id in connection_ids:
            conn = self.connections.get(connection_id)
            if conn is None or conn.state != OPEN:
                continue
            if self.schemes.check(acl, codes.PERM_READ, conn.ids):
                if gate is None:
                    conn.out.write(encoded)
                else:
                    shown = gate.event_frame(conn, event, path, zxid, encoded)
                    if shown is None:
                        continue
                    conn.out.write(shown)
                self.stats.sent += 1
                self.touch_dirty(conn)

    # Serving

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
        if self.gate is not None:
            self.gate.on_serving()
        if self.audit is not None:
            self.audit.on_serving()
        if self.feed is not None:
            self.feed.on_serving()


def error_in(reply: bytes) -> i64:
    """The error of a reply that stands ready: behind its length, xid and zxid."""
    return i64(read_i32_be(reply, ERROR_AT))
