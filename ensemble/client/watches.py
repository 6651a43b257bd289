"""Watches on the client's side: who waits for what, and streams of events to iterate over.

Source: client.md section 13. A watcher is anything that can be called with a `WatchEvent`; an
`EventStream` is one that keeps the events for an `async for`. The server remembers watches per
connection, so this table is what a reconnect restores them from.
"""

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from ensemble.client.errors import ClientError, ClosedError
from ensemble.client.paths import ROOT, Chroot, parent_of
from ensemble.wire import codes
from ensemble.wire.requests import SetWatchesRequest

EVENTS_MAX: Final = 1_000  # events that a stream keeps for a slow consumer
SET_WATCHES_BYTES_MAX: Final = 128 * 1024  # paths in one setWatches, well below jute.maxbuffer

log = logging.getLogger("ensemble.client")


class EventType(enum.IntEnum):
    """What happened to a znode; the last two never travel."""

    CREATED = codes.EVENT_NODE_CREATED
    DELETED = codes.EVENT_NODE_DELETED
    DATA_CHANGED = codes.EVENT_NODE_DATA_CHANGED
    CHILDREN_CHANGED = codes.EVENT_NODE_CHILDREN_CHANGED
    GAP = 100
    """Events may be missing here: read again. After a reconnect, and where a stream overflowed."""
    REMOVED = 101
    """`remove_watches` took this watch away: nothing will follow."""


class WatchEvent(NamedTuple):
    """A watch fired. `zxid` is the change's, -1 for what was noticed after a reconnect."""

    type: EventType
    path: str
    zxid: int = -1


Watcher = Callable[[WatchEvent], None]
"""Called from the event loop, before any reply that shows the change. Must not block."""


class WatchKind(enum.IntEnum):
    """What `remove_watches` and `check_watches` name."""

    CHILDREN = codes.WATCHER_CHILDREN
    DATA = codes.WATCHER_DATA
    ANY = codes.WATCHER_ANY
    PERSISTENT = codes.WATCHER_PERSISTENT
    PERSISTENT_RECURSIVE = codes.WATCHER_PERSISTENT_RECURSIVE


class EventStream:
    """Events in order, for `async for`; a watcher like any other, for one or many paths.

    Holds `events_max` events. What comes while it is full is dropped and counted in `lost`, and one
    `GAP` event stands where they are missing. The iteration ends when the session is closed, and
    raises `SessionExpiredError` or `AuthFailedError` when it ends otherwise.
    """

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        if events_max < 1:
            raise ValueError(f"events_max is {events_max}, at least 1 is needed")
        self.events_max: Final = events_max
        self.lost = 0
        self._events: deque[WatchEvent] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: ClientError | None = None

    def __call__(self, event: WatchEvent) -> None:
        """Take an event."""
        if self._ended:
            return
        if len(self._events) < self.events_max:
            self._events.append(event)
        else:
            self.lost += 1
            # One more place than events_max, so that the gap can always be told.
            if self._events[-1].type is not EventType.GAP:
                self._events.append(WatchEvent(EventType.GAP, event.path))
        self._arrived.set()

    def __len__(self) -> int:
        """Events that wait to be taken."""
        return len(self._events)

    def end(self, error: ClientError | None = None) -> None:
        """No more events: the iteration stops after those that wait, or raises `error`."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._arrived.set()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._events:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()

    async def next(self) -> WatchEvent:
        """The next event.

        Raises:
            ClosedError: the stream has ended.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise ClosedError("the stream of events has ended") from None


