"""What clients send: the ConnectRequest, the request header, one class for each body.

Source: client.md sections 3, 5, 6, 12. `read_*` decodes, `write_*` encodes; reading raises
MarshallingError. Paths are UTF-8 bytes and not validated here. An ACL travels as the raw bytes of
its vector (`acl`), because nearly all creates carry the same few: see `records.read_acl_vector`.
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from ensemble.wire import codes
from ensemble.wire.jute import (
    MarshallingError,
    Reader,
    write_bool,
    write_buffer,
    write_int,
    write_long,
    write_text,
)
from ensemble.wire.records import skip_acl_vector, write_path_vector

PASSWORD_BYTES: Final = 16
HEADER_BYTES: Final = 8
MULTI_OPS_MAX: Final = 1_000_000


@final
class ConnectRequest:
    """The first frame of a connection; it has no header. `read_only` None: an old client."""

    __slots__ = ("last_zxid_seen", "password", "protocol", "read_only", "session_id", "timeout_ms")

    def __init__(
        self,
        protocol: i64,
        last_zxid_seen: i64,
        timeout_ms: i64,
        session_id: i64,
        password: bytes | None,
        read_only: bool | None,
    ) -> None:
        self.protocol: Final = protocol
        self.last_zxid_seen: Final = last_zxid_seen
        self.timeout_ms: Final = timeout_ms
        self.session_id: Final = session_id
        self.password: Final = password
        self.read_only: Final = read_only


def read_connect_request(reader: Reader) -> ConnectRequest:
    protocol = reader.read_int()
    last_zxid_seen = reader.read_long()
    timeout_ms = reader.read_int()
    session_id = reader.read_long()
    password = reader.read_buffer()
    read_only: bool | None = None
    if reader.remaining() > 0:
        read_only = reader.read_bool()
    return ConnectRequest(protocol, last_zxid_seen, timeout_ms, session_id, password, read_only)


def write_connect_request(out: BytesWriter, request: ConnectRequest) -> None:
    write_int(out, request.protocol)
    write_long(out, request.last_zxid_seen)
    write_int(out, request.timeout_ms)
    write_long(out, request.session_id)
    write_buffer(out, request.password)
    if request.read_only is not None:
        write_bool(out, request.read_only)


def write_request_header(out: BytesWriter, xid: int, op: int) -> None:
    write_int(out, xid)
    write_int(out, op)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class PathWatchRequest:
    """exists, getData, getChildren, getChildren2: a path, and whether to leave a watch."""

    __slots__ = ("path", "watch")

    def __init__(self, path: bytes, watch: bool) -> None:
        self.path: Final = path
        self.watch: Final = watch


def read_path_watch(reader: Reader) -> PathWatchRequest:
    path = reader.read_path()
    return PathWatchRequest(path, reader.read_bool())


def write_path_watch(out: BytesWriter, request: PathWatchRequest) -> None:
    write_buffer(out, request.path)
    write_bool(out, request.watch)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class CreateRequest:
    """create, create2, createContainer (`ttl` -1), createTTL. `acl` is the raw vector."""

    __slots__ = ("acl", "data", "flags", "path", "ttl")

    def __init__(self, path: bytes, data: bytes | None, acl: bytes, flags: i64, ttl: i64) -> None:
        self.path: Final = path
        self.data: Final = data
        self.acl: Final = acl
        self.flags: Final = flags
        self.ttl: Final = ttl


def read_create(reader: Reader, op: int) -> CreateRequest:
    """`op` tells whether a ttl follows (createTTL)."""
    path = reader.read_path()
    data = reader.read_buffer()
    acl = skip_acl_vector(reader)
    flags = reader.read_int()
    ttl: i64 = -1
    if op == codes.OP_CREATE_TTL:
        ttl = reader.read_long()
    return CreateRequest(path, data, acl, flags, ttl)


def write_create(out: BytesWriter, request: CreateRequest, op: int) -> None:
    write_buffer(out, request.path)
    write_buffer(out, request.data)
    out.write(request.acl)
    write_int(out, request.flags)
    if op == codes.OP_CREATE_TTL:
        write_long(out, request.ttl)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class DeleteRequest:
    """delete; also the body of check."""

    __slots__ = ("path", "version")

    def __init__(self, path: bytes, version: i64) -> None:
        self.path: Final = path
        self.version: Final = version


def read_delete(reader: Reader) -> DeleteRequest:
    path = reader.read_path()
    return DeleteRequest(path, reader.read_int())


def write_delete(out: BytesWriter, request: DeleteRequest) -> None:
    write_buffer(out, request.path)
    write_int(out, request.version)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class SetDataRequest:
    __slots__ = ("data", "path", "version")

    def __init__(self, path: bytes, data: bytes | None, version: i64) -> None:
        self.path: Final = path
        self.data: Final = data
        self.version: Final = version


def read_set_data(reader: Reader) -> SetDataRequest:
    path = reader.read_path()
    data = reader.read_buffer()
    return SetDataRequest(path, data, reader.read_int())


def write_set_data(out: BytesWriter, request: SetDataRequest) -> None:
    write_buffer(out, request.path)
    write_buffer(out, request.data)
    write_int(out, request.version)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class SetAclRequest:
    """`acl` is the raw vector."""

    __slots__ = ("acl", "path", "version")

    def __init__(self, path: bytes, acl: bytes, version: i64) -> None:
        self.path: Final = path
        self.acl: Final = acl
        self.version: Final = version


def read_set_acl(reader: Reader) -> SetAclRequest:
    path = reader.read_path()
    acl = skip_acl_vector(reader)
    return SetAclRequest(path, acl, reader.read_int())


def write_set_acl(out: BytesWriter, request: SetAclRequest) -> None:
    write_buffer(out, request.path)
    out.write(request.acl)
    write_int(out, request.version)


@final
class ReconfigRequest:
    """Each text may be None. `config_version` -1: whatever the current one is."""

    __slots__ = ("config_version", "joining", "leaving", "members")

    def __init__(
        self, joining: str | None, leaving: str | None, members: str | None, config_version: i64
    ) -> None:
        self.joining: Final = joining
        self.leaving: Final = leaving
        self.members: Final = members
        self.config_version: Final = config_version


def read_reconfig(reader: Reader) -> ReconfigRequest:
    joining = reader.read_text()
    leaving = reader.read_text()
    members = reader.read_text()
    return ReconfigRequest(joining, leaving, members, reader.read_long())


def write_reconfig(out: BytesWriter, request: ReconfigRequest) -> None:
    write_text(out, request.joining)
    write_text(out, request.leaving)
    write_text(out, request.members)
    write_long(out, request.config_version)


@final
class AuthPacket:
    """An auth request: a scheme and a token. The leading int is ignored by every server."""

    __slots__ = ("auth", "scheme")

    def __init__(self, scheme: str | None, auth: bytes | None) -> None:
        self.scheme: Final = scheme
        self.auth: Final = auth


def read_auth(reader: Reader) -> AuthPacket:
    reader.read_int()
    scheme = reader.read_text()
    return AuthPacket(scheme, reader.read_buffer())


def write_auth(out: BytesWriter, packet: AuthPacket) -> None:
    write_int(out, 0)
    write_text(out, packet.scheme)
    write_buffer(out, packet.auth)


@final
class SetWatchesRequest:
    """setWatches, and setWatches2 (which adds the persistent and the recursive list)."""

    __slots__ = ("child", "data", "exist", "persistent", "recursive", "relative_zxid")

    def __init__(
        self,
        relative_zxid: i64,
        data: list[bytes],
        exist: list[bytes],
        child: list[bytes],
        persistent: list[bytes],
        recursive: list[bytes],
    ) -> None:
        self.relative_zxid: Final = relative_zxid
        self.data: Final = data
        self.exist: Final = exist
        self.child: Final = child
        self.persistent: Final = persistent
        self.recursive: Final = recursive


def read_set_watches(reader: Reader, op: int) -> SetWatchesRequest:
    relative_zxid = reader.read_long()
    data = reader.read_paths()
    exist = reader.read_paths()
    child = reader.read_paths()
    persistent: list[bytes] = []
    recursive: list[bytes] = []
    if op == codes.OP_SET_WATCHES2:
        persistent = reader.read_paths()
        recursive = reader.read_paths()
    return SetWatchesRequest(relative_zxid, data, exist, child, persistent, recursive)


def write_set_watches(out: BytesWriter, request: SetWatchesRequest, op: int) -> None:
    write_long(out, request.relative_zxid)
    write_path_vector(out, request.data)
    write_path_vector(out, request.exist)
    write_path_vector(out, request.child)
    if op == codes.OP_SET_WATCHES2:
        write_path_vector(out, request.persistent)
        write_path_vector(out, request.recursive)


@final
class WatchRequest:
    """addWatch (`kind` is a mode), checkWatches and removeWatches (`kind` is a watcher type)."""

    __slots__ = ("kind", "path")

    def __init__(self, path: bytes, kind: i64) -> None:
        self.path: Final = path
        self.kind: Final = kind


def read_watch_request(reader: Reader) -> WatchRequest:
    path = reader.read_path()
    return WatchRequest(path, reader.read_int())


def write_watch_request(out: BytesWriter, request: WatchRequest) -> None:
    write_buffer(out, request.path)
    write_int(out, request.kind)


# multi and multiRead: { MultiHeader(type, done, err), body }* MultiHeader(-1, true, -1)


def write_multi_header(out: BytesWriter, op: int, done: bool, err: int) -> None:
    """9 bytes."""
    write_int(out, op)
    write_bool(out, done)
    write_int(out, err)


def read_multi_header(reader: Reader) -> int | None:
    """The type of the operation that follows, or None at the terminator."""
    op = reader.read_int()
    done = reader.read_bool()
    reader.read_int()
    return None if done else op


MultiRequest = CreateRequest | DeleteRequest | SetDataRequest


@final
class MultiItem:
    """A decoded operation of a multi."""

    __slots__ = ("op", "request")

    def __init__(self, op: int, request: MultiRequest) -> None:
        self.op: Final = op
        self.request: Final = request


def read_multi(reader: Reader) -> list[MultiItem]:
    """All operations of a write multi, in order.

    Raises:
        MarshallingError: an operation that a multi cannot hold, or no terminator.
    """
    items: list[MultiItem] = []
    while True:
        op = read_multi_header(reader)
        if op is None:
            return items
        if (
            op == codes.OP_CREATE
            or op == codes.OP_CREATE2
            or op == codes.OP_CREATE_CONTAINER
            or op == codes.OP_CREATE_TTL
        ):
            items.append(MultiItem(op, read_create(reader, op)))
        elif op == codes.OP_SET_DATA:
            items.append(MultiItem(op, read_set_data(reader)))
        elif op == codes.OP_DELETE or op == codes.OP_CHECK:
            items.append(MultiItem(op, read_delete(reader)))
        else:
            raise MarshallingError(f"{codes.name_of_op(op)} in a multi")


def write_multi(out: BytesWriter, items: list[MultiItem]) -> None:
    for item in items:
        write_multi_header(out, item.op, False, -1)
        request = item.request
        if isinstance(request, CreateRequest):
            write_create(out, request, item.op)
        elif isinstance(request, SetDataRequest):
            write_set_data(out, request)
        else:
            write_delete(out, request)
    write_multi_header(out, -1, True, -1)


@final
class MultiReadItem:
    """getData or getChildren inside a multiRead; its watch flag is ignored."""

    __slots__ = ("op", "path")

    def __init__(self, op: int, path: bytes) -> None:
        self.op: Final = op
        self.path: Final = path


def read_multi_read(reader: Reader) -> list[MultiReadItem]:
    """All operations of a multiRead.

    Raises:
        MarshallingError: anything but getData and getChildren, or no terminator. See client.md
            section 12: the caller adds the terminator to the reply where only writes were given.
    """
    items: list[MultiReadItem] = []
    while True:
        op = read_multi_header(reader)
        if op is None:
            return items
        if op != codes.OP_GET_DATA and op != codes.OP_GET_CHILDREN:
            raise MarshallingError(f"{codes.name_of_op(op)} in a multiRead")
        items.append(MultiReadItem(op, read_path_watch(reader).path))


def write_multi_read(out: BytesWriter, items: list[MultiReadItem]) -> None:
    for item in items:
        write_multi_header(out, item.op, False, -1)
        write_path_watch(out, PathWatchRequest(item.path, False))
    write_multi_header(out, -1, True, -1)
