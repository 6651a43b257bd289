"""Containers and TTL nodes whose time is over.

Source: client.md section 11. The server that orders writes asks from time to time, and issues a
deleteContainer for each path; whether it still applies is decided when that is prepared.
"""

from ensemble.tree.datatree import DataTree
from ensemble.tree.znode import ttl_of


def due(tree: DataTree, now_ms: int, never_used_ms: int, paths_max: int) -> list[bytes]:
    """At most `paths_max` paths to delete.

    Args:
        tree: applied state.
        now_ms: wall clock, milliseconds since the epoch.
        never_used_ms: age at which a container that never had a child goes too; 0: never.
        paths_max: bound on the answer.
    """
    found: list[bytes] = []
    for path in tree.containers:
        node = tree.nodes[path]
        if node.children:
            continue
        unused = node.cversion == 0 and 0 < never_used_ms < now_ms - node.mtime
        if node.cversion > 0 or unused:
            found.append(path)
            if len(found) >= paths_max:
                return found
    for path in tree.ttls:
        node = tree.nodes[path]
        if not node.children and now_ms - node.mtime > ttl_of(node.owner):
            found.append(path)
            if len(found) >= paths_max:
                return found
    return found
