"""What goes wrong in a run, drawn from its seed (trust.md 3.2), and when it all ends.

A plan holds the run's parameters, drawn afresh for each seed, so that seeds differ in kind and not
only in timing. A fault is a method that begins it and arranges its end.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.sim.budgeted import Allowance, allowances_of
from tests.sim.client import Client
from tests.sim.machine import Machine
from tests.sim.network import Network, Pace
from tests.sim.walled import COUNT, Room, rooms_of


@dataclass
class Plan:
    """The parameters of one run."""

    seed: int
    voters: int = 3
    observers: int = 0
    clients: int = 4
    ops: int = 300
    think_us: int = 15_000
    session_ms: int = 2_000
    tick_ms: int = 200
    init_limit: int = 10
    sync_limit: int = 5
    snap_count: int = 40
    commit_log_count: int = 10
    drift: float = 0.01
    cumulative: bool = True  # one ack for many: what our own servers agree on
    faults_us: int = 6_000_000
    first_counter: int = 0  # of the zxids: a run that begins high rolls over
    pace: Pace | None = None
    kinds: dict[str, int] = field(default_factory=dict)  # fault -> weight
    gap_us: int = 500_000  # between faults
    purge_odds: float = 0.0  # after a snapshot: whether what is older is removed
    point: int = -1  # before this effect of one server's disk the power goes
    reconfig: bool = False  # whether the members change
    reconfig_gap_us: int = 500_000
    local_sessions: bool = False  # sessions are their server's own until they own an ephemeral
    disk_diff_odds: float = 1.0  # how often the log files can prove a DIFF
    tenants: int = 0  # whose clients these are, all but the first one
    walled: bool = False  # whether two tenants' clients see nothing but their own
    rooms: list[Room] = field(default_factory=list)  # of the walled tenants
    window: int = 256  # proposals under way before tenants take turns
    allowances: tuple[Allowance, ...] = ()  # what subtrees may hold

    groups: list[str] = field(default_factory=list)  # lines of zoo.cfg: a quorum of quorums

    @property
    def servers(self) -> range:
        return range(1, self.voters + self.observers + 1)


Change = Callable[[Plan], Plan]


def as_it_is(plan: Plan) -> Plan:
    """The plan that the seed stands for."""
    return plan


KINDS = (
    "crash",
    "power",
    "cut_at_effect",
    "cut_before",
    "broken_sync",
    "outage",
    "lagging",
    "changing_guard",
    "pause",
    "sleeping_leader",
    "partition",
    "isolate_leader",
    "one_way",
    "break_connections",
    "cut_message",
    "slow_disk",
    "failing_disk",
    "full_disk",
    "slow_network",
    "clock_jump",
    "client_cut",
    "all_power",
)


POINTS = 150  # effects of a short run that crash points are tried at

# Beginnings of effects on a disk: of the storage layer, and of `core.CoreNode`
EFFECTS = (
    "rename",
    "sync",
    "write",
    "create",
    "remove",
    "cut",
    "save current",
    "append",
    "install",
)


def plan_of(seed: int, voters: int = 0) -> Plan:
    """The plan that a seed stands for."""
    rng = random.Random(f"{seed}/plan")
    plan = Plan(seed)
    plan.voters = voters or rng.choice((3, 3, 3, 5))
    plan.observers = rng.choice((0, 0, 1))
    plan.clients = rng.randint(2, 5)
    plan.ops = rng.choice((60, 150, 300, 500))
    plan.think_us = rng.choice((3_000, 10_000, 30_000))
    plan.snap_count = rng.choice((8, 20, 50, 100_000))
    plan.commit_log_count = rng.choice((0, 3, 10, 30, 500))
    plan.session_ms = rng.choice((800, 2_000, 4_000))
    plan.faults_us = rng.choice((3_000_000, 6_000_000, 10_000_000))
    plan.gap_us = rng.choice((60_000, 150_000, 400_000, 1_000_000))
    plan.cumulative = rng.random() < 0.7
    plan.purge_odds = rng.choice((0.0, 0.3, 1.0))
    spike = rng.choice((0.0, 0.0, 0.02))
    plan.pace = Pace(rng.randint(50, 400), rng.choice((100, 1_000, 5_000)), 300_000, spike)
    if rng.random() < 0.15:
        plan.first_counter = 0xFFFFFFFF - rng.randint(5, 60)
    plan_tenants(plan)
    # Half of the kinds, each with a weight of its own: some runs know one kind of fault only.
    count = rng.choice((1, 2, 4, 8, len(KINDS)))
    plan.kinds = {kind: rng.randint(1, 5) for kind in rng.sample(KINDS, count)}
    plan.allowances = allowances_of(seed)
    return plan


def plan_tenants(plan: Plan) -> None:
    """In a third of the runs tenants compete, and there is next to no room for their proposals."""
    rng = random.Random(f"{plan.seed}/tenants")
    if rng.random() < 0.35:
        plan.tenants = rng.choice((1, 2, 3))
        plan.window = rng.choice((1, 1, 2, 5, 20))
        plan.think_us = rng.choice((300, 1_000, plan.think_us))


def plan_of_core(seed: int) -> Plan:
    """For Zab alone: faults close upon each other, few transactions, small memories."""
    plan = plan_of(seed)
    rng = random.Random(f"{seed}/core")
    plan.gap_us = rng.choice((40_000, 100_000, 250_000, 600_000))
    plan.ops = rng.choice((10, 40, 150, 400))
    plan.think_us = rng.choice((2_000, 10_000, 50_000))
    plan.disk_diff_odds = rng.choice((0.0, 0.0, 0.5, 1.0))
    for kind in ("client_cut", "clock_jump"):
        plan.kinds.pop(kind, None)
    return plan


def plan_of_point(seed: int) -> Plan:
    """Crash points one after the other: the n-th seed of a story cuts before the n-th effect.

    The story of `seed // POINTS` is the same each time but for the crash; so every effect of a
    short run has its turn, between two of an epoch's files as well as within a snapshot.
    """
    story = seed // POINTS
    rng = random.Random(f"{story}/point")
    plan = Plan(seed)
    plan.clients, plan.ops, plan.think_us = 2, 60, 5_000
    plan.snap_count = rng.choice((4, 10))
    plan.commit_log_count = rng.choice((0, 3, 500))
    plan.purge_odds = rng.choice((0.0, 1.0))
    plan.faults_us = 1_200_000
    plan.tick_ms = 100
    plan.point = seed % POINTS
    return plan


def plan_of_reconfig(seed: int) -> Plan:
    """Members come, go and change their roles, among all the faults of other runs."""
    plan = plan_of(seed)
    rng = random.Random(f"{seed}/reconfig")
    plan.voters = rng.choice((2, 3, 3))
    plan.observers = rng.choice((1, 2, 2))
    plan.reconfig = True
    plan.reconfig_gap_us = rng.choice((50_000, 200_000, 600_000))
    plan.first_counter = 0
    if rng.random() < 0.3:
        plan.kinds = {}  # nothing else goes wrong: then every reconfiguration shows what it does
    return plan


def plan_of_wire(seed: int) -> Plan:
    """Bits change on the way between servers of ours, among all the faults of other runs."""
    plan = plan_of(seed)
    rng = random.Random(f"{seed}/wire")
    plan.cumulative = True  # Apache's servers have no sums to compare
    plan.ops = max(plan.ops, 150)
    if rng.random() < 0.3:
        plan.kinds = {}
    total = max(4, sum(plan.kinds.values()))
    plan.kinds["flipped_bit"] = total
    plan.kinds["flipped_vote"] = max(1, total // 4)
    return plan


def plan_of_local(seed: int) -> Plan:
    """Local sessions that become everybody's, and connections that end meanwhile."""
    plan = plan_of(seed)
    rng = random.Random(f"{seed}/local")
    plan.local_sessions = True
    plan.first_counter = 0
    plan.kinds["client_cut"] = rng.randint(1, 5)
    return plan


