"""The bytes of a snapshot as a tree.

Source: storage.md sections 4.1 and 4.3. Reading is strict: every seal must fit, every znode has its
parent before it and comes once. A tree that cannot be proved is not given out.
"""

from typing import Final, final
from zlib import adler32

from librt.strings import read_i32_be, read_i64_be
from mypy_extensions import i64

from ensemble.errors import StorageError
from ensemble.tree.acl import OPEN_ACL_ID
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import ROOT
from ensemble.tree.snapshot import END_MARK, FILE_HEADER, SEAL_BYTES, STREAM_END
from ensemble.tree.znode import Znode
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.records import read_acl_vector
from ensemble.wire.txns import DIGEST_VERSION

STAT_BYTES: Final = 68  # ACL number and stat fields of one znode
SESSION_BYTES: Final = 12
ITEM_BYTES_MAX: Final = 1 << 30  # one znode
ACL_BYTES_MAX: Final = 1 << 24
ACL_ID_MAX: Final = 1 << 62  # the table counts on from the largest


@final
class Snapshot:
    """A tree that was read. `digest_zxid` -1: the file carries no digest that can be compared.

    A fuzzy file's digest belongs to `digest_zxid`, which may be larger than the zxid in its name.
    """

    __slots__ = ("digest", "digest_zxid", "tree")

    def __init__(self, tree: DataTree, digest_zxid: int, digest: int) -> None:
        self.tree: Final = tree
        self.digest_zxid: Final = digest_zxid
        self.digest: Final = digest  # signed 64 bit


# What the reader expects next
HEADER: Final = 0
SESSION_COUNT: Final = 1
SESSIONS: Final = 2
ACL_COUNT: Final = 3
ACLS: Final = 4
NODES: Final = 5
NODES_SEAL: Final = 6
DIGEST: Final = 7
DIGEST_SEAL: Final = 8
LAST_ZXID: Final = 9
LAST_ZXID_SEAL: Final = 10
BEHIND: Final = 11  # parts that we do not know, of a later version
# Instead of the seals, in what a leader sends
STREAM_MARK: Final = 12
STREAM_DONE: Final = 13


