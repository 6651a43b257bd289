"""What goes out comes back: formats of znode data."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import formats


@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_data_survives_the_way_through_the_editor(data: bytes) -> None:
    for wanted in ("", *formats.NAMES):
        shown = formats.show(data, wanted)
        assert shown.format in shown.offered
        assert formats.from_text(shown.text, shown.format, data) == data


@given(st.text(max_size=100), st.integers(1, 9))
def test_packed_data_survives_too(text: str, level: int) -> None:
    data = gzip.compress(text.encode(), level, mtime=3)
    for wanted in ("gzip", "base64", "hex"):
        shown = formats.show(data, wanted)
        assert formats.from_text(shown.text, shown.format, data) == data


def test_what_unpacks_to_very_much_or_to_bytes_stays_packed() -> None:
    """A bomb: a thousandth of its size in the znode."""
    for inside in (b"x" * (formats.UNPACKED_BYTES_MAX + 1), b"\x00"):
        assert formats.detect(gzip.compress(inside)) == "hex"
    assert formats.detect(gzip.compress(b"x" * formats.UNPACKED_BYTES_MAX)) == "gzip"
    assert formats.detect(gzip.compress(b"x") + b"more") == "hex"
    assert formats.detect(gzip.compress(b"x")[:-3]) == "hex"


def test_hexadecimal_has_the_text_beside_it_which_is_not_read_back() -> None:
    shown = formats.to_hex(b"|ab\x00\xff")
    assert shown == "7c 61 62 00 ff" + " " * 33 + "  ||ab..|"
    assert formats.from_text(shown.replace("ab", "xy"), "hex") == b"|ab\x00\xff"


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"", "text"),
        (b"hello", "text"),
        (b'{"a": 1}', "json"),
        (b"{broken", "text"),
        (b"[" * 100_000, "text"),
        (b"<a/>", "xml"),
        (b"a: 1\nb: 2\n", "yaml"),
        (b"- a\n- b\n", "yaml"),
        (b"# how\na.b=1\n! c\n\nd = 2\n", "properties"),
        (b"1 + 1 = 2", "text"),
        (b"\x00\x01", "hex"),
        (b"\xff\xfe", "hex"),
        (b"a\r\nb", "hex"),
        ("grüße".encode(), "text"),
        ("\ufeff{}".encode(), "hex"),
    ],
)
def test_the_format_suits_the_data(data: bytes, format: str) -> None:
    assert formats.detect(data) == format


@pytest.mark.parametrize(
    ("text", "format", "words"),
    [
        ("0", "hex", "1 digits"),
        ("0g", "hex", "'g' is not a hexadecimal digit"),
        ("00\n11\n2 z", "hex", "Line 3: 'z'"),
        ("x", "rot13", "Unknown format 'rot13'"),
        ("YQ=", "base64", "are not base64"),
        ("Y!==", "base64", "'!' is not base64"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_the_place(
    text: str, format: str, words: str
) -> None:
    with pytest.raises(formats.FormatError, match=words):
        formats.from_text(text, format)
