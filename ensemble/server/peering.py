"""A member of an ensemble with its sockets: the replica's shell.

The election port and the quorum port, the links, the children that write snapshots for learners or
install one, and the alarm clock. All of it is served by the node's own poll, in its turns.
"""

import asyncio
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from ensemble.errors import ConfigError, StorageError
from ensemble.server.clock import wall_ms
from ensemble.server.election_port import ElectionPort
from ensemble.server.peer_net import PeerNet
from ensemble.server.peer_socket import PeerHandler, PeerSocket
from ensemble.server.poll import Poll
from ensemble.server.quorum_config import QuorumOptions
from ensemble.server.quorum_port import QuorumPort
from ensemble.server.quorum_tls import LOOK_EVERY_MS, Renewal, peer_security
from ensemble.server.replica import Replica
from ensemble.server.role_history import RoleHistory
from ensemble.server.shell import Shell
from ensemble.server.snapshots import Child
from ensemble.storage import replacement
from ensemble.tree.datatree import DataTree
from ensemble.tree.snapshot import write_stream
from ensemble.wire import peers
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Link
from ensemble.zab.members import Members

if TYPE_CHECKING:
    from ensemble.server.node import Node

log = logging.getLogger("ensemble.quorum")

READ_ONLY_AFTER_MS: Final = 2_000  # or a tick, if that is longer
LOOK_AGAIN_MS: Final = 1_000  # the alarm is never set further away


@final
class SocketLink(Link):
    """A stream between two quorum ports, as Zab sees it."""

    def __init__(self, id: int, sock: PeerSocket, port: QuorumPort) -> None:
        super().__init__(id)
        self.sock: Final = sock
        self.port: Final = port
        self.out = sock.out

    def check_is(self, sid: i64) -> None:
        self.port.check(self.sock, int(sid))

    def seal(self) -> None:
        self.sock.seal()

    def close(self, reason: str) -> None:
        self.sock.flush()
        self.sock.close(reason)

    def describe(self) -> str:
        return self.sock.name


@final
class LinkHandler(PeerHandler):
    """Hands what comes in to the replica."""

    def __init__(self, peering: "Peering", link: SocketLink) -> None:
        self.peering: Final = peering
        self.link: Final = link

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        self.peering.replica.get_peer().on_bytes(self.link, data)

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        self.peering.links.pop(self.link.id, None)
        self.peering.replica.get_peer().on_link_closed(self.link, reason)


