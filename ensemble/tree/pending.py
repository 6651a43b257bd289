"""What has been proposed and not yet applied: the tree as the next request must see it.

Between preparing a transaction and applying it lies a disk sync or a quorum. A request that arrives
meanwhile is checked against the tree plus these records, so pipelined requests see each other's
effects, as if each had been applied at once.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.tree.acl import AclList
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import node_digest
from ensemble.tree.znode import Znode


@final
@mypyc_attr(acyclic=True)
class ChangeRecord:
    """A znode as it will be once everything up to `zxid` is applied; or that it will be gone."""

    __slots__ = (
        "acl",
        "aversion",
        "ctime",
        "cversion",
        "czxid",
        "data",
        "digest",
        "exists",
        "mtime",
        "mzxid",
        "num_children",
        "owner",
        "path",
        "pzxid",
        "version",
        "zxid",
    )

    def __init__(self, path: bytes, zxid: i64, acl: AclList) -> None:
        self.path: Final = path
        self.zxid: Final = zxid
        self.acl: AclList = acl
        self.exists = True
        self.data: bytes | None = None
        self.czxid: i64 = 0
        self.mzxid: i64 = 0
        self.pzxid: i64 = 0
        self.ctime: i64 = 0
        self.mtime: i64 = 0
        self.version: i64 = 0
        self.cversion: i64 = 0
        self.aversion: i64 = 0
        self.owner: i64 = 0
        self.num_children: i64 = 0
        self.digest: i64 = 0

    def data_bytes(self) -> i64:
        data = self.data
        return 0 if data is None else len(data)


def record_of(path: bytes, node: Znode) -> ChangeRecord:
    """The applied state of a znode, as a record to read. Zxid 0: nothing is pending."""
    record = ChangeRecord(path, 0, node.acl)
    record.data = node.data
    record.czxid = node.czxid
    record.mzxid = node.mzxid
    record.pzxid = node.pzxid
    record.ctime = node.ctime
    record.mtime = node.mtime
    record.version = node.version
    record.cversion = node.cversion
    record.aversion = node.aversion
    record.owner = node.owner
    record.num_children = node.num_children()
    record.digest = node.digest
    return record


def successor(old: ChangeRecord, zxid: i64) -> ChangeRecord:
    """A copy to be changed by the transaction `zxid`."""
    record = ChangeRecord(old.path, zxid, old.acl)
    record.data = old.data
    record.czxid = old.czxid
    record.mzxid = old.mzxid
    record.pzxid = old.pzxid
    record.ctime = old.ctime
    record.mtime = old.mtime
    record.version = old.version
    record.cversion = old.cversion
    record.aversion = old.aversion
    record.owner = old.owner
    record.num_children = old.num_children
    record.digest = old.digest
    return record


@final
class PendingUsage:
    """What proposals will add to a quota's usage once they are applied."""

    __slots__ = ("bytes", "count", "path", "zxid")

    def __init__(self, path: bytes, zxid: i64, count: i64, size: i64) -> None:
        self.path: Final = path
        self.zxid: Final = zxid
        self.count: Final = count
        self.bytes: Final = size


