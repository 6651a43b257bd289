"""The wall: what a tenant's paths mean, and what it is shown. All translation is in this file.

A tenant's `/` is its root, its `/zookeeper/quota` lies below the tree's own `/zookeeper/quota`, and
its `/zookeeper` is not in the tree at all: a constant znode with the one child `quota`. Whatever
else it names below `/zookeeper` is given a path that no znode can have. A path that does not begin
with `/` stays as it is: all of the tree's begin so, and it is refused as on any server.
"""

from typing import Final, final

from librt.strings import read_i32_be
from mypy_extensions import i64

from ensemble.tenancy import access
from ensemble.tree.acl import AclList, read_only_entries
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import QUOTA, ROOT, ZOOKEEPER, is_within
from ensemble.tree.reads import is_multi_write, skip_multi_write
from ensemble.tree.znode import Znode
from ensemble.wire import codes
from ensemble.wire.jute import BytesWriter, MarshallingError, Reader, write_buffer, write_int
from ensemble.wire.requests import (
    PathWatchRequest,
    read_create,
    read_delete,
    read_multi_header,
    read_path_watch,
    read_set_watches,
    write_multi_header,
    write_path_watch,
    write_set_watches,
)

SLASH: Final = 0x2F
LETTER_Z: Final = 0x7A
HEADS_MAX: Final = 256  # of one view: for paths shorter than that
ILLEGAL_NAME: Final = b"\x01"  # no znode's name contains it


@final
class View:
    """A tenant's view of the tree: its `/` is `root`.

    `zookeeper` is the path of its `/zookeeper` here, `top` the constant znode there, `shadowed` a
    path of the tree that stands behind it where an adopted root has a child of that name.
    """

    __slots__ = ("below", "heads", "quota", "root", "shadowed", "top", "zookeeper")

    def __init__(self, root: bytes) -> None:
        assert len(root) > 1
        self.root: Final = root
        self.below: Final = root + b"/"
        self.quota: Final = QUOTA + root
        self.shadowed: Final = root + ZOOKEEPER
        self.zookeeper: Final = root + ZOOKEEPER + b"/"
        top = Znode(b"", AclList(read_only_entries()), 0, 0, 0)
        top.children = {self.zookeeper + b"/quota"}
        self.top: Final = top
        # What a body begins with, by the length of the path in it: its length here, and the root.
        self.heads: Final[list[bytes | None]] = []

    def head(self, size: i64) -> bytes:
        """The begin of a body whose path has `size` bytes for the tenant."""
        if size < len(self.heads):
            known = self.heads[size]
            if known is not None:
                return known
        out = BytesWriter()
        write_int(out, size + len(self.root))
        out.write(self.root)
        head = out.getvalue()
        if size < HEADS_MAX:
            if not self.heads:
                self.heads.extend([None] * HEADS_MAX)
            self.heads[size] = head
        return head

    def inward(self, path: bytes) -> bytes:
        """The tree's path for a tenant's; the empty one is the root, as it is for reads."""
        size = len(path)
        if size < 2:
            return path if size == 1 and path != ROOT else self.root
        if path[0] != SLASH:
            return path
        if path[1] == LETTER_Z and is_within(path, ZOOKEEPER):
            if is_within(path, QUOTA):
                return self.quota + path[len(QUOTA) :]
            return self.zookeeper + path[len(ZOOKEEPER) :]
        return self.root + path

    def outward(self, path: bytes) -> bytes | None:
        """What a tenant calls a path of the tree; None for what it cannot see."""
        if path.startswith(self.below):
            own = path[len(self.root) :]
            if own[1] != LETTER_Z or not is_within(own, ZOOKEEPER):
                return own
            rest = own[len(ZOOKEEPER) + 1 :]
            if len(own) == len(ZOOKEEPER) or (rest and rest[0] != SLASH):
                return None  # in the shadow
            return ZOOKEEPER + rest
        if path == self.root:
            return ROOT
        if is_within(path, self.quota):
            return QUOTA + path[len(self.quota) :]
        return None if path[:1] == ROOT else path

    def inward_text(self, path: bytes) -> bytes:
        """For what is not looked up: there the empty path is no alias of the root."""
        return self.inward(path) if path else path

    def inward_write(self, path: bytes) -> bytes:
        """For writes. Of `//a` the parent is the root, which says that the name is not legal."""
        if len(path) > 1 and path[0] == SLASH and path[1] == SLASH and path.find(b"/", 2) < 0:
            return self.below + ILLEGAL_NAME + path[2:]
        return self.inward(path) if path else path

    def more_children(self, tree: DataTree) -> i64:
        """How many children the root has beside those in the tree: `zookeeper`."""
        return 0 if self.shadowed in tree.nodes else 1


@final
class Refusal:
    """A request that the wall refuses. `parts`: of a multi, of which `at` is the one; else -1."""

    __slots__ = ("at", "error", "parts")

    def __init__(self, error: int, at: i64 = -1, parts: i64 = -1) -> None:
        self.error: Final = error
        self.at: Final = at
        self.parts: Final = parts


