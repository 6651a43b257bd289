"""Zab's last phase, broadcast: the leader orders, a quorum stores, everyone applies.

Source: zab.md 5. This is the leader's book-keeping: what is proposed, who has it on disk, what is
therefore committed. A learner's half is its queue of proposals, in `learner`.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.zab.host import Proposal
from ensemble.zab.members import Members


@final
class Broadcast:
    """Proposals of one epoch and their acknowledgements.

    An ack covers everything up to its zxid: links are in order, and a server logs in order. So each
    server is a single number, and what a quorum stores is found by comparing a few of them.

    Invariants, checked where they could break:
      - committed <= proposed, both of this epoch or its beginning;
      - `outstanding` holds exactly what lies between them, in order.
    """

    __slots__ = (
        "acked",
        "committed",
        "limit",
        "members",
        "next_from",
        "next_members",
        "outstanding",
    )

    def __init__(self, base_zxid: i64, members: Members) -> None:
        self.members: Members = members
        self.committed: i64 = base_zxid
        self.outstanding: Final[deque[Proposal]] = deque()
        self.acked: Final[dict[int, int]] = {}  # server -> the last zxid that it has on disk
        self.limit: i64 = 0  # the last zxid that quorums have on disk
        # A proposed configuration: from this zxid on it takes a quorum of both.
        self.next_members: Members | None = None
        self.next_from: i64 = 0

    def proposed(self) -> i64:
        """The last zxid that was proposed."""
        return self.outstanding[-1].zxid if self.outstanding else self.committed

    def propose(self, proposal: Proposal) -> None:
        assert proposal.zxid == self.proposed() + 1, "zxids of an epoch have no gap"
        self.outstanding.append(proposal)

    def propose_members(self, members: Members, zxid: i64) -> None:
        """The proposal `zxid`, and all behind it, also need a quorum of these."""
        assert self.next_members is None, "one reconfiguration at a time"
        self.next_members = members
        self.next_from = zxid
        self.find_limit()

    def use_members(self, members: Members) -> None:
        """The configuration is committed."""
        self.members = members
        self.next_members = None
        self.find_limit()

    def on_ack(self, sid: i64, zxid: i64) -> None:
        """A server has everything up to `zxid` on its disk.

        Raises:
            ProtocolError: it acknowledges what was never proposed.
        """
        if zxid > self.proposed():
            raise ProtocolError(f"server {sid} acknowledged {zxid:#x}, past {self.proposed():#x}")
        if zxid > self.acked.get(sid, 0):
            self.acked[sid] = zxid
            self.find_limit()

    def forget(self, sid: i64) -> None:
        """The server has left. What it has on disk it still has, but its next history may differ:
        it counts again when it acknowledges again."""
        self.acked.pop(sid, None)
        self.find_limit()

    def find_limit(self) -> None:
        """Up to where everything may be committed, by the present acknowledgements."""
        limit = self.stored_by(self.members)
        next_members = self.next_members
        if next_members is not None and limit >= self.next_from:
            limit = min(limit, max(self.stored_by(next_members), self.next_from - 1))
        self.limit = limit

    def stored_by(self, members: Members) -> i64:
        """The highest zxid that a quorum of these has on disk, 0 if none."""
        if not members.hierarchical:
            acks: list[int] = []
            for sid in members.voters:
                acks.append(self.acked.get(sid, 0))
            if not acks:
                return 0
            acks.sort(reverse=True)
            return acks[len(acks) // 2]
        best: i64 = 0
        for candidate in self.acked.values():
            if candidate > best:
                have: set[int] = set()
                for sid, zxid in self.acked.items():
                    if zxid >= candidate:
                        have.add(sid)
                if members.is_quorum(have):
                    best = candidate
        return best

    def next_committed(self) -> Proposal | None:
        """Take the next proposal that is committed now, in the order of zxids; None if none is."""
        if not self.outstanding or self.outstanding[0].zxid > self.limit:
            return None
        zxid = self.outstanding[0].zxid
        assert zxid == self.committed + 1, "commits have no gap"
        self.committed = zxid
        return self.outstanding.popleft()
