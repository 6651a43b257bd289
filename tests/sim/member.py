"""A member of an ensemble as a program of the simulation: the replica itself, in a shell of ours.

`Replica`, `Pipeline` and everything below them are the real ones; the shell stands where
`server/node.py` and `server/peering.py` stand, and does in the same order what they do.
"""

import posixpath
import re
from collections.abc import Callable

from ensemble.server.answers import Answers
from ensemble.server.auth.door import Door
from ensemble.server.auth.passwords import ApachePasswords
from ensemble.server.clock import ServingClock
from ensemble.server.config import AuthOptions
from ensemble.server.connection import Connection
from ensemble.server.contracts import SessionRules
from ensemble.server.local_sessions import LocalTable
from ensemble.server.membership import Membership
from ensemble.server.pipeline import Pipeline
from ensemble.server.replica import Replica
from ensemble.server.shell import ReplicaOptions, Shell
from ensemble.server.stats import ServerStats
from ensemble.storage import members_file, replacement, snapfile
from ensemble.storage.purge import purge
from ensemble.storage.recovery import RecoveryOptions
from ensemble.storage.smallfile import save_small
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.spec import ACTIVE, PERMISSIVE, Limits, TenantSpec
from ensemble.tree.acl import AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import PrepareOptions
from ensemble.tree.sessions import SessionTracker
from ensemble.tree.snapshot import write_stream
from ensemble.tree.snapshot_stream import StreamReader
from ensemble.tree.watches import WatchTable
from ensemble.wire import peers
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Link
from ensemble.zab.members import Members, parse_members
from ensemble.zab.peer import Peer
from ensemble.zab.timing import Timing
from tests.sim.budgeted import allow
from tests.sim.door import ClientDoor
from tests.sim.faults import Plan
from tests.sim.machine import LAYOUT, Machine, SimLog
from tests.sim.peered import Peered
from tests.sim.tap import Tap, Violation
from tests.sim.walled import Gatehouse
from tests.storage.simdisk import PowerCut

BYTES_MAX = 0xFFFFF
ZOO_CFG = "/srv/conf/zoo.cfg"
SNAPSHOT_TAKES_US = 30_000
PREALLOC_KB = 4
SNAPSHOTS_KEPT = 3


def copy_of(tree: DataTree) -> DataTree:
    """What a forked child sees: the tree of this instant, whatever happens to ours."""
    reader = StreamReader(tree.extended_types, tree.digest_enabled)
    for chunk in write_stream(tree):
        reader.feed(bytes(chunk))
    return reader.finish(int(tree.last_zxid)).tree


def tenant_spec(number: int) -> TenantSpec:
    """A tenant that limits nothing; the second weighs thrice as much."""
    weight = 300 if number == 1 else 100
    root = f"/tenants/t{number}".encode()
    return TenantSpec(f"t{number}", root, ACTIVE, PERMISSIVE, weight, Limits(), [], {}, False, 0)


