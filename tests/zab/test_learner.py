"""A learner, from FOLLOWERINFO to the last commit: what is durable when (zab.md 4.3)."""

import json
from pathlib import Path

import pytest

from ensemble.wire import peers
from ensemble.wire.peers import CUMULATIVE, SEALED, encode_leader_info
from ensemble.wire.sealing import seal
from ensemble.zab import learner as learners
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Proposal
from ensemble.zab.learner import Learner
from tests.zab.hosts import TIMING, FakeHost, FakeLink, members, packet, zxid

OLD = [zxid(1, 1), zxid(1, 2)]
RECORDINGS = Path(__file__).parents[1] / "data" / "quorum"


class Scene:
    """Server 2, a follower (or observer) of server 3."""

    def __init__(
        self,
        history: list[int] | None = None,
        tail: list[int] | None = None,
        accepted: int = 1,
        current: int = 1,
        observer: bool = False,
        needs_snapshot: bool = False,
    ) -> None:
        self.host = FakeHost(OLD if history is None else history)
        self.tail = [Proposal(each, b"") for each in tail or []]
        self.host.log += [each.zxid for each in self.tail]
        last = self.tail[-1].zxid if self.tail else self.host.last_zxid()
        self.learner = Learner(
            self.host,
            2,
            Configuration(members(3), None, False),
            TIMING,
            3,
            observer,
            accepted,
            current,
            last,
            self.tail,
            needs_snapshot,
            0,
        )
        self.link = FakeLink(1)
        self.learner.on_connected(self.link, 0)

    def get(self, *packets: bytes) -> None:
        for each in packets:
            self.learner.on_bytes(each, 0)

    def leader_info(self, epoch: int, features: int = 0) -> None:
        data = encode_leader_info(features, zxid(epoch, 0))
        self.get(packet(peers.LEADER_INFO, zxid(epoch, 0), data))

    def synced(self, features: int = 0) -> "Scene":
        """Serving in epoch 2, with nothing said or asked that the test is not about."""
        self.leader_info(2, features)
        self.get(diff(OLD[-1]), new_leader(2), up_to_date())
        self.link.take()
        self.host.read()
        assert self.learner.stage == learners.SERVING
        return self


def diff(last: int) -> bytes:
    return packet(peers.DIFF, last)


def new_leader(epoch: int) -> bytes:
    return packet(peers.NEW_LEADER, zxid(epoch, 0), members(3).text())


def up_to_date() -> bytes:
    return packet(peers.UP_TO_DATE, -1)


def proposal(zx: int) -> bytes:
    return packet(peers.PROPOSAL, zx, b"txn")


def commit(zx: int) -> bytes:
    return packet(peers.COMMIT, zx)


def test_the_promise_is_on_the_disk_before_it_is_given() -> None:
    scene = Scene()
    assert scene.link.said() == ["FOLLOWERINFO 1:0"]
    seen: list[int] = []
    scene.host.save_accepted_epoch = (  # type: ignore[method-assign]
        lambda epoch: seen.append(len(scene.link.out))
    )
    scene.leader_info(2)
    assert seen == [0]
    assert scene.link.said() == ["ACKEPOCH 1:2"]


def test_the_same_epoch_again_is_promised_with_minus_one() -> None:
    scene = Scene(accepted=2)
    scene.link.take()
    scene.leader_info(2)
    (answer,) = scene.link.take()
    assert answer.data == b"\xff\xff\xff\xff"
    assert scene.host.read() == []


def test_an_older_leader_is_not_followed() -> None:
    scene = Scene(accepted=3)
    scene.leader_info(2)
    assert "3 was promised" in scene.learner.failed


def test_4643_3023_4646_history_first_epoch_second_ack_third_a1_a2_f21() -> None:
    """Nothing is acknowledged, and no epoch stored, before the history is on the disk."""
    scene = Scene()
    scene.leader_info(2)
    scene.link.take()
    scene.host.read()
    new = [zxid(1, 3), zxid(1, 4)]
    scene.get(diff(new[-1]))
    for zx in new:
        scene.get(proposal(zx), commit(zx))
    scene.get(new_leader(2))
    assert scene.host.read() == ["append 1:3", "append 1:4"]
    assert scene.link.take() == []
    scene.learner.on_logged(zxid(1, 3))
    assert scene.link.take() == []
    scene.learner.on_logged(zxid(1, 4))
    assert scene.host.read() == ["apply 1:3", "apply 1:4", "currentEpoch 2"]
    assert scene.link.said() == ["ACK 2:0"]


def test_a_snapshot_is_durable_before_the_epoch_3642_a7() -> None:
    scene = Scene()
    scene.leader_info(2)
    scene.link.take()
    scene.host.read()
    scene.get(packet(peers.SNAP, zxid(1, 9)), b"tree ", b"treeEND" + new_leader(2))
    assert scene.host.read() == ["snapshot begins 1:9", "install snapshot"]
    assert scene.link.take() == []
    assert scene.learner.in_memory
    scene.learner.on_snapshot_installed()
    assert scene.host.read() == ["currentEpoch 2"]
    assert scene.link.said() == ["ACK 2:0"]
    assert not scene.learner.in_memory


