"""Elections of real servers, replayed: what they heard goes in, what they said must come out.

Each case takes one server's place in a capture (Apache ZooKeeper 3.9.3). It gets what that server
received, in the order and at the instants of the capture. Compared, to the byte: each frame the
real server sent must be among ours to the same peer, in the same order. Ours may be more, since
an unsent message is replaced by a newer one, and we never know when the network took one. Left
out is the repeated last message of a new connection (election.md 1.5): the port does that.
"""

import json
from pathlib import Path

import pytest

from ensemble.wire.peers import (
    FOLLOWING,
    LEADING,
    LOOKING,
    OBSERVING,
    notification_frame,
    read_notification,
)
from ensemble.zab.election import Adopt, Effect, Elected, Election, Send, Vote
from ensemble.zab.members import Members, parse_members
from ensemble.zab.votes import NOBODY

VECTORS = Path(__file__).parent / "vectors"
STATIC = (
    b"server.1=127.0.0.1:22801:22811:participant\n"
    b"server.2=127.0.0.1:22802:22812:participant\n"
    b"server.3=127.0.0.1:22803:22813:participant"
)
WITH_OBSERVER = parse_members(STATIC + b"\nserver.4=127.0.0.1:22804:22814:observer\nversion=0")
THREE = parse_members(STATIC + b"\nversion=0")
DYNAMIC_SERVERS = (
    b"server.1=127.0.0.1:22801:22811:participant;127.0.0.1:22821\n"
    b"server.2=127.0.0.1:22802:22812:participant;127.0.0.1:22822\n"
    b"server.3=127.0.0.1:22803:22813:participant;127.0.0.1:22823\n"
)
DYNAMIC = parse_members(DYNAMIC_SERVERS + b"version=100000000")
JOINER = parse_members(
    DYNAMIC_SERVERS + b"server.4=127.0.0.1:22804:22814:observer;127.0.0.1:22824\nversion=0"
)

# What happens to a server besides messages: (seconds, what, values)
Step = tuple[float, str, tuple[int, ...]]


def look(t: float, zxid: int, epoch: int) -> Step:
    return (t, "look", (zxid, epoch))


def role(state: int, leader: int, zxid: int, round: int, epoch: int) -> Step:
    """At the beginning of the capture it has this role since that round."""
    return (0.0, "role", (state, leader, zxid, round, epoch))


def serve(t: float, epoch: int) -> Step:
    return (t, "serve", (epoch,))


class Player:
    """One server's place in a capture."""

    def __init__(self, sid: int, members: Members, steps: list[Step]) -> None:
        self.election = Election(sid, members, gossip=True)
        self.steps = steps
        self.sent: list[tuple[int, bytes]] = []
        self.elected: list[Vote] = []
        self.adopted = False

    def play(self, units: list[dict[str, str]]) -> None:
        sid = self.election.sid
        for unit in units:
            sender, receiver = unit["link"].split("->")
            if int(receiver) == sid:
                now_ms = round(float(unit["t"]) * 1000)
                self.pass_time(now_ms)
                n = read_notification(bytes.fromhex(unit["hex"])[4:])
                self.perform(self.election.on_notification(int(sender), n, now_ms), now_ms)
        self.pass_time(round(float(units[-1]["t"]) * 1000) + 250)

    def pass_time(self, now_ms: int) -> None:
        """Steps and deadlines that are due before the next message."""
        while True:
            step_ms = round(self.steps[0][0] * 1000) if self.steps else now_ms + 1
            deadline_ms = self.election.deadline_ms
            if min(step_ms, deadline_ms) > now_ms:
                return
            if deadline_ms < step_ms:
                self.perform(self.election.on_time(deadline_ms), deadline_ms)
            else:
                self.take(self.steps.pop(0), step_ms)

    def take(self, step: Step, now_ms: int) -> None:
        _, what, values = step
        if what == "look":
            self.perform(self.election.look(values[0], values[1], now_ms), now_ms)
        elif what == "serve":
            self.election.serve(values[0])
        else:
            state, leader, zxid, rounds, epoch = values
            for _ in range(rounds):
                self.election.look(0, 0, now_ms)
            self.election.take_role(state, Vote(leader, zxid, epoch, rounds))

    def perform(self, effects: list[Effect], now_ms: int) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.sent.append((effect.sid, notification_frame(effect.notification)))
            elif isinstance(effect, Elected):
                self.elected.append(effect.vote)
            elif isinstance(effect, Adopt):
                # Apache's server starts its whole election anew, from round 0.
                self.adopted = True
                self.election = Election(self.election.sid, effect.members, gossip=True)
                self.perform(self.election.look(0, 0, now_ms), now_ms)


