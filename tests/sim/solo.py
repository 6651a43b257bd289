"""A server that stands alone, as a program of the simulation: no peers, everything else.

It holds the world, the clients and the checkers to account without Zab between them, and it is the
single node's own simulation: crashes at every effect, torn writes, failing disks.
"""

from ensemble.server.answers import Answers
from ensemble.server.auth.door import Door
from ensemble.server.auth.passwords import ApachePasswords
from ensemble.server.config import AuthOptions
from ensemble.server.contracts import SessionRules
from ensemble.server.pipeline import Pipeline
from ensemble.server.standalone import StandaloneAuthority
from ensemble.server.stats import ServerStats
from ensemble.storage import snapfile
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.tree.acl import AclSchemes
from ensemble.tree.prepare import PrepareOptions, Preparer
from ensemble.tree.sessions import SessionTracker
from ensemble.tree.watches import WatchTable
from tests.sim.budgeted import Allowance, allow
from tests.sim.door import ClientDoor
from tests.sim.faults import Change, Plan, as_it_is, plan_of
from tests.sim.machine import LAYOUT, Machine, Program, SimLog
from tests.sim.run import Outcome, Run, run_seed
from tests.sim.tap import Tap

BYTES_MAX = 0xFFFFF
ENSEMBLE_ONLY = ("partition", "isolate_leader", "one_way", "all_power", "broken_sync", "lagging")


class Solo(Program):
    """See the module. The same parts as `server/node.py`, put together in the same way."""

    def __init__(
        self,
        machine: Machine,
        tap: Tap,
        tick_ms: int,
        snap_count: int,
        allowances: tuple[Allowance, ...],
    ) -> None:
        self.machine = machine
        self.tap = tap
        self.tick_ms = tick_ms
        self.snap_count = snap_count
        self.allowances = allowances
        self.clock = machine.clock

    def start(self) -> None:
        machine = self.machine
        recovered = recover(machine.disk, LAYOUT, RecoveryOptions(True, True, True, True))
        tree = self.tree = recovered.tree
        allow(tree, self.allowances)
        stats = ServerStats()
        door = Door(AuthOptions(), ApachePasswords(), stats, False)
        schemes = AclSchemes(door.schemes, False)
        options = PrepareOptions(True, False, True, True, False, BYTES_MAX, BYTES_MAX)
        self.log = self.tap.log(SimLog(machine, self.on_log_synced, 4))
        self.authority = StandaloneAuthority(tree, Preparer(tree, schemes, options), self.log)
        self.tracker = SessionTracker(self.tick_ms)
        watches = WatchTable()
        first_id = (machine.sid << 56) | (machine.life << 24)
        rules = SessionRules(first_id, 2 * self.tick_ms, 20 * self.tick_ms)
        self.pipeline = Pipeline(
            tree,
            schemes,
            self.tracker,
            watches,
            Answers(tree, schemes, watches, 1_000),
            self.authority,
            door,
            False,
            rules,
            stats,
        )
        self.authority.pipeline = self.pipeline
        if recovered.fresh:
            snapfile.save(machine.disk, LAYOUT, tree)
        self.set_clocks()
        for session_id, timeout_ms in tree.sessions.items():
            self.tracker.add(session_id, timeout_ms, self.pipeline.now_ms)
        for owner in list(tree.ephemerals):
            if owner not in tree.sessions:
                self.pipeline.close_session(owner)
        self.tap.forget_after(int(tree.last_zxid))
        self.door = ClientDoor(machine, lambda: self.pipeline)
        self.door.open()
        self.deadline_ms = self.clock.monotonic_ms() + self.tick_ms // 2

    def set_clocks(self) -> None:
        self.pipeline.now_ms = self.clock.monotonic_ms()
        self.pipeline.now_us = self.pipeline.now_ms * 1_000
        self.authority.wall_ms = self.clock.wall_ms()

    def on_time(self) -> None:
        self.deadline_ms = self.clock.monotonic_ms() + self.tick_ms // 2
        self.set_clocks()
        self.pipeline.expire_sessions()

    def on_log_synced(self) -> None:
        self.set_clocks()
        self.authority.on_log_synced()
        self.tap.applied(self.machine.sid, self.tree)
        if self.authority.txns_since_snapshot >= self.snap_count:
            self.authority.txns_since_snapshot = 0
            snapfile.save(self.machine.disk, LAYOUT, self.tree)
            self.authority.batch.roll = True

    def end_turn(self) -> None:
        self.authority.end_turn()
        self.door.flush()
        self.set_clocks()


def plan_alone(seed: int) -> Plan:
    """A seed's plan for one server: no links to break."""
    plan = plan_of(seed)
    plan.voters, plan.observers, plan.first_counter = 1, 0, 0
    for kind in ENSEMBLE_ONLY:
        plan.kinds.pop(kind, None)
    return plan


def make(machine: Machine, run: Run) -> Program:
    plan = run.plan
    return Solo(machine, run.tap, plan.tick_ms, plan.snap_count, plan.allowances)


def run_solo(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed of a server alone."""
    return run_seed(change(plan_alone(seed)), make, verbose)
