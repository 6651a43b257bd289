"""The node's end of the audit journal: what happened, packed in a few hundred nanoseconds.

Called for every write that is committed, for what is refused, for reads where a tenant wants them.
Nothing is formatted, hashed or written here: records go to the audit's process once a turn
(`audit_process`). A node tells of what its own clients did; the leader also of what nobody asked
for. Where the other end cannot keep up, records are dropped and counted, and the count goes first
when there is room again.
"""

from collections import deque
from typing import Final, final

from librt.strings import BytesWriter, write_i32_be
from mypy_extensions import i64

from ensemble.server import audit_records
from ensemble.server.audit_paths import failed_parts, principal_of, read_parts
from ensemble.server.audit_records import (
    MESSAGE_HEADER_BYTES,
    NOBODY,
    PARTS_BYTES_MAX,
    PATH_BYTES_MAX,
    encode_actor,
    write_message_header,
    write_part,
    write_record,
)
from ensemble.server.connection import Connection, Pending
from ensemble.server.contracts import Audit, Authority
from ensemble.server.operations import is_write
from ensemble.tenancy.seat import Seat
from ensemble.tree.apply import Applied
from ensemble.tree.paths import CONFIG
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id
from ensemble.wire.txns import TxnHeader

MESSAGE_BYTES: Final = 32_768  # a message is full behind it; one record more at most is in it
BACKLOG_BYTES_MAX: Final = 16 << 20  # that the other end has not taken; beyond it records are lost
LEFT_MAX: Final = 100_000  # unanswered writes of connections that are gone
TENANTS: Final = b"/zookeeper/tenants/"


@final
class Left:
    """Writes that nobody waits for any more, of one session, in order."""

    __slots__ = ("actor", "writes")

    def __init__(self, actor: bytes) -> None:
        self.actor: Final = actor
        self.writes: Final[deque[Pending]] = deque()


