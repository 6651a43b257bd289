"""Votes of an election: their order, when two of them agree, and what a search brings forth.

Source: election.md 3.1 and 3.5. The rules here have no state; `election` keeps it.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire.peers import LOOKING, STATE_NAMES, Notification
from ensemble.zab.members import Members

NOBODY: Final = -0x7FFFFFFFFFFFFFFF - 1  # in the votes of servers that have none


@final
class Vote:
    """Who should lead, and why: the newest epoch, then the longest log, then the largest id."""

    __slots__ = ("leader", "peer_epoch", "round", "zxid")

    def __init__(self, leader: i64, zxid: i64, peer_epoch: i64, round: i64) -> None:
        self.leader: Final = leader
        self.zxid: Final = zxid
        self.peer_epoch: Final = peer_epoch
        self.round: Final = round


@final
class Send:
    """Effect: put this into the peer's slot of one; an unsent older one is replaced."""

    __slots__ = ("notification", "sid")

    def __init__(self, sid: i64, notification: Notification) -> None:
        self.sid: Final = sid
        self.notification: Final = notification


@final
class Elected:
    """Effect: the search is over. The role follows from `Election.state`, already set."""

    __slots__ = ("vote",)

    def __init__(self, vote: Vote) -> None:
        self.vote: Final = vote


@final
class Adopt:
    """Effect: a peer knows a newer configuration. Store it, `set_members`, then `look` again.

    The message that brought it is not used otherwise (election.md 2.1).
    """

    __slots__ = ("members",)

    def __init__(self, members: Members) -> None:
        self.members: Final = members


Effect = Send | Elected | Adopt


def describe(effect: Effect) -> str:
    """One line for logs and tests."""
    if isinstance(effect, Send):
        n = effect.notification
        return f"to {effect.sid}: {STATE_NAMES[n.state]} {describe_vote(vote_of(n))}"
    if isinstance(effect, Elected):
        return f"elected {describe_vote(effect.vote)}"
    return f"adopt version {effect.members.version:x}"


def describe_vote(vote: Vote) -> str:
    """The vote, its values in the order in which votes are compared but for the round."""
    if vote.leader == NOBODY:
        return f"nobody, round {vote.round}"
    return f"{vote.leader} (epoch {vote.peer_epoch}, zxid {vote.zxid:#x}), round {vote.round}"


def vote_of(n: Notification) -> Vote:
    """The vote in a message."""
    return Vote(n.leader, n.zxid, n.peer_epoch, n.round)


def beats(a: Vote, b: Vote) -> bool:
    """The order of votes, but for weights (election.md 3.1)."""
    if a.peer_epoch != b.peer_epoch:
        return a.peer_epoch > b.peer_epoch
    if a.zxid != b.zxid:
        return a.zxid > b.zxid
    return a.leader > b.leader


def agree(a: Notification, b: Notification) -> bool:
    """Do two messages support each other? (election.md 3.5)

    Servers that joined an established leader at different times remember different zxids and
    rounds of its election, so among those that have decided only leader and epoch are compared.
    """
    if a.leader != b.leader:
        return False
    if a.state == LOOKING or b.state == LOOKING:
        return a.zxid == b.zxid and a.round == b.round and a.peer_epoch == b.peer_epoch
    if (a.version > 0) != (b.version > 0):
        return True
    return a.peer_epoch == b.peer_epoch


def is_same(a: Notification, b: Notification) -> bool:
    """Do two messages carry the same vote of the same round?"""
    return (
        a.leader == b.leader
        and a.zxid == b.zxid
        and a.peer_epoch == b.peer_epoch
        and a.round == b.round
    )
