"""Snapshot files: written beside their final name, synced, renamed; read back and verified.

Source: storage.md 4.2, 4.3. A file under a final name is complete, whatever happened while it was
written (trust.md B6); those that the Java server leaves half-written are recognised and passed
over.
"""

import contextlib
from typing import Final
from zlib import adler32

from ensemble.errors import StorageError
from ensemble.storage.compression import Compressor, Expander, looks_whole
from ensemble.storage.disk import Disk, Source
from ensemble.storage.layout import TEMPORARY_SUFFIX, Layout, compression_of
from ensemble.tree.datatree import DataTree
from ensemble.tree.snapshot import END_MARK, SEAL_BYTES, write_snapshot
from ensemble.tree.snapshot_reader import Snapshot, SnapshotReader

READ_BYTES: Final = 1 << 20
HEAD_BYTES: Final = 16
READ_TRIES_MAX: Final = 100


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
    temporary = path + TEMPORARY_SUFFIX
    try:
        write(disk, temporary, tree, compression, digest, last_zxid)
        disk.rename(temporary, path)
    except StorageError:
        with contextlib.suppress(StorageError):
            if disk.exists(temporary):
                disk.remove(temporary)
        raise
    disk.sync_folder(layout.snapshot_folder)
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


def verify(disk: Disk, path: str) -> None:
    """Check a file's last seal, which is over all of it; no tree is built.

    Raises:
        StorageError: names the file and what is wrong with it.
    """
    source = disk.open(path)
    try:
        check_quickly(source, path)
        expander = Expander(compression_of(path))
        total = 1
        rest = b""  # never more than a seal: it is not part of its own sum
        at = 0
        while chunk := source.read_at(at, READ_BYTES):
            at += len(chunk)
            for part in expander.feed(chunk):
                rest += part
                total = adler32(rest[:-SEAL_BYTES], total)
                rest = rest[-SEAL_BYTES:]
        expander.finish()
        if rest != total.to_bytes(8, "big") + END_MARK:
            raise StorageError(f"the last seal does not match: {rest.hex()}, {total:#x} found")
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from None
    finally:
        source.close()
