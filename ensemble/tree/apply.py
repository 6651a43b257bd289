"""Transaction -> new state, what it gives its client, and what watchers hear of it.

Source: storage.md section 6, client.md 13.3. Applying cannot fail, whatever decodable transaction
comes: a failure would repeat at every replay. It is idempotent over a fuzzy snapshot: what is there
already stays, versions are absolute, and cversion and pzxid of a parent only move upward.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.tree import quota as quotas
from ensemble.tree.acl import AclList
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import NO_SUMS, UNKNOWN, Sums
from ensemble.tree.paths import ROOT
from ensemble.tree.znode import OWNER_CONTAINER, TTL_MAX, Znode, ttl_owner, wrap32
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
    Txn,
    TxnHeader,
)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Change:
    """One event for the watch table; `acl` decides who may hear of it (client.md 13.4)."""

    __slots__ = ("acl", "event", "path")

    def __init__(self, event: int, path: bytes, acl: AclList) -> None:
        self.event: Final = event
        self.path: Final = path
        self.acl: Final = acl


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class OpResult:
    """The outcome of one operation. `op` -1: it failed with `error`. `path` is the final one.

    For a reconfiguration it is what the reply shows in its place, the new configuration.
    """

    __slots__ = ("error", "op", "path", "stat")

    def __init__(self, op: i64, error: i64, path: bytes, stat: Stat | None) -> None:
        self.op: Final = op
        self.error: Final = error
        self.path: Final = path
        self.stat: Final = stat


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Applied:
    """What a transaction did: one result per operation, and the events in order.

    `multi`: the reply lists the results. `error`: the first one among them, 0 where all went well.
    """

    __slots__ = ("changes", "error", "multi", "results")

    def __init__(self, multi: bool) -> None:
        self.error: i64 = 0
        self.multi: Final = multi
        self.results: list[OpResult] = []
        self.changes: list[Change] = []

    def fail(self, error: i64) -> None:
        """An operation that has no effect."""
        self.results.append(OpResult(codes.OP_ERROR, error, b"", None))
        if self.error == 0:
            self.error = error


def apply(tree: DataTree, header: TxnHeader, txn: Txn, sums: Sums = NO_SUMS) -> Applied:
    """Apply a committed transaction. Cannot fail. `sums`: what is known of it already."""
    zxid = header.zxid
    if isinstance(txn, SetDataTxn):
        applied = Applied(False)
        _set_data(tree, header, header.type, txn, sums, applied)
    elif isinstance(txn, CreateTxn):
        applied = Applied(False)
        _create(tree, header, header.type, txn, sums, applied)
    elif isinstance(txn, DeleteTxn):
        applied = Applied(False)
        _delete(tree, zxid, header.type, txn.path, applied)
    elif isinstance(txn, MultiTxn):
        applied = Applied(True)
        _multi(tree, header, txn, applied)
    elif isinstance(txn, SetAclTxn):
        applied = Applied(False)
        _set_acl(tree, txn, applied)
    else:
        applied = Applied(False)
        if isinstance(txn, ErrorTxn):
            applied.fail(txn.err)
        elif isinstance(txn, CreateSessionTxn):
            tree.sessions[header.session_id] = txn.timeout_ms
        elif isinstance(txn, CloseSessionTxn):
            _close_session(tree, header, txn, applied)
    # Not before the last part: a snapshot must not be named after half a multi (ZOOKEEPER-3127).
    if zxid > tree.last_zxid:
        tree.last_zxid = zxid
    return applied


def _set_data(
    tree: DataTree, header: TxnHeader, op: i64, txn: SetDataTxn, sums: Sums, applied: Applied
) -> None:
    path = txn.path
    node = tree.nodes.get(path)
    if node is None:
        applied.fail(codes.NO_NODE)
        return
    difference = (0 if txn.data is None else len(txn.data)) - node.data_bytes()
    tree.set_data(path, node, txn.data, sums.content_crc)
    if tree.quotas.by_path:
        _account_set_data(tree, path, difference)
    node.version = wrap32(txn.version)
    node.mtime = header.time_ms
    node.mzxid = header.zxid
    tree.refresh(path, node, sums.node)
    applied.changes.append(Change(codes.EVENT_NODE_DATA_CHANGED, path, node.acl))
    shown = path
    if op == codes.OP_RECONFIG and txn.data is not None:
        shown = txn.data
    applied.results.append(OpResult(op, 0, shown, tree.stat_of(node)))


def _account_set_data(tree: DataTree, path: bytes, difference: int) -> None:
    target = quotas.limited_path(path, quotas.STATS_SUFFIX)
    if target is not None:
        tree.quotas.forget_usage(target)  # hand-written usage is the base of later changes
    owner = tree.quotas.owner_of(path)
    if owner is not None and difference != 0:
        tree.charge(owner, 0, difference)


def _create(
    tree: DataTree, header: TxnHeader, op: i64, txn: CreateTxn, sums: Sums, applied: Applied
) -> None:
    path = txn.path
    at = path.rfind(b"/")
    parent_path = ROOT if at == 0 else path[:at]
    parent = tree.nodes.get(parent_path)
    if at < 0 or parent is None or (at > 0 and len(parent_path) == 1):
        applied.fail(codes.NO_NODE)
        return
    zxid = header.zxid
    node = tree.nodes.get(path)
    if node is not None:
        # A fuzzy snapshot has the child already. Its parent may have been written before it was
        # created, and its ACL may be a number that the snapshot's table lacks.
        if len(path) > 1:
            tree.set_acl(path, node, tree.acls.take(txn.acl))
            if txn.parent_cversion != -1:
                _count_create(tree, parent_path, parent, txn.parent_cversion, zxid, UNKNOWN)
        applied.fail(codes.NODE_EXISTS)
        return
    owner: i64 = 0
    if op == codes.OP_CREATE_CONTAINER:
        owner = OWNER_CONTAINER
    elif op == codes.OP_CREATE_TTL:
        if 0 < txn.ttl <= TTL_MAX:
            owner = ttl_owner(txn.ttl)
    elif txn.ephemeral:
        owner = header.session_id
    node = Znode(txn.data, tree.acls.take(txn.acl), owner, zxid, header.time_ms)
    tree.insert(path, node, parent, sums)
    _count_create(tree, parent_path, parent, txn.parent_cversion, zxid, sums.parent)
    if tree.quotas.by_path or path.startswith(quotas.QUOTA_PREFIX):
        _account_create(tree, path, txn.data)
    applied.changes.append(Change(codes.EVENT_NODE_CREATED, path, node.acl))
    applied.changes.append(Change(codes.EVENT_NODE_CHILDREN_CHANGED, parent_path, parent.acl))
    applied.results.append(OpResult(op, 0, path, tree.stat_of(node)))


def _count_create(
    tree: DataTree,
    parent_path: bytes,
    parent: Znode,
    parent_cversion: i64,
    zxid: i64,
    digest: i64,
) -> None:
    """The parent's share of a create: never backward, so the counter sticks at its maximum."""
    counted = parent_cversion
    if counted == -1:
        counted = wrap32(parent.cversion + 1)
    if counted > parent.cversion:
        parent.cversion = counted
        parent.pzxid = zxid
    tree.refresh(parent_path, parent, digest)


