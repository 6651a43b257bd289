"""Transactions: what the log holds and what travels between servers.

Source: storage.md section 3. A log record's payload is TxnHeader, the body of its type, and most of
the time a TxnDigest. `read_txn` decides by the bytes that remain, so a closeSession without a body
and one with a digest only are told apart.
"""

from typing import Final, final

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64, mypyc_attr

from ensemble.wire import codes
from ensemble.wire.jute import (
    MarshallingError,
    Reader,
    write_bool,
    write_buffer,
    write_int,
    write_long,
)
from ensemble.wire.records import Acl, read_acl_vector, write_acl_vector, write_path_vector

TXN_HEADER_BYTES: Final = 32
DIGEST_BYTES: Final = 12
DIGEST_VERSION: Final = 2


@final
@mypyc_attr(acyclic=True)
class TxnHeader:
    """Who asked (session, cxid), which place in the order (zxid), when (ms), what (type)."""

    __slots__ = ("cxid", "session_id", "time_ms", "type", "zxid")

    def __init__(self, session_id: i64, cxid: i64, zxid: i64, time_ms: i64, type: i64) -> None:
        self.session_id: Final = session_id
        self.cxid: Final = cxid
        self.zxid: Final = zxid
        self.time_ms: Final = time_ms
        self.type: Final = type


@final
@mypyc_attr(acyclic=True)
class CreateTxn:
    """create, create2, createContainer, createTTL. The path is final, sequence suffix included.

    `parent_cversion`: the parent's stored cversion after this create, or -1, one more than it was.
    `ttl` is 0 but for createTTL; `ephemeral` only for create and create2.
    """

    __slots__ = ("acl", "data", "ephemeral", "parent_cversion", "path", "ttl")

    def __init__(
        self,
        path: bytes,
        data: bytes | None,
        acl: list[Acl],
        ephemeral: bool,
        parent_cversion: i64,
        ttl: i64,
    ) -> None:
        self.path: Final = path
        self.data: Final = data
        self.acl: Final = acl
        self.ephemeral: Final = ephemeral
        self.parent_cversion: Final = parent_cversion
        self.ttl: Final = ttl


@final
@mypyc_attr(acyclic=True)
class DeleteTxn:
    """delete and deleteContainer."""

    __slots__ = ("path",)

    def __init__(self, path: bytes) -> None:
        self.path: Final = path


@final
@mypyc_attr(acyclic=True)
class SetDataTxn:
    """setData and reconfig. `version` is the new data version."""

    __slots__ = ("data", "path", "version")

    def __init__(self, path: bytes, data: bytes | None, version: i64) -> None:
        self.path: Final = path
        self.data: Final = data
        self.version: Final = version


@final
@mypyc_attr(acyclic=True)
class SetAclTxn:
    """`version` is the new ACL version; `auth` entries are expanded."""

    __slots__ = ("acl", "path", "version")

    def __init__(self, path: bytes, acl: list[Acl], version: i64) -> None:
        self.path: Final = path
        self.acl: Final = acl
        self.version: Final = version


@final
class CheckTxn:
    """Only inside a multi; no effect."""

    __slots__ = ("path", "version")

    def __init__(self, path: bytes, version: i64) -> None:
        self.path: Final = path
        self.version: Final = version


@final
class CreateSessionTxn:
    """The header's session id is the new session's."""

    __slots__ = ("timeout_ms",)

    def __init__(self, timeout_ms: i64) -> None:
        self.timeout_ms: Final = timeout_ms


@final
class CloseSessionTxn:
    """`paths` None: the writer left the body out; every ephemeral of the session goes."""

    __slots__ = ("paths",)

    def __init__(self, paths: list[bytes] | None) -> None:
        self.paths: Final = paths


@final
@mypyc_attr(acyclic=True)
class ErrorTxn:
    """A refused request; it has a zxid and no effect."""

    __slots__ = ("err",)

    def __init__(self, err: i64) -> None:
        self.err: Final = err


@final
class MultiTxn:
    """All or nothing: one error entry makes the whole a no-op. `types` and `txns` are parallel."""

    __slots__ = ("txns", "types")

    def __init__(self, types: list[int], txns: "list[SubTxn]") -> None:
        self.types: Final = types
        self.txns: Final = txns


SubTxn = CreateTxn | DeleteTxn | SetDataTxn | CheckTxn | ErrorTxn
Txn = (
    CreateTxn
    | DeleteTxn
    | SetDataTxn
    | SetAclTxn
    | CheckTxn
    | CreateSessionTxn
    | CloseSessionTxn
    | ErrorTxn
    | MultiTxn
)


@final
class LoggedTxn:
    """One decoded log payload. `digest`: the tree digest after it (signed 64 bit), if written."""

    __slots__ = ("digest", "digest_version", "has_digest", "header", "txn")

    def __init__(
        self, header: TxnHeader, txn: Txn, has_digest: bool, digest_version: i64, digest: i64
    ) -> None:
        self.header: Final = header
        self.txn: Final = txn
        self.has_digest: Final = has_digest
        self.digest_version: Final = digest_version
        self.digest: Final = digest


def write_txn_header(out: BytesWriter, header: TxnHeader) -> None:
    """32 bytes."""
    write_i64_be(out, header.session_id)
    write_int(out, header.cxid)
    write_i64_be(out, header.zxid)
    write_i64_be(out, header.time_ms)
    write_int(out, header.type)


def read_txn_header(reader: Reader) -> TxnHeader:
    session_id = reader.read_long()
    cxid = reader.read_int()
    zxid = reader.read_long()
    time_ms = reader.read_long()
    return TxnHeader(session_id, cxid, zxid, time_ms, reader.read_int())