class Member(Peered, Shell):
    """See the module."""

    def __init__(
        self, machine: Machine, plan: Plan, members: Members, timing: Timing, tap: Tap
    ) -> None:
        Peered.__init__(self, machine)
        self.plan = plan
        self.first_members = members
        self.timing = timing
        self.tap = tap
        self.clock = machine.clock
        self.serving_clock = ServingClock()
        self.state = peers.LOOKING
        self.local: LocalTable | None = None
        self.installing = 0  # counts installations, so that one that was called off is known
        self.snapshot_runs = False
        self.next_tick_ms = 0
        self.checked_zxid = 0
        self.durable_zxids: Callable[[], dict[int, int]] = dict
        self.gatehouse: Gatehouse | None = None
        self.on_turn: Callable[[str], None] = lambda slug: None
        self.rng = machine.rng

    @property
    def tree(self) -> DataTree:
        return self.replica.tree

    @property
    def is_serving(self) -> bool:
        return self.state != peers.LOOKING

    @property
    def members_version(self) -> int:
        """Of the configuration that is in force here."""
        return int(self.replica.membership.configuration.members.version)

    def start(self) -> None:
        machine, plan = self.machine, self.plan
        stats = ServerStats()
        door = Door(AuthOptions(), ApachePasswords(), stats, False)
        schemes = AclSchemes(door.schemes, False)
        self.log = self.tap.log(SimLog(machine, self.on_log_synced, PREALLOC_KB))
        self.replica = Replica(
            machine.sid,
            self.membership(),
            self.timing,
            ReplicaOptions(
                PrepareOptions(True, False, True, True, plan.reconfig, BYTES_MAX, BYTES_MAX),
                RecoveryOptions(True, False, True, True, plan.commit_log_count),
                True,
                plan.commit_log_count,
                plan.local_sessions,
            ),
            machine.disk,
            LAYOUT,
            self.log,
            self,
            schemes,
        )
        self.replica.recover()
        tree = self.replica.tree
        found = int(tree.last_zxid)
        # Of a disk that forgets counts what was there once. More is there where a sync had failed
        # and what it should have kept is found after all.
        machine.durable_zxid = max(found, machine.durable_zxid) if machine.forgetful else found
        self.tracker = SessionTracker(plan.tick_ms)
        watches = WatchTable()
        # As `node.first_session_id`: the clock makes ids of two lives of a server differ.
        first_id = (machine.sid << 56) | ((self.clock.wall_ms() << 24) >> 8 & (1 << 56) - 1)
        rules = SessionRules(first_id, 2 * plan.tick_ms, 20 * plan.tick_ms)
        self.pipeline = Pipeline(
            tree,
            schemes,
            self.tracker,
            watches,
            Answers(tree, schemes, watches, 1_000),
            self.replica,
            door,
            False,
            rules,
            stats,
        )
        self.replica.pipeline = self.pipeline
        turns = self.replica.turns
        directory = Directory()
        for number in range(0 if plan.walled else plan.tenants):
            directory.put(tenant_spec(number))
        self.replica.use_tenants(directory, 100, True)
        turns.window = turns.window_alone = plan.window
        self.waited = 0
        self.pipeline.serving = False
        if plan.local_sessions:
            self.local = LocalTable(self.pipeline, plan.tick_ms, True, True)
            self.pipeline.locals = self.local
        self.plan_snapshot()
        if self.replica.fresh:
            snapfile.save(machine.disk, LAYOUT, tree)
        self.door = ClientDoor(machine, lambda: self.pipeline, plan.tenants)
        if plan.walled:
            self.gatehouse = Gatehouse(self.pipeline, directory)
            self.door.admits = self.admits
        self.door.open()
        self.set_clocks()
        machine.network.elections.start(machine.sid, self)
        self.replica.start(self.clock.monotonic_ms())
        self.deadline_ms = self.clock.monotonic_ms()

    def membership(self) -> Membership:
        """As `quorum_config` and `node` do: what zoo.cfg says, or the file that it names."""
        disk, sid = self.machine.disk, self.machine.sid
        if not self.plan.reconfig:
            return Membership(disk, "", sid, self.first_members, True)
        if not disk.exists(ZOO_CFG):
            disk.make_folder(posixpath.dirname(ZOO_CFG))
            save_small(disk, ZOO_CFG, b"tickTime=200\n")
        named = re.search(rb"dynamicConfigFile=(.*)\n", disk.read(ZOO_CFG))
        members = self.first_members
        if named is not None:
            members = parse_members(members_file.load(disk, named[1].decode()))
        return Membership(disk, ZOO_CFG, sid, members, True)

    def get_peer(self) -> Peer:
        return self.replica.get_peer()

    # Turns

    def set_clocks(self) -> None:
        now_ms = self.clock.monotonic_ms()
        self.pipeline.now_ms = self.serving_clock.now_ms(now_ms)
        self.pipeline.now_us = self.pipeline.now_ms * 1_000
        self.replica.set_time(now_ms, self.clock.wall_ms())

    def on_time(self) -> None:
        self.set_clocks()
        now_ms = self.clock.monotonic_ms()
        if now_ms >= self.next_tick_ms:
            self.next_tick_ms = now_ms + max(10, self.plan.tick_ms // 2)
            if self.is_serving and self.replica.is_leading():
                self.pipeline.expire_sessions()
            if self.is_serving and self.local is not None:
                self.local.expire()

    def on_log_synced(self) -> None:
        self.set_clocks()
        self.replica.on_log_synced()

    def end_turn(self) -> None:
        self.set_clocks()
        peer = self.get_peer()
        if self.clock.monotonic_ms() >= peer.deadline_ms():
            self.replica.on_time()
        self.replica.end_turn()
        self.count_waited()
        if self.is_serving:
            self.tap.applied(self.machine.sid, self.tree)
            if self.replica.is_leading():
                self.check_durable()
        self.flush_links()
        self.door.flush()
        if self.gatehouse is not None:
            self.end_gate_turn(self.gatehouse)
        self.deadline_ms = min(int(self.replica.deadline_ms()), self.next_tick_ms)
        if self.deadline_ms <= self.clock.monotonic_ms():
            self.deadline_ms = self.clock.monotonic_ms() + 1

    def admits(self, conn: Connection, client: str) -> bool:
        assert self.gatehouse is not None
        has_room = self.gatehouse.admit(conn, client)
        if not has_room:
            self.count("no room for a connection")
        return has_room

    def end_gate_turn(self, gatehouse: Gatehouse) -> None:
        gatehouse.gate.end_turn(self.pipeline.now_us)
        for slug in gatehouse.directory.by_slug:
            self.on_turn(slug)

    def count_waited(self) -> None:
        waited = int(self.replica.turns.waited)
        if waited > self.waited:
            self.tap.counts["waited for a turn"] = (
                self.tap.counts.get("waited for a turn", 0) + waited - self.waited
            )
            self.waited = waited

    def check_durable(self) -> None:
        """I9: what a leader has applied is on the platters of a quorum."""
        zxid = int(self.tree.last_zxid)
        if zxid == self.checked_zxid:
            return
        self.checked_zxid = zxid
        ends = self.durable_zxids()
        members = self.replica.membership.configuration.members
        if not members.is_quorum({sid for sid, end in ends.items() if end >= zxid}):
            raise Violation(f"I9: {zxid:#x} is committed, platters end at {ends}")

    # Shell

    def count(self, what: str) -> None:
        self.tap.counts[what] = self.tap.counts.get(what, 0) + 1

    def send_snapshot(self, link: Link, tree: DataTree) -> None:
        """What a child would write of this instant goes behind what `out` holds."""
        self.count("SNAP sent")
        for chunk in write_stream(tree):
            link.out.write(bytes(chunk))

    def install_snapshot(self, tree: DataTree) -> None:
        self.count("SNAP installed")
        self.installing += 1
        delay = self.rng.randrange(SNAPSHOT_TAKES_US)
        self.world.after(delay, self.installed, self.machine.life, self.installing, copy_of(tree))

    def installed(self, life: int, number: int, tree: DataTree) -> None:
        machine = self.machine
        if life != machine.life:
            return

        def install() -> None:
            replacement.write(machine.disk, LAYOUT, tree)
            if number == self.installing:
                replacement.take_over(machine.disk, LAYOUT, int(tree.last_zxid))
                machine.durable_zxid = int(tree.last_zxid)
                self.set_clocks()
                self.replica.on_snapshot_installed()

        machine.put(install)

    def snapshot_due(self) -> None:
        if self.snapshot_runs or not self.is_serving:
            return
        self.count("snapshot")
        self.replica.txns_since_snapshot = 0
        self.replica.log_bytes_since_snapshot = 0
        self.plan_snapshot()
        self.replica.batch.roll = True
        self.snapshot_runs = True
        delay = self.rng.randrange(SNAPSHOT_TAKES_US)
        self.world.after(
            delay, self.snapshot_done, self.machine.life, self.installing, copy_of(self.tree)
        )

    def snapshot_done(self, life: int, installing: int, tree: DataTree) -> None:
        """A child has come so far; an installation ends it before."""
        machine = self.machine
        if life != machine.life:
            return
        self.snapshot_runs = False
        if installing != self.installing:
            return
        try:
            snapfile.save(machine.disk, LAYOUT, tree)
            if self.rng.random() < self.plan.purge_odds:
                purge(machine.disk, LAYOUT, SNAPSHOTS_KEPT)
        except PowerCut as cut:
            machine.lose_power(cut)
        except Exception as error:  # the child fails, the server lives on
            self.world.note(f"server {machine.sid}: no snapshot: {error}")

    def plan_snapshot(self) -> None:
        half = max(1, self.plan.snap_count // 2)
        self.replica.snapshot_at = half + self.rng.randrange(half)
        self.replica.snapshot_at_bytes = 1 << 62

    def on_serving(self, state: int, epoch: int) -> None:
        self.state = int(state)
        if state == peers.LOOKING:
            self.connecting += 1
            self.installing += 1
            return
        self.count(f"serving as {peers.STATE_NAMES[int(state)]}")
        allow(self.tree, self.plan.allowances)
        if state == peers.LEADING:
            self.tap.serving(self.machine.sid, int(epoch), int(self.tree.last_zxid))
        self.tap.applied(self.machine.sid, self.tree)

    def on_members(self, configuration: Configuration) -> None:
        """Here everybody is found under its number."""
        members = configuration.members
        if members.version > 0 and configuration.proposed is None:
            self.tap.members(int(members.version), members.text())

    def on_tree(self, tree: DataTree) -> None:
        """From a snapshot (its installation makes it durable) or from the disk."""

    def report(self, text: str) -> None:
        for kind in (" DIFF and 0 ", " DIFF ", " TRUNC ", " SNAP "):
            if kind in text and " ends at " in text:
                self.count(kind.strip())
                break
        self.world.tell(lambda: f"server {self.machine.sid}: {text}")
