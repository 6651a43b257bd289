"""Fast leader election: the search, rule by rule. Times are milliseconds; no clock runs here."""

import pytest
from voting import FIVE, THREE, WITH_OBSERVER, follower, lines, looking, majority, note, weighted

from ensemble.wire.peers import (
    FOLLOWING,
    LEADING,
    LOOKING,
    OBSERVING,
    notification_frame,
    read_notification,
)
from ensemble.zab.election import NEVER, ROUND_MAX, Election, Send, Vote
from ensemble.zab.members import Members
from ensemble.zab.votes import NOBODY, beats

# The order of votes (election.md 3.1)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Vote(1, 0, 2, 1), Vote(3, 0x1_0000_0009, 1, 1)),
        (Vote(1, 0x1_0000_0009, 1, 1), Vote(3, 0x1_0000_0008, 1, 1)),
        (Vote(2, 7, 1, 1), Vote(1, 7, 1, 9)),
        (Vote(1, 0, 0, 1), Vote(NOBODY, NOBODY, NOBODY, 1)),
        (Vote(1, 0, 0, 1), Vote(9, -1, 0, 1)),
    ],
)
def test_epoch_comes_before_zxid_and_zxid_before_id_all_signed(better: Vote, worse: Vote) -> None:
    """election.md 3.1; 6.7: a longer log of an older epoch loses."""
    assert beats(better, worse)
    assert not beats(worse, better)
    assert not beats(better, better)


# Entering a search (election.md 3.2)


def test_a_search_begins_with_a_vote_for_oneself_to_all_other_voters() -> None:
    """election.md 3.2 steps 1 and 2: observers are never addressed."""
    election = Election(1, WITH_OBSERVER)
    assert lines(election.look(0x1_0000_0022, 1, 0)) == [
        "to 2: looking 1 (epoch 1, zxid 0x100000022), round 1",
        "to 3: looking 1 (epoch 1, zxid 0x100000022), round 1",
    ]
    assert (election.state, election.round) == (LOOKING, 1)


def test_the_message_of_a_search_is_to_the_byte_what_apache_sends() -> None:
    """election.md 2: format 2, with the committed configuration."""
    effect = looking(1, THREE).look(5, 1, 0)[0]
    assert isinstance(effect, Send)
    frame = notification_frame(effect.notification)
    head = "000000000000000000000001000000000000000500000000000000020000000000000001"
    assert frame[4:40].hex() == head
    assert frame[40:44].hex() == "00000002"
    assert frame[48:] == THREE.text()
    assert read_notification(frame[4:]).members_text == THREE.text()


def test_every_search_is_a_new_round_and_forgets_the_votes_of_the_last() -> None:
    """election.md 3.2, 3.6: the round survives roles, not the process."""
    election = looking(1, THREE)
    election.on_notification(2, note("looking", 2), 0)
    assert election.votes
    assert lines(election.look(0, 0, 10)) == [
        "to 2: looking 1 (epoch 0, zxid 0x0), round 2",
        "to 3: looking 1 (epoch 0, zxid 0x0), round 2",
    ]
    assert not election.votes
    assert Election(1, THREE).round == 0


def test_an_observer_votes_for_nobody() -> None:
    """election.md 3.2 and 6.6: -2^63 in all three fields."""
    effect = Election(4, WITH_OBSERVER).look(0x1_0000_0001, 1, 0)[0]
    assert isinstance(effect, Send)
    n = effect.notification
    assert (n.leader, n.zxid, n.peer_epoch, n.round) == (NOBODY, NOBODY, NOBODY, 1)
    assert n.leader == -(2**63)


def test_a_server_that_is_no_member_offers_nobody_but_tells_its_history() -> None:
    """election.md 3.2 and 6.6, seen in capture 20: leader -2^63, real zxid and epoch."""
    effect = Election(9, THREE).look(0x1_0000_0001, 1, 0)[0]
    assert isinstance(effect, Send)
    n = effect.notification
    assert (n.leader, n.zxid, n.peer_epoch) == (NOBODY, 0x1_0000_0001, 1)


def test_a_voter_of_the_pending_configuration_only_does_not_offer_itself_yet() -> None:
    """election.md 3.2: its own committed configuration decides."""
    election = Election(4, majority(1, 2, 3, version=1))
    election.set_members(majority(1, 2, 3, version=1), majority(2, 3, 4, version=2))
    effects = election.look(0, 0, 0)
    assert lines(effects) == [f"to {sid}: looking nobody, round 1" for sid in (1, 2, 3)]


def test_a_single_voter_elects_itself_at_once() -> None:
    election = Election(1, majority(1))
    assert lines(election.look(5, 1, 0)) == ["elected 1 (epoch 1, zxid 0x5), round 1"]
    assert election.state == LEADING
    assert election.deadline_ms == NEVER


