"""What servers of ours tell each other of tenants' limits: the data of SHARES packets.

A learner reports what it uses, the leader answers with allowances. Apache's servers are never sent
one. Everything is a long (8 bytes) but slugs and counts:

    report: applied, fresh, count, then for each tenant: slug, short, uses, what it goes by
    answer: message, members, rank, percent, count, then for each: slug, allowances, uses elsewhere
"""

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.wire.jute import MarshallingError, Reader, reader_of, write_text

VALUES_MAX: Final = 16  # kinds of limits, in either list
TENANTS_MAX: Final = 4_096  # in one packet; what does not fit goes into the next one
SLUG_BYTES_MAX: Final = 63


@final
class Row:
    """One tenant in a packet: its name, and two lists as long as each other."""

    __slots__ = ("first", "flag", "second", "slug")

    def __init__(self, slug: str, flag: bool, first: list[int], second: list[int]) -> None:
        self.slug: Final = slug
        self.flag: Final = flag
        self.first: Final = first
        self.second: Final = second


@final
class SharesPacket:
    """`head` has two numbers in a report, four in an answer."""

    __slots__ = ("head", "rows")

    def __init__(self, head: list[int], rows: list[Row]) -> None:
        self.head: Final = head
        self.rows: Final = rows


def encode_shares(packet: SharesPacket) -> bytes:
    assert len(packet.rows) <= TENANTS_MAX
    out = BytesWriter()
    write_i32_be(out, len(packet.head))
    for number in packet.head:
        write_i64_be(out, number)
    write_i32_be(out, len(packet.rows))
    for row in packet.rows:
        assert len(row.first) == len(row.second) <= VALUES_MAX
        write_text(out, row.slug)
        write_i32_be(out, 1 if row.flag else 0)
        write_i32_be(out, len(row.first))
        for value in row.first:
            write_i64_be(out, value)
        for value in row.second:
            write_i64_be(out, value)
    return out.getvalue()


def read_shares(data: bytes, head_count: int, kinds: int) -> SharesPacket:
    """A packet with so many numbers in front and so many kinds of limits.

    Raises:
        ProtocolError: it is none; the link is cut.
    """
    try:
        reader = reader_of(data)
        head = read_longs(reader, reader.read_int(), head_count, "numbers in front")
        count = reader.read_int()
        if not 0 <= count <= TENANTS_MAX:
            raise ProtocolError(f"shares of {count} tenants, 0 to {TENANTS_MAX} are allowed")
        rows: list[Row] = []
        for _ in range(count):
            raw = reader.read_buffer()
            if raw is None or not 0 < len(raw) <= SLUG_BYTES_MAX or not raw.isascii():
                raise ProtocolError(f"shares of a tenant named {raw!r:.80}")
            flag = reader.read_int() != 0
            size = reader.read_int()
            first = read_longs(reader, size, kinds, "kinds of limits")
            second = read_longs(reader, size, kinds, "kinds of limits")
            rows.append(Row(raw.decode(), flag, first, second))
    except MarshallingError as error:
        raise ProtocolError(f"shares of {len(data)} bytes: {error}") from None
    if reader.remaining() > 0:
        raise ProtocolError(f"shares with {reader.remaining()} bytes behind their end")
    return SharesPacket(head, rows)


def read_longs(reader: Reader, count: int, wanted: int, what: str) -> list[int]:
    if count != wanted:
        raise ProtocolError(f"shares with {count} {what}, {wanted} are expected")
    values: list[int] = []
    for _ in range(count):
        value: i64 = reader.read_long()
        if value < -1:
            raise ProtocolError(f"shares with {value}, -1 is the least")
        values.append(int(value))
    return values