def plan_of_walled(seed: int) -> Plan:
    """Two tenants behind the wall; in half of the seeds with limits that all servers share."""
    plan = plan_of(seed)
    plan.walled = True
    plan.tenants = COUNT
    plan.clients = max(4, plan.clients)
    plan.rooms = rooms_of(seed, plan.clients - 1)
    if any(room != Room() for room in plan.rooms):
        plan.cumulative = True  # Apache's servers know of no shares
    plan.allowances = ()  # of paths that nobody has here
    return plan


def with_groups(plan: Plan) -> Plan:
    """The same among voters in groups, each with a weight: some have none (election.md 5)."""
    rng = random.Random(f"{plan.seed}/groups")
    plan.voters = rng.choice((4, 5, 6, 7))
    sids = list(range(1, plan.voters + 1))
    rng.shuffle(sids)
    count = rng.choice((1, 2, 3, 3))
    groups = [sids[at::count] for at in range(count)]
    plan.groups = [
        f"group.{at}={':'.join(str(sid) for sid in group)}" for at, group in enumerate(groups, 1)
    ]
    weights = {sid: rng.choice((0, 1, 1, 1, 2, 3)) for sid in sids}
    if not any(weights.values()):
        weights[sids[0]] = 1
    if rng.random() < 0.7:  # else every weight is 1, by default
        plan.groups += [f"weight.{sid}={weights[sid]}" for sid in sids]
    return plan