def test_what_follows_a_snapshot_belongs_into_it() -> None:
    """Java's dump is fuzzy: transactions that come behind it are part of the same history."""
    scene = Scene()
    scene.leader_info(2)
    scene.host.read()
    scene.get(packet(peers.SNAP, zxid(1, 9)) + b"treeEND")
    scene.get(proposal(zxid(1, 9)), commit(zxid(1, 9)), proposal(zxid(1, 10)), commit(zxid(1, 10)))
    scene.get(new_leader(2))
    assert scene.host.read() == [
        "snapshot begins 1:9",
        "apply 1:9",
        "apply 1:10",
        "install snapshot",
    ]


def test_a_cut_that_is_not_exact_asks_for_a_snapshot_a8() -> None:
    scene = Scene()
    scene.leader_info(2)
    scene.host.can_truncate = False
    scene.get(packet(peers.TRUNC, zxid(1, 1)))
    assert "does not hold" in scene.learner.failed
    assert scene.learner.needs_snapshot
    again = Scene(accepted=2, needs_snapshot=True)
    again.link.take()
    again.leader_info(2)
    assert again.link.take()[0].zxid == -1


def test_a_cut_of_what_the_tree_does_not_show_needs_no_reload() -> None:
    scene = Scene(tail=[zxid(1, 3), zxid(1, 4), zxid(1, 5)])
    scene.leader_info(2)
    scene.host.read()
    scene.get(packet(peers.TRUNC, zxid(1, 4)))
    assert scene.host.read() == ["truncate 1:4", "apply 1:3", "apply 1:4"]
    scene = Scene(tail=[zxid(1, 3)])
    scene.leader_info(2)
    scene.host.read()
    scene.get(packet(peers.TRUNC, zxid(1, 1)))
    assert scene.host.read() == ["truncate 1:1 and reload"]


def test_2845_the_tail_is_part_of_the_history_that_is_reported_a9() -> None:
    scene = Scene(tail=[zxid(1, 3)])
    scene.leader_info(2)
    assert scene.link.said() == ["FOLLOWERINFO 1:0", "ACKEPOCH 1:3"]
    scene.host.read()
    scene.get(diff(zxid(1, 3)))
    assert scene.host.read() == ["apply 1:3"]


def test_a_history_with_a_hole_is_refused_4925_a6() -> None:
    scene = Scene()
    scene.leader_info(2)
    scene.get(diff(zxid(1, 4)), proposal(zxid(1, 4)))
    assert "0x100000004 does not follow 0x100000002" in scene.learner.failed


@pytest.mark.parametrize("first", [zxid(3, 2), zxid(1, 1), zxid(1, 2)])
def test_only_the_next_zxid_or_a_later_epochs_first_follows(first: int) -> None:
    scene = Scene().synced()
    scene.get(proposal(first))
    assert "does not follow" in scene.learner.failed


def test_4394_a_commit_between_newleader_and_uptodate_waits_a4() -> None:
    """Its proposal came before NEWLEADER; both are this server's once it serves."""
    scene = Scene()
    scene.leader_info(2)
    scene.link.take()
    scene.host.read()
    scene.get(diff(OLD[-1]), proposal(zxid(2, 1)), new_leader(2))
    assert scene.link.said() == ["ACK 2:0"]
    scene.get(commit(zxid(2, 1)), proposal(zxid(2, 2)))
    assert scene.host.read() == ["currentEpoch 2"]
    scene.get(up_to_date())
    assert scene.host.read() == [
        "serve following 2",
        "append 2:1",
        "append 2:2",
        "commit 2:1",
    ]
    assert scene.link.said() == ["ACK 2:0"]
    scene.learner.on_logged(zxid(2, 2))
    assert scene.link.said() == ["ACK 2:1", "ACK 2:2"]


def test_4685_proposals_are_acknowledged_only_after_uptodate_a3() -> None:
    scene = Scene()
    scene.leader_info(2)
    scene.link.take()
    scene.get(diff(OLD[-1]), proposal(zxid(2, 1)), new_leader(2), proposal(zxid(2, 2)))
    assert scene.link.said() == ["ACK 2:0"]
    assert "append 2:1" not in scene.host.read()


def test_an_ack_leaves_after_its_record_is_on_the_disk() -> None:
    """I9. One for each to Apache's leader, the last one to ours."""
    for features, said in ((0, ["ACK 2:1", "ACK 2:2"]), (CUMULATIVE, ["ACK 2:2"])):
        scene = Scene().synced(features)
        scene.get(proposal(zxid(2, 1)), proposal(zxid(2, 2)), proposal(zxid(2, 3)))
        assert scene.link.take() == []
        scene.learner.on_logged(zxid(2, 2))
        assert scene.link.said() == said


def test_commits_are_taken_in_order() -> None:
    scene = Scene().synced()
    scene.get(proposal(zxid(2, 1)), proposal(zxid(2, 2)), commit(zxid(2, 2)))
    assert "0x200000001 comes first" in scene.learner.failed
    scene = Scene().synced(CUMULATIVE)
    scene.get(proposal(zxid(2, 1)), proposal(zxid(2, 2)), commit(zxid(2, 2)))
    assert scene.host.read()[-2:] == ["commit 2:1", "commit 2:2"]


