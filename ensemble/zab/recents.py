"""The last transactions, for learners that are only a little behind (zab.md 4.2)."""

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from ensemble.zab.host import Proposal

RECENT_BYTES_MAX: Final = 16 << 20


@final
class Recents:
    """So many transactions at most, in order and without a hole; at least the last one."""

    __slots__ = ("count_max", "proposals", "size")

    def __init__(self, count_max: i64) -> None:
        self.count_max: Final = count_max
        self.proposals: Final[deque[Proposal]] = deque()
        self.size: i64 = 0  # bytes

    def append(self, proposal: Proposal) -> None:
        """A transaction has been applied. One that is known is not taken twice."""
        proposal.decoded = None
        proposals = self.proposals
        if proposals:
            last = proposals[-1].zxid
            if last >= proposal.zxid:
                return
            if proposal.zxid != last + 1 and proposal.zxid & 0xFFFFFFFF != 1:
                self.clear()
        proposals.append(proposal)
        self.size += len(proposal.payload)
        while len(proposals) > self.count_max or (
            self.size > RECENT_BYTES_MAX and len(proposals) > 1
        ):
            self.size -= len(proposals.popleft().payload)

    def clear(self) -> None:
        self.proposals.clear()
        self.size = 0
