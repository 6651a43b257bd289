"""Who watches what, at this server: registrations by path and by connection.

Source: client.md section 13. Watches belong to a connection, named by its id. Four independent
kinds on one path: data and child (gone when they fire), persistent, persistent recursive (both
stay). The table knows nothing of ACLs: the caller filters whom `fire` names.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire import codes

# Bits of one connection's registration on one path
STANDARD: Final = 1
PERSISTENT: Final = 2
RECURSIVE: Final = 4


@final
class WatchSummary:
    """Counts over the data table, as the four-letter word `wchs` gives them."""

    __slots__ = ("connections", "paths", "watches")

    def __init__(self, connections: int, paths: int, watches: int) -> None:
        self.connections: Final = connections
        self.paths: Final = paths
        self.watches: Final = watches


@final
class WatchCount:
    """How many paths the connections of a group watch, each connection by itself."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: i64 = 0


@final
class WatchTable:
    """Two tables, data and child: path -> connection id -> kinds; and the way back.

    Invariant: `path in by_connection[c]` exactly where a table holds `c` under `path`.
    """

    __slots__ = ("by_connection", "child", "data", "groups", "recursive_count", "registrations")

    def __init__(self) -> None:
        self.data: Final[dict[bytes, dict[int, int]]] = {}
        self.child: Final[dict[bytes, dict[int, int]]] = {}
        self.by_connection: Final[dict[int, set[bytes]]] = {}
        self.groups: Final[dict[int, WatchCount]] = {}  # connections that count in one
        # With no recursive watch anywhere, firing looks at one path instead of all its ancestors.
        self.recursive_count: i64 = 0
        self.registrations: i64 = 0  # (connection, path) pairs over both tables

    def add_data(self, connection_id: int, path: bytes) -> None:
        """A one-shot data watch: exists, getData."""
        self._add(self.data, connection_id, path, STANDARD)

    def add_child(self, connection_id: int, path: bytes) -> None:
        """A one-shot child watch: getChildren."""
        self._add(self.child, connection_id, path, STANDARD)

    def add_persistent(self, connection_id: int, path: bytes, recursive: bool) -> None:
        """addWatch, setWatches2. A recursive one lives in the data table only."""
        if recursive:
            self._add(self.data, connection_id, path, RECURSIVE)
        else:
            self._add(self.data, connection_id, path, PERSISTENT)
            self._add(self.child, connection_id, path, PERSISTENT)

    def count_of(self, connection_id: int) -> int:
        """How many paths a connection watches."""
        paths = self.by_connection.get(connection_id)
        return 0 if paths is None else len(paths)

    def count_in(self, connection_id: int, group: WatchCount | None) -> None:
        """From now on a connection's paths count in this group, and in no other."""
        count = self.count_of(connection_id)
        old = self.groups.pop(connection_id, None)
        if old is not None:
            old.count -= count
        if group is not None:
            group.count += count
            self.groups[connection_id] = group

    def check(self, connection_id: int, path: bytes, kind: i64) -> bool:
        """Whether checkWatches with this watcher type finds a registration on exactly this path."""
        data = _kinds(self.data, connection_id, path)
        child = _kinds(self.child, connection_id, path)
        if kind == codes.WATCHER_CHILDREN:
            return child & STANDARD != 0
        if kind == codes.WATCHER_DATA:
            return data & STANDARD != 0
        if kind == codes.WATCHER_PERSISTENT:
            return data & PERSISTENT != 0
        if kind == codes.WATCHER_PERSISTENT_RECURSIVE:
            return data & RECURSIVE != 0
        return (data | child) != 0

    def remove(self, connection_id: int, path: bytes, kind: i64) -> bool:
        """removeWatches: drop what `check` would match. False: there was nothing."""
        if not self.check(connection_id, path, kind):
            return False
        if kind == codes.WATCHER_CHILDREN:
            self._remove(self.child, connection_id, path, STANDARD)
        elif kind == codes.WATCHER_DATA:
            self._remove(self.data, connection_id, path, STANDARD)
        elif kind == codes.WATCHER_PERSISTENT:
            self._remove(self.data, connection_id, path, PERSISTENT)
            self._remove(self.child, connection_id, path, PERSISTENT)
        elif kind == codes.WATCHER_PERSISTENT_RECURSIVE:
            self._remove(self.data, connection_id, path, RECURSIVE)
        else:
            self._remove(self.data, connection_id, path, STANDARD | PERSISTENT | RECURSIVE)
            self._remove(self.child, connection_id, path, STANDARD | PERSISTENT)
        return True

    def drop_connection(self, connection_id: int) -> None:
        """The connection is gone, and all of its watches with it."""
        self.count_in(connection_id, None)
        paths = self.by_connection.pop(connection_id, None)
        if paths is None:
            return
        for path in paths:
            self._discard(self.data, connection_id, path)
            self._discard(self.child, connection_id, path)

    def fire(self, event: int, path: bytes) -> list[int]:
        """The connections that a change concerns, each once; one-shot registrations are consumed.

        A deletion concerns both tables, and a connection that is in both hears of it once.
        """
        fired: list[int] = []
        if event == codes.EVENT_NODE_CHILDREN_CHANGED:
            if path in self.child:
                self._consume(self.child, path, fired)
            return fired
        if path in self.data:
            self._consume(self.data, path, fired)
        if self.recursive_count > 0:
            self._match_ancestors(path, fired)
        if event == codes.EVENT_NODE_DELETED and path in self.child:
            below: list[int] = []
            self._consume(self.child, path, below)
            seen = set(fired)
            for connection_id in below:
                if connection_id not in seen:
                    fired.append(connection_id)
        return fired

    def total(self) -> int:
        """Registrations in both tables: mntr's watch_count."""
        return self.registrations

    def summary(self) -> WatchSummary:
        """Connections, paths and watches of the data table."""
        connections: set[int] = set()
        watches = 0
        for watchers in self.data.values():
            watches += len(watchers)
            connections.update(watchers)
        return WatchSummary(len(connections), len(self.data), watches)

    def _add(
        self, table: dict[bytes, dict[int, int]], connection_id: int, path: bytes, kind: int
    ) -> None:
        watchers = table.get(path)
        if watchers is None:
            watchers = {}
            table[path] = watchers
        had = watchers.get(connection_id, 0)
        if had & kind:
            return
        watchers[connection_id] = had | kind
        if kind == RECURSIVE:
            self.recursive_count += 1
        if had == 0:
            self.registrations += 1
            paths = self.by_connection.get(connection_id)
            if paths is None:
                paths = set()
                self.by_connection[connection_id] = paths
            if self.groups and path not in paths:
                self._count(connection_id, 1)
            paths.add(path)

    def _remove(
        self, table: dict[bytes, dict[int, int]], connection_id: int, path: bytes, kinds: int
    ) -> None:
        had = _kinds(table, connection_id, path)
        if had == 0:
            return
        left = had & ~kinds
        if left:
            table[path][connection_id] = left
            if had & kinds & RECURSIVE:
                self.recursive_count -= 1
            return
        self._discard(table, connection_id, path)
        self._forget(connection_id, path)

    def _discard(self, table: dict[bytes, dict[int, int]], connection_id: int, path: bytes) -> None:
        watchers = table.get(path)
        if watchers is None:
            return
        had = watchers.pop(connection_id, 0)
        if had:
            self.registrations -= 1
            if had & RECURSIVE:
                self.recursive_count -= 1
            if not watchers:
                del table[path]

    def _forget(self, connection_id: int, path: bytes) -> None:
        """Keep the way back in step after a registration left one table."""
        if _kinds(self.data, connection_id, path) or _kinds(self.child, connection_id, path):
            return
        paths = self.by_connection.get(connection_id)
        if paths is not None:
            if self.groups and path in paths:
                self._count(connection_id, -1)
            paths.discard(path)
            if not paths:
                del self.by_connection[connection_id]

    def _count(self, connection_id: int, difference: i64) -> None:
        group = self.groups.get(connection_id)
        if group is not None:
            group.count += difference

    def _consume(self, table: dict[bytes, dict[int, int]], path: bytes, fired: list[int]) -> None:
        watchers = table[path]
        spent: list[int] = []
        for connection_id, kinds in watchers.items():
            fired.append(connection_id)
            if kinds & STANDARD:
                spent.append(connection_id)
        for connection_id in spent:
            self._remove(table, connection_id, path, STANDARD)

    def _match_ancestors(self, path: bytes, fired: list[int]) -> None:
        """Add who watches an ancestor recursively; the path itself is in `fired` already."""
        seen = set(fired)
        end = len(path)
        while end > 1:
            end = path.rfind(b"/", 0, end)
            ancestor = b"/" if end <= 0 else path[:end]
            watchers = self.data.get(ancestor)
            if watchers is not None:
                for connection_id, kinds in watchers.items():
                    if kinds & RECURSIVE and connection_id not in seen:
                        seen.add(connection_id)
                        fired.append(connection_id)


def _kinds(table: dict[bytes, dict[int, int]], connection_id: int, path: bytes) -> int:
    watchers = table.get(path)
    return 0 if watchers is None else watchers.get(connection_id, 0)
