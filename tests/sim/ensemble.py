"""Runs of whole ensembles: members, their clients, and the faults that know who leads."""

from ensemble.server.replica import Replica
from ensemble.storage import snapfile
from ensemble.storage.epochs import ACCEPTED, CURRENT, save_epoch
from ensemble.tenancy.directory import Directory
from ensemble.tree.datatree import DataTree
from ensemble.wire import peers
from ensemble.wire.peers import BUDGETS, FEATURES
from ensemble.zab.learner import PROMISED, SERVING
from ensemble.zab.members import parse_members
from ensemble.zab.timing import Timing
from tests.sim.decay import DECAYS, Decay
from tests.sim.faults import (
    Change,
    Faults,
    Plan,
    as_it_is,
    plan_of,
    plan_of_decay,
    plan_of_local,
    plan_of_point,
    plan_of_walled,
    plan_of_wire,
    with_groups,
)
from tests.sim.machine import LAYOUT, Machine, Program
from tests.sim.member import Member
from tests.sim.run import Outcome, Run
from tests.sim.shared import SharedLimits
from tests.sim.walled import register


def members_text(plan: Plan) -> bytes:
    """The configuration of a plan's servers; observers have the highest ids."""
    lines = []
    for sid in plan.servers:
        role = "observer" if sid > plan.voters else "participant"
        lines.append(f"server.{sid}=10.0.0.{sid}:2888:3888:{role}")
    return "\n".join([*lines, *plan.groups, "version=0"]).encode()


def make(machine: Machine, run: Run) -> Program:
    """A member on its machine."""
    plan = run.plan
    features = FEATURES if plan.cumulative else BUDGETS  # with 0 each server would limit, too
    timing = Timing(plan.tick_ms, plan.init_limit, plan.sync_limit, features=features)
    member = Member(machine, plan, parse_members(members_text(plan)), timing, run.tap)
    if isinstance(run, EnsembleRun):
        member.on_turn = run.shared.check
    member.durable_zxids = lambda: {sid: other.durable_zxid for sid, other in run.machines.items()}
    return member


def furnish(machine: Machine, plan: Plan) -> None:
    """What is on a disk before the run begins: the tenants' documents, where there are walls; the
    last zxids of the first epoch, where a run begins so late (trust.md F22)."""
    if not (plan.rooms or plan.first_counter):
        return
    tree = DataTree(True, True)
    tree.last_zxid = 1 << 32
    if plan.rooms:
        register(tree, plan.rooms)
    tree.last_zxid = max(int(tree.last_zxid), (1 << 32) + plan.first_counter)
    LAYOUT.make_folders(machine.disk)
    snapfile.save(machine.disk, LAYOUT, tree)
    save_epoch(machine.disk, LAYOUT, ACCEPTED, 1)
    save_epoch(machine.disk, LAYOUT, CURRENT, 1)


class EnsembleRun(Run):
    """A run whose faults know roles."""

    def __init__(self, plan: Plan, verbose: bool = False) -> None:
        super().__init__(plan, make, verbose)
        for machine in self.machines.values():
            furnish(machine, plan)
        if plan.point >= 0:
            machine = self.machines[1 + plan.seed % len(self.machines)]
            machine.restart_us = 30_000
            machine.disk.cut_at = len(machine.disk.effects) + plan.point
        self.shared = SharedLimits(self.machines, plan.tick_ms, plan.sync_limit, self.directory_of)
        self.faults.leader = self.leader
        self.faults.is_syncing = self.is_syncing
        self.faults.leader_of = self.leader_of

    def replica(self, sid: int) -> Replica | None:
        program = self.machines[sid].program
        return getattr(program, "replica", None) if isinstance(program, Member) else None

    def directory_of(self, sid: int) -> Directory | None:
        """The tenants as a server knows them that serves clients."""
        program = self.machines[sid].program
        if isinstance(program, Member) and program.is_serving and program.gatehouse is not None:
            return program.gatehouse.directory
        return None

    def leader(self) -> int | None:
        """Some server that leads."""
        for sid in self.machines:
            replica = self.replica(sid)
            if replica is not None and replica.state == peers.LEADING:
                return sid
        return None

    def is_syncing(self, sid: int) -> bool:
        replica = self.replica(sid)
        if replica is None or replica.peer is None or replica.peer.learner is None:
            return False
        return PROMISED <= int(replica.peer.learner.stage) < SERVING

    def leader_of(self, sid: int) -> int | None:
        replica = self.replica(sid)
        if replica is None or replica.peer is None or replica.peer.learner is None:
            return None
        return int(replica.peer.learner.leader_sid)


class DecayRun(EnsembleRun):
    """A run whose disks forget and change things."""

    def make_faults(self) -> Faults:
        decay = Decay(self.plan, self.machines, self.network, self.clients)
        decay.arm(self.plan.voters, self.serves)
        decay.counts = self.tap.counts
        return decay

    def serves(self, sid: int) -> bool:
        replica = self.replica(sid)
        return replica is not None and replica.state != peers.LOOKING


def run_decay(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed with disks that forget."""
    return DecayRun(change(plan_of_decay(seed, DECAYS)), verbose).go()


def run_ensemble(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed, from its beginning to its verdict."""
    return EnsembleRun(change(plan_of(seed)), verbose).go()


def run_walled(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed of two tenants behind the wall."""
    return EnsembleRun(change(plan_of_walled(seed)), verbose).go()


def run_groups(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed with a quorum of quorums."""
    return EnsembleRun(change(with_groups(plan_of(seed))), verbose).go()


def run_wire(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed with bits that change on the way."""
    run = EnsembleRun(change(plan_of_wire(seed)), verbose)
    outcome = run.go()
    outcome.counts["bits flipped"] = run.network.flips
    return outcome


def run_local(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed with local sessions."""
    return EnsembleRun(change(plan_of_local(seed)), verbose).go()


def run_point(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One crash point of a short run."""
    return EnsembleRun(change(plan_of_point(seed)), verbose).go()
