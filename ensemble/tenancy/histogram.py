"""A log-linear histogram of microseconds that can be added up: over nodes, tenants and time."""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

PER_POWER: Final = 8  # buckets for each power of two: a value is known to an eighth
SIZE: Final = 29 * PER_POWER  # up to 2**31 us, 36 minutes; what is longer is in the last one


def bucket_of(us: i64) -> i64:
    """0 to 15 have a bucket each; beyond, 8 buckets for each power of two."""
    power: i64 = 0
    while us >= 256 * PER_POWER:
        us >>= 7
        power += 7
    while us >= 2 * PER_POWER:
        us >>= 1
        power += 1
    index = power * PER_POWER + us
    return index if index < SIZE else SIZE - 1


def bucket_top(index: i64) -> i64:
    """The largest value of a bucket."""
    if index < 2 * PER_POWER:
        return index
    power = index // PER_POWER - 1
    return ((index % PER_POWER + PER_POWER + 1) << power) - 1


@final
class Histogram:
    """Counts by bucket; `count`, `sum` and `max` are exact. Values below 0 count as 0."""

    __slots__ = ("buckets", "count", "max", "sum")

    def __init__(self) -> None:
        self.buckets: Final = vec[i64]([0] * SIZE)
        self.count: i64 = 0
        self.sum: i64 = 0
        self.max: i64 = 0

    def add(self, us: i64, times: i64) -> None:
        if us < 0:
            us = 0
        if us > self.max:
            self.max = us
        self.count += times
        self.sum += us * times
        self.buckets[bucket_of(us)] += times

    def merge(self, other: "Histogram") -> None:
        """Add all that the other one holds."""
        if other.max > self.max:
            self.max = other.max
        self.count += other.count
        self.sum += other.sum
        for index in range(SIZE):
            self.buckets[index] += other.buckets[index]

    def quantile(self, q: float) -> int:
        """The value that a share `q` of all does not exceed; 0 where there is none."""
        if self.count == 0:
            return 0
        wanted = q * int(self.count)
        seen = 0
        for index in range(SIZE):
            seen += self.buckets[index]
            if seen and seen >= wanted:
                return int(min(bucket_top(index), self.max))
        return int(self.max)

    def below(self, us: i64) -> int:
        """How many did not exceed a bucket's top."""
        last = bucket_of(us)
        return int(sum(self.buckets[: last + 1]))

    def sparse(self) -> list[list[int]]:
        """[index, count] of the buckets that hold something, ascending."""
        return [[index, int(n)] for index, n in enumerate(self.buckets) if n]