def write_txn_body(out: BytesWriter, type: i64, txn: Txn) -> None:
    """The body alone. `type` settles which form of create is written."""
    if isinstance(txn, SetDataTxn):
        write_buffer(out, txn.path)
        write_buffer(out, txn.data)
        write_int(out, txn.version)
    elif isinstance(txn, CreateTxn):
        write_buffer(out, txn.path)
        write_buffer(out, txn.data)
        write_acl_vector(out, txn.acl)
        if type == codes.OP_CREATE or type == codes.OP_CREATE2:
            write_bool(out, txn.ephemeral)
        write_int(out, txn.parent_cversion)
        if type == codes.OP_CREATE_TTL:
            write_long(out, txn.ttl)
    elif isinstance(txn, DeleteTxn):
        write_buffer(out, txn.path)
    elif isinstance(txn, ErrorTxn):
        write_int(out, txn.err)
    elif isinstance(txn, MultiTxn):
        write_int(out, len(txn.txns))
        for i in range(len(txn.txns)):
            body = BytesWriter()
            write_txn_body(body, txn.types[i], txn.txns[i])
            write_int(out, txn.types[i])
            write_buffer(out, body.getvalue())
    elif isinstance(txn, SetAclTxn):
        write_buffer(out, txn.path)
        write_acl_vector(out, txn.acl)
        write_int(out, txn.version)
    elif isinstance(txn, CreateSessionTxn):
        write_int(out, txn.timeout_ms)
    elif isinstance(txn, CloseSessionTxn):
        if txn.paths is not None:
            write_path_vector(out, txn.paths)
    else:
        write_buffer(out, txn.path)
        write_int(out, txn.version)


def write_digest(out: BytesWriter, digest: i64) -> None:
    """12 bytes: the version of the digest's definition, the digest as a signed 64-bit number."""
    write_int(out, DIGEST_VERSION)
    write_long(out, digest)


def read_create_txn(reader: Reader, type: i64) -> CreateTxn:
    path = reader.read_path()
    data = reader.read_buffer()
    acl = read_acl_vector(reader)
    ephemeral = False
    ttl: i64 = 0
    if type == codes.OP_CREATE or type == codes.OP_CREATE2:
        ephemeral = reader.read_bool()
    # The old form of create ends here (storage.md 3.4).
    parent_cversion: i64 = -1
    if type != codes.OP_CREATE or reader.remaining() >= 4:
        parent_cversion = reader.read_int()
    if type == codes.OP_CREATE_TTL:
        ttl = reader.read_long()
    return CreateTxn(path, data, acl, ephemeral, parent_cversion, ttl)


def read_sub_txn(reader: Reader, type: i64) -> SubTxn:
    """A part of a multi."""
    if (
        type == codes.OP_CREATE
        or type == codes.OP_CREATE2
        or type == codes.OP_CREATE_CONTAINER
        or type == codes.OP_CREATE_TTL
    ):
        return read_create_txn(reader, type)
    if type == codes.OP_SET_DATA:
        path = reader.read_path()
        data = reader.read_buffer()
        return SetDataTxn(path, data, reader.read_int())
    if type == codes.OP_DELETE or type == codes.OP_DELETE_CONTAINER:
        return DeleteTxn(reader.read_path())
    if type == codes.OP_CHECK:
        path = reader.read_path()
        return CheckTxn(path, reader.read_int())
    if type == codes.OP_ERROR:
        return ErrorTxn(reader.read_int())
    raise MarshallingError(f"a transaction of type {type} inside a multi")


def read_txn_body(reader: Reader, type: i64) -> Txn:
    """The body of a top-level transaction.

    Raises:
        MarshallingError: an unknown type (check included: never outside a multi), or a short body.
    """
    if type == codes.OP_MULTI:
        types: list[int] = []
        txns: list[SubTxn] = []
        for _ in range(reader.read_count()):
            sub_type = reader.read_int()
            size = reader.read_int()
            at = reader.at
            if size < 0 or at + size > reader.end:
                raise MarshallingError(f"a part of {size} bytes in a multi, {reader.end - at} left")
            types.append(sub_type)
            txns.append(read_sub_txn(Reader(reader.buf, at, at + size), sub_type))
            reader.at = at + size
        return MultiTxn(types, txns)
    if type == codes.OP_SET_ACL:
        path = reader.read_path()
        acl = read_acl_vector(reader)
        return SetAclTxn(path, acl, reader.read_int())
    if type == codes.OP_CREATE_SESSION:
        return CreateSessionTxn(reader.read_int())
    if type == codes.OP_CLOSE_SESSION:
        left = reader.remaining()
        if left == 0:
            return CloseSessionTxn(None)
        if left == DIGEST_BYTES:
            # A digest alone. It cannot be a list: two paths take at least 14 bytes ("/a" twice).
            at = reader.at
            version = reader.read_int()
            reader.at = at
            if version == DIGEST_VERSION:
                return CloseSessionTxn(None)
        return CloseSessionTxn(reader.read_paths())
    if type == codes.OP_RECONFIG:
        return read_sub_txn(reader, codes.OP_SET_DATA)
    if type == codes.OP_CHECK:
        raise MarshallingError("check outside a multi (ZOOKEEPER-2623)")
    return read_sub_txn(reader, type)


def read_txn(payload: bytes) -> LoggedTxn:
    """A whole log payload.

    Raises:
        MarshallingError: it is not a transaction that a server may have logged.
    """
    reader = Reader(payload, 0, len(payload))
    header = read_txn_header(reader)
    txn = read_txn_body(reader, header.type)
    if reader.remaining() >= DIGEST_BYTES:
        version = reader.read_int()
        return LoggedTxn(header, txn, True, version, reader.read_long())
    return LoggedTxn(header, txn, False, 0, 0)
