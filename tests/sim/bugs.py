"""Known bugs, put back in one at a time: a simulator that does not find them proves nothing.

Each is a replacement of one method by one that makes the mistake, named after its story in zab.md
section 9 or trust.md 4.1. Only the interpreted modules can be changed so (ENSEMBLE_PURE=1).
"""

from typing import Any

from ensemble.server import pipeline, replica
from ensemble.tree import budget, budgets
from ensemble.wire import peers, requests
from ensemble.wire.peers import write_packet
from ensemble.zab import broadcast, configuration, leader, learner, learner_link, peer
from tests.sim import bugs_around, core, provoked
from tests.sim.bug import Bug, Patches


def ack_before_sync() -> Patches:
    def log(self: Any, zxid: int, payload: bytes) -> None:
        self.host.append(zxid, payload)
        if not self.is_observer:
            self.send_ack(zxid)

    return [(learner.Learner, "log", log)]


def epoch_before_history() -> Patches:
    right = learner.Learner.store_history

    def store_history(self: Any) -> None:
        self.host.save_current_epoch(self.epoch)
        self.current_epoch = self.epoch
        right(self)

    return [(learner.Learner, "store_history", store_history)]


def newleader_acked_too_early() -> Patches:
    def store_history(self: Any) -> None:
        for proposal in self.history:
            self.host.append(proposal.zxid, proposal.payload)
        self.acknowledge_history()

    return [(learner.Learner, "store_history", store_history)]


