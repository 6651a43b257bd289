"""A reconfiguration on its way through a leader and its learners (zab.md 7)."""

import pytest

from ensemble.wire import peers
from ensemble.wire.peers import Packet
from ensemble.zab import leader as leaders
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Proposal
from ensemble.zab.leader import Leader
from ensemble.zab.learner import Learner
from ensemble.zab.members import Members, parse_members
from tests.zab.hosts import (
    TIMING,
    FakeHost,
    FakeLink,
    ack_epoch,
    describe,
    info,
    members,
    packet,
    zxid,
)

V1 = zxid(1, 0)


def of(text: str, version: int) -> Members:
    """`1 2 4o`: servers 1 and 2 vote, 4 observes."""
    lines = []
    for word in text.split():
        role = "observer" if word.endswith("o") else "participant"
        sid = word.removesuffix("o")
        lines.append(f"server.{sid}=h{sid}:1:2:{role}")
    return parse_members("\n".join([*lines, f"version={version:x}"]).encode())


class Host(FakeHost):
    """Transactions whose payload is a configuration bring it."""

    def check(self, proposal: Proposal) -> None:
        if proposal.payload.startswith(b"server."):
            proposal.members = parse_members(proposal.payload)


class Lead:
    """Server 1 leads, with followers by their ids; nothing is cumulative."""

    def __init__(self, first: Members, proposed: Members | None = None) -> None:
        self.host = Host([zxid(1, 1)])
        self.configuration = Configuration(first, proposed, True)
        self.now_ms = 0
        self.leader = Leader(self.host, 1, self.configuration, TIMING, 1, 1, zxid(1, 1), 0)
        self.links: dict[int, FakeLink] = {}
        self.next_link = 0

    def join(self, sid: int, type: int = peers.FOLLOWER_INFO, features: int = 0) -> FakeLink:
        self.next_link += 1
        link = FakeLink(self.next_link)
        self.leader.on_accepted(link, self.now_ms)
        self.links[sid] = link
        self.send(link, info(sid, 1, type, features))
        return link

    def promise(self, *sids: int) -> None:
        for sid in sids:
            self.send(self.links[sid], ack_epoch(zxid(1, 1), 1))

    def serve(self, *sids: int, features: int = 0) -> "Lead":
        for sid in sids:
            self.join(sid, features=features)
        self.promise(*sids)
        for sid in sids:
            self.ack(sid, zxid(self.leader.epoch, 0))
        self.take()
        self.host.read()
        return self

    def send(self, link: FakeLink, data: bytes) -> None:
        self.leader.on_bytes(link, data, self.now_ms)

    def ack(self, sid: int, zxid: int) -> None:
        self.send(self.links[sid], packet(peers.ACK, zxid))

    def take(self) -> dict[int, list[str]]:
        return {sid: link.said() for sid, link in self.links.items()}

    def packets(self, sid: int) -> list[Packet]:
        return self.links[sid].take()

    def propose(self, text: str = "") -> int:
        """A transaction, or the members in `text`; its zxid."""
        at = int(self.leader.next_zxid())
        payload = of(text, at).text() if text else b"txn"
        proposal = Proposal(at, payload)
        self.host.check(proposal)
        self.leader.propose(proposal, self.now_ms)
        return at

    def logged(self, zxid: int) -> None:
        self.leader.on_logged(zxid, self.now_ms)

    def close(self, sid: int) -> None:
        self.leader.on_link_closed(self.links.pop(sid), self.now_ms)


def test_the_first_configuration_gets_the_epoch_as_its_version() -> None:
    """Step 0, recording 19: by NEWLEADER, in force once a quorum has acknowledged it."""
    lead = Lead(members(3))
    for sid in (2, 3):
        lead.join(sid)
    lead.promise(2, 3)
    two = lead.packets(2)[-1]
    assert describe(two) == "NEWLEADER 2:0"
    assert two.data == members(3).with_version(zxid(2, 0)).text()
    diary = lead.host.read()
    assert "propose members 200000000" in diary
    lead.ack(2, zxid(2, 0))
    assert lead.host.read() == ["use members 200000000", "serve leading 2"]
    assert lead.leader.broadcast.members.version == zxid(2, 0)


