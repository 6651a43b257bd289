"""One member of an ensemble: looks for a leader, leads, or learns, and begins again.

Source: election.md 4, zab.md 2. Whatever ends a role leads through the same door, `leave`: every
link is closed, the log is waited for, and the tree is brought to the end of what the disk holds.
What this server says of itself afterwards is what it would say after a crash (ZOOKEEPER-2845).
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire import peers
from ensemble.wire.jute import MarshallingError
from ensemble.wire.peers import Notification, read_notification, sealed_frame
from ensemble.wire.zxid import format_zxid
from ensemble.zab import leader as leaders
from ensemble.zab import learner as learners
from ensemble.zab.backing import Backing
from ensemble.zab.configuration import Configuration
from ensemble.zab.counts import Counts
from ensemble.zab.election import (
    UNKNOWN_ROUND,
    Adopt,
    Effect,
    Elected,
    Election,
    Send,
    Vote,
)
from ensemble.zab.host import Host, Link, Proposal
from ensemble.zab.leader import Leader
from ensemble.zab.learner import Learner
from ensemble.zab.members import Members
from ensemble.zab.timing import Timing

SETTLING: Final = -1  # a role has ended and the log is not idle yet
NEVER_MS: Final = 1 << 62
ROLE_TICKS_PER_TICK: Final = 10  # how often a role looks at the clock
# After a role that came to nothing: so much longer each time before the next search, at most so
# long. A leader that refuses this server must not be asked in a loop.
PAUSE_STEP_MS: Final = 25
PAUSE_MS_MAX: Final = 200
# A role that hands over to a designated leader ends a moment later: what it has answered in this
# turn leaves before its clients are cut.
HAND_OVER_MS: Final = 1


@final
class Peer:
    """The state machine. `now_ms` is set by the caller before each call, and only moves forward.

    The caller passes everything that happens on: notifications, links, bytes, what the disk has
    finished; and calls `on_time` at `deadline_ms` at the latest, `end_turn` at each turn's end.
    """

    def __init__(
        self,
        host: Host,
        sid: i64,
        configuration: Configuration,
        timing: Timing,
        accepted_epoch: i64,
        current_epoch: i64,
    ) -> None:
        assert 0 <= current_epoch <= accepted_epoch
        self.host: Final = host
        self.sid: Final = sid
        self.configuration: Final = configuration
        self.timing: Final = timing
        self.accepted_epoch: i64 = accepted_epoch
        self.current_epoch: i64 = current_epoch
        self.election: Final = Election(
            sid,
            configuration.members,
            configuration.enabled,
            timing.resend_ms_min,
            timing.resend_ms_max,
        )
        self.election.set_members(configuration.members, configuration.proposed)
        self.state: i64 = SETTLING
        self.now_ms: i64 = 0
        self.leader: Leader | None = None
        self.backing: Backing | None = None  # beside a leader that was elected
        self.learner: Learner | None = None
        self.needs_snapshot = False
        self.reload_needed = False
        # Logged in roles that have ended, and committed by nobody as far as is known: the end
        # of its history, which the tree does not show. A leader applies it, a learner applies or
        # cuts it as its leader says: so a cut seldom needs the tree to be loaded again.
        self.tail: list[Proposal] = []
        self.logging: list[Proposal] = []  # of the role that is ending: in the tail once durable
        # What came in while settling: the last notification of each server.
        self.held: dict[int, Notification] = {}
        self.role_deadline_ms: i64 = 0
        self.looking_since_ms: i64 = 0
        self.failures: i64 = 0  # roles in a row that came to nothing
        self.pause_until_ms: i64 = 0
        self.counts: Final = Counts()  # of roles that have ended; `count` has the present one, too
        self.next_leader: i64 = -1  # designated: its role is taken without a search
        self.hand_over_ms: i64 = NEVER_MS

    @property
    def members(self) -> Members:
        """The configuration in force."""
        return self.configuration.members

    def start(self) -> None:
        """Look for a leader. The log is idle, and the tree is at its end."""
        self.settle()

    # The end of a role, and the search

    def leave(self, reason: str) -> None:
        """The role is over."""
        self.host.report(f"no longer {self.role_name()}: {reason}")
        leader = self.leader
        learner = self.learner
        self.failures += 1
        if self.has_served():
            self.failures = 0
        self.hand_over_ms = NEVER_MS
        self.pause_until_ms = self.now_ms + min(PAUSE_MS_MAX, PAUSE_STEP_MS * self.failures)
        self.logging = []
        if leader is not None:
            self.counts.add_leader(leader)
            leader.close(reason)
            self.accepted_epoch = max(self.accepted_epoch, leader.epoch)
            if leader.phase >= leaders.ESTABLISHED:
                self.current_epoch = leader.epoch
            self.logging = list(leader.broadcast.outstanding)
            self.next_leader = leader.next_leader
            self.host.stop_listening()
        if learner is not None:
            self.counts.add_learner(learner)
            learner.close(reason)
            self.next_leader = learner.next_leader
            self.accepted_epoch = learner.accepted_epoch
            self.current_epoch = learner.current_epoch
            self.needs_snapshot = learner.needs_snapshot
            if learner.in_memory:
                # The disk does not back this tree (ZOOKEEPER-3642, 5094).
                self.reload_needed = True
            elif learner.stage == learners.LOGGING:
                self.logging = learner.history
            elif learner.stage == learners.SERVING:
                self.logging = list(learner.pending)
        self.leader = None
        self.learner = None
        self.state = SETTLING
        if self.next_leader >= 0:
            self.pause_until_ms = self.now_ms
        self.host.stop_serving(reason)
        self.settle()

    def settle(self) -> None:
        """Go on once the log is idle."""
        if (
            self.state != SETTLING
            or self.now_ms < self.pause_until_ms
            or not self.host.log_is_idle()
        ):
            return
        if self.reload_needed:
            self.reload_needed = False
            self.tail = []
            self.host.reload()
        self.tail.extend(self.logging)
        self.logging = []
        if self.next_leader >= 0:
            self.follow_designated()
        else:
            self.look()
        held = self.held
        self.held = {}
        for sid, notification in held.items():
            if self.state == SETTLING:
                return
            self.perform(self.election.on_notification(sid, notification, self.now_ms))

    def log_end(self) -> i64:
        """The last zxid of the history on this server's disk; the log is idle."""
        return self.tail[-1].zxid if self.tail else self.host.last_zxid()

    def has_served(self) -> bool:
        """Whether the role got as far as taking clients."""
        leader = self.leader
        learner = self.learner
        if leader is not None:
            return leader.phase == leaders.SERVING
        return learner is not None and learner.stage == learners.SERVING

    def look(self) -> None:
        self.state = peers.LOOKING
        self.looking_since_ms = self.now_ms
        self.counts.searches += 1
        zxid = self.log_end()
        self.host.report(f"looking for a leader: epoch {self.current_epoch}, {format_zxid(zxid)}")
        self.perform(self.election.look(zxid, self.current_epoch, self.now_ms))

    def follow_designated(self) -> None:
        """Take the role that a reconfiguration has given; if that fails there is a search."""
        leader = self.next_leader
        self.next_leader = -1
        self.looking_since_ms = self.now_ms
        if leader == self.sid and int(leader) not in self.members.voters:
            self.look()
            return
        self.take_role(Vote(leader, self.log_end(), UNKNOWN_ROUND, UNKNOWN_ROUND))

    def adopt(self, members: Members) -> None:
        """A server that is looked with knows a newer configuration (election.md 2.1)."""
        if self.state != peers.LOOKING or not self.configuration.commit(self.host, members):
            return
        self.host.report(f"takes over configuration {members.version:#x}")
        self.tell_election()
        self.look()

    def tell_election(self) -> None:
        """The election goes by both configurations, too."""
        if self.configuration.changed:
            self.configuration.changed = False
            self.election.set_members(self.configuration.members, self.configuration.proposed)

    def perform(self, effects: list[Effect]) -> None:
        elected: Vote | None = None
        for effect in effects:
            if isinstance(effect, Send):
                self.host.send_notification(effect.sid, sealed_frame(effect.notification))
            elif isinstance(effect, Elected):
                elected = effect.vote
            elif isinstance(effect, Adopt):
                self.adopt(effect.members)
        if elected is not None and self.state == peers.LOOKING:
            self.take_role(elected)

    def take_role(self, vote: Vote) -> None:
        took_ms = self.now_ms - self.looking_since_ms
        self.host.end_search(took_ms)
        self.role_deadline_ms = self.now_ms
        zxid = self.log_end()
        if vote.leader == self.sid:
            for proposal in self.tail:
                self.host.apply(proposal)
            self.tail = []
            self.state = peers.LEADING
            self.host.report(f"leading, elected in {took_ms} ms (round {vote.round})")
            self.election.take_role(peers.LEADING, vote)
            self.host.listen()
            # A designated leader has no round: nobody votes for it.
            self.backing = None
            if vote.round > 0:
                self.backing = Backing(self.sid, vote.round, self.configuration)
            self.leader = Leader(
                self.host,
                self.sid,
                self.configuration,
                self.timing,
                self.accepted_epoch,
                self.current_epoch,
                zxid,
                self.now_ms,
            )
            self.check_roles()
            return
        observer = int(self.sid) in self.members.observers
        self.state = peers.OBSERVING if observer else peers.FOLLOWING
        self.host.report(
            f"{self.role_name()} server {vote.leader}, elected in {took_ms} ms (round {vote.round})"
        )
        self.election.take_role(self.state, vote)
        self.learner = Learner(
            self.host,
            self.sid,
            self.configuration,
            self.timing,
            vote.leader,
            observer,
            self.accepted_epoch,
            self.current_epoch,
            zxid,
            self.tail,
            self.needs_snapshot,
            self.now_ms,
        )
        self.host.connect(vote.leader)

    def count(self) -> Counts:
        """What all roles have done until now."""
        counts = self.counts.copy()
        if self.leader is not None:
            counts.add_leader(self.leader)
        if self.learner is not None:
            counts.add_learner(self.learner)
        return counts

    def phase_name(self) -> str:
        """Zab's phase, as Apache's servers call it."""
        leader = self.leader
        learner = self.learner
        if leader is not None:
            if leader.phase == leaders.SERVING:
                return "broadcast"
            return "synchronization" if leader.phase == leaders.ESTABLISHED else "discovery"
        if learner is not None:
            if learner.stage == learners.SERVING:
                return "broadcast"
            return "synchronization" if learner.stage >= learners.SYNCING else "discovery"
        return "election"

    def role_name(self) -> str:
        if self.state == SETTLING:
            return "settling"
        return peers.STATE_NAMES[int(self.state)]

    def check_roles(self) -> None:
        """After each input: does another configuration count, has the role ended?"""
        self.tell_election()
        leader = self.leader
        if leader is not None and leader.resigned:
            self.leave(leader.resigned)
        learner = self.learner
        if learner is not None and learner.failed:
            if learner.next_leader < 0 or learner.link is None:
                self.leave(learner.failed)
            elif self.hand_over_ms == NEVER_MS:
                self.hand_over_ms = self.role_deadline_ms = self.now_ms + HAND_OVER_MS
            elif self.now_ms >= self.hand_over_ms:
                self.leave(learner.failed)

    # Inputs

    def on_notification(self, sender: i64, payload: bytes) -> None:
        """A message of the election port. What cannot be read is dropped (ZOOKEEPER-3769)."""
        try:
            notification = read_notification(payload)
        except MarshallingError as error:
            self.host.report(f"dropped a message of server {sender}: {error}")
            return
        if self.state == SETTLING:
            if sender in self.members.servers:
                self.held[int(sender)] = notification
            return
        self.perform(self.election.on_notification(sender, notification, self.now_ms))
        leader = self.leader
        backing = self.backing
        if leader is not None and backing is not None and leader.phase == leaders.DISCOVERY:
            backing.on_notification(sender, notification)
            if backing.is_lost():
                leader.resign(f"servers {sorted(backing.away)} have voted for others since")
                self.check_roles()

    def on_unreachable(self, sid: i64) -> None:
        """A server's election port cannot be reached, or its connection has ended."""
        # In every state: the connection of a killed leader breaks while its followers settle, and
        # the search that follows need not wait for its vote.
        self.perform(self.election.on_unreachable(sid, self.now_ms))

    def on_reachable(self, sid: i64) -> None:
        self.election.on_reachable(sid)

    def on_accepted(self, link: Link) -> None:
        leader = self.leader
        if leader is None:
            link.close("this server does not lead")
        else:
            leader.on_accepted(link, self.now_ms)

    def on_connected(self, link: Link) -> None:
        learner = self.learner
        if learner is None or learner.link is not None:
            link.close("the role has ended")
        else:
            learner.on_connected(link, self.now_ms)

    def on_connect_failed(self, sid: i64, reason: str) -> None:
        learner = self.learner
        if learner is not None and learner.leader_sid == sid and learner.link is None:
            self.leave(f"server {sid} cannot be reached: {reason}")

    def on_bytes(self, link: Link, data: bytes) -> None:
        leader = self.leader
        learner = self.learner
        if leader is not None:
            leader.on_bytes(link, data, self.now_ms)
        elif learner is not None and learner.link is link:
            learner.on_bytes(data, self.now_ms)
        self.check_roles()

    def on_link_closed(self, link: Link, reason: str) -> None:
        leader = self.leader
        learner = self.learner
        if leader is not None:
            leader.on_link_closed(link, self.now_ms)
        elif learner is not None and learner.link is link:
            learner.link = None
            learner.fail(f"the connection to the leader ended: {reason}")
        self.check_roles()

    def on_logged(self, zxid: i64) -> None:
        """The disk holds everything that was appended up to `zxid`."""
        leader = self.leader
        learner = self.learner
        if leader is not None:
            leader.on_logged(zxid, self.now_ms)
        elif learner is not None:
            learner.on_logged(zxid)
        self.check_roles()

    def on_log_idle(self) -> None:
        self.settle()

    def on_snapshot_installed(self) -> None:
        learner = self.learner
        if learner is not None:
            learner.on_snapshot_installed()
            self.check_roles()

    def on_served(self, epoch: i64) -> None:
        """The host serves: who asks hears of the leader's new epoch (election.md 3.4)."""
        self.election.serve(epoch)

    def end_turn(self) -> None:
        leader = self.leader
        if leader is not None:
            leader.end_turn()

    # Time

    def deadline_ms(self) -> i64:
        """When `on_time` is due."""
        deadline: i64 = NEVER_MS
        if self.state != SETTLING:
            deadline = self.election.deadline_ms
        elif self.host.log_is_idle():
            # Also where it lies in the past: the clock may have been set since it was looked at.
            return self.pause_until_ms
        if self.leader is not None or self.learner is not None:
            deadline = min(deadline, self.role_deadline_ms)
        return deadline

    def on_time(self) -> None:
        if self.state == SETTLING:
            self.settle()
        if self.state != SETTLING and self.now_ms >= self.election.deadline_ms:
            self.perform(self.election.on_time(self.now_ms))
        if self.now_ms < self.role_deadline_ms:
            return
        self.role_deadline_ms = self.now_ms + self.timing.tick_ms // ROLE_TICKS_PER_TICK
        leader = self.leader
        learner = self.learner
        if leader is not None:
            leader.on_time(self.now_ms)
        elif learner is not None:
            learner.on_time(self.now_ms)
        self.check_roles()

    # The server's requests

    def propose(self, proposal: Proposal) -> None:
        """Leader: order a transaction; `next_zxid` gives its zxid."""
        leader = self.leader
        assert leader is not None
        leader.propose(proposal, self.now_ms)
        self.tell_election()

    def next_zxid(self) -> i64:
        leader = self.leader
        assert leader is not None
        return leader.next_zxid()

    def sync(self, session_id: i64) -> None:
        """Leader: a client of this server asks for a sync; `Host.on_synced` follows."""
        leader = self.leader
        assert leader is not None
        leader.sync(self.sid, session_id)
