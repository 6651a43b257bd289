"""What goes out comes back: formats of znode data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import formats


@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_data_survives_the_way_through_the_editor(data: bytes) -> None:
    for wanted in ("", *formats.NAMES):
        shown = formats.show(data, wanted)
        assert formats.from_text(shown.text, shown.format) == data


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
        ("x", "rot13", "Unknown format 'rot13'"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_the_place(
    text: str, format: str, words: str
) -> None:
    with pytest.raises(formats.FormatError, match=words):
        formats.from_text(text, format)
