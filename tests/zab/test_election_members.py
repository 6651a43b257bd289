"""Elections under weights, reconfigurations and configurations that messages bring."""

import pytest
from voting import FIVE, THREE, WITH_OBSERVER, follower, lines, looking, majority, note, weighted

from ensemble.wire.peers import FOLLOWING, LOOKING
from ensemble.zab.election import Election, Send, Vote
from ensemble.zab.votes import NOBODY

# Weights and reconfigurations (election.md 3, 5)


def test_a_voter_without_weight_is_never_elected() -> None:
    """election.md 3.1 and 5, capture 28: server 5 weighs nothing, and 4 wins."""
    members = weighted({1: 1, 2: 1, 3: 1, 4: 2, 5: 2}, {1: 2, 2: 1, 3: 1, 4: 1, 5: 0})
    election = looking(4, members)
    assert election.on_notification(5, note("looking", 5, zxid=99), 0) == []
    assert election.vote.leader == 4
    election.on_notification(1, note("looking", 4), 0)
    election.on_notification(2, note("looking", 4), 0)
    # Server 3 may still have something better; 5, which disagrees, need not be waited for.
    assert lines(election.on_notification(3, note("looking", 4), 1)) == [
        "elected 4 (epoch 0, zxid 0x0), round 1"
    ]


def test_groups_decide_and_not_numbers() -> None:
    """election.md 5: three of five, and no quorum; three others, and one."""
    members = weighted({1: 1, 2: 1, 3: 1, 4: 2, 5: 2}, {1: 2, 2: 1, 3: 1, 4: 1, 5: 0})
    election = looking(4, members)
    for sid in (1, 2, 3):
        election.on_unreachable(sid, 0)
    election.on_notification(5, note("looking", 4), 0)
    election.on_notification(2, note("looking", 4), 0)
    assert election.state == LOOKING
    assert election.on_notification(1, note("looking", 4), 0) != []


def test_a_pending_reconfiguration_needs_a_quorum_of_both() -> None:
    """election.md 3: the voters are those of both, and both must agree."""
    election = Election(3, majority(1, 2, 3, version=1))
    election.set_members(majority(1, 2, 3, version=1), majority(3, 4, 5, version=2))
    assert len(election.look(9, 1, 0)) == 4
    election.on_notification(2, note("looking", 3, zxid=9, epoch=1), 0)
    assert election.deadline_ms == 200
    election.on_time(200)
    assert election.deadline_ms == 600  # a quorum of the old one only: nothing to wait out
    election.on_notification(4, note("looking", 3, zxid=9, epoch=1), 300)
    assert lines(election.on_time(500)) == ["elected 3 (epoch 1, zxid 0x9), round 1"]


def test_a_voter_that_does_not_know_of_its_vote_brings_its_round_a14() -> None:
    """It is one in the proposed configuration only, votes for nobody, and has looked for longer.

    Its round never becomes smaller, and without its voice there is no quorum of both: the others
    have to join its round, in which it takes their proposal for its own.
    """
    election = Election(2, majority(2, 3, version=1))
    election.set_members(majority(2, 3, version=1), majority(1, 2, version=2))
    election.look(9, 1, 0)
    proposals = lines(election.on_notification(1, note("looking", NOBODY, round=4), 0))
    assert election.round == 4
    assert len(proposals) == 2
    assert all("round 4" in line for line in proposals)
    election.on_notification(1, note("looking", 2, zxid=9, epoch=1, round=4), 0)
    assert lines(election.on_notification(3, note("looking", 2, zxid=9, epoch=1, round=4), 1)) == [
        "elected 2 (epoch 1, zxid 0x9), round 4"
    ]


def test_a_pending_configuration_that_is_not_newer_counts_for_nothing() -> None:
    """election.md 3."""
    election = Election(1, majority(1, 2, 3, version=2))
    election.set_members(majority(1, 2, 3, version=2), majority(3, 4, 5, version=2))
    assert election.pending is None
    assert len(election.look(0, 0, 0)) == 2


def test_a_voter_that_does_not_know_of_its_vote_is_counted_in_its_own_round() -> None:
    """Server 4 observes in the committed configuration and is rounds ahead; it has a vote in the
    proposed one, and repeats what it hears only in the round in which it is."""
    before = majority(1, 2, observers=(4,), version=1)
    election = Election(2, before)
    election.set_members(before, majority(2, 4, version=2))
    election.look(9, 1, 0)
    effects = election.on_notification(4, note("looking", NOBODY, zxid=NOBODY, round=7), 1)
    assert election.round == 7
    assert "to 4: looking 2 (epoch 1, zxid 0x9), round 7" in lines(effects)
    election.on_notification(4, note("looking", 2, zxid=9, round=7, epoch=1), 2)
    effects = election.on_notification(1, note("looking", 2, zxid=9, round=7, epoch=1), 3)
    assert lines(effects) == ["elected 2 (epoch 1, zxid 0x9), round 7"]


