"""Whose a path is, against a search that looks at every path above it."""

import random

from ensemble.tree.roots import Roots


def above(path: bytes) -> list[bytes]:
    """A path and what is above it, the deepest first, without `/`."""
    found = []
    while path:
        found.append(path)
        path = path[: path.rfind(b"/")]
    return found


def test_the_deepest_or_the_uppermost_root_is_found_as_by_looking_everywhere() -> None:
    rng = random.Random(7)

    def some_path() -> bytes:
        return b"".join(b"/" + rng.choice((b"a", b"b", b"ab")) for _ in range(rng.randint(1, 5)))

    for _ in range(200):
        roots: Roots[bytes] = Roots()
        for _ in range(rng.randint(0, 6)):
            path = some_path()
            roots.put(path, path)
        for path in list(roots.by_path):
            if rng.random() < 0.3:
                roots.remove(path)
        assert roots.depths == sorted({path.count(b"/") for path in roots.by_path})
        for _ in range(20):
            path = some_path()
            owners = [each for each in above(path) if each in roots.by_path]
            assert roots.owner_of(path, deepest=True) == (owners[0] if owners else None)
            assert roots.owner_of(path) == (owners[-1] if owners else None)
            assert roots.owner_of(b"/zoo" + path, 4) == roots.owner_of(path)


def test_a_name_that_only_begins_like_a_root_is_not_within_it() -> None:
    roots: Roots[int] = Roots()
    roots.put(b"/tenants/a", 1)
    assert roots.owner_of(b"/tenants/ab") is None
    assert roots.owner_of(b"/tenants/a/") == 1
    assert roots.owner_of(b"/tenants") is None
    assert roots.owner_of(b"/") is None
    assert roots.owner_of(b"") is None


def test_what_is_put_twice_is_removed_once() -> None:
    roots: Roots[int] = Roots()
    roots.put(b"/a", 1)
    roots.put(b"/a", 2)
    assert roots.owner_of(b"/a/b") == 2
    roots.remove(b"/a")
    roots.remove(b"/a")
    assert roots.owner_of(b"/a/b") is None
    assert roots.depths == []
