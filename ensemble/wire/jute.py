"""Jute, ZooKeeper's encoding: big-endian integers, length-prefixed buffers and vectors.

Source: client.md section 2. Reading is bounded by the frame: a length that does not fit raises
before anything is allocated. Writing goes into a `BytesWriter`; `librt` is a run-time dependency
for it, since it writes a header in 20 ns where `struct` needs 250 (docs/decisions/0002).
"""

from typing import Final, final

from librt.strings import BytesWriter, read_i32_be, read_i64_be, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from ensemble.errors import KeeperError
from ensemble.wire.codes import MARSHALLING_ERROR

__all__ = [
    "BytesWriter",
    "MarshallingError",
    "Reader",
    "write_bool",
    "write_buffer",
    "write_int",
    "write_long",
    "write_text",
]

VECTOR_ITEM_BYTES_MIN: Final = 4


class MarshallingError(KeeperError):
    """A body ends too early, or a length in it is impossible. Code -5 where a reply is due."""

    def __init__(self, message: str) -> None:
        super().__init__(MARSHALLING_ERROR, message)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Reader:
    """A position in one frame. `end` is the first offset that is not part of it."""

    __slots__ = ("at", "buf", "end")

    def __init__(self, buf: bytes, at: i64, end: i64) -> None:
        self.buf = buf
        self.at = at
        self.end = end

    def remaining(self) -> int:
        """Bytes not read yet."""
        return self.end - self.at

    def read_byte(self) -> int:
        at = self.at
        if at + 1 > self.end:
            raise self.short(1)
        self.at = at + 1
        return self.buf[at]

    def read_bool(self) -> bool:
        """Any byte but 0 is true."""
        return self.read_byte() != 0

    def read_int(self) -> i64:
        """A signed 32-bit integer."""
        at = self.at
        if at + 4 > self.end:
            raise self.short(4)
        self.at = at + 4
        return i64(read_i32_be(self.buf, at))

    def read_long(self) -> i64:
        """A signed 64-bit integer."""
        at = self.at
        if at + 8 > self.end:
            raise self.short(8)
        self.at = at + 8
        return read_i64_be(self.buf, at)

    def read_buffer(self) -> bytes | None:
        """A buffer, or a string as its UTF-8 bytes; None where the length is -1."""
        size = self.read_int()
        if size == -1:
            return None
        at = self.at
        if size < 0 or at + size > self.end:
            raise MarshallingError(f"a buffer of {size} bytes with {self.end - at} left")
        self.at = at + size
        return self.buf[at : at + size]

    def read_path(self) -> bytes:
        """A path, as UTF-8, not validated. Null is a marshalling error."""
        path = self.read_buffer()
        if path is None:
            raise MarshallingError("a null path")
        return path

    def read_text(self) -> str | None:
        """A string; bad UTF-8 becomes U+FFFD, as in the Java server."""
        raw = self.read_buffer()
        return None if raw is None else raw.decode("utf-8", "replace")

    def read_count(self) -> int:
        """The length of a vector; None (-1) and other non-positive counts read as 0.

        Refuses a count that cannot fit into the rest of the frame: every element takes 4 bytes.
        """
        count = self.read_int()
        if count <= 0:
            return 0
        if count * VECTOR_ITEM_BYTES_MIN > self.end - self.at:
            raise MarshallingError(f"a vector of {count} elements in {self.end - self.at} bytes")
        return count

    def read_paths(self) -> list[bytes]:
        """A vector of strings as UTF-8. A null vector or a null element is a marshalling error."""
        count = self.read_int()
        if count == -1:
            raise MarshallingError("a null vector of paths")
        if count * VECTOR_ITEM_BYTES_MIN > self.end - self.at:
            raise MarshallingError(f"a vector of {count} elements in {self.end - self.at} bytes")
        paths: list[bytes] = []
        while count > 0:
            count -= 1
            paths.append(self.read_path())
        return paths

    def rest(self) -> bytes:
        """What is left, as bytes; the position does not move."""
        return self.buf[self.at : self.end]

    def short(self, wanted: int) -> MarshallingError:
        return MarshallingError(f"{wanted} bytes wanted, {self.end - self.at} left")


def reader_of(data: bytes) -> Reader:
    """A reader over all of `data`."""
    return Reader(data, 0, len(data))


def write_int(out: BytesWriter, value: i64) -> None:
    """A signed 32-bit integer; larger values wrap, as Java's do."""
    value &= 0xFFFFFFFF
    if value >= 0x80000000:
        value -= 0x100000000
    write_i32_be(out, int(value))


def write_long(out: BytesWriter, value: i64) -> None:
    """A signed 64-bit integer."""
    write_i64_be(out, value)


def write_bool(out: BytesWriter, value: bool) -> None:
    out.append(1 if value else 0)


def write_buffer(out: BytesWriter, value: bytes | None) -> None:
    """A buffer, or a string given as UTF-8; None is length -1."""
    if value is None:
        write_i32_be(out, -1)
    else:
        write_i32_be(out, len(value))
        out.write(value)


def write_text(out: BytesWriter, value: str | None) -> None:
    """A string. Real UTF-8, where the Java server would write surrogates one by one."""
    write_buffer(out, None if value is None else value.encode("utf-8", "replace"))
