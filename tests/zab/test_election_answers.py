"""Elections: who is answered what, and when a server believes those who have decided."""

import pytest
from voting import FIVE, THREE, WITH_OBSERVER, follower, lines, looking, note

from ensemble.wire.peers import FOLLOWING, LEADING, LOOKING, OBSERVING
from ensemble.zab.election import ANSWERS_MAX, Vote
from ensemble.zab.votes import NOBODY, agree

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


def test_a_vote_and_a_decision_of_another_round_do_not_add_up() -> None:
    """election.md 3.5: two tables; each holds two of five here, together three."""
    election = looking(1, FIVE)
    election.on_notification(3, note("looking", 3), 0)
    election.on_notification(2, note("following", 3, round=9), 0)
    assert election.on_notification(3, note("leading", 3), 1) == []
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
