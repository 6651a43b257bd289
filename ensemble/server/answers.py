"""Replies to reads and to watch management, written straight into a connection's buffer.

Source: client.md sections 7, 12, 13. A read never leaves the loop's turn; its reply carries the
last applied zxid. Nothing here waits and nothing changes the tree.
"""

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

from ensemble.server.connection import Connection
from ensemble.server.namespaces import Namespaces
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.identity import TENANT_SCHEME
from ensemble.tenancy.seat import Seat
from ensemble.tenancy.sight import Sight
from ensemble.tree import reads
from ensemble.tree.acl import SUPER, AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import ROOT
from ensemble.tree.watches import WatchTable
from ensemble.tree.znode import Znode
from ensemble.wire import codes
from ensemble.wire.framing import end_frame
from ensemble.wire.jute import MarshallingError, Reader, write_buffer, write_int, write_text
from ensemble.wire.records import Id, write_acl_vector, write_path_vector
from ensemble.wire.replies import begin_reply, write_header_only, write_watch_event
from ensemble.wire.requests import (
    read_multi_header,
    read_path_watch,
    read_set_watches,
    read_watch_request,
    write_multi_header,
)

STAT_BYTES: Final = 68


def write_znode_stat(out: BytesWriter, tree: DataTree, node: Znode, more_children: i64) -> None:
    """The stat that clients see (client.md section 9), straight from the znode's fields.

    `more_children`: beside those in the tree, or less (`Sight`).
    """
    children = node.children
    num_children: i64 = (0 if children is None else len(children)) + more_children
    data = node.data
    write_i64_be(out, node.czxid)
    write_i64_be(out, node.mzxid)
    write_i64_be(out, node.ctime)
    write_i64_be(out, node.mtime)
    write_int(out, node.version)
    write_int(out, 2 * node.cversion - num_children)
    write_int(out, node.aversion)
    write_i64_be(out, tree.visible_owner(node.owner))
    write_int(out, 0 if data is None else len(data))
    write_int(out, num_children)
    write_i64_be(out, node.pzxid)


