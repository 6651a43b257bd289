"""Who still backs a leader that waits for its followers.

A and B elect A; C comes with a better vote, and B moves on to C before A's port is open. Apache's A
waits for initLimit then and serves nobody; should C or B fail meanwhile, there is no quorum without
A. It has heard B's new vote, though: when those who vote for others leave it no quorum, it need not
wait.

Giving up is always safe: nothing was promised to anybody yet.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire import peers
from ensemble.wire.peers import Notification
from ensemble.zab.configuration import Configuration


@final
class Backing:
    """Of server `sid`, elected in `round`. Servers that are not heard of may still come."""

    __slots__ = ("away", "configuration", "round", "sid")

    def __init__(self, sid: i64, round: i64, configuration: Configuration) -> None:
        self.sid: Final = sid
        self.round: Final = round
        self.configuration: Final = configuration
        self.away: Final[set[int]] = set()  # whose latest vote is for somebody else

    def on_notification(self, sender: i64, n: Notification) -> None:
        """Messages of earlier rounds are ignored: they may have been sent before the election."""
        if n.round < self.round or n.state == peers.OBSERVING:
            return
        if n.leader == self.sid:
            self.away.discard(int(sender))
        else:
            self.away.add(int(sender))

    def is_lost(self) -> bool:
        """Whether too few are left for a quorum."""
        if not self.away:
            return False
        left = self.configuration.members.voters - self.away
        proposed = self.configuration.proposed
        if proposed is not None:
            left |= proposed.voters - self.away
        return not self.configuration.is_quorum(left)
