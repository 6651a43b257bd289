"""What queries answer. Nothing here changes the tree or registers a watch.

Source: client.md section 7, auth.md section 2. Paths are not validated: a malformed one is a missing
node, and the empty string is the root.
"""

from ensemble.errors import KeeperError
from ensemble.tree.acl import AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import ROOT
from ensemble.tree.znode import Znode
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.records import Acl, Id
from ensemble.wire.requests import read_create, read_delete, read_set_data


def readable_node(tree: DataTree, schemes: AclSchemes, path: bytes, ids: list[Id]) -> Znode:
    """The node for getData, getChildren and getAllChildrenNumber.

    Raises:
        KeeperError: -101 it is missing, -102 none of `ids` may read it.
    """
    node = tree.nodes.get(path or ROOT)
    if node is None:
        raise KeeperError(codes.NO_NODE, "no such node")
    if not schemes.check(node.acl, codes.PERM_READ, ids):
        raise KeeperError(codes.NO_AUTH, "reading is not allowed")
    return node


def existing_node(
    tree: DataTree, schemes: AclSchemes, path: bytes, ids: list[Id]
) -> Znode | None:
    """The node for exists, None if it is missing.

    Raises:
        KeeperError: -8 the path contains NUL, -102 none of `ids` may read the node.
    """
    if b"\0" in path:
        raise KeeperError(codes.BAD_ARGUMENTS, "a path with a NUL")
    node = tree.nodes.get(path or ROOT)
    if node is not None and not schemes.check(node.acl, codes.PERM_READ, ids):
        raise KeeperError(codes.NO_AUTH, "reading is not allowed")
    return node


def child_names(path: bytes, node: Znode) -> list[bytes]:
    """The names of a node's children, in no particular order."""
    children = node.children
    if children is None:
        return []
    cut = 1 if len(path) <= 1 else len(path) + 1
    return [child[cut:] for child in children]


def visible_acl(tree: DataTree, schemes: AclSchemes, path: bytes, ids: list[Id]) -> list[Acl]:
    """getACL: the whole list with ADMIN, without password hashes with READ.

    Raises:
        KeeperError: -101 the node is missing, -102 neither permission is held.
    """
    node = tree.nodes.get(path or ROOT)
    if node is None:
        raise KeeperError(codes.NO_NODE, "no such node")
    if schemes.check(node.acl, codes.PERM_ADMIN, ids):
        return node.acl.entries
    if schemes.check(node.acl, codes.PERM_READ, ids):
        return schemes.redact(node.acl)
    raise KeeperError(codes.NO_AUTH, "neither READ nor ADMIN is held")


def count_descendants(tree: DataTree, path: bytes) -> int:
    """Nodes at any depth below `path`: 0 for a missing node. Costs as much as there are."""
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


def ephemerals_of(tree: DataTree, session_id: int, prefix: bytes) -> list[bytes]:
    """The ephemerals of a session whose path starts with `prefix`; a blank one or `/` means all."""
    owned = tree.ephemerals.get(session_id)
    if owned is None:
        return []
    if prefix == ROOT or not prefix.strip():
        return list(owned)
    return [path for path in owned if path.startswith(prefix)]


def is_multi_write(op: int) -> bool:
    """Whether a multi may hold this operation; a multiRead may not."""
    return (
        op == codes.OP_CREATE
        or op == codes.OP_CREATE2
        or op == codes.OP_CREATE_CONTAINER
        or op == codes.OP_CREATE_TTL
        or op == codes.OP_SET_DATA
        or op == codes.OP_DELETE
        or op == codes.OP_CHECK
    )


def skip_multi_write(reader: Reader, op: int) -> None:
    """Step over the body of such an operation.

    Raises:
        MarshallingError: it is too short, or `op` is none of them.
    """
    if op == codes.OP_SET_DATA:
        read_set_data(reader)
    elif op == codes.OP_DELETE or op == codes.OP_CHECK:
        read_delete(reader)
    elif is_multi_write(op):
        read_create(reader, op)
    else:
        raise MarshallingError(f"{codes.name_of_op(op)} in a multi")
