"""A tree as the bytes of a snapshot, and back.

Source: storage.md section 4. The stream is cut into chunks of about a quarter of a megabyte; the
caller compresses, writes and renames. Seals are Adler-32 sums over everything before them.
"""

from collections.abc import Iterator
from typing import Final, final
from zlib import adler32

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

from ensemble.errors import StorageError
from ensemble.tree.acl import OPEN_ACL_ID
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import signed64
from ensemble.tree.paths import ROOT
from ensemble.tree.znode import Znode
from ensemble.wire.jute import MarshallingError, Reader, write_buffer, write_int, write_long
from ensemble.wire.records import read_acl_vector, write_acl_vector
from ensemble.wire.txns import DIGEST_VERSION

FILE_HEADER: Final = b"ZKSN\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff"
END_MARK: Final = b"\x00\x00\x00\x01/"
CHUNK_BYTES: Final = 1 << 18


@final
class SnapshotWriter:
    """Produces the stream of one tree, which must not change meanwhile (a forked copy, a test)."""

    def __init__(self, tree: DataTree, digest: bool = True, last_zxid: bool = True) -> None:
        self.tree: Final = tree
        self.digest: Final = digest
        self.last_zxid: Final = last_zxid
        self.sum: i64 = 1  # Adler-32 so far
        self.paths: list[bytes] = [ROOT]  # nodes still to be written, parents before children
        self.stage = 0

    def next_chunk(self) -> bytes:
        """The next piece of the stream; empty at its end."""
        out = BytesWriter()
        if self.stage == 0:
            self.write_head(out)
            self.stage = 1
        elif self.stage == 1:
            self.write_nodes(out)
            if not self.paths:
                self.stage = 2
        elif self.stage == 2:
            out.write(END_MARK)
            self.stage = 3
            return self.sealed(out.getvalue())
        elif self.stage == 3:
            self.stage = 4
            if self.digest:
                write_long(out, self.tree.last_zxid)
                write_int(out, DIGEST_VERSION)
                write_long(out, signed64(self.tree.digest))
                return self.sealed(out.getvalue())
            return self.next_chunk()
        elif self.stage == 4:
            self.stage = 5
            if self.last_zxid:
                write_long(out, self.tree.last_zxid)
                return self.sealed(out.getvalue())
            return b""
        else:
            return b""
        chunk = out.getvalue()
        self.sum = adler32(chunk, int(self.sum))
        return chunk

    def sealed(self, part: bytes) -> bytes:
        """A part and the seal behind it; the sum goes on over both."""
        total = adler32(part, int(self.sum))
        out = BytesWriter()
        write_long(out, total)
        out.write(END_MARK)
        seal = out.getvalue()
        self.sum = adler32(seal, total)
        return part + seal

    def write_head(self, out: BytesWriter) -> None:
        tree = self.tree
        out.write(FILE_HEADER)
        write_int(out, len(tree.sessions))
        for session_id in sorted(tree.sessions):
            write_long(out, session_id)
            write_int(out, tree.sessions[session_id])
        lists = [acl for id, acl in sorted(tree.acls.by_id.items()) if id != OPEN_ACL_ID]
        write_int(out, len(lists))
        for acl in lists:
            write_long(out, acl.id)
            write_acl_vector(out, acl.entries)

    def write_nodes(self, out: BytesWriter) -> None:
        paths = self.paths
        nodes = self.tree.nodes
        while paths and len(out) < CHUNK_BYTES:
            path = paths.pop()
            node = nodes[path]
            write_buffer(out, b"" if len(path) == 1 else path)
            write_buffer(out, node.data)
            write_i64_be(out, node.acl.id)
            write_i64_be(out, node.czxid)
            write_i64_be(out, node.mzxid)
            write_i64_be(out, node.ctime)
            write_i64_be(out, node.mtime)
            write_i32_be(out, int(node.version))
            write_i32_be(out, int(node.cversion))
            write_i32_be(out, int(node.aversion))
            write_i64_be(out, node.owner)
            write_i64_be(out, node.pzxid)
            children = node.children
            if children is not None:
                paths.extend(sorted(children, reverse=True))


