"""The two ways in which a snapshot may be compressed: gzip, and snappy as Java's stream writes it.

Source: storage.md 4.2. Both directions take chunks of any length. A snappy stream is a header and
then blocks, each with its compressed length before it.
"""

import zlib
from collections.abc import Iterator
from typing import Final, final

import cramjam

from ensemble.errors import StorageError

GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_LEVEL: Final = 6
GZIP_WINDOW: Final = 31  # zlib's way to ask for a gzip wrapper
SNAPPY_MAGIC: Final = b"\x82SNAPPY\x00"
SNAPPY_HEADER: Final = SNAPPY_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
SNAPPY_CHUNK_BYTES: Final = 32_768
SNAPPY_BLOCK_BYTES_MAX: Final = 1 << 22
EXPANDED_BYTES_MAX: Final = 1 << 22  # of one piece of a gzip stream


@final
class Compressor:
    """Turns chunks into what goes into the file. `method`: "", "gz" or "snappy"."""

    def __init__(self, method: str) -> None:
        self.method: Final = method
        self.gzip: Final = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW)

    def begin(self) -> bytes:
        return SNAPPY_HEADER if self.method == "snappy" else b""

    def feed(self, chunk: bytes) -> bytes:
        if self.method == "gz":
            return self.gzip.compress(chunk)
        if self.method == "snappy":
            parts: list[bytes] = []
            for at in range(0, len(chunk), SNAPPY_CHUNK_BYTES):
                block = bytes(cramjam.snappy.compress_raw(chunk[at : at + SNAPPY_CHUNK_BYTES]))
                parts.append(len(block).to_bytes(4, "big"))
                parts.append(block)
            return b"".join(parts)
        return chunk

    def end(self) -> bytes:
        return self.gzip.flush() if self.method == "gz" else b""


@final
class Expander:
    """The other direction. Errors are StorageErrors without the file's name."""

    def __init__(self, method: str) -> None:
        self.method: Final = method
        self.gzip: Final = zlib.decompressobj(wbits=GZIP_WINDOW)
        self.rest = b""  # of a snappy stream: not a whole block yet
        self.begun = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What a piece of the file expands to, piece by piece."""
        if self.method == "gz":
            yield from self.expand_gzip(chunk)
        elif self.method == "snappy":
            yield from self.expand_snappy(chunk)
        else:
            yield chunk

    def finish(self) -> None:
        """The file ends here."""
        if self.method == "gz" and not self.gzip.eof:
            raise StorageError("the gzip stream is cut off")
        if self.method == "snappy" and (self.rest or not self.begun):
            raise StorageError("the snappy stream is cut off")

    def expand_gzip(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk and not self.gzip.eof:
                part = self.gzip.decompress(chunk, EXPANDED_BYTES_MAX)
                chunk = self.gzip.unconsumed_tail
                yield part
        except zlib.error as error:
            raise StorageError(f"cannot be decompressed: {error}") from None

    def expand_snappy(self, chunk: bytes) -> Iterator[bytes]:
        data = self.rest + chunk
        at = 0
        if not self.begun:
            if len(data) < len(SNAPPY_HEADER):
                self.rest = data
                return
            if data[: len(SNAPPY_MAGIC)] != SNAPPY_MAGIC:
                raise StorageError(f"no snappy stream, it begins with {data[:8].hex()}")
            self.begun = True
            at = len(SNAPPY_HEADER)
        while at + 4 <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if length > SNAPPY_BLOCK_BYTES_MAX:
                raise StorageError(
                    f"a snappy block of {length} bytes, {SNAPPY_BLOCK_BYTES_MAX} at most"
                )
            if at + 4 + length > len(data):
                break
            yield expand_block(data[at + 4 : at + 4 + length])
            at += 4 + length
        self.rest = data[at:]


def expand_block(block: bytes) -> bytes:
    """One raw snappy block. Its length comes first, and is not believed blindly."""
    size = 0
    for i in range(min(5, len(block))):
        size |= (block[i] & 0x7F) << (7 * i)
        if block[i] < 0x80:
            break
    if size > SNAPPY_BLOCK_BYTES_MAX:
        raise StorageError(
            f"a snappy block that expands to {size} bytes, {SNAPPY_BLOCK_BYTES_MAX} at most"
        )
    try:
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise StorageError(f"cannot be decompressed: {error}") from None


def looks_whole(size: int, head: bytes, last: bytes, method: str) -> bool:
    """The quick test that decides whether a file counts as a snapshot at all.

    Args:
        size: of the file; `head` its first 16 bytes, `last` its last five.
    """
    if method == "gz":
        return head.startswith(GZIP_MAGIC)
    if method == "snappy":
        return head.startswith(SNAPPY_MAGIC)
    return size >= 10 and last == b"\x00\x00\x00\x01/"