class WatchTable:
    """All watchers of a session, by kind and by the client's path."""

    def __init__(self, chroot: Chroot) -> None:
        self._chroot = chroot
        self._data: dict[str, list[Watcher]] = {}
        self._exist: dict[str, list[Watcher]] = {}
        self._child: dict[str, list[Watcher]] = {}
        self._persistent: dict[str, list[Watcher]] = {}
        self._recursive: dict[str, list[Watcher]] = {}
        self._adding: dict[tuple[str, bool], int] = {}

    def add_data(self, path: str, watcher: Watcher) -> None:
        _add(self._data, path, watcher)

    def add_exist(self, path: str, watcher: Watcher) -> None:
        """Of a znode that is not there yet."""
        _add(self._exist, path, watcher)

    def add_child(self, path: str, watcher: Watcher) -> None:
        _add(self._child, path, watcher)

    def begin_add(self, path: str, recursive: bool) -> None:
        """An addWatch is on its way; `end_add` follows, whatever comes of it."""
        key = (path, recursive)
        self._adding[key] = self._adding.get(key, 0) + 1

    def end_add(self, path: str, recursive: bool, watcher: Watcher | None) -> None:
        """The addWatch succeeded for `watcher`, or failed: None."""
        key = (path, recursive)
        self._adding[key] -= 1
        if self._adding[key] == 0:
            del self._adding[key]
        if watcher is not None:
            _add(self._recursive if recursive else self._persistent, path, watcher)

    def forget_persistent(self, path: str, watcher: Watcher, recursive: bool) -> bool:
        """Take one watcher out. Whether nobody is left who needs the watch on the server.

        Somebody whose addWatch is on its way needs it: a removeWatches behind it would undo it.
        """
        table = self._recursive if recursive else self._persistent
        watchers = table.get(path, [])
        if watcher not in watchers:
            return False
        watchers.remove(watcher)
        if watchers:
            return False
        del table[path]
        return (path, recursive) not in self._adding

    def count(self) -> int:
        """Watchers in all."""
        return sum(len(watchers) for table in self._tables() for watchers in table.values())

    def fire(self, type: int, server_path: str, zxid: int) -> None:
        """Call everybody who waits for this event. One-shot watches are used up."""
        path = self._chroot.to_client(server_path)
        if path is None:
            log.warning("an event of %s, which is outside of the chroot", server_path)
            return
        try:
            event = WatchEvent(EventType(type), path, zxid)
        except ValueError:
            log.warning("an event of unknown type %d on %s", type, path)
            return
        for watcher in self._take(event.type, path):
            _deliver(watcher, event)

    def _take(self, type: EventType, path: str) -> list[Watcher]:
        taken: list[Watcher] = []
        if type is EventType.CHILDREN_CHANGED:
            taken += self._child.pop(path, [])
            taken += self._persistent.get(path, [])
            return _once_each(taken)
        taken += self._data.pop(path, [])
        taken += self._exist.pop(path, [])
        if type is EventType.DELETED:
            taken += self._child.pop(path, [])
        taken += self._persistent.get(path, [])
        if self._recursive:
            at = path
            while True:
                taken += self._recursive.get(at, [])
                if at == ROOT:
                    break
                at = parent_of(at)
        return _once_each(taken)

    def remove(self, kind: WatchKind, path: str) -> None:
        """The server removed these watches: tell the watchers and forget them."""
        removed: list[Watcher] = []
        if kind in (WatchKind.DATA, WatchKind.ANY):
            removed += self._data.pop(path, [])
            removed += self._exist.pop(path, [])
        if kind in (WatchKind.CHILDREN, WatchKind.ANY):
            removed += self._child.pop(path, [])
        if kind in (WatchKind.PERSISTENT, WatchKind.ANY):
            removed += self._persistent.pop(path, [])
        if kind in (WatchKind.PERSISTENT_RECURSIVE, WatchKind.ANY):
            removed += self._recursive.pop(path, [])
        for watcher in _once_each(removed):
            _deliver(watcher, WatchEvent(EventType.REMOVED, path))

    def tell_gap(self) -> None:
        """After a reconnect: the server catches up on one-shot watches, not on persistent ones."""
        for table in (self._persistent, self._recursive):
            for path, watchers in list(table.items()):
                for watcher in list(watchers):
                    _deliver(watcher, WatchEvent(EventType.GAP, path))

    def end(self, error: ClientError | None) -> None:
        """The session is over: no watch will fire any more."""
        for table in self._tables():
            for watchers in table.values():
                for watcher in watchers:
                    if isinstance(watcher, EventStream):
                        watcher.end(error)
            table.clear()

    def set_watches(self, relative_zxid: int) -> tuple[int, list[SetWatchesRequest]]:
        """What restores all watches on a new connection: the opcode, and requests of bounded size.

        One request would do until somebody watches 30,000 paths, and then it would exceed the
        server's jute.maxbuffer on every attempt to reconnect, for ever.
        """
        op = codes.OP_SET_WATCHES
        if self._persistent or self._recursive:
            op = codes.OP_SET_WATCHES2
        requests: list[SetWatchesRequest] = []
        lists: list[list[bytes]] = [[], [], [], [], []]
        size = 0
        for kind, table in enumerate(self._tables()):
            for path in table:
                raw = self._chroot.to_server(path).encode()
                if size and size + len(raw) > SET_WATCHES_BYTES_MAX:
                    requests.append(SetWatchesRequest(relative_zxid, *lists))
                    lists = [[], [], [], [], []]
                    size = 0
                lists[kind].append(raw)
                size += len(raw) + 4
        if size:
            requests.append(SetWatchesRequest(relative_zxid, *lists))
        return op, requests

    def _tables(self) -> tuple[dict[str, list[Watcher]], ...]:
        """In the order of the lists of setWatches2."""
        return self._data, self._exist, self._child, self._persistent, self._recursive


def _add(table: dict[str, list[Watcher]], path: str, watcher: Watcher) -> None:
    watchers = table.setdefault(path, [])
    if watcher not in watchers:
        watchers.append(watcher)


def _once_each(watchers: list[Watcher]) -> list[Watcher]:
    """One event reaches a watcher once, however many of its registrations match."""
    if len(watchers) < 2:
        return watchers
    found: list[Watcher] = []
    for watcher in watchers:
        if watcher not in found:
            found.append(watcher)
    return found


def _deliver(watcher: Watcher, event: WatchEvent) -> None:
    try:
        watcher(event)
    except Exception:
        # A watcher's fault must not cost the connection, nor the other watchers their event.
        log.exception("a watcher failed on %s of %s", event.type.name, event.path)
