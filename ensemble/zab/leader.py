"""A leader: from the first learner's FOLLOWERINFO through the epoch's establishment to broadcast.

Source: zab.md 2 to 6. Phases, in this order, each by a quorum of voters that includes this server:

1. discovery: learners say which epoch they accepted; the new one is larger than all of them;
2. they promise it (ACKEPOCH) and say where their histories end;
3. synchronization: each gets this server's history, stores it and acknowledges NEWLEADER;
4. broadcast.

A reconfiguration is a proposal like any other that takes quorums of both configurations. One that
makes another server the leader is the last thing that this one commits (zab.md 7).
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.wire import peers
from ensemble.wire.peers import Packet, encode_leader_info, read_learner_info, write_packet
from ensemble.wire.zxid import format_zxid
from ensemble.zab.broadcast import Broadcast
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Host, Link, Proposal
from ensemble.zab.learner_link import (
    CONNECTED,
    FOLLOWING,
    INTRODUCED,
    PROMISED,
    SYNCING,
    LearnerLink,
    PendingSync,
)
from ensemble.zab.members import Members
from ensemble.zab.reconfiguration import next_leader, remains_leader
from ensemble.zab.sizes import ProposalSizes
from ensemble.zab.synchronization import UNKNOWN_ZXID, plan_sync
from ensemble.zab.timing import Timing

# This leader's phase
DISCOVERY: Final = 0
EPOCH_FIXED: Final = 1
ESTABLISHED: Final = 2
SERVING: Final = 3

COUNTER_MAX: Final = 0xFFFFFFFF
LEARNERS_MAX: Final = 1_000  # connections to the quorum port at a time


@final
class Leader:
    """The role. It ends when `resigned` is not empty: the reason, for the log."""

    def __init__(
        self,
        host: Host,
        sid: i64,
        configuration: Configuration,
        timing: Timing,
        accepted_epoch: i64,
        current_epoch: i64,
        last_zxid: i64,
        now_ms: i64,
    ) -> None:
        self.host: Final = host
        self.sid: Final = sid
        self.configuration: Final = configuration
        self.timing: Final = timing
        self.own_epoch: Final = current_epoch
        self.own_zxid: Final = last_zxid
        self.highest_accepted: i64 = accepted_epoch
        self.epoch: i64 = -1
        self.phase: i64 = DISCOVERY
        self.resigned = ""
        self.learners: Final[dict[int, LearnerLink]] = {}  # by link
        self.by_sid: Final[dict[int, LearnerLink]] = {}  # introduced ones
        self.introduced: Final[set[int]] = {int(sid)}
        self.promised: Final[set[int]] = {int(sid)}
        self.synced: Final[set[int]] = set()
        self.broadcast = Broadcast(0, configuration.members)
        self.sizes: Final = ProposalSizes()
        self.diffs: i64 = 0  # learners brought up to date without a snapshot, and with one
        self.snapshots: i64 = 0
        self.syncs: Final[list[PendingSync]] = []
        self.syncs_waiting_for_ping = False
        self.deadline_ms: i64 = now_ms + timing.init_ms()
        self.next_ping_ms: i64 = 0
        self.next_check_ms: i64 = 0
        self.is_open = True  # whether more may be proposed: not behind what ends this role
        self.leaving = False  # another is to lead: nothing is committed, the learners go
        self.leave_by_ms: i64 = 0
        # Who has got another role and connects anew: until when it counts as if it were here
        self.moving: Final[dict[int, int]] = {}
        self.next_leader: i64 = -1  # who was designated; -1: there has to be an election
        self.started_ms: Final = now_ms
        configuration.drop_unlogged(host, last_zxid, current_epoch)
        if configuration.is_quorum(self.introduced):
            self.fix_epoch(now_ms)

    # Links

    def on_accepted(self, link: Link, now_ms: i64) -> None:
        if len(self.learners) >= LEARNERS_MAX:
            link.close(f"{LEARNERS_MAX} learners are connected")
            return
        self.learners[int(link.id)] = LearnerLink(link, self.timing.data_bytes_max, now_ms)

    def on_bytes(self, link: Link, data: bytes, now_ms: i64) -> None:
        """Packets of a learner, or parts of them. One that breaks the protocol is cut."""
        learner = self.learners.get(int(link.id))
        if learner is None:
            return
        learner.heard_ms = now_ms
        try:
            learner.feed(data)
            while not self.resigned and int(link.id) in self.learners:
                packet = learner.packets.next_packet()
                if packet is None:
                    break
                self.on_packet(learner, packet, now_ms)
        except ProtocolError as error:
            self.drop(learner, str(error))
        if not self.resigned:
            self.commit_ready(now_ms)

    def on_link_closed(self, link: Link, now_ms: i64) -> None:
        learner = self.learners.get(int(link.id))
        if learner is not None:
            self.forget(learner)
            self.check_quorum(now_ms)
            self.check_left(now_ms)

    def drop(self, learner: LearnerLink, reason: str) -> None:
        """Cut a learner's connection; it comes back and is synchronized anew."""
        self.host.report(f"cut the connection of server {learner.sid}: {reason}")
        self.forget(learner)
        learner.link.close(reason)

    def forget(self, learner: LearnerLink) -> None:
        self.learners.pop(int(learner.link.id), None)
        sid = int(learner.sid)
        if self.by_sid.get(sid) is learner:
            del self.by_sid[sid]
            # A sync ends with the connection that asked: its answer on the next one would be taken
            # for that of a later sync.
            self.syncs[:] = [sync for sync in self.syncs if sync.sid != sid]
            if self.phase == DISCOVERY:
                self.introduced.discard(sid)
            # What it promised or stored stays true after it is gone, but it must be here to serve.
            self.synced.discard(sid)
            self.broadcast.forget(sid)
            self.host.on_learner_left(learner.sid)

    def close(self, reason: str) -> None:
        """The role is over: every link ends."""
        for learner in list(self.learners.values()):
            learner.link.close(reason)
        self.learners.clear()
        self.by_sid.clear()

    def resign(self, reason: str) -> None:
        if not self.resigned:
            self.resigned = reason

    # Packets

    def on_packet(self, learner: LearnerLink, packet: Packet, now_ms: i64) -> None:
        type = packet.type
        if learner.stage == FOLLOWING:
            if type == peers.ACK:
                self.on_ack(learner, packet.zxid, now_ms)
            elif type == peers.REQUEST:
                if packet.data is None:
                    raise ProtocolError("a REQUEST without data")
                if self.is_open:  # else its role ends with this one, and its clients' links
                    self.host.on_request(learner.sid, packet.data, packet.auth)
            elif type == peers.PING:
                if learner.pings_answered >= learner.pings_sent:
                    raise ProtocolError("an answer to a PING that was not sent")
                learner.pings_answered += 1
                if packet.data:
                    self.host.on_touches(packet.data)
                self.answer_syncs()
            elif type == peers.REVALIDATE:
                self.on_revalidate(learner, packet)
            elif type == peers.SHARES:
                self.host.on_shares(learner.sid, packet.data or b"")
            else:
                self.host.report(f"server {learner.sid} sent {peers.name_of(type)}: ignored")
        elif learner.stage == CONNECTED:
            self.on_info(learner, packet, now_ms)
        elif type == peers.ACK_EPOCH and learner.stage == INTRODUCED and self.epoch >= 0:
            self.on_ack_epoch(learner, packet, now_ms)
        elif learner.stage == SYNCING and type == peers.ACK:
            # A proposal's ack before that of NEWLEADER (trust.md A3) is covered by the next one.
            if packet.zxid == self.epoch << 32:
                self.on_synced(learner, now_ms)
        else:
            raise ProtocolError(f"{peers.name_of(type)} is not what comes now")

    def on_info(self, learner: LearnerLink, packet: Packet, now_ms: i64) -> None:
        """FOLLOWERINFO or OBSERVERINFO, the first packet."""
        if packet.type != peers.FOLLOWER_INFO and packet.type != peers.OBSERVER_INFO:
            raise ProtocolError(f"{peers.name_of(packet.type)} as the first packet")
        info = read_learner_info(packet.data, packet.zxid)
        version = self.configuration.latest().version
        if info.members_version > version:
            raise ProtocolError(
                f"server {info.sid} knows configuration {info.members_version:#x}, "
                f"the last one seen here is {version:#x}"
            )
        if info.sid == self.sid:
            raise ProtocolError(f"another server says that it is {info.sid}, too")
        learner.link.check_is(info.sid)
        old = self.by_sid.get(int(info.sid))
        if old is not None:
            self.drop(old, "it has connected again")
        learner.sid = info.sid
        learner.is_observer = packet.type == peers.OBSERVER_INFO
        learner.features = info.features
        learner.stage = INTRODUCED
        self.by_sid[int(info.sid)] = learner
        accepted = packet.zxid >> 32
        if self.phase == DISCOVERY:
            if accepted > self.highest_accepted:
                self.highest_accepted = accepted
            if self.configuration.is_voter(info.sid):
                # Also who connects as an observer: it may not have heard yet that it got a vote,
                # and without it a reconfiguration could neither be completed nor given up.
                self.introduced.add(int(info.sid))
            if self.configuration.is_quorum(self.introduced):
                self.fix_epoch(now_ms)
        elif accepted > self.epoch and self.configuration.is_voter(info.sid):
            # It promised a later leader not to follow this one, so it can only come back in a later
            # epoch. With Apache's servers it waits for somebody else's failure.
            self.resign(f"server {info.sid} has accepted epoch {accepted}, this is {self.epoch}")
        else:
            self.send_leader_info(learner)

    def fix_epoch(self, now_ms: i64) -> None:
        """A quorum is here: fix the new epoch, first on the own disk (zab.md 10)."""
        self.epoch = self.highest_accepted + 1
        self.host.save_accepted_epoch(self.epoch)
        self.phase = EPOCH_FIXED
        members = self.configuration.members
        if self.configuration.enabled and self.configuration.latest().version == 0:
            # The first configuration gets a version, by which a joiner's own list is older.
            self.configuration.propose(self.host, members.with_version(self.epoch << 32))
        self.deadline_ms = now_ms + self.timing.init_ms()
        for learner in list(self.by_sid.values()):
            self.send_leader_info(learner)
        if self.configuration.is_quorum(self.promised):
            self.establish(now_ms)

    def send_leader_info(self, learner: LearnerLink) -> None:
        data = encode_leader_info(learner.features, self.epoch << 32)
        write_packet(learner.link.out, peers.LEADER_INFO, self.epoch << 32, data)
        learner.seal()

    def on_ack_epoch(self, learner: LearnerLink, packet: Packet, now_ms: i64) -> None:
        """A learner has promised this epoch, and says where its history ends."""
        data = packet.data
        if data is None or len(data) < 4:
            raise ProtocolError("an ACKEPOCH without an epoch")
        epoch = i64(int.from_bytes(data[:4], "big", signed=True))
        learner.epoch = epoch
        learner.last_zxid = packet.zxid
        learner.stage = PROMISED
        if self.phase >= ESTABLISHED:
            self.synchronize_waiting(now_ms)
            return
        if epoch >= 0:
            if epoch > self.own_epoch or (epoch == self.own_epoch and packet.zxid > self.own_zxid):
                raise ProtocolError(
                    f"its history ({epoch}, {format_zxid(packet.zxid)}) is ahead of this one "
                    f"({self.own_epoch}, {format_zxid(self.own_zxid)})"
                )
            if learner.may_have_forgotten(self.own_zxid):
                self.host.report(
                    f"server {learner.sid} is empty and this one is not: its data may be lost, it "
                    "does not count before it has copied the ensemble's"
                )
            elif self.configuration.is_voter(learner.sid) and packet.zxid != UNKNOWN_ZXID:
                self.promised.add(int(learner.sid))
        if self.configuration.is_quorum(self.promised):
            self.establish(now_ms)

    def establish(self, now_ms: i64) -> None:
        """A quorum follows nobody older than this epoch any more."""
        self.host.save_current_epoch(self.epoch)
        self.phase = ESTABLISHED
        self.deadline_ms = now_ms + self.timing.init_ms()
        self.broadcast = Broadcast(self.epoch << 32, self.configuration.members)
        self.synced.add(int(self.sid))
        self.synchronize_waiting(now_ms)
        self.begin_if_synced(now_ms)

    def synchronize_waiting(self, now_ms: i64) -> None:
        """Bring those up to date who have promised this epoch, but not while a reconfiguration is
        outstanding: by NEWLEADER's older one Apache's servers would forget it."""
        if self.broadcast.next_members is not None or self.leaving:
            return
        for learner in list(self.by_sid.values()):
            if learner.stage == PROMISED:
                self.synchronize(learner, now_ms)

    def synchronize(self, learner: LearnerLink, now_ms: i64) -> None:
        """Send the history, then NEWLEADER; from here on the learner gets what comes live.

        All of it happens at one instant: nothing is proposed or committed meanwhile.
        """
        exact = learner.features & peers.EXACT_TRUNC != 0
        plan = plan_sync(self.host, learner.last_zxid, exact, self.timing.force_snapshot)
        self.host.report(
            f"server {learner.sid} ends at {format_zxid(learner.last_zxid)}: "
            f"{peers.name_of(plan.kind)} and {len(plan.proposals)} transactions"
        )
        out = learner.link.out
        write_packet(out, plan.kind, plan.zxid)
        if plan.kind == peers.SNAP:
            self.snapshots += 1
            self.host.send_snapshot(learner.link)
        else:
            self.diffs += 1
        for proposal in plan.proposals:
            write_packet(out, peers.PROPOSAL, proposal.zxid, proposal.payload)
            write_packet(out, peers.COMMIT, proposal.zxid)
        if not learner.is_observer:
            for proposal in self.broadcast.outstanding:
                write_packet(out, peers.PROPOSAL, proposal.zxid, proposal.payload)
                learner.sent = proposal.zxid
        members = self.configuration.latest()
        write_packet(out, peers.NEW_LEADER, self.epoch << 32, members.text())
        learner.stage = SYNCING
        learner.ack_due_ms = 0

    def on_synced(self, learner: LearnerLink, now_ms: i64) -> None:
        """The learner's disk holds this leader's history."""
        learner.stage = FOLLOWING
        self.host.on_learner(learner.sid, learner.features)
        if learner.sent > 0:
            learner.ack_due_ms = now_ms + self.timing.sync_ms()
        self.moving.pop(int(learner.sid), None)
        if self.configuration.is_voter(learner.sid):
            self.synced.add(int(learner.sid))
        if self.phase == SERVING:
            write_packet(learner.link.out, peers.UP_TO_DATE, -1)
        else:
            self.begin_if_synced(now_ms)

    def begin_if_synced(self, now_ms: i64) -> None:
        """A quorum holds the history: it is committed, and clients may come."""
        configuration = self.configuration
        if not configuration.is_quorum(self.synced):
            return
        self.phase = SERVING
        self.next_check_ms = now_ms + self.timing.tick_ms
        self.next_ping_ms = now_ms + self.timing.tick_ms // 2
        old = configuration.members
        if configuration.proposed is not None:
            # With its quorums' acknowledgement of NEWLEADER it is committed (zab.md 4.6).
            configuration.commit(self.host, configuration.proposed)
            self.use_members(now_ms)
        if remains_leader(self.sid, old, configuration.members):
            self.host.begin_serving(peers.LEADING, self.epoch)
        else:
            self.end_lead(-1)
        for learner in self.by_sid.values():
            if learner.stage == FOLLOWING:
                learner.heard_ms = now_ms
                write_packet(learner.link.out, peers.UP_TO_DATE, -1)

    # Broadcast

    def propose(self, proposal: Proposal, now_ms: i64) -> None:
        """Send a transaction to everyone and log it. The host gives zxids without a gap."""
        assert self.phase == SERVING
        assert self.is_open
        self.broadcast.propose(proposal)
        self.sizes.record(len(proposal.payload))
        zxid = proposal.zxid
        members = proposal.members
        if members is not None:
            old = self.configuration.members
            self.configuration.propose(self.host, members)
            self.broadcast.propose_members(members, zxid)
            # Behind it nothing would be committed here, and who has more of it than the next
            # leader would be in that one's way.
            self.is_open = remains_leader(self.sid, old, members)
        for learner in self.by_sid.values():
            if learner.is_live() and not learner.is_observer:
                write_packet(learner.link.out, peers.PROPOSAL, zxid, proposal.payload)
                learner.sent = zxid
                if learner.ack_due_ms == 0 and learner.stage == FOLLOWING:
                    learner.ack_due_ms = now_ms + self.timing.sync_ms()
        self.host.append(zxid, proposal.payload)
        if zxid & COUNTER_MAX == COUNTER_MAX - 1:
            self.resign("this epoch has no zxids left")  # trust.md A13, F22

    def next_zxid(self) -> i64:
        return self.broadcast.proposed() + 1

    def on_logged(self, zxid: i64, now_ms: i64) -> None:
        """The own disk holds everything up to `zxid`."""
        if self.phase == SERVING and zxid >> 32 == self.epoch:
            self.broadcast.on_ack(self.sid, zxid)
            self.commit_ready(now_ms)

    def on_ack(self, learner: LearnerLink, zxid: i64, now_ms: i64) -> None:
        if zxid & COUNTER_MAX == 0:
            return  # the second ACK of NEWLEADER
        if zxid > learner.acked:
            learner.acked = zxid
            due = now_ms + self.timing.sync_ms()
            learner.ack_due_ms = due if zxid < learner.sent else 0
        if not learner.is_observer and self.configuration.is_voter(learner.sid):
            self.broadcast.on_ack(learner.sid, zxid)

    def commit_ready(self, now_ms: i64) -> None:
        """Commit what a quorum stores. Commits go out before they are applied here."""
        if self.phase != SERVING or self.resigned or self.leaving:
            return
        first = self.broadcast.committed
        told = first  # up to here those that take many commits at once have heard of them
        while not self.leaving:
            proposal = self.broadcast.next_committed()
            if proposal is None:
                break
            zxid = proposal.zxid
            members = proposal.members
            if members is not None:
                self.activate(proposal, members, now_ms)
                told = zxid
                continue
            for learner in self.by_sid.values():
                if not learner.is_live():
                    continue
                if learner.is_observer:
                    write_packet(learner.link.out, peers.INFORM, zxid, proposal.payload)
                elif learner.features & peers.CUMULATIVE == 0:
                    write_packet(learner.link.out, peers.COMMIT, zxid)
            self.host.commit(proposal)
        zxid = self.broadcast.committed
        if zxid == first:
            return
        if zxid > told:
            for learner in self.by_sid.values():
                if (
                    learner.is_live()
                    and not learner.is_observer
                    and learner.features & peers.CUMULATIVE != 0
                ):
                    write_packet(learner.link.out, peers.COMMIT, zxid)
        self.answer_syncs()
        if told > first:
            self.synchronize_waiting(now_ms)

    # A reconfiguration (zab.md 7)

    def activate(self, proposal: Proposal, members: Members, now_ms: i64) -> None:
        """Commit a reconfiguration; its packets say who leads from here on."""
        acked: dict[int, int] = {}
        for learner in self.by_sid.values():
            if learner.stage == FOLLOWING and not learner.is_observer:
                acked[int(learner.sid)] = self.broadcast.acked.get(int(learner.sid), -1)
        old = self.configuration.members
        leader = next_leader(self.sid, old, members, acked)
        for learner in self.by_sid.values():
            if learner.is_live():
                learner.send_activation(proposal, leader)
        self.host.commit(proposal)
        self.configuration.commit(self.host, members)
        self.use_members(now_ms)
        if not remains_leader(self.sid, old, members):
            self.end_lead(-1 if leader == self.sid else leader)

    def use_members(self, now_ms: i64) -> None:
        """Count by the configuration in force."""
        members = self.configuration.members
        self.broadcast.use_members(members)
        for learner in self.by_sid.values():
            if learner.is_observer != (int(learner.sid) in members.observers):
                self.moving[int(learner.sid)] = int(now_ms + self.timing.sync_ms())

    def end_lead(self, next_leader: i64) -> None:
        """Commit nothing more, and wait until the learners have gone to the next leader."""
        self.is_open = False
        self.leaving = True
        self.next_leader = next_leader
        where = "an election" if next_leader < 0 else f"server {next_leader}"
        self.host.report(f"hands the lead over to {where}")

    def check_left(self, now_ms: i64) -> None:
        """Go once the learners have. It is they who end their links: what they have not read yet
        would be lost."""
        if not self.leaving or self.leave_by_ms == 0:
            return
        for learner in self.by_sid.values():
            if learner.is_live() and now_ms < self.leave_by_ms:
                return
        self.resign("its learners have gone to the next leader")

    def on_revalidate(self, learner: LearnerLink, packet: Packet) -> None:
        data = packet.data
        if data is None or len(data) < 12:
            raise ProtocolError("a REVALIDATE without a session")
        session_id = i64(int.from_bytes(data[:8], "big", signed=True))
        timeout_ms = i64(int.from_bytes(data[8:12], "big", signed=True))
        valid = self.host.on_revalidate(learner.sid, session_id, timeout_ms)
        answer = data[:8] + (b"\1" if valid else b"\0")
        write_packet(learner.link.out, peers.REVALIDATE, packet.zxid, answer)

    # Sync: only a leader that a quorum has confirmed since may answer (trust.md A22)

    def sync(self, sid: i64, session_id: i64) -> None:
        """A client of server `sid` wants everything that was written before now."""
        sync = PendingSync(sid, session_id, self.broadcast.proposed())
        sync.note_pings(self.by_sid)
        self.syncs.append(sync)
        self.syncs_waiting_for_ping = True
        if self.configuration.is_quorum({int(self.sid)}):
            self.answer_syncs()

    def answer_syncs(self) -> None:
        while self.syncs and self.syncs[0].zxid <= self.broadcast.committed:
            confirmed = self.syncs[0].confirmed_by(self.by_sid)
            confirmed.add(int(self.sid))
            if not self.configuration.is_quorum(confirmed):
                return
            sync = self.syncs.pop(0)
            if sync.sid == self.sid:
                self.host.on_synced(sync.session_id)
            else:
                learner = self.by_sid.get(int(sync.sid))
                if learner is not None and learner.stage == FOLLOWING:
                    learner.send_synced(sync.session_id)

    # Time

    def end_turn(self) -> None:
        """Send the PINGs that this turn's syncs wait for: one for all of them."""
        if self.syncs_waiting_for_ping:
            self.syncs_waiting_for_ping = False
            self.ping()

    def ping(self) -> None:
        zxid = self.broadcast.proposed() if self.phase >= ESTABLISHED else self.own_zxid
        for learner in self.by_sid.values():
            if learner.is_live():
                write_packet(learner.link.out, peers.PING, zxid)
                if learner.stage == FOLLOWING and self.phase == SERVING:
                    learner.pings_sent += 1  # before UPTODATE a learner answers none

    def on_time(self, now_ms: i64) -> None:
        if self.phase != SERVING:
            if now_ms >= self.deadline_ms:
                waited = ("FOLLOWERINFO", "ACKEPOCH", "ACK of NEWLEADER")[int(self.phase)]
                self.resign(f"no quorum of {waited} within {self.timing.init_ms()} ms")
                return
        for learner in list(self.learners.values()):
            reason = learner.overdue(now_ms, self.timing, self.phase == SERVING)
            if reason:
                self.drop(learner, reason)
        if now_ms >= self.next_ping_ms and self.phase >= ESTABLISHED:
            self.next_ping_ms = now_ms + self.timing.tick_ms // 2
            self.ping()
        if self.leaving and self.leave_by_ms == 0:
            self.leave_by_ms = now_ms + self.timing.tick_ms
        if self.phase == SERVING:
            self.check_quorum(now_ms)
            self.check_left(now_ms)

    def check_quorum(self, now_ms: i64) -> None:
        """A leader without a quorum of live followers leads nobody."""
        if self.phase != SERVING or self.leaving:
            return
        here = self.ready()
        for sid, until_ms in self.moving.items():
            if now_ms < until_ms:
                here.add(sid)
        if not self.configuration.is_quorum(here):
            self.resign(f"only servers {sorted(here)} are left, that is no quorum")

    def ready(self) -> set[int]:
        """Who stores what is proposed, this server among them, whether they have a vote or not."""
        here: set[int] = {int(self.sid)}
        for learner in self.by_sid.values():
            if learner.stage == FOLLOWING and not learner.is_observer:
                if int(learner.sid) not in self.moving:
                    here.add(int(learner.sid))
        return here
