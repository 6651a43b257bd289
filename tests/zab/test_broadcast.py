"""Broadcast: what a quorum has on its disks is committed, in order and without a gap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import ProtocolError
from ensemble.zab.broadcast import Broadcast
from ensemble.zab.host import Proposal
from tests.zab.hosts import members, zxid

BASE = zxid(7, 0)


def with_proposals(count: int, voters: int = 3, extra: str = "") -> Broadcast:
    broadcast = Broadcast(BASE, members(voters, extra=extra))
    for n in range(1, count + 1):
        broadcast.propose(Proposal(BASE + n, b""))
    return broadcast


def commits(broadcast: Broadcast) -> list[int]:
    found = []
    while (proposal := broadcast.next_committed()) is not None:
        found.append(proposal.zxid - BASE)
    return found


def test_a_commit_waits_for_a_quorum_of_disks() -> None:
    """Zab.md 5.1: the leader's own disk is one voter like the others."""
    broadcast = with_proposals(1)
    assert commits(broadcast) == []
    broadcast.on_ack(3, BASE + 1)
    assert commits(broadcast) == []
    broadcast.on_ack(3, BASE + 1)  # said twice, it is still one server
    assert commits(broadcast) == []
    broadcast.on_ack(1, BASE + 1)
    assert commits(broadcast) == [1]


def test_two_followers_may_commit_before_the_leaders_own_disk() -> None:
    broadcast = with_proposals(2)
    broadcast.on_ack(1, BASE + 2)
    broadcast.on_ack(2, BASE + 1)
    assert commits(broadcast) == [1]


def test_acks_of_strangers_do_not_count() -> None:
    """Observers and servers of no configuration decide nothing."""
    broadcast = with_proposals(1)
    for sid in (4, 5, 6):
        broadcast.on_ack(sid, BASE + 1)
    broadcast.on_ack(1, BASE + 1)
    assert commits(broadcast) == []


def test_what_was_never_proposed_cannot_be_acknowledged() -> None:
    with pytest.raises(ProtocolError, match="past 0x700000001"):
        with_proposals(1).on_ack(2, BASE + 2)


def test_a_server_that_left_counts_again_only_when_it_acknowledges_again() -> None:
    broadcast = with_proposals(1)
    broadcast.on_ack(2, BASE + 1)
    broadcast.forget(2)
    broadcast.on_ack(1, BASE + 1)
    assert commits(broadcast) == []


def test_groups_decide_by_weight() -> None:
    """Election.md 5: more than half of the groups, each by more than half of its weight."""
    extra = "group.1=1:2:3 group.2=4:5:6 group.3=7:8:9"
    broadcast = with_proposals(1, voters=9, extra=extra)
    for sid in (1, 2, 3, 4):
        broadcast.on_ack(sid, BASE + 1)
    assert commits(broadcast) == []
    broadcast.on_ack(5, BASE + 1)
    assert commits(broadcast) == [1]


def test_a_proposed_configuration_takes_a_quorum_of_both_f20() -> None:
    """Zab.md 5.1: from the reconfiguration's own proposal on, old and new must agree."""
    broadcast = with_proposals(1)
    broadcast.propose_members(members(5), BASE + 2)
    broadcast.propose(Proposal(BASE + 2, b""))
    broadcast.on_ack(1, BASE + 2)
    broadcast.on_ack(2, BASE + 2)
    assert commits(broadcast) == [1]
    broadcast.on_ack(5, BASE + 2)
    assert commits(broadcast) == [2]


@given(
    st.sampled_from([1, 3, 5]),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), max_size=40),
)
def test_commits_are_a_gapless_prefix_that_a_majority_stores(
    voters: int, acks: list[tuple[int, int]]
) -> None:
    """Total order (I5), durability (I9): whatever acks arrive."""
    broadcast = with_proposals(6, voters)
    stored: dict[int, int] = {}
    seen: list[int] = []
    for sid, count in acks:
        broadcast.on_ack(sid, BASE + count)
        stored[sid] = max(stored.get(sid, 0), count)
        seen += commits(broadcast)
        holders = [n for n, last in stored.items() if n <= voters and last >= len(seen)]
        assert not seen or len(holders) * 2 > voters
    assert seen == list(range(1, len(seen) + 1))
