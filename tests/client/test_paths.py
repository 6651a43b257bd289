"""Paths as the client takes them, and the chroot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.client.errors import BadArgumentsError
from ensemble.client.paths import Chroot, check_path, parent_of
from ensemble.tree.paths import is_legal

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize("path", ["/", "/a", "/a/b", "/...", "/.a", "/a b", "/ü€", "/a\u00a0b"])
def test_a_legal_path_passes(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("", "start with /"),
        ("a", "start with /"),
        ("/a/", "end with /"),
        ("//a", "empty name"),
        ("/a//b", "empty name"),
        ("/./a", "must not be ."),
        ("/a/..", "must not be .."),
        ("/a\x00b", "0x0 at 2"),
        ("/a\x7f", "0x7f at 2"),
        ("/\ud800", "0xd800 at 1"),
        ("/\ue000", "0xe000 at 1"),
        ("/\ufffd", "0xfffd at 1"),
        ("/\U0001f600", "0x1f600 at 1"),
    ],
)
def test_a_path_that_cannot_be_is_refused_with_the_reason(path: str, named: str) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        check_path(path)
    assert named in str(caught.value)
    assert caught.value.path == repr(path)


def test_a_sequential_name_may_be_empty() -> None:
    assert check_path("/a/", sequential=True) == "/a/"
    with pytest.raises(BadArgumentsError):
        check_path("/a//", sequential=True)


@given(paths | st.text(max_size=8))
def test_client_and_server_agree_on_what_a_path_is(path: str) -> None:
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return
    try:
        check_path(path)
        legal = True
    except BadArgumentsError:
        legal = False
    assert legal == is_legal(raw)


@pytest.mark.parametrize(("path", "parent"), [("/a/b/c", "/a/b"), ("/a", "/"), ("/", "/")])
def test_the_parent_is_one_name_less(path: str, parent: str) -> None:
    assert parent_of(path) == parent


@pytest.mark.parametrize("prefix", ["", "/"])
def test_no_chroot_changes_nothing(prefix: str) -> None:
    chroot = Chroot(prefix)
    assert chroot.to_server("/a") == "/a"
    assert chroot.to_client("/a") == "/a"


@pytest.mark.parametrize(
    ("inside", "outside"), [("/", "/app"), ("/a", "/app/a"), ("/app", "/app/app")]
)
def test_a_chroot_translates_both_ways(inside: str, outside: str) -> None:
    chroot = Chroot("/app")
    assert chroot.to_server(inside) == outside
    assert chroot.to_client(outside) == inside


@pytest.mark.parametrize("path", ["/", "/apple", "/ap", "/b/app", "/appl/x"])
def test_what_is_outside_of_a_chroot_has_no_name_in_it(path: str) -> None:
    assert Chroot("/app").to_client(path) is None


@given(paths.filter(lambda p: is_legal(p.encode())), paths.filter(lambda p: is_legal(p.encode())))
def test_a_chroot_there_and_back_is_the_same_path(prefix: str, path: str) -> None:
    chroot = Chroot(prefix)
    assert chroot.to_client(chroot.to_server(path)) == path
