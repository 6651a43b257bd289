"""`python -m benchmarks.turns`: what tenants cost the server's thread, batch by batch.

Each case is a whole server in a process of its own (`one_server`) that does exactly the same work:
without a tenant, with one, with one that has every limit, with a thousand; `--before` is another
compiled checkout. Rounds alternate, and what is told is the ratio within a round, as the machine
changes from round to round. `--instructions` counts them under valgrind instead: slow, but no
other load on the machine changes them.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.report import Report

ROOT: Final = Path(__file__).resolve().parent.parent
PROGRAM: Final = ROOT / "benchmarks" / "one_server.py"
BATCHES: Final = {"get": 100, "set": 20, "create": 15, "multi": 2}  # a fifth of a second or less
COUNTED: Final = {"get": 4, "set": 2, "create": 2, "multi": 1}
CASES: Final = {
    "no tenant": [],
    "1 tenant": ["--tenants", "1"],
    "1 with limits": ["--tenants", "1", "--limited"],
    "1,000 with limits": ["--tenants", "1000", "--limited"],
}
TURN: Final = "CPyDef_client_port___ClientPort___on_ready"
STOP_TIMEOUT_S: Final = 60


class Case:
    """One server, running."""

    def __init__(self, name: str, checkout: Path, arguments: list[str], valgrind: bool) -> None:
        self.name: Final = name
        self.folder: Final = tempfile.mkdtemp(prefix="turns-")
        command = [sys.executable, "-P", str(PROGRAM), self.folder, *arguments]
        if valgrind:
            options = ["--collect-atstart=no", f"--toggle-collect={TURN}", "--dump-instr=no"]
            out = f"--callgrind-out-file={self.folder}/%p.out"
            command = ["valgrind", "--tool=callgrind", *options, out, *command]
            command += ["--slow-clock", "100"]
        self.process: Final = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the server ended early")
        answer: dict[str, float] = json.loads(line)
        return answer

    def run(self, operation: str, batches: int) -> float:
        """Microseconds of the server's thread for a request."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{operation} {batches}\n")
        self.process.stdin.flush()
        return self.answer()["ns"] / 1_000

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def instructions(self) -> int:
        """Those of all turns, once the process has ended."""
        self.process.wait(STOP_TIMEOUT_S)
        file = Path(self.folder, f"{self.process.pid}.out")
        found = re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])


def in_time(checkouts: dict[str, Path], operations: list[str], rounds: int, report: Report) -> None:
    cases = [
        Case(name, checkout, CASES.get(name, []), False) for name, checkout in checkouts.items()
    ]
    try:
        for case in cases:
            case.answer()
        say_head(report, list(checkouts), "us of the server's thread for a request")
        for operation in operations:
            seen: dict[str, list[float]] = {case.name: [] for case in cases}
            for case in cases:
                case.run(operation, 2)  # what is made once is there
            for number in range(rounds):
                for case in cases if number % 2 == 0 else reversed(cases):
                    seen[case.name].append(case.run(operation, BATCHES[operation]))
            say_row(report, operation, seen)
    finally:
        for case in cases:
            case.stop()


def in_instructions(checkouts: dict[str, Path], operations: list[str], report: Report) -> None:
    say_head(report, list(checkouts), "instructions of the server's thread for a request")
    for operation in operations:
        seen: dict[str, list[float]] = {}
        for name, checkout in checkouts.items():
            totals = []
            for batches in (1, 1 + COUNTED[operation]):  # the difference is without the set-up
                case = Case(name, checkout, CASES.get(name, []), True)
                try:
                    case.answer()
                    case.run(operation, batches)
                    assert case.process.stdin is not None
                    case.process.stdin.close()
                    totals.append(case.instructions())
                finally:
                    case.stop()
            requests = COUNTED[operation] * 960
            seen[name] = [(totals[1] - totals[0]) / requests]
        say_row(report, operation, seen)


def say_head(report: Report, names: list[str], unit: str) -> None:
    report.say(f"{names[0]}: {unit}; the others: times as much, median (least-most of a round).")
    report.say("")
    report.say("| operation | " + " | ".join(names) + " |")
    report.say("|---|" + "--:|" * len(names))


def say_row(report: Report, operation: str, seen: dict[str, list[float]]) -> None:
    base, *others = seen.values()
    cells = [operation, f"{statistics.median(base):,.2f}"]
    for rounds in others:
        ratios = [one / none for one, none in zip(rounds, base, strict=True)]
        spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if len(ratios) > 1 else ""
        cells.append(f"{statistics.median(ratios):.3f}{spread}")
    report.say("| " + " | ".join(cells) + " |")
    report.results[operation] = seen
    report.keep()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--operations", default=",".join(BATCHES), help="some of them")
    parser.add_argument("--cases", default=",".join(CASES).replace("1,000", "1000"))
    parser.add_argument("--before", default="", help="another checkout, compiled")
    parser.add_argument("--instructions", action="store_true", help="needs valgrind")
    parser.add_argument("--var", default="var/bench-turns", help="for results")
    options = parser.parse_args()
    operations = options.operations.split(",")
    if unknown := set(operations) - set(BATCHES):
        parser.error(f"unknown operations {', '.join(sorted(unknown))}; known: {list(BATCHES)}")
    names = [name.replace("1000", "1,000") for name in options.cases.split(",")]
    if unknown := set(names) - set(CASES):
        parser.error(f"unknown cases {', '.join(sorted(unknown))}; known: {list(CASES)}")
    checkouts = {"before": Path(options.before).resolve()} if options.before else {}
    checkouts |= dict.fromkeys(names, ROOT)
    report = Report(Path(options.var).resolve(), "turns")
    report.say_where(True)
    if options.instructions:
        if shutil.which("valgrind") is None:
            parser.error("--instructions needs valgrind: apt-get install valgrind")
        in_instructions(checkouts, operations, report)
    else:
        in_time(checkouts, operations, options.rounds, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
