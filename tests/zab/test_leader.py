"""A leader, from the first learner to broadcast (zab.md 3 to 6)."""

from ensemble.wire import peers
from ensemble.wire.peers import CUMULATIVE, SEALED
from ensemble.wire.sealing import seal
from ensemble.zab import leader as leaders
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Proposal
from ensemble.zab.leader import Leader
from tests.zab.hosts import (
    TIMING,
    FakeHost,
    FakeLink,
    ack_epoch,
    info,
    members,
    packet,
    zxid,
)

OLD = [zxid(1, 1), zxid(1, 2)]


class Scene:
    """A leader of three voters (1 is itself) with as many learners as a test wants."""

    def __init__(
        self, history: list[int] | None = None, voters: int = 3, accepted: int = 1, current: int = 1
    ) -> None:
        self.host = FakeHost(OLD if history is None else history)
        last = self.host.last_zxid()
        self.now_ms = 0
        self.leader = Leader(
            self.host,
            1,
            Configuration(members(voters, observers=(9,)), None, False),
            TIMING,
            accepted,
            current,
            last,
            0,
        )
        self.links = 0

    def join(self, hello: bytes) -> FakeLink:
        self.links += 1
        link = FakeLink(self.links)
        self.leader.on_accepted(link, self.now_ms)
        self.send(link, hello)
        return link

    def send(self, link: FakeLink, data: bytes) -> None:
        self.leader.on_bytes(link, data, self.now_ms)

    def serve(self, features: int = 0) -> tuple[FakeLink, FakeLink]:
        """Two followers with the leader's history, and clients served."""
        two, three = (self.join(info(sid, 1, features=features)) for sid in (2, 3))
        for link in (two, three):
            self.send(link, ack_epoch(self.host.last_zxid(), 1))
        for link in (two, three):
            self.ack(link, 0)
            link.take()
        self.host.read()
        assert self.leader.phase == leaders.SERVING
        return two, three

    def ack(self, link: FakeLink, counter: int) -> None:
        self.send(link, packet(peers.ACK, zxid(self.leader.epoch, counter)))

    def propose(self, counter: int) -> None:
        zx = self.leader.next_zxid()
        assert zx == zxid(self.leader.epoch, counter)
        self.leader.propose(Proposal(zx, b"txn"), self.now_ms)


def test_the_new_epoch_is_larger_than_any_that_was_heard_of() -> None:
    """Zab.md 3: observers' and non-voters' acceptedEpochs count for the number, not the quorum."""
    scene = Scene()
    observer = scene.join(info(9, 6, peers.OBSERVER_INFO))
    assert observer.take() == []
    follower = scene.join(info(2, 3))
    assert follower.said() == ["LEADERINFO 7:0"]
    assert observer.said() == ["LEADERINFO 7:0"]


def test_the_epoch_is_on_the_disk_before_anybody_hears_of_it() -> None:
    """Zab.md 10."""
    scene = Scene()
    link = FakeLink(1)
    scene.leader.on_accepted(link, 0)
    seen: list[int] = []
    scene.host.save_accepted_epoch = (  # type: ignore[method-assign]
        lambda epoch: seen.append(len(link.out))
    )
    scene.send(link, info(2, 1))
    assert seen == [0]


def test_who_joins_late_gets_the_same_epoch() -> None:
    scene = Scene()
    scene.join(info(2, 1))
    assert scene.join(info(3, 1)).said() == ["LEADERINFO 2:0"]


def test_the_first_packet_must_introduce_the_learner() -> None:
    scene = Scene()
    link = scene.join(packet(peers.ACK, 0))
    assert "ACK as the first packet" in link.closed


def test_a_learner_whose_history_is_ahead_is_refused_a11() -> None:
    """The leader should not have been elected: it may not lead this server."""
    scene = Scene()
    link = scene.join(info(2, 1))
    scene.send(link, ack_epoch(zxid(1, 3), 1))
    assert "ahead of this one" in link.closed
    link = scene.join(info(3, 1))
    scene.send(link, ack_epoch(zxid(0, 9), 2))
    assert "ahead of this one" in link.closed


