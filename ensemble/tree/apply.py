"""A committed transaction becomes state. Cannot fail, and may be repeated over a fuzzy snapshot.

Source: storage.md section 6. `apply` gives what clients are told: results for who asked, changes
for who watches, in the order in which watches fire (client.md 13.3).
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tree.acl import AclList
from ensemble.tree.datatree import SYSTEM_PATHS, DataTree
from ensemble.tree.paths import parent_of
from ensemble.tree.quota import QUOTA_PREFIX
from ensemble.tree.znode import OWNER_CONTAINER, Znode, ttl_owner, wrap32
from ensemble.wire import codes
from ensemble.wire.records import Stat
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
)


@final
class OpResult:
    """The outcome of one operation. `op` -1: it failed with `error`. `path` is final for creates."""

    __slots__ = ("error", "op", "path", "stat")

    def __init__(self, op: i64, error: i64, path: bytes, stat: Stat | None) -> None:
        self.op: Final = op
        self.error: Final = error
        self.path: Final = path
        self.stat: Final = stat


@final
class Change:
    """Something that watches may be about. `acl` is that of the znode the event is about."""

    __slots__ = ("acl", "event", "path")

    def __init__(self, event: int, path: bytes, acl: AclList) -> None:
        self.event: Final = event
        self.path: Final = path
        self.acl: Final = acl


@final
class Applied:
    """What a transaction did. `multi`: `results` has one entry an operation."""

    __slots__ = ("changes", "multi", "results")

    def __init__(self, multi: bool, results: list[OpResult], changes: list[Change]) -> None:
        self.multi: Final = multi
        self.results: Final = results
        self.changes: Final = changes


def apply(tree: DataTree, header: TxnHeader, txn: Txn) -> Applied:
    """Apply one transaction; afterwards the tree's last zxid is at least the header's."""
    changes: list[Change] = []
    results: list[OpResult] = []
    multi = False
    if isinstance(txn, MultiTxn):
        multi = True
        apply_multi(tree, header, txn, results, changes)
    elif isinstance(txn, CreateSessionTxn):
        tree.sessions[header.session_id] = txn.timeout_ms
    elif isinstance(txn, CloseSessionTxn):
        close_session(tree, header, txn, changes)
    elif isinstance(txn, SetAclTxn):
        results.append(set_acl(tree, txn))
    else:
        results.append(apply_one(tree, header, header.type, txn, changes))
    if header.zxid > tree.last_zxid:
        tree.last_zxid = header.zxid
    return Applied(multi, results, changes)


def apply_one(
    tree: DataTree, header: TxnHeader, type: i64, txn: SubTxn, changes: list[Change]
) -> OpResult:
    """Anything that may stand in a multi."""
    if isinstance(txn, SetDataTxn):
        return set_data(tree, header, txn, changes)
    if isinstance(txn, CreateTxn):
        return create(tree, header, type, txn, changes)
    if isinstance(txn, DeleteTxn):
        return delete(tree, header, txn, changes)
    if isinstance(txn, CheckTxn):
        return OpResult(codes.OP_CHECK, 0, txn.path, None)
    return OpResult(codes.OP_ERROR, txn.err, b"", None)


def apply_multi(
    tree: DataTree,
    header: TxnHeader,
    txn: MultiTxn,
    results: list[OpResult],
    changes: list[Change],
) -> None:
    """All parts, or none where one of them is an error (storage.md 6.3)."""
    failed = False
    for part in txn.txns:
        if isinstance(part, ErrorTxn):
            failed = True
            break
    if not failed:
        for i in range(len(txn.txns)):
            results.append(apply_one(tree, header, txn.types[i], txn.txns[i], changes))
        return
    seen = False
    for part in txn.txns:
        error: i64 = 0
        if isinstance(part, ErrorTxn):
            seen = True
            error = part.err
        elif seen:
            error = codes.RUNTIME_INCONSISTENCY
        results.append(OpResult(codes.OP_ERROR, error, b"", None))


def owner_of(header: TxnHeader, type: i64, txn: CreateTxn) -> i64:
    if type == codes.OP_CREATE_CONTAINER:
        return OWNER_CONTAINER
    if type == codes.OP_CREATE_TTL:
        return ttl_owner(txn.ttl)
    return header.session_id if txn.ephemeral else 0


def create(
    tree: DataTree, header: TxnHeader, type: i64, txn: CreateTxn, changes: list[Change]
) -> OpResult:
    path = txn.path
    parent_path = parent_of(path)
    parent = tree.nodes.get(parent_path)
    if parent is None:
        return OpResult(codes.OP_ERROR, codes.NO_NODE, path, None)
    zxid = header.zxid
    # Versions only move upward, so replaying over a fuzzy snapshot converges (storage.md 6.2).
    cversion = txn.parent_cversion
    if cversion == -1:
        cversion = wrap32(parent.cversion + 1)
    if cversion > parent.cversion:
        parent.cversion = cversion
        if zxid > parent.pzxid:
            parent.pzxid = zxid
    children = parent.children
    if children is not None and path in children:
        tree.refresh(parent_path, parent)
        tree.nodes[path].acl = tree.acl_list(txn.acl)
        return OpResult(codes.OP_ERROR, codes.NODE_EXISTS, path, None)
    orphan = tree.nodes.get(path)
    if orphan is not None:
        # Its parent was deleted and made again behind a fuzzy snapshot's back.
        tree.remove(path, orphan)
    node = Znode(
        txn.data, tree.acl_list(txn.acl), owner_of(header, type, txn), zxid, header.time_ms
    )
    tree.insert(path, node)
    tree.refresh(parent_path, parent)
    if path.startswith(QUOTA_PREFIX):
        tree.quota_created(path, node)
    tree.charge(path, 1, node.data_bytes())
    changes.append(Change(codes.EVENT_NODE_CREATED, path, node.acl))
    changes.append(Change(codes.EVENT_NODE_CHILDREN_CHANGED, parent_path, parent.acl))
    return OpResult(type, 0, path, tree.stat_of(node))


def delete(tree: DataTree, header: TxnHeader, txn: DeleteTxn, changes: list[Change]) -> OpResult:
    return delete_path(tree, header, txn.path, changes)


def delete_path(tree: DataTree, header: TxnHeader, path: bytes, changes: list[Change]) -> OpResult:
    parent_path = parent_of(path)
    parent = tree.nodes.get(parent_path)
    if parent is None or path in SYSTEM_PATHS:
        return OpResult(codes.OP_ERROR, codes.NO_NODE, path, None)
    node = tree.nodes.get(path)
    if node is not None:
        tree.remove(path, node)
    if header.zxid > parent.pzxid:
        parent.pzxid = header.zxid
    tree.refresh(parent_path, parent)
    if node is None:
        return OpResult(codes.OP_ERROR, codes.NO_NODE, path, None)
    if path.startswith(QUOTA_PREFIX):
        tree.quota_deleted(path)
    tree.charge(path, -1, -node.data_bytes())
    changes.append(Change(codes.EVENT_NODE_DELETED, path, node.acl))
    changes.append(Change(codes.EVENT_NODE_CHILDREN_CHANGED, parent_path, parent.acl))
    return OpResult(codes.OP_DELETE, 0, path, None)


def set_data(tree: DataTree, header: TxnHeader, txn: SetDataTxn, changes: list[Change]) -> OpResult:
    path = txn.path
    node = tree.nodes.get(path)
    if node is None:
        return OpResult(codes.OP_ERROR, codes.NO_NODE, path, None)
    before = node.data_bytes()
    tree.set_data(path, node, txn.data)
    node.version = txn.version
    node.mtime = header.time_ms
    node.mzxid = header.zxid
    tree.refresh(path, node)
    if path.startswith(QUOTA_PREFIX):
        tree.quota_data_set(path, node)
    tree.charge(path, 0, node.data_bytes() - before)
    changes.append(Change(codes.EVENT_NODE_DATA_CHANGED, path, node.acl))
    return OpResult(codes.OP_SET_DATA, 0, path, tree.stat_of(node))


def set_acl(tree: DataTree, txn: SetAclTxn) -> OpResult:
    node = tree.nodes.get(txn.path)
    if node is None:
        return OpResult(codes.OP_ERROR, codes.NO_NODE, txn.path, None)
    node.acl = tree.acl_list(txn.acl)
    node.aversion = txn.version
    tree.refresh(txn.path, node)
    return OpResult(codes.OP_SET_ACL, 0, txn.path, tree.stat_of(node))


def close_session(
    tree: DataTree, header: TxnHeader, txn: CloseSessionTxn, changes: list[Change]
) -> None:
    """Delete what the transaction names and whatever else the session still owns."""
    session_id = header.session_id
    if txn.paths is not None:
        for path in txn.paths:
            delete_path(tree, header, path, changes)
    left = tree.ephemerals.get(session_id)
    if left is not None:
        for path in sorted(left):
            delete_path(tree, header, path, changes)
    tree.sessions.pop(session_id, None)
