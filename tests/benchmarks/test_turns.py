"""The comparison batch by batch runs its servers and fills its table; figures are not judged."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness import ROOT


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.turns", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_each_case_answers_every_batch_without_an_error(tmp_path: Path) -> None:
    cases = "no tenant,1 with limits"
    done = run("--rounds", "1", "--operations", "set", "--cases", cases, "--var", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "turns.json").read_text())
    assert result["set"].keys() == {"no tenant", "1 with limits"}
    assert all(us > 0 for rounds in result["set"].values() for us in rounds)


def test_an_unknown_operation_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = run("--operations", "drop", "--var", str(tmp_path))
    assert done.returncode == 2
    assert "unknown operations drop; known: ['get', 'set', 'create', 'multi']" in done.stderr
