"""The committed and the proposed configuration of a server (zab.md 7)."""

from ensemble.zab.configuration import Configuration
from ensemble.zab.members import Members
from tests.zab.hosts import FakeHost, members, zxid


def made(count: int, version: int) -> Members:
    return members(count).with_version(version)


V1, V2, V3 = zxid(1, 0), zxid(1, 7), zxid(1, 9)


def test_both_decide_while_one_is_proposed() -> None:
    configuration = Configuration(made(3, V1), None, True)
    assert configuration.is_quorum({1, 2})
    configuration.propose(FakeHost(), made(5, V2))
    assert not configuration.is_quorum({1, 2})
    assert not configuration.is_quorum({3, 4, 5})
    assert configuration.is_quorum({1, 2, 5})
    assert configuration.is_voter(5)
    assert not configuration.is_voter(6)
    assert configuration.latest().version == V2


def test_what_was_proposed_is_saved_once_and_committed_once() -> None:
    host = FakeHost()
    configuration = Configuration(made(3, V1), None, True)
    configuration.propose(host, made(5, V2))
    configuration.propose(host, made(5, V2))
    assert configuration.commit(host, made(5, V2))
    assert not configuration.commit(host, made(5, V2))
    assert host.read() == ["propose members 100000007", "use members 100000007"]
    assert configuration.proposed is None
    assert configuration.members.version == V2


def test_an_old_proposal_is_none_and_takes_the_known_one_away() -> None:
    """The leader's history lacks what this server has seen: it was not committed."""
    host = FakeHost()
    configuration = Configuration(made(3, V1), made(5, V2), True)
    configuration.propose(host, made(3, V1))
    configuration.propose(host, None)
    assert configuration.proposed is None
    assert host.read() == ["propose nothing"]


def test_a_file_from_before_the_commit_is_not_taken_for_a_proposal() -> None:
    assert Configuration(made(3, V2), made(5, V2), True).proposed is None
    assert Configuration(made(3, V2), made(5, V1), True).proposed is None


def test_a_commit_leaves_a_later_proposal() -> None:
    configuration = Configuration(made(3, V1), made(5, V3), True)
    assert configuration.commit(FakeHost(), made(4, V2))
    assert configuration.latest().version == V3


def test_a_leader_forgets_what_its_history_lacks() -> None:
    host = FakeHost()
    configuration = Configuration(made(3, V1), made(5, V2), True)
    configuration.drop_unlogged(host, V2, 1)
    configuration.drop_unlogged(host, V1, 2)
    assert configuration.proposed is not None
    configuration.drop_unlogged(host, V2 - 1, 1)
    assert configuration.proposed is None


def test_the_first_version_has_no_transaction_and_is_kept() -> None:
    configuration = Configuration(made(3, 0), made(3, V1), True)
    configuration.drop_unlogged(FakeHost(), 0, 1)
    assert configuration.latest().version == V1
