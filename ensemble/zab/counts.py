"""What a member's roles have done, in numbers for the operator.

Nothing is counted while transactions pass: within a role zxids have no gap, so the numbers follow
from where the role began and how far it has come.
"""

from typing import final

from mypy_extensions import i64

from ensemble.zab import leader as leaders
from ensemble.zab import learner as learners
from ensemble.zab.leader import Leader
from ensemble.zab.learner import Learner


@final
class Counts:
    """Sums over roles. `diffs` counts what a leader has brought up to date without a snapshot."""

    __slots__ = (
        "commits",
        "commits_learned",
        "diffs",
        "proposals",
        "proposals_learned",
        "searches",
        "snapshots",
    )

    def __init__(self) -> None:
        self.searches: i64 = 0
        self.proposals: i64 = 0
        self.commits: i64 = 0
        self.proposals_learned: i64 = 0
        self.commits_learned: i64 = 0
        self.diffs: i64 = 0
        self.snapshots: i64 = 0

    def copy(self) -> "Counts":
        other = Counts()
        other.searches = self.searches
        other.proposals = self.proposals
        other.commits = self.commits
        other.proposals_learned = self.proposals_learned
        other.commits_learned = self.commits_learned
        other.diffs = self.diffs
        other.snapshots = self.snapshots
        return other

    def add_leader(self, leader: Leader) -> None:
        self.diffs += leader.diffs
        self.snapshots += leader.snapshots
        if leader.phase == leaders.SERVING:
            base = leader.epoch << 32
            self.proposals += leader.broadcast.proposed() - base
            self.commits += leader.broadcast.committed - base

    def add_learner(self, learner: Learner) -> None:
        if learner.stage == learners.SERVING:
            # Until the first transaction of its epoch a learner stands in an older one.
            base = max(learner.served_from, learner.epoch << 32)
            proposed = max(0, learner.last_zxid - base)
            if not learner.is_observer:
                self.proposals_learned += proposed
            self.commits_learned += max(0, proposed - len(learner.pending))
