"""Watches on real servers, ours and Apache's: what fires, when, and how they are taken back."""

import asyncio

import pytest

from ensemble.client import (
    Client,
    EventType,
    NoNodeError,
    NoWatcherError,
    WatchEvent,
    WatchKind,
)

CREATED, DELETED = EventType.CREATED, EventType.DELETED
CHANGED, CHILDREN = EventType.DATA_CHANGED, EventType.CHILDREN_CHANGED


def told(events: list[WatchEvent]) -> list[tuple[EventType, str]]:
    return [(event.type, event.path) for event in events]


async def test_a_one_shot_watch_fires_once_for_its_kind(place: str) -> None:
    async with Client(place) as zk:
        data: list[WatchEvent] = []
        missing: list[WatchEvent] = []
        names: list[WatchEvent] = []
        await zk.create("/a")
        await zk.get("/a", watch=data.append)
        await zk.exists("/a/b", watch=missing.append)
        await zk.children("/a", watch=names.append)
        await zk.create("/a/b")
        await zk.set("/a", b"1")
        await zk.set("/a", b"2")
        await zk.delete("/a/b")
        assert told(data) == [(CHANGED, "/a")]
        assert told(missing) == [(CREATED, "/a/b")]
        assert told(names) == [(CHILDREN, "/a")]


async def test_exists_on_what_is_there_watches_the_data(place: str) -> None:
    async with Client(place) as zk:
        seen: list[WatchEvent] = []
        await zk.create("/a")
        await zk.exists("/a", watch=seen.append)
        await zk.children_with_stat("/a", watch=seen.append)
        await zk.delete("/a")
        assert told(seen) == [(DELETED, "/a")], "one event for a watcher that hangs there twice"


async def test_a_read_that_fails_leaves_no_watch(place: str) -> None:
    async with Client(place) as zk:
        seen: list[WatchEvent] = []
        for read in (zk.get, zk.children, zk.children_with_stat):
            with pytest.raises(NoNodeError):
                await read("/a", watch=seen.append)
        await zk.create("/a")
        await zk.set("/a", b"")
        assert seen == []


async def test_an_event_comes_before_the_reply_that_shows_the_change(place: str) -> None:
    """Pipelined reads by one session, of what another writes: never new data before the event."""
    async with Client(place) as reader, Client(place) as writer:
        await writer.create("/a", b"0")
        fired_at: list[int] = []
        replies: list[bytes] = []
        await reader.get("/a", watch=lambda _: fired_at.append(len(replies)))
        writing = writer.set("/a", b"1")
        while not fired_at:
            calls = [reader.get("/a") for _ in range(50)]
            for call in calls:
                call.add_done_callback(lambda done: replies.append(done.result()[0]))
            await asyncio.gather(*calls)
        await writing
        # Futures tell in the order of the replies; the watcher was called in between.
        assert b"1" not in replies[: fired_at[0]]


async def test_persistent_watches_fire_until_they_are_taken_back(place: str) -> None:
    async with Client(place) as zk:
        one: list[WatchEvent] = []
        deep: list[WatchEvent] = []
        await zk.add_watch("/a", one.append)
        await zk.add_watch("/a", deep.append, recursive=True)
        await zk.create("/a")
        await zk.create("/a/b")
        await zk.set("/a/b", b"1")
        await zk.set("/a", b"1")
        await zk.delete("/a/b")
        await zk.delete("/a")
        await zk.create("/a")
        assert told(one) == [
            (CREATED, "/a"),
            (CHILDREN, "/a"),
            (CHANGED, "/a"),
            (CHILDREN, "/a"),
            (DELETED, "/a"),
            (CREATED, "/a"),
        ]
        assert told(deep) == [
            (CREATED, "/a"),
            (CREATED, "/a/b"),
            (CHANGED, "/a/b"),
            (CHANGED, "/a"),
            (DELETED, "/a/b"),
            (DELETED, "/a"),
            (CREATED, "/a"),
        ]


async def test_remove_watches_tells_the_watchers_and_the_server_forgets(place: str) -> None:
    async with Client(place) as zk:
        seen: list[WatchEvent] = []
        await zk.create("/a")
        await zk.add_watch("/a", seen.append)
        await zk.get("/a", watch=seen.append)
        assert await zk.check_watches("/a", WatchKind.PERSISTENT)
        assert await zk.check_watches("/a", WatchKind.DATA)
        assert not await zk.check_watches("/a", WatchKind.CHILDREN)
        assert not await zk.check_watches("/a", WatchKind.PERSISTENT_RECURSIVE)
        await zk.remove_watches("/a", WatchKind.PERSISTENT)
        assert told(seen) == [(EventType.REMOVED, "/a")]
        assert not await zk.check_watches("/a", WatchKind.PERSISTENT)
        await zk.set("/a", b"1")
        assert told(seen)[1:] == [(CHANGED, "/a")], "the one-shot watch was left"
        with pytest.raises(NoWatcherError, match="/a"):
            await zk.remove_watches("/a")


async def test_a_streams_watch_ends_on_the_server_with_the_block(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        async with zk.watch("/a") as first, zk.watch("/a") as second:
            await zk.set("/a", b"1")
            assert (await anext(first)).type is CHANGED
            assert (await second.next()).type is CHANGED
            assert len(first) == 0
        assert not await zk.check_watches("/a")


async def test_one_stream_leaving_costs_the_others_nothing(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        async with zk.watch("/a", recursive=True) as stays:
            async with zk.watch("/a", recursive=True):
                pass
            await zk.create("/a/b")
            assert told([await anext(stays)]) == [(CREATED, "/a/b")]


async def test_a_stream_that_overflows_says_so_and_goes_on(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        async with zk.watch("/a", events_max=3) as events:
            await asyncio.gather(*(zk.set("/a", b"") for _ in range(10)))
            got = [(await anext(events)).type for _ in range(4)]
            assert got == [CHANGED, CHANGED, CHANGED, EventType.GAP]
            assert events.lost == 7
            await zk.set("/a", b"")
            assert (await anext(events)).type is CHANGED


async def test_events_stay_inside_of_the_chroot(place: str) -> None:
    host, _, root = place.partition("/")
    async with Client(place) as inside, Client(host) as outside:
        seen: list[WatchEvent] = []
        await inside.add_watch("/", seen.append, recursive=True)
        await inside.get("/", watch=seen.append)
        await outside.set(f"/{root}", b"1")
        await outside.create(f"/{root}/a")
        await outside.create(f"/{root}x")
        await outside.delete(f"/{root}x")
        await inside.sync()
        assert told(seen) == [(CHANGED, "/"), (CREATED, "/a")]


async def test_a_thousand_watches_on_one_change(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        seen: list[int] = []
        for n in range(1_000):
            await_all = zk.get("/a", watch=lambda _, n=n: seen.append(n))  # type: ignore[misc]
        await await_all
        await zk.set("/a", b"")
        assert seen == list(range(1_000))