def test_the_current_epoch_is_stored_when_a_quorum_has_promised() -> None:
    scene = Scene(voters=5)
    links = [scene.join(info(sid, 1)) for sid in (2, 3)]
    scene.send(links[0], ack_epoch(OLD[-1], 1))
    assert "currentEpoch 2" not in scene.host.read()
    scene.send(links[1], ack_epoch(OLD[0], 1))
    assert "currentEpoch 2" in scene.host.read()
    assert links[0].said() == ["LEADERINFO 2:0", "DIFF 1:2", "NEWLEADER 2:0"]
    assert links[1].said() == [
        "LEADERINFO 2:0",
        "DIFF 1:2",
        "PROPOSAL 1:2",
        "COMMIT 1:2",
        "NEWLEADER 2:0",
    ]


def test_a_promise_made_before_is_no_vote_but_is_served() -> None:
    """ACKEPOCH with -1 (zab.md 3): synchronized, not counted."""
    scene = Scene()
    link = scene.join(info(2, 1))
    scene.send(link, ack_epoch(OLD[-1], -1))
    assert scene.leader.phase == leaders.EPOCH_FIXED
    other = scene.join(info(3, 1))
    scene.send(other, ack_epoch(OLD[-1], 1))
    assert scene.leader.phase == leaders.ESTABLISHED
    assert link.said()[-1] == "NEWLEADER 2:0"


def test_an_empty_server_does_not_count_where_there_is_history_f8() -> None:
    """It may have lost what it had acknowledged (I9), however often it has promised since."""
    scene = Scene()
    for accepted in (0, 1):
        empty = scene.join(info(2, accepted))
        scene.send(empty, ack_epoch(0, 0))
        assert scene.leader.phase == leaders.EPOCH_FIXED
    other = scene.join(info(3, 1))
    scene.send(other, ack_epoch(OLD[0], 1))
    assert scene.leader.phase == leaders.ESTABLISHED
    # It gets everything like any other, and counts once it has stored that.
    assert empty.said() == ["LEADERINFO 2:0", "SNAP 1:2", "NEWLEADER 2:0"]
    scene.ack(empty, 0)
    assert scene.leader.phase == leaders.SERVING


def test_empty_servers_count_in_a_new_ensemble() -> None:
    """Also around the data of a server that stood alone: no epoch has a transaction yet."""
    for history in ([], [zxid(0, 7)]):
        for current in (0, 1):  # a leader that fell before anybody had stored its epoch
            scene = Scene(history, accepted=current, current=current)
            scene.send(scene.join(info(2, 0)), ack_epoch(0, 0))
            assert scene.leader.phase == leaders.ESTABLISHED


def test_nobody_is_served_before_a_quorum_has_stored_the_history() -> None:
    """Zab.md 4.6: UPTODATE goes to all who wait, once the leader serves."""
    scene = Scene(voters=5)
    links = [scene.join(info(sid, 1)) for sid in (2, 3)]
    for link in links:
        scene.send(link, ack_epoch(OLD[-1], 1))
    for link in links:
        link.take()
    scene.ack(links[0], 0)
    assert links[0].take() == []
    scene.ack(links[1], 0)
    assert scene.host.read()[-1] == "serve leading 2"
    assert links[0].said() == ["UPTODATE"]
    assert links[1].said() == ["UPTODATE"]


def test_4685_an_ack_before_that_of_newleader_harms_nobody_a3() -> None:
    scene = Scene()
    link = scene.join(info(2, 1))
    scene.send(link, ack_epoch(OLD[-1], 1))
    scene.send(link, packet(peers.ACK, zxid(2, 1)))
    assert link.closed == ""
    scene.ack(link, 0)
    assert scene.leader.phase == leaders.SERVING