def plan_of_decay(seed: int, kinds: tuple[str, ...]) -> Plan:
    """Disks that forget, at a minority of the voters at a time, among all the faults of others."""
    plan = plan_of(seed)
    rng = random.Random(f"{seed}/decay")
    plan.faults_us = max(plan.faults_us, 6_000_000)
    plan.think_us = min(plan.think_us, 10_000)
    plan.ops = max(plan.ops, 300)
    if rng.random() < 0.3:
        plan.kinds = {}
    total = max(4, sum(plan.kinds.values()))
    for kind in rng.sample(kinds, rng.choice((1, 2, len(kinds)))):
        plan.kinds[kind] = max(1, total // 2)
    return plan


class Faults:
    """Begins faults at random times, and ends all of them at once when it is told to."""

    def __init__(
        self, plan: Plan, machines: dict[int, Machine], network: Network, clients: list[Client]
    ) -> None:
        self.plan = plan
        self.machines = machines
        self.network = network
        self.clients = clients
        self.world = network.world
        self.rng = self.world.random("faults")
        self.over = False
        self.leader: Callable[[], int | None] = lambda: None
        self.is_syncing: Callable[[int], bool] = lambda sid: False
        self.leader_of: Callable[[int], int | None] = lambda sid: None
        self.begun: dict[str, int] = {}
        for machine in machines.values():
            machine.restart_us = 1 + self.rng.randrange(600_000)

    def start(self) -> None:
        if self.plan.kinds:
            self.world.after(self.rng.randrange(2 * self.plan.gap_us), self.next)

    def next(self) -> None:
        if self.over:
            return
        kinds = self.plan.kinds
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        self.begun[kind] = self.begun.get(kind, 0) + 1
        self.world.note(f"fault: {kind}")
        getattr(self, kind)()
        self.world.after(int(self.rng.expovariate(1 / self.plan.gap_us)) + 1, self.next)

    def end(self) -> None:
        """All is well from now on: whoever is down is started, whoever is cut off is freed."""
        self.over = True
        self.world.note("peace")
        self.network.free_all()
        self.network.pace = Pace()
        self.network.elections.to_flip = 0
        for end in self.network.ends:
            end.cut_after = -1
            end.flip_after = -1
        for machine in self.machines.values():
            self.heal(machine)
            machine.resume()
            machine.restart_us = 1_000
            if not machine.is_up:
                machine.start()

    def heal(self, machine: Machine) -> None:
        machine.disk.cut_at = -1
        machine.disk.cut_before = ""
        machine.disk.fail_at = -1
        machine.disk.full = False
        machine.habits.slow_sync_us = 0

    # Chance

    def some_machine(self) -> Machine:
        """The leader as often as all others together: there is more to break."""
        leader = self.leader()
        if leader is not None and self.rng.random() < 0.5:
            return self.machines[leader]
        return self.machines[self.rng.choice(sorted(self.machines))]

    def a_while(self, least_us: int = 20_000, most_us: int = 2_500_000) -> int:
        """Short ones and long ones alike, whatever the scale."""
        ratio = most_us / least_us
        return int(least_us * ratio ** self.rng.random())

    # Processes and machines (F1, F2, F3, F17)

    def crash(self) -> None:
        machine = self.some_machine()
        if machine.is_up:
            machine.kill()
            machine.restart_later(self.a_while())

    def power(self) -> None:
        machine = self.some_machine()
        if machine.is_up:
            machine.cut_power()
            machine.restart_later(self.a_while())

    def all_power(self) -> None:
        """The whole room goes dark: what a quorum has acknowledged must be on platters."""
        for machine in self.machines.values():
            if machine.is_up:
                machine.cut_power()
                machine.restart_later(self.a_while(20_000, 500_000))

    def cut_at_effect(self) -> None:
        """Power goes right before one of the next effects on a disk; the machine comes back."""
        machine = self.some_machine()
        if machine.is_up:
            machine.restart_us = self.a_while()
            machine.disk.cut_at = len(machine.disk.effects) + self.rng.randrange(40)

    def cut_before(self) -> None:
        """Power goes right before the next effect of one kind: between two that belong together."""
        machine = self.some_machine()
        if machine.is_up:
            machine.restart_us = self.a_while(1_000, 500_000)
            machine.disk.cut_before = self.rng.choice(EFFECTS)

    def broken_sync(self) -> None:
        """A server restarts, and while it is brought up to date somebody or something fails."""
        machine = self.some_machine()
        if not machine.is_up:
            return
        machine.kill()
        back_us = self.a_while(1_000, 300_000)
        machine.restart_later(back_us)
        self.world.after(back_us, self.watch_sync, machine, 2_000, self.rng.randrange(3))

    def outage(self) -> None:
        """A server is away for long; what it misses may be gone from the others' logs."""
        machine = self.some_machine()
        if machine.is_up:
            self.rng.choice((machine.kill, machine.cut_power))()
            machine.restart_later(self.a_while(800_000, 4_000_000))

    def lagging(self) -> None:
        """One that is behind comes back just when the one that leads goes away."""
        leader = self.leader()
        others = [machine for sid, machine in sorted(self.machines.items()) if sid != leader]
        machine = self.rng.choice(others)
        if leader is None or not machine.is_up:
            return
        machine.kill()
        back_us = self.a_while(20_000, 1_000_000)
        machine.restart_later(back_us)
        early_us = back_us + self.rng.randrange(-20_000, 20_000)
        self.world.after(max(0, early_us), self.leader_goes, leader)

    def changing_guard(self) -> None:
        """The quorum moves: who was away syncs with the leader while all who were there are away.

        So a history lives on in few places while it is handed on; the accident of ZOOKEEPER-4643.
        """
        leader = self.leader()
        others = [machine for sid, machine in sorted(self.machines.items()) if sid != leader]
        back = self.rng.choice(others)
        if leader is None or not back.is_up:
            return
        back.kill()
        away = [machine for machine in others if machine is not back]
        self.world.after(self.a_while(100_000, 800_000), self.change_guard, back, away)

    def change_guard(self, back: Machine, away: list[Machine]) -> None:
        if self.over:
            return
        for machine in away[: len(self.machines) - 2]:
            if machine.is_up:
                machine.kill()
                machine.restart_later(self.a_while(60_000, 600_000))
        back.start()
        self.watch_handover(back, 400)

    def watch_handover(self, machine: Machine, left: int) -> None:
        if self.over or left == 0:
            return
        leader = self.leader_of(machine.sid)
        if leader is None or not self.is_syncing(machine.sid):
            self.world.after(500, self.watch_handover, machine, left - 1)
            return
        machine.restart_us = self.a_while(1_000, 60_000)
        machine.disk.cut_before = self.rng.choice(EFFECTS)
        self.world.after(self.rng.randrange(20_000), self.leader_goes, leader)

    def leader_goes(self, sid: int) -> None:
        machine = self.machines[sid]
        if not self.over and machine.is_up:
            self.rng.choice((machine.kill, machine.cut_power))()
            machine.restart_later(self.a_while(100_000, 3_000_000))

    def watch_sync(self, machine: Machine, left: int, how: int) -> None:
        """Wait for its synchronization to begin; then break it off in the middle."""
        if self.over or left == 0:
            return
        if not self.is_syncing(machine.sid):
            self.world.after(500, self.watch_sync, machine, left - 1, how)
        elif how == 0:
            machine.disk.cut_before = self.rng.choice(EFFECTS)
            machine.restart_us = self.a_while(1_000, 500_000)
        elif how == 1:
            for end in self.network.of(machine.sid):
                if isinstance(end.there, int):
                    end.break_off("reset")
        else:
            leader = self.leader_of(machine.sid)
            if leader is not None and self.machines[leader].is_up:
                self.machines[leader].kill()
                self.machines[leader].restart_later(self.a_while())

    def pause(self) -> None:
        machine = self.some_machine()
        if machine.is_up and not machine.paused:
            machine.pause()
            self.world.after(self.a_while(), self.unpause, machine, machine.life)

    def sleeping_leader(self) -> None:
        """The leader stands still until others have another one, and wakes up as if it led."""
        leader = self.leader()
        if leader is not None and not self.machines[leader].paused:
            machine = self.machines[leader]
            machine.pause()
            silence_us = self.plan.sync_limit * self.plan.tick_ms * 1_000
            wakes_us = silence_us + self.rng.randrange(1_500_000)
            self.world.after(wakes_us, self.unpause, machine, machine.life)

    def unpause(self, machine: Machine, life: int) -> None:
        if machine.life == life:
            machine.resume()

    # Disks (F5, F9, F10)

    def slow_disk(self) -> None:
        machine = self.some_machine()
        machine.habits.slow_sync_us = self.rng.choice((20_000, 200_000, 2_000_000))
        self.world.after(self.a_while(), self.heal, machine)

    def failing_disk(self) -> None:
        machine = self.some_machine()
        machine.disk.full = False
        machine.disk.fail_at = machine.disk.calls + self.rng.randrange(30)

    def full_disk(self) -> None:
        machine = self.some_machine()
        machine.disk.fail_at = machine.disk.calls + self.rng.randrange(30)
        machine.disk.full = True
        self.world.after(self.a_while(), self.heal, machine)

    # The network (F11 to F14)

    def partition(self) -> None:
        """Two sides that hear nothing of each other; clients stay with some server."""
        sids = sorted(self.machines)
        side = set(self.rng.sample(sids, self.rng.randint(1, len(sids) - 1)))
        pairs = [(a, b) for a in sids for b in sids if (a in side) != (b in side)]
        self.block(pairs)

    def isolate_leader(self) -> None:
        machine = self.some_machine()
        others = [sid for sid in self.machines if sid != machine.sid]
        self.block([(machine.sid, sid) for sid in others] + [(sid, machine.sid) for sid in others])

    def one_way(self) -> None:
        """A hears B, B does not hear A; of one pair, or of one server and all."""
        here = self.some_machine().sid
        others = [sid for sid in self.machines if sid != here]
        if self.rng.random() < 0.5:
            others = [self.rng.choice(others)]
        pairs = [(here, sid) for sid in others]
        if self.rng.random() < 0.5:
            pairs = [(b, a) for a, b in pairs]
        self.block(pairs)

    def block(self, pairs: list[tuple[int, int]]) -> None:
        for here, there in pairs:
            self.network.block(here, there)
        self.world.after(self.a_while(50_000, 4_000_000), self.unblock, pairs)

    def unblock(self, pairs: list[tuple[int, int]]) -> None:
        for here, there in pairs:
            if (here, there) in self.network.blocked:
                self.network.free(here, there)

    def break_connections(self) -> None:
        """Every connection between two servers ends; new ones may be made at once."""
        here = self.some_machine().sid
        for end in self.network.of(here):
            if isinstance(end.there, int) and self.rng.random() < 0.7:
                end.break_off("reset")

    def cut_message(self) -> None:
        """A connection breaks in the middle of something that is yet to be sent."""
        ends = [end for end in self.network.ends if isinstance(end.there, int)]
        for end in self.rng.sample(ends, min(len(ends), 3)):
            end.cut_after = self.a_while(1, 20_000)

    def flipped_bit(self) -> None:
        """Bits change on connections between two servers (F24)."""
        ends = [
            end
            for end in self.network.ends
            if isinstance(end.there, int) and isinstance(end.here, int)
        ]
        for end in self.rng.sample(ends, min(len(ends), 3)):
            end.flip_after = self.a_while(1, 20_000)

    def flipped_vote(self) -> None:
        """The next messages of the election ports arrive changed."""
        self.network.elections.to_flip = self.rng.randint(1, 5)

    def slow_network(self) -> None:
        place = self.some_machine().sid
        self.network.slow[place] = self.rng.choice((5_000, 50_000, 400_000))
        self.world.after(self.a_while(), self.speed_up, place)

    def speed_up(self, place: int) -> None:
        self.network.slow.pop(place, None)

    # Clocks and clients (F12, F16)

    def clock_jump(self) -> None:
        clock = self.some_machine().clock
        clock.wall_jump_ms += self.rng.choice((-3_600_000, -500, 500, 3_600_000))

    def client_cut(self) -> None:
        connected = [client.end for client in self.clients if client.end is not None]
        if connected:
            self.rng.choice(connected).break_off("reset")
