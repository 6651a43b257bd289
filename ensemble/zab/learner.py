"""A learner, follower or observer: from its FOLLOWERINFO to the last commit it hears of.

Source: zab.md 3 to 5. The order of what becomes durable is all here, in `take_new_leader`: history
first, epoch second, ack third.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import ConfigError, ProtocolError
from ensemble.wire import peers
from ensemble.wire.peers import (
    LearnerInfo,
    Packet,
    PacketBuffer,
    encode_learner_info,
    read_features,
    write_packet,
    write_request_packet,
)
from ensemble.wire.sealing import Unsealer
from ensemble.wire.zxid import format_zxid
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Host, Link, Proposal
from ensemble.zab.members import Members, parse_members
from ensemble.zab.reconfiguration import remains_leader
from ensemble.zab.synchronization import UNKNOWN_ZXID
from ensemble.zab.timing import Timing

CONNECTING: Final = 0
INTRODUCED: Final = 1  # LEADERINFO is awaited
PROMISED: Final = 2  # DIFF, TRUNC or SNAP is awaited
SYNCING: Final = 3
INSTALLING: Final = 4  # NEWLEADER has come; the snapshot is on its way to the disk
LOGGING: Final = 5  # the history's transactions are on their way to the disk
STORED: Final = 6  # acknowledged; UPTODATE is awaited
SERVING: Final = 7

PENDING_MAX: Final = 1_000_000  # proposals that wait for their commit


@final
class Learner:
    """The role. It ends when `failed` is not empty: the reason, for the log."""

    def __init__(
        self,
        host: Host,
        sid: i64,
        configuration: Configuration,
        timing: Timing,
        leader_sid: i64,
        is_observer: bool,
        accepted_epoch: i64,
        current_epoch: i64,
        last_zxid: i64,
        tail: list[Proposal],
        needs_snapshot: bool,
        now_ms: i64,
    ) -> None:
        self.host: Final = host
        self.sid: Final = sid
        self.configuration: Final = configuration
        self.timing: Final = timing
        self.leader_sid: Final = leader_sid
        self.is_observer: Final = is_observer
        self.accepted_epoch: i64 = accepted_epoch
        self.current_epoch: i64 = current_epoch
        self.needs_snapshot = needs_snapshot
        self.epoch: i64 = -1
        self.stage: i64 = CONNECTING
        self.failed = ""
        self.next_leader: i64 = -1  # with `failed`: go to this one without an election
        self.new_members: Members | None = None  # NEWLEADER's, committed with UPTODATE
        self.designated: i64 = -1  # by the commit of `designated_by`
        self.designated_by: i64 = 0
        self.link: Link | None = None
        self.packets: Final = PacketBuffer(timing.data_bytes_max)
        self.unsealer: Unsealer | None = None  # behind LEADERINFO
        self.features: i64 = 0
        self.receiving = False  # a snapshot's stream, not packets
        self.in_memory = False  # the tree came as a snapshot and the disk does not back it yet
        self.last_zxid: i64 = last_zxid  # of the last proposal that is known here
        self.tail: Final = tail  # the end of the log, which the tree does not show
        # Proposals in order that are not committed; and, until serving, how far they are.
        self.pending: Final[deque[Proposal]] = deque()
        self.committed: i64 = 0
        self.served_from: i64 = 0  # where the tree was when clients were taken
        self.history: list[Proposal] = []  # committed before NEWLEADER, to be logged then
        self.unacked: Final[deque[int]] = deque()  # on their way to the disk, to be acknowledged
        self.heard_ms: i64 = now_ms
        self.deadline_ms: Final[i64] = now_ms + timing.init_ms()

    def fail(self, reason: str) -> None:
        if not self.failed:
            self.failed = reason

    def close(self, reason: str) -> None:
        """The role is over."""
        if self.link is not None:
            self.link.close(reason)
            self.link = None

    # The link

    def on_connected(self, link: Link, now_ms: i64) -> None:
        """Introduce ourselves."""
        self.link = link
        self.heard_ms = now_ms
        type = peers.OBSERVER_INFO if self.is_observer else peers.FOLLOWER_INFO
        info = LearnerInfo(
            self.sid,
            peers.PROTOCOL_VERSION,
            self.configuration.members.version,
            self.timing.features,
        )
        zxid = self.accepted_epoch << 32
        write_packet(link.out, type, zxid, encode_learner_info(info, zxid))
        self.stage = INTRODUCED

    def on_bytes(self, data: bytes, now_ms: i64) -> None:
        """What the leader sends. Raises nothing: `failed` says what was wrong."""
        self.heard_ms = now_ms
        try:
            unsealer = self.unsealer
            if unsealer is not None:
                data = unsealer.feed(data)
                if not data:
                    return
            if self.receiving:
                rest = self.host.take_snapshot(data)
                if rest is None:
                    return
                self.receiving = False
                data = rest
            self.packets.feed(data)
            while not self.failed:
                packet = self.packets.next_packet()
                if packet is None:
                    break
                self.on_packet(packet)
                if self.receiving:
                    rest = self.host.take_snapshot(self.packets.take_rest())
                    if rest is None:
                        return
                    self.receiving = False
                    self.packets.feed(rest)
        except ProtocolError as error:
            self.fail(str(error))

    def on_packet(self, packet: Packet) -> None:
        if self.stage == SERVING:
            self.on_live(packet)
            return
        type = packet.type
        if self.stage >= SYNCING:
            self.on_history(packet)
        elif self.stage == INTRODUCED and type == peers.LEADER_INFO:
            self.promise(packet)
        elif self.stage == PROMISED and type == peers.DIFF:
            self.apply_tail(self.last_zxid)
            self.stage = SYNCING
        elif self.stage == PROMISED and type == peers.TRUNC:
            self.truncate(packet.zxid)
        elif self.stage == PROMISED and type == peers.SNAP:
            self.stage = SYNCING
            self.in_memory = True
            self.receiving = True
            self.last_zxid = packet.zxid
            self.tail.clear()
            self.host.begin_snapshot(packet.zxid)
        else:
            raise ProtocolError(f"the leader sent {peers.name_of(type)} too early")

    # Discovery

    def promise(self, packet: Packet) -> None:
        """LEADERINFO: follow no older leader from now on, if this one is not older itself."""
        self.epoch = packet.zxid >> 32
        self.features = read_features(packet.data, 4, packet.zxid) & self.timing.features
        epoch = self.current_epoch
        if self.epoch < self.accepted_epoch:
            raise ProtocolError(
                f"the leader's epoch is {self.epoch}, {self.accepted_epoch} was promised"
            )
        if self.epoch == self.accepted_epoch:
            epoch = -1
        else:
            self.host.save_accepted_epoch(self.epoch)
            self.accepted_epoch = self.epoch
        zxid = UNKNOWN_ZXID if self.needs_snapshot else self.last_zxid
        link = self.link
        assert link is not None
        if self.features & peers.SEALED != 0:
            link.seal()
            self.unsealer = Unsealer()
            self.packets.feed(self.unsealer.feed(self.packets.take_rest()))
        write_packet(link.out, peers.ACK_EPOCH, zxid, int(epoch & 0xFFFFFFFF).to_bytes(4, "big"))
        self.stage = PROMISED

    # Synchronization

    def truncate(self, zxid: i64) -> None:
        """TRUNC: what lies behind was never committed. The cut is durable before anything else."""
        known = zxid == self.host.last_zxid()
        for proposal in self.tail:
            known = known or proposal.zxid == zxid
        if not self.host.truncate(zxid, not known):
            self.needs_snapshot = True
            raise ProtocolError(
                f"cannot cut the history after {format_zxid(zxid)}, which it does not hold: "
                "a snapshot will be asked for"
            )
        self.apply_tail(zxid)
        self.last_zxid = zxid
        self.stage = SYNCING

    def apply_tail(self, up_to: i64) -> None:
        """The leader's history holds this much of the tail; what lies behind is cut."""
        for proposal in self.tail:
            if self.host.last_zxid() < proposal.zxid <= up_to:
                self.host.apply(proposal)
        self.tail.clear()

    def on_history(self, packet: Packet) -> None:
        """From DIFF, TRUNC or SNAP to UPTODATE (zab.md 4.3)."""
        type = packet.type
        if type == peers.PROPOSAL:
            self.take_proposal(packet)
        elif type == peers.COMMIT:
            self.take_commit(packet.zxid)
        elif type == peers.COMMIT_AND_ACTIVATE:
            self.read_designated(packet)
            self.take_commit(packet.zxid)
        elif type == peers.INFORM:
            self.take_proposal(packet)
            self.take_commit(packet.zxid)
        elif type == peers.INFORM_AND_ACTIVATE:
            self.take_proposal(self.read_designated(packet))
            self.take_commit(packet.zxid)
        elif type == peers.NEW_LEADER and self.stage == SYNCING:
            self.take_new_leader(packet)
        elif type == peers.UP_TO_DATE and self.stage == STORED:
            self.begin_serving()
        elif type != peers.PING and type != peers.SHARES:
            raise ProtocolError(f"{peers.name_of(type)} during synchronization")

    def take_proposal(self, packet: Packet) -> None:
        """A proposal joins the ones that wait for their commits; zxids have no gap."""
        zxid = packet.zxid
        payload = packet.data
        last = self.last_zxid
        if payload is None:
            raise ProtocolError(f"the proposal {format_zxid(zxid)} is empty")
        again = self.in_memory and not self.pending and zxid <= last
        if zxid != last + 1 and not again and not is_epoch_start(last, zxid):
            raise ProtocolError(f"{format_zxid(zxid)} does not follow {format_zxid(last)}")
        if len(self.pending) >= PENDING_MAX:
            raise ProtocolError(f"{PENDING_MAX} proposals wait for their commits")
        proposal = Proposal(zxid, payload)
        self.host.check(proposal)
        if proposal.members is not None and self.configuration.enabled:
            # Before it is logged: who acknowledges it goes by it (zab.md 10).
            self.configuration.propose(self.host, proposal.members)
        if not again:
            self.last_zxid = zxid
        self.pending.append(proposal)

    def take_commit(self, zxid: i64) -> None:
        """Proposals up to `zxid` are committed. In memory they are applied; else logged later."""
        if self.stage != SYNCING:
            # Behind NEWLEADER: they stay pending until this server serves (ZOOKEEPER-4394).
            if not self.pending or zxid > self.pending[-1].zxid:
                raise ProtocolError(f"the commit of {format_zxid(zxid)}, which was not proposed")
            self.committed = zxid
            return
        while True:
            if not self.pending:
                raise ProtocolError(f"the commit of {format_zxid(zxid)}, which was not proposed")
            head = self.pending[0]
            if head.zxid != zxid and (head.zxid > zxid or not self.is_cumulative()):
                raise ProtocolError(
                    f"the commit of {format_zxid(zxid)}, {format_zxid(head.zxid)} comes first"
                )
            self.pending.popleft()
            if self.in_memory:
                self.host.apply(head)
            else:
                self.history.append(head)
            if head.zxid == zxid:
                return

    def is_cumulative(self) -> bool:
        return self.features & peers.CUMULATIVE != 0

    def take_new_leader(self, packet: Packet) -> None:
        """NEWLEADER: the whole history is here. Store it, then the epoch, then acknowledge.

        The steps wait for the disk: `on_snapshot_installed` and `on_logged` go on.
        """
        if packet.zxid != self.epoch << 32:
            raise ProtocolError(f"NEWLEADER of {format_zxid(packet.zxid)} in epoch {self.epoch}")
        self.take_members(packet.data)
        if self.in_memory:
            self.stage = INSTALLING
            self.host.install_snapshot()
            return
        self.store_history()

    def take_members(self, text: bytes | None) -> None:
        """NEWLEADER's configuration is the last that the leader has seen; it replaces ours."""
        if not self.configuration.enabled or not text:
            return
        try:
            members = parse_members(text)
        except ConfigError as error:
            raise ProtocolError(f"the configuration in NEWLEADER: {error}") from None
        self.new_members = members
        for proposal in self.pending:  # not committed yet, and later than what the leader goes by
            later = proposal.members
            if later is not None and later.version > members.version:
                members = later
        self.configuration.propose(self.host, members)

    def on_snapshot_installed(self) -> None:
        if self.stage == INSTALLING:
            self.in_memory = False
            self.needs_snapshot = False
            self.store_history()

    def store_history(self) -> None:
        self.stage = LOGGING
        for proposal in self.history:
            self.host.append(proposal.zxid, proposal.payload)
        if not self.history:
            self.acknowledge_history()

    def acknowledge_history(self) -> None:
        for proposal in self.history:
            self.host.apply(proposal)
        self.history = []
        self.host.save_current_epoch(self.epoch)
        self.current_epoch = self.epoch
        self.stage = STORED
        self.send_ack(self.epoch << 32)

    def begin_serving(self) -> None:
        """UPTODATE: take clients, log and acknowledge what is proposed, apply what is committed."""
        self.send_ack(self.epoch << 32)
        members = self.new_members
        if members is not None and self.is_committed(members):
            self.activate(members, -1)
            if self.failed:
                return  # what is pending was not logged
        self.stage = SERVING
        self.served_from = self.host.last_zxid()
        state = peers.OBSERVING if self.is_observer else peers.FOLLOWING
        self.host.begin_serving(state, self.epoch)
        for proposal in self.pending:
            self.log(proposal.zxid, proposal.payload)
        self.commit_up_to(self.committed)

    def is_committed(self, members: Members) -> bool:
        """Whether NEWLEADER's configuration is more than a proposal that is still outstanding."""
        committed = self.last_zxid
        for proposal in self.pending:
            if proposal.zxid > self.committed:
                committed = proposal.zxid - 1
                break
        return members.version <= max(self.epoch << 32, committed)

    # Broadcast

    def log(self, zxid: i64, payload: bytes) -> None:
        self.unacked.append(int(zxid))
        self.host.append(zxid, payload)

    def on_live(self, packet: Packet) -> None:
        type = packet.type
        if type == peers.PROPOSAL:
            self.take_proposal(packet)
            payload = packet.data
            assert payload is not None
            self.log(packet.zxid, payload)
        elif type == peers.COMMIT:
            self.on_commit(packet.zxid)
        elif type == peers.PING:
            link = self.link
            assert link is not None
            write_packet(link.out, peers.PING, packet.zxid, self.host.take_touches())
        elif type == peers.INFORM:
            self.take_proposal(packet)
            payload = packet.data
            assert payload is not None
            self.log(packet.zxid, payload)
            self.commit_up_to(packet.zxid)
        elif type == peers.SYNC:
            data = packet.data
            session_id: i64 = 0
            if data is not None and len(data) == 8 and self.features & peers.TURNS != 0:
                session_id = i64(int.from_bytes(data, "big", signed=True))
            self.host.on_synced(session_id)
        elif type == peers.REVALIDATE:
            answer = packet.data
            if answer is None or len(answer) < 9:
                raise ProtocolError("an answer to REVALIDATE without a session")
            self.host.on_revalidated(
                i64(int.from_bytes(answer[:8], "big", signed=True)), answer[8] != 0
            )
        elif type == peers.SHARES:
            self.host.on_shares(self.leader_sid, packet.data or b"")
        elif type == peers.COMMIT_AND_ACTIVATE:
            self.read_designated(packet)
            self.on_commit(packet.zxid)
        elif type == peers.INFORM_AND_ACTIVATE:
            packet = self.read_designated(packet)
            self.take_proposal(packet)
            self.log(packet.zxid, packet.data or b"")
            self.commit_up_to(packet.zxid)
        else:
            self.host.report(f"the leader sent {peers.name_of(type)}: ignored")

    def on_commit(self, zxid: i64) -> None:
        if not self.pending:
            raise ProtocolError(f"the commit of {format_zxid(zxid)}, which was not proposed")
        if self.pending[0].zxid != zxid and not self.is_cumulative():
            raise ProtocolError(
                f"the commit of {format_zxid(zxid)}, "
                f"{format_zxid(self.pending[0].zxid)} comes first"
            )
        if zxid > self.pending[-1].zxid:
            raise ProtocolError(f"the commit of {format_zxid(zxid)}, which was not proposed")
        self.commit_up_to(zxid)

    def commit_up_to(self, zxid: i64) -> None:
        while self.pending and self.pending[0].zxid <= zxid and not self.failed:
            proposal = self.pending.popleft()
            self.host.commit(proposal)
            members = proposal.members
            if members is not None and self.configuration.enabled:
                self.activate(members, self.designated if self.designated_by == zxid else -1)

    # A reconfiguration (zab.md 7)

    def read_designated(self, packet: Packet) -> Packet:
        """Who leads from this commit on; what is left is the PROPOSAL that INFORM brings."""
        data = packet.data
        if data is None or len(data) < 8:
            raise ProtocolError(f"{peers.name_of(packet.type)} without a leader")
        self.designated = i64(int.from_bytes(data[:8], "big", signed=True))
        self.designated_by = packet.zxid
        return Packet(peers.PROPOSAL, packet.zxid, data[8:], None)

    def activate(self, members: Members, designated: i64) -> None:
        """A configuration is committed. If it gives this server another role or leader, it goes.

        Args:
            designated: who leads from here on, -1 where nobody has said so.
        """
        configuration = self.configuration
        old = configuration.members
        if not configuration.commit(self.host, members) or members.has_the_servers_of(old):
            return
        observer = int(self.sid) in members.observers
        if designated >= 0:
            if designated != self.leader_sid or observer != self.is_observer:
                self.go_to(designated)
        elif not remains_leader(self.leader_sid, old, members):
            self.fail(f"server {self.leader_sid} does not lead in the new configuration")
        elif observer != self.is_observer:
            self.go_to(self.leader_sid)

    def go_to(self, leader: i64) -> None:
        self.next_leader = leader
        self.fail(f"the new configuration has it follow server {leader} in another role")

    def on_logged(self, zxid: i64) -> None:
        """The disk holds everything up to `zxid`."""
        if self.stage == LOGGING:
            if self.history and zxid >= self.history[-1].zxid:
                self.acknowledge_history()
        elif self.stage == SERVING:
            self.acknowledge(zxid)

    def acknowledge(self, zxid: i64) -> None:
        """Every zxid by itself, in order; among our own servers the last one stands for all."""
        unacked = self.unacked
        last: i64 = 0
        while unacked and unacked[0] <= zxid:
            last = unacked.popleft()
            if not self.is_observer and not self.is_cumulative():
                self.send_ack(last)
        if last > 0 and not self.is_observer and self.is_cumulative():
            self.send_ack(last)

    def send_ack(self, zxid: i64) -> None:
        link = self.link
        if link is not None:
            write_packet(link.out, peers.ACK, zxid)

    def forward(self, data: bytes, encoded_ids: bytes) -> None:
        """Send a client's request to the leader."""
        link = self.link
        assert link is not None
        assert self.stage == SERVING
        write_request_packet(link.out, data, encoded_ids)

    def revalidate(self, session_id: i64, timeout_ms: i64) -> None:
        """Ask the leader whether a session is alive; it becomes this server's."""
        link = self.link
        assert link is not None
        assert self.stage == SERVING
        data = int(session_id).to_bytes(8, "big", signed=True)
        data += int(timeout_ms).to_bytes(4, "big", signed=True)
        write_packet(link.out, peers.REVALIDATE, -1, data)

    def on_time(self, now_ms: i64) -> None:
        if self.stage < STORED:
            if now_ms >= self.deadline_ms and self.stage < SYNCING:
                self.fail(f"not synchronized within {self.timing.init_ms()} ms")
            elif now_ms - self.heard_ms > self.timing.init_ms():
                self.fail(f"the leader is silent for {now_ms - self.heard_ms} ms")
        elif now_ms - self.heard_ms > self.timing.sync_ms():
            self.fail(f"the leader is silent for {now_ms - self.heard_ms} ms")


def is_epoch_start(last: i64, zxid: i64) -> bool:
    """Whether `zxid` is the first transaction of a later epoch."""
    return zxid & 0xFFFFFFFF == 1 and zxid >> 32 > last >> 32