@final
class Answers:
    """Answers every request that needs no transaction. `answer` gives 0, or the error to reply."""

    __slots__ = ("namespaces", "schemes", "sight", "tree", "watches", "watches_max")

    def __init__(
        self, tree: DataTree, schemes: AclSchemes, watches: WatchTable, watches_max: int
    ) -> None:
        self.tree: DataTree = tree
        self.schemes: Final = schemes
        self.watches: Final = watches
        self.watches_max: Final = watches_max  # per connection
        self.namespaces: Final = Namespaces()
        self.sight = Sight(Directory())  # without a wall everybody sees everything

    def answer(
        self, conn: Connection, xid: i64, op: i64, reader: Reader, ids: list[Id], seat: Seat
    ) -> i64:
        """Write the whole reply to one read into `conn.out`; the error in it."""
        start = len(conn.out)
        try:
            if op == codes.OP_GET_DATA:
                err = self.get_data(conn, xid, reader, ids, seat)
            elif op == codes.OP_EXISTS:
                err = self.exists(conn, xid, reader, ids, seat)
            elif op == codes.OP_GET_CHILDREN or op == codes.OP_GET_CHILDREN2:
                err = self.get_children(conn, xid, op, reader, ids, seat)
            elif op == codes.OP_PING:
                write_header_only(conn.out, codes.XID_PING, self.tree.last_zxid, 0)
                err = 0
            elif op == codes.OP_GET_ACL:
                err = self.get_acl(conn, xid, reader, ids, seat)
            elif op == codes.OP_SYNC:
                err = self.sync(conn, xid, reader, seat)
            elif op == codes.OP_SET_WATCHES or op == codes.OP_SET_WATCHES2:
                err = self.set_watches(conn, xid, op, reader, seat)
            elif op == codes.OP_ADD_WATCH:
                err = self.add_watch(conn, xid, reader)
            elif op == codes.OP_CHECK_WATCHES or op == codes.OP_REMOVE_WATCHES:
                err = self.find_watch(conn, xid, op, reader)
            elif op == codes.OP_MULTI_READ:
                err = self.multi_read(conn, xid, reader, ids, seat)
            elif op == codes.OP_GET_EPHEMERALS:
                err = self.get_ephemerals(conn, xid, reader, ids, seat)
            elif op == codes.OP_GET_ALL_CHILDREN_NUMBER:
                err = self.get_all_children_number(conn, xid, reader, ids, seat)
            else:
                assert op == codes.OP_WHO_AM_I, op
                err = self.who_am_i(conn, xid, ids, seat)
        except MarshallingError:
            conn.out.truncate(start)
            err = codes.MARSHALLING_ERROR
        if err != 0:
            write_header_only(conn.out, xid, self.tree.last_zxid, err)
        return err

    def watches_full(self, conn: Connection) -> bool:
        """Whether a connection watches as many paths as it may (ensemble.watchesPerConnectionMax),
        or its tenant's connections here as many as this server may let them.

        What it registers again after a reconnect (setWatches) is not refused: it was let in once.
        """
        seat = conn.seat
        tenant = seat.tenant
        if tenant is not None and seat.view is not None and not tenant.may_watch():
            return True
        return 0 < self.watches_max <= self.watches.count_of(conn.id)

    def readable(self, node: Znode, ids: list[Id]) -> bool:
        return self.schemes.check(node.acl, codes.PERM_READ, ids)

    def node_named(self, path: bytes, seat: Seat) -> Znode | None:
        """The same for a request of which the empty path is an alias of the root."""
        return self.node_at(path if len(path) > 0 else ROOT, seat)

    def node_at(self, path: bytes, seat: Seat) -> Znode | None:
        """The znode at a path; a tenant's `/zookeeper` is one that the tree does not have."""
        node = self.tree.nodes.get(path)
        if node is None:
            view = seat.view
            if view is not None and path == view.zookeeper:
                return view.top
        return node

    def more_children(self, path: bytes, ids: list[Id], seat: Seat) -> i64:
        view = seat.view
        if view is None:
            if self.sight.directory.enforcing == 0:
                return 0
        elif len(path) != len(view.root):
            return 0
        return self.sight.more_children(self.tree, seat, ids, path)

    def get_data(
        self, conn: Connection, xid: i64, reader: Reader, ids: list[Id], seat: Seat
    ) -> int:
        path = reader.read_path()
        watch = reader.read_bool()
        node = self.node_named(path, seat)
        if node is None:
            return codes.NO_NODE
        if not self.readable(node, ids):
            return codes.NO_AUTH
        if watch:
            if self.watches_full(conn):
                return codes.QUOTA_EXCEEDED
            self.watches.add_data(conn.id, path)
        out = conn.out
        start = begin_reply(out, xid, self.tree.last_zxid, 0)
        write_buffer(out, node.data)
        write_znode_stat(out, self.tree, node, self.more_children(path, ids, seat))
        end_frame(out, start)
        self.namespaces.read.add(path, len(path) + node.data_bytes())
        return 0

    def exists(self, conn: Connection, xid: i64, reader: Reader, ids: list[Id], seat: Seat) -> int:
        path = reader.read_path()
        watch = reader.read_bool()
        if path.find(b"\0") >= 0:
            return codes.BAD_ARGUMENTS
        node = self.node_named(path, seat)
        if node is not None and not self.readable(node, ids):
            return codes.NO_AUTH
        if watch:
            if self.watches_full(conn):
                return codes.QUOTA_EXCEEDED
            self.watches.add_data(conn.id, path)
        if node is None:
            return codes.NO_NODE
        out = conn.out
        start = begin_reply(out, xid, self.tree.last_zxid, 0)
        write_znode_stat(out, self.tree, node, self.more_children(path, ids, seat))
        end_frame(out, start)
        return 0

    def get_children(
        self, conn: Connection, xid: i64, op: i64, reader: Reader, ids: list[Id], seat: Seat
    ) -> int:
        path = reader.read_path()
        watch = reader.read_bool()
        node = self.node_named(path, seat)
        if node is None:
            return codes.NO_NODE
        if not self.readable(node, ids):
            return codes.NO_AUTH
        if watch:
            if self.watches_full(conn):
                return codes.QUOTA_EXCEEDED
            self.watches.add_child(conn.id, path)
        out = conn.out
        start = begin_reply(out, xid, self.tree.last_zxid, 0)
        begin = len(out)
        self.write_children(out, path or b"/", node, ids, seat)
        self.namespaces.read.add(path, len(path) + len(out) - begin)
        if op == codes.OP_GET_CHILDREN2:
            write_znode_stat(out, self.tree, node, self.more_children(path, ids, seat))
        end_frame(out, start)
        return 0

    def get_acl(self, conn: Connection, xid: i64, reader: Reader, ids: list[Id], seat: Seat) -> int:
        path = reader.read_path()
        node = self.node_named(path, seat)
        if node is None:
            return codes.NO_NODE
        admin = self.schemes.check(node.acl, codes.PERM_ADMIN, ids)
        if not admin and not self.readable(node, ids):
            return codes.NO_AUTH
        entries = node.acl.entries if admin else self.schemes.redact(node.acl)
        out = conn.out
        start = begin_reply(out, xid, self.tree.last_zxid, 0)
        write_acl_vector(out, entries)
        write_znode_stat(out, self.tree, node, self.more_children(path, ids, seat))
        end_frame(out, start)
        return 0

    def sync(self, conn: Connection, xid: i64, reader: Reader, seat: Seat) -> int:
        path = shown(reader.read_path(), seat)
        start = begin_reply(conn.out, xid, self.tree.last_zxid, 0)
        write_buffer(conn.out, path)
        end_frame(conn.out, start)
        return 0

    def get_ephemerals(
        self, conn: Connection, xid: i64, reader: Reader, ids: list[Id], seat: Seat
    ) -> int:
        """The prefix is text, compared with paths as they are shown; the binding never is."""
        prefix = reader.read_buffer() or b""
        view = seat.view
        paths: list[bytes] = []
        if view is None:
            for path in reads.ephemerals_of(self.tree, conn.session_id, prefix):
                if not self.sight.blocks(seat, ids, path):
                    paths.append(path)
        else:
            for path in reads.ephemerals_of(self.tree, conn.session_id, b""):
                own = view.outward(path)
                if own is not None and reads.has_prefix(own, prefix):
                    paths.append(own)
            paths.sort()
        start = begin_reply(conn.out, xid, self.tree.last_zxid, 0)
        write_path_vector(conn.out, paths)
        end_frame(conn.out, start)
        return 0

    def get_all_children_number(
        self, conn: Connection, xid: i64, reader: Reader, ids: list[Id], seat: Seat
    ) -> int:
        path = reader.read_path() or b"/"
        node = self.node_at(path, seat)
        if node is None:
            return codes.NO_NODE
        if not self.readable(node, ids):
            return codes.NO_AUTH
        start = begin_reply(conn.out, xid, self.tree.last_zxid, 0)
        view = seat.view
        count: i64 = 0
        if view is None or (path != view.root and path != view.zookeeper):
            count = reads.count_descendants(self.tree, path)
        else:  # what walking from there finds
            count = 1 + reads.count_descendants(self.tree, view.quota)
            if path == view.root:
                count += 1 + reads.count_descendants(self.tree, path)
                if view.shadowed in self.tree.nodes:
                    count -= 1 + reads.count_descendants(self.tree, view.shadowed)
        write_int(conn.out, count)
        end_frame(conn.out, start)
        return 0

    def who_am_i(self, conn: Connection, xid: i64, ids: list[Id], seat: Seat) -> int:
        """An administrator of a tenant passes ACLs as `super`; that is nobody's name."""
        known = ids
        if seat.view is not None:
            known = [id for id in ids if id.scheme != SUPER]
        start = begin_reply(conn.out, xid, self.tree.last_zxid, 0)
        write_int(conn.out, len(known))
        for id in known:
            write_text(conn.out, id.scheme)
            if id.scheme == TENANT_SCHEME:
                write_text(conn.out, id.id)
            else:
                write_text(conn.out, self.schemes.user_name(id))
        end_frame(conn.out, start)
        return 0

    def multi_read(
        self, conn: Connection, xid: i64, reader: Reader, ids: list[Id], seat: Seat
    ) -> int:
        """Per-operation errors are results; an operation that is no read refuses the whole."""
        out = conn.out
        start = begin_reply(out, xid, self.tree.last_zxid, 0)
        reads_seen = 0
        writes_seen = 0
        while True:
            op = read_multi_header(reader)
            if op is None:
                break
            if op == codes.OP_GET_DATA or op == codes.OP_GET_CHILDREN:
                reads_seen += 1
                self.multi_read_one(out, op, read_path_watch(reader).path, ids, seat)
                continue
            out.truncate(start)
            if reads_seen > 0 or not reads.is_multi_write(op):
                return codes.MARSHALLING_ERROR
            writes_seen += 1
            reads.skip_multi_write(reader, op)
        if writes_seen > 0:
            # Writes alone: -5 with a body that consists of the terminator (client.md section 12).
            out.truncate(start)
            start = begin_reply(out, xid, self.tree.last_zxid, codes.MARSHALLING_ERROR)
        write_multi_header(out, -1, True, -1)
        end_frame(out, start)
        return 0

    def multi_read_one(
        self, out: BytesWriter, op: int, path: bytes, ids: list[Id], seat: Seat
    ) -> None:
        node = self.node_named(path, seat)
        err = 0
        if self.sight.blocks(seat, ids, path):
            err = codes.NO_AUTH
        elif node is None:
            err = codes.NO_NODE
        elif not self.readable(node, ids):
            err = codes.NO_AUTH
        elif op == codes.OP_GET_DATA:
            write_multi_header(out, op, False, 0)
            write_buffer(out, node.data)
            write_znode_stat(out, self.tree, node, self.more_children(path, ids, seat))
        else:
            write_multi_header(out, op, False, 0)
            self.write_children(out, path or b"/", node, ids, seat)
        if err != 0:
            write_multi_header(out, codes.OP_ERROR, False, err)
            write_int(out, err)

    def write_children(
        self, out: BytesWriter, path: bytes, node: Znode, ids: list[Id], seat: Seat
    ) -> None:
        """The names of a node's children, as who asks sees them."""
        view = seat.view
        if view is not None:
            more = path == view.root and view.more_children(self.tree) > 0
            write_child_names(out, path, node, b"zookeeper" if more else b"")
            return
        hidden = self.sight.hidden_children(seat, ids, path)
        if hidden is None:
            write_child_names(out, path, node)
            return
        cut = 1 if len(path) == 1 else len(path) + 1
        names: list[bytes] = []
        for child in node.children or set():
            if child not in hidden:
                names.append(child[cut:])
        write_path_vector(out, names)

    # Watches

    def add_watch(self, conn: Connection, xid: i64, reader: Reader) -> int:
        request = read_watch_request(reader)
        if (
            request.kind != codes.ADD_WATCH_PERSISTENT
            and request.kind != codes.ADD_WATCH_PERSISTENT_RECURSIVE
        ):
            return codes.MARSHALLING_ERROR
        if self.watches_full(conn):
            return codes.QUOTA_EXCEEDED
        recursive = request.kind == codes.ADD_WATCH_PERSISTENT_RECURSIVE
        self.watches.add_persistent(conn.id, request.path, recursive)
        start = begin_reply(conn.out, xid, self.tree.last_zxid, 0)
        write_i32_be(conn.out, 0)
        end_frame(conn.out, start)
        return 0

    def find_watch(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> int:
        """checkWatches and removeWatches. A null path is one that nobody watches."""
        path = reader.read_buffer()
        kind = reader.read_int()
        if not codes.WATCHER_CHILDREN <= kind <= codes.WATCHER_PERSISTENT_RECURSIVE:
            return codes.MARSHALLING_ERROR
        if path is None:
            return codes.NO_WATCHER
        if op == codes.OP_CHECK_WATCHES:
            found = self.watches.check(conn.id, path, kind)
        else:
            found = self.watches.remove(conn.id, path, kind)
        if not found:
            return codes.NO_WATCHER
        write_header_only(conn.out, xid, self.tree.last_zxid, 0)
        return 0

    def set_watches(self, conn: Connection, xid: i64, op: i64, reader: Reader, seat: Seat) -> int:
        """Register again after a reconnect; what was missed is sent as events before the reply.

        The events are filtered by READ, which the Java server does not do (client.md section 20).
        """
        request = read_set_watches(reader, op)
        out = conn.out
        watches = self.watches
        relative_zxid = request.relative_zxid
        for path in request.data:
            node = self.node_at(path, seat)
            if node is None:
                write_watch_event(out, -1, codes.EVENT_NODE_DELETED, shown(path, seat))
            elif node.mzxid > relative_zxid:
                if self.readable(node, conn.ids):
                    write_watch_event(out, -1, codes.EVENT_NODE_DATA_CHANGED, shown(path, seat))
            else:
                watches.add_data(conn.id, path)
        for path in request.exist:
            node = self.node_at(path, seat)
            if node is None:
                watches.add_data(conn.id, path)
            elif self.readable(node, conn.ids):
                write_watch_event(out, -1, codes.EVENT_NODE_CREATED, shown(path, seat))
        for path in request.child:
            node = self.node_at(path, seat)
            if node is None:
                write_watch_event(out, -1, codes.EVENT_NODE_DELETED, shown(path, seat))
            elif node.pzxid > relative_zxid:
                if self.readable(node, conn.ids):
                    write_watch_event(out, -1, codes.EVENT_NODE_CHILDREN_CHANGED, shown(path, seat))
            else:
                watches.add_child(conn.id, path)
        for path in request.persistent:
            watches.add_persistent(conn.id, path, False)
        for path in request.recursive:
            watches.add_persistent(conn.id, path, True)
        write_header_only(out, xid, self.tree.last_zxid, 0)
        return 0


def shown(path: bytes, seat: Seat) -> bytes:
    """A path of the tree as who asks knows it; empty for what it cannot have named."""
    view = seat.view
    return path if view is None else view.outward(path) or b""


def write_child_names(out: BytesWriter, path: bytes, node: Znode, more: bytes = b"") -> None:
    """A vector of names: the children's paths without the parent's; and `more`, if there is one."""
    children = node.children
    count = 0 if children is None else len(children)
    write_i32_be(out, count + 1 if more else count)
    if more:
        write_buffer(out, more)
    if children is None:
        return
    cut = 1 if len(path) == 1 else len(path) + 1
    for child in children:
        write_i32_be(out, len(child) - cut)
        out.write(child[cut:])
