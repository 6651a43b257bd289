"""The measuring tool measures: few rows, for a second each. Its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness import ROOT
from tests.needs import need


def test_a_quick_run_fills_its_table(tmp_path: Path) -> None:
    need("cc")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--quick", "--var", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    for row in ("get-1", "get-100x16", "set-100"):
        for one in result[row]:
            assert all(figures["per_s"] > 100 for figures in one), row
            assert all(0 < figures["p50_us"] <= figures["p99_us"] for figures in one), row
    assert result["echo-1"] > 1_000


def test_an_unknown_row_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--rows", "get-7", "--var", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "unknown rows get-7; known are get-1" in done.stderr
