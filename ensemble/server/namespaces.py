"""Bytes read and written, and refusals by quota, by the first name of a path.

Source: admin.md 1.5. What Apache calls a namespace. Its sets grow with every name ever used; here
there are at most NAMESPACES_MAX names, and those that come later are not counted.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tree.apply import Applied
from ensemble.wire import codes

NAMESPACES_MAX: Final = 200


@final
class Summary:
    """Count, sum and extremes of one namespace."""

    __slots__ = ("count", "max", "min", "sum")

    def __init__(self) -> None:
        self.count: i64 = 0
        self.sum: i64 = 0
        self.min: i64 = 0
        self.max: i64 = 0

    def add(self, value: i64) -> None:
        if self.count == 0 or value < self.min:
            self.min = value
        if value > self.max:
            self.max = value
        self.count += 1
        self.sum += value


@final
class NamespaceSet:
    """One summary for each namespace."""

    __slots__ = ("by_name", "last", "last_prefix")

    def __init__(self) -> None:
        self.by_name: Final[dict[bytes, Summary]] = {}
        self.last_prefix = b"//"  # the namespace of the value before, which no path begins with yet
        self.last = Summary()

    def add(self, path: bytes, value: i64) -> None:
        """Count a value for the namespace of `path`; the root has none."""
        if path.startswith(self.last_prefix):
            self.last.add(value)
            return
        end = path.find(b"/", 1)
        name = path[1:] if end < 0 else path[1:end]
        summary = self.by_name.get(name)
        if summary is None:
            if not name or len(self.by_name) >= NAMESPACES_MAX:
                return
            summary = Summary()
            self.by_name[name] = summary
        summary.add(value)
        if end > 0:
            self.last = summary
            self.last_prefix = path[: end + 1]


@final
class Namespaces:
    """What one server counts by namespace."""

    __slots__ = ("exceeded", "read", "written")

    def __init__(self) -> None:
        self.read: Final = NamespaceSet()
        self.written: Final = NamespaceSet()
        self.exceeded: Final = NamespaceSet()

    def on_applied(self, applied: Applied) -> None:
        """A transaction: the path's length, and that of the data which it has put there."""
        for result in applied.results:
            op = result.op
            path = result.path
            if op == codes.OP_DELETE or op == codes.OP_DELETE_CONTAINER:
                self.written.add(path, len(path))
            elif (
                op == codes.OP_SET_DATA
                or op == codes.OP_CREATE
                or op == codes.OP_CREATE2
                or op == codes.OP_CREATE_CONTAINER
                or op == codes.OP_CREATE_TTL
            ):
                stat = result.stat
                assert stat is not None
                self.written.add(path, len(path) + stat.data_bytes)
