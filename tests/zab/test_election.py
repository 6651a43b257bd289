"""Fast leader election, rule by rule. Times are milliseconds; nobody's clock runs here."""

import pytest
from voting import lines, looking, majority, note, weighted

from ensemble.wire.peers import (
    FOLLOWING,
    LEADING,
    LOOKING,
    OBSERVING,
    notification_frame,
    read_notification,
)
from ensemble.zab.election import ANSWERS_MAX, NEVER, ROUND_MAX, Election, Send, Vote
from ensemble.zab.members import Members
from ensemble.zab.votes import NOBODY, agree, beats

THREE = majority(1, 2, 3)
FIVE = majority(1, 2, 3, 4, 5)
WITH_OBSERVER = majority(1, 2, 3, observers=(4,))


def follower(sid: int = 2, members: Members = THREE, rounds: int = 3) -> Election:
    """Follows 3, elected at zxid 0x200000003 in epoch 2; the epoch is 3 now."""
    election = looking(sid, members, zxid=0x2_0000_0003, epoch=2, rounds=rounds)
    election.take_role(FOLLOWING, Vote(3, 0x2_0000_0003, 2, rounds))
    election.serve(3)
    return election


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


# Answers (election.md 3.4)


def test_a_voter_that_looks_is_answered_with_the_final_vote_and_its_round() -> None:
    """election.md 3.4 and 6.8: zxid and round of the decision, the epoch that serves now."""
    election = follower()
    effects = election.on_notification(1, note("looking", 1, zxid=99, epoch=9, round=8), 0)
    assert lines(effects) == ["to 1: following 3 (epoch 3, zxid 0x200000003), round 3"]
    assert (election.state, election.round) == (FOLLOWING, 3)


def test_before_the_role_is_established_answers_carry_the_old_epoch() -> None:
    """election.md 3.4 and 6.8, capture 19."""
    election = looking(3, THREE)
    election.take_role(LEADING, Vote(3, 0, 0, 1))
    asked = note("looking", 1)
    assert lines(election.on_notification(1, asked, 0)) == [
        "to 1: leading 3 (epoch 0, zxid 0x0), round 1"
    ]
    election.serve(1)
    assert lines(election.on_notification(1, asked, 0)) == [
        "to 1: leading 3 (epoch 1, zxid 0x0), round 1"
    ]


def test_who_has_no_vote_is_answered_with_the_present_round() -> None:
    """election.md 3.4 and 6.4: voters hear the round of the vote, others mine."""
    election = follower(members=WITH_OBSERVER)
    election.take_role(FOLLOWING, Vote(3, 0, -1, -1))  # named by a reconfiguration
    election.serve(4)
    nobody = note("looking", NOBODY, zxid=NOBODY, epoch=NOBODY)
    assert lines(election.on_notification(4, nobody, 0)) == [
        "to 4: following 3 (epoch 4, zxid 0x0), round 3"
    ]
    assert lines(election.on_notification(1, note("looking", 1), 0)) == [
        "to 1: following 3 (epoch 4, zxid 0x0), round -1"
    ]


def test_who_has_no_vote_is_answered_while_looking_and_never_counted() -> None:
    """election.md 3.4; A16: a server that only another configuration knows elects nobody."""
    election = looking(1, THREE)
    for sid in (4, 5, 6):
        effects = election.on_notification(sid, note("looking", 3, zxid=9), 0)
        assert lines(effects) == [f"to {sid}: looking 1 (epoch 0, zxid 0x0), round 1"]
    assert not election.votes
    assert election.vote.leader == 1


def test_a_round_is_not_taken_over_from_who_has_no_vote() -> None:
    """election.md 3.4: answered, and nothing else."""
    election = looking(1, THREE)
    election.on_notification(9, note("looking", 3, round=50), 0)
    assert election.round == 1


@pytest.mark.parametrize("state", ["following", "leading", "observing"])
def test_who_does_not_look_is_not_answered(state: str) -> None:
    """election.md 3.4. Ours: neither without a vote, or two would answer each other for ever."""
    for election in (looking(1, THREE), follower()):
        assert election.on_notification(3, note(state, 3), 0) == []
        assert election.on_notification(9, note(state, 3), 0) == []


