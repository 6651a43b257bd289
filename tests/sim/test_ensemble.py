"""Ensembles, Zab alone, a server alone: a few seeds of each here, hundreds with `make sim`."""

import pytest

from tests.sim.runner import outcomes


@pytest.mark.parametrize(
    ("kind", "seeds"),
    [
        ("core", 40),
        ("ensemble", 12),
        ("local", 12),
        ("points", 12),
        ("reconfig", 12),
        ("solo", 25),
        ("walled", 12),
    ],
)
@pytest.mark.timeout(600)
def test_an_ensemble_survives(kind: str, seeds: int) -> None:
    """Safety under faults, then liveness in peace (trust.md 3)."""
    found = list(outcomes(kind, 0, seeds, 1))
    assert len(found) == seeds
    assert [outcome["wrong"] for outcome in found if outcome["wrong"]] == []
    assert sum(int(str(outcome["txns"])) for outcome in found) > 10 * seeds


@pytest.mark.timeout(600)
def test_the_compiled_modules_run_exactly_as_their_sources_do() -> None:
    """Where nothing is compiled the comparison is idle."""
    runs = [
        [str(outcome["trace"]) for outcome in outcomes("ensemble", 20, 4, 1, compiled)]
        for compiled in (False, True)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", ["core", "ensemble", "reconfig", "solo"])
@pytest.mark.timeout(600)
def test_the_same_seed_is_the_same_run_in_another_process(kind: str) -> None:
    """Nothing of a run depends on the machine, its clock or its memory."""
    runs = [[str(outcome["trace"]) for outcome in outcomes(kind, 5, 3, 1)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3
