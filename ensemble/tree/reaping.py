"""Which containers and TTL nodes are due to be deleted by the server itself.

Source: client.md section 11. The caller turns each path into an internal deleteContainer request, which
checks again. Work is bounded: so many candidates are looked at per call, so many given out per minute.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tree.datatree import DataTree
from ensemble.tree.znode import CONTAINER_OWNER, TTL_MS_MAX, is_ttl_owner

CHECK_INTERVAL_MS_DEFAULT: Final = 60_000
PER_MINUTE_MAX_DEFAULT: Final = 10_000
EXAMINED_MAX: Final = 10_000  # candidates looked at per call
MINUTE_MS: Final = 60_000


@final
class Reaper:
    """Sweeps over all containers and TTL nodes, a slice per call, with a pause between sweeps.

    znode.container.checkIntervalMs, .maxPerMinute, .maxNeverUsedIntervalMs (0: unused ones stay).
    """

    __slots__ = (
        "check_interval_ms",
        "given",
        "minute_ends_ms",
        "never_used_ms",
        "next_sweep_ms",
        "per_minute_max",
        "waiting",
    )

    def __init__(
        self,
        check_interval_ms: int = CHECK_INTERVAL_MS_DEFAULT,
        per_minute_max: int = PER_MINUTE_MAX_DEFAULT,
        never_used_ms: int = 0,
    ) -> None:
        assert check_interval_ms > 0 and per_minute_max > 0
        self.check_interval_ms: Final[i64] = check_interval_ms
        self.per_minute_max: Final[i64] = per_minute_max
        self.never_used_ms: Final[i64] = never_used_ms
        self.waiting: list[bytes] = []  # what this sweep has not looked at yet
        self.next_sweep_ms: i64 = 0
        self.minute_ends_ms: i64 = 0
        self.given: i64 = 0  # paths given out in this minute

    def due(self, tree: DataTree, now_ms: i64, wall_ms: i64) -> list[bytes]:
        """The next paths to delete. Call it every tick.

        Args:
            tree: what is applied.
            now_ms: a monotonic clock, for the intervals.
            wall_ms: the clock of mtime, for the ages.
        """
        if now_ms >= self.minute_ends_ms:
            self.minute_ends_ms = now_ms + MINUTE_MS
            self.given = 0
        if not self.waiting:
            if now_ms < self.next_sweep_ms:
                return []
            self.next_sweep_ms = now_ms + self.check_interval_ms
            self.waiting = list(tree.containers)
            self.waiting.extend(tree.ttls)
        due: list[bytes] = []
        examined = 0
        while self.waiting and examined < EXAMINED_MAX and self.given < self.per_minute_max:
            path = self.waiting.pop()
            examined += 1
            if self.is_due(tree, path, wall_ms):
                due.append(path)
                self.given += 1
        return due

    def is_due(self, tree: DataTree, path: bytes, wall_ms: i64) -> bool:
        """Whether a container had children and has none, or a TTL node's time is over."""
        node = tree.nodes.get(path)
        if node is None or node.children is not None:
            return False
        age_ms = wall_ms - node.mtime
        if node.owner == CONTAINER_OWNER:
            if node.cversion > 0:
                return True
            return 0 < self.never_used_ms < age_ms
        return is_ttl_owner(node.owner) and age_ms > (node.owner & TTL_MS_MAX)