def test_nothing_is_said_before_the_first_search() -> None:
    election = Election(1, THREE)
    assert election.on_notification(2, note("looking", 2), 0) == []
    assert election.on_unreachable(2, 0) == []
    assert election.on_time(10**9) == []
    alone = Election(1, weighted({1: 1, 2: 1}, {1: 2, 2: 1}))  # a quorum by itself
    assert alone.on_unreachable(2, 0) == []


def test_who_got_out_of_reach_before_the_search_is_not_waited_for_in_it() -> None:
    """Ours: the usual failover. The leader's connection breaks first, then the search begins."""
    election = follower(sid=2)
    assert election.on_unreachable(3, 0) == []
    election.look(9, 3, 1)
    effects = election.on_notification(1, note("looking", 2, zxid=9, epoch=3, round=4), 2)
    assert lines(effects) == ["elected 2 (epoch 3, zxid 0x9), round 4"]


# Silence


def test_silence_makes_it_send_again_after_gaps_that_double_to_a_minute() -> None:
    """election.md 3.2 step 3; capture 18 shows 0.2, 0.4, 0.8 s."""
    election = looking(3, THREE)
    now = 0
    gaps = []
    for _ in range(11):
        gaps.append(election.deadline_ms - now)
        now = election.deadline_ms
        assert election.on_time(now - 1) == []
        assert len(election.on_time(now)) == 2
    assert gaps == [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]


def test_messages_never_make_the_gaps_shorter_again() -> None:
    """election.md 3.2 step 3."""
    election = looking(3, FIVE)
    election.on_time(200)
    assert election.deadline_ms == 600
    election.on_notification(1, note("looking", 1), 300)
    election.on_notification(2, note("looking", 5), 310)
    assert election.deadline_ms == 600
    election.on_time(600)
    assert election.deadline_ms == 1_400


def test_a_new_search_begins_with_short_gaps() -> None:
    election = looking(3, THREE)
    election.on_time(200)
    election.look(0, 0, 1_000)
    assert election.deadline_ms == 1_200


# Votes of those who look, too (election.md 3.3)


def test_a_better_vote_is_adopted_and_told_to_all() -> None:
    """election.md 3.3."""
    election = looking(1, FIVE)
    assert lines(election.on_notification(3, note("looking", 3), 5)) == [
        f"to {sid}: looking 3 (epoch 0, zxid 0x0), round 1" for sid in (2, 3, 4, 5)
    ]
    assert election.vote.leader == 3


def test_a_vote_that_is_not_better_is_only_counted() -> None:
    """election.md 3.3."""
    election = looking(3, FIVE, zxid=9)
    assert election.on_notification(5, note("looking", 5, zxid=8), 5) == []
    assert election.vote.leader == 3
    assert election.votes[5].leader == 5


def test_a_lower_round_is_not_counted_but_answered_with_the_proposal() -> None:
    """election.md 3.3 and 3.4."""
    election = looking(1, THREE, rounds=3)
    effects = election.on_notification(3, note("looking", 3, zxid=99, round=2), 5)
    assert lines(effects) == ["to 3: looking 1 (epoch 0, zxid 0x0), round 3"]
    assert not election.votes


def test_a_higher_round_forgets_the_votes_and_compares_with_the_first_vote_of_its_own() -> None:
    """election.md 3.3 and 6.5: not with the proposal, whose support counts no more.

    2 adopted 5's vote. 5 is gone, and 1 has begun another round: 2 must offer itself, not 5.
    """
    election = looking(2, FIVE, zxid=4)
    election.on_notification(5, note("looking", 5, zxid=9), 5)
    assert election.vote.leader == 5
    effects = election.on_notification(1, note("looking", 1, zxid=4, round=2), 6)
    assert lines(effects)[0] == "to 1: looking 2 (epoch 0, zxid 0x4), round 2"
    assert len(effects) == 4
    assert sorted(election.votes) == [1]
    assert election.round == 2


def test_a_higher_round_with_a_better_vote_is_adopted_whole() -> None:
    """election.md 3.3."""
    election = looking(2, THREE, zxid=4)
    effects = election.on_notification(1, note("looking", 1, zxid=5, round=7), 6)
    assert lines(effects)[0] == "to 1: looking 1 (epoch 0, zxid 0x5), round 7"
    assert election.vote.round == 7


def test_the_epoch_of_a_vote_wins_over_a_longer_log() -> None:
    """election.md 6.7; A11: who has the newest leader's history leads, others' tails go."""
    election = looking(3, THREE, zxid=0x1_0000_00FF, epoch=1)
    election.on_notification(1, note("looking", 1, zxid=0x1_0000_0003, epoch=2), 0)
    assert election.vote.leader == 1


