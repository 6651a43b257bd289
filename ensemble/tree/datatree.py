"""The tree itself: state, invariants, and the few ways in which it changes.

Source: storage.md section 5. All paths in `nodes` are legal or came from a server's own files. A
znode's children are the keys of `nodes` themselves. Nothing here decides whether a change is
allowed.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tree.acl import AclList, AclTable
from ensemble.tree.digest import node_digest
from ensemble.tree.paths import ROOT, parent_of
from ensemble.tree.quota import (
    LIMITS_NAME,
    LIMITS_SUFFIX,
    QUOTA_PREFIX,
    STATS_SUFFIX,
    Quota,
    QuotaIndex,
    limited_path,
)
from ensemble.tree.znode import OWNER_CONTAINER, Znode, is_ttl_owner
from ensemble.wire import codes
from ensemble.wire.records import Acl, Id, Stat

SYSTEM_PATHS: Final = (b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config")


@final
class DataTree:
    """Committed and applied state.

    Invariants: every path but the root has its parent in `nodes` (but while a fuzzy snapshot is
    being caught up with); `ephemerals`, `containers` and `ttls` hold exactly the znodes with such
    owners; `digest` is the sum of the znodes' digests, `data_bytes` of path and data lengths.
    `sessions` maps global session ids to timeouts in milliseconds.
    """

    __slots__ = (
        "acls",
        "containers",
        "data_bytes",
        "digest",
        "ephemeral_bytes",
        "ephemerals",
        "extended_types",
        "last_zxid",
        "nodes",
        "quotas",
        "sessions",
        "ttls",
    )

    def __init__(self, extended_types: bool = False) -> None:
        self.extended_types: Final = extended_types
        self.nodes: Final[dict[bytes, Znode]] = {}
        self.sessions: Final[dict[int, int]] = {}
        self.ephemerals: Final[dict[int, set[bytes]]] = {}
        self.ephemeral_bytes: Final[dict[int, int]] = {}
        self.containers: Final[set[bytes]] = set()
        self.ttls: Final[set[bytes]] = set()
        self.acls: Final = AclTable()
        self.quotas: Final = QuotaIndex()
        self.last_zxid: i64 = 0
        self.digest: i64 = 0
        self.data_bytes: i64 = 0
        self.add_built_in()

    def add_built_in(self) -> None:
        """The four znodes of an empty tree (storage.md 5.1)."""
        acl = self.acls.open_list
        self.insert(ROOT, Znode(b"", acl, 0, 0, 0))
        self.insert(b"/zookeeper", Znode(b"", acl, 0, 0, 0))
        self.insert(b"/zookeeper/quota", Znode(b"", acl, 0, 0, 0))
        readable = self.acls.intern([Acl(codes.PERM_READ, Id("world", "anyone"))])
        config = Znode(b"", readable, 0, 0, 0)
        config.aversion = -1
        self.insert(b"/zookeeper/config", config)

    # Changes

    def insert(self, path: bytes, node: Znode) -> None:
        """Add a znode and enter it at its parent, if that exists."""
        assert path not in self.nodes
        self.nodes[path] = node
        if path != ROOT:
            parent = self.nodes.get(parent_of(path))
            if parent is not None:
                children = parent.children
                if children is None:
                    children = set()
                    parent.children = children
                children.add(path)
        self.index(path, node)

    def index(self, path: bytes, node: Znode) -> None:
        """Count a znode that has just been put into `nodes`."""
        self.data_bytes += len(path) + node.data_bytes()
        node.digest = self.digest_of(path, node)
        self.digest += node.digest
        owner = node.owner
        if owner == 0:
            return
        if owner == OWNER_CONTAINER:
            self.containers.add(path)
        elif self.extended_types and is_ttl_owner(owner):
            self.ttls.add(path)
        else:
            paths = self.ephemerals.get(owner)
            if paths is None:
                paths = set()
                self.ephemerals[owner] = paths
            paths.add(path)
            self.ephemeral_bytes[owner] = self.ephemeral_bytes.get(owner, 0) + len(path)

    def remove(self, path: bytes, node: Znode) -> None:
        """Take a znode out, and out of its parent's children."""
        del self.nodes[path]
        parent = self.nodes.get(parent_of(path))
        if parent is not None:
            children = parent.children
            if children is not None:
                children.discard(path)
                if not children:
                    parent.children = None
        self.data_bytes -= len(path) + node.data_bytes()
        self.digest -= node.digest
        owner = node.owner
        if owner == 0:
            return
        if owner == OWNER_CONTAINER:
            self.containers.discard(path)
        elif self.extended_types and is_ttl_owner(owner):
            self.ttls.discard(path)
        else:
            paths = self.ephemerals.get(owner)
            if paths is not None and path in paths:
                paths.discard(path)
                self.ephemeral_bytes[owner] -= len(path)
                if not paths:
                    del self.ephemerals[owner]
                    del self.ephemeral_bytes[owner]

    def set_data(self, path: bytes, node: Znode, data: bytes | None) -> None:
        """Replace the data only; `refresh` follows once the stat fields are set."""
        self.data_bytes -= node.data_bytes()
        node.data = data
        self.data_bytes += node.data_bytes()

    def refresh(self, path: bytes, node: Znode) -> None:
        """Bring the digest up to date after a znode's data or stat changed."""
        self.digest -= node.digest
        node.digest = self.digest_of(path, node)
        self.digest += node.digest

    def digest_of(self, path: bytes, node: Znode) -> i64:
        return node_digest(
            path,
            node.data,
            node.czxid,
            node.mzxid,
            node.pzxid,
            node.ctime,
            node.mtime,
            node.version,
            node.cversion,
            node.aversion,
            node.owner,
        )

    # Quotas (quotas.md sections 3 and 4)

    def quota_created(self, path: bytes, node: Znode) -> None:
        """A znode below /zookeeper/quota was created: it may start a quota or show its usage."""
        limited = limited_path(path, LIMITS_SUFFIX)
        if limited is not None:
            quota = Quota(limited)
            quota.set_limits(node.data)
            self.count_usage(quota)
            self.quotas.quotas[limited] = quota
            return
        limited = limited_path(path, STATS_SUFFIX)
        if limited is not None:
            shown = self.quotas.quotas.get(limited)
            if shown is None:
                shown = Quota(limited)
                self.count_usage(shown)
            else:
                self.count_usage(shown)
            self.set_data(path, node, shown.usage_text())

    def quota_data_set(self, path: bytes, node: Znode) -> None:
        """Limits take effect at once; usage written by hand becomes the base of later changes."""
        limited = limited_path(path, LIMITS_SUFFIX)
        if limited is not None:
            quota = self.quotas.quotas.get(limited)
            if quota is not None:
                quota.set_limits(node.data)
            return
        limited = limited_path(path, STATS_SUFFIX)
        if limited is not None:
            quota = self.quotas.quotas.get(limited)
            if quota is not None:
                self.read_usage(quota, node.data)

    def read_usage(self, quota: Quota, text: bytes | None) -> None:
        from_text = parse_usage(text)
        if from_text is None:
            self.count_usage(quota)
        else:
            quota.count = from_text[0]
            quota.bytes = from_text[1]

    def quota_deleted(self, path: bytes) -> None:
        limited = limited_path(path, LIMITS_SUFFIX)
        if limited is not None:
            self.quotas.quotas.pop(limited, None)

    def charge(self, path: bytes, count: i64, size: i64) -> None:
        """Account for a change below a limited path, and show it in the stats znode."""
        quota = self.quotas.owner_of(path)
        if quota is None:
            return
        stats_path = QUOTA_PREFIX[:-1] + quota.path + STATS_SUFFIX
        stats = self.nodes.get(stats_path)
        if stats is None:
            return
        quota.count += count
        quota.bytes += size
        self.set_data(stats_path, stats, quota.usage_text())

    def count_usage(self, quota: Quota) -> None:
        """Walk the subtree: count includes the limited znode itself, bytes are data only."""
        quota.count = 0
        quota.bytes = 0
        if quota.path not in self.nodes:
            return
        todo = [quota.path]
        while todo:
            path = todo.pop()
            node = self.nodes[path]
            quota.count += 1
            quota.bytes += node.data_bytes()
            children = node.children
            if children is not None:
                todo.extend(children)

    def rebuild_quotas(self) -> None:
        """After a snapshot: find every limits znode by name and recount all usage."""
        self.quotas.quotas.clear()
        todo = [b"/zookeeper/quota"]
        while todo:
            path = todo.pop()
            node = self.nodes.get(path)
            if node is None:
                continue
            if path.endswith(LIMITS_SUFFIX) and path.rpartition(b"/")[2] == LIMITS_NAME:
                self.quota_created(path, node)
            children = node.children
            if children is not None:
                todo.extend(children)
        for quota in self.quotas.quotas.values():
            stats_path = QUOTA_PREFIX[:-1] + quota.path + STATS_SUFFIX
            stats = self.nodes.get(stats_path)
            if stats is not None:
                self.set_data(stats_path, stats, quota.usage_text())

    # Queries

    def visible_owner(self, owner: i64) -> i64:
        """What clients see: containers and TTL nodes have no owner."""
        if owner == OWNER_CONTAINER or (self.extended_types and is_ttl_owner(owner)):
            return 0
        return owner

    def stat_of(self, node: Znode) -> Stat:
        """The stat that clients see (client.md section 9)."""
        num_children = node.num_children()
        return Stat(
            node.czxid,
            node.mzxid,
            node.ctime,
            node.mtime,
            node.version,
            visible_cversion(node.cversion, num_children),
            node.aversion,
            self.visible_owner(node.owner),
            node.data_bytes(),
            num_children,
            node.pzxid,
        )

    def acl_list(self, entries: list[Acl]) -> AclList:
        return self.acls.intern(entries)

    def ephemerals_count(self) -> int:
        return sum(len(paths) for paths in self.ephemerals.values())


def visible_cversion(cversion: i64, num_children: i64) -> i64:
    """Creations plus deletions, from creations and what is left of them; wraps at 32 bits."""
    value = (2 * cversion - num_children) & 0xFFFFFFFF
    return value - 0x100000000 if value >= 0x80000000 else value


def parse_usage(text: bytes | None) -> tuple[int, int] | None:
    """`count=2,bytes=8`, or None where it does not parse."""
    if text is None:
        return None
    count: int | None = None
    size: int | None = None
    for piece in text.split(b","):
        key, _, value = piece.partition(b"=")
        try:
            number = int(value)
        except ValueError:
            return None
        if not -(1 << 62) < number < 1 << 62:
            return None
        if key == b"count":
            count = number
        elif key == b"bytes":
            size = number
    return None if count is None or size is None else (count, size)
