"""A tree as the bytes of a snapshot; `snapshot_reader` is the way back.

Source: storage.md section 4. Both directions work chunk by chunk and know nothing of files: whoever
calls compresses, writes and renames. A seal is the Adler-32 of everything before it. What a leader
sends to a learner is the same without header and seals, and ends with a word of its own (zab.md
4.4).
"""

from collections.abc import Iterator
from typing import Final, final
from zlib import adler32

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

from ensemble.tree.acl import OPEN_ACL_ID
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import signed64
from ensemble.tree.paths import ROOT
from ensemble.wire.jute import write_buffer, write_int, write_long
from ensemble.wire.records import write_acl_vector
from ensemble.wire.txns import DIGEST_VERSION

FILE_HEADER: Final = b"ZKSN\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff"
END_MARK: Final = b"\x00\x00\x00\x01/"
SEAL_BYTES: Final = 13
STREAM_END: Final = b"\x00\x00\x00\x0aBenWasHere"
CHUNK_BYTES: Final = 1 << 18
SORTED_MAX: Final = 1_000  # siblings; sorting half a million takes as long as writing them


@final
class SnapshotWriter:
    """Produces the stream of one tree, which must not change meanwhile (a forked copy, a test).

    Without `sealed` it is the stream of zab.md 4.4, for a learner.
    """

    def __init__(
        self, tree: DataTree, digest: bool = True, last_zxid: bool = True, sealed: bool = True
    ) -> None:
        self.tree: Final = tree
        self.sealed: Final = sealed
        self.digest: Final = digest
        self.last_zxid: Final = last_zxid
        self.sum: i64 = 1  # Adler-32 so far
        self.paths: list[bytes] = [ROOT]  # nodes still to be written, parents before children
        self.stage = 0

    def next_chunk(self) -> bytes:
        """The next piece of the stream; empty at its end."""
        out = BytesWriter()
        stage = self.stage
        if stage == 0:
            self.stage = 1
            self.write_head(out)
        elif stage == 1:
            self.write_nodes(out)
            if not self.paths:
                self.stage = 2
        elif stage == 2:
            self.stage = 3
            if self.sealed:
                self.write_trailers(out)
            else:
                out.write(END_MARK)
                out.write(STREAM_END)
            return out.getvalue()
        else:
            return b""
        chunk = out.getvalue()
        if self.sealed:
            self.sum = adler32(chunk, int(self.sum))
        return chunk

    def write_trailers(self, out: BytesWriter) -> None:
        """The end mark, the digest, the last zxid, each with the seal behind it."""
        tree = self.tree
        part = BytesWriter()
        part.write(END_MARK)
        self.seal(out, part)
        if self.digest:
            part = BytesWriter()
            write_long(part, tree.last_zxid)
            write_int(part, DIGEST_VERSION)
            # Before the first transaction the Java server has no digest to write.
            write_long(part, 0 if tree.last_zxid == 0 else signed64(tree.digest))
            self.seal(out, part)
        if self.last_zxid:
            part = BytesWriter()
            write_long(part, tree.last_zxid)
            self.seal(out, part)

    def seal(self, out: BytesWriter, part: BytesWriter) -> None:
        """Write a part and its seal; the sum goes on over both."""
        data = part.getvalue()
        total = adler32(data, int(self.sum))
        seal = BytesWriter()
        write_long(seal, total)
        seal.write(END_MARK)
        self.sum = adler32(seal.getvalue(), total)
        out.write(data)
        out.write(seal.getvalue())

    def write_head(self, out: BytesWriter) -> None:
        tree = self.tree
        if self.sealed:
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
        """Znodes in pre-order, siblings by name unless they are many."""
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
                if len(children) <= SORTED_MAX:
                    paths.extend(sorted(children, reverse=True))
                else:
                    paths.extend(children)


def write_snapshot(tree: DataTree, digest: bool = True, last_zxid: bool = True) -> Iterator[bytes]:
    """The whole stream, chunk by chunk."""
    writer = SnapshotWriter(tree, digest, last_zxid)
    return iter(writer.next_chunk, b"")


def write_stream(tree: DataTree) -> Iterator[bytes]:
    """What follows a SNAP packet, chunk by chunk (zab.md 4.4)."""
    writer = SnapshotWriter(tree, sealed=False)
    return iter(writer.next_chunk, b"")
