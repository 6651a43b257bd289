"""Short hands for the tests of elections: messages, members, and effects as lines of text."""

from ensemble.wire.peers import FOLLOWING, LEADING, LOOKING, OBSERVING, Notification
from ensemble.zab.election import Effect, Election
from ensemble.zab.members import Member, Members
from ensemble.zab.votes import Vote, describe

STATES = {
    "looking": LOOKING,
    "following": FOLLOWING,
    "leading": LEADING,
    "observing": OBSERVING,
}


def majority(*voters: int, observers: tuple[int, ...] = (), version: int = 0) -> Members:
    sids = [(sid, False) for sid in voters] + [(sid, True) for sid in observers]
    return Members(version, {s: Member(s, [("h", s)], [("h", s)], o) for s, o in sids})


THREE = majority(1, 2, 3)
FIVE = majority(1, 2, 3, 4, 5)
WITH_OBSERVER = majority(1, 2, 3, observers=(4,))


def weighted(groups: dict[int, int], weights: dict[int, int]) -> Members:
    servers = {sid: Member(sid, [("h", sid)], [("h", sid)]) for sid in groups}
    return Members(0, servers, groups, weights)


def note(
    state: str,
    leader: int,
    zxid: int = 0,
    round: int = 1,
    epoch: int = 0,
    version: int = 2,
    text: bytes | None = None,
) -> Notification:
    return Notification(STATES[state], leader, zxid, round, epoch, version, text)


def looking(
    sid: int, members: Members, zxid: int = 0, epoch: int = 0, rounds: int = 1, gossip: bool = False
) -> Election:
    """A server that entered its search at the instant 0, which is its `rounds`th one."""
    election = Election(sid, members, gossip)
    for _ in range(rounds):
        election.look(zxid, epoch, 0)
    return election


def follower(sid: int = 2, members: Members = THREE, rounds: int = 3) -> Election:
    """Follows 3, elected at zxid 0x200000003 in epoch 2; the epoch is 3 now."""
    election = looking(sid, members, zxid=0x2_0000_0003, epoch=2, rounds=rounds)
    election.take_role(FOLLOWING, Vote(3, 0x2_0000_0003, 2, rounds))
    election.serve(3)
    return election


def lines(effects: list[Effect]) -> list[str]:
    return [describe(effect) for effect in effects]
