"""The wall at the pipeline: who may ask for what, before anything else looks at a request.

`tenancy.namespace` says what a tenant's paths mean, `tenancy.access` what an opcode needs,
`tenancy.sight` what is closed to whom. Here that is applied to connections, and refusals are
answered in their turn: NoAuth, whether something exists or not.
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.server.connection import Connection
from ensemble.server.pipeline import Pipeline
from ensemble.tenancy import access, spec
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.namespace import Refusal, translate
from ensemble.tenancy.seat import NOBODY, OUTSIDE, Seat, Tenant
from ensemble.tenancy.sight import Sight, sees_all
from ensemble.tree.reads import is_multi_write, skip_multi_write
from ensemble.wire import codes
from ensemble.wire.framing import end_frame
from ensemble.wire.jute import MarshallingError, Reader, write_int
from ensemble.wire.replies import begin_reply, write_watch_event
from ensemble.wire.requests import (
    read_multi_header,
    read_path_watch,
    read_set_watches,
    write_multi_header,
)


@final
class Wall:
    """The wall of one server. `closed`: who has no tenant gets nothing at all."""

    __slots__ = ("closed", "directory", "pipeline", "sight")

    def __init__(self, pipeline: Pipeline, directory: Directory) -> None:
        self.pipeline: Final = pipeline
        self.directory: Final = directory
        self.sight: Final = Sight(directory)
        pipeline.answers.sight = self.sight
        self.closed = False  # ensemble.tenancy.outsiders=deny

    def enter(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> bool:
        """Let a request in, as `conn.seat` and with the tree's own paths; or refuse it."""
        seat = conn.seat
        tenant = seat.tenant
        if tenant is None:
            if seat.is_operator:
                return self.enter_as_operator(conn, xid, op, reader, seat)
            if self.directory.is_empty and not self.closed:
                return True
            return self.enter_from_outside(conn, xid, op, reader)
        if seat is tenant.visitor:
            conn.seat = OUTSIDE
            return self.enter_from_outside(conn, xid, op, reader)
        need = access.need_of(op)
        if need == access.FREE:
            return True
        if need == access.UNKNOWN:
            self.pipeline.refuse(conn, xid, op, -1, codes.UNIMPLEMENTED)
            self.pipeline.drain_after_pending(conn, f"unknown opcode {op}")
            return False
        view = seat.view
        if view is None or seat.role < spec.READER or need == access.OPERATE:
            return self.refuse(conn, xid, op, reader, codes.NO_AUTH)
        if need == access.WRITE and (
            seat.role < spec.WRITER or tenant.spec.state == spec.SUSPENDED
        ):
            return self.refuse(conn, xid, op, reader, codes.NO_AUTH)
        refusal = translate(view, op, reader)
        if refusal is None:
            return True
        return self.refuse_part(conn, xid, op, refusal)

    def enter_as_operator(
        self, conn: Connection, xid: i64, op: i64, reader: Reader, seat: Seat
    ) -> bool:
        """Nothing is hidden from operators of the whole; what they may do is their role's."""
        need = access.need_of(op)
        if (need == access.WRITE and seat.role < spec.WRITER) or (
            need == access.OPERATE and seat.role < spec.ADMIN
        ):
            return self.refuse(conn, xid, op, reader, codes.NO_AUTH)
        return True

    def enter_from_outside(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> bool:
        """A request of a connection without a tenant: by its paths it may be a visit."""
        need = access.need_of(op)
        if need == access.FREE or need == access.UNKNOWN or sees_all(conn.seat, conn.ids):
            return True
        if self.closed:
            return self.refuse(conn, xid, op, reader, codes.NO_AUTH)
        at = reader.at
        try:
            paths = paths_of(op, reader)
        except MarshallingError:
            paths = []  # it will be refused as what it is
        reader.at = at
        visited: Tenant | None = None
        for i in range(len(paths)):
            path = paths[i]
            if self.sight.is_closed(path) or (
                op == codes.OP_GET_ALL_CHILDREN_NUMBER and self.sight.is_above(path)
            ):
                if op == codes.OP_MULTI_READ:
                    continue  # each part has an answer of its own
                if op == codes.OP_MULTI:
                    refusal = Refusal(codes.NO_AUTH, i, len(paths))
                else:
                    refusal = Refusal(codes.NO_AUTH)
                return self.refuse_part(conn, xid, op, refusal)
            if visited is None:
                visited = self.directory.tenant_at(path)
        if visited is None:
            return True
        conn.seat = visited.visitor
        document = visited.spec
        if (
            need == access.WRITE
            and document.state == spec.SUSPENDED
            and document.mode != spec.OBSERVE
        ):
            return self.refuse(conn, xid, op, reader, codes.NO_AUTH)
        return True

    # Refusals

    def refuse(self, conn: Connection, xid: i64, op: i64, reader: Reader, error: int) -> bool:
        """Refuse a whole request; False, for `enter`."""
        refusal = Refusal(error)
        if op == codes.OP_MULTI:
            try:
                refusal = Refusal(error, 0, len(paths_of(op, reader)))
            except MarshallingError:
                refusal = Refusal(error)
        return self.refuse_part(conn, xid, op, refusal)

    def refuse_part(self, conn: Connection, xid: i64, op: i64, refusal: Refusal) -> bool:
        """Answer as if preparing had found the fault: a multi's in its results."""
        pipeline = self.pipeline
        zxid = pipeline.tree.last_zxid
        if refusal.parts <= 0:
            pipeline.refuse(conn, xid, op, zxid, refusal.error)
            return False
        if pipeline.audit is not None:
            pipeline.audit.on_refused(conn, op, refusal.error, pipeline.asked)
        reply = BytesWriter()
        start = begin_reply(reply, xid, zxid, 0)
        index: i64 = 0
        while index < refusal.parts:
            error = codes.OK
            if index == refusal.at:
                error = refusal.error
            elif index > refusal.at:
                error = codes.RUNTIME_INCONSISTENCY
            write_multi_header(reply, codes.OP_ERROR, False, error)
            write_int(reply, error)
            index += 1
        write_multi_header(reply, -1, True, -1)
        end_frame(reply, start)
        pipeline.reply_in_turn(conn, xid, op, reply.getvalue())
        return False

    # Events

    def event_frame(
        self, conn: Connection, event: int, path: bytes, zxid: i64, encoded: bytes
    ) -> bytes | None:
        """A watch event as a connection is to see it; None for what lies behind the wall.

        Such a watch was left before the connection had its tenant, or before the wall was there;
        or it is recursive, and the root that it does not see lies below it.
        """
        seat = conn.seat
        view = seat.view
        if view is None:
            return None if self.sight.blocks(seat, conn.ids, path) else encoded
        shown = None if seat.role == NOBODY else view.outward(path)
        if shown is None:
            return None
        frame = BytesWriter()
        write_watch_event(frame, zxid, event, shown)
        return frame.getvalue()


def paths_of(op: i64, reader: Reader) -> list[bytes]:
    """Every path that a request names, as it names them; of a multi one for each part.

    Raises:
        MarshallingError: the body cannot be decoded.
    """
    shape = access.shape_of(op)
    if shape == access.NO_PATH:
        return []
    if shape == access.WATCHES:
        request = read_set_watches(reader, op)
        return [
            *request.data,
            *request.exist,
            *request.child,
            *request.persistent,
            *request.recursive,
        ]
    paths: list[bytes] = []
    if shape != access.PARTS and shape != access.READ_PARTS:
        path = reader.read_buffer()
        if path is not None:
            paths.append(path)
        return paths
    while True:
        part = read_multi_header(reader)
        if part is None:
            return paths
        if shape == access.READ_PARTS and not is_multi_write(part):
            paths.append(read_path_watch(reader).path)
            continue
        if not is_multi_write(part):
            raise MarshallingError(f"{codes.name_of_op(part)} in a multi")
        at = reader.at
        paths.append(reader.read_path())
        reader.at = at
        skip_multi_write(reader, part)
