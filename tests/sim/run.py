"""A whole run of one seed: faults and clients for a while, then all is well and must become well.

`run_seed` gives what is wrong, as sentences, and the run's fingerprint. The first phase is about
safety alone; in the second the faults have ended and the servers have to serve (trust.md I20).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ensemble.tree.datatree import DataTree
from ensemble.wire import codes
from tests.sim import witness
from tests.sim.budgeted import check_allowances, check_usage
from tests.sim.client import Client
from tests.sim.faults import Faults, Plan
from tests.sim.history import Expired, History, Lost, Op
from tests.sim.linearizable import check_linearizable
from tests.sim.machine import Clock, Habits, Machine, Program
from tests.sim.model import model_of
from tests.sim.network import Network, Pace
from tests.sim.tap import Tap, Violation
from tests.sim.walled import root_of
from tests.sim.watching import check_watches
from tests.sim.workload import Workload
from tests.sim.world import World

# How much later than its timeout a session may be closed: buckets of a tick, answers to PINGs
EXPIRY_TICKS_MAX = 6
EVEN_US = 5_000_000
# A sync that a slow disk has begun still ends, and whoever waited for it too long is cut off
LEFTOVERS_US = 3_500_000
SETTLE_US = 20_000_000  # within this time of virtual peace a write must be answered everywhere
Maker = Callable[[Machine, "Run"], Program]


@dataclass
class Outcome:
    """What a run gave."""

    seed: int
    wrong: list[str]
    trace: str
    virtual_us: int
    events: int
    ops: int = 0
    answered: int = 0
    txns: int = 0
    epochs: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


class Run:
    """One seed's world, put together."""

    def __init__(self, plan: Plan, make: Maker, verbose: bool = False) -> None:
        self.plan = plan
        self.world = world = World(plan.seed, verbose)
        rng = world.random("run")
        self.network = Network(world, plan.pace if plan.pace is not None else Pace())
        self.tap = Tap(reuse=plan.voters == 1)
        self.history = History()
        self.wrong: list[str] = []
        self.marks: dict[int, Op] = {}
        self.machines: dict[int, Machine] = {}
        for sid in plan.servers:
            clock = Clock(world, rng.randrange(1 << 40), rng.uniform(-plan.drift, plan.drift))
            habits = Habits(rng.randint(20, 300), rng.randint(100, 2_000), rng.randint(100, 4_000))
            machine = Machine(sid, world, self.network, clock, habits)
            machine.make = lambda machine: make(machine, self)
            machine.on_defect = self.wrong.append
            self.machines[sid] = machine
        self.clients = [
            Client(number, self.network, self.history, list(plan.servers), plan.session_ms)
            for number in range(plan.clients)
        ]
        if plan.walled:
            for client in self.clients:
                client.root = root_of(client.number)
        self.workload = Workload(self.clients, plan.think_us, plan.ops)
        self.faults = self.make_faults()

    def make_faults(self) -> Faults:
        return Faults(self.plan, self.machines, self.network, self.clients)

    def go(self) -> Outcome:
        try:
            for machine in self.machines.values():
                machine.start()
            self.workload.start()
            self.faults.start()
            self.world.run(self.plan.faults_us)
            self.faults.end()
            self.settle()
            self.judge()
        except (Violation, AssertionError) as error:
            self.add(error)
        except Exception as error:  # a defect: reported with its seed
            self.add(error)
        outcome = Outcome(
            self.plan.seed, self.wrong, self.world.trace, self.world.now_us, self.world.events
        )
        outcome.ops = len(self.history.ops)
        outcome.answered = sum(op.is_done for op in self.history.ops)
        outcome.txns = len(self.tap.records)
        outcome.epochs = len(self.tap.histories)
        self.tap.counts["no room for a watch"] = sum(
            op.error == codes.QUOTA_EXCEEDED and op.watch for op in self.history.ops
        )
        outcome.counts = self.tap.counts
        outcome.lines = self.world.lines
        return outcome

    def add(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if not any(text in known for known in self.wrong):
            self.wrong.append(text)

    # The second phase

    def settle(self) -> None:
        """I20: with all faults over, every client is served and all trees become equal."""
        until_us = self.world.now_us + SETTLE_US
        self.workload.stop()
        if not self.world.run(until_us, self.is_quiet):
            waiting = [client.number for client in self.clients if not self.is_idle(client)]
            self.wrong.append(
                f"I20: clients {waiting} are not served after {SETTLE_US} us of peace"
            )
            return
        self.marks = {}
        self.mark()
        if not self.world.run(until_us, lambda: all(op.is_done for op in self.marks.values())):
            late = [str(op) for op in self.marks.values() if not op.is_done]
            self.wrong.append(f"I20: writes in peace are not answered: {late}")
            return
        self.rest()
        if not self.world.run(self.world.now_us + EVEN_US, self.is_even):
            ends = {sid: self.state_of(sid) for sid in self.machines}
            self.wrong.append(f"I20: the servers do not become equal: {ends}")

    def rest(self) -> None:
        """I13: in peace a session expires if, and only if, its client is gone.

        It takes long, so every third seed does it.
        """
        if self.plan.seed % 3:
            return
        missing = self.clients[-1]
        session, timeout_us = missing.session, missing.negotiated_ms * 1_000
        missing.vanish()
        calm_us = self.world.now_us + LEFTOVERS_US
        self.world.run(calm_us + timeout_us + EXPIRY_TICKS_MAX * self.plan.tick_ms * 1_000)
        for client in self.clients[:-1]:
            for entry in client.trail.entries:
                if isinstance(entry, Lost | Expired) and entry.at_us > calm_us:
                    self.wrong.append(f"I13: in peace client {client.number} gets {entry}")
        for sid in self.machines:
            tree = self.tree_of(sid)
            if tree is not None and session in tree.sessions:
                self.wrong.append(f"I13: server {sid} keeps the session {session:#x} of nobody")

    def mark(self) -> None:
        """Each client writes once more, again if its connection ends meanwhile."""
        for client in self.clients:
            if client.stopped:
                continue
            op = self.marks.get(client.number)
            if client.is_ready and (op is None or not (op.is_done or client.outstanding)):
                op = self.marks[client.number] = client.new_op("create", b"/s/last")
                op.sequential = True
                client.send(op)
        self.world.after(100_000, self.mark)

    def is_idle(self, client: Client) -> bool:
        return client.is_ready and not client.outstanding

    def is_quiet(self) -> bool:
        return all(self.is_idle(client) for client in self.clients)

    def tree_of(self, sid: int) -> DataTree | None:
        """A server's tree, where one is up and has one."""
        tree = getattr(self.machines[sid].program, "tree", None)
        return tree if isinstance(tree, DataTree) else None

    def zxid_of(self, sid: int) -> int:
        tree = self.tree_of(sid)
        return -1 if tree is None else int(tree.last_zxid)

    def is_even(self) -> bool:
        return len({self.state_of(sid) for sid in self.machines}) == 1

    def state_of(self, sid: int) -> tuple[bool, int, int]:
        """Whether it serves, how far its tree is, the configuration that it goes by."""
        program = self.machines[sid].program
        serves = bool(getattr(program, "is_serving", True))
        return serves, self.zxid_of(sid), int(getattr(program, "members_version", 0))

    # The checkers

    def judge(self) -> None:
        """Every checker; what they find."""
        model = model_of(self.tap.committed(), self.plan.local_sessions)
        history = self.history
        wrong = self.wrong
        # The close of a session that has stayed its server's own leaves no trace in the log.
        logged = [
            op for op in history.ops if op.kind != "close" or not model.may_be_local(op.session)
        ]
        wrong += witness.check_writes(model, logged)
        wrong += witness.check_real_time(logged)
        may_watch = all(room.watches < 0 for room in self.plan.rooms)
        wrong += witness.check_reads(model, history.ops, may_watch)
        wrong += witness.check_sessions(history)
        wrong += witness.check_closed(model, history.ops)
        wrong += witness.check_replies(history)
        wrong += witness.check_syncs(history.ops)
        wrong += witness.check_ephemerals(model)
        wrong += check_allowances(model, history.ops, self.plan.allowances)
        wrong += check_watches(model, history)
        for root in sorted({client.root for client in self.clients}):
            wrong += check_linearizable(history, root + b"/k/")
        for sid in self.machines:
            tree = self.tree_of(sid)
            if tree is None:
                wrong.append(f"I20: server {sid} is not up in peace")
                continue
            seen = {
                path: (node.data, tree.stat_of(node).as_tuple())
                for path, node in tree.nodes.items()
            }
            wrong += witness.check_tree(model, sid, seen)
            wrong += check_usage(sid, tree)
            open_ones = {s for s in model.opened if s not in model.closed}
            if set(tree.sessions) != open_ones:
                odd = {hex(s & (1 << 64) - 1) for s in set(tree.sessions) ^ open_ones}
                wrong.append(f"I13: server {sid} and the log do not agree on sessions {odd}")


def run_seed(plan: Plan, make: Maker, verbose: bool = False) -> Outcome:
    """Run one plan from its beginning to its verdict."""
    return Run(plan, make, verbose).go()