def _account_create(tree: DataTree, path: bytes, data: bytes | None) -> None:
    target = quotas.limited_path(path, quotas.LIMITS_SUFFIX)
    if target is not None:
        tree.quotas.add(target)
    owner = tree.quotas.owner_of(path)
    if owner is not None:
        tree.charge(owner, 1, 0 if data is None else len(data))
    target = quotas.limited_path(path, quotas.STATS_SUFFIX)
    if target is not None:
        tree.reset_usage(target, path)


def _delete(tree: DataTree, zxid: i64, op: i64, path: bytes, applied: Applied) -> None:
    at = path.rfind(b"/")
    parent_path = ROOT if at == 0 else path[:at]
    parent = tree.nodes.get(parent_path)
    if at < 0 or parent is None or len(path) == 1:
        applied.fail(codes.NO_NODE)
        return
    node = tree.nodes.get(path)
    if node is not None:
        tree.remove(path, node, parent)
    if zxid > parent.pzxid:
        parent.pzxid = zxid
    tree.refresh(parent_path, parent)
    if node is None:
        applied.fail(codes.NO_NODE)
        return
    if tree.quotas.by_path:
        owner = tree.quotas.owner_of(path)
        if owner is not None:
            tree.charge(owner, -1, -node.data_bytes())
    applied.changes.append(Change(codes.EVENT_NODE_DELETED, path, node.acl))
    applied.changes.append(Change(codes.EVENT_NODE_CHILDREN_CHANGED, parent_path, parent.acl))
    applied.results.append(OpResult(op, 0, path, None))


def _set_acl(tree: DataTree, txn: SetAclTxn, applied: Applied) -> None:
    node = tree.nodes.get(txn.path)
    if node is None:
        applied.fail(codes.NO_NODE)
        return
    tree.set_acl(txn.path, node, tree.acls.take(txn.acl))
    node.aversion = wrap32(txn.version)
    tree.refresh(txn.path, node)
    applied.results.append(OpResult(codes.OP_SET_ACL, 0, txn.path, tree.stat_of(node)))


def _close_session(
    tree: DataTree, header: TxnHeader, txn: CloseSessionTxn, applied: Applied
) -> None:
    """Delete the listed paths, then whatever else the session still owns."""
    zxid = header.zxid
    session_id = header.session_id
    if txn.paths is not None:
        for path in txn.paths:
            _delete(tree, zxid, codes.OP_DELETE, path, applied)
    left = tree.ephemerals.get(session_id)
    if left is not None:
        for path in sorted(left):
            _delete(tree, zxid, codes.OP_DELETE, path, applied)
    tree.sessions.pop(session_id, None)
    applied.error = 0
    applied.results = []


def _multi(tree: DataTree, header: TxnHeader, txn: MultiTxn, applied: Applied) -> None:
    """All parts in order; or, with one error among them, none (storage.md 6.3)."""
    failed = False
    for part in txn.txns:
        if isinstance(part, ErrorTxn):
            failed = True
            break
    if failed:
        seen = False
        for part in txn.txns:
            if isinstance(part, ErrorTxn):
                applied.fail(part.err)
                seen = True
            else:
                applied.fail(codes.RUNTIME_INCONSISTENCY if seen else codes.OK)
        return
    for i in range(len(txn.txns)):
        part = txn.txns[i]
        op = txn.types[i]
        if isinstance(part, SetDataTxn):
            _set_data(tree, header, op, part, NO_SUMS, applied)
        elif isinstance(part, CreateTxn):
            _create(tree, header, op, part, NO_SUMS, applied)
        elif isinstance(part, DeleteTxn):
            _delete(tree, header.zxid, op, part.path, applied)
        elif isinstance(part, CheckTxn):
            applied.results.append(OpResult(op, 0, part.path, None))
