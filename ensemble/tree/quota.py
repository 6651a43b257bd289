"""Quotas: the text of limits and usage, and the index of limited paths.

Source: quotas.md. A quota on `/a/b` is two nodes, `/zookeeper/quota/a/b/zookeeper_limits` and
`.../zookeeper_stats`. Any client may write them, so no text, however strange, raises here: a bad
piece of a limit is no limit, a bad usage is counted again.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tree.paths import QUOTA
from ensemble.tree.roots import Roots

LIMITS_SUFFIX: Final = b"/zookeeper_limits"
STATS_SUFFIX: Final = b"/zookeeper_stats"
QUOTA_PREFIX: Final = b"/zookeeper/quota/"

I64_MAX: Final = 0x7FFFFFFFFFFFFFFF
I64_MIN: Final = -0x8000000000000000
DIGITS_MAX: Final = 400  # more digits than this are clamped without being converted

COUNT: Final = "count"
BYTES: Final = "bytes"
COUNT_HARD: Final = "countHardLimit"
BYTES_HARD: Final = "byteHardLimit"


@final
class Limits:
    """What a limits node says; -1 is no limit. Hard ones refuse, soft ones only warn."""

    __slots__ = ("bytes_hard", "bytes_soft", "count_hard", "count_soft")

    def __init__(self, count_soft: i64, bytes_soft: i64, count_hard: i64, bytes_hard: i64) -> None:
        self.count_soft: Final = count_soft
        self.bytes_soft: Final = bytes_soft
        self.count_hard: Final = count_hard
        self.bytes_hard: Final = bytes_hard


def _parse_number(text: str) -> int | None:
    """A signed decimal, clamped to 64 bits; None if it is none."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdigit():
        return None
    negative = text[0] == "-"
    digits = digits.lstrip("0") or "0"
    if len(digits) > DIGITS_MAX:
        return I64_MIN if negative else I64_MAX
    value = -int(digits) if negative else int(digits)
    return max(I64_MIN, min(I64_MAX, value))


def parse_pieces(data: bytes | None) -> tuple[dict[str, int], bool]:
    """The numbers by key, and whether every piece of the text could be read."""
    numbers: dict[str, int] = {}
    clean = True
    if data is None:
        return numbers, clean
    for piece in data.decode("utf-8", "replace").replace(";", ",").split(","):
        if not piece:
            continue
        parts = piece.split("=")
        if len(parts) > 2 and parts[1] == "" and any(parts[2:]):
            numbers[parts[0]] = -1  # `count==5`
            continue
        value = _parse_number(parts[1]) if len(parts) > 1 else None
        if value is None:
            clean = False
        else:
            numbers[parts[0]] = value
    return numbers, clean


def parse_limits(data: bytes | None) -> Limits:
    """What a limits node says. Whatever cannot be read limits nothing."""
    numbers, _ = parse_pieces(data)
    return Limits(
        numbers.get(COUNT, -1),
        numbers.get(BYTES, -1),
        numbers.get(COUNT_HARD, -1),
        numbers.get(BYTES_HARD, -1),
    )


def format_limits(limits: Limits) -> bytes:
    """A limits node's text, as the stock client writes it."""
    return (
        f"count={limits.count_soft},bytes={limits.bytes_soft}"
        f"=;byteHardLimit={limits.bytes_hard};countHardLimit={limits.count_hard}"
    ).encode()


def parse_usage(data: bytes | None) -> tuple[int, int] | None:
    """Count and bytes of a stats node; None where they have to be counted again."""
    numbers, clean = parse_pieces(data)
    if not clean:
        return None
    return numbers.get(COUNT, -1), numbers.get(BYTES, -1)


def format_usage(count: i64, size: i64) -> bytes:
    """A stats node's text."""
    return f"count={count},bytes={size}".encode()


def limited_path(path: bytes, suffix: bytes) -> bytes | None:
    """The path that a limits or stats node (by `suffix`) is about; None if it is about none.

    The root cannot be limited, and names elsewhere are ordinary nodes.
    """
    if not path.startswith(QUOTA_PREFIX) or not path.endswith(suffix):
        return None
    target = path[len(QUOTA) : len(path) - len(suffix)]
    return target if len(target) > 1 else None


@final
class Quota:
    """One limited path. `count` and `size` repeat the text of its stats node, where `known`."""

    __slots__ = (
        "count",
        "known",
        "limits",
        "limits_data",
        "limits_path",
        "path",
        "size",
        "stats_path",
    )

    def __init__(self, path: bytes) -> None:
        self.path: Final = path
        self.limits_path: Final = QUOTA + path + LIMITS_SUFFIX
        self.stats_path: Final = QUOTA + path + STATS_SUFFIX
        self.count: i64 = 0
        self.size: i64 = 0
        self.known = False
        self.limits_data: bytes | None = None
        self.limits = parse_limits(None)

    def limits_of(self, data: bytes | None) -> Limits:
        """`data` parsed; the last text is remembered."""
        if data is not self.limits_data:
            self.limits_data = data
            self.limits = parse_limits(data)
        return self.limits


@final
class QuotaIndex:
    """The limited paths. A node's owner is the deepest of them at or above it."""

    __slots__ = ("by_path", "roots")

    def __init__(self) -> None:
        self.roots: Final[Roots[Quota]] = Roots()
        self.by_path: Final[dict[bytes, Quota]] = self.roots.by_path

    def add(self, path: bytes) -> Quota:
        quota = self.by_path.get(path)
        if quota is None:
            quota = Quota(path)
            self.roots.put(path, quota)
        return quota

    def remove(self, path: bytes) -> None:
        self.roots.remove(path)

    def forget_usage(self, path: bytes) -> None:
        """The stats node changed or went: read it again before it is used."""
        quota = self.by_path.get(path)
        if quota is not None:
            quota.known = False

    def clear(self) -> None:
        self.roots.clear()

    def owner_of(self, path: bytes) -> Quota | None:
        """The quota that is charged for a node."""
        return self.roots.owner_of(path, 0, deepest=True) if self.by_path else None