@final
class AuditTap(Audit):
    """See above.

    Invariant: `number` is that of the record that was packed or dropped last; the records in
    `messages`, then `records`, follow one another, but for what a gap in between tells.
    """

    __slots__ = (
        "authority",
        "backlog_bytes",
        "dropped",
        "dropped_first_zxid",
        "dropped_last_zxid",
        "dropped_total",
        "full",
        "left",
        "left_count",
        "messages",
        "number",
        "records",
    )

    def __init__(self) -> None:
        self.authority: Authority | None = None  # until there is a pipeline
        self.number: i64 = -1
        self.records: BytesWriter = BytesWriter()
        self.full: list[bytes] = []  # messages of this turn, without their heads
        self.messages: Final[deque[bytes]] = deque()
        self.backlog_bytes: i64 = 0  # of `full` and `messages`
        self.dropped: i64 = 0  # since the last record that was kept
        self.dropped_first_zxid: i64 = 0
        self.dropped_last_zxid: i64 = 0
        self.dropped_total: i64 = 0
        self.left: Final[dict[int, Left]] = {}
        self.left_count: i64 = 0

    # What the node tells

    def on_start(self, zxid: i64) -> None:
        """This run begins, with a tree up to `zxid`. The first of all."""
        self.pack(audit_records.START, 0, 0, zxid, 0, 0, NOBODY)

    def on_stop(self, zxid: i64) -> None:
        self.pack(audit_records.STOP, 0, 0, zxid, 0, 0, NOBODY)

    def on_committed(
        self, conn: Connection, pending: Pending, header: TxnHeader, error: i64, applied: Applied
    ) -> None:
        self.tell(self.actor(conn, pending.seat, pending.ids), pending, header, error, applied)

    def on_unasked(self, header: TxnHeader, error: i64, applied: Applied) -> None:
        if self.left_count > 0:
            left = self.left.get(header.session_id)
            if left is not None:
                pending = self.take_left(header.session_id, left, header.cxid)
                if pending is not None:
                    self.tell(left.actor, pending, header, error, applied)
                    return
        if header.session_id == 0 and self.orders():
            self.tell_own(header, applied)

    def on_session_opened(self, conn: Connection, header: TxnHeader) -> None:
        actor = self.actor(conn, conn.seat, conn.ids)
        op = codes.OP_CREATE_SESSION
        self.pack(op, 0, 0, header.zxid, header.session_id, header.time_ms, actor)

    def on_session_closed(
        self, conn: Connection | None, header: TxnHeader, applied: Applied
    ) -> None:
        if conn is not None and conn.pending.first_zxid() == header.zxid:
            pending = conn.pending.first
            assert pending is not None
            actor = self.actor(conn, pending.seat, pending.ids)
        else:
            left = self.left.pop(header.session_id, None)
            if left is not None:
                self.left_count -= len(left.writes)
            if left is not None and header.cxid != 0:
                actor = left.actor
            elif header.cxid == 0 and self.orders():
                actor = own_actor(applied)
            else:
                return  # another server's client, or told by the leader
        self.tell_changes(header, applied, actor)

    def on_left(self, conn: Connection) -> None:
        pending = conn.pending.first
        left: Left | None = None
        while pending is not None:
            if pending.zxid != 0 and is_write(pending.op):
                if self.left_count >= LEFT_MAX:
                    self.drop(0)
                else:
                    if left is None:
                        left = self.left.get(conn.session_id)
                    if left is None:
                        left = Left(self.actor(conn, pending.seat, pending.ids))
                        self.left[conn.session_id] = left
                    left.writes.append(pending)
                    self.left_count += 1
            pending = pending.next

    def on_serving(self) -> None:
        """Another epoch: what has not been seen to be committed will not be any more."""
        for session_id, left in self.left.items():
            for pending in left.writes:
                self.pack_parts(
                    pending.op,
                    0,
                    audit_records.UNKNOWN,
                    0,
                    session_id,
                    0,
                    left.actor,
                    failed_parts(pending.op, pending.reader),
                )
        self.left.clear()
        self.left_count = 0

    def on_read(
        self, conn: Connection, op: i64, error: i64, body: Reader, seat: Seat, ids: list[Id]
    ) -> None:
        if error != codes.NO_AUTH:
            tenant = seat.tenant
            if tenant is None or not tenant.spec.audit_reads:
                return
            if op == codes.OP_PING or op == codes.OP_SYNC:
                return
        actor = self.actor(conn, seat, ids)
        self.pack_parts(op, 0, error, 0, conn.session_id, 0, actor, read_parts(op, body))

    def on_refused(self, conn: Connection, op: i64, error: i64, body: Reader | None) -> None:
        if op == codes.OP_AUTH or op == codes.OP_SASL:
            return
        if (
            is_write(op)
            or error == codes.NO_AUTH
            or error == codes.SESSION_CLOSED_REQUIRE_SASL_AUTH
            or error == codes.AUTH_FAILED
        ):
            parts = failed_parts(op, body) if is_write(op) else read_parts(op, body)
            actor = self.actor(conn, conn.seat, conn.ids)
            flags = audit_records.ASKED
            self.pack_parts(op, flags, error, 0, conn.session_id, 0, actor, parts)

    def on_auth(self, conn: Connection, op: i64, scheme: bytes, error: i64, zxid: i64) -> None:
        actor = self.actor(conn, conn.seat, conn.ids)
        if op != codes.OP_SASL:
            op = codes.OP_AUTH
        parts: list[tuple[int, bytes]] = [(op, scheme)]
        self.pack_parts(op, 0, error, zxid, conn.session_id, 0, actor, parts)

    def on_reattach_refused(self, conn: Connection, session_id: i64) -> None:
        actor = self.actor(conn, conn.seat, conn.ids)
        op = audit_records.REATTACH
        self.pack(op, 0, codes.AUTH_FAILED, 0, session_id, 0, actor)

    def on_command(self, address: str, principal: str, name: str, status: int) -> None:
        """A command of the admin port that changes something, or was refused."""
        actor = encode_actor(address.encode(), b"", principal.encode("utf-8", "replace"))
        op = audit_records.COMMAND
        parts = [(op, name.encode("utf-8", "replace"))]
        self.pack_parts(op, 0, status, 0, 0, 0, actor, parts)

    def orders(self) -> bool:
        """Whether this server stands alone or leads: it tells of what nobody asked for."""
        authority = self.authority
        return authority is not None and authority.is_leading()

    # Packing

    def actor(self, conn: Connection, seat: Seat, ids: list[Id]) -> bytes:
        """Who asks, encoded; made anew where somebody else asks than the last time."""
        if conn.actor_seat is seat and conn.actor_ids is ids:
            return conn.actor
        tenant = seat.tenant
        slug = "" if tenant is None else tenant.spec.slug
        made = encode_actor(
            conn.peer_host.encode(), slug.encode(), principal_of(seat, ids).encode()
        )
        conn.actor_seat = seat
        conn.actor_ids = ids
        conn.actor = made
        return made

    def tell(
        self, actor: bytes, pending: Pending, header: TxnHeader, error: i64, applied: Applied
    ) -> None:
        if error == 0:
            error = applied.error
        results = applied.results
        op = pending.op
        if error == 0 and len(results) == 1 and not applied.multi and op != codes.OP_RECONFIG:
            path = results[0].path
            if len(path) <= PATH_BYTES_MAX:  # nearly always
                if self.has_room(header.zxid):
                    out = self.records
                    write_record(
                        out,
                        self.number,
                        op,
                        0,
                        0,
                        header.zxid,
                        header.session_id,
                        header.time_ms,
                        actor,
                    )
                    write_i32_be(out, 1)
                    write_part(out, op, path)
                    self.end_record()
                return
        parts: list[tuple[int, bytes]] = []
        if error != 0:
            parts = failed_parts(op, pending.reader)
        elif op == codes.OP_RECONFIG:
            parts.append((op, CONFIG))  # its result is the configuration itself
        else:
            for result in results:
                if result.op != codes.OP_CHECK:
                    parts.append((int(result.op), result.path))
        self.pack_parts(op, 0, error, header.zxid, header.session_id, header.time_ms, actor, parts)

    def tell_own(self, header: TxnHeader, applied: Applied) -> None:
        """What the ensemble does by itself: containers and nodes whose time is over."""
        parts: list[tuple[int, bytes]] = []
        for result in applied.results:
            parts.append((int(result.op), result.path))
        self.pack_parts(
            header.type, 0, applied.error, header.zxid, 0, header.time_ms, NOBODY, parts
        )

    def tell_changes(self, header: TxnHeader, applied: Applied, actor: bytes) -> None:
        """A session's end, with the ephemerals that went with it."""
        parts: list[tuple[int, bytes]] = []
        for change in applied.changes:
            if change.event == codes.EVENT_NODE_DELETED:
                parts.append((codes.OP_DELETE, change.path))
        self.pack_parts(
            header.type, 0, 0, header.zxid, header.session_id, header.time_ms, actor, parts
        )

    def pack(
        self,
        op: i64,
        flags: i64,
        error: i64,
        zxid: i64,
        session_id: i64,
        time_ms: i64,
        actor: bytes,
    ) -> None:
        """A record without a path."""
        if self.has_room(zxid):
            out = self.records
            write_record(out, self.number, op, flags, error, zxid, session_id, time_ms, actor)
            write_i32_be(out, 0)
            self.end_record()

    def pack_parts(
        self,
        op: i64,
        flags: i64,
        error: i64,
        zxid: i64,
        session_id: i64,
        time_ms: i64,
        actor: bytes,
        parts: list[tuple[int, bytes]],
    ) -> None:
        """A record with paths; several where they are too many for one."""
        at = 0
        while at < len(parts) or at == 0:
            begin = at
            size = 0
            while at < len(parts) and size < PARTS_BYTES_MAX:
                length = len(parts[at][1])
                size += 12 + (length if length < PATH_BYTES_MAX else PATH_BYTES_MAX)
                at += 1
            if self.has_room(zxid):
                out = self.records
                write_record(out, self.number, op, flags, error, zxid, session_id, time_ms, actor)
                write_i32_be(out, at - begin)
                for i in range(begin, at):
                    part = parts[i]
                    write_part(out, part[0], part[1])
                self.end_record()
            if at >= len(parts):
                break
            flags |= audit_records.CONTINUED

    def has_room(self, zxid: i64) -> bool:
        """Take a number for the next record. False: it is dropped, and counted."""
        if self.backlog_bytes > BACKLOG_BYTES_MAX:
            self.drop(zxid)
            return False
        if self.dropped > 0:
            self.tell_gap()
        self.number += 1
        return True

    def drop(self, zxid: i64) -> None:
        self.number += 1
        self.dropped += 1
        self.dropped_total += 1
        if zxid > 0:
            if self.dropped_first_zxid == 0:
                self.dropped_first_zxid = zxid
            self.dropped_last_zxid = zxid

    def tell_gap(self) -> None:
        """Ahead of the next record: how many are missing (number of the first in its place)."""
        out = self.records
        first = self.number - self.dropped + 1
        write_record(
            out,
            first,
            audit_records.GAP,
            0,
            0,
            self.dropped_first_zxid,
            self.dropped_last_zxid,
            0,
            encode_actor(str(self.number).encode(), b"", b"the audit process did not keep up"),
        )
        write_i32_be(out, 0)
        self.dropped = 0
        self.dropped_first_zxid = 0
        self.dropped_last_zxid = 0

    def end_record(self) -> None:
        if len(self.records) >= MESSAGE_BYTES:
            self.end_message()

    def end_message(self) -> None:
        message = self.records.getvalue()
        self.records.truncate(0)
        self.full.append(message)
        self.backlog_bytes += MESSAGE_HEADER_BYTES + len(message)

    def end_turn(self, wall_ms: i64) -> bool:
        """Have everything ready that was told; whether there is anything to hand over."""
        if len(self.records) > 0:
            self.end_message()
        if self.full:
            for message in self.full:
                head = BytesWriter()
                write_message_header(head, wall_ms)
                self.messages.append(head.getvalue() + message)
            self.full = []
        return len(self.messages) > 0

    def take_message(self) -> None:
        """The oldest message has been handed over."""
        self.backlog_bytes -= len(self.messages.popleft())

    def take_left(self, session_id: i64, left: Left, cxid: i64) -> Pending | None:
        """The write with this number, if the session has left it behind."""
        for pending in left.writes:
            if pending.xid == cxid:
                left.writes.remove(pending)
                self.left_count -= 1
                if not left.writes:
                    del self.left[session_id]
                return pending
        return None


def own_actor(applied: Applied) -> bytes:
    """Of a session that expired: its tenant, as its binding says, which goes with it."""
    for change in applied.changes:
        path = change.path
        if path.startswith(TENANTS) and change.event == codes.EVENT_NODE_DELETED:
            return encode_actor(b"", path[len(TENANTS) :].split(b"/")[0], b"")
    return NOBODY
