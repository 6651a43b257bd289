"""How large a leader's proposals are."""

from typing import final

from mypy_extensions import i64


@final
class ProposalSizes:
    """Bytes of a leader's proposals; -1 before the first (admin.md 1.4)."""

    __slots__ = ("largest", "last", "least")

    def __init__(self) -> None:
        self.last: i64 = -1
        self.least: i64 = -1
        self.largest: i64 = -1

    def record(self, size: i64) -> None:
        self.last = size
        if size > self.largest:
            self.largest = size
        if size < self.least or self.least < 0:
            self.least = size