def test_members_that_do_not_change_get_no_version() -> None:
    host = Host([zxid(1, 1)])
    Leader(host, 1, Configuration(members(1), None, False), TIMING, 1, 1, zxid(1, 1), 0)
    assert not [line for line in host.read() if "members" in line]


def test_a_proposal_behind_a_reconfiguration_takes_quorums_of_both() -> None:
    lead = Lead(of("1 2 3", V1)).serve(2, 3, 4, 5)
    first = lead.propose("1 2 3 4 5")
    second = lead.propose()
    assert lead.host.read()[0] == f"propose members {first:x}"
    lead.logged(second)
    lead.ack(4, first)
    lead.ack(5, second)
    assert lead.leader.broadcast.committed < first
    lead.ack(2, first)
    assert lead.leader.broadcast.committed == first
    lead.ack(2, second)
    assert lead.leader.broadcast.committed == second


def test_a_commit_says_who_leads_and_everybody_hears_of_it() -> None:
    """Steps 4 and 5: COMMITANDACTIVATE to followers, the transaction as well to observers."""
    lead = Lead(of("1 2 3", V1)).serve(2, 3)
    lead.join(9, peers.OBSERVER_INFO)
    lead.promise(9)
    lead.ack(9, zxid(2, 0))
    lead.take()
    at = lead.propose("1 2 3 9")
    lead.take()
    lead.logged(at)
    lead.ack(2, at)
    lead.ack(3, at)
    two, nine = lead.packets(2), lead.packets(9)
    assert [describe(each) for each in two] == [f"COMMITANDACTIVATE 2:{at & 0xFF}"]
    assert two[0].data == (1).to_bytes(8, "big")
    assert [describe(each) for each in nine] == [f"INFORMANDACTIVATE 2:{at & 0xFF}"]
    assert nine[0].data == (1).to_bytes(8, "big") + of("1 2 3 9", at).text()
    assert lead.host.read()[-2:] == [f"commit 2:{at & 0xFF}", f"use members {at:x}"]


def test_one_commit_for_many_does_not_repeat_the_reconfiguration() -> None:
    """Among our own servers COMMITANDACTIVATE stands for everything before it."""
    lead = Lead(of("1 2 3", V1)).serve(2, 3, features=peers.CUMULATIVE)
    first = lead.propose()
    second = lead.propose("1 2 3 4o")
    lead.logged(second)
    lead.take()
    lead.ack(2, second)
    assert lead.links[2].said() == [f"COMMITANDACTIVATE 2:{second & 0xFF}"]
    third = lead.propose()
    lead.logged(third)
    lead.take()
    lead.ack(3, third)
    assert lead.links[3].said() == [f"COMMIT 2:{third & 0xFF}"]
    assert first < second < third


def test_a_leader_that_is_removed_hands_over_and_goes_last() -> None:
    """Recording 24: nothing is ordered behind it; the learners end their links."""
    lead = Lead(of("1 2 3", V1)).serve(2, 3)
    at = lead.propose("2 3")
    assert not lead.leader.is_open
    lead.ack(3, at)
    lead.ack(2, at)
    two = lead.packets(2)[-1]
    assert two.data == (2).to_bytes(8, "big")
    lead.host.read()
    request = bytes(8) + (3).to_bytes(4, "big") + (1).to_bytes(4, "big")
    lead.send(lead.links[2], packet(peers.REQUEST, -1, request))
    assert lead.host.read() == []
    lead.leader.on_time(100)
    lead.close(2)
    assert lead.leader.resigned == ""
    lead.close(3)
    assert "gone to the next leader" in lead.leader.resigned
    assert lead.leader.next_leader == 2


def test_learners_that_do_not_go_are_waited_for_a_tick() -> None:
    lead = Lead(of("1 2 3", V1)).serve(2, 3)
    at = lead.propose("2 3")
    lead.ack(3, at)
    lead.ack(2, at)
    lead.leader.on_time(100)
    lead.leader.on_time(100 + int(TIMING.tick_ms) - 1)
    assert lead.leader.resigned == ""
    lead.leader.on_time(100 + int(TIMING.tick_ms))
    assert lead.leader.resigned != ""


