"""A run of Zab alone: faults, requests at random servers, then peace, and all histories equal."""

from ensemble.wire.peers import FEATURES
from ensemble.zab.learner import PROMISED, SERVING, Learner
from ensemble.zab.members import parse_members
from ensemble.zab.peer import Peer
from ensemble.zab.timing import Timing
from tests.sim.core import Book, CoreNode, Durable, digest_of
from tests.sim.ensemble import members_text
from tests.sim.faults import Change, Faults, Plan, as_it_is, plan_of_core, with_groups
from tests.sim.machine import Clock, Habits, Machine
from tests.sim.network import Network, Pace
from tests.sim.run import Outcome
from tests.sim.tap import Violation
from tests.sim.world import World

SETTLE_US = 30_000_000


class CoreRun:
    """One seed's world with nothing but peers in it."""

    def __init__(self, plan: Plan, verbose: bool = False) -> None:
        self.plan = plan
        self.world = world = World(plan.seed, verbose)
        rng = world.random("run")
        self.rng = world.random("requests")
        self.network = Network(world, plan.pace or Pace())
        members = parse_members(members_text(plan))
        start = Durable()
        if plan.first_counter:
            start.snapshot = [((1 << 32) + plan.first_counter, b"before")]
            start.accepted = start.current = 1
        self.book = Book(
            members,
            {
                sid: Durable(list(start.snapshot), [], [], start.accepted, start.current)
                for sid in plan.servers
            },
        )
        self.book.committed = list(start.snapshot)
        self.wrong: list[str] = []
        self.machines: dict[int, Machine] = {}
        for sid in plan.servers:
            clock = Clock(world, rng.randrange(1 << 40), rng.uniform(-plan.drift, plan.drift))
            habits = Habits(rng.randint(20, 300), rng.randint(100, 2_000), rng.randint(100, 4_000))
            timing = Timing(
                plan.tick_ms,
                plan.init_limit,
                plan.sync_limit,
                features=FEATURES if plan.cumulative else 0,
            )
            machine = Machine(sid, world, self.network, clock, habits)
            machine.make = lambda machine, timing=timing: CoreNode(
                machine, self.book, timing, plan.commit_log_count, plan.disk_diff_odds
            )
            machine.on_defect = self.wrong.append
            self.machines[sid] = machine
        self.faults = Faults(plan, self.machines, self.network, [])
        self.faults.leader = self.leader
        self.faults.is_syncing = self.is_syncing
        self.faults.leader_of = self.leader_of
        self.asked = 0
        self.answered = 0

    def node(self, sid: int) -> CoreNode | None:
        program = self.machines[sid].program
        return program if isinstance(program, CoreNode) else None

    def leader(self) -> int | None:
        for sid in self.machines:
            node = self.node(sid)
            if node is not None and node.is_serving and node.peer.leader is not None:
                return sid
        return None

    def learner(self, sid: int) -> Learner | None:
        node = self.node(sid)
        peer: Peer | None = getattr(node, "peer", None)  # there is none before its first turn
        return None if peer is None else peer.learner

    def is_syncing(self, sid: int) -> bool:
        learner = self.learner(sid)
        return learner is not None and PROMISED <= learner.stage < SERVING

    def leader_of(self, sid: int) -> int | None:
        learner = self.learner(sid)
        return None if learner is None else int(learner.leader_sid)

    def ask(self) -> None:
        """A client of some server writes, or syncs."""
        if self.faults.over or self.asked >= self.plan.ops:
            return
        machine = self.machines[self.rng.choice(list(self.machines))]
        node = self.node(machine.sid)
        if node is not None and node.is_serving:
            self.asked += 1
            payload = b"sync" if self.rng.random() < 0.3 else b"%d" % self.asked
            machine.put(node.ask, payload)
        self.world.after(int(self.rng.expovariate(1 / self.plan.think_us)) + 1, self.ask)

    def go(self) -> Outcome:
        try:
            for machine in self.machines.values():
                machine.start()
            self.faults.start()
            self.ask()
            self.world.run(self.plan.faults_us)
            self.faults.end()
            self.settle()
        except (Violation, AssertionError, Exception) as error:
            text = f"{type(error).__name__}: {error}"
            if not any(text in known for known in self.wrong):
                self.wrong.append(text)
        outcome = Outcome(
            self.plan.seed, self.wrong, self.world.trace, self.world.now_us, self.world.events
        )
        outcome.ops = self.asked
        outcome.txns = len(self.book.committed)
        outcome.epochs = len(self.book.leaders)
        outcome.counts = self.book.counts
        outcome.lines = self.world.lines
        return outcome

    def settle(self) -> None:
        """I20: in peace a leader is found, a write commits, all histories become one."""
        until_us = self.world.now_us + SETTLE_US
        if not self.world.run(until_us, self.all_serve):
            idle = [sid for sid in self.machines if not (n := self.node(sid)) or not n.is_serving]
            self.wrong.append(f"I20: servers {idle} do not serve after {SETTLE_US} us of peace")
            return
        for _ in range(3):
            sid = self.leader()
            if sid is not None:
                node = self.node(sid)
                assert node is not None
                self.machines[sid].put(node.ask, b"last")
                if self.world.run(self.world.now_us + 5_000_000, self.all_have_last):
                    return
            self.world.run(self.world.now_us + 3_000_000)
        ends = {sid: digest_of(n.tree) for sid in self.machines if (n := self.node(sid))}
        self.wrong.append(f"I20: the histories do not become equal: {ends}")

    def all_serve(self) -> bool:
        return all((node := self.node(sid)) and node.is_serving for sid in self.machines)

    def all_have_last(self) -> bool:
        return all(
            (node := self.node(sid)) is not None
            and bool(node.tree)
            and node.tree[-1][1] == b"last"
            and node.tree == self.book.committed
            for sid in self.machines
        )


def run_core_groups(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed of Zab alone, with a quorum of quorums."""
    return CoreRun(change(with_groups(plan_of_core(seed))), verbose).go()


def run_core(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed of Zab alone."""
    return CoreRun(change(plan_of_core(seed)), verbose).go()