def test_two_that_look_do_not_answer_the_same_to_the_same_at_once() -> None:
    """Ours; A16: each takes the other for a server without a vote, and answers are questions."""
    election = looking(1, THREE, rounds=3)
    asked = note("looking", NOBODY, round=5)
    assert len(election.on_notification(9, asked, 0)) == 1
    assert election.on_notification(9, asked, 99) == []
    assert len(election.on_notification(9, asked, 100)) == 1
    assert len(election.on_notification(9, note("looking", NOBODY, round=6), 101)) == 1
    assert len(election.on_notification(8, asked, 101)) == 1


def test_a_changed_answer_is_given_at_once() -> None:
    election = looking(1, THREE, rounds=3)
    asked = note("looking", 2, round=1)
    assert len(election.on_notification(2, asked, 0)) == 1
    election.on_notification(3, note("looking", 3, round=3, zxid=5), 1)
    assert lines(election.on_notification(2, asked, 2)) == [
        "to 2: looking 3 (epoch 0, zxid 0x5), round 3"
    ]


def test_questions_of_many_strangers_are_answered_from_bounded_memory() -> None:
    election = looking(1, THREE)
    for sid in range(10, 10 + 3 * ANSWERS_MAX):
        assert len(election.on_notification(sid, note("looking", NOBODY), 0)) == 1
        assert len(election._answered) <= ANSWERS_MAX  # type: ignore[attr-defined]


# Those who have decided (election.md 3.5)


def test_a_returning_server_follows_what_a_quorum_with_its_leader_says() -> None:
    """election.md 3.5 step 2 and 3.6, capture 14: from round 1 to the others' round 3."""
    election = looking(2, THREE)
    assert election.on_notification(1, note("following", 3, round=3, epoch=3), 0) == []
    effects = election.on_notification(3, note("leading", 3, round=3, epoch=3), 1)
    assert lines(effects) == ["elected 3 (epoch 3, zxid 0x0), round 3"]
    assert (election.state, election.round) == (FOLLOWING, 3)


def test_followers_alone_are_not_believed() -> None:
    """election.md 3.5 and 6.3: they may not have noticed yet that their leader is gone."""
    election = looking(5, FIVE)
    for sid in (2, 3, 4):
        assert election.on_notification(sid, note("following", 1, round=3), 0) == []
    assert election.state == LOOKING
    assert election.on_notification(1, note("leading", 1, round=3), 0) != []


def test_a_leader_alone_is_not_believed() -> None:
    """election.md 3.5: it may be cut off from its quorum."""
    election = looking(1, FIVE)
    assert election.on_notification(5, note("leading", 5, epoch=4, round=4), 0) == []
    assert election.on_notification(4, note("following", 5, epoch=4, round=4), 0) == []
    assert election.on_notification(3, note("following", 5, epoch=4, round=4), 0) != []


def test_followers_that_say_another_leader_leads_are_not_the_leader() -> None:
    """election.md 3.5: the leader's own message must say LEADING."""
    election = looking(1, FIVE)
    for sid in (3, 4, 5):
        election.on_notification(sid, note("following", 5, round=4), 0)
    assert election.state == LOOKING


def test_in_its_own_round_ones_own_vote_counts_with_the_leaders() -> None:
    """election.md 3.5 step 1: the leader decided in this round, and I had the same vote."""
    election = looking(1, THREE)
    election.on_notification(3, note("looking", 3), 0)
    effects = election.on_notification(3, note("leading", 3), 1)
    assert lines(effects) == ["elected 3 (epoch 0, zxid 0x0), round 1"]


def test_in_another_round_ones_own_vote_does_not_count() -> None:
    """election.md 3.5 step 2: that table holds what others have decided."""
    election = looking(1, THREE)
    election.on_notification(3, note("looking", 3), 0)
    assert election.on_notification(3, note("leading", 3, round=2), 1) == []
    assert election.state == LOOKING


def test_followers_of_me_are_believed_only_in_my_round() -> None:
    """election.md 3.5, leader check: after a restart they follow one who remembers nothing."""
    election = looking(3, THREE)
    for sid in (1, 2):
        assert election.on_notification(sid, note("following", 3, round=4, epoch=1), 0) == []
    assert election.state == LOOKING
    same = looking(3, FIVE)
    for sid in (1, 2):
        same.on_notification(sid, note("following", 3, epoch=1), 0)
    assert lines(same.on_notification(4, note("following", 3, epoch=1), 0)) == [
        "elected 3 (epoch 1, zxid 0x0), round 1"
    ]
    assert same.state == LEADING