def test_nobody_is_synchronized_while_a_reconfiguration_is_outstanding() -> None:
    """NEWLEADER's configuration would be the one of before."""
    lead = Lead(of("1 2 3", V1)).serve(2, 3)
    at = lead.propose("1 2 3 4o")
    late = lead.join(4)
    lead.promise(4)
    assert late.said() == ["LEADERINFO 2:0"]
    lead.logged(at)
    lead.ack(2, at)
    sent = late.take()
    assert describe(sent[-1]) == "NEWLEADER 2:0"
    assert sent[-1].data == of("1 2 3 4o", at).text()


def test_a_voter_that_changes_its_role_is_waited_for() -> None:
    """It ends its link and connects anew: that is no lost quorum."""
    lead = Lead(of("1 2 3", V1)).serve(2, 3)
    lead.join(4, peers.OBSERVER_INFO)
    lead.promise(4)
    lead.ack(4, zxid(2, 0))
    at = lead.propose("1 4 2o")
    lead.logged(at)
    lead.ack(2, at)
    assert lead.leader.broadcast.committed < at, "4 has no vote yet, and of 1 and 4 both are needed"


def test_a_promoted_observer_counts_for_a_while_before_it_follows() -> None:
    lead = Lead(of("1 2", V1)).serve(2)
    lead.join(4, peers.OBSERVER_INFO)
    lead.promise(4)
    lead.ack(4, zxid(2, 0))
    at = lead.propose("1 2 4")
    lead.logged(at)
    lead.ack(2, at)
    assert lead.leader.ready() == {1, 2}
    lead.close(4)
    lead.close(2)
    assert lead.leader.resigned == "", "1 and 4 are a quorum"
    lead.leader.on_time(int(TIMING.sync_ms()))
    assert "no quorum" in lead.leader.resigned


def test_a_learner_that_knows_what_is_only_proposed_here_is_let_in() -> None:
    """It was there when it was committed; this server was not. A later one is refused."""
    lead = Lead(of("1 2 3", V1), of("1 2 3 4", zxid(1, 1)))
    hello = peers.encode_learner_info(
        peers.LearnerInfo(2, peers.PROTOCOL_VERSION, zxid(1, 1), 0), zxid(1, 0)
    )
    link = FakeLink(1)
    lead.leader.on_accepted(link, 0)
    lead.send(link, packet(peers.FOLLOWER_INFO, zxid(1, 0), hello))
    assert link.closed == ""
    hello = peers.encode_learner_info(
        peers.LearnerInfo(3, peers.PROTOCOL_VERSION, zxid(1, 2), 0), zxid(1, 0)
    )
    link = FakeLink(2)
    lead.leader.on_accepted(link, 0)
    lead.send(link, packet(peers.FOLLOWER_INFO, zxid(1, 0), hello))
    assert "knows configuration 0x100000002" in link.closed


def test_a_reconfiguration_in_the_log_is_completed_by_the_next_leader() -> None:
    """Step 8: it takes quorums of both in every phase, and is in force before clients come."""
    lead = Lead(of("1 2 3", V1), of("1 4 5", zxid(1, 1)))
    lead.join(2)
    assert lead.leader.phase == leaders.DISCOVERY
    lead.join(4)
    assert lead.leader.phase == leaders.EPOCH_FIXED
    lead.promise(2, 4)
    assert lead.packets(2)[-1].data == of("1 4 5", zxid(1, 1)).text()
    lead.host.read()
    lead.ack(2, zxid(2, 0))
    assert lead.host.read() == []
    lead.ack(4, zxid(2, 0))
    assert lead.host.read() == ["use members 100000001", "serve leading 2"]


def test_who_is_out_of_what_it_completes_does_not_serve() -> None:
    lead = Lead(of("1 2 3", V1), of("2 3", zxid(1, 1)))
    for sid in (2, 3):
        lead.join(sid)
    lead.promise(2, 3)
    for sid in (2, 3):
        lead.ack(sid, zxid(2, 0))
    assert "serve leading 2" not in lead.host.read()
    assert lead.links[2].said()[-1] == "UPTODATE"
    lead.leader.on_time(1)
    lead.close(2)
    lead.close(3)
    assert lead.leader.resigned
    assert lead.leader.next_leader == -1, "an election follows"