@final
class SnapshotReader:
    """Builds a tree from the stream: `feed` chunk after chunk, then `finish`.

    Errors are StorageErrors that say what does not fit and where, without the file's name. Without
    `sealed` it reads what a leader sends, see `snapshot_stream`.
    """

    def __init__(
        self, extended_types: bool = False, digest_enabled: bool = True, sealed: bool = True
    ) -> None:
        self.sealed: Final = sealed
        self.tree: Final = DataTree(extended_types, digest_enabled)
        self.tree.clear()
        self.digest_zxid: i64 = -1
        self.digest: i64 = 0
        self.last_zxid: i64 = -1  # as the stream itself has it; -1: it does not say
        self.stage: i64 = HEADER if sealed else SESSION_COUNT
        self.left: i64 = 0  # sessions or ACLs still to come
        self.parts: list[bytes] = []  # fed, and not enough yet
        self.parts_bytes: i64 = 0
        self.wanted: i64 = 0  # this many bytes make the next item complete
        self.buf = b""
        self.at: i64 = 0
        self.base: i64 = 0  # offset of buf[0] in the stream
        self.sum: i64 = 1  # Adler-32 of what lies before `summed`
        self.summed: i64 = 0  # position in buf

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the stream, of any length."""
        self.parts.append(chunk)
        self.parts_bytes += len(chunk)
        if self.parts_bytes < self.wanted:
            return
        self.buf = chunk if len(self.parts) == 1 else b"".join(self.parts)
        self.at = 0
        self.summed = 0
        self.wanted = 0
        try:
            while self.read_item():
                pass
        except MarshallingError as error:
            raise self.wrong(str(error)) from None
        self.add_to_sum()
        rest = self.buf[self.at :]
        self.base += self.at
        self.buf = b""
        self.parts = [rest] if rest else []
        self.parts_bytes = len(rest)
        if self.wanted > ITEM_BYTES_MAX:
            raise self.wrong(f"an item of {self.wanted} bytes, {ITEM_BYTES_MAX} at most")

    def finish(self, zxid: int) -> Snapshot:
        """The end of the stream. The tree's last zxid becomes `zxid`, that of the file's name."""
        whole = self.stage in (DIGEST, LAST_ZXID, BEHIND, STREAM_DONE)
        if not whole or self.parts_bytes > 0:
            raise StorageError(f"it ends too early, at offset {self.base + self.parts_bytes}")
        if self.tree.nodes.get(ROOT) is None:
            raise StorageError("it holds no root")
        self.tree.last_zxid = zxid
        self.tree.acls.prune()
        self.tree.rebuild_quotas()
        return Snapshot(self.tree, int(self.digest_zxid), int(self.digest))

    def wrong(self, what: str) -> StorageError:
        return StorageError(f"{what}, at offset {self.base + self.at}")

    def has(self, count: i64) -> bool:
        """Whether `count` bytes lie behind the position; if not, they are asked for."""
        if len(self.buf) - self.at >= count:
            return True
        self.wanted = count
        return False

    def add_to_sum(self) -> None:
        if self.sealed and self.at > self.summed:
            part = memoryview(self.buf)[int(self.summed) : int(self.at)]
            self.sum = adler32(part, int(self.sum))
            self.summed = self.at

    def read_item(self) -> bool:
        """Read one session, one ACL, all znodes that are there. False: more bytes are needed."""
        stage = self.stage
        if stage == NODES:
            return self.read_nodes()
        if stage == SESSIONS:
            return self.read_session()
        if stage == ACLS:
            return self.read_acl()
        if stage == HEADER:
            return self.read_header()
        if stage == SESSION_COUNT:
            return self.read_count("sessions")
        if stage == ACL_COUNT:
            return self.read_count("ACLs")
        if stage == DIGEST:
            return self.read_digest()
        if stage == LAST_ZXID:
            if not self.has(8):
                return False
            self.last_zxid = read_i64_be(self.buf, self.at)
            self.at += 8  # for files the name's zxid counts (storage.md 4.2)
            self.stage = LAST_ZXID_SEAL
            return True
        if stage == BEHIND:
            self.at = len(self.buf)
            return False
        if stage == STREAM_MARK:
            return self.read_stream_mark()
        if stage == STREAM_DONE:
            return False
        return self.read_seal()

    def read_header(self) -> bool:
        if not self.has(len(FILE_HEADER)):
            return False
        if self.buf[:8] != FILE_HEADER[:8]:
            raise self.wrong(f"no snapshot header, it begins with {self.buf[:8].hex()}")
        self.at = len(FILE_HEADER)
        self.stage = SESSION_COUNT
        return True

    def read_count(self, what: str) -> bool:
        if not self.has(4):
            return False
        count = read_i32_be(self.buf, self.at)
        if count < 0:
            raise self.wrong(f"a table of {count} {what}")
        self.at += 4
        self.left = i64(count)
        self.stage += 1
        return True

    def read_session(self) -> bool:
        while self.left > 0:
            if not self.has(SESSION_BYTES):
                return False
            session_id = read_i64_be(self.buf, self.at)
            self.tree.sessions[session_id] = int(read_i32_be(self.buf, self.at + 8))
            self.at += SESSION_BYTES
            self.left -= 1
        self.stage = ACL_COUNT
        return True

    def read_acl(self) -> bool:
        if self.left == 0:
            self.stage = NODES
            return True
        if not self.has(12):
            return False
        # An ACL does not say its length in bytes: walk over its entries until it is all there.
        size: i64 = 12
        strings = 2 * i64(read_i32_be(self.buf, self.at + 8))
        while strings > 0:
            if size > ACL_BYTES_MAX:
                raise self.wrong(f"an ACL of more than {ACL_BYTES_MAX} bytes")
            if strings % 2 == 0:
                size += 4
            if not self.has(size + 4):
                return False
            length = i64(read_i32_be(self.buf, self.at + size))
            size += 4 + (length if length > 0 else 0)
            strings -= 1
        if not self.has(size):
            return False
        acl_id = read_i64_be(self.buf, self.at)
        reader = Reader(self.buf, self.at + 8, self.at + size)
        entries = read_acl_vector(reader)
        if acl_id != OPEN_ACL_ID and not 1 <= acl_id <= ACL_ID_MAX:
            raise self.wrong(f"the ACL number {acl_id}, it must be from 1 to {ACL_ID_MAX}")
        if acl_id in self.tree.acls.by_id:
            raise self.wrong(f"the ACL number {acl_id} comes twice")
        self.tree.acls.load(acl_id, entries)
        self.at += size
        self.left -= 1
        return True

    def read_nodes(self) -> bool:
        """All znodes up to the end mark. Parents come before their children."""
        tree = self.tree
        nodes = tree.nodes
        acls = tree.acls
        buf = self.buf
        end = len(buf)
        at = self.at
        while True:
            self.at = at
            if end - at < 4:
                self.wanted = 4
                return False
            path_bytes = i64(read_i32_be(buf, at))
            if path_bytes == 1:
                if end - at < 5:
                    self.wanted = 5
                    return False
                if buf[at + 4] == 0x2F:
                    self.at = at + 5
                    self.stage = NODES_SEAL if self.sealed else STREAM_MARK
                    return True
            if path_bytes < 0:
                raise self.wrong(f"a path of {path_bytes} bytes")
            begin = at + 4 + path_bytes
            if end - begin < 4:
                self.wanted = 8 + path_bytes
                return False
            data_bytes = i64(read_i32_be(buf, begin))
            stat = begin + 4
            if data_bytes > 0:
                stat += data_bytes
            elif data_bytes < -1:
                raise self.wrong(f"data of {data_bytes} bytes")
            if end - stat < STAT_BYTES:
                self.wanted = stat + STAT_BYTES - at
                return False
            path = ROOT if path_bytes == 0 else buf[at + 4 : begin]
            data = None if data_bytes < 0 else buf[begin + 4 : stat]
            parent: Znode | None = None
            if path_bytes > 0:
                slash = path.rfind(b"/")
                parent = nodes.get(ROOT if slash == 0 else path[:slash])
                # Also refused: no slash at all, an empty name, `//name`.
                if parent is None or slash < 0 or slash == 1 or slash + 1 == path_bytes:
                    raise self.wrong(f"{path[:80]!r} has no parent before it")
            if path in nodes:
                raise self.wrong(f"{path[:80]!r} comes twice")
            node = Znode(data, acls.take_by_id(read_i64_be(buf, stat)), 0, 0, 0)
            node.czxid = read_i64_be(buf, stat + 8)
            node.mzxid = read_i64_be(buf, stat + 16)
            node.ctime = read_i64_be(buf, stat + 24)
            node.mtime = read_i64_be(buf, stat + 32)
            node.version = i64(read_i32_be(buf, stat + 40))
            node.cversion = i64(read_i32_be(buf, stat + 44))
            node.aversion = i64(read_i32_be(buf, stat + 48))
            node.owner = read_i64_be(buf, stat + 52)
            node.pzxid = read_i64_be(buf, stat + 60)
            tree.insert(path, node, parent)
            at = stat + STAT_BYTES

    def read_digest(self) -> bool:
        """The digest of the tree at some zxid; an older version is text, and is passed over."""
        if not self.has(16):
            return False
        version = read_i32_be(self.buf, self.at + 8)
        if version == 0:
            # The upper half of a seal: its writer had no digest, this is the last zxid already.
            self.stage = LAST_ZXID
            return True
        if version < DIGEST_VERSION:
            length = i64(read_i32_be(self.buf, self.at + 12))
            if not 0 <= length <= 64:
                raise self.wrong(f"a digest of version {version}, {length} bytes long")
            if not self.has(16 + length):
                return False
            self.at += 16 + length
        else:
            if not self.has(20):
                return False
            if version == DIGEST_VERSION:
                self.digest_zxid = read_i64_be(self.buf, self.at)
                self.digest = read_i64_be(self.buf, self.at + 12)
            self.at += 20
        self.stage = DIGEST_SEAL
        return True

    def read_stream_mark(self) -> bool:
        if not self.has(len(STREAM_END)):
            return False
        mark = self.buf[self.at : self.at + len(STREAM_END)]
        if mark != STREAM_END:
            raise self.wrong(f"it ends with {mark.hex()} instead of {STREAM_END.hex()}")
        self.at += len(STREAM_END)
        self.stage = STREAM_DONE
        return True

    def take_rest(self) -> bytes:
        """What was fed and belongs to nobody yet."""
        rest = b"".join(self.parts)
        self.parts = []
        self.parts_bytes = 0
        return rest

    def read_seal(self) -> bool:
        if not self.has(SEAL_BYTES):
            return False
        self.add_to_sum()
        wanted = read_i64_be(self.buf, self.at)
        mark = self.buf[self.at + 8 : self.at + SEAL_BYTES]
        if wanted != self.sum or mark != END_MARK:
            raise self.wrong(f"the seal is {wanted:#x}, {self.sum:#x} is right")
        self.at += SEAL_BYTES
        self.stage += 1
        return True


def read_snapshot(
    data: bytes, zxid: int, extended_types: bool = False, digest_enabled: bool = True
) -> Snapshot:
    """A whole uncompressed stream at once.

    Raises:
        StorageError: what does not fit, and where.
    """
    reader = SnapshotReader(extended_types, digest_enabled)
    reader.feed(data)
    return reader.finish(zxid)
