"""The client's table of watches, and streams of events; client.md sections 13.1 to 13.6."""

import asyncio

import pytest

from ensemble.client.errors import ClosedError, SessionExpiredError
from ensemble.client.paths import Chroot
from ensemble.client.watches import (
    SET_WATCHES_BYTES_MAX,
    EventStream,
    EventType,
    WatchEvent,
    WatchKind,
    WatchTable,
)
from ensemble.wire import codes

CREATED, DELETED = EventType.CREATED, EventType.DELETED
DATA, CHILDREN = EventType.DATA_CHANGED, EventType.CHILDREN_CHANGED


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[EventType, str]] = []

    def __call__(self, event: WatchEvent) -> None:
        self.events.append((event.type, event.path))


@pytest.fixture
def table() -> WatchTable:
    return WatchTable(Chroot())


def add_persistent(table: WatchTable, path: str, watcher: Seen, recursive: bool = False) -> None:
    table.begin_add(path, recursive)
    table.end_add(path, recursive, watcher)


def fire_all(table: WatchTable) -> None:
    """Each event twice, on a znode, its child and a stranger."""
    for path in ("/p", "/p/c", "/px"):
        for type in (CREATED, DATA, CHILDREN, DELETED):
            for _ in range(2):
                table.fire(type, path, 1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("data", [(CREATED, "/p")]),
        ("exist", [(CREATED, "/p")]),
        ("child", [(CHILDREN, "/p")]),
        (
            "persistent",
            [(type, "/p") for type in (CREATED, DATA, CHILDREN, DELETED) for _ in range(2)],
        ),
        (
            "recursive",
            [
                (type, path)
                for path in ("/p", "/p/c")
                for type in (CREATED, DATA, DELETED)
                for _ in range(2)
            ],
        ),
    ],
)
def test_each_kind_fires_for_its_own_events(
    table: WatchTable, kind: str, expected: list[tuple[EventType, str]]
) -> None:
    """client.md 13.3, the table of consequences; one-shot watches fire once."""
    seen = Seen()
    if kind in ("persistent", "recursive"):
        add_persistent(table, "/p", seen, kind == "recursive")
    else:
        getattr(table, f"add_{kind}")("/p", seen)
    fire_all(table)
    assert seen.events == expected


def test_a_deletion_uses_up_data_and_child_watches_with_one_event(table: WatchTable) -> None:
    seen = Seen()
    table.add_data("/p", seen)
    table.add_child("/p", seen)
    table.fire(DELETED, "/p", 1)
    table.fire(DELETED, "/p", 2)
    assert seen.events == [(DELETED, "/p")]
    assert table.count() == 0


def test_a_watcher_registered_in_many_ways_gets_an_event_once(table: WatchTable) -> None:
    seen = Seen()
    table.add_data("/p", seen)
    table.add_data("/p", seen)
    add_persistent(table, "/p", seen)
    add_persistent(table, "/", seen, recursive=True)
    table.fire(DATA, "/p", 1)
    assert seen.events == [(DATA, "/p")]


def test_a_recursive_watch_on_the_root_sees_everything(table: WatchTable) -> None:
    seen = Seen()
    add_persistent(table, "/", seen, recursive=True)
    table.fire(DATA, "/", 1)
    table.fire(CREATED, "/a/b/c", 2)
    assert seen.events == [(DATA, "/"), (CREATED, "/a/b/c")]


def test_a_watcher_that_fails_costs_the_others_nothing(
    table: WatchTable, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: WatchEvent) -> None:
        raise RuntimeError("broken on purpose")

    seen = Seen()
    table.add_data("/p", broken)
    table.add_data("/p", seen)
    table.fire(DATA, "/p", 1)
    assert seen.events == [(DATA, "/p")]
    assert "broken on purpose" in caplog.text


def test_an_event_of_unknown_type_is_logged_and_dropped(
    table: WatchTable, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    add_persistent(table, "/p", seen)
    table.fire(77, "/p", 1)
    assert seen.events == []
    assert "unknown type 77" in caplog.text


def test_events_carry_the_path_inside_of_the_chroot(caplog: pytest.LogCaptureFixture) -> None:
    table = WatchTable(Chroot("/app"))
    seen = Seen()
    add_persistent(table, "/", seen, recursive=True)
    table.fire(CREATED, "/app/x", 1)
    table.fire(DATA, "/app", 1)
    table.fire(DATA, "/apple", 1)
    assert seen.events == [(CREATED, "/x"), (DATA, "/")]
    assert "/apple" in caplog.text


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (WatchKind.DATA, 3),
        (WatchKind.CHILDREN, 4),
        (WatchKind.PERSISTENT, 4),
        (WatchKind.PERSISTENT_RECURSIVE, 4),
        (WatchKind.ANY, 0),
    ],
)
def test_removed_watches_are_told_so(table: WatchTable, kind: WatchKind, left: int) -> None:
    seen = Seen()
    table.add_data("/p", seen)
    table.add_exist("/p", seen)
    table.add_child("/p", seen)
    add_persistent(table, "/p", seen)
    add_persistent(table, "/p", seen, recursive=True)
    table.remove(kind, "/p")
    assert seen.events == [(EventType.REMOVED, "/p")]
    assert table.count() == left


def test_the_servers_watch_is_needed_until_the_last_watcher_leaves(table: WatchTable) -> None:
    one, two = Seen(), Seen()
    add_persistent(table, "/p", one)
    add_persistent(table, "/p", two)
    assert not table.forget_persistent("/p", one, recursive=False)
    assert not table.forget_persistent("/p", one, recursive=False)
    assert not table.forget_persistent("/p", two, recursive=True)
    assert table.forget_persistent("/p", two, recursive=False)


