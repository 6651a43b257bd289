"""Snapshot files: written beside their final name, synced, renamed; read back and verified.

Source: storage.md 4.2, 4.3. A file under a final name is complete, whatever happened while it was
written (trust.md B6); those that the Java server leaves half-written are recognised and passed
over.
"""

from typing import Final
from zlib import adler32

from ensemble.errors import StorageError
from ensemble.storage.compression import Compressor, Expander, looks_whole
from ensemble.storage.disk import Disk, Source
from ensemble.storage.layout import Layout, compression_of
from ensemble.storage.smallfile import put_in_place
from ensemble.tree.datatree import DataTree
from ensemble.tree.snapshot import END_MARK, SEAL_BYTES, write_snapshot
from ensemble.tree.snapshot_reader import Snapshot, SnapshotReader

READ_BYTES: Final = 1 << 20
HEAD_BYTES: Final = 16
READ_TRIES_MAX: Final = 100
# Digest, last zxid: what may stand behind the first seal, each with a seal behind it
TRAILERS: Final = ((20, 8), (20,), (8,))
TRAILER_BYTES_MAX: Final = len(END_MARK) + 3 * SEAL_BYTES + 20 + 8


def save(
    disk: Disk,
    layout: Layout,
    tree: DataTree,
    compression: str = "",
    digest: bool = True,
    last_zxid: bool = True,
) -> str:
    """Write the tree under the name of its last zxid; the path. Durable when this returns.

    Raises:
        StorageError: nothing is left behind, unless the disk refuses to remove it, too. Neither the
            log nor an older snapshot has been touched: the server may go on.
    """
    path = layout.snapshot_path(tree.last_zxid, compression)
    put_in_place(
        disk,
        path,
        lambda temporary: write(disk, temporary, tree, compression, digest, last_zxid),
    )
    return path


def write(
    disk: Disk, path: str, tree: DataTree, compression: str, digest: bool, last_zxid: bool
) -> None:
    """The stream of a tree into a new file, synced."""
    compressor = Compressor(compression)
    file = disk.create(path)
    try:
        file.write(compressor.begin())
        for chunk in write_snapshot(tree, digest, last_zxid):
            file.write(compressor.feed(chunk))
        file.write(compressor.end())
        file.sync()
    finally:
        file.close()


def load(
    disk: Disk,
    path: str,
    zxid: int,
    extended_types: bool = False,
    digest_enabled: bool = True,
) -> Snapshot:
    """Read and verify one file.

    Raises:
        StorageError: names the file and what is wrong with it.
    """
    reader = SnapshotReader(extended_types, digest_enabled)
    source = disk.open(path)
    try:
        check_quickly(source, path)
        expander = Expander(compression_of(path))
        at = 0
        while chunk := source.read_at(at, READ_BYTES):
            at += len(chunk)
            for part in expander.feed(chunk):
                reader.feed(part)
        expander.finish()
        return reader.finish(zxid)
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from None
    finally:
        source.close()


def check_quickly(source: Source, path: str) -> None:
    """The test that decides whether a file counts as a snapshot at all; not whether it is whole."""
    size = source.size()
    head = source.read_at(0, HEAD_BYTES)
    last = source.read_at(max(0, size - len(END_MARK)), len(END_MARK))
    if not looks_whole(size, head, last, compression_of(path)):
        raise StorageError(f"incomplete, {size} bytes")


def verify(disk: Disk, path: str) -> int:
    """Check a file's seals, which are over all of it; no tree is built.

    Returns:
        The zxid up to which transactions may have gone into the file while it was written, as its
        trailers have it: a fuzzy file's name says less (storage.md 4.2). -1: it has no trailers.

    Raises:
        StorageError: names the file and what is wrong with it.
    """
    source = disk.open(path)
    try:
        check_quickly(source, path)
        expander = Expander(compression_of(path))
        total = 1
        rest = b""  # the seals and trailers are not part of `total`
        at = 0
        while chunk := source.read_at(at, READ_BYTES):
            at += len(chunk)
            for part in expander.feed(chunk):
                rest += part
                total = adler32(rest[:-TRAILER_BYTES_MAX], total)
                rest = rest[-TRAILER_BYTES_MAX:]
        expander.finish()
        return read_trailers(rest, total)
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from None
    finally:
        source.close()


def read_trailers(rest: bytes, total: int) -> int:
    """The largest zxid in the trailers, see `verify`.

    A file does not say which parts it has: the seals do, each being the sum of all before it.

    Args:
        rest: the end of the file.
        total: the sum of what lies before `rest`.
    """
    for sizes in TRAILERS:
        at = len(rest) - SEAL_BYTES * (1 + len(sizes)) - sum(sizes)
        zxid = -1
        # Behind the last znode, not behind another trailer that a later version has added to.
        whole = at >= len(END_MARK) and rest[at - len(END_MARK) : at] == END_MARK
        whole = whole and is_sealed(rest, at, total)
        for size in sizes:
            at += SEAL_BYTES
            whole = whole and is_sealed(rest, at + size, total)
            zxid = max(zxid, int.from_bytes(rest[at : at + 8], "big", signed=True))
            at += size
        if whole:
            return zxid
    seal = rest[-SEAL_BYTES:]
    found = adler32(rest[:-SEAL_BYTES], total)
    if seal != found.to_bytes(8, "big") + END_MARK:
        raise StorageError(f"the last seal does not match: {seal.hex()}, {found:#x} found")
    return -1


def is_sealed(rest: bytes, at: int, total: int) -> bool:
    """Whether the seal at `at` is that of everything before it."""
    wanted = adler32(rest[:at], total).to_bytes(8, "big") + END_MARK
    return rest[at : at + SEAL_BYTES] == wanted