def test_an_established_leader_is_followed_whatever_was_proposed_here() -> None:
    """This server's own reconfiguration came to nothing: the others never heard of it."""
    before = majority(1, 2, 3, version=1)
    election = Election(1, before)
    election.set_members(before, majority(1, 4, version=2))
    election.look(9, 1, 0)
    election.on_notification(2, note("following", 3, round=5, epoch=2), 1)
    effects = election.on_notification(3, note("leading", 3, round=5, epoch=2), 2)
    assert lines(effects) == ["elected 3 (epoch 2, zxid 0x0), round 5"]


def test_news_of_a_leader_makes_a_silent_server_ask_again_soon() -> None:
    """Who has no vote is told nothing unasked: the others may follow by now."""
    election = looking(4, WITH_OBSERVER)
    while election.deadline_ms < 20_000:
        now_ms = int(election.deadline_ms)
        election.on_time(now_ms)
    assert election.deadline_ms - now_ms > 10_000
    election.on_notification(3, note("leading", 3, epoch=2), now_ms + 5)
    assert election.deadline_ms == now_ms + 205
    election.on_time(now_ms + 205)
    election.on_notification(3, note("leading", 3, epoch=2), now_ms + 210)
    assert election.deadline_ms == now_ms + 205 + 400, "the same again is no news"


def test_votes_of_those_who_left_the_configuration_are_forgotten() -> None:
    election = looking(1, FIVE)
    election.on_notification(5, note("looking", 5), 0)
    election.on_notification(4, note("following", 5, round=9), 0)
    election.set_members(majority(1, 2, 3, version=1), None)
    assert not election.votes
    assert election.on_notification(5, note("following", 2, round=9), 0) == []
    assert lines(election.look(0, 0, 5))[0].startswith("to 2: ")


def test_answers_carry_the_configuration_that_is_committed() -> None:
    """election.md 2 and 2.1: so a server with an outdated list finds the ensemble."""
    election = follower()
    newer = majority(1, 2, 3, version=0x3_0000_0001)
    election.set_members(newer, majority(1, 2, version=0x3_0000_0002))
    effect = election.on_notification(9, note("looking", NOBODY), 0)[0]
    assert isinstance(effect, Send)
    assert effect.notification.members_text == newer.text()


# Configurations from messages (election.md 2.1)


def test_a_newer_configuration_is_adopted_while_looking_and_its_message_ignored() -> None:
    """election.md 2.1, capture 20; whoever sends it."""
    newer = majority(1, 2, 3, version=0x1_0000_0000)
    election = looking(4, WITH_OBSERVER, gossip=True)
    effects = election.on_notification(3, note("leading", 3, text=newer.text()), 0)
    assert lines(effects) == ["adopt version 100000000"]
    assert not election.votes
    election.set_members(newer, None)
    assert lines(election.look(0, 0, 1))[0] == "to 1: looking nobody, round 2"
    assert election.on_notification(3, note("leading", 3, text=newer.text()), 2) == []


def test_with_reconfiguration_off_no_configuration_is_adopted() -> None:
    """election.md 2.1."""
    newer = majority(1, 2, 3, version=5).text()
    election = looking(1, THREE)
    election.on_notification(3, note("looking", 3, text=newer), 0)
    assert election.vote.leader == 3


def test_in_other_states_a_newer_configuration_is_ignored() -> None:
    """election.md 2.1."""
    election = Election(1, THREE, gossip=True)
    election.look(0, 0, 0)
    election.take_role(FOLLOWING, Vote(3, 0, 0, 1))
    newer = majority(1, 2, version=5).text()
    assert election.on_notification(3, note("leading", 3, text=newer), 0) == []


@pytest.mark.parametrize("text", [b"version=5", b"nonsense=1\nversion=5", b"\xff", b""])
def test_a_message_with_an_unusable_configuration_is_used_without_it(text: bytes) -> None:
    """election.md 2 and 6.10: it never kills the receiver (ZOOKEEPER-3769)."""
    election = looking(1, THREE, gossip=True)
    election.on_notification(3, note("looking", 3, text=text), 0)
    assert election.vote.leader == 3