def test_the_servers_watch_is_needed_by_an_add_on_its_way(table: WatchTable) -> None:
    one, two = Seen(), Seen()
    add_persistent(table, "/p", one)
    table.begin_add("/p", False)
    assert not table.forget_persistent("/p", one, recursive=False)
    table.end_add("/p", False, two)
    assert table.forget_persistent("/p", two, recursive=False)


def test_a_failed_add_leaves_nothing(table: WatchTable) -> None:
    table.begin_add("/p", True)
    table.end_add("/p", True, None)
    assert table.count() == 0
    assert table.set_watches(1) == (codes.OP_SET_WATCHES, [])


def test_watches_are_restored_by_kind(table: WatchTable) -> None:
    seen = Seen()
    table.add_data("/d", seen)
    table.add_exist("/e", seen)
    table.add_child("/c", seen)
    op, requests = table.set_watches(0x77)
    assert op == codes.OP_SET_WATCHES
    add_persistent(table, "/p", seen)
    add_persistent(table, "/r", seen, recursive=True)
    op, requests = table.set_watches(0x77)
    assert op == codes.OP_SET_WATCHES2
    assert len(requests) == 1
    found = requests[0]
    assert found.relative_zxid == 0x77
    assert (found.data, found.exist, found.child) == ([b"/d"], [b"/e"], [b"/c"])
    assert (found.persistent, found.recursive) == ([b"/p"], [b"/r"])


def test_watches_are_restored_with_the_chroots_paths() -> None:
    table = WatchTable(Chroot("/app"))
    table.add_data("/", Seen())
    table.add_data("/x", Seen())
    assert table.set_watches(1)[1][0].data == [b"/app", b"/app/x"]


@pytest.mark.parametrize("length", [10, 1_000, 60_000, 200_000])
def test_many_watches_are_restored_in_requests_of_bounded_size(
    table: WatchTable, length: int
) -> None:
    count = 3 * SET_WATCHES_BYTES_MAX // length + 3
    paths = [f"/{i:0{length}}" for i in range(count)]
    for i, path in enumerate(paths):
        (table.add_data, table.add_exist, table.add_child)[i % 3](path, Seen())
    _, requests = table.set_watches(5)
    assert len(requests) >= 3
    restored = [raw for r in requests for found in (r.data, r.exist, r.child) for raw in found]
    assert sorted(restored) == sorted(path.encode() for path in paths)
    for request in requests:
        lists = (request.data, request.exist, request.child)
        size = sum(len(raw) + 4 for found in lists for raw in found)
        assert size <= SET_WATCHES_BYTES_MAX or sum(map(len, lists)) == 1
        assert request.relative_zxid == 5


def test_a_reconnect_tells_persistent_watchers_of_the_gap_and_no_others(table: WatchTable) -> None:
    one_shot, plain, recursive = Seen(), Seen(), Seen()
    table.add_data("/p", one_shot)
    add_persistent(table, "/p", plain)
    add_persistent(table, "/r", recursive, recursive=True)
    table.tell_gap()
    assert one_shot.events == []
    assert plain.events == [(EventType.GAP, "/p")]
    assert recursive.events == [(EventType.GAP, "/r")]


# Streams


def event(number: int) -> WatchEvent:
    return WatchEvent(DATA, "/p", number)


async def test_a_stream_gives_events_in_order() -> None:
    stream = EventStream()
    for i in range(3):
        stream(event(i))
    assert [(await stream.next()).zxid for _ in range(3)] == [0, 1, 2]


async def test_a_stream_waits_for_an_event() -> None:
    stream = EventStream()
    waiting = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    stream(event(1))
    assert await waiting == event(1)


async def test_a_full_stream_says_where_events_are_missing() -> None:
    stream = EventStream(events_max=3)
    for i in range(10):
        stream(event(i))
    assert stream.lost == 7
    assert len(stream) == 4
    assert [await stream.next() for _ in range(2)] == [event(0), event(1)]
    stream(event(10))  # there is room again, behind the gap
    rest = [await stream.next() for _ in range(3)]
    assert rest == [event(2), WatchEvent(EventType.GAP, "/p"), event(10)]


async def test_a_stream_that_fills_again_tells_of_both_gaps() -> None:
    stream = EventStream(events_max=1)
    stream(event(0))
    stream(event(1))
    assert await stream.next() == event(0)
    assert (await stream.next()).type is EventType.GAP
    stream(event(2))
    stream(event(3))
    stream(event(4))
    assert await stream.next() == event(2)
    assert (await stream.next()).type is EventType.GAP
    assert stream.lost == 3


@pytest.mark.parametrize("events_max", [0, -1])
async def test_a_stream_needs_room_for_an_event(events_max: int) -> None:
    with pytest.raises(ValueError, match=str(events_max)):
        EventStream(events_max)


async def test_a_closed_stream_gives_what_it_has_and_stops() -> None:
    stream = EventStream()
    stream(event(1))
    stream.end()
    stream(event(2))
    assert [found async for found in stream] == [event(1)]
    with pytest.raises(ClosedError):
        await stream.next()


async def test_the_end_of_a_session_ends_its_streams_with_the_reason(table: WatchTable) -> None:
    stream = EventStream()
    table.add_data("/p", stream)
    waiting = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    table.end(SessionExpiredError("over"))
    with pytest.raises(SessionExpiredError):
        await waiting
    assert table.count() == 0