@pytest.mark.parametrize("features", [0, CUMULATIVE])
def test_what_was_not_proposed_cannot_be_committed(features: int) -> None:
    scene = Scene().synced(features)
    scene.get(proposal(zxid(2, 1)), commit(zxid(2, 1)), commit(zxid(2, 2)))
    assert "was not proposed" in scene.learner.failed


def test_an_observer_logs_what_it_is_told_and_acknowledges_nothing() -> None:
    scene = Scene(observer=True)
    assert scene.link.said() == ["OBSERVERINFO 1:0"]
    scene.synced()
    scene.get(packet(peers.INFORM, zxid(2, 1), b"txn"))
    assert scene.host.read() == ["append 2:1", "commit 2:1"]
    scene.learner.on_logged(zxid(2, 1))
    assert scene.link.take() == []


def test_a_ping_is_answered_with_the_sessions_that_were_heard_of() -> None:
    """Zab.md 5.4: a null buffer would kill Apache's leader's thread."""
    scene = Scene().synced()
    scene.get(packet(peers.PING, zxid(2, 7)))
    (answer,) = scene.link.take()
    assert (answer.type, answer.zxid, answer.data) == (peers.PING, zxid(2, 7), bytes(12))


def test_no_ping_is_answered_before_uptodate() -> None:
    scene = Scene()
    scene.leader_info(2)
    scene.get(diff(OLD[-1]), new_leader(2))
    scene.link.take()
    scene.get(packet(peers.PING, zxid(2, 0)))
    assert scene.link.take() == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (packet(peers.LEADER_INFO, 0), "LEADERINFO during synchronization"),
        (packet(peers.UP_TO_DATE, -1), "UPTODATE during synchronization"),
        (packet(peers.NEW_LEADER, zxid(9, 0)), "in epoch 2"),
        (packet(peers.PROPOSAL, zxid(1, 3)), "is empty"),
        (packet(peers.COMMIT, zxid(1, 3)), "was not proposed"),
    ],
)
def test_whatever_does_not_belong_ends_the_role(data: bytes, reason: str) -> None:
    scene = Scene()
    scene.leader_info(2)
    scene.get(diff(OLD[-1]), data)
    assert reason in scene.learner.failed


def test_a_silent_leader_is_left() -> None:
    scene = Scene().synced()
    scene.learner.on_time(5_000)
    assert scene.learner.failed == ""
    scene.learner.on_time(5_001)
    assert "silent for 5001 ms" in scene.learner.failed
    scene = Scene()
    scene.learner.on_time(10_000)
    assert "not synchronized within 10000 ms" in scene.learner.failed


def conversation(name: str, conn: int) -> list[dict[str, str]]:
    units = json.loads((RECORDINGS / name).read_text())
    return [u for u in units if u["conn"] == conn and u["port"] == "quorum"]


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("07-restart-follower-empty-diff.json", 1), ("08-restart-follower-diff.json", 1)],
)
def test_what_apaches_leader_was_answered_is_what_ours_answers(name: str, epochs: int) -> None:
    """Captured: a follower comes back. Our learner gets the leader's bytes, and says the same."""
    units = json.loads((RECORDINGS / name).read_text())
    conn = next(u["conn"] for u in units if u["what"] == "FOLLOWERINFO")
    talk = conversation(name, conn)
    hello = next(u for u in talk if u["what"] == "ACKEPOCH")
    last = int.from_bytes(bytes.fromhex(hello["hex"])[4:12], "big")
    scene = Scene(history=[last], accepted=epochs, current=epochs)
    scene.host.take_touches = lambda: b""  # type: ignore[method-assign]
    theirs: list[str] = []
    follower = hello["link"]
    for unit in talk:
        if unit["what"] == "TCP-CLOSE":
            break
        if unit["link"] == follower:
            theirs.append(unit["hex"])
            continue
        scene.get(bytes.fromhex(unit["hex"]))
        if scene.host.log:
            scene.learner.on_logged(scene.host.log[-1])
        assert scene.learner.failed == ""
    # Ours adds its features behind the fields of FOLLOWERINFO; everything after is the same.
    assert len(theirs) > 3
    assert scene.link.out.getvalue().hex().endswith("".join(theirs[1:]))


def test_what_was_changed_on_the_way_ends_the_role_f24() -> None:
    """Sealed behind LEADERINFO, also where both come in one piece; the answer is sealed, too."""
    data = encode_leader_info(SEALED, zxid(2, 0))
    hello = packet(peers.LEADER_INFO, zxid(2, 0), data)
    diff = seal(packet(peers.DIFF, OLD[-1]))
    for changed in (False, True):
        scene = Scene()
        scene.link.take()
        scene.get(hello + (diff[:-1] + b"\7" if changed else diff))
        assert ("changed on the way" in scene.learner.failed) == changed
        if not changed:
            assert scene.link.sealed_from == 0
            assert scene.learner.stage == learners.SYNCING