def commit_without_quorum() -> Patches:
    def stored_by(self: Any, members: Any) -> int:
        acks = sorted((self.acked.get(sid, 0) for sid in members.voters), reverse=True)
        return int(acks[len(acks) // 2 - 1])

    return [(broadcast.Broadcast, "stored_by", stored_by)]


def election_by_accepted_epoch() -> Patches:
    right = peer.Peer.look

    def look(self: Any) -> None:
        kept, self.current_epoch = self.current_epoch, self.accepted_epoch
        right(self)
        self.current_epoch = kept

    return [(peer.Peer, "look", look), (leader.Leader, "on_ack_epoch", without_comparing())]


def without_comparing() -> Any:
    """The second guard: ACKEPOCH shows a leader that a follower's history is ahead of its own."""
    right = leader.Leader.on_ack_epoch

    def on_ack_epoch(self: Any, its_link: Any, packet: Any, now_ms: int) -> None:
        kept, self.own_epoch = self.own_epoch, 1 << 40
        right(self, its_link, packet, now_ms)
        self.own_epoch = kept

    return on_ack_epoch


def no_word_on_the_log_in_votes() -> Patches:
    """The vote names the epoch of the log's end, and no transaction of it."""
    right = peer.Peer.look

    def look(self: Any) -> None:
        end = self.log_end()
        self.log_end = lambda: end >> 32 << 32
        right(self)
        del self.log_end

    return [(peer.Peer, "look", look)]


def trunc_skipped() -> Patches:
    def truncate(self: Any, zxid: int) -> None:
        self.last_zxid = zxid
        self.stage = learner.SYNCING

    return [(learner.Learner, "truncate", truncate)]


def partial_snapshot_kept() -> Patches:
    """The tree of a snapshot that was broken off stays in memory, and its end is reported."""
    right = peer.Peer.leave

    def leave(self: Any, reason: str) -> None:
        if self.learner is not None:
            self.learner.in_memory = False
        right(self, reason)

    return [(peer.Peer, "leave", leave)]


def tree_left_behind_the_log() -> Patches:
    """After a role the tree is not brought to the log's end, and its end is what is reported."""
    right = peer.Peer.settle

    def settle(self: Any) -> None:
        self.logging = []
        right(self)

    return [(peer.Peer, "settle", settle)]


def diff_with_a_hole() -> Patches:
    """What came while synchronizing is missing in the list of recent transactions."""
    right = core.CoreNode.apply
    recent = core.CoreNode.recent

    def apply(self: Any, proposal: Any) -> None:
        self.machine.skipped = getattr(self.machine, "skipped", set()) | {int(proposal.zxid)}
        right(self, proposal)

    def with_hole(self: Any) -> Any:
        skipped: set[int] = getattr(self.machine, "skipped", set())
        return [proposal for proposal in recent(self) if proposal.zxid not in skipped]

    right_replica = replica.Replica.apply

    def apply_replica(self: Any, proposal: Any) -> None:
        kept = self.remember
        self.remember = lambda proposal: None
        right_replica(self, proposal)
        self.remember = kept

    return [
        (core.CoreNode, "apply", apply),
        (core.CoreNode, "recent", with_hole),
        (replica.Replica, "apply", apply_replica),
    ]


def proposals_acked_before_uptodate() -> Patches:
    right = learner.Learner.acknowledge_history

    def acknowledge_history(self: Any) -> None:
        right(self)
        for proposal in self.pending:
            self.send_ack(proposal.zxid)

    return [(learner.Learner, "acknowledge_history", acknowledge_history)]


def leader_without_followers() -> Patches:
    """A leader that has lost its quorum goes on as if nothing were."""
    return [(leader.Leader, "check_quorum", lambda self, now_ms: None)]


def newleader_before_the_history() -> Patches:
    right = leader.Leader.synchronize

    def synchronize(self: Any, its_link: Any, now_ms: int) -> None:
        out = its_link.link.out
        kept = out.getvalue()
        right(self, its_link, now_ms)
        written = out.getvalue()[len(kept) :]
        # NEWLEADER is the last packet: put it behind the first, where there is more between them.
        buffer = peers.PacketBuffer()
        buffer.feed(written)
        first = buffer.next_packet()
        if first is None or first.type == peers.SNAP:
            return
        packets = []
        while (packet := buffer.next_packet()) is not None:
            packets.append(packet)
        out.truncate(0)
        out.write(kept)
        for packet in [first, packets[-1], *packets[:-1]]:
            write_packet(out, packet.type, packet.zxid, packet.data)

    return [(leader.Leader, "synchronize", synchronize)]


def leader_ignores_longer_histories() -> Patches:
    """An elected leader goes on though a follower shows it that it should not lead."""
    return [
        (leader.Leader, "on_ack_epoch", without_comparing()),
        *no_word_on_the_log_in_votes(),
    ]


def sync_without_confirmation() -> Patches:
    """A leader answers a sync without asking whether it still leads (trust.md A22)."""
    right = leader.Leader.sync

    def sync(self: Any, sid: int, session_id: int) -> None:
        right(self, sid, session_id)
        self.answer_syncs()

    def confirmed_by(self: Any, learners: Any) -> set[int]:
        return set(learners)

    return [(leader.Leader, "sync", sync), (learner_link.PendingSync, "confirmed_by", confirmed_by)]


def sessions_not_revalidated() -> Patches:
    """A client comes back to another server, and nobody asks whether its session is alive."""
    return [(replica.Replica, "on_revalidate", lambda self, sid, session_id, timeout_ms: True)]


def replies_before_the_commit() -> Patches:
    """A leader answers its own clients as soon as its own disk has the transaction."""
    right = broadcast.Broadcast.stored_by

    def stored_by(self: Any, members: Any) -> int:
        return max(int(right(self, members)), max(self.acked.values(), default=0))

    return [(broadcast.Broadcast, "stored_by", stored_by)]


def events_after_the_reply() -> Patches:
    """A watch event is queued behind the reply that shows the change (client.md 13.3)."""
    right = pipeline.Pipeline.on_committed

    def on_committed(self: Any, header: Any, error: int, applied: Any) -> None:
        changes, applied.changes = applied.changes, []
        right(self, header, error, applied)
        applied.changes = changes
        for change in changes:
            fired = self.watches.fire(change.event, change.path)
            if fired:
                self.deliver(change.event, change.path, header.zxid, change.acl, fired)

    return [(pipeline.Pipeline, "on_committed", on_committed)]


def zxid_of_the_client_ignored() -> Patches:
    """A client that has seen more is taken, and the leader is not asked (trust.md C12)."""
    right = requests.read_connect_request

    def read_connect_request(reader: Any) -> Any:
        request = right(reader)
        return type(request)(
            request.protocol,
            0,
            request.timeout_ms,
            request.session_id,
            request.password,
            request.read_only,
        )

    return [
        (pipeline, "read_connect_request", read_connect_request),
        (replica.Replica, "revalidate", lambda self, conn, session_id, timeout_ms: True),
    ]


def old_members_are_enough() -> Patches:
    """A reconfiguration is committed by a quorum of those before it, and whoever leads next too."""
    return [
        (broadcast.Broadcast, "propose_members", lambda self, members, zxid: None),
        (
            configuration.Configuration,
            "is_quorum",
            lambda self, sids: self.members.is_quorum(sids),
        ),
    ]


def limits_forget_proposals() -> Patches:
    """What is proposed and not applied is not counted: ZooKeeper's own quotas (quotas.md 5)."""
    right = budget.Budget.check_create

    def check_create(self: Any, weight: int, ephemerals: int) -> None:
        kept = (self.ahead_znodes, self.ahead_bytes, self.ahead_ephemerals)
        self.look_back()
        try:
            right(self, weight, ephemerals)
        finally:
            self.ahead_znodes, self.ahead_bytes, self.ahead_ephemerals = kept

    return [(budget.Budget, "check_create", check_create)]


def ephemerals_do_not_leave() -> Patches:
    """A session's end gives nothing back where it is prepared."""
    right = budgets.Budgets.give_back

    def give_back(self: Any, path: bytes, data: Any, acl_bytes: int, ephemeral: bool) -> None:
        right(self, path, data, acl_bytes, False)

    return [(budgets.Budgets, "give_back", give_back)]


CORE_BUGS = [
    Bug(
        "ack before sync", "ZOOKEEPER-3911", "a proposal is acknowledged unsynced", ack_before_sync
    ),
    Bug(
        "epoch before history",
        "ZOOKEEPER-4643",
        "currentEpoch is stored before the history",
        epoch_before_history,
    ),
    Bug(
        "NEWLEADER acknowledged too early",
        "ZOOKEEPER-3023, 4646",
        "the history of a DIFF is not durable yet",
        newleader_acked_too_early,
    ),
    Bug("commit without a quorum", "trust.md I9", "one ack counts twice", commit_without_quorum),
    Bug(
        "election by acceptedEpoch",
        "election.md 3.2",
        "votes carry what was only promised",
        election_by_accepted_epoch,
    ),
    Bug("TRUNC skipped", "ZOOKEEPER-1489", "the tail stays in the log", trunc_skipped),
    Bug(
        "partial snapshot kept",
        "ZOOKEEPER-3642, 5094",
        "a tree that no disk backs is reported",
        partial_snapshot_kept,
    ),
    Bug(
        "DIFF with a hole",
        "ZOOKEEPER-4925, 2846",
        "recent transactions lack what came while synchronizing",
        diff_with_a_hole,
    ),
    Bug(
        "tree behind the log",
        "ZOOKEEPER-2845",
        "the tree is kept over elections as it is",
        tree_left_behind_the_log,
    ),
    Bug(
        "proposals acknowledged before UPTODATE",
        "ZOOKEEPER-4685",
        "acks of what is not logged yet",
        proposals_acked_before_uptodate,
    ),
    Bug(
        "leader without followers",
        "trust.md F12",
        "it serves on after it lost its quorum",
        leader_without_followers,
    ),
    Bug(
        "NEWLEADER before the history",
        "ZOOKEEPER-3104",
        "it overtakes the transactions of the synchronization",
        newleader_before_the_history,
    ),
    Bug(
        "leader with a shorter history",
        "trust.md A11",
        "neither votes nor ACKEPOCH are compared by the log's end",
        leader_ignores_longer_histories,
    ),
    Bug(
        "sync without confirmation",
        "trust.md A22",
        "a leader of the past answers a sync",
        sync_without_confirmation,
    ),
]

CLIENT_BUGS = [
    Bug(
        "sessions not revalidated",
        "trust.md C6",
        "a session that is closed goes on at another server",
        sessions_not_revalidated,
        provoke=provoked.sessions_that_expire,
    ),
    Bug(
        "the leader's disk is enough",
        "trust.md I9",
        "a write is committed when one server has it",
        replies_before_the_commit,
    ),
    Bug(
        "events behind replies",
        "trust.md I14",
        "a reply shows a change before its event comes",
        events_after_the_reply,
    ),
    Bug(
        "going back in time",
        "trust.md C12, I11",
        "a server that is behind takes a client that is not",
        zxid_of_the_client_ignored,
    ),
]
BUDGET_BUGS = [
    Bug(
        "limits forget what is proposed",
        "trust.md I18",
        "pipelined requests each see the same old usage",
        limits_forget_proposals,
    ),
    Bug(
        "ephemerals do not leave",
        "trust.md I18",
        "what a session had is counted on after its end",
        ephemerals_do_not_leave,
    ),
]
RECONFIG_BUGS = [
    Bug(
        "the old members are enough",
        "trust.md F20",
        "quorums of before and after a reconfiguration need not overlap",
        old_members_are_enough,
    ),
]
BUGS = CORE_BUGS + CLIENT_BUGS + BUDGET_BUGS + RECONFIG_BUGS + bugs_around.BUGS


def kind_of(bug: Bug) -> str:
    """The runs that show it."""
    if bug.kind:
        return bug.kind
    if bug in CORE_BUGS:
        return "core"
    return "reconfig" if bug in RECONFIG_BUGS else "ensemble"