@final
class Peering(Shell):
    """The shell. The node calls `begin_turn`, `end_turn` and `on_alarm`."""

    def __init__(self, node: "Node", options: QuorumOptions) -> None:
        self.node: Final = node
        self.options: Final = options
        self.links: Final[dict[int, SocketLink]] = {}
        self.next_link = 1
        self.sending: Final[set[Child]] = set()
        self.installing: Child | None = None
        self.renewal: Renewal | None = None
        self.alarm: asyncio.TimerHandle | None = None
        self.alarm_ms = 0
        self.elected_ms = 0
        self.roles: Final = RoleHistory()

    def attach(self, poll: Poll, now_ms: int) -> None:
        """Put the ports together; `poll` serves them."""
        options = self.options
        sid = self.node.config.server_id
        config = self.node.config
        security = peer_security(config, options)
        self.net = PeerNet(poll, now_ms)
        if options.reload_certificates and config.quorum_tls is not None:
            self.renewal = Renewal(security, config.quorum_tls, options)
            self.net.call_at(now_ms + LOOK_EVERY_MS, self.look_at_stores)
        self.election_port = ElectionPort(
            sid,
            self.net,
            security,
            self.on_notification,
            self.on_unreachable,
            self.on_reachable,
            self.node.refusals.note,
            options.connect_ms,
            options.handshake_ms,
            options.listen_everywhere,
        )
        self.quorum_port = QuorumPort(
            sid,
            self.net,
            security,
            self.on_accepted,
            self.on_connected,
            self.on_connect_failed,
            self.node.refusals.note,
            options.connect_ms,
            options.handshake_ms,
            options.listen_everywhere,
        )

    @property
    def replica(self) -> Replica:
        replica = self.node.replica
        assert replica is not None
        return replica

    def start(self) -> None:
        """Open the election port and look for a leader.

        Raises:
            OSError: the port cannot be bound.
        """
        members = everybody(self.node.configuration())
        self.election_port.set_members(members)
        self.quorum_port.set_members(members)
        self.election_port.start()
        self.replica.start(self.net.now_ms)

    def look_at_stores(self) -> None:
        """Take other certificates for who connects from now on; bad ones are told."""
        assert self.renewal is not None
        self.net.call_at(int(self.net.now_ms) + LOOK_EVERY_MS, self.look_at_stores)
        try:
            text = self.renewal.look()
        except ConfigError as error:
            log.error("the new certificates cannot be used, the old ones stay: %s", error)
            return
        if text:
            log.info("%s", text)
            self.election_port.renew_certificates()
            self.quorum_port.renew_certificates()

    def stop(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        self.cancel_install()
        for child in list(self.sending):
            child.kill()
        self.election_port.stop()
        self.quorum_port.cancel()
        self.quorum_port.stop_listening()
        self.net.close()

    # Turns

    def begin_turn(self, now_ms: int, wall_ms: int) -> None:
        self.net.now_ms = now_ms
        self.replica.set_time(now_ms, wall_ms)

    def end_turn(self) -> None:
        """After all input: deadlines, the log's batch, then one write to each link."""
        now_ms = int(self.net.now_ms)
        replica = self.replica
        peer = replica.get_peer()
        if now_ms >= self.net.deadline_ms or self.net.failing:
            self.net.on_time(now_ms)
        if now_ms >= peer.deadline_ms():
            replica.on_time()
        replica.end_turn()
        for link in list(self.links.values()):
            link.sock.flush()
        if self.net.failing:
            self.net.deliver_failures()
        self.set_alarm()

    def on_tick(self) -> None:
        """Local sessions expire here; without a leader for a while, readers are let in."""
        node = self.node
        if node.local_sessions is None:
            return
        if node.serving:
            node.stats.sessions_expired += node.local_sessions.expire()
        elif self.options.read_only and self.is_cut_off():
            node.local_sessions.begin_read_only()
            node.serving = True
            log.warning(
                "read-only: no leader for %d ms; clients may read what this server has",
                self.net.now_ms - self.replica.get_peer().looking_since_ms,
            )

    def is_cut_off(self) -> bool:
        """Whether this server has looked for a leader for long enough, as Apache's waits too."""
        peer = self.replica.get_peer()
        patience_ms = max(READ_ONLY_AFTER_MS, int(self.options.timing.tick_ms))
        return (
            peer.state == peers.LOOKING and self.net.now_ms - peer.looking_since_ms >= patience_ms
        )

    def set_alarm(self) -> None:
        """Have the loop call when the next deadline comes."""
        now_ms = int(self.net.now_ms)
        at_ms = min(int(self.net.deadline_ms), int(self.replica.deadline_ms()))
        at_ms = max(now_ms + 1, min(at_ms, now_ms + LOOK_AGAIN_MS))
        if self.alarm is not None:
            if now_ms < self.alarm_ms <= at_ms:
                return
            self.alarm.cancel()
        self.alarm_ms = at_ms
        self.alarm = self.node.loop.call_later((at_ms - now_ms) / 1_000, self.on_alarm)

    def on_alarm(self) -> None:
        self.alarm = None
        self.node.turn()

    # Shell: the network

    def send_notification(self, sid: int, frame: bytes) -> None:
        self.election_port.send(sid, frame)

    def connect(self, sid: int) -> None:
        self.quorum_port.connect(sid, self.options.learner_connect_ms)

    def listen(self) -> None:
        try:
            self.quorum_port.listen()
        except OSError as error:
            self.node.fail(error)

    def stop_listening(self) -> None:
        self.quorum_port.stop_listening()

    def on_notification(self, sid: int, payload: bytes) -> None:
        self.replica.get_peer().on_notification(sid, payload)

    def on_unreachable(self, sid: int) -> None:
        self.replica.get_peer().on_unreachable(sid)

    def on_reachable(self, sid: int) -> None:
        self.replica.get_peer().on_reachable(sid)

    def make_link(self, sock: PeerSocket) -> SocketLink:
        link = SocketLink(self.next_link, sock, self.quorum_port)
        self.next_link += 1
        self.links[link.id] = link
        return link

    def on_accepted(self, sock: PeerSocket) -> PeerHandler:
        link = self.make_link(sock)
        handler = LinkHandler(self, link)
        sock.handler = handler
        self.replica.get_peer().on_accepted(link)
        return handler

    def on_connected(self, sid: int, sock: PeerSocket) -> PeerHandler:
        link = self.make_link(sock)
        handler = LinkHandler(self, link)
        sock.handler = handler
        self.replica.get_peer().on_connected(link)
        return handler

    def on_connect_failed(self, sid: int, reason: str) -> None:
        self.replica.get_peer().on_connect_failed(sid, reason)

    # Shell: snapshots

    def send_snapshot(self, link: Link, tree: DataTree) -> None:
        """A child writes the tree of this instant into a pipe that the link reads."""
        assert isinstance(link, SocketLink)
        most = self.options.snap_syncs_max  # children that write a tree, at a time
        if len(self.sending) >= most:
            self.net.fail_later(link.sock, f"{most} snapshots are being sent")
            return
        read_fd, write_fd = os.pipe()
        try:
            child = Child(partial(write_tree, tree, write_fd), {write_fd})
        except OSError as error:
            os.close(read_fd)
            os.close(write_fd)
            self.net.fail_later(link.sock, f"cannot fork to send a snapshot: {error.strerror}")
            return
        os.close(write_fd)
        self.sending.add(child)
        child.watch(self.node.loop, self.on_sent)
        link.sock.stream_from(read_fd, nothing)

    def on_sent(self, child: Child, ok: bool) -> None:
        self.sending.discard(child)
        if not ok:
            log.error("a snapshot could not be sent whole: its learner will ask again")

    def install_snapshot(self, tree: DataTree) -> None:
        """A child writes the tree; then it takes the place of all that is on the disk."""
        node = self.node
        node.upkeep.snapshotter.stop()
        storage = node.config.storage
        write = partial(
            replacement.write,
            node.disk,
            node.layout,
            tree,
            storage.compression,
            storage.last_zxid_enabled,
        )
        try:
            child = Child(write, set())
        except OSError as error:
            node.fail(StorageError(f"cannot fork to write a snapshot: {error.strerror}"))
            return
        self.installing = child
        child.watch(node.loop, partial(self.on_installed, int(tree.last_zxid)))

    def on_installed(self, zxid: int, child: Child, ok: bool) -> None:
        if self.installing is not child:
            return
        self.installing = None
        node = self.node
        try:
            if not ok:
                raise StorageError("the leader's snapshot could not be written, see above")
            replacement.take_over(node.disk, node.layout, zxid, node.config.storage.compression)
        except StorageError as error:
            node.fail(error)
            return
        node.upkeep.last_snapshot = (zxid, time.time())
        node.set_clocks()
        self.replica.on_snapshot_installed()
        node.turn()

    def cancel_install(self) -> None:
        if self.installing is not None:
            self.installing.kill()
            self.installing = None

    def snapshot_due(self) -> None:
        self.node.upkeep.snapshot_due()

    # Shell: the rest

    def on_serving(self, state: int, epoch: int) -> None:
        self.cancel_install()
        if state == peers.LOOKING:
            self.quorum_port.cancel()
            # What it writes may be cut from the history before it is done.
            self.node.upkeep.snapshotter.stop()
        else:
            self.measure_role(state)
        self.node.on_role(state, epoch)
        self.note_role(state, epoch)

    def note_role(self, state: int, epoch: int) -> None:
        """For who asks afterwards when there were elections, and why."""
        peer = self.replica.get_peer()
        leader = 0
        if state == peers.LEADING:
            leader = self.options.sid
        elif state != peers.LOOKING and peer.learner is not None:
            leader = int(peer.learner.leader_sid)
        away_ms = 0 if state == peers.LOOKING else int(self.net.now_ms - peer.looking_since_ms)
        self.roles.begin(wall_ms(), self.node.mode(), epoch, leader, away_ms)

    def on_elected(self, took_ms: int) -> None:
        self.elected_ms = int(self.net.now_ms)
        self.node.stats.election_ms.record(took_ms)

    def measure_role(self, state: int) -> None:
        """How long it took until clients are served again."""
        stats = self.node.stats
        now_ms = int(self.net.now_ms)
        away_ms = now_ms - self.replica.get_peer().looking_since_ms
        stats.unavailable_ms.record(away_ms)
        if state == peers.LEADING:
            stats.leader_unavailable_ms.record(away_ms)
        elif state == peers.FOLLOWING:
            stats.follower_sync_ms.record(now_ms - self.elected_ms)
        else:
            stats.observer_sync_ms.record(now_ms - self.elected_ms)

    def on_members(self, configuration: Configuration) -> None:
        """Reach everybody where they are now; this server's own ports move with its line."""
        members = everybody(configuration)
        self.quorum_port.set_members(members)
        try:
            self.election_port.set_members(members)
        except OSError as error:
            self.node.fail(error)
            return
        own = configuration.members.servers.get(self.options.sid)
        if own is not None and own.client_address:
            self.node.move_client_port(own.client_address)

    def on_tree(self, tree: DataTree) -> None:
        self.node.tree = tree

    def report(self, text: str) -> None:
        self.roles.on_report(text)
        log.info("%s", text)


def everybody(configuration: Configuration) -> Members:
    """All servers that may have a say, where the committed configuration has them first."""
    members = configuration.members
    proposed = configuration.proposed
    if proposed is None:
        return members
    return Members(members.version, {**proposed.servers, **members.servers})


def nothing() -> None:
    """A snapshot has left; what comes behind it follows by itself."""


def write_tree(tree: DataTree, fd: int) -> None:
    """In a child: the tree's stream into a pipe."""
    for chunk in write_stream(tree):
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
