"""What a budget has used, counted the slow way over the whole tree (docs/tenancy.md, Limits)."""

from librt.strings import BytesWriter

from ensemble.tree.budget import Budget
from ensemble.tree.datatree import DataTree
from ensemble.tree.znode import EPHEMERAL, kind_of_owner
from ensemble.wire.records import Acl, write_acl_vector

USAGE_TEXT_BYTES = 128


def acl_size(entries: list[Acl]) -> int:
    out = BytesWriter()
    write_acl_vector(out, entries)
    return len(out)


def recount(tree: DataTree, budget: Budget) -> tuple[int, int, int]:
    """Znodes, bytes and ephemerals."""
    znodes = size = ephemerals = 0
    for path, node in tree.nodes.items():
        seen = path
        if path.startswith(b"/zookeeper/quota/"):
            seen = path[len(b"/zookeeper/quota") :]
        if seen != budget.root and not seen.startswith(budget.root + b"/"):
            continue
        znodes += 1
        size += len(path) - len(budget.root) or 1
        stats = seen != path and path.endswith(b"/zookeeper_stats")
        size += USAGE_TEXT_BYTES if stats else len(node.data or b"")
        size += acl_size(node.acl.entries)
        ephemerals += kind_of_owner(node.owner, tree.extended_types) == EPHEMERAL
    return znodes, size, ephemerals


def used(budget: Budget) -> tuple[int, int, int]:
    return budget.used_znodes, budget.used_bytes, budget.used_ephemerals


def ahead(budget: Budget) -> tuple[int, int, int]:
    return budget.ahead_znodes, budget.ahead_bytes, budget.ahead_ephemerals
