"""Request -> transaction: every check, against the tree and all that is proposed ahead.

Source: client.md sections 7, 11, 12, 20; the order of the checks is the protocol's, since clients
see which one comes first. A refused request becomes an error transaction: it has a zxid and no
effect. Whatever could fail while a transaction is applied is refused here.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import KeeperError
from ensemble.tree.acl import AclSchemes
from ensemble.tree.checks import Checks, check_version, session_closed, shown
from ensemble.tree.datatree import SYSTEM_PATHS, DataTree
from ensemble.tree.digest import NO_SUMS, UNKNOWN, Sums, content_crc, is_counted
from ensemble.tree.paths import CONFIG, ROOT, is_legal_name
from ensemble.tree.pending import ChangeRecord, PendingChanges
from ensemble.tree.proposals import (
    Prepared,
    PrepareOptions,
    Reconfigurer,
    WriteRequest,
    encode,
)
from ensemble.tree.znode import (
    CONTAINER,
    EPHEMERAL,
    OWNER_CONTAINER,
    TTL,
    TTL_MAX,
    kind_of_owner,
    ttl_of,
    ttl_owner,
    wrap32,
)
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, reader_of
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    MultiItem,
    ReconfigRequest,
    SetAclRequest,
    SetDataRequest,
    read_create,
    read_delete,
    read_multi,
    read_reconfig,
    read_set_acl,
    read_set_data,
)
from ensemble.wire.txns import (
    TXN_HEADER_BYTES,
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
)

__all__ = ["PrepareOptions", "Prepared", "Preparer", "WriteRequest"]

SUB_TXN_BYTES: Final = 8  # type and length in front of a part of a multi
ERROR_PART_BYTES: Final = 12
FIXED_BYTES_MAX: Final = 32  # of a transaction's body: everything but path, data and ACL
PATH_SHOWN_MAX: Final = 200  # of a path in an error's text


@final
class Preparer:
    """Turns requests into transactions, one zxid each.

    The caller gives zxids in ascending order, tells `on_applied` after each applied transaction,
    and `discard`s when what is proposed will not be committed here.
    """

    __slots__ = (
        "checks",
        "now_ms",
        "options",
        "pending",
        "reconfigurer",
        "request",
        "schemes",
        "sub_type",
        "sums",
        "tree",
        "with_digest",
        "zxid",
    )

    def __init__(self, tree: DataTree, schemes: AclSchemes, options: PrepareOptions) -> None:
        assert tree.extended_types == options.extended_types
        self.tree: Final = tree
        self.schemes: Final = schemes
        self.options: Final = options
        self.with_digest: Final = options.digest_enabled and tree.digest_enabled
        self.pending: Final = PendingChanges(tree)
        self.checks: Final = Checks(tree, self.pending, schemes, options)
        self.reconfigurer: Reconfigurer | None = None  # of a member of an ensemble
        self.request = WriteRequest(0, 0, 0, reader_of(b""), [])
        self.zxid: i64 = tree.last_zxid
        self.now_ms: i64 = 0
        self.sums = NO_SUMS
        self.sub_type: i64 = 0  # the type of the transaction that `_create` made

    def on_applied(self, prepared: Prepared) -> None:
        """The tree has everything up to this transaction: forget what was pending of it."""
        self.pending.on_applied(prepared.header.zxid, prepared.touched)

    def discard(self) -> None:
        """Nothing that is pending will be committed."""
        self.pending.discard()
        self.zxid = self.tree.last_zxid

    def prepare(self, request: WriteRequest, zxid: i64, now_ms: i64) -> Prepared:
        """Check a request and make its transaction. A refused one becomes an error transaction.

        Raises:
            MarshallingError: the body cannot be decoded; the zxid was not used. Not for a multi,
                whose failure takes its zxid (client.md section 4).
        """
        assert zxid > self.zxid, f"zxid {zxid:#x} is not after {self.zxid:#x}"
        pending = self.pending
        if not pending.by_path:
            pending.digest = self.tree.digest
        if self.tree.budgets.fresh:
            pending.count_ahead()
        pending.zxid = zxid
        pending.touched = []
        self.sums = NO_SUMS
        self.request = request
        self.checks.request = request
        self.now_ms = now_ms
        op = request.op
        txn: Txn
        try:
            if op == codes.OP_SET_DATA:
                txn = self._set_data(read_set_data(request.body))
                type = op
            elif (
                op == codes.OP_CREATE
                or op == codes.OP_CREATE2
                or op == codes.OP_CREATE_CONTAINER
                or op == codes.OP_CREATE_TTL
            ):
                txn = self._create(read_create(request.body, op), op)
                type = self.sub_type
            elif op == codes.OP_DELETE:
                txn = self._delete(read_delete(request.body))
                type = op
            elif op == codes.OP_MULTI:
                return self._multi(zxid)
            else:
                txn = self._other(op)
                type = op
        except MarshallingError:
            raise
        except KeeperError as error:
            return self._refused(zxid, error.code)
        return self._prepared(zxid, type, txn, 0)

    def refuse(self, request: WriteRequest, zxid: i64, now_ms: i64, code: int) -> Prepared:
        """An error transaction, whatever the request asks for: it takes its zxid all the same."""
        assert zxid > self.zxid, f"zxid {zxid:#x} is not after {self.zxid:#x}"
        pending = self.pending
        pending.zxid = zxid
        pending.touched = []
        self.sums = NO_SUMS
        self.request = request
        self.now_ms = now_ms
        return self._refused(zxid, code)

    def _prepared(self, zxid: i64, type: i64, txn: Txn, error: i64) -> Prepared:
        self.zxid = zxid
        request = self.request
        header = TxnHeader(request.session_id, request.cxid, zxid, self.now_ms, type)
        digest = self.pending.digest
        payload = encode(header, txn, self.with_digest, digest)
        return Prepared(header, txn, error, payload, digest, self.pending.touched, self.sums)

    def _refused(self, zxid: i64, code: i64) -> Prepared:
        return self._prepared(zxid, codes.OP_ERROR, ErrorTxn(code), code)

    def _other(self, op: i64) -> Txn:
        """The rarer operations."""
        reader = self.request.body
        if op == codes.OP_SET_ACL:
            return self._set_acl(read_set_acl(reader))
        if op == codes.OP_CREATE_SESSION:
            timeout_ms = reader.read_int()
            self.pending.open_session(self.request.session_id)
            return CreateSessionTxn(timeout_ms)
        if op == codes.OP_CLOSE_SESSION:
            return self._close_session()
        if op == codes.OP_DELETE_CONTAINER:
            return self._delete_container(reader.read_path())
        if op == codes.OP_RECONFIG:
            return self._reconfig(read_reconfig(reader))
        raise KeeperError(codes.UNIMPLEMENTED, f"{codes.name_of_op(op)} makes no transaction")

    # One method per operation: the checks in the protocol's order, then the changes

    def _set_data(self, request: SetDataRequest) -> SetDataTxn:
        self.checks.session()
        path = request.path
        data = request.data
        record = self.pending.find(path)
        if record is None:
            # A node that exists has a valid path: only a missing one is looked at.
            self.checks.legal(path)
            raise KeeperError(codes.NO_NODE, f"no node {shown(path)}")
        self.checks.permission(record, codes.PERM_WRITE)
        size = 0 if data is None else len(data)
        difference = size - record.data_bytes()
        owner = self.checks.quota(path, 0, difference)
        check_version(path, request.version, record.version)
        self.checks.size(len(path) + size)
        if not self.tree.budgets.is_empty:
            self.tree.budgets.spend_data(path, record.data, data, record.acl.wire_bytes)
        txn = SetDataTxn(path, data, wrap32(record.version + 1))
        record = self.pending.own(record)
        record.version = txn.version
        record.mzxid = self.pending.zxid
        record.mtime = self.now_ms
        record.data = data
        if self.tree.digest_enabled and is_counted(path):
            record.content_crc = content_crc(path, data)
            self.pending.redigest(record)
            self.sums = Sums(record.content_crc, record.digest, UNKNOWN)
        if owner is not None and difference != 0:
            self.pending.charge(owner.path, 0, difference)
        return txn

    def _create(self, request: CreateRequest, op: i64) -> CreateTxn:
        flags = request.flags
        if flags < codes.CREATE_PERSISTENT or flags > codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL:
            raise KeeperError(codes.BAD_ARGUMENTS, f"create flags {flags}, known are 0 to 6")
        ttl = self._check_ttl(request, op)
        container = op == codes.OP_CREATE_CONTAINER or flags == codes.CREATE_CONTAINER
        ephemeral = not container and (
            flags == codes.CREATE_EPHEMERAL or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
        )
        self.checks.session()
        if ephemeral and not self.request.may_ephemeral:
            code = codes.EPHEMERAL_ON_LOCAL_SESSION
            if self.pending.journaling:
                code = codes.SESSION_EXPIRED
            raise KeeperError(code, "a local session owns no ephemerals")
        path = request.path
        at = path.rfind(b"/")
        if at < 0 or b"\0" in path:
            raise KeeperError(codes.BAD_ARGUMENTS, f"not a path: {shown(path)}")
        acl = self.checks.fixed_acl(request.acl)
        parent_path = ROOT if at == 0 else path[:at]
        parent = self.pending.find(parent_path)
        if parent is None:
            raise KeeperError(codes.NO_NODE, f"no node {shown(parent_path)}")
        self.checks.permission(parent, codes.PERM_CREATE)
        sequence = parent.sequence if parent.zxid == self.pending.zxid else parent.cversion
        if (
            flags == codes.CREATE_PERSISTENT_SEQUENTIAL
            or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
            or flags == codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL
        ):
            path += sequence_suffix(sequence)
        # The parent exists, so its path is valid; `//a` is the exception, as `/` is the root.
        if len(path) > 1 and (
            (at > 0 and len(parent_path) == 1) or not is_legal_name(path[at + 1 :])
        ):
            raise KeeperError(codes.BAD_ARGUMENTS, f"not a legal path: {shown(path)}")
        if self.pending.exists(path):
            raise KeeperError(codes.NODE_EXISTS, f"{shown(path)} exists")
        if kind_of_owner(parent.owner, self.tree.extended_types) == EPHEMERAL:
            raise KeeperError(
                codes.NO_CHILDREN_FOR_EPHEMERALS, f"{shown(parent_path)} is ephemeral"
            )
        data = request.data
        size = 0 if data is None else len(data)
        quota = self.checks.quota(path, 1, size)
        if ephemeral:
            self.checks.ephemerals(len(path))
        self.checks.size(len(path) + size + acl.wire_bytes)
        if not self.tree.budgets.is_empty:
            self.tree.budgets.spend_create(
                path, data, acl.wire_bytes, ephemeral, parent_path, parent.num_children
            )
        owner: i64 = 0
        self.sub_type = op
        if container:
            owner = OWNER_CONTAINER
            self.sub_type = codes.OP_CREATE_CONTAINER
        elif op == codes.OP_CREATE_TTL:
            owner = ttl_owner(ttl)
        elif ephemeral:
            owner = self.request.session_id
        counted = wrap32(sequence + 1)
        parent = self._count_create(parent, counted)
        record = ChangeRecord(path, data, acl, self.pending.zxid, self.now_ms, owner)
        if self.tree.digest_enabled and is_counted(path):
            record.content_crc = content_crc(path, data)
        self.pending.add(record)
        self.sums = Sums(record.content_crc, record.digest, parent.digest)
        if quota is not None:
            self.pending.charge(quota.path, 1, size)
        return CreateTxn(path, data, acl.entries, ephemeral, counted, ttl)

    def _check_ttl(self, request: CreateRequest, op: i64) -> i64:
        """The ttl that is stored: 0 where there is none."""
        flags = request.flags
        with_ttl = flags >= codes.CREATE_PERSISTENT_WITH_TTL
        if with_ttl and not self.options.extended_types:
            raise KeeperError(codes.UNIMPLEMENTED, "extendedTypesEnabled is not set")
        if op != codes.OP_CREATE_TTL:
            if with_ttl:
                raise KeeperError(codes.BAD_ARGUMENTS, f"create flags {flags} without a ttl")
            return 0
        if not with_ttl:
            # Java lets negative values pass here and fails when the transaction is applied.
            raise KeeperError(codes.BAD_ARGUMENTS, f"a ttl with create flags {flags}")
        if request.ttl < 1 or request.ttl > TTL_MAX:
            raise KeeperError(
                codes.BAD_ARGUMENTS, f"a ttl of {request.ttl} ms, allowed are 1 to {TTL_MAX}"
            )
        return request.ttl

    def _count_create(self, parent: ChangeRecord, counted: i64) -> ChangeRecord:
        """The parent's share of a create, exactly as `apply` will count it."""
        parent = self.pending.own(parent)
        parent.num_children += 1
        parent.sequence = counted
        if counted == -1:
            counted = wrap32(parent.cversion + 1)
        if counted > parent.cversion:
            parent.cversion = counted
            parent.pzxid = self.pending.zxid
            self.pending.redigest(parent)
        return parent

    def _delete(self, request: DeleteRequest) -> DeleteTxn:
        self.checks.session()
        path = request.path
        at = path.rfind(b"/")
        if at < 0 or b"\0" in path or path in SYSTEM_PATHS:
            raise KeeperError(codes.BAD_ARGUMENTS, f"cannot delete {shown(path)}")
        parent_path = ROOT if at == 0 else path[:at]
        parent = self.pending.find(parent_path)
        if parent is None:
            raise KeeperError(codes.NO_NODE, f"no node {shown(parent_path)}")
        self.checks.permission(parent, codes.PERM_DELETE)
        record = self.pending.find(path)
        if record is None:
            raise KeeperError(codes.NO_NODE, f"no node {shown(path)}")
        check_version(path, request.version, record.version)
        if record.num_children > 0:
            raise KeeperError(codes.NOT_EMPTY, f"{shown(path)} has {record.num_children} children")
        self.checks.size(len(path))
        self._remove(record, parent)
        return DeleteTxn(path)

    def _remove(self, record: ChangeRecord, parent: ChangeRecord) -> None:
        """Propose that a node goes: the changes of `apply`'s delete."""
        pending = self.pending
        zxid = pending.zxid
        parent = pending.own(parent)
        parent.num_children -= 1
        if zxid > parent.pzxid:
            parent.pzxid = zxid
            pending.redigest(parent)
        pending.delete(record)
        tree = self.tree
        owner = tree.quotas.owner_of(record.path)
        if owner is not None:
            pending.charge(owner.path, -1, -record.data_bytes())
        if not tree.budgets.is_empty:
            ephemeral = tree.is_ephemeral(record.owner)
            tree.budgets.give_back(record.path, record.data, record.acl.wire_bytes, ephemeral)

    def _set_acl(self, request: SetAclRequest) -> SetAclTxn:
        self.checks.session()
        path = request.path
        record = self.pending.find(path)
        if record is None:
            self.checks.legal(path)
        acl = self.checks.fixed_acl(request.acl)
        if record is None:
            raise KeeperError(codes.NO_NODE, f"no node {shown(path)}")
        self.checks.permission(record, codes.PERM_ADMIN)
        check_version(path, request.version, record.aversion)
        self.checks.size(len(path) + acl.wire_bytes)
        if not self.tree.budgets.is_empty:
            self.tree.budgets.spend_acl(path, record.data, record.acl.wire_bytes, acl.wire_bytes)
        txn = SetAclTxn(path, acl.entries, wrap32(record.aversion + 1))
        record = self.pending.own(record)
        record.acl = acl
        record.aversion = txn.version
        self.pending.redigest(record)
        return txn

    def _check(self, request: DeleteRequest) -> CheckTxn:
        """check, inside a multi."""
        self.checks.session()
        path = request.path
        record = self.pending.find(path)
        if record is None:
            self.checks.legal(path)
            raise KeeperError(codes.NO_NODE, f"no node {shown(path)}")
        self.checks.permission(record, codes.PERM_READ)
        check_version(path, request.version, record.version)
        self.checks.size(len(path))
        return CheckTxn(path, wrap32(record.version + 1))

    def _close_session(self) -> CloseSessionTxn:
        """Ephemerals by name, so that every server deletes the same ones.

        A list that no log record can hold is left out: then each server deletes what it knows,
        which is the same at the same place in the log.
        """
        pending = self.pending
        session_id = self.request.session_id
        if session_id in pending.closing:
            raise session_closed(session_id)
        paths: list[bytes] = []
        size: i64 = TXN_HEADER_BYTES
        for record in pending.ephemerals_of(session_id):
            path = record.path
            at = path.rfind(b"/")
            parent = pending.find(ROOT if at == 0 else path[:at])
            assert parent is not None, "a node has a parent"
            self._remove(record, parent)
            paths.append(path)
            size += 4 + len(path)
        pending.close_session(session_id)
        if not self.options.close_session_txn or size > self.options.txn_bytes_max:
            return CloseSessionTxn(None)
        return CloseSessionTxn(paths)

    def _delete_container(self, path: bytes) -> DeleteTxn:
        """The server's own sweep; a candidate may have changed since it was found."""
        at = path.rfind(b"/")
        if at < 0 or path in SYSTEM_PATHS:
            raise KeeperError(codes.BAD_ARGUMENTS, f"cannot delete {shown(path)}")
        record = self.pending.find(path)
        parent = self.pending.find(ROOT if at == 0 else path[:at])
        if record is None or parent is None:
            raise KeeperError(codes.NO_NODE, f"no node {shown(path)}")
        if record.num_children > 0:
            raise KeeperError(codes.NOT_EMPTY, f"{shown(path)} has {record.num_children} children")
        kind = kind_of_owner(record.owner, self.tree.extended_types)
        if kind == TTL:
            if self.now_ms - record.mtime <= ttl_of(record.owner):
                raise KeeperError(codes.BAD_VERSION, f"{shown(path)} was written meanwhile")
        elif kind != CONTAINER:
            raise KeeperError(codes.BAD_VERSION, f"{shown(path)} is no container")
        self._remove(record, parent)
        return DeleteTxn(path)

    def _reconfig(self, request: ReconfigRequest) -> SetDataTxn:
        """The ensemble's members change. The node's version stays -1, the text has one."""
        if not self.options.reconfig_enabled:
            raise KeeperError(codes.RECONFIG_DISABLED, "reconfigEnabled is not set")
        self.checks.session()
        reconfigurer = self.reconfigurer
        if reconfigurer is None:
            raise KeeperError(codes.UNIMPLEMENTED, "a standalone server has no configuration")
        pending = self.pending
        text = reconfigurer.new_text(request, pending.zxid)
        record = pending.find(CONFIG)
        assert record is not None, "it cannot be deleted"
        self.checks.permission(record, codes.PERM_WRITE)
        self.checks.size(len(CONFIG) + len(text))
        record = pending.own(record)
        record.version = -1
        record.mzxid = pending.zxid
        record.mtime = self.now_ms
        record.data = text
        return SetDataTxn(CONFIG, text, -1)

    # Multi

    def _multi(self, zxid: i64) -> Prepared:
        """All parts, or none; a part sees the ones before it (client.md section 12)."""
        pending = self.pending
        try:
            items = read_multi(self.request.body)
            for item in items:
                _check_flags(item)
        except MarshallingError:
            return self._refused(zxid, codes.MARSHALLING_ERROR)
        types: list[int] = []
        txns: list[SubTxn] = []
        failed: i64 = 0
        size: i64 = TXN_HEADER_BYTES + 4 + ERROR_PART_BYTES * len(items)
        mark = pending.begin_multi()
        for item in items:
            try:
                txns.append(self._part(item))
                types.append(self.sub_type)
            except KeeperError as error:
                failed = error.code
                break
            size += SUB_TXN_BYTES + self.checks.part_bytes
            if size > self.options.txn_bytes_max:
                pending.roll_back(mark)
                return self._refused(zxid, codes.BAD_ARGUMENTS)
        if failed == 0:
            pending.end_multi()
        else:
            pending.roll_back(mark)
            txns.append(ErrorTxn(failed))
            while len(txns) < len(items):
                txns.append(ErrorTxn(codes.RUNTIME_INCONSISTENCY))
            while len(types) < len(items):
                types.append(codes.OP_ERROR)
        self.sums = NO_SUMS
        return self._prepared(zxid, codes.OP_MULTI, MultiTxn(types, txns), 0)

    def _part(self, item: MultiItem) -> SubTxn:
        """One operation of a multi; its transaction's type is left in `sub_type`."""
        request = item.request
        self.sub_type = item.op
        if isinstance(request, CreateRequest):
            return self._create(request, item.op)
        if isinstance(request, SetDataRequest):
            return self._set_data(request)
        if item.op == codes.OP_DELETE:
            return self._delete(request)
        return self._check(request)


def _check_flags(item: MultiItem) -> None:
    """Create flags that refuse a multi as a whole: unknown ones, and a TTL's without a ttl."""
    request = item.request
    if isinstance(request, CreateRequest):
        known = codes.CREATE_CONTAINER
        if item.op == codes.OP_CREATE_TTL:
            known = codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL
        if request.flags < codes.CREATE_PERSISTENT or request.flags > known:
            name = codes.name_of_op(item.op)
            raise MarshallingError(f"{name} in a multi with flags {request.flags}, 0 to {known}")


def sequence_suffix(sequence: i64) -> bytes:
    """Ten digits; a negative number has its sign in front of nine (client.md section 11)."""
    return b"%010d" % int(sequence)