CASES: list[tuple[str, int, Members, list[Step], int]] = [
    ("01-fresh-start", 1, WITH_OBSERVER, [look(1.8, 0, 0)], 3),
    ("01-fresh-start", 2, WITH_OBSERVER, [look(1.8, 0, 0)], 3),
    ("01-fresh-start", 3, WITH_OBSERVER, [look(1.9, 0, 0)], 3),
    ("07-restart-follower-empty-diff", 1, WITH_OBSERVER, [look(1.4, 0x1_0000_0022, 1)], 3),
    ("07-restart-follower-empty-diff", 2, WITH_OBSERVER, [role(FOLLOWING, 3, 0, 1, 1)], 0),
    ("07-restart-follower-empty-diff", 3, WITH_OBSERVER, [role(LEADING, 3, 0, 1, 1)], 0),
    (
        "12-leader-crash-and-new-epoch",
        1,
        WITH_OBSERVER,
        [role(FOLLOWING, 3, 0, 1, 1), look(0.747, 0x1_0000_003A, 1)],
        2,
    ),
    (
        "12-leader-crash-and-new-epoch",
        2,
        WITH_OBSERVER,
        [role(FOLLOWING, 3, 0, 1, 1), look(0.75, 0x1_0000_003A, 1)],
        2,
    ),
    (
        "13-leader-stop-new-epoch",
        1,
        WITH_OBSERVER,
        [role(FOLLOWING, 2, 0x1_0000_003A, 2, 2), look(0.576, 0x2_0000_0003, 2)],
        3,
    ),
    (
        "13-leader-stop-new-epoch",
        3,
        WITH_OBSERVER,
        [role(FOLLOWING, 2, 0x1_0000_003A, 2, 2), look(0.576, 0x2_0000_0003, 2)],
        3,
    ),
    (
        "14-old-leader-rejoins-diff-across-epochs",
        1,
        WITH_OBSERVER,
        [role(FOLLOWING, 3, 0x2_0000_0003, 3, 3)],
        0,
    ),
    (
        "14-old-leader-rejoins-diff-across-epochs",
        2,
        WITH_OBSERVER,
        [look(0.92, 0x2_0000_0003, 2)],
        3,
    ),
    (
        "14-old-leader-rejoins-diff-across-epochs",
        3,
        WITH_OBSERVER,
        [role(LEADING, 3, 0x2_0000_0003, 3, 3)],
        0,
    ),
    (
        "18-leader-loses-quorum-then-recovers",
        1,
        THREE,
        [role(FOLLOWING, 3, 0x2_0000_0002, 1, 3), look(8.03, 0x3_0000_0003, 3), serve(8.389, 4)],
        2,
    ),
    (
        "18-leader-loses-quorum-then-recovers",
        2,
        THREE,
        [role(FOLLOWING, 3, 0x2_0000_0002, 1, 3), look(8.04, 0x3_0000_0003, 3), serve(8.389, 4)],
        2,
    ),
    (
        "18-leader-loses-quorum-then-recovers",
        3,
        THREE,
        [role(LEADING, 3, 0x2_0000_0002, 1, 3), look(5.472, 0x3_0000_0003, 3)],
        2,
    ),
    ("20-reconfig-join-as-non-voting-follower", 1, DYNAMIC, [role(FOLLOWING, 3, 0, 1, 1)], 0),
    ("20-reconfig-join-as-non-voting-follower", 2, DYNAMIC, [role(FOLLOWING, 3, 0, 1, 1)], 0),
    ("20-reconfig-join-as-non-voting-follower", 3, DYNAMIC, [role(LEADING, 3, 0, 1, 1)], 0),
    ("20-reconfig-join-as-non-voting-follower", 4, JOINER, [look(0.88, 0, 0)], 3),
]


def said(units: list[dict[str, str]], link: str, in_role: bool) -> list[bytes]:
    """The frames of one direction, without those that a new connection repeated.

    What the first connection of a capture repeats is not in the capture. But a server that is in
    its role and says it looks can only be repeating.
    """
    frames: list[bytes] = []
    connection = ""
    for unit in units:
        if unit["link"] == link:
            frame = bytes.fromhex(unit["hex"])
            is_first = unit["conn"] != connection
            connection = unit["conn"]
            is_stale = in_role and read_notification(frame[4:]).state == LOOKING
            if not is_first or not (is_stale or frame in frames[-1:]):
                frames.append(frame)
    return frames


@pytest.mark.parametrize(
    ("scenario", "sid", "members", "steps", "leader"),
    CASES,
    ids=[f"{scenario}, server {sid}" for scenario, sid, *_ in CASES],
)
def test_what_a_real_server_said_is_said_here_too(
    scenario: str, sid: int, members: Members, steps: list[Step], leader: int
) -> None:
    """election.md 3; 6.4 and 6.8 in captures 07, 14, 18, and 2.1 and 6.6 in capture 20."""
    units = json.loads((VECTORS / f"{scenario}.json").read_text())["units"]
    player = Player(sid, members, list(steps))
    player.play(units)
    compared = 0
    for peer in (1, 2, 3, 4):
        theirs = said(units, f"{sid}->{peer}", in_role=steps[0][1] == "role" and len(steps) == 1)
        ours = iter([frame for to, frame in player.sent if to == peer])
        for frame in theirs:
            n = read_notification(frame[4:])
            assert frame in ours, f"to {peer}: {n.state} {n.leader} {n.zxid:#x} {n.round}"
            compared += 1
    assert compared > 0
    assert [vote.leader for vote in player.elected] == ([leader] if leader else [])


def test_the_joiner_of_the_capture_takes_the_ensembles_configuration_and_follows_it() -> None:
    """election.md 2.1, capture 20: an observer by its own list, in none by the adopted one."""
    units = json.loads((VECTORS / "20-reconfig-join-as-non-voting-follower.json").read_text())
    player = Player(4, JOINER, [look(0.88, 0, 0)])
    player.play(units["units"])
    assert player.adopted
    assert player.election.members.text() == DYNAMIC.text()
    assert player.election.state == FOLLOWING
    first = read_notification(player.sent[0][1][4:])
    assert (first.leader, first.zxid) == (NOBODY, NOBODY)
    unaware = Player(4, JOINER, [])
    unaware.election = Election(4, JOINER, gossip=False)
    unaware.steps = [look(0.88, 0, 0)]
    unaware.play(units["units"])
    assert unaware.election.state == OBSERVING
