"""Runs in which the members change: an operator among the clients, and files that must agree.

The servers that nobody has voted in yet, or that were removed, run all the time: they find the
ensemble by what they are told in elections (election.md 2.1) and serve as learners.
"""

from ensemble.tree.paths import CONFIG
from ensemble.wire import peers
from ensemble.zab.members import Members
from tests.sim.client import Client
from tests.sim.ensemble import EnsembleRun
from tests.sim.faults import Change, Plan, as_it_is, plan_of_reconfig
from tests.sim.run import Outcome

OUTSTANDING_MAX = 3


class Operator:
    """One of the clients asks for other members now and then; whatever comes of it."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self.client = client
        self.plan = plan
        self.world = client.world
        self.rng = self.world.random("operator")
        self.stopped = False

    def start(self) -> None:
        self.world.after(self.rng.randrange(2 * self.plan.reconfig_gap_us), self.turn)

    def turn(self) -> None:
        if self.stopped:
            return
        client = self.client
        if client.is_ready and len(client.outstanding) < OUTSTANDING_MAX:
            op = client.new_op("reconfig", self.leaving().encode())
            op.data = self.joining().encode()
            client.send(op)
        pause = int(self.rng.expovariate(1 / self.plan.reconfig_gap_us)) + 1
        self.world.after(pause, self.turn)

    def leaving(self) -> str:
        gone = self.rng.sample(list(self.plan.servers), self.rng.choice((0, 0, 1, 1, 2)))
        return ",".join(str(sid) for sid in gone)

    def joining(self) -> str:
        come = self.rng.sample(list(self.plan.servers), self.rng.choice((0, 1, 1, 2)))
        roles = [self.rng.choice(("participant", "participant", "observer")) for _ in come]
        return ",".join(
            f"server.{sid}=10.0.0.{sid}:2888:3888:{role};2181"
            for sid, role in zip(come, roles, strict=True)
        )


class ReconfiguredRun(EnsembleRun):
    """A run with an operator. In peace all servers go by one configuration, and their trees show
    it (trust.md A17, F20)."""

    def __init__(self, plan: Plan, verbose: bool = False) -> None:
        super().__init__(plan, verbose)
        self.operator = Operator(self.clients[0], plan)
        self.operator.start()

    def settle(self) -> None:
        self.operator.stopped = True
        super().settle()

    def is_even(self) -> bool:
        """Also: everybody has taken a role, since a learner goes by what UPTODATE commits."""
        replicas = [self.replica(sid) for sid in self.machines]
        roles = [peers.LOOKING if each is None else each.state for each in replicas]
        return super().is_even() and peers.LOOKING not in roles

    def judge(self) -> None:
        super().judge()
        texts: dict[bytes, list[int]] = {}
        for sid in self.machines:
            replica = self.replica(sid)
            if replica is None:
                continue
            configuration = replica.membership.configuration
            members: Members = configuration.members
            texts.setdefault(members.text(), []).append(sid)
            shown, own = replica.tree.nodes[CONFIG].data, members.text()
            if shown != own:
                self.wrong.append(f"A17: server {sid} shows {shown!r}, it goes by {own!r}")
            if configuration.proposed is not None:
                version = configuration.proposed.version
                self.wrong.append(f"F20: server {sid} still waits for configuration {version:#x}")
        if len(texts) > 1:
            self.wrong.append(f"F20: in peace the servers go by different members: {texts}")


def run_reconfigured(seed: int, verbose: bool = False, change: Change = as_it_is) -> Outcome:
    """One seed with an operator, from its beginning to its verdict."""
    return ReconfiguredRun(change(plan_of_reconfig(seed)), verbose).go()
