"""Walks over a tree in memory: everything once, wherever they are broken off."""

import asyncio

import pytest

from ensemble.client import OPEN_ACL, Acl, Id, NoAuthError, NoNodeError, Stat
from observability.changes import Policy
from observability.collect import walk as walking
from observability.collect.index import SOON_S, due
from observability.collect.walk import Pace, Page, Walk, child, owner_of
from observability.index.rows import Found
from observability.index.write import Phase, State
from observability.roots import Roots

EPHEMERAL = 0x100000000000007
TREE = {
    "/": b"",
    "/a": b"1",
    "/a/x": b"2",
    "/a/x/deep": b"3",
    "/a/y": b"4",
    "/a-b": b"5",
    "/b": b"6",
    "/b/one": b"7",
    "/b/two": b"8",
    "/b/two/last": b"9",
    "/c": b"10",
    "/zookeeper": b"",
    "/zookeeper/tenants": b"hashes",
}


class Tree:
    """What a walk asks of a client."""

    def __init__(self, tree: dict[str, bytes], denied: str = "", closed: str = "") -> None:
        self.tree = tree
        self.closed = closed
        self.denied = denied

    async def sync(self, path: str) -> str:
        return path

    async def children(self, path: str) -> list[str]:
        if path not in self.tree:
            raise NoNodeError(path=path)
        inside = "/" if path == "/" else f"{path}/"
        rest = [one.removeprefix(inside) for one in self.tree if one.startswith(inside)]
        return [name for name in reversed(rest) if name and "/" not in name]

    async def get(self, path: str) -> tuple[bytes, Stat]:
        if path not in self.tree:
            raise NoNodeError(path=path)
        if path == self.denied:
            raise NoAuthError(path=path)
        return self.tree[path], await self.exists(path)

    async def get_acl(self, path: str) -> tuple[list[Acl], Stat]:
        if path == self.closed:
            return [Acl(31, Id("digest", "me:x"))], await self.exists(path)
        return list(OPEN_ACL), await self.exists(path)

    async def exists(self, path: str) -> Stat:
        children = len(await self.children(path))
        return Stat(1, 7, 5, 6, 2, 0, 0, 0, len(self.tree[path]), children, 1)


def pages(tree: Tree, place: str = "", name: str = "") -> list[Page]:
    async def run() -> list[Page]:
        policies = {"b": Policy(("/two",), root="/b")}
        pace = Pace(znodes=1e9, size=1e12)
        walk = Walk(tree, pace, Roots({"/b": "b"}), policies, place, name)  # type: ignore[arg-type]
        return [page async for page in walk.pages()]

    return asyncio.run(run())


def paths(found: list[Page]) -> list[str]:
    return [one.path for page in found for one in page.found]


def wanted() -> list[str]:
    return sorted(path for path in TREE if not path.startswith("/zookeeper"))


def test_everything_is_read_once_but_zookeepers_own() -> None:
    assert sorted(paths(pages(Tree(TREE)))) == wanted()


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_a_walk_goes_on_wherever_it_was_broken_off(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "AT_ONCE", at_once)
    whole = pages(Tree(TREE))
    assert len(whole) > 5
    for at, page in enumerate(whole[1:], 1):
        rest = pages(Tree(TREE), page.place, page.name)
        assert sorted(paths(whole[: at + 1]) + paths(rest)) == wanted(), page


def test_what_goes_meanwhile_is_left_out() -> None:
    tree = Tree(dict(TREE))
    for page in (Page("/b/two", "last", []), Page("/gone", "x", [])):
        del tree.tree["/c"]
        assert "/c" not in paths(pages(tree, page.place, page.name))
        tree.tree["/c"] = b""


def test_what_may_not_be_read_is_there_without_a_value_and_so_is_what_is_secret() -> None:
    found = {one.path: one for page in pages(Tree(TREE, denied="/a")) for one in page.found}
    assert (found["/a"].why, found["/a"].text, found["/a"].version) == ("acl", "", 2)
    assert found["/a/x"].text == "2", "what is below it is read all the same"
    assert (found["/b/two"].why, found["/b/two/last"].text) == ("secret", "")
    assert found["/b/one"] == Found("/b/one", 7, 6, 2, 1, "7", is_closed=False)


def test_what_an_acl_closes_is_known_as_closed() -> None:
    found = {one.path: one for page in pages(Tree(TREE, closed="/a")) for one in page.found}
    assert [path for path, one in found.items() if one.is_closed] == ["/a"]
    assert found["/a"].text == "1", "for those whom ACLs do not stop"


@pytest.mark.parametrize(
    ("owner", "shown"),
    [
        (0, ""),
        (EPHEMERAL, "0x100000000000007"),
        (-(1 << 63), ""),
        (-(1 << 56) + 5_000, ""),
    ],
)
def test_containers_and_times_to_live_are_no_sessions(owner: int, shown: str) -> None:
    assert owner_of(Stat(1, 1, 1, 1, 0, 0, 0, owner, 0, 0, 1)) == shown


def test_the_pace_is_kept() -> None:
    async def run() -> float:
        pace = Pace(znodes=100, size=1_000)
        began = asyncio.get_running_loop().time()
        await pace.spend(5, 0)
        await pace.spend(0, 50)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(run()) >= 0.09


@pytest.mark.parametrize(
    ("state", "has_feed", "why"),
    [
        (State(), True, "there is none yet"),
        (State(fill=1, phase=Phase.IDLE, ended=1), True, ""),
        (State(fill=1, phase=Phase.IDLE, ended=1), False, "nobody tells what changes"),
        (State(fill=1, phase=Phase.WALK, ended=1), False, ""),
        (State(fill=1, wanted="a gap"), True, "a gap"),
        (State(fill=1, wanted="a gap", began=9_999_000), True, ""),
    ],
)
def test_when_a_fill_is_due(state: State, has_feed: bool, why: str) -> None:
    assert SOON_S > 1
    assert due(state, has_feed, 10_000_000) == why


def test_children_of_the_root_have_one_slash() -> None:
    assert (child("/", "a"), child("/a", "b")) == ("/a", "/a/b")