def test_3104_who_joins_in_the_middle_gets_everything_in_order_a10() -> None:
    """History, what is outstanding, NEWLEADER, and then what comes live: nothing twice or lost."""
    scene = Scene()
    two, _ = scene.serve()
    for counter in (1, 2):
        scene.propose(counter)
    scene.ack(two, 1)
    scene.leader.on_logged(zxid(2, 1), scene.now_ms)
    scene.host.read()
    late = scene.join(info(9, 1, peers.OBSERVER_INFO))
    again = scene.join(info(3, 2))
    for link in (late, again):
        scene.send(link, ack_epoch(OLD[-1], 1))
    scene.propose(3)
    assert late.said() == [
        "LEADERINFO 2:0",
        "DIFF 2:1",
        "PROPOSAL 2:1",
        "COMMIT 2:1",
        "NEWLEADER 2:0",
    ]
    assert again.said() == [
        "LEADERINFO 2:0",
        "DIFF 2:1",
        "PROPOSAL 2:1",
        "COMMIT 2:1",
        "PROPOSAL 2:2",
        "NEWLEADER 2:0",
        "PROPOSAL 2:3",
    ]


def test_commits_go_out_one_by_one_to_apaches_servers_and_in_one_to_ours() -> None:
    for features, said in ((0, ["COMMIT 2:1", "COMMIT 2:2"]), (CUMULATIVE, ["COMMIT 2:2"])):
        scene = Scene()
        two, three = scene.serve(features)
        for counter in (1, 2):
            scene.propose(counter)
            two.take(), three.take()
        scene.leader.on_logged(zxid(2, 2), scene.now_ms)
        scene.ack(two, 2)
        assert scene.host.read()[-2:] == ["commit 2:1", "commit 2:2"]
        assert two.said() == said
        assert three.said() == said


def test_observers_hear_of_a_transaction_when_it_is_committed() -> None:
    scene = Scene()
    two, _ = scene.serve()
    observer = scene.join(info(9, 1, peers.OBSERVER_INFO))
    scene.send(observer, ack_epoch(OLD[-1], 1))
    scene.ack(observer, 0)
    observer.take()
    scene.propose(1)
    scene.ack(observer, 1)
    assert observer.take() == []
    scene.ack(two, 1)
    scene.leader.on_logged(zxid(2, 1), scene.now_ms)
    assert observer.said() == ["INFORM 2:1"]


def test_a22_a_sync_waits_until_a_quorum_has_confirmed_the_leader() -> None:
    """A leader that was paused may have been replaced meanwhile."""
    scene = Scene()
    two, three = scene.serve()
    scene.leader.sync(1, 7)
    scene.leader.end_turn()
    assert two.said() == three.said() == ["PING 2:0"]
    assert "synced" not in scene.host.read()
    scene.send(two, packet(peers.PING, zxid(2, 0), b""))
    assert "synced" in scene.host.read()


def test_a_sync_also_waits_for_what_was_proposed_before_it() -> None:
    scene = Scene()
    two, _ = scene.serve()
    scene.propose(1)
    scene.leader.sync(2, 7)
    scene.leader.end_turn()
    scene.send(two, packet(peers.PING, zxid(2, 0), b""))
    assert "SYNC 0:0" not in two.said()
    scene.leader.on_logged(zxid(2, 1), scene.now_ms)
    scene.ack(two, 1)
    assert two.said() == ["COMMIT 2:1", "SYNC 0:0"]


def test_a_sync_ends_with_the_connection_that_asked_for_it() -> None:
    """Its answer on the next connection would be taken for that of a later sync (A5)."""
    scene = Scene()
    two, three = scene.serve()
    scene.leader.sync(2, 7)
    scene.leader.end_turn()
    scene.leader.on_link_closed(two, scene.now_ms)
    again = scene.join(info(2, 2))
    scene.send(again, ack_epoch(scene.host.last_zxid(), 2))
    scene.ack(again, 0)
    again.said()
    scene.send(three, packet(peers.PING, zxid(2, 0), b""))
    assert "SYNC 0:0" not in again.said()


def test_an_answer_to_no_ping_is_refused() -> None:
    """It would confirm a leader that nobody asked about."""
    scene = Scene()
    two, _ = scene.serve()
    scene.send(two, packet(peers.PING, zxid(2, 0), b""))
    assert "was not sent" in two.closed