def test_those_who_have_decided_agree_on_leader_and_epoch_alone() -> None:
    """election.md 3.5 and 6.3: they joined at different times (ZOOKEEPER-1732, 1818)."""
    election = looking(1, THREE)
    election.on_notification(2, note("following", 3, zxid=7, round=9, epoch=5), 0)
    effects = election.on_notification(3, note("leading", 3, zxid=2, round=4, epoch=5), 0)
    assert lines(effects) == ["elected 3 (epoch 5, zxid 0x2), round 4"]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (note("following", 3, 7, 9, 5), note("leading", 3, 2, 4, 5), True),
        (note("following", 3, 7, 9, 4), note("leading", 3, 7, 9, 5), False),
        (note("following", 2), note("leading", 3), False),
        (note("following", 3, 7, 9, 4, version=0), note("leading", 3, 2, 4, 5), True),
        (note("following", 3, 7, 9, 4, version=0), note("leading", 3, 2, 4, 5, version=0), False),
        (note("looking", 3, 7, 9, 5), note("leading", 3, 7, 9, 5), True),
        (note("looking", 3, 7, 9, 5), note("leading", 3, 2, 9, 5), False),
        (note("looking", 3, 7, 9, 5), note("leading", 3, 7, 8, 5), False),
        (note("looking", 3, 7, 9, 5), note("looking", 3, 7, 9, 4), False),
        (note("looking", 3, 7, 9, 5, version=0), note("leading", 3, 7, 9, 6), False),
    ],
)
def test_what_must_be_equal_depends_on_who_looks(a: object, b: object, expected: bool) -> None:
    """election.md 3.5 and 6.3."""
    assert agree(a, b) is expected  # type: ignore[arg-type]
    assert agree(b, a) is expected  # type: ignore[arg-type]


def test_a_leader_that_looks_again_is_not_followed_on_its_old_word() -> None:
    """Ours, from election.md 1.5: the newest message of a peer replaces the older one."""
    election = looking(1, FIVE)
    election.on_notification(5, note("leading", 5, epoch=1), 0)
    election.on_notification(5, note("looking", 5, zxid=3, epoch=1, round=2), 1)
    for sid in (2, 3, 4):
        election.on_notification(sid, note("following", 5, epoch=1), 2)
    assert election.state == LOOKING


def test_a_vote_is_withdrawn_when_its_sender_follows_in_another_round() -> None:
    """Ours, from election.md 1.5."""
    election = looking(3, FIVE, rounds=5)
    election.on_notification(1, note("looking", 3, round=5), 0)
    election.on_notification(2, note("looking", 3, round=5), 0)
    election.on_notification(2, note("following", 4, round=3, epoch=7), 1)
    election.on_time(200)
    assert election.on_time(400) == []
    assert election.state == LOOKING


def test_a_leader_named_by_a_reconfiguration_is_followed_and_the_round_is_kept() -> None:
    """election.md 3.4, zab.md 7: its votes say round -1, which is no round to count from."""
    election = looking(1, THREE, rounds=2)
    election.on_notification(2, note("following", 3, round=-1, epoch=5), 0)
    effects = election.on_notification(3, note("leading", 3, round=-1, epoch=5), 0)
    assert lines(effects) == ["elected 3 (epoch 5, zxid 0x0), round -1"]
    assert election.round == 2


def test_an_observer_finds_a_leader_that_is_established() -> None:
    """election.md 4: by the same search."""
    election = looking(4, WITH_OBSERVER)
    election.on_notification(1, note("following", 3, epoch=1), 0)
    election.on_notification(3, note("leading", 3, epoch=1), 0)
    assert (election.state, election.vote.leader) == (OBSERVING, 3)


def test_after_the_search_votes_change_nothing() -> None:
    """election.md 3.4, 3.6; A14: a voter that has decided does not change its mind."""
    election = follower()
    for state in ("looking", "following", "leading"):
        election.on_notification(1, note(state, 1, zxid=2**62, epoch=50, round=99), 0)
    assert (election.vote.leader, election.state, election.round) == (3, FOLLOWING, 3)
    assert election.on_unreachable(1, 0) == []
    assert election.on_time(10**9) == []


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


def test_a_pending_configuration_that_is_not_newer_counts_for_nothing() -> None:
    """election.md 3."""
    election = Election(1, majority(1, 2, 3, version=2))
    election.set_members(majority(1, 2, 3, version=2), majority(3, 4, 5, version=2))
    assert election.pending is None
    assert len(election.look(0, 0, 0)) == 2


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