def write_snapshot(tree: DataTree, digest: bool = True, last_zxid: bool = True) -> Iterator[bytes]:
    """The whole stream, chunk by chunk."""
    writer = SnapshotWriter(tree, digest, last_zxid)
    return iter(writer.next_chunk, b"")


@final
class Snapshot:
    """A tree that was read. `digest_zxid` -1: the file carries no digest.

    A fuzzy file's digest belongs to `digest_zxid`, which may be larger than the zxid in its name.
    """

    __slots__ = ("digest", "digest_zxid", "tree")

    def __init__(self, tree: DataTree, digest_zxid: int, digest: int) -> None:
        self.tree: Final = tree
        self.digest_zxid: Final = digest_zxid
        self.digest: Final = digest  # signed 64 bit


def read_snapshot(data: bytes, zxid: int, extended_types: bool = False) -> Snapshot:
    """Read an uncompressed snapshot; the tree's last zxid becomes `zxid`, that of the file's name.

    Raises:
        StorageError: the text says what does not fit, without the file's name.
    """
    if data[:8] != FILE_HEADER[:8]:
        raise StorageError(f"no snapshot header, it begins with {data[:8].hex() or 'nothing'}")
    reader = Reader(data, len(FILE_HEADER), len(data))
    tree = DataTree(extended_types)
    tree.clear()
    try:
        for _ in range(reader.read_count()):
            session_id = reader.read_long()
            tree.sessions[session_id] = reader.read_int()
        for _ in range(reader.read_count()):
            acl_id = reader.read_long()
            tree.acls.load(acl_id, read_acl_vector(reader))
        read_nodes(reader, tree)
        check_seal(reader, data)
        digest_zxid = -1
        digest = 0
        if reader.remaining() > 0:
            digest_zxid = reader.read_long()
            version = reader.read_int()
            if version < DIGEST_VERSION:
                raise StorageError(f"a digest of version {version}")
            digest = reader.read_long()
            check_seal(reader, data)
        if reader.remaining() > 0:
            reader.read_long()
            check_seal(reader, data)
    except MarshallingError as error:
        raise StorageError(f"at offset {reader.at}: {error}") from None
    tree.last_zxid = zxid
    tree.acls.prune()
    tree.rebuild_quotas()
    return Snapshot(tree, digest_zxid, digest)


def read_nodes(reader: Reader, tree: DataTree) -> None:
    """All znodes up to the end mark. Parents come before their children."""
    nodes = tree.nodes
    acls = tree.acls
    while True:
        raw = reader.read_buffer()
        if raw is None:
            raise StorageError(f"a znode without a path at offset {reader.at}")
        if len(raw) == 1 and raw == ROOT:
            return
        path = raw or ROOT
        data = reader.read_buffer()
        acl_id = reader.read_long()
        node = Znode(data, acls.take_by_id(acl_id), 0, 0, 0)
        node.czxid = reader.read_long()
        node.mzxid = reader.read_long()
        node.ctime = reader.read_long()
        node.mtime = reader.read_long()
        node.version = reader.read_int()
        node.cversion = reader.read_int()
        node.aversion = reader.read_int()
        node.owner = reader.read_long()
        node.pzxid = reader.read_long()
        if path in nodes:
            raise StorageError(f"{path!r} comes twice, at offset {reader.at}")
        parent: Znode | None = None
        if len(path) > 1:
            parent = nodes.get(path[: max(1, path.rfind(b"/"))])
            if parent is None:
                raise StorageError(f"{path!r} comes before its parent, at offset {reader.at}")
        tree.insert(path, node, parent)


def check_seal(reader: Reader, data: bytes) -> None:
    """A seal: the Adler-32 of everything before it, then the end mark."""
    at = reader.at
    wanted = reader.read_long()
    found = adler32(memoryview(data)[:at])
    mark = reader.read_buffer()
    if wanted != found or mark != ROOT:
        raise StorageError(f"the seal at offset {at} does not match: {wanted:#x}, {found:#x} found")