def test_a18_a_follower_that_acknowledges_nothing_is_cut() -> None:
    scene = Scene()
    two, three = scene.serve()
    scene.propose(1)
    scene.leader.on_logged(zxid(2, 1), scene.now_ms)
    for second in range(1, 6):
        scene.now_ms = second * 1_000
        for link in (two, three):
            scene.send(link, packet(peers.PING, zxid(2, 0), b"")) if second > 1 else None
        scene.ack(three, 1)
        scene.leader.on_time(scene.now_ms)
    assert "no acknowledgement within 5000 ms" in two.closed
    assert three.closed == ""


def test_a_silent_follower_is_cut_and_without_a_quorum_nobody_leads() -> None:
    """I20, F12: the old leader steps down within syncLimit."""
    scene = Scene()
    two, three = scene.serve()
    scene.now_ms = 5_001
    scene.leader.on_time(scene.now_ms)
    assert "silent" in two.closed
    assert "silent" in three.closed
    assert "no quorum" in scene.leader.resigned


def test_a_lost_link_that_leaves_no_quorum_ends_the_role_at_once() -> None:
    scene = Scene()
    two, three = scene.serve()
    scene.leader.on_link_closed(two, 0)
    assert scene.leader.resigned == ""
    scene.leader.on_link_closed(three, 0)
    assert "only servers [1] are left" in scene.leader.resigned


def test_each_phase_has_its_time() -> None:
    for steps, waited in ((0, "FOLLOWERINFO"), (1, "ACKEPOCH"), (2, "ACK of NEWLEADER")):
        scene = Scene()
        if steps >= 1:
            link = scene.join(info(2, 1))
        if steps >= 2:
            scene.send(link, ack_epoch(OLD[-1], 1))
        scene.leader.on_time(9_999)
        assert scene.leader.resigned == ""
        scene.leader.on_time(10_000)
        assert f"no quorum of {waited} within 10000 ms" in scene.leader.resigned


def test_a13_an_epoch_ends_before_its_zxids_do_f22() -> None:
    scene = Scene()
    scene.serve()
    scene.leader.broadcast.committed = zxid(2, 0xFFFFFFFD)
    scene.propose(0xFFFFFFFE)
    assert "no zxids left" in scene.leader.resigned


def test_a_voter_with_a_later_promise_makes_the_leader_step_down_f21() -> None:
    """It will never follow this epoch; an election gives all of them a later one."""
    scene = Scene()
    scene.serve()
    scene.join(info(3, 5))
    assert "has accepted epoch 5" in scene.leader.resigned


def test_a_connection_replaces_the_one_before_it_f15() -> None:
    scene = Scene()
    two, _ = scene.serve()
    scene.join(info(2, 2))
    assert "connected again" in two.closed
    scene.ack(two, 1)  # what the old one still brings is nobody's


def test_a_learner_that_says_it_is_the_leader_is_refused() -> None:
    assert "is 1, too" in Scene().join(info(1, 1)).closed


def test_a_learner_whose_bytes_were_changed_on_the_way_is_cut_f24() -> None:
    """Sealed behind LEADERINFO: nothing of a piece with another sum is used."""
    scene = Scene()
    link = scene.join(info(2, 1, features=SEALED))
    assert link.sealed_from == len(link.out) > 0
    promise = seal(ack_epoch(OLD[-1], 1))
    scene.send(link, promise[:-1] + b"\7")
    assert "changed on the way" in link.closed
    assert scene.leader.phase == leaders.EPOCH_FIXED
    again = scene.join(info(2, 1, features=SEALED))
    scene.send(again, promise[:9])
    scene.send(again, promise[9:])
    assert scene.leader.phase == leaders.ESTABLISHED


def test_apaches_learners_speak_in_the_open() -> None:
    scene = Scene()
    link = scene.join(info(2, 1))
    assert link.sealed_from < 0
    scene.send(link, ack_epoch(OLD[-1], 1))
    assert scene.leader.phase == leaders.ESTABLISHED
