"""A server alone in the simulation: the world, the clients and the checkers, with nothing else."""

import pytest

from tests.sim.solo import run_solo


@pytest.mark.parametrize("seed", range(40))
def test_a_server_alone_survives(seed: int) -> None:
    outcome = run_solo(seed)
    assert outcome.wrong == []
    assert outcome.answered > 0


def test_the_same_seed_is_the_same_run() -> None:
    assert run_solo(3).trace == run_solo(3).trace
    assert run_solo(3).trace != run_solo(4).trace
