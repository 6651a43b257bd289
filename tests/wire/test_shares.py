"""SHARES packets between our own servers: round trips, and bytes that are none."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import ProtocolError
from ensemble.wire import shares
from ensemble.wire.shares import Row, SharesPacket, encode_shares, read_shares

VALUES = st.lists(st.integers(-1, (1 << 63) - 1), min_size=5, max_size=5)
SLUGS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
ROWS = st.builds(Row, SLUGS, st.booleans(), VALUES, VALUES)
HEAD = [7, 1]


def one(slug: str = "a", head: list[int] | None = None, value: int = 5) -> bytes:
    row = Row(slug, True, [value] * 5, [0] * 5)
    return encode_shares(SharesPacket(HEAD if head is None else head, [row]))


@given(st.lists(ROWS, max_size=20))
def test_what_is_written_is_read(rows: list[Row]) -> None:
    packet = read_shares(encode_shares(SharesPacket(HEAD, rows)), 2, 5)
    assert packet.head == HEAD
    read = [(row.slug, row.flag, row.first, row.second) for row in packet.rows]
    assert read == [(row.slug, row.flag, row.first, row.second) for row in rows]


@given(st.integers(0, 200))
def test_a_packet_that_is_cut_is_none(at: int) -> None:
    whole = one()
    if at < len(whole):
        with pytest.raises(ProtocolError, match="shares"):
            read_shares(whole[:at], 2, 5)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_packet_or_an_error(data: bytes) -> None:
    try:
        read_shares(data, 2, 5)
    except ProtocolError as error:
        assert "shares" in str(error)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (one() + b"x", "1 bytes behind their end"),
        (one(head=[1, 2, 3]), "3 numbers in front, 2 are expected"),
        (one(head=[-2, 0]), "-2, -1 is the least"),
        (one(value=-5), "-5, -1 is the least"),
        (one(slug="x" * 64), "a tenant named"),
        (one(slug=""), "a tenant named"),
        (one(slug="ä"), "a tenant named"),
        (
            struct.pack(">iqqi", 2, 0, 0, shares.TENANTS_MAX + 1),
            f"of {shares.TENANTS_MAX + 1} tenants, 0 to {shares.TENANTS_MAX} are allowed",
        ),
        (struct.pack(">iqqi", 2, 0, 0, -1), "of -1 tenants"),
    ],
)
def test_errors_name_the_value_and_the_bound(data: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        read_shares(data, 2, 5)


def test_other_kinds_of_limits_are_not_guessed() -> None:
    """A server of another version may know more of them: it agrees on that beforehand."""
    with pytest.raises(ProtocolError, match="5 kinds of limits, 6 are expected"):
        read_shares(one(), 2, 6)