def test_without_the_server_of_the_highest_zxid_the_next_best_leads() -> None:
    """A11: 3 had more, and is down; nobody waits for it."""
    election = looking(2, THREE, zxid=8, epoch=1)
    election.on_unreachable(3, 0)
    effects = election.on_notification(1, note("looking", 2, zxid=8, epoch=1), 1)
    assert lines(effects) == ["elected 2 (epoch 1, zxid 0x8), round 1"]


def test_a_server_without_history_counts_no_votes_of_those_who_look() -> None:
    """election.md 3.3, storage.md 2.3: zxid -1 on either side."""
    blank = looking(1, THREE, zxid=-1)
    assert blank.on_notification(2, note("looking", 2, zxid=5, round=4), 0) == []
    assert blank.round == 1
    assert not blank.votes
    election = looking(1, THREE)
    assert election.on_notification(2, note("looking", 2, zxid=-1, epoch=9, round=4), 0) == []
    assert not election.votes
    assert election.round == 1


def test_a_single_voter_without_history_does_not_elect_itself() -> None:
    """election.md 3.3: even its own message would have been ignored."""
    assert lines(Election(1, majority(1)).look(-1, 0, 0)) == []


def test_a_server_without_history_joins_an_established_leader() -> None:
    """storage.md 2.3: it takes what a quorum that has decided tells it."""
    blank = looking(1, THREE, zxid=-1)
    blank.on_notification(2, note("following", 3, epoch=1), 0)
    effects = blank.on_notification(3, note("leading", 3, epoch=1), 0)
    assert lines(effects) == ["elected 3 (epoch 1, zxid 0x0), round 1"]


@pytest.mark.parametrize(
    "wrong",
    [
        note("looking", 9, zxid=99),  # a leader that is no voter
        note("looking", 4, zxid=99),  # an observer as leader
        note("looking", NOBODY, zxid=NOBODY, epoch=NOBODY),
        note("observing", 3, zxid=99),
        note("looking", 3, zxid=99, round=ROUND_MAX + 1),
        note("looking", 3, zxid=99, round=-2),
        note("looking", 3, zxid=99, round=-(2**63)),
        note("following", 9, zxid=99),
    ],
)
def test_what_cannot_be_meant_is_ignored(wrong: object) -> None:
    """election.md 3.2 step 3, 6.6, 6.10: no vote of it is stored, and the search goes on."""
    election = looking(1, WITH_OBSERVER)
    effects = election.on_notification(2, wrong, 0)  # type: ignore[arg-type]
    assert all(line.startswith("to 2: looking 1") for line in lines(effects))
    assert not election.votes
    assert (election.vote.leader, election.round) == (1, 1)


def test_a_message_from_oneself_is_ignored() -> None:
    """Two servers under one id: the operator's error must not elect anybody."""
    election = looking(1, THREE)
    assert election.on_notification(1, note("looking", 3, zxid=9), 0) == []
    assert election.vote.leader == 1


def test_the_highest_round_that_is_believed_leaves_room_to_count() -> None:
    election = looking(1, THREE)
    election.on_notification(2, note("looking", 2, round=ROUND_MAX), 0)
    election.look(0, 0, 0)
    assert election.round == ROUND_MAX + 1


def test_a_message_of_forty_bytes_is_a_vote_without_version() -> None:
    """election.md 2 and 6.9."""
    frame = notification_frame(note("looking", 3, zxid=9, epoch=4))
    old = read_notification(frame[4:44])
    assert (old.version, old.peer_epoch, old.members_text) == (0, 4, None)
    election = looking(1, FIVE)
    election.on_notification(3, old, 0)
    assert (election.vote.leader, election.vote.peer_epoch) == (3, 4)


def test_the_newest_message_of_a_peer_replaces_its_older_vote() -> None:
    """election.md 1.5 and 6.2: what was sent again on a new connection may be stale."""
    election = looking(3, THREE)
    election.on_notification(2, note("looking", 3), 0)
    assert election.deadline_ms == 200  # a quorum: wait for better
    election.on_notification(2, note("looking", 2), 1)
    assert election.votes[2].leader == 2
    assert lines(election.on_time(200))[0].startswith("to 1: looking 3")
    assert election.state == LOOKING


def test_a_stale_vote_before_the_real_answer_does_no_harm() -> None:
    """election.md 1.5 and 6.2, capture 07: LOOKING of the last election, then LEADING."""
    election = looking(1, THREE, zxid=0x1_0000_0022, epoch=1)
    election.on_notification(3, note("looking", 3), 0)
    election.on_notification(3, note("leading", 3, epoch=1), 0)
    election.on_notification(2, note("looking", 3), 1)
    effects = election.on_notification(2, note("following", 3, epoch=1), 1)
    assert lines(effects) == ["elected 3 (epoch 1, zxid 0x0), round 1"]
    assert election.state == FOLLOWING


