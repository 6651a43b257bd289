"""The tree: every znode and session that is committed and applied, and what is indexed about them.

Source: storage.md sections 5 and 6, quotas.md. Only `apply` and the snapshot reader change it.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tree import quota as quotas
from ensemble.tree.acl import AclList, AclTable, read_only_entries
from ensemble.tree.budget import counted_data
from ensemble.tree.budgets import Budgets
from ensemble.tree.digest import NO_SUMS, UNKNOWN, Sums, content_crc, is_counted, node_digest
from ensemble.tree.paths import CONFIG, QUOTA, ROOT, ZOOKEEPER
from ensemble.tree.quota import Quota, QuotaIndex
from ensemble.tree.znode import (
    CONTAINER,
    EPHEMERAL,
    TTL,
    Znode,
    kind_of_owner,
    wrap32,
)
from ensemble.wire.records import Stat

SYSTEM_PATHS: Final = (ROOT, ZOOKEEPER, QUOTA, CONFIG)


@final
class DataTree:
    """State: committed and applied.

    Invariants:
      - every node but the root is in its parent's `children`, and there is nothing else in them;
      - `ephemerals`, `containers`, `ttls` hold exactly the nodes of that kind, `ephemeral_bytes`
        the lengths of a session's paths;
      - `digest` is the sum of the nodes' digests, `data_bytes` that of path and data lengths;
      - each of `budgets` has used what a recount finds.
    """

    __slots__ = (
        "acls",
        "budgets",
        "containers",
        "data_bytes",
        "digest",
        "digest_enabled",
        "ephemeral_bytes",
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
        self.ephemeral_bytes: Final[dict[int, int]] = {}
        self.containers: Final[set[bytes]] = set()
        self.ttls: Final[set[bytes]] = set()
        self.acls: AclTable = AclTable()
        self.quotas: Final = QuotaIndex()
        self.budgets: Final = Budgets(self.nodes, extended_types)
        self.last_zxid: i64 = 0
        self.digest: i64 = 0
        self.data_bytes: i64 = 0
        self._add_built_in()

    def _add_built_in(self) -> None:
        """The four znodes of an empty tree (storage.md 5.1)."""
        acls = self.acls
        root = Znode(b"", acls.take(acls.open_list.entries), 0, 0, 0)
        self.insert(ROOT, root, None)
        top = Znode(b"", acls.take(acls.open_list.entries), 0, 0, 0)
        self.insert(ZOOKEEPER, top, root)
        self.insert(QUOTA, Znode(b"", acls.take(acls.open_list.entries), 0, 0, 0), top)
        config = Znode(b"", acls.take(read_only_entries()), 0, 0, 0)
        config.aversion = -1
        self.insert(CONFIG, config, top)

    def clear(self) -> None:
        """Nothing is left, not even the built-in znodes: a snapshot brings all of its own."""
        self.nodes.clear()
        self.sessions.clear()
        self.ephemerals.clear()
        self.ephemeral_bytes.clear()
        self.containers.clear()
        self.ttls.clear()
        self.quotas.clear()
        self.budgets.clear()
        # A new table: the numbers of a snapshot's ACLs must not meet those of the built-in znodes.
        self.acls = AclTable()
        self.last_zxid = 0
        self.digest = 0
        self.data_bytes = 0

    # Queries

    def ephemerals_count(self) -> int:
        """How many ephemeral nodes there are."""
        count = 0
        for paths in self.ephemerals.values():
            count += len(paths)
        return count

    def visible_owner(self, owner: i64) -> i64:
        """`ephemeralOwner` as clients see it: containers and TTL nodes have none."""
        if owner == 0:  # nearly always
            return 0
        return owner if self.is_ephemeral(owner) else 0

    def is_ephemeral(self, owner: i64) -> bool:
        """Whether a node with this owner goes with a session."""
        return owner != 0 and kind_of_owner(owner, self.extended_types) == EPHEMERAL

    def stat_of(self, node: Znode) -> Stat:
        """The stat that clients see (client.md section 9)."""
        num_children = node.num_children()
        return Stat(
            node.czxid,
            node.mzxid,
            node.ctime,
            node.mtime,
            node.version,
            wrap32(2 * node.cversion - num_children),
            node.aversion,
            self.visible_owner(node.owner),
            node.data_bytes(),
            num_children,
            node.pzxid,
        )

    # Changing nodes. Callers set a node's fields, then tell what they touched.

    def insert(self, path: bytes, node: Znode, parent: Znode | None, sums: Sums = NO_SUMS) -> None:
        """Add a node below its parent, which is not touched otherwise; None for the root."""
        assert path not in self.nodes, path
        if parent is not None:
            children = parent.children
            if children is None:
                children = set()
                parent.children = children
            children.add(path)
        self.nodes[path] = node
        data = node.data
        self.data_bytes += len(path) + (0 if data is None else len(data))
        if self.digest_enabled and is_counted(path):
            crc = sums.content_crc
            node.content_crc = content_crc(path, data) if crc == UNKNOWN else crc
            self.refresh(path, node, sums.node)
        if node.owner != 0:
            self._index(path, node.owner)
        if not self.budgets.is_empty:
            self.budgets.count(path, data, node.acl.wire_bytes, self.is_ephemeral(node.owner), 1)

    def remove(self, path: bytes, node: Znode, parent: Znode) -> None:
        """Take a node and all that is below it out of the tree. The parent's stat stays."""
        children = parent.children
        assert children is not None, path
        assert path in children, path
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

    def refresh(self, path: bytes, node: Znode, digest: i64 = UNKNOWN) -> None:
        """Numbers of a node have changed: bring the digest up to date."""
        if self.digest_enabled and is_counted(path):
            if digest == UNKNOWN:
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

    def set_data(self, path: bytes, node: Znode, data: bytes | None, crc: i64 = UNKNOWN) -> None:
        """Replace a node's data; `refresh` is called afterwards by whoever sets its numbers."""
        old = node.data
        self.data_bytes += (0 if data is None else len(data)) - (0 if old is None else len(old))
        node.data = data
        if not self.budgets.is_empty:
            self.budgets.count_growth(path, counted_data(path, data) - counted_data(path, old))
        if self.digest_enabled and is_counted(path):
            node.content_crc = content_crc(path, data) if crc == UNKNOWN else crc

    def set_acl(self, path: bytes, node: Znode, acl: AclList) -> None:
        """Replace a node's ACL by a list that was taken from the table for it."""
        if not self.budgets.is_empty:
            self.budgets.count_growth(path, acl.wire_bytes - node.acl.wire_bytes)
        self.acls.release(node.acl)
        node.acl = acl

    def _drop(self, path: bytes, node: Znode) -> None:
        del self.nodes[path]
        data = node.data
        self.data_bytes -= len(path) + (0 if data is None else len(data))
        self.digest -= node.digest
        node.digest = 0
        if not self.budgets.is_empty:
            self.budgets.count(path, data, node.acl.wire_bytes, self.is_ephemeral(node.owner), -1)
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
            self.ephemeral_bytes[owner] = self.ephemeral_bytes.get(owner, 0) + len(path)
        elif kind == CONTAINER:
            self.containers.add(path)
        elif kind == TTL:
            self.ttls.add(path)

    def _unindex(self, path: bytes, owner: i64) -> None:
        kind = kind_of_owner(owner, self.extended_types)
        if kind == EPHEMERAL:
            paths = self.ephemerals.get(owner)
            if paths is not None and path in paths:
                paths.remove(path)
                self.ephemeral_bytes[owner] -= len(path)
                if not paths:
                    del self.ephemerals[owner]
                    del self.ephemeral_bytes[owner]
        elif kind == CONTAINER:
            self.containers.discard(path)
        elif kind == TTL:
            self.ttls.discard(path)

    # Quota accounting (quotas.md section 4)

    def usage_of(self, quota: Quota) -> bool:
        """Make `quota.count` and `.size` valid. False: without a stats node nothing is counted."""
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
        """Account for a change that has happened. Of the stats node only the data changes."""
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
                quota = index.by_path.get(path[:end])
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
