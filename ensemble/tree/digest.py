"""The digest of a znode, and so of the tree: a replica that differs shows itself.

Source: storage.md 6.4, version 2. A node's digest is the CRC-32 of path, data and stat; the tree's
is their sum. Nodes below `/zookeeper/` count 0, because servers change some of them on their own.
"""

from typing import Final, final
from zlib import crc32

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from ensemble.tree.paths import ZOOKEEPER_PREFIX

EMPTY_TREE_DIGEST: Final = 1_371_985_504
DIGEST_MASK: Final = 0xFFFFFFFFFFFFFFFF


UNKNOWN: Final[i64] = -1


@final
@mypyc_attr(acyclic=True)
class Sums:
    """What preparing a transaction has computed and applying it would compute again.

    The CRC of the node's content, its digest and its parent's after the transaction, each a CRC-32
    or UNKNOWN.
    """

    __slots__ = ("content_crc", "node", "parent")

    def __init__(self, content_crc: i64, node: i64, parent: i64) -> None:
        self.content_crc: Final = content_crc
        self.node: Final = node
        self.parent: Final = parent


NO_SUMS: Final = Sums(UNKNOWN, UNKNOWN, UNKNOWN)


def is_counted(path: bytes) -> bool:
    """Whether a node takes part in the digest."""
    return not path.startswith(ZOOKEEPER_PREFIX)


def content_crc(path: bytes, data: bytes | None) -> i64:
    """The first part of a node's CRC, kept so that a parent's data is not read for each child."""
    crc = 0 if len(path) == 1 else crc32(path)  # the root's path is the empty string
    return crc32(data, crc) if data else crc


def node_digest(
    crc: i64,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i64,
    cversion: i64,
    aversion: i64,
    owner: i64,
) -> i64:
    """The digest of a node that counts, from the CRC of its content and its stored stat."""
    out = BytesWriter()
    write_i64_be(out, czxid)
    write_i64_be(out, mzxid)
    write_i64_be(out, pzxid)
    write_i64_be(out, ctime)
    write_i64_be(out, mtime)
    write_i32_be(out, int(version))
    write_i32_be(out, int(cversion))
    write_i32_be(out, int(aversion))
    write_i64_be(out, owner)
    return crc32(out.getvalue(), crc)


def signed64(digest: int) -> int:
    """As it is written into logs and snapshots."""
    digest &= DIGEST_MASK
    return digest - (1 << 64) if digest >= 1 << 63 else digest