def test_an_observer_that_got_a_vote_counts_before_it_knows() -> None:
    """Else nobody could complete a reconfiguration that one of its voters has not heard of."""
    lead = Lead(of("1 2 3o", V1), of("1 3", zxid(1, 1)))
    lead.join(2)
    lead.join(3, peers.OBSERVER_INFO)
    lead.promise(2, 3)
    for sid in (2, 3):
        lead.ack(sid, zxid(2, 0))
    assert lead.leader.phase == leaders.SERVING


# Learners


class Learn:
    """Server 2 learns from server 3 of voters 1, 2, 3."""

    def __init__(self, first: Members, observer: bool = False, enabled: bool = True) -> None:
        self.host = Host([zxid(1, 1)])
        self.configuration = Configuration(first, None, enabled)
        self.learner = Learner(
            self.host,
            2,
            self.configuration,
            TIMING,
            3,
            observer,
            1,
            1,
            zxid(1, 1),
            [],
            False,
            0,
        )
        self.link = FakeLink(1)
        self.learner.on_connected(self.link, 0)
        self.get(packet(peers.LEADER_INFO, zxid(2, 0), (0x10000).to_bytes(4, "big")))
        self.get(packet(peers.DIFF, zxid(1, 1)))

    def get(self, data: bytes) -> None:
        self.learner.on_bytes(data, 0)

    def new_leader(self, text: Members) -> None:
        self.get(packet(peers.NEW_LEADER, zxid(2, 0), text.text()))

    def serve(self, text: Members) -> "Learn":
        self.new_leader(text)
        self.get(packet(peers.UP_TO_DATE, -1))
        assert not self.learner.failed
        self.host.read()
        self.link.take()
        return self

    def commit(self, text: str, designated: int, counter: int = 1) -> None:
        at = zxid(2, counter)
        self.get(packet(peers.PROPOSAL, at, of(text, at).text()))
        self.get(packet(peers.COMMIT_AND_ACTIVATE, at, designated.to_bytes(8, "big")))


def test_what_newleader_says_is_known_before_it_is_acknowledged() -> None:
    learn = Learn(of("1 2 3", V1))
    learn.new_leader(of("1 2 3 4", zxid(1, 1)))
    assert learn.host.read()[-2:] == ["propose members 100000001", "currentEpoch 2"]
    assert learn.configuration.members.version == V1
    learn.get(packet(peers.UP_TO_DATE, -1))
    assert learn.host.read() == ["use members 100000001", "serve following 2"]


def test_what_is_still_outstanding_is_not_in_force_with_uptodate() -> None:
    """Apache's leaders name it in NEWLEADER all the same; its commit may never come."""
    learn = Learn(of("1 2 3", V1))
    at = zxid(2, 1)
    learn.get(packet(peers.PROPOSAL, at, of("1 2 3 4", at).text()))
    learn.new_leader(of("1 2 3 4", at))
    learn.get(packet(peers.UP_TO_DATE, -1))
    assert learn.configuration.members.version == V1
    assert learn.configuration.latest().version == at
    learn.get(packet(peers.COMMIT, at))
    assert learn.configuration.members.version == at


def test_an_observer_does_not_go_by_what_it_has_no_transaction_of() -> None:
    learn = Learn(of("1 3 2o", V1), observer=True)
    learn.new_leader(of("1 3 2o 4", zxid(2, 1)))
    learn.get(packet(peers.UP_TO_DATE, -1))
    assert learn.configuration.members.version == V1


def test_a_stale_proposal_is_forgotten_with_newleader() -> None:
    """What this server has seen last was never committed; the leader's history lacks it."""
    learn = Learn(of("1 2 3", V1))
    learn.configuration.propose(learn.host, of("1 2 3 4", zxid(1, 5)))
    learn.host.read()
    learn.new_leader(of("1 2 3", V1))
    assert learn.host.read()[0] == "propose nothing"
    assert learn.configuration.proposed is None


def test_a_configuration_is_saved_before_its_proposal_is_logged() -> None:
    """Zab.md 10: else its acknowledgement would count for what a restart forgets."""
    learn = Learn(of("1 2 3", V1)).serve(of("1 2 3", V1))
    at = zxid(2, 1)
    learn.get(packet(peers.PROPOSAL, at, of("1 2 3 4", at).text()))
    assert learn.host.read() == [f"propose members {at:x}", "append 2:1"]


