"""A leader whose voters have moved on does not wait for them (election.md 3, 4)."""

from ensemble.wire import peers
from ensemble.wire.peers import NOTIFICATION_VERSION, Notification, notification_frame
from ensemble.zab.backing import Backing
from ensemble.zab.configuration import Configuration
from ensemble.zab.peer import Peer
from tests.zab.hosts import TIMING, FakeHost, members, zxid

OLD = [zxid(1, 1), zxid(1, 2)]
ROUND = 3


def heard(leader: int, state: int = peers.LOOKING, round: int = ROUND) -> Notification:
    return Notification(state, leader, OLD[-1], round, 1, NOTIFICATION_VERSION, None)


def backing(voters: int = 3) -> Backing:
    return Backing(1, ROUND, Configuration(members(voters), None, False))


def test_those_who_are_not_heard_of_may_still_come() -> None:
    assert not backing().is_lost()


def test_one_of_three_that_moves_on_leaves_a_quorum_two_do_not() -> None:
    one = backing()
    one.on_notification(2, heard(3))
    assert not one.is_lost()
    one.on_notification(3, heard(3, peers.LEADING))
    assert one.is_lost()


def test_who_comes_back_counts_again() -> None:
    one = backing()
    for sid in (2, 3):
        one.on_notification(sid, heard(3))
    one.on_notification(2, heard(1, peers.FOLLOWING))
    assert not one.is_lost()


def test_a_vote_of_an_earlier_round_says_nothing() -> None:
    """The last message is sent again on a new connection (election.md 1.5)."""
    one = backing()
    for sid in (2, 3):
        one.on_notification(sid, heard(3, round=ROUND - 1))
    assert not one.is_lost()


def test_observers_and_strangers_take_nothing_away() -> None:
    one = backing()
    for sid in (7, 8, 9):
        one.on_notification(sid, heard(3))
    one.on_notification(2, heard(3, peers.OBSERVING))
    assert not one.is_lost()


def test_with_five_servers_three_have_to_move_on() -> None:
    one = backing(5)
    for sid in (2, 3):
        one.on_notification(sid, heard(5))
    assert not one.is_lost()
    one.on_notification(4, heard(5))
    assert one.is_lost()


def payload(n: Notification) -> bytes:
    return notification_frame(n)[4:]


def elected() -> Peer:
    """Server 2 of three, elected by 1; 3 was not there."""
    peer = Peer(FakeHost(OLD), 2, Configuration(members(3), None, False), TIMING, 1, 1)
    peer.now_ms = 1_000
    peer.start()
    peer.on_unreachable(3)
    peer.on_notification(1, payload(heard(2, round=peer.election.round)))
    assert peer.state == peers.LEADING
    return peer


def test_a_leader_in_waiting_goes_back_to_the_search_when_the_others_have_another() -> None:
    peer = elected()
    round = peer.election.round
    peer.on_notification(1, payload(heard(3, round=round)))
    assert peer.state == peers.LEADING, "3 may follow yet"
    peer.on_notification(3, payload(heard(3, round=round)))
    assert peer.leader is None
    peer.now_ms += 1_000
    peer.on_time()
    assert peer.state == peers.LOOKING
    assert peer.election.round == round + 1


def test_a_leader_in_waiting_stays_while_one_vote_is_still_its_own() -> None:
    peer = elected()
    peer.on_notification(3, payload(heard(3, round=peer.election.round)))
    assert peer.state == peers.LEADING
