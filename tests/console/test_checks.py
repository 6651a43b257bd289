"""Texts are checked in their language, with the place, and put in order without being changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import checks
from console.formats import FormatError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "format", "line", "column", "words"),
    [
        ('{\n  "a": 1,\n}', "json", 3, 1, "property name"),
        ("[" * 100_000, "json", 1, 1, "deeply"),
        ("1" * 5_000, "json", 1, 1, "digits"),
        ("<a>\n  <b></a>", "xml", 2, 8, "Mismatched tag"),
        ("a: [1,\nb: 2\n", "yaml", 3, 1, "xpected"),
        ("a: 'x\n", "yaml", 2, 1, "end of stream"),
        ("a=1\nb=\\u12", "properties", 2, 3, "four hexadecimal digits"),
        ("00\nzz", "hex", 2, 1, "'z' is not"),
        ("*", "base64", 1, 1, "not base64"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    text: str, format: str, line: int, column: int, words: str
) -> None:
    found = checks.problem_of(text, format)
    assert found is not None
    assert (found.line, found.column) == (line, column)
    assert words in found.text


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{"a": [1, 2]}', "json"),
        ('<?xml version="1.0"?><a>&lt;</a>', "xml"),
        ('<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>', "xml"),
        ("a: &x 1\nb: *x\n", "yaml"),
        ("---\na: 1\n---\nb: 2\n", "yaml"),
        ("a=\\\\u12\n# \\u\n", "properties"),
        ("whatever \\u", "text"),
        ("[" * 60_000, "yaml"),  # its parser would take 20 s to find that out
        ("[" * (checks.CHECKED_CHARACTERS_MAX + 1), "json"),  # too long to be looked at
    ],
)
def test_what_is_right_passes(text: str, format: str) -> None:
    assert checks.problem_of(text, format) is None


@given(VALUES)
def test_json_in_order_says_the_same(value: object) -> None:
    text = json.dumps(value)
    laid = checks.laid_out(text, "json")
    assert json.loads(laid) == value
    assert laid == json.dumps(value, indent=2)
    assert checks.laid_out(laid, "json") == laid


def test_what_is_laid_out_keeps_numbers_names_escapes_and_its_end() -> None:
    text = '{"a":1.50,"a":"\\u00e9\\"{",  "b":[] }\n'
    laid = checks.laid_out(text, "json")
    assert laid == '{\n  "a": 1.50,\n  "a": "\\u00e9\\"{",\n  "b": []\n}\n'


def test_xml_in_order_leaves_mixed_content_as_it_is() -> None:
    text = '<?xml version="1.0"?><!-- c --><a x="1>2"><b>t <i>it</i> m</b><c/><d><e>1</e></d></a>'
    assert checks.laid_out(text, "xml") == (
        '<?xml version="1.0"?>\n<!-- c -->\n<a x="1>2">\n  <b>t <i>it</i> m</b>\n  <c/>\n  <d>\n'
        "    <e>1</e>\n  </d>\n</a>"
    )


@pytest.mark.parametrize(
    ("text", "format", "words"),
    [
        ("{", "json", "Line 1, column 2"),
        ("a: 1", "yaml", "json and xml"),
        ("[" * 300 + "]" * 300, "json", "too deep"),
        ("<a>" * 300 + "</a>" * 300, "xml", "too deep"),
        ("<!DOCTYPE a [<!ENTITY x ']>'>]><a>&x;</a>", "xml", "DOCTYPE"),
        (" " * (checks.CHECKED_CHARACTERS_MAX + 1), "json", "too many"),
    ],
)
def test_what_cannot_be_laid_out_says_why(text: str, format: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        checks.laid_out(text, format)