@final
class PendingChanges:
    """The records in order of their zxids, the newest one of each path, and the digest to come.

    Invariants: `latest[p]` is the last record of `p` in `queue`; `digest` is the tree's digest once
    all of `queue` is applied, the tree's own where nothing is pending.
    """

    __slots__ = (
        "digest",
        "ephemeral_bytes",
        "ephemeral_queue",
        "latest",
        "queue",
        "tree",
        "usage",
        "usage_queue",
    )

    def __init__(self, tree: DataTree) -> None:
        self.tree: Final = tree
        self.queue: Final[deque[ChangeRecord]] = deque()
        self.latest: Final[dict[bytes, ChangeRecord]] = {}
        self.usage_queue: Final[deque[PendingUsage]] = deque()
        self.usage: Final[dict[bytes, tuple[int, int]]] = {}
        # Ephemerals proposed: (zxid, session id, bytes in its closeSession), and the sums by session.
        self.ephemeral_queue: Final[deque[tuple[int, int, int]]] = deque()
        self.ephemeral_bytes: Final[dict[int, int]] = {}
        self.digest: i64 = tree.digest

    def get(self, path: bytes) -> ChangeRecord | None:
        """The znode as the next request must see it, or None. Not to be changed."""
        if self.latest:
            record = self.latest.get(path)
            if record is not None:
                return record if record.exists else None
        node = self.tree.nodes.get(path)
        return None if node is None else record_of(path, node)

    def exists(self, path: bytes) -> bool:
        """Whether the next request must see a znode there."""
        record = self.latest.get(path)
        return path in self.tree.nodes if record is None else record.exists

    def put(self, record: ChangeRecord, before: i64) -> None:
        """Enter a change whose fields are final; `before` is the znode's digest until now, or 0."""
        if record.exists:
            record.digest = node_digest(
                record.path,
                record.data,
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
        else:
            record.digest = 0
        self.digest += record.digest - before
        self.queue.append(record)
        self.latest[record.path] = record

    def charge(self, path: bytes, zxid: i64, count: i64, size: i64) -> None:
        """Remember what a change below a limited path will add to its usage."""
        quota = self.tree.quotas.owner_of(path)
        if quota is None:
            return
        self.usage_queue.append(PendingUsage(quota.path, zxid, count, size))
        had = self.usage.get(quota.path, (0, 0))
        self.usage[quota.path] = (had[0] + count, had[1] + size)

    def on_applied(self, zxid: i64) -> None:
        """Forget what the tree now shows by itself."""
        queue = self.queue
        while queue and queue[0].zxid <= zxid:
            record = queue.popleft()
            if self.latest.get(record.path) is record:
                del self.latest[record.path]
        usage_queue = self.usage_queue
        while usage_queue and usage_queue[0].zxid <= zxid:
            self.uncharge(usage_queue.popleft())
        ephemeral_queue = self.ephemeral_queue
        while ephemeral_queue and ephemeral_queue[0][0] <= zxid:
            _, session_id, size = ephemeral_queue.popleft()
            self.uncount_ephemeral(session_id, size)

    def uncharge(self, pending: PendingUsage) -> None:
        had = self.usage[pending.path]
        left = (had[0] - pending.count, had[1] - pending.bytes)
        if left == (0, 0):
            del self.usage[pending.path]
        else:
            self.usage[pending.path] = left

    def count_ephemeral(self, session_id: int, zxid: int, size: int) -> None:
        """Remember how much a proposed ephemeral will add to its session's closeSession."""
        self.ephemeral_queue.append((zxid, session_id, size))
        self.ephemeral_bytes[session_id] = self.ephemeral_bytes.get(session_id, 0) + size

    def uncount_ephemeral(self, session_id: int, size: int) -> None:
        left = self.ephemeral_bytes[session_id] - size
        if left:
            self.ephemeral_bytes[session_id] = left
        else:
            del self.ephemeral_bytes[session_id]

    def mark(self) -> tuple[int, int, int, int]:
        """A place to come back to, for a multi that may fail half-way."""
        return len(self.queue), len(self.usage_queue), len(self.ephemeral_queue), self.digest

    def roll_back(self, mark: tuple[int, int, int, int]) -> None:
        """Undo everything after `mark`, newest first."""
        while len(self.ephemeral_queue) > mark[2]:
            _, session_id, size = self.ephemeral_queue.pop()
            self.uncount_ephemeral(session_id, size)
        while len(self.usage_queue) > mark[1]:
            self.uncharge(self.usage_queue.pop())
        undone: set[bytes] = set()
        while len(self.queue) > mark[0]:
            undone.add(self.queue.pop().path)
        for path in undone:
            del self.latest[path]
        if undone:
            # What was the latest before this multi is the latest again.
            for record in self.queue:
                if record.path in undone:
                    self.latest[record.path] = record
        self.digest = mark[3]

    def clear(self) -> None:
        """Leadership is lost: nothing that was proposed here is known to come."""
        self.queue.clear()
        self.latest.clear()
        self.usage_queue.clear()
        self.usage.clear()
        self.ephemeral_queue.clear()
        self.ephemeral_bytes.clear()
        self.digest = self.tree.digest
