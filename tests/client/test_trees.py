"""What takes several requests, on our server and on Apache's."""

import asyncio

import pytest

from ensemble.client import (
    BadArgumentsError,
    Client,
    NoNodeError,
    NotEmptyError,
    delete_tree,
    ensure_path,
    walk,
)


async def test_a_path_is_ensured_from_nothing_and_again(place: str) -> None:
    async with Client(place) as zk:
        await ensure_path(zk, "/a/b/c")
        await ensure_path(zk, "/a/b/c/d")
        await ensure_path(zk, "/a/b")
        await ensure_path(zk, "/")
        assert [path async for path in walk(zk, "/")] == ["/", "/a", "/a/b", "/a/b/c", "/a/b/c/d"]


async def test_two_who_ensure_the_same_path_both_succeed(place: str) -> None:
    async with Client(place) as one, Client(place) as two:
        await asyncio.gather(*(ensure_path(zk, "/x/y/z") for zk in (one, two) for _ in range(5)))
        assert await one.exists("/x/y/z") is not None


async def test_a_walk_of_nothing_gives_nothing(place: str) -> None:
    async with Client(place) as zk:
        assert [path async for path in walk(zk, "/none")] == []


async def test_a_tree_wider_than_one_batch_is_deleted_whole(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/t")
        await asyncio.gather(*(zk.create(f"/t/{n}") for n in range(600)))
        await asyncio.gather(*(zk.create(f"/t/{n}/leaf") for n in range(300)))
        assert await delete_tree(zk, "/t") == 901
        with pytest.raises(NoNodeError, match="/t"):
            await delete_tree(zk, "/t")


async def test_somebody_who_creates_meanwhile_is_not_overrun(place: str) -> None:
    async with Client(place) as zk:
        await ensure_path(zk, "/t/a")
        real = zk.children

        def children(path: str):  # type: ignore[no-untyped-def]
            names = real(path)
            if path == "/t/a":
                zk.create("/t/a/late")
            return names

        zk.children = children  # type: ignore[method-assign]
        with pytest.raises(NotEmptyError):
            await delete_tree(zk, "/t")
        assert await zk.exists("/t/a/late") is not None


async def test_the_root_of_all_is_refused_before_anything_is_gone(place: str) -> None:
    async with Client(place.partition("/")[0]) as zk:
        before = await zk.all_children_count("/")
        with pytest.raises(BadArgumentsError, match="root"):
            await delete_tree(zk, "/")
        assert await zk.all_children_count("/") == before


async def test_a_chroots_root_can_be_deleted(place: str) -> None:
    async with Client(place) as zk:
        await ensure_path(zk, "/a/b")
        assert await delete_tree(zk, "/") == 3
        assert await zk.exists("/") is None
