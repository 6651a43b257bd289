"""ZooKeeper's quotas: limits and usage kept in znodes below /zookeeper/quota.

Source: quotas.md. The deepest limited path at or above a znode owns it. Usage follows applied
transactions on every server; limits are checked where transactions are prepared, against usage plus
everything proposed, so that pipelined creates cannot overshoot. No text that a client can write
makes any of this raise.
"""

from typing import Final, final

from mypy_extensions import i64

QUOTA_PREFIX: Final = b"/zookeeper/quota/"
LIMITS_NAME: Final = b"zookeeper_limits"
STATS_NAME: Final = b"zookeeper_stats"
LIMITS_SUFFIX: Final = b"/zookeeper_limits"
STATS_SUFFIX: Final = b"/zookeeper_stats"
NO_LIMIT: Final = -1
INT64_MAX: Final = (1 << 62) - 1  # what is beyond 62 bits is no limit anybody can reach


@final
class Quota:
    """One limited path: its limits (-1: none) and what its subtree uses."""

    __slots__ = ("bytes", "bytes_hard", "bytes_soft", "count", "count_hard", "count_soft", "path")

    def __init__(self, path: bytes) -> None:
        self.path: Final = path
        self.count_soft: i64 = NO_LIMIT
        self.count_hard: i64 = NO_LIMIT
        self.bytes_soft: i64 = NO_LIMIT
        self.bytes_hard: i64 = NO_LIMIT
        self.count: i64 = 0
        self.bytes: i64 = 0

    def set_limits(self, text: bytes | None) -> None:
        """Take the limits from their znode's data; a key that does not parse is no limit."""
        keys = parse(text)
        self.count_soft = keys.get(b"count", NO_LIMIT)
        self.bytes_soft = keys.get(b"bytes", NO_LIMIT)
        self.count_hard = keys.get(b"countHardLimit", NO_LIMIT)
        self.bytes_hard = keys.get(b"byteHardLimit", NO_LIMIT)

    def usage_text(self) -> bytes:
        return b"count=%d,bytes=%d" % (int(self.count), int(self.bytes))

    def refuses(self, count_more: i64, bytes_more: i64, count: i64, size: i64) -> bool:
        """Whether a hard limit stands against a change, on top of what is `count` and `size` now."""
        if count_more > 0 and self.count_hard > NO_LIMIT and count + count_more > self.count_hard:
            return True
        return (
            bytes_more != 0 and self.bytes_hard > NO_LIMIT and size + bytes_more > self.bytes_hard
        )


def parse(text: bytes | None) -> dict[bytes, int]:
    """`count=5,bytes=-1=;byteHardLimit=7` as a table of the pieces that parse."""
    keys: dict[bytes, int] = {}
    if not text:
        return keys
    for piece in text.replace(b";", b",").split(b","):
        parts = piece.split(b"=")
        if len(parts) < 2:
            continue
        try:
            value = int(parts[1]) if parts[1] else NO_LIMIT
        except ValueError:
            continue
        keys[parts[0]] = max(-INT64_MAX, min(INT64_MAX, value))
    return keys


def limited_path(path: bytes, suffix: bytes) -> bytes | None:
    """The path that a limits or stats znode is about; None where the znode is an ordinary one.

    Directly below /zookeeper/quota there is no quota: one on the root is not supported.
    """
    if not path.startswith(QUOTA_PREFIX) or not path.endswith(suffix):
        return None
    cut = len(QUOTA_PREFIX) - 1
    end = len(path) - len(suffix)
    return path[cut:end] if end > cut else None


@final
class QuotaIndex:
    """Which paths are limited. Empty on most servers, and then everything here is one comparison."""

    __slots__ = ("quotas",)

    def __init__(self) -> None:
        self.quotas: Final[dict[bytes, Quota]] = {}

    def owner_of(self, path: bytes) -> Quota | None:
        """The deepest limited path that is `path` or above it."""
        quotas = self.quotas
        if not quotas:
            return None
        end = len(path)
        while end > 1:
            quota = quotas.get(path[:end])
            if quota is not None:
                return quota
            end = path.rfind(b"/", 0, end)
        return None
