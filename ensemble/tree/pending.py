"""Changes that are proposed and not applied yet: what a request sees on top of the tree.

Requests are checked against the tree plus everything that is ahead of them in the pipeline. What is
ahead is one `ChangeRecord` per path, kept until the last transaction that touched it is applied.
Inside a multi every change is journaled, so that a failing part can undo those before it.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.tree.acl import AclList
from ensemble.tree.budget import Budget, counted_data
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import is_counted, node_digest
from ensemble.tree.znode import EPHEMERAL, Znode, kind_of_owner

FRESH: Final[i64] = 0  # the zxid of a record that only repeats what is applied


@final
@mypyc_attr(acyclic=True)
class ChangeRecord:
    """A znode as it will be after the transaction `zxid`, the last one that touches it.

    `sequence`: what the next sequential child is numbered with inside the same transaction. It runs
    past the largest cversion, where `cversion` itself sticks (client.md section 11).
    """

    __slots__ = (
        "acl",
        "aversion",
        "content_crc",
        "ctime",
        "cversion",
        "czxid",
        "data",
        "deleted",
        "digest",
        "mtime",
        "mzxid",
        "num_children",
        "owner",
        "path",
        "pzxid",
        "sequence",
        "version",
        "zxid",
    )

    def __init__(
        self, path: bytes, data: bytes | None, acl: AclList, zxid: i64, time_ms: i64, owner: i64
    ) -> None:
        self.path: Final = path
        self.data: bytes | None = data
        self.acl: AclList = acl
        self.zxid: i64 = zxid
        self.deleted = False
        self.num_children: i64 = 0
        self.czxid: i64 = zxid
        self.mzxid: i64 = zxid
        self.pzxid: i64 = zxid
        self.ctime: i64 = time_ms
        self.mtime: i64 = time_ms
        self.owner: i64 = owner
        self.version: i64 = 0
        self.cversion: i64 = 0
        self.aversion: i64 = 0
        self.sequence: i64 = 0
        self.content_crc: i64 = 0
        self.digest: i64 = 0

    def data_bytes(self) -> i64:
        data = self.data
        return 0 if data is None else len(data)


def record_of(path: bytes, node: Znode) -> ChangeRecord:
    """A fresh record of an applied node."""
    record = ChangeRecord(path, node.data, node.acl, FRESH, node.ctime, node.owner)
    children = node.children
    if children is not None:
        record.num_children = len(children)
    record.czxid = node.czxid
    record.mzxid = node.mzxid
    record.pzxid = node.pzxid
    record.mtime = node.mtime
    record.version = node.version
    record.cversion = node.cversion
    record.aversion = node.aversion
    record.sequence = node.cversion
    record.content_crc = node.content_crc
    record.digest = node.digest
    return record


def successor(record: ChangeRecord, zxid: i64) -> ChangeRecord:
    """A copy that a part of a multi may change, and that its failure leaves behind."""
    copy = ChangeRecord(record.path, record.data, record.acl, zxid, record.ctime, record.owner)
    copy.num_children = record.num_children
    copy.czxid = record.czxid
    copy.mzxid = record.mzxid
    copy.pzxid = record.pzxid
    copy.mtime = record.mtime
    copy.version = record.version
    copy.cversion = record.cversion
    copy.aversion = record.aversion
    copy.sequence = record.cversion
    copy.content_crc = record.content_crc
    copy.digest = record.digest
    return copy


@final
class Charge:
    """A proposed change of a limited path's usage."""

    __slots__ = ("count", "path", "size", "zxid")

    def __init__(self, zxid: i64, path: bytes, count: i64, size: i64) -> None:
        self.zxid: Final = zxid
        self.path: Final = path
        self.count: Final = count
        self.size: Final = size


@final
class Usage:
    """The sum of the charges of one limited path, and how many they are."""

    __slots__ = ("charges", "count", "size")

    def __init__(self) -> None:
        self.charges: i64 = 0
        self.count: i64 = 0
        self.size: i64 = 0


@final
class SessionChange:
    """A session that was opened or closed by a proposed transaction."""

    __slots__ = ("session_id", "zxid")

    def __init__(self, zxid: i64, session_id: i64) -> None:
        self.zxid: Final = zxid
        self.session_id: Final = session_id


@final
class Mark:
    """A point to go back to."""

    __slots__ = ("charges", "digest")

    def __init__(self, charges: i64, digest: i64) -> None:
        self.charges: Final = charges
        self.digest: Final = digest