# The end of a search


def test_a_quorum_waits_200_ms_for_a_better_vote() -> None:
    """election.md 3.3."""
    election = looking(3, THREE)
    assert election.on_notification(1, note("looking", 3), 50) == []
    assert election.deadline_ms == 200  # 250 is behind the time to send again
    election.on_time(200)
    assert election.deadline_ms == 250
    assert lines(election.on_time(250)) == ["elected 3 (epoch 0, zxid 0x0), round 1"]
    assert (election.state, election.deadline_ms) == (LEADING, NEVER)


def test_a_better_vote_in_that_time_goes_back_to_the_search() -> None:
    """election.md 3.3."""
    election = looking(2, THREE)
    election.on_notification(1, note("looking", 2), 50)
    effects = election.on_notification(3, note("looking", 3), 100)
    assert lines(effects)[0].startswith("to 1: looking 3")
    # Now 2 and 3 agree, and 1 may still have something better.
    assert lines(election.on_time(299))[0].startswith("to 1: looking 3")
    assert lines(election.on_time(300)) == ["elected 3 (epoch 0, zxid 0x0), round 1"]
    assert election.state == FOLLOWING


def test_votes_that_are_not_better_do_not_make_the_wait_longer() -> None:
    """Ours: with the wait restarted by each message, a chatty peer could hold an election up."""
    election = looking(3, FIVE)
    election.on_notification(1, note("looking", 3), 0)
    election.on_notification(2, note("looking", 3), 10)
    for now in range(20, 200, 20):
        election.on_notification(4, note("looking", 4, zxid=-5), now)
    election.on_time(200)
    assert lines(election.on_time(210)) == ["elected 3 (epoch 0, zxid 0x0), round 1"]


def test_nobody_waits_when_all_voters_agree() -> None:
    """Ours: there is nobody left who could have a better vote."""
    election = looking(3, THREE)
    election.on_notification(1, note("looking", 3), 1)
    effects = election.on_notification(2, note("looking", 3), 2)
    assert lines(effects) == ["elected 3 (epoch 0, zxid 0x0), round 1"]


def test_nobody_waits_for_a_voter_that_is_out_of_reach() -> None:
    """Ours; A15: one black-holed peer never holds an election up. Here it was known before."""
    election = looking(2, THREE)
    election.on_unreachable(3, 0)
    effects = election.on_notification(1, note("looking", 2), 2)
    assert lines(effects) == ["elected 2 (epoch 0, zxid 0x0), round 1"]


def test_the_wait_ends_when_the_last_silent_voter_turns_out_to_be_gone() -> None:
    """Ours; A15."""
    election = looking(2, THREE)
    election.on_notification(1, note("looking", 2), 2)
    assert lines(election.on_unreachable(3, 90)) == ["elected 2 (epoch 0, zxid 0x0), round 1"]


def test_a_voter_that_is_in_reach_again_is_waited_for() -> None:
    """Ours."""
    election = looking(2, THREE)
    election.on_unreachable(3, 0)
    election.on_reachable(3)
    assert election.on_notification(1, note("looking", 2), 2) == []
    assert lines(election.on_time(202)) != []


def test_out_of_reach_is_no_vote() -> None:
    """Without a quorum nobody is elected, whoever is gone; observers gone mean nothing."""
    election = looking(3, WITH_OBSERVER)
    for sid in (1, 2, 4, 77):
        assert election.on_unreachable(sid, 0) == []
    assert election.state == LOOKING


@pytest.mark.parametrize(
    ("sid", "members", "state"),
    [
        (2, THREE, FOLLOWING),
        (3, THREE, LEADING),
        (4, WITH_OBSERVER, OBSERVING),
        (9, THREE, FOLLOWING),  # in no configuration: a follower without a vote
    ],
)
def test_the_role_follows_from_the_vote_and_the_own_place(
    sid: int, members: Members, state: int
) -> None:
    """election.md 3.3, 3.2; zab.md 7.6."""
    election = looking(sid, members, rounds=2)
    for peer in (1, 2, 3):
        election.on_notification(peer, note("looking", 3, round=2), 0)
    assert election.state == state
    assert election.vote.leader == 3


def test_without_a_vote_ones_own_opinion_does_not_count() -> None:
    """election.md 3.4, 5: an observer and one voter are no quorum of three."""
    election = looking(4, WITH_OBSERVER)
    election.on_notification(3, note("looking", 3), 0)
    election.on_unreachable(1, 0)
    election.on_unreachable(2, 0)
    assert election.state == LOOKING
