"""Which paths are legal, and what is above them (client.md 10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.tree.paths import first_component, is_legal, is_legal_name, is_within, parent_of

LEGAL = [
    "/",
    "/a",
    "/a/b",
    "/...",
    "/.x",
    "/..x",
    "/x.",
    "/ ",
    "/a b",
    "/\u00a0",
    "/\u2028",
    "/%2F",
]
LEGAL += ['/"', "/\\", "/\ud7ff", "/\uf900", "/\uffef", "/\u0416", "/~", "/" + "a" * 10_000]
ILLEGAL = ["", "a", "a/b", "/a/", "//", "//a", "/a//b", "/.", "/..", "/a/.", "/a/../b", "/./a"]
ILLEGAL += ["/\x00", "/\x1f", "/\x7f", "/\x80", "/\x9f", "/a\x01", "/\ue000", "/\uf8ff", "/\ufff0"]
ILLEGAL += ["/\ufffd", "/\uffff", "/\U0001f600", "/\u0416\x1f", "/\u0416/"]


@pytest.mark.parametrize("path", LEGAL)
def test_these_paths_are_legal(path: str) -> None:
    """client.md 10, [14]."""
    assert is_legal(path.encode())


@pytest.mark.parametrize("path", ILLEGAL)
def test_these_paths_are_not(path: str) -> None:
    """client.md 10, [14]."""
    assert not is_legal(path.encode())


@pytest.mark.parametrize(
    "path", [b"/\xff", b"/\xc3", b"/\xed\xa0\x80", b"/\xf0\x9f\x98\x80", b"/\xc0\xaf"]
)
def test_what_is_no_utf8_is_no_path(path: bytes) -> None:
    """client.md 10: Java reads U+FFFD there, or surrogates."""
    assert not is_legal(path)


def forbidden(unit: int) -> bool:
    """The list of client.md section 10."""
    return (
        unit <= 0x1F or 0x7F <= unit <= 0x9F or 0xD800 <= unit <= 0xF8FF or 0xFFF0 <= unit <= 0xFFFF
    )


def legal_by_the_book(path: str) -> bool:
    if path == "/":
        return True
    names = path.split("/")
    if names[0] != "" or len(names) < 2 or any(name in ("", ".", "..") for name in names[1:]):
        return False
    units = path.encode("utf-16-be", "surrogatepass")
    return not any(forbidden(units[i] << 8 | units[i + 1]) for i in range(0, len(units), 2))


@given(
    st.text(
        alphabet=st.sampled_from("/.a\x00\x1f\x7f\x9f\u00a0\ue000\uffef\ufff0\U00010000"),
        max_size=7,
    )
)
def test_legality_is_that_of_the_book(path: str) -> None:
    """client.md 10, unit by unit."""
    assert is_legal(path.encode()) == legal_by_the_book(path)
    if "/" not in path:
        assert is_legal_name(path.encode()) == (path != "" and legal_by_the_book("/" + path))


def test_parents_and_ancestors_go_by_components() -> None:
    parents = [parent_of(path) for path in (b"/", b"/a", b"/a/b", b"/a/b/", b"")]
    assert parents == [b"/", b"/", b"/a", b"/a/b", b"/"]
    assert [first_component(path) for path in (b"/", b"/a", b"/a/b")] == [b"", b"a", b"a"]
    assert is_within(b"/a/b", b"/a")
    assert is_within(b"/a", b"/a")
    assert is_within(b"/a", b"/")
    assert not is_within(b"/ab", b"/a")
    assert not is_within(b"/a", b"/a/b")