def test_a_commit_without_consequences_for_this_server_lets_it_stay() -> None:
    learn = Learn(of("1 2 3", V1)).serve(of("1 2 3", V1))
    learn.commit("1 2 3 4", 3)
    assert not learn.learner.failed
    assert learn.host.read()[-2:] == ["commit 2:1", "use members 200000001"]


@pytest.mark.parametrize(
    ("text", "designated", "then"),
    [
        ("1 2", 1, 1),  # recording 24
        ("1 2", 2, 2),  # it leads itself
        ("1 3 2o", 3, 3),  # it observes from now on
        ("1 2o", 1, 1),
    ],
)
def test_another_role_or_leader_is_taken_without_an_election(
    text: str, designated: int, then: int
) -> None:
    learn = Learn(of("1 2 3", V1)).serve(of("1 2 3", V1))
    learn.commit(text, designated)
    assert learn.learner.failed
    assert learn.learner.next_leader == then
    assert learn.host.read()[-2:] == ["commit 2:1", "use members 200000001"]


def test_a_removed_follower_goes_on_learning() -> None:
    """Step 6: who is in no configuration is a follower without a vote."""
    learn = Learn(of("1 2 3", V1)).serve(of("1 2 3", V1))
    learn.commit("1 3", 3)
    assert not learn.learner.failed


def test_an_observer_becomes_a_follower() -> None:
    """Recording 23."""
    learn = Learn(of("1 3 2o", V1), observer=True).serve(of("1 3 2o", V1))
    at = zxid(2, 1)
    data = (3).to_bytes(8, "big") + of("1 2 3", at).text()
    learn.get(packet(peers.INFORM_AND_ACTIVATE, at, data))
    assert learn.learner.next_leader == 3
    assert learn.host.read() == [
        f"propose members {at:x}",
        "append 2:1",
        "commit 2:1",
        f"use members {at:x}",
    ]


def test_a_plain_commit_activates_too_and_a_lost_leader_means_an_election() -> None:
    """Apache's leaders send one to a learner that is being synchronized."""
    learn = Learn(of("1 2 3", V1)).serve(of("1 2 3", V1))
    at = zxid(2, 1)
    learn.get(packet(peers.PROPOSAL, at, of("1 2", at).text()))
    learn.get(packet(peers.COMMIT, at))
    assert "does not lead in the new configuration" in learn.learner.failed
    assert learn.learner.next_leader == -1


def test_a_commit_that_names_a_leader_before_uptodate_counts_then() -> None:
    learn = Learn(of("1 2 3", V1))
    learn.new_leader(of("1 2 3", V1))
    learn.commit("1 2", 1)
    assert not learn.learner.failed
    learn.get(packet(peers.UP_TO_DATE, -1))
    assert learn.learner.next_leader == 1


def test_what_uptodate_changes_for_this_server_ends_its_role_before_it_serves() -> None:
    """And what is pending then was not logged: it is no part of its history."""
    learn = Learn(of("1 2 3", V1))
    learn.new_leader(of("1 3 2o", zxid(1, 1)))
    learn.get(packet(peers.PROPOSAL, zxid(2, 1), b"txn"))
    learn.get(packet(peers.UP_TO_DATE, -1))
    assert learn.learner.next_leader == 3
    diary = learn.host.read()
    assert "append 2:1" not in diary
    assert "serve following 2" not in diary
    assert learn.learner.stage != 7


def test_members_that_do_not_change_stay_whatever_the_leader_says() -> None:
    learn = Learn(of("1 2 3", 0), enabled=False).serve(of("1 2 3 4", zxid(1, 1)))
    learn.commit("1 2", 1)
    assert not learn.learner.failed
    assert learn.configuration.members.version == 0


@pytest.mark.parametrize("type", [peers.COMMIT_AND_ACTIVATE, peers.INFORM_AND_ACTIVATE])
def test_an_activation_without_a_leader_is_an_error(type: int) -> None:
    learn = Learn(of("1 2 3", V1)).serve(of("1 2 3", V1))
    learn.get(packet(type, zxid(2, 1), b"1234567"))
    assert "without a leader" in learn.learner.failed


def test_a_newleader_whose_configuration_cannot_be_read_is_an_error() -> None:
    learn = Learn(of("1 2 3", V1))
    learn.get(packet(peers.NEW_LEADER, zxid(2, 0), b"server.1=junk"))
    assert "the configuration in NEWLEADER: line 1" in learn.learner.failed
