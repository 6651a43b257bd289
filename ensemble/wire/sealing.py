"""Bytes between two of our own servers, in pieces that each carry a sum.

TCP's own sum misses what a faulty card or hypervisor changes now and then (trust.md F24), and a
changed bit in a proposal is another transaction on one server's disk. A piece is its length, the
CRC-32 of its content, the content. Servers agree on it in FOLLOWERINFO and LEADERINFO, which carry
sums of their own; Apache's know nothing of it. It is no protection against people: that is TLS.
"""

from typing import Final, final
from zlib import crc32

from librt.strings import read_i32_be
from mypy_extensions import i64

from ensemble.errors import ProtocolError

PIECE_BYTES_MAX: Final = 1 << 20
HEAD_BYTES: Final = 8


def seal(data: bytes) -> bytes:
    """`data` in pieces."""
    if len(data) <= PIECE_BYTES_MAX:
        return b"%b%b%b" % (len(data).to_bytes(4, "big"), crc32(data).to_bytes(4, "big"), data)
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        part = data[at : at + PIECE_BYTES_MAX]
        parts += [len(part).to_bytes(4, "big"), crc32(part).to_bytes(4, "big"), part]
        at += len(part)
    return b"".join(parts)


@final
class Unsealer:
    """The other direction: `feed` gives what whole pieces hold."""

    __slots__ = ("parts", "size", "wanted")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size: i64 = 0  # of all parts
        self.wanted: i64 = HEAD_BYTES  # less is no piece

    def feed(self, chunk: bytes) -> bytes:
        """Take what came in.

        Raises:
            ProtocolError: a piece is not what was sent.
        """
        self.parts.append(chunk)
        self.size += len(chunk)
        if self.size < self.wanted:
            return b""
        buf = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        found: list[bytes] = []
        at: i64 = 0
        self.wanted = HEAD_BYTES
        while len(buf) - at >= HEAD_BYTES:
            length = i64(read_i32_be(buf, at))
            if length <= 0 or length > PIECE_BYTES_MAX:
                raise ProtocolError(f"a sealed piece of {length} bytes, 1 to {PIECE_BYTES_MAX}")
            end = at + HEAD_BYTES + length
            if end > len(buf):
                self.wanted = HEAD_BYTES + length
                break
            content = buf[at + HEAD_BYTES : end]
            if crc32(content) != i64(read_i32_be(buf, at + 4)) & 0xFFFFFFFF:
                raise ProtocolError(f"{length} bytes were changed on the way: their sum differs")
            found.append(content)
            at = end
        self.parts = [buf[at:]] if at < len(buf) else []
        self.size = len(buf) - at
        return found[0] if len(found) == 1 else b"".join(found)
