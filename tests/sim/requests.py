"""A client's requests as bytes, and what the answers' bytes say."""

from librt.strings import BytesWriter

from ensemble.wire import codes
from ensemble.wire.jute import Reader, write_buffer
from ensemble.wire.records import Acl, Id, read_stat, write_acl_vector
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    MultiItem,
    PathWatchRequest,
    ReconfigRequest,
    SetDataRequest,
    write_create,
    write_delete,
    write_multi,
    write_path_watch,
    write_reconfig,
    write_set_data,
)
from tests.sim.history import Op, Part, StatTuple

OPCODES = {
    "create": codes.OP_CREATE2,
    "delete": codes.OP_DELETE,
    "set": codes.OP_SET_DATA,
    "multi": codes.OP_MULTI,
    "get": codes.OP_GET_DATA,
    "exists": codes.OP_EXISTS,
    "children": codes.OP_GET_CHILDREN2,
    "sync": codes.OP_SYNC,
    "close": codes.OP_CLOSE_SESSION,
    "reconfig": codes.OP_RECONFIG,
}
EPHEMERAL, SEQUENTIAL = 1, 2


def open_acl() -> bytes:
    out = BytesWriter()
    write_acl_vector(out, [Acl(codes.PERM_ALL, Id("world", "anyone"))])
    return out.getvalue()


OPEN = open_acl()


def write_body(out: BytesWriter, op: Op) -> None:
    if op.kind == "create":
        flags = EPHEMERAL * op.ephemeral + SEQUENTIAL * op.sequential
        write_create(out, CreateRequest(op.path, op.data, OPEN, flags, 0), codes.OP_CREATE2)
    elif op.kind == "set":
        write_set_data(out, SetDataRequest(op.path, op.data, op.version))
    elif op.kind == "delete":
        write_delete(out, DeleteRequest(op.path, op.version))
    elif op.kind in ("get", "exists", "children"):
        write_path_watch(out, PathWatchRequest(op.path, op.watch))
    elif op.kind == "sync":
        write_buffer(out, op.path)
    elif op.kind == "multi":
        write_multi(out, [item_of(part) for part in op.parts])
    elif op.kind == "reconfig":
        joining = op.data.decode() if op.data else None
        write_reconfig(out, ReconfigRequest(joining, op.path.decode() or None, None, -1))
    else:
        assert op.kind == "close", op.kind


def item_of(part: Part) -> MultiItem:
    if part.kind == "create":
        return MultiItem(codes.OP_CREATE2, CreateRequest(part.path, part.data, OPEN, 0, 0))
    if part.kind == "set":
        return MultiItem(codes.OP_SET_DATA, SetDataRequest(part.path, part.data, part.version))
    op = codes.OP_DELETE if part.kind == "delete" else codes.OP_CHECK
    return MultiItem(op, DeleteRequest(part.path, part.version))


def stat_of(reader: Reader) -> StatTuple:
    return read_stat(reader).as_tuple()


def read_answer(op: Op, reader: Reader) -> None:
    """Fill in what the reply's body says."""
    if op.error != 0 and op.kind != "multi":
        return
    if op.kind == "create":
        op.created = reader.read_path()
        op.stat = stat_of(reader)
    elif op.kind in ("set", "exists"):
        op.stat = stat_of(reader)
    elif op.kind == "get":
        op.value = reader.read_buffer()
        op.stat = stat_of(reader)
    elif op.kind == "children":
        op.children = frozenset(reader.read_paths())
        op.stat = stat_of(reader)
    elif op.kind == "multi" and reader.remaining():
        for part in op.parts:
            read_part(part, reader)


def read_part(part: Part, reader: Reader) -> None:
    type = reader.read_int()
    reader.read_bool()
    part.error = int(reader.read_int())
    if type == codes.OP_ERROR:
        part.error = int(reader.read_int())
    elif part.kind == "create":
        part.created = reader.read_path()
        part.stat = stat_of(reader)
    elif part.kind == "set":
        part.stat = stat_of(reader)
