"""Queries that are more than one look-up."""

from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import ROOT
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.requests import read_create, read_delete, read_set_data


def ephemerals_of(tree: DataTree, session_id: int, prefix: bytes) -> list[bytes]:
    """Paths of a session's ephemerals that start with the raw text `prefix`; blank means all."""
    paths = tree.ephemerals.get(session_id)
    if paths is None:
        return []
    return sorted([path for path in paths if has_prefix(path, prefix)])


def has_prefix(path: bytes, prefix: bytes) -> bool:
    """Whether getEphemerals with this prefix gives this path."""
    return not prefix.strip() or prefix == ROOT or path.startswith(prefix)


def count_descendants(tree: DataTree, path: bytes) -> int:
    """Znodes below `path` at any depth; the cost is that of the subtree, not of the tree."""
    nodes = tree.nodes
    if len(path) <= 1:
        return len(nodes) - 1
    top = nodes.get(path)
    if top is None or top.children is None:
        return 0
    count = 0
    waiting = [top.children]
    while waiting:
        children = waiting.pop()
        count += len(children)
        for child in children:
            below = nodes[child].children
            if below is not None:
                waiting.append(below)
    return count


def is_multi_write(op: int) -> bool:
    """Whether a write multi may hold this operation."""
    return op in (
        codes.OP_CREATE,
        codes.OP_CREATE2,
        codes.OP_CREATE_CONTAINER,
        codes.OP_CREATE_TTL,
        codes.OP_DELETE,
        codes.OP_SET_DATA,
        codes.OP_CHECK,
    )


def skip_multi_write(reader: Reader, op: int) -> None:
    """Step over the body of an operation of a write multi."""
    if op == codes.OP_SET_DATA:
        read_set_data(reader)
    elif op == codes.OP_DELETE or op == codes.OP_CHECK:
        read_delete(reader)
    else:
        read_create(reader, op)
