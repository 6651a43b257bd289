"""Snapshot files: written beside their final name, synced, renamed; read back and verified.

Source: storage.md 4.2, 4.3. A file under a final name is complete, whatever happened while it was
written (trust.md B6); those that the Java server leaves half-written are recognised and passed over.
"""

import zlib
from typing import Final

import cramjam

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk
from ensemble.storage.layout import TEMPORARY_SUFFIX, Layout, compression_of
from ensemble.tree.datatree import DataTree
from ensemble.tree.snapshot import END_MARK, Snapshot, read_snapshot, write_snapshot

GZIP_MAGIC: Final = b"\x1f\x8b"
SNAPPY_MAGIC: Final = b"\x82SNAPPY\x00"
SNAPPY_HEADER: Final = SNAPPY_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
SNAPPY_CHUNK_BYTES: Final = 32_768
GZIP_WINDOW: Final = 31  # zlib's way to ask for a gzip wrapper
READ_TRIES_MAX: Final = 100


class Compressor:
    """Turns chunks into what goes into the file."""

    def __init__(self, method: str) -> None:
        self.method: Final = method
        self.gzip = zlib.compressobj(wbits=GZIP_WINDOW) if method == "gz" else None

    def begin(self) -> bytes:
        return SNAPPY_HEADER if self.method == "snappy" else b""

    def feed(self, chunk: bytes) -> bytes:
        if self.gzip is not None:
            return self.gzip.compress(chunk)
        if self.method == "snappy":
            parts: list[bytes] = []
            for at in range(0, len(chunk), SNAPPY_CHUNK_BYTES):
                block = bytes(cramjam.snappy.compress_raw(chunk[at : at + SNAPPY_CHUNK_BYTES]))
                parts.append(len(block).to_bytes(4, "big") + block)
            return b"".join(parts)
        return chunk

    def end(self) -> bytes:
        return b"" if self.gzip is None else self.gzip.flush()


def expand(data: bytes, method: str) -> bytes:
    """A file's content without its compression.

    Raises:
        StorageError: it is not what its name says.
    """
    try:
        if method == "gz":
            return zlib.decompress(data, wbits=GZIP_WINDOW)
        if method == "snappy":
            return expand_snappy(data)
    except (zlib.error, cramjam.DecompressionError) as error:
        raise StorageError(f"cannot be decompressed: {error}") from None
    return data


def expand_snappy(data: bytes) -> bytes:
    parts: list[bytes] = []
    at = len(SNAPPY_HEADER)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        block = data[at + 4 : at + 4 + length]
        if len(block) != length:
            raise StorageError(f"a snappy block of {length} bytes is cut off at offset {at}")
        parts.append(bytes(cramjam.snappy.decompress_raw(block)))
        at += 4 + length
    return b"".join(parts)


def looks_whole(data: bytes, method: str) -> bool:
    """The quick test that decides whether a file counts as a snapshot at all."""
    if method == "gz":
        return data[:2] == GZIP_MAGIC
    if method == "snappy":
        return data[:8] == SNAPPY_MAGIC
    return len(data) >= 10 and data[-5:] == END_MARK


def save(
    disk: Disk,
    layout: Layout,
    tree: DataTree,
    compression: str = "",
    digest: bool = True,
    last_zxid: bool = True,
) -> str:
    """Write the tree under the name of its last zxid; the path. Durable when this returns."""
    path = layout.snapshot_path(tree.last_zxid, compression)
    temporary = path + TEMPORARY_SUFFIX
    try:
        write(disk, temporary, tree, compression, digest, last_zxid)
        disk.rename(temporary, path)
    except StorageError:
        if disk.exists(temporary):
            disk.remove(temporary)
        raise
    disk.sync_folder(layout.snapshot_folder)
    return path


def write(
    disk: Disk, path: str, tree: DataTree, compression: str, digest: bool, last_zxid: bool
) -> None:
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


def load(disk: Disk, path: str, zxid: int, extended_types: bool = False) -> Snapshot:
    """Read and verify one file.

    Raises:
        StorageError: names the file and what is wrong with it.
    """
    data = disk.read(path)
    method = compression_of(path)
    try:
        if not looks_whole(data, method):
            raise StorageError(f"incomplete, {len(data)} bytes")
        return read_snapshot(expand(data, method), zxid, extended_types)
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from None
