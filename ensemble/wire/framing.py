"""Frames: a 4-byte length, then that many bytes. Nothing else separates messages.

Source: client.md section 1. A length out of bounds is refused before its bytes are awaited, so a
connection holds at most one frame of `frame_bytes_max` and what one receive call brought.
"""

from typing import Final, final

from librt.strings import BytesWriter, read_i32_be, write_i32_be
from mypy_extensions import i64, u8

from ensemble.errors import ProtocolError

LENGTH_BYTES: Final = 4
FRAME_BYTES_MAX_DEFAULT: Final = 0xFFFFF  # jute.maxbuffer; the boundary value itself is accepted


@final
class FrameBuffer:
    """Received bytes of one connection, handed out frame by frame.

    `feed` bytes, then call `next_frame` until it gives False: `buf[start:end]` is one frame's
    payload, valid until the next `feed`. `arrived_us`: when its last byte was fed, or up to one
    filling of the buffer earlier: of what lies in the buffer two generations are told apart.
    """

    __slots__ = (
        "arrived_us",
        "at",
        "buf",
        "end",
        "frame_bytes_max",
        "newer_at",
        "newer_us",
        "parts",
        "parts_bytes",
        "start",
        "wanted",
    )

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX_DEFAULT) -> None:
        self.frame_bytes_max: Final = frame_bytes_max
        self.buf = b""
        self.at: i64 = 0  # first byte of buf that no frame has taken
        self.start: i64 = 0
        self.end: i64 = 0
        # A frame larger than one receive call is collected as parts and joined once.
        self.parts: list[bytes] = []
        self.parts_bytes: i64 = 0
        self.wanted: i64 = 0
        self.arrived_us: i64 = 0
        self.newer_us: i64 = 0
        self.newer_at: i64 = -1  # where in `buf` the bytes of `newer_us` begin; -1: nowhere

    def feed(self, data: bytes, now_us: i64 = 0) -> None:
        """Take what one receive call brought."""
        if self.parts_bytes > 0:
            self.parts.append(data)
            self.parts_bytes += len(data)
            if self.parts_bytes < self.wanted:
                return
            data = b"".join(self.parts)
            self.parts = []
            self.parts_bytes = 0
            self.buf = data
            self.arrived_us = now_us
        elif self.at < len(self.buf):
            if self.newer_at < 0:
                self.newer_at = len(self.buf) - self.at
                self.newer_us = now_us
            else:
                self.newer_at -= self.at
            self.buf = self.buf[self.at :] + data
        else:
            self.buf = data
            self.arrived_us = now_us
            self.newer_at = -1
        self.at = 0

    def next_frame(self) -> bool:
        """Move to the next whole frame, if there is one.

        Raises:
            ProtocolError: the length is negative or above the limit.
        """
        if self.parts_bytes > 0:
            return False
        at = self.at
        have = len(self.buf) - at
        if have < LENGTH_BYTES:
            return False
        size = i64(read_i32_be(self.buf, at))
        if size < 0 or size > self.frame_bytes_max:
            raise ProtocolError(f"a frame of {size} bytes, the limit is {self.frame_bytes_max}")
        if have < LENGTH_BYTES + size:
            self.parts = [self.buf[at:]]
            self.parts_bytes = have
            self.wanted = LENGTH_BYTES + size
            self.buf = b""
            self.at = 0
            self.newer_at = -1
            return False
        self.start = at + LENGTH_BYTES
        self.end = self.start + size
        self.at = self.end
        if 0 <= self.newer_at < self.end:
            self.arrived_us = self.newer_us
            self.newer_at = -1
        return True

    def put_back(self) -> None:
        """The frame that `next_frame` moved to is to come again."""
        self.at = self.start - LENGTH_BYTES

    def pending(self) -> int:
        """Bytes held that belong to no complete frame yet."""
        return len(self.buf) - self.at + self.parts_bytes


def begin_frame(out: BytesWriter) -> i64:
    """Leave room for a length; `end_frame` fills it in."""
    start = len(out)
    write_i32_be(out, 0)
    return start


def end_frame(out: BytesWriter, start: i64) -> None:
    """Write the length of everything after `begin_frame`."""
    size = len(out) - start - LENGTH_BYTES
    out[start] = u8((size >> 24) & 0xFF)
    out[start + 1] = u8((size >> 16) & 0xFF)
    out[start + 2] = u8((size >> 8) & 0xFF)
    out[start + 3] = u8(size & 0xFF)
