"""A request becomes a transaction, or the error that the client gets.

Source: client.md section 7 (the order of checks decides which error wins), 11, 12; storage.md 3.3.
A refused request has a transaction too, without effect. Requests are prepared in the order of their
zxids, against the tree plus everything proposed before them (`pending`).
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.errors import KeeperError
from ensemble.tree.acl import AclSchemes
from ensemble.tree.datatree import SYSTEM_PATHS, DataTree
from ensemble.tree.paths import has_no_slash_or_nul, is_legal, parent_of
from ensemble.tree.pending import ChangeRecord, PendingChanges, successor
from ensemble.tree.znode import OWNER_CONTAINER, TTL_MAX, is_ttl_owner, ttl_owner, wrap32
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.records import Id
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    MultiItem,
    SetDataRequest,
    read_create,
    read_delete,
    read_multi,
    read_reconfig,
    read_set_acl,
    read_set_data,
)
from ensemble.wire.txns import (
    CheckTxn,
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetAclTxn,
    SetDataTxn,
    SubTxn,
    Txn,
    TxnHeader,
    write_digest,
    write_txn_body,
    write_txn_header,
)

INT32_MAX: Final = 0x7FFFFFFF


@final
class PrepareOptions:
    """Settings that decide what is refused (zoo.cfg names in docs/configuration.md)."""

    __slots__ = (
        "close_session_txn",
        "digest_enabled",
        "enforce_quota",
        "ephemeral_bytes_max",
        "extended_types",
        "reconfig_enabled",
        "txn_bytes_max",
    )

    def __init__(
        self,
        extended_types: bool = False,
        enforce_quota: bool = False,
        close_session_txn: bool = True,
        digest_enabled: bool = True,
        reconfig_enabled: bool = False,
        txn_bytes_max: int = 2 * 0xFFFFF,
        ephemeral_bytes_max: int = 0xFFFFF,
    ) -> None:
        self.extended_types: Final = extended_types
        self.enforce_quota: Final = enforce_quota
        self.close_session_txn: Final = close_session_txn
        self.digest_enabled: Final = digest_enabled
        self.reconfig_enabled: Final = reconfig_enabled
        # A log record above it could not be read back, by us or by a peer (trust.md D2).
        self.txn_bytes_max: Final = txn_bytes_max
        # Path bytes of one session's ephemerals: their closeSession must fit too (trust.md C2).
        self.ephemeral_bytes_max: Final = ephemeral_bytes_max


@final
class WriteRequest:
    """A write as it arrives: who, with which identities, what. `body` stands at the request's body."""

    __slots__ = ("body", "cxid", "ids", "op", "session_id")

    def __init__(self, session_id: i64, cxid: i64, op: i64, body: Reader, ids: list[Id]) -> None:
        self.session_id: Final = session_id
        self.cxid: Final = cxid
        self.op: Final = op
        self.body: Final = body
        self.ids: Final = ids


@final
class Prepared:
    """A transaction ready to be logged. `payload` is what the log and the quorum carry.

    `error` is what the client gets, 0 for success; for a failed multi it is 0, since its reply
    lists the failures. `digest` is the tree's digest after it.
    """

    __slots__ = ("digest", "error", "header", "payload", "txn")

    def __init__(
        self, header: TxnHeader, txn: Txn, error: i64, payload: bytes, digest: i64
    ) -> None:
        self.header: Final = header
        self.txn: Final = txn
        self.error: Final = error
        self.payload: Final = payload
        self.digest: Final = digest


@final
class SubPrepared:
    """One prepared operation: the type that the log gives it, and its body."""

    __slots__ = ("txn", "type")

    def __init__(self, type: i64, txn: SubTxn) -> None:
        self.type: Final = type
        self.txn: Final = txn


