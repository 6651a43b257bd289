"""A server alone in the simulation: the world, the clients and the checkers, with nothing else."""

import pytest

from tests.sim.faults import Plan, plan_of
from tests.sim.machine import Machine, Program
from tests.sim.run import Outcome, Run, run_seed
from tests.sim.solo import Solo

ENSEMBLE_ONLY = ("partition", "isolate_leader", "one_way", "all_power")


def plan_alone(seed: int) -> Plan:
    plan = plan_of(seed)
    plan.voters, plan.observers, plan.first_counter = 1, 0, 0
    for kind in ENSEMBLE_ONLY:
        plan.kinds.pop(kind, None)
    return plan


def make(machine: Machine, run: Run) -> Program:
    return Solo(machine, run.tap, run.plan.tick_ms, run.plan.snap_count)


def run_alone(seed: int) -> Outcome:
    return run_seed(plan_alone(seed), make)


@pytest.mark.parametrize("seed", range(40))
def test_a_server_alone_survives(seed: int) -> None:
    outcome = run_alone(seed)
    assert outcome.wrong == []
    assert outcome.answered > 0


def test_the_same_seed_is_the_same_run() -> None:
    assert run_alone(3).trace == run_alone(3).trace
    assert run_alone(3).trace != run_alone(4).trace
