"""Paths that something holds for, and for all that is below them: whose is a path?

Tenants' roots, budgets and quotas each ask this for nearly every request. What is looked at is not
every path above the one that is asked for, but those of the depths that roots have: mostly one.
"""

from typing import Final, Generic, TypeVar, final

from mypy_extensions import i64

SLASH: Final = 0x2F

T = TypeVar("T")


@final
class Roots(Generic[T]):
    """What belongs to each root. Readers may look into `by_path`; only this class changes it."""

    __slots__ = ("at_depth", "by_path", "depths")

    def __init__(self) -> None:
        self.by_path: Final[dict[bytes, T]] = {}
        self.at_depth: Final[dict[int, int]] = {}  # how many roots have so many names
        self.depths: list[int] = []  # the numbers of names that roots have, ascending

    def put(self, root: bytes, value: T) -> None:
        """A root, or another value for one that is known."""
        if root not in self.by_path:
            depth = root.count(b"/")
            count = self.at_depth.get(depth, 0)
            self.at_depth[depth] = count + 1
            if count == 0:
                self.depths = sorted(self.at_depth)
        self.by_path[root] = value

    def remove(self, root: bytes) -> None:
        """It is none any more; unknown ones are ignored."""
        if root not in self.by_path:
            return
        del self.by_path[root]
        depth = root.count(b"/")
        self.at_depth[depth] -= 1
        if self.at_depth[depth] == 0:
            del self.at_depth[depth]
            self.depths = sorted(self.at_depth)

    def clear(self) -> None:
        self.by_path.clear()
        self.at_depth.clear()
        self.depths = []

    def owner_of(self, path: bytes, begin: i64 = 0, deepest: bool = False) -> T | None:
        """What the root at or above `path[begin:]` has; of several the uppermost, or the deepest.

        Byte by byte: compiled, a call of `find` costs more than a dozen bytes.
        """
        size: i64 = len(path)
        at: i64 = begin
        depth: i64 = 0
        owner: T | None = None
        for wanted in self.depths:
            while depth < wanted:
                at += 1
                while at < size and path[at] != SLASH:
                    at += 1
                depth += 1
                if at >= size:
                    if depth == wanted:
                        found = self.by_path.get(path[begin:] if begin > 0 else path)
                        if found is not None:
                            return found
                    return owner
            found = self.by_path.get(path[begin:at])
            if found is not None:
                if not deepest:
                    return found
                owner = found
        return owner
