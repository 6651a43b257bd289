"""The tree digest: a sum over all znodes that equal trees have in common.

Source: storage.md 6.4. Per node a CRC-32 over path, data and ten stat fields; the tree's digest is
the sum modulo 2**64. Nodes below /zookeeper/ do not count; /zookeeper itself does.
"""

from typing import Final
from zlib import crc32

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

SYSTEM_PREFIX: Final = b"/zookeeper/"
DIGEST_MASK: Final = 0xFFFFFFFFFFFFFFFF
EMPTY_TREE_DIGEST: Final = 1_371_985_504


def node_digest(
    path: bytes,
    data: bytes | None,
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
    """A znode's share, unsigned 32 bit. The root's path counts as the empty string."""
    if path.startswith(SYSTEM_PREFIX):
        return 0
    out = BytesWriter()
    if len(path) > 1:
        out.write(path)
    if data is not None:
        out.write(data)
    write_i64_be(out, czxid)
    write_i64_be(out, mzxid)
    write_i64_be(out, pzxid)
    write_i64_be(out, ctime)
    write_i64_be(out, mtime)
    write_i32_be(out, int(version))
    write_i32_be(out, int(cversion))
    write_i32_be(out, int(aversion))
    write_i64_be(out, owner)
    return crc32(out.getvalue())


def signed64(digest: int) -> int:
    """As it is written into logs and snapshots."""
    digest &= DIGEST_MASK
    return digest - (1 << 64) if digest >= 1 << 63 else digest
