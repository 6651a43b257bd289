"""The tree: every znode and session that is committed and applied, and what is indexed about them.

Source: storage.md sections 5 and 6, quotas.md. Only `apply` and the snapshot reader change it.
"""

from typing import Final, final

from mypy_extensions import i32, i64

from ensemble.tree import quota as quotas
from ensemble.tree.acl import AclList, AclTable, read_only_entries
from ensemble.tree.digest import content_crc, is_counted, node_digest
from ensemble.tree.paths import CONFIG, QUOTA, ROOT, ZOOKEEPER, parent_of
from ensemble.tree.quota import Quota, QuotaIndex
from ensemble.tree.znode import (
    CONTAINER,
    EPHEMERAL,
    TTL,
    Znode,
    kind_of_owner,
)

BUILT_IN: Final = (ROOT, ZOOKEEPER, QUOTA, CONFIG)


@final
class DataTree:
    """State: committed and applied.

    Invariants (`check` tells which one is broken):
      - every node but the root is in its parent's `children`, and there is nothing else in them;
      - `ephemerals`, `containers`, `ttls` hold exactly the nodes of that kind;
      - `digest` is the sum of the nodes' digests, `data_bytes` that of path and data lengths.
    """

    __slots__ = (
        "acls",
        "containers",
        "data_bytes",
        "digest",
        "digest_enabled",
        "ephemerals",
        "extended_types",
        "last_zxid",
        "nodes",
        "quotas",
        "sessions",
        "ttls",
    )

    def __init__(self, extended_types: bool = False, digest_enabled: bool = True) -> None:
        self.extended_types: Final = extended_types
        self.digest_enabled: Final = digest_enabled
        self.nodes: Final[dict[bytes, Znode]] = {}
        self.sessions: Final[dict[int, int]] = {}
        self.ephemerals: Final[dict[int, set[bytes]]] = {}
        self.containers: Final[set[bytes]] = set()
        self.ttls: Final[set[bytes]] = set()
        self.acls: Final = AclTable()
        self.quotas: Final = QuotaIndex()
        self.last_zxid: i64 = 0
        self.digest: i64 = 0
        self.data_bytes: i64 = 0
        for path in BUILT_IN:
            if path == CONFIG:
                node = Znode(b"", self.acls.take(read_only_entries()), 0, 0, 0)
                node.aversion = -1
            else:
                node = Znode(b"", self.acls.take(self.acls.open.entries), 0, 0, 0)
            if path == ROOT:
                self._add(path, node)
            else:
                self.insert(path, node, self.nodes[parent_of(path)])

    def ephemerals_count(self) -> int:
        """How many ephemeral nodes there are."""
        count = 0
        for paths in self.ephemerals.values():
            count += len(paths)
        return count

    # Changing nodes. Callers set a node's fields, then tell what they touched.

    def insert(self, path: bytes, node: Znode, parent: Znode) -> None:
        """Add a node below its parent, which is not touched otherwise."""
        assert path not in self.nodes, path
        children = parent.children
        if children is None:
            children = set()
            parent.children = children
        children.add(path)
        self._add(path, node)

    def remove(self, path: bytes, node: Znode, parent: Znode) -> None:
        """Take a node and all that is below it out of the tree. The parent's stat stays."""
        children = parent.children
        assert children is not None and path in children, path
        if len(children) == 1:
            parent.children = None
        else:
            children.remove(path)
        if node.children is None:
            self._drop(path, node)
            return
        # Only a replay over a fuzzy snapshot deletes a node with children: they belong to a later
        # incarnation, whose creates follow in the log.
        doomed = [path]
        while doomed:
            path = doomed.pop()
            node = self.nodes[path]
            if node.children is not None:
                doomed.extend(node.children)
            self._drop(path, node)

    def touch_stat(self, path: bytes, node: Znode) -> None:
        """Numbers of a node have changed: bring the digest up to date."""
        if self.digest_enabled and is_counted(path):
            digest = node_digest(
                node.content_crc,
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
            self.digest += digest - node.digest
            node.digest = digest

    def set_data(self, path: bytes, node: Znode, data: bytes | None) -> None:
        """Replace a node's data; `touch_stat` is called afterwards by whoever sets its numbers."""
        old = node.data
        self.data_bytes += (0 if data is None else len(data)) - (0 if old is None else len(old))
        node.data = data
        if self.digest_enabled and is_counted(path):
            node.content_crc = content_crc(path, data)

    def set_acl(self, node: Znode, acl: AclList) -> None:
        """Replace a node's ACL by a list that was taken from the table for it."""
        self.acls.release(node.acl)
        node.acl = acl

    def _add(self, path: bytes, node: Znode) -> None:
        self.nodes[path] = node
        data = node.data
        self.data_bytes += len(path) + (0 if data is None else len(data))
        if self.digest_enabled and is_counted(path):
            node.content_crc = content_crc(path, data)
            self.touch_stat(path, node)
        if node.owner != 0:
            self._index(path, node.owner)

    def _drop(self, path: bytes, node: Znode) -> None:
        del self.nodes[path]
        data = node.data
        self.data_bytes -= len(path) + (0 if data is None else len(data))
        self.digest -= node.digest
        node.digest = 0
        self.acls.release(node.acl)
        if node.owner != 0:
            self._unindex(path, node.owner)
        if path.startswith(quotas.QUOTA_PREFIX):
            target = quotas.limited_path(path, quotas.LIMITS_SUFFIX)
            if target is not None:
                self.quotas.remove(target)
            target = quotas.limited_path(path, quotas.STATS_SUFFIX)
            if target is not None:
                self.quotas.forget_usage(target)

    def _index(self, path: bytes, owner: i64) -> None:
        kind = kind_of_owner(owner, self.extended_types)
        if kind == EPHEMERAL:
            paths = self.ephemerals.get(owner)
            if paths is None:
                paths = set()
                self.ephemerals[owner] = paths
            paths.add(path)
        elif kind == CONTAINER:
            self.containers.add(path)
        elif kind == TTL:
            self.ttls.add(path)

    def _unindex(self, path: bytes, owner: i64) -> None:
        kind = kind_of_owner(owner, self.extended_types)
        if kind == EPHEMERAL:
            paths = self.ephemerals.get(owner)
            if paths is not None:
                paths.discard(path)
                if not paths:
                    del self.ephemerals[owner]
        elif kind == CONTAINER:
            self.containers.discard(path)
        elif kind == TTL:
            self.ttls.discard(path)

    # Loading a snapshot

    def load_node(
        self,
        path: bytes,
        data: bytes | None,
        acl: AclList,
        czxid: i64,
        mzxid: i64,
        ctime: i64,
        mtime: i64,
        version: i32,
        cversion: i32,
        aversion: i32,
        owner: i64,
        pzxid: i64,
    ) -> bool:
        """A node of a snapshot; `acl` was taken from the table for it. False: no such parent.

        Built-in nodes, and whatever else is there already, are replaced in place. The root's path
        is the empty string in the file; both spellings are taken. Call `rebuild_quotas` at the end.
        """
        if not path:
            path = ROOT
        node = self.nodes.get(path)
        if node is None:
            if b"/" not in path:
                return False
            parent = self.nodes.get(parent_of(path))
            if parent is None:
                return False
            node = Znode(data, acl, czxid, ctime, owner)
            self.insert(path, node, parent)
        else:
            self.set_acl(node, acl)
            self.set_data(path, node, data)
            if node.owner != owner:
                self._unindex(path, node.owner)
                node.owner = owner
                if owner != 0:
                    self._index(path, owner)
        node.czxid = czxid
        node.mzxid = mzxid
        node.pzxid = pzxid
        node.ctime = ctime
        node.mtime = mtime
        node.version = version
        node.cversion = cversion
        node.aversion = aversion
        self.touch_stat(path, node)
        return True

    # Quota accounting (quotas.md section 4)

    def usage_of(self, quota: Quota) -> bool:
        """Make `quota.count` and `.size` valid. False: it has no stats node, so nothing is counted."""
        if quota.known:
            return True
        node = self.nodes.get(quota.stats_path)
        if node is None:
            return False
        usage = quotas.parse_usage(node.data)
        if usage is None:
            usage = self.measure(quota.path)
        quota.count, quota.size = usage
        quota.known = True
        return True

    def charge(self, quota: Quota, count: i64, size: i64) -> None:
        """A change has happened: its share of the usage, which changes the stats node's data alone."""
        node = self.nodes.get(quota.stats_path)
        if node is None:
            return
        if not quota.known:
            usage = quotas.parse_usage(node.data)
            if usage is None:
                # Nothing to add to: what is there now includes the change.
                usage = self.measure(quota.path)
                count = 0
                size = 0
            quota.count, quota.size = usage
            quota.known = True
        quota.count = _clamp(int(quota.count) + count)
        quota.size = _clamp(int(quota.size) + size)
        self._write_usage(quota)

    def measure(self, path: bytes) -> tuple[int, int]:
        """Count the nodes and data bytes of a subtree, its top included."""
        count = 0
        size = 0
        waiting = [path] if path in self.nodes else []
        while waiting:
            node = self.nodes[waiting.pop()]
            count += 1
            if node.data is not None:
                size += len(node.data)
            if node.children is not None:
                waiting.extend(node.children)
        return count, size

    def reset_usage(self, target: bytes, stats_path: bytes) -> None:
        """A stats node was created: whatever its creator wrote, it holds what is there."""
        count, size = self.measure(target)
        quota = self.quotas.by_path.get(target)
        if quota is not None:
            quota.count = count
            quota.size = size
            quota.known = True
            self._write_usage(quota)
        else:
            node = self.nodes[stats_path]
            self.set_data(stats_path, node, quotas.format_usage(count, size))

    def rebuild_quotas(self) -> None:
        """Index every limits node anew and count all usages in one pass over the tree.

        For the end of a snapshot, and again for the end of a replay over a fuzzy one.
        """
        index = self.quotas
        index.clear()
        for path in self.nodes:
            target = quotas.limited_path(path, quotas.LIMITS_SUFFIX)
            if target is not None:
                index.add(target)
        if not index.by_path:
            return
        for path, node in self.nodes.items():
            size = 0 if node.data is None else len(node.data)
            end = len(path)
            while end > 0:
                quota = index.by_path.get(path[:end]) if end <= index.longest else None
                if quota is not None:
                    quota.count += 1
                    quota.size += size
                end = path.rfind(b"/", 0, end)
        for quota in index.by_path.values():
            quota.known = quota.stats_path in self.nodes
            if quota.known:
                self._write_usage(quota)

    def _write_usage(self, quota: Quota) -> None:
        node = self.nodes[quota.stats_path]
        self.set_data(quota.stats_path, node, quotas.format_usage(quota.count, quota.size))


def _clamp(value: int) -> int:
    return max(quotas.I64_MIN, min(quotas.I64_MAX, value))