@final
class PendingChanges:
    """The overlay. Bounded by the pipeline: it holds what is proposed and not yet applied.

    Invariants:
      - `by_path[p]` is what the next request sees of `p`; a path that is not in it is as applied;
      - `touched` lists the records of the transaction that is being prepared, without repetition;
      - `ephemerals` holds the ephemeral records of `by_path` that are proposed to be created.
    """

    __slots__ = (
        "by_path",
        "charges",
        "closing",
        "digest",
        "ephemeral_bytes",
        "ephemerals",
        "journal",
        "journaling",
        "opening",
        "session_changes",
        "touched",
        "tree",
        "usage",
        "zxid",
    )

    def __init__(self, tree: DataTree) -> None:
        self.tree: Final = tree
        self.zxid: i64 = 0  # of the transaction that is being prepared
        self.digest: i64 = tree.digest  # the tree's digest after everything proposed
        self.by_path: Final[dict[bytes, ChangeRecord]] = {}
        self.touched: list[ChangeRecord] = []
        self.ephemerals: Final[dict[int, dict[bytes, ChangeRecord]]] = {}
        self.ephemeral_bytes: Final[dict[int, int]] = {}  # the lengths of these paths
        self.opening: Final[dict[int, int]] = {}  # session id -> zxid of its createSession
        self.closing: Final[dict[int, int]] = {}  # session id -> zxid of its closeSession
        self.session_changes: Final[deque[SessionChange]] = deque()
        self.usage: Final[dict[bytes, Usage]] = {}
        self.charges: Final[deque[Charge]] = deque()
        self.journaling = False
        self.journal: list[ChangeRecord | None] = []  # what each of `touched` replaced

    # Nodes

    def find(self, path: bytes) -> ChangeRecord | None:
        """The node as the next request sees it."""
        record = self.by_path.get(path)
        if record is not None:
            return None if record.deleted else record
        node = self.tree.nodes.get(path)
        return None if node is None else record_of(path, node)

    def exists(self, path: bytes) -> bool:
        record = self.by_path.get(path)
        if record is not None:
            return not record.deleted
        return path in self.tree.nodes

    def own(self, record: ChangeRecord) -> ChangeRecord:
        """A record of the current transaction for what `find` gave; the caller changes it."""
        zxid = self.zxid
        if record.zxid == zxid:
            return record  # touched already
        if record.zxid != FRESH:
            if not self.journaling:
                record.zxid = zxid
                record.sequence = record.cversion
                self.touched.append(record)
                return record
            record = successor(record, zxid)
        record.zxid = zxid
        self._store(record)
        return record

    def add(self, record: ChangeRecord) -> None:
        """A node that the current transaction creates."""
        self._store(record)
        self.redigest(record)
        if record.owner != 0:
            self._index(record)

    def redigest(self, record: ChangeRecord) -> None:
        """Numbers of a record have changed: predict the digest."""
        if self.tree.digest_enabled and is_counted(record.path):
            digest = node_digest(
                record.content_crc,
                record.czxid,
                record.mzxid,
                record.pzxid,
                record.ctime,
                record.mtime,
                record.version,
                record.cversion,
                record.aversion,
                record.owner,
            )
            self.digest += digest - record.digest
            record.digest = digest

    def delete(self, record: ChangeRecord) -> None:
        """The current transaction deletes this node."""
        record = self.own(record)
        record.deleted = True
        if record.owner != 0:
            self._unindex(record)
        self.digest -= record.digest
        record.digest = 0

    def ephemerals_of(self, session_id: i64) -> list[ChangeRecord]:
        """Every ephemeral that the session will own when the next transaction is applied.

        In the order of their paths: equal histories give equal logs, whatever the hash seed is.
        """
        applied = self.tree.ephemerals.get(session_id)
        proposed = self.ephemerals.get(session_id)
        paths: set[bytes] = set()
        if applied is not None:
            paths.update(applied)
        if proposed is not None:
            paths.update(proposed)
        owned: list[ChangeRecord] = []
        for path in sorted(paths):
            record = self.find(path)
            if record is not None and record.owner == session_id:
                owned.append(record)
        return owned

    def _store(self, record: ChangeRecord) -> None:
        if self.journaling:
            self.journal.append(self.by_path.get(record.path))
        self.by_path[record.path] = record
        self.touched.append(record)

    def _index(self, record: ChangeRecord) -> None:
        owner = record.owner
        if kind_of_owner(owner, self.tree.extended_types) != EPHEMERAL:
            return
        paths = self.ephemerals.get(owner)
        if paths is None:
            paths = {}
            self.ephemerals[owner] = paths
            self.ephemeral_bytes[owner] = 0
        if record.path not in paths:
            self.ephemeral_bytes[owner] += len(record.path)
        paths[record.path] = record

    def _unindex(self, record: ChangeRecord) -> None:
        paths = self.ephemerals.get(record.owner)
        if paths is not None and record.path in paths:
            del paths[record.path]
            self.ephemeral_bytes[record.owner] -= len(record.path)
            if not paths:
                del self.ephemerals[record.owner]
                del self.ephemeral_bytes[record.owner]

    def close_bytes(self, session_id: i64) -> i64:
        """The size of the list in the session's closeSession, if it were proposed now; or more."""
        size: i64 = 0
        applied = self.tree.ephemerals.get(session_id)
        if applied is not None:
            size += self.tree.ephemeral_bytes[session_id] + 4 * len(applied)
        proposed = self.ephemerals.get(session_id)
        if proposed is not None:
            size += self.ephemeral_bytes[session_id] + 4 * len(proposed)
        return size

    # Sessions

    def open_session(self, session_id: i64) -> None:
        self.closing.pop(session_id, None)
        self.opening[session_id] = self.zxid
        self.session_changes.append(SessionChange(self.zxid, session_id))

    def close_session(self, session_id: i64) -> None:
        self.opening.pop(session_id, None)
        self.closing[session_id] = self.zxid
        self.session_changes.append(SessionChange(self.zxid, session_id))

    def is_alive(self, session_id: i64) -> bool:
        """Whether a global session is open, or will be, and no close of it is on its way."""
        if self.closing and session_id in self.closing:
            return False
        return session_id in self.tree.sessions or session_id in self.opening

    # Usage of limited paths

    def charge(self, path: bytes, count: i64, size: i64) -> None:
        """The current transaction changes the usage of a limited path."""
        usage = self.usage.get(path)
        if usage is None:
            usage = Usage()
            self.usage[path] = usage
        usage.charges += 1
        usage.count += count
        usage.size += size
        self.charges.append(Charge(self.zxid, path, count, size))

    def _uncharge(self, charge: Charge) -> None:
        usage = self.usage[charge.path]
        usage.charges -= 1
        usage.count -= charge.count
        usage.size -= charge.size
        if usage.charges == 0:
            del self.usage[charge.path]

    def count_ahead(self) -> None:
        """New budgets have come while something is proposed: what it will change counts ahead."""
        budgets = self.tree.budgets
        fresh = budgets.fresh
        budgets.fresh = []
        for budget in fresh:
            budget.look_back()
        for path, record in self.by_path.items():
            owner = budgets.owner_of(path)
            if owner is None or owner not in fresh:
                continue
            node = self.tree.nodes.get(path)
            if node is not None:
                self._count_ahead(owner, path, node.data, node.acl, node.owner, -1)
            if not record.deleted:
                self._count_ahead(owner, path, record.data, record.acl, record.owner, 1)

    def _count_ahead(
        self, budget: Budget, path: bytes, data: bytes | None, acl: AclList, owner: i64, sign: i64
    ) -> None:
        weight = budget.weight(path, counted_data(path, data), acl.wire_bytes)
        budget.spend(sign, sign * weight, sign if self.tree.is_ephemeral(owner) else 0)

    # All or nothing

    def begin_multi(self) -> Mark:
        """Journal from here on, until `end_multi` or `roll_back`."""
        assert not self.journaling
        assert not self.journal
        assert not self.touched
        self.journaling = True
        self.tree.budgets.begin_multi()
        return Mark(len(self.charges), self.digest)

    def end_multi(self) -> None:
        """Keep what has been changed since the mark."""
        self.journaling = False
        self.journal = []
        self.tree.budgets.end_multi()

    def roll_back(self, mark: Mark) -> None:
        """Undo everything since the mark, newest first."""
        while self.touched:
            record = self.touched.pop()
            before = self.journal.pop()
            if record.owner != 0:
                self._unindex(record)
            if before is None:
                del self.by_path[record.path]
            else:
                self.by_path[record.path] = before
                if before.owner != 0 and not before.deleted:
                    self._index(before)
        while len(self.charges) > mark.charges:
            self._uncharge(self.charges.pop())
        self.digest = mark.digest
        self.tree.budgets.roll_back()
        self.end_multi()

    # Transactions are applied, or never will be

    def on_applied(self, zxid: i64, touched: list[ChangeRecord]) -> None:
        """The tree has everything up to `zxid`, which touched these records."""
        for record in touched:
            if record.zxid <= zxid and self.by_path.get(record.path) is record:
                del self.by_path[record.path]
                if record.owner != 0:
                    self._unindex(record)
        while self.charges and self.charges[0].zxid <= zxid:
            self._uncharge(self.charges.popleft())
        while self.session_changes and self.session_changes[0].zxid <= zxid:
            change = self.session_changes.popleft()
            for table in (self.opening, self.closing):
                if table.get(change.session_id) == change.zxid:
                    del table[change.session_id]

    def discard(self) -> None:
        """What is proposed will not be applied: only the tree counts."""
        self.by_path.clear()
        self.touched = []
        self.ephemerals.clear()
        self.ephemeral_bytes.clear()
        self.opening.clear()
        self.closing.clear()
        self.session_changes.clear()
        self.usage.clear()
        self.charges.clear()
        self.journal = []
        self.journaling = False
        self.digest = self.tree.digest
        self.tree.budgets.discard()