@final
class Preparer:
    """Turns requests into transactions. Call `prepare` with rising zxids, `on_applied` in order."""

    __slots__ = (
        "closing",
        "options",
        "pending",
        "schemes",
        "tree",
    )

    def __init__(self, tree: DataTree, schemes: AclSchemes, options: PrepareOptions) -> None:
        self.tree: Final = tree
        self.schemes: Final = schemes
        self.options: Final = options
        self.pending: Final = PendingChanges(tree)
        self.closing: Final[set[int]] = set()

    def prepare(self, request: WriteRequest, zxid: i64, now_ms: i64) -> Prepared:
        """The transaction of a request, under a zxid that nothing else has.

        Raises:
            MarshallingError: the body cannot be decoded (not for multi); the zxid is still free.
        """
        op = request.op
        mark = self.pending.mark()
        error: i64 = 0
        type = op
        txn: Txn
        try:
            if op == codes.OP_MULTI:
                txn = self.multi(request, zxid, now_ms)
            elif op == codes.OP_CREATE_SESSION:
                txn = CreateSessionTxn(request.body.read_int())
            elif op == codes.OP_CLOSE_SESSION:
                txn = self.close_session(request, zxid)
            else:
                part = self.single(request, zxid, now_ms)
                if isinstance(part, SetAclTxn):
                    txn = part
                else:
                    txn = part.txn
                    type = part.type
        except MarshallingError:
            self.pending.roll_back(mark)
            if op != codes.OP_MULTI:
                raise
            error = codes.MARSHALLING_ERROR
            type = codes.OP_ERROR
            txn = ErrorTxn(error)
        except KeeperError as refused:
            self.pending.roll_back(mark)
            error = refused.code
            type = codes.OP_ERROR
            txn = ErrorTxn(error)
        header = TxnHeader(request.session_id, request.cxid, zxid, now_ms, type)
        payload = self.encode(header, txn)
        if len(payload) > self.options.txn_bytes_max and op != codes.OP_CLOSE_SESSION:
            self.pending.roll_back(mark)
            error = codes.BAD_ARGUMENTS
            txn = ErrorTxn(error)
            header = TxnHeader(request.session_id, request.cxid, zxid, now_ms, codes.OP_ERROR)
            payload = self.encode(header, txn)
        return Prepared(header, txn, error, payload, self.pending.digest)

    def encode(self, header: TxnHeader, txn: Txn) -> bytes:
        out = BytesWriter()
        write_txn_header(out, header)
        write_txn_body(out, header.type, txn)
        if self.options.digest_enabled and header.type != codes.OP_ERROR:
            write_digest(out, self.pending.digest)
        return out.getvalue()

    def on_applied(self, zxid: i64, header: TxnHeader) -> None:
        """The tree has caught up with this transaction."""
        self.pending.on_applied(zxid)
        if header.type == codes.OP_CLOSE_SESSION:
            self.closing.discard(header.session_id)

    def discard(self) -> None:
        """Forget everything proposed: this server orders writes no longer."""
        self.pending.clear()
        self.closing.clear()

    # One operation

    def single(self, request: WriteRequest, zxid: i64, now_ms: i64) -> SubPrepared | SetAclTxn:
        op = request.op
        body = request.body
        session_id = request.session_id
        ids = request.ids
        if op == codes.OP_SET_DATA:
            set_request = read_set_data(body)
            self.check_session(session_id)
            return self.set_data(set_request, ids, zxid, now_ms)
        if op == codes.OP_DELETE:
            delete_request = read_delete(body)
            self.check_session(session_id)
            return self.delete(delete_request, ids, zxid)
        if op == codes.OP_SET_ACL:
            return self.set_acl(request, zxid)
        if op == codes.OP_DELETE_CONTAINER:
            return self.delete_container(body.read_path(), zxid)
        if op == codes.OP_RECONFIG:
            read_reconfig(body)
            if not self.options.reconfig_enabled:
                raise KeeperError(codes.RECONFIG_DISABLED)
            self.check_session(session_id)
            raise KeeperError(codes.UNIMPLEMENTED, "reconfig needs an ensemble")
        create_request = read_create(body, op)
        return self.create(create_request, op, session_id, ids, zxid, now_ms, False)

    def check_session(self, session_id: i64) -> None:
        """Refuse requests of a session whose end is proposed already, or that does not exist."""
        if session_id in self.closing or session_id not in self.tree.sessions:
            raise KeeperError(codes.SESSION_EXPIRED)

    def create(
        self,
        request: CreateRequest,
        op: i64,
        session_id: i64,
        ids: list[Id],
        zxid: i64,
        now_ms: i64,
        in_multi: bool,
    ) -> SubPrepared:
        flags = request.flags
        self.check_mode(op, flags, request.ttl)
        if not in_multi:
            self.check_session(session_id)
        path = request.path
        if has_no_slash_or_nul(path):
            raise KeeperError(codes.BAD_ARGUMENTS, "a path without a slash, or with NUL")
        acl = self.schemes.fix(request.acl, ids)
        parent_path = parent_of(path)
        pending = self.pending
        parent = pending.get(parent_path)
        if parent is None:
            raise KeeperError(codes.NO_NODE)
        if not self.schemes.check(parent.acl, codes.PERM_CREATE, ids):
            raise KeeperError(codes.NO_AUTH)
        container = op == codes.OP_CREATE_CONTAINER or flags == codes.CREATE_CONTAINER
        if (
            flags == codes.CREATE_PERSISTENT_SEQUENTIAL
            or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
            or flags == codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL
        ):
            path = path + b"%010d" % int(parent.cversion)
        if not is_legal(path):
            raise KeeperError(codes.BAD_ARGUMENTS, "an illegal path")
        if pending.exists(path):
            raise KeeperError(codes.NODE_EXISTS)
        if self.is_ephemeral(parent.owner):
            raise KeeperError(codes.NO_CHILDREN_FOR_EPHEMERALS)
        size: i64 = 0 if request.data is None else len(request.data)
        if self.options.enforce_quota:
            self.check_quota(path, 1, size)
        ephemeral = not container and (
            flags == codes.CREATE_EPHEMERAL or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
        )
        owner: i64 = 0
        type = op
        if container:
            owner = OWNER_CONTAINER
            type = codes.OP_CREATE_CONTAINER
        elif op == codes.OP_CREATE_TTL:
            owner = ttl_owner(request.ttl)
        elif ephemeral:
            owner = session_id
            self.count_ephemeral(session_id, zxid, len(path))
        cversion = wrap32(parent.cversion + 1)
        if cversion < parent.cversion:
            cversion = parent.cversion  # the counter sticks at its highest value
        changed = successor(parent, zxid)
        changed.cversion = cversion
        changed.pzxid = zxid
        changed.num_children += 1
        pending.put(changed, parent.digest)
        record = ChangeRecord(path, zxid, self.tree.acl_list(acl))
        record.data = request.data
        record.czxid = zxid
        record.mzxid = zxid
        record.pzxid = zxid
        record.ctime = now_ms
        record.mtime = now_ms
        record.owner = owner
        pending.put(record, 0)
        pending.charge(path, zxid, 1, size)
        ttl: i64 = request.ttl if op == codes.OP_CREATE_TTL else 0
        return SubPrepared(type, CreateTxn(path, request.data, acl, ephemeral, cversion, ttl))

    def check_mode(self, op: i64, flags: i64, ttl: i64) -> None:
        if not codes.CREATE_PERSISTENT <= flags <= codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL:
            raise KeeperError(codes.BAD_ARGUMENTS, f"create flags {flags}, 0 to 6 are known")
        has_ttl = flags >= codes.CREATE_PERSISTENT_WITH_TTL
        if has_ttl and not self.options.extended_types:
            raise KeeperError(codes.UNIMPLEMENTED, "TTL nodes need extendedTypesEnabled")
        if has_ttl != (op == codes.OP_CREATE_TTL):
            raise KeeperError(codes.BAD_ARGUMENTS, f"create flags {flags} in {op}")
        if has_ttl and not 1 <= ttl <= TTL_MAX:
            raise KeeperError(codes.BAD_ARGUMENTS, f"a TTL of {ttl} ms, at most {TTL_MAX}")

    def is_ephemeral(self, owner: i64) -> bool:
        if owner == 0 or owner == OWNER_CONTAINER:
            return False
        return not (self.options.extended_types and is_ttl_owner(owner))

    def count_ephemeral(self, session_id: i64, zxid: i64, path_bytes: i64) -> None:
        """Refuse an ephemeral whose session could not be closed in one transaction any more."""
        size = 4 + path_bytes
        names = self.tree.ephemerals.get(session_id)
        if names is not None:
            size += self.tree.ephemeral_bytes[session_id] + 4 * len(names)
        size += self.pending.ephemeral_bytes.get(session_id, 0)
        if size > self.options.ephemeral_bytes_max:
            raise KeeperError(codes.QUOTA_EXCEEDED, "too many ephemerals for one session")
        self.pending.count_ephemeral(session_id, zxid, 4 + path_bytes)

    def check_quota(self, path: bytes, count: i64, size: i64) -> None:
        quota = self.tree.quotas.owner_of(path)
        if quota is None:
            return
        pending = self.pending.usage.get(quota.path, (0, 0))
        if quota.refuses(count, size, quota.count + pending[0], quota.bytes + pending[1]):
            raise KeeperError(codes.QUOTA_EXCEEDED)

    def delete(self, request: DeleteRequest, ids: list[Id], zxid: i64) -> SubPrepared:
        path = request.path
        if has_no_slash_or_nul(path) or path in SYSTEM_PATHS:
            raise KeeperError(codes.BAD_ARGUMENTS, "a path that cannot be deleted")
        pending = self.pending
        parent = pending.get(parent_of(path))
        if parent is None:
            raise KeeperError(codes.NO_NODE)
        if not self.schemes.check(parent.acl, codes.PERM_DELETE, ids):
            raise KeeperError(codes.NO_AUTH)
        record = pending.get(path)
        if record is None:
            raise KeeperError(codes.NO_NODE)
        if request.version != codes.VERSION_ANY and request.version != record.version:
            raise KeeperError(codes.BAD_VERSION)
        if record.num_children > 0:
            raise KeeperError(codes.NOT_EMPTY)
        self.gone(parent, record, zxid)
        return SubPrepared(codes.OP_DELETE, DeleteTxn(path))

    def gone(self, parent: ChangeRecord, record: ChangeRecord, zxid: i64) -> None:
        """Enter a deletion: the parent has a child less, the znode is no more."""
        changed = successor(parent, zxid)
        changed.pzxid = zxid
        changed.num_children -= 1
        self.pending.put(changed, parent.digest)
        dead = ChangeRecord(record.path, zxid, record.acl)
        dead.exists = False
        self.pending.put(dead, record.digest)
        self.pending.charge(record.path, zxid, -1, -record.data_bytes())

    def delete_container(self, path: bytes, zxid: i64) -> SubPrepared:
        """The sweep's own request: it still has to find an empty container or TTL node."""
        parent = self.pending.get(parent_of(path))
        record = self.pending.get(path)
        if parent is None or record is None or path in SYSTEM_PATHS:
            raise KeeperError(codes.NO_NODE)
        if record.owner == 0 or self.is_ephemeral(record.owner):
            raise KeeperError(codes.BAD_VERSION)
        if record.num_children > 0:
            raise KeeperError(codes.NOT_EMPTY)
        self.gone(parent, record, zxid)
        return SubPrepared(codes.OP_DELETE_CONTAINER, DeleteTxn(path))

    def set_data(
        self, request: SetDataRequest, ids: list[Id], zxid: i64, now_ms: i64
    ) -> SubPrepared:
        path = request.path
        record = self.pending.get(path)
        if record is None:
            # A path that exists is legal: only a missing one has to be looked at.
            raise KeeperError(codes.NO_NODE if is_legal(path) else codes.BAD_ARGUMENTS)
        if not self.schemes.check(record.acl, codes.PERM_WRITE, ids):
            raise KeeperError(codes.NO_AUTH)
        size: i64 = 0 if request.data is None else len(request.data)
        more = size - record.data_bytes()
        if self.options.enforce_quota:
            self.check_quota(path, 0, more)
        if request.version != codes.VERSION_ANY and request.version != record.version:
            raise KeeperError(codes.BAD_VERSION)
        changed = successor(record, zxid)
        changed.data = request.data
        changed.version = wrap32(record.version + 1)
        changed.mzxid = zxid
        changed.mtime = now_ms
        self.pending.put(changed, record.digest)
        self.pending.charge(path, zxid, 0, more)
        return SubPrepared(codes.OP_SET_DATA, SetDataTxn(path, request.data, changed.version))

    def set_acl(self, request: WriteRequest, zxid: i64) -> SetAclTxn:
        wanted = read_set_acl(request.body)
        self.check_session(request.session_id)
        path = wanted.path
        if not is_legal(path):
            raise KeeperError(codes.BAD_ARGUMENTS, "an illegal path")
        acl = self.schemes.fix(wanted.acl, request.ids)
        record = self.pending.get(path)
        if record is None:
            raise KeeperError(codes.NO_NODE)
        if not self.schemes.check(record.acl, codes.PERM_ADMIN, request.ids):
            raise KeeperError(codes.NO_AUTH)
        if wanted.version != codes.VERSION_ANY and wanted.version != record.aversion:
            raise KeeperError(codes.BAD_VERSION)
        changed = successor(record, zxid)
        changed.acl = self.tree.acl_list(acl)
        changed.aversion = wrap32(record.aversion + 1)
        self.pending.put(changed, record.digest)
        return SetAclTxn(path, acl, changed.aversion)

    def check(self, request: DeleteRequest, ids: list[Id]) -> SubPrepared:
        path = request.path
        if not is_legal(path):
            raise KeeperError(codes.BAD_ARGUMENTS, "an illegal path")
        record = self.pending.get(path)
        if record is None:
            raise KeeperError(codes.NO_NODE)
        if not self.schemes.check(record.acl, codes.PERM_READ, ids):
            raise KeeperError(codes.NO_AUTH)
        if request.version != codes.VERSION_ANY and request.version != record.version:
            raise KeeperError(codes.BAD_VERSION)
        return SubPrepared(codes.OP_CHECK, CheckTxn(path, wrap32(record.version + 1)))

    # Several operations

    def multi(self, request: WriteRequest, zxid: i64, now_ms: i64) -> MultiTxn:
        """All operations, or a transaction that lists why not (storage.md 3.3)."""
        items = read_multi(request.body)
        for item in items:
            part = item.request
            if isinstance(part, CreateRequest):
                highest = codes.CREATE_CONTAINER
                if item.op == codes.OP_CREATE_TTL:
                    highest = codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL
                if not codes.CREATE_PERSISTENT <= part.flags <= highest:
                    raise MarshallingError(f"create flags {part.flags} in a multi")
        self.check_session(request.session_id)
        mark = self.pending.mark()
        types: list[int] = []
        txns: list[SubTxn] = []
        failed = False
        for item in items:
            if failed:
                types.append(codes.OP_ERROR)
                txns.append(ErrorTxn(codes.RUNTIME_INCONSISTENCY))
                continue
            try:
                prepared = self.multi_part(item, request, zxid, now_ms)
            except MarshallingError:
                raise
            except KeeperError as refused:
                failed = True
                self.pending.roll_back(mark)
                types.append(codes.OP_ERROR)
                txns.append(ErrorTxn(refused.code))
                continue
            types.append(prepared.type)
            txns.append(prepared.txn)
        return MultiTxn(types, txns)

    def multi_part(
        self, item: MultiItem, request: WriteRequest, zxid: i64, now_ms: i64
    ) -> SubPrepared:
        part = item.request
        if isinstance(part, CreateRequest):
            return self.create(part, item.op, request.session_id, request.ids, zxid, now_ms, True)
        if isinstance(part, SetDataRequest):
            return self.set_data(part, request.ids, zxid, now_ms)
        if item.op == codes.OP_CHECK:
            return self.check(part, request.ids)
        return self.delete(part, request.ids, zxid)

    def close_session(self, request: WriteRequest, zxid: i64) -> CloseSessionTxn:
        """Every ephemeral that the session has or is about to have goes with it."""
        session_id = request.session_id
        if session_id in self.closing:
            raise KeeperError(codes.SESSION_EXPIRED)
        pending = self.pending
        owned = self.tree.ephemerals.get(session_id)
        paths: set[bytes] = set() if owned is None else set(owned)
        for path, record in pending.latest.items():
            if record.exists and record.owner == session_id:
                paths.add(path)
            else:
                paths.discard(path)
        ordered = sorted(paths)
        for path in ordered:
            parent = pending.get(parent_of(path))
            record_now = pending.get(path)
            if parent is not None and record_now is not None:
                self.gone(parent, record_now, zxid)
        self.closing.add(session_id)
        if not self.options.close_session_txn:
            return CloseSessionTxn(None)
        return CloseSessionTxn(ordered)