def translate(view: View, op: i64, reader: Reader) -> Refusal | None:
    """Put the tree's paths into a request of a tenant, in place of its own.

    A body that cannot be decoded is left without a path, so that it is refused as such later.
    """
    shape = access.shape_of(op)
    if shape == access.NO_PATH:
        return None
    if shape <= access.CHANGE:
        # Nearly all requests: one path at the begin, which just gets the root ahead of it.
        buf = reader.buf
        at = reader.at
        room = reader.end - at - 4
        size = i64(read_i32_be(buf, at)) if room >= 2 else 0
        if 2 <= size <= room and buf[at + 4] == SLASH:
            second = buf[at + 5]
            if second != LETTER_Z and second != SLASH:
                body = view.head(size) + buf[at + 4 : reader.end]
                reader.buf = body
                reader.at = 0
                reader.end = len(body)
                return None
    try:
        if shape == access.PARTS:
            return _translate_multi(view, reader)
        if shape == access.READ_PARTS:
            _translate_multi_read(view, reader)
            return None
        if shape == access.WATCHES:
            _translate_watches(view, op, reader)
            return None
        at = reader.at
        path = reader.read_buffer()
        if path is None:
            reader.at = at  # a marshalling error, or a watch that nobody has set
            return None
        if shape == access.NODE:
            path = view.inward(path)
        elif shape == access.TEXT:
            path = view.inward_text(path)
        else:
            after = reader.at
            reader.at = at
            error, path = _write_path(view, op, path, reader)
            if error != 0:
                return Refusal(error)
            reader.at = after
        _put(reader, path)
    except MarshallingError:
        reader.at = reader.end
    return None


def _put(reader: Reader, path: bytes) -> None:
    """A body that begins with `path`, and goes on with what the reader has left."""
    out = BytesWriter()
    write_buffer(out, path)
    out.write(reader.rest())
    _replace(reader, out)


def _replace(reader: Reader, out: BytesWriter) -> None:
    body = out.getvalue()
    reader.buf = body
    reader.at = 0
    reader.end = len(body)


def _write_path(view: View, op: i64, path: bytes, body: Reader) -> tuple[int, bytes]:
    """The tree's path for a write whose body begins at `body`; or the error that it gets."""
    inside = is_within(path, ZOOKEEPER)
    if not inside and path != ROOT:
        return 0, view.inward_write(path)
    if op == codes.OP_DELETE:
        if path in (ROOT, ZOOKEEPER, QUOTA):
            return 0, b""  # refused when it is prepared, in its turn among a multi's parts
    elif op == codes.OP_SET_DATA or op == codes.OP_SET_ACL:
        if not inside:
            return 0, view.root
    elif op == codes.OP_CHECK:
        return _check_path(view, path, read_delete(body).version)
    elif path in (ROOT, ZOOKEEPER, QUOTA):
        flags = read_create(body, op).flags
        sequential = (
            flags == codes.CREATE_PERSISTENT_SEQUENTIAL
            or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
            or flags == codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL
        )
        if not sequential:
            return codes.NODE_EXISTS, path
        # A number is appended: behind the slash it stays inside, behind the root's name it would
        # be a neighbour.
        if path == ROOT:
            return 0, view.below
        return (0, view.shadowed) if path == ZOOKEEPER else (codes.NO_AUTH, path)
    if is_within(path, QUOTA):
        return 0, view.inward(path)
    return codes.NO_AUTH, path


def _check_path(view: View, path: bytes, version: i64) -> tuple[int, bytes]:
    """`/zookeeper` is there, in version 0; nothing else but quotas is below it."""
    if not is_within(path, ZOOKEEPER) or is_within(path, QUOTA):
        return 0, view.inward(path)
    if path != ZOOKEEPER:
        return codes.NO_NODE, path
    if version != codes.VERSION_ANY and version != 0:
        return codes.BAD_VERSION, path
    return codes.OK, view.root


def _translate_multi(view: View, reader: Reader) -> Refusal | None:
    """Every part; the first one that the wall refuses refuses the whole."""
    out = BytesWriter()
    refused: Refusal | None = None
    index: i64 = 0
    while True:
        op = read_multi_header(reader)
        if op is None:
            break
        if not is_multi_write(op):
            raise MarshallingError(f"{codes.name_of_op(op)} in a multi")
        at = reader.at
        named = reader.read_path()
        after = reader.at
        error, path = _write_path(view, op, named, Reader(reader.buf, at, reader.end))
        if error != 0 and refused is None:
            refused = Refusal(error, index)
        reader.at = at
        skip_multi_write(reader, op)
        write_multi_header(out, op, False, -1)
        write_buffer(out, path)
        if op == codes.OP_CHECK and named == ZOOKEEPER:
            write_int(out, codes.VERSION_ANY)  # the version has been compared, the root is there
        else:
            out.write(reader.buf[after : reader.at])
        index += 1
    if refused is not None:
        return Refusal(refused.error, refused.at, index)
    write_multi_header(out, -1, True, -1)
    _replace(reader, out)
    return None


def _translate_multi_read(view: View, reader: Reader) -> None:
    out = BytesWriter()
    while True:
        op = read_multi_header(reader)
        if op is None:
            break
        write_multi_header(out, op, False, -1)
        if op == codes.OP_GET_DATA or op == codes.OP_GET_CHILDREN:
            request = read_path_watch(reader)
            write_path_watch(out, PathWatchRequest(view.inward(request.path), request.watch))
            continue
        if not is_multi_write(op):
            raise MarshallingError(f"{codes.name_of_op(op)} in a multiRead")
        at = reader.at
        skip_multi_write(reader, op)  # its path is looked at by nobody
        out.write(reader.buf[at : reader.at])
    write_multi_header(out, -1, True, -1)
    _replace(reader, out)


def _translate_watches(view: View, op: i64, reader: Reader) -> None:
    request = read_set_watches(reader, op)
    for paths in (
        request.data,
        request.exist,
        request.child,
        request.persistent,
        request.recursive,
    ):
        for i in range(len(paths)):
            paths[i] = view.inward_text(paths[i])
    out = BytesWriter()
    write_set_watches(out, request, op)
    _replace(reader, out)
