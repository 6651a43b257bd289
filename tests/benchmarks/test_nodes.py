"""The measuring tools for ensembles measure: a second each. Their figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness import ROOT
from tests.java import LIBRARIES
from tests.needs import need


def test_a_quick_run_over_three_of_apaches_nodes_fills_its_table(
    tmp_path: Path, classpath: str
) -> None:
    need("cc")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--nodes", "3", "--quick", "--only", "apache"]
        + ["--apache-lib", str(LIBRARIES), "--var", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    for row in ("3-set-99", "3-get-99x16"):
        (figures,) = result[row]["apache"]
        assert figures["per_s"] > 100, row
        assert 0 < figures["p50_us"] <= figures["p99_us"], row
        assert 0 < figures["leader_s"] < figures["cpu_s"], row


def test_a_row_of_one_node_is_unknown_with_three(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--nodes", "3", "--rows", "get-100"]
        + ["--var", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "unknown rows get-100; known are set-99" in done.stderr
