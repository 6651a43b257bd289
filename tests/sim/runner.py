"""`make sim`: seeds on all workers, what they found, how fast they went.

Every seed runs with the same hash seed, so that it is the same run on every machine. A failing seed
prints what is wrong; `--seed N` runs one again and tells its story.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
BATCH = 4  # seeds that a worker is given at a time
WORKER_TIMEOUT_S = 600.0
KINDS = (
    "ensemble",
    "core",
    "solo",
    "points",
    "reconfig",
    "local",
    "decay",
    "groups",
    "core-groups",
    "wire",
    "walled",
)
# The same order of everything on every machine. Bugs can be put back into sources only.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "ENSEMBLE_PURE": "1"}
COMPILED = {"PYTHONHASHSEED": "0", "ENSEMBLE_PURE": "0"}
US_PER_HOUR = 3_600_000_000


def run_one(kind: str, seed: int, verbose: bool = False) -> dict[str, object]:
    """A seed's outcome as plain values. `kind` may name a bug behind a colon: it is put back."""
    # Imported here: the parent process starts workers and needs none of it.
    from tests.sim.bug import put_back
    from tests.sim.bugs import BUGS
    from tests.sim.corerun import run_core, run_core_groups
    from tests.sim.ensemble import (
        run_decay,
        run_ensemble,
        run_groups,
        run_local,
        run_point,
        run_walled,
        run_wire,
    )
    from tests.sim.reconfigured import run_reconfigured
    from tests.sim.solo import run_solo

    kind, _, name = kind.partition(":")
    runs = {
        "ensemble": run_ensemble,
        "core": run_core,
        "solo": run_solo,
        "points": run_point,
        "local": run_local,
        "decay": run_decay,
        "wire": run_wire,
        "walled": run_walled,
        "groups": run_groups,
        "core-groups": run_core_groups,
        "reconfig": run_reconfigured,
    }
    run = runs[kind]
    if not name:
        return asdict(run(seed, verbose))
    [bug] = [bug for bug in BUGS if bug.name == name]
    with put_back(bug):
        return asdict(run(seed, verbose, bug.provoke))


def work() -> None:
    """A worker: lines `first last kind` come in, one line of outcomes for each goes out."""
    for line in sys.stdin:
        first, last, kind = line.rstrip("\n").split(" ", 2)
        outcomes = [run_one(kind, seed) for seed in range(int(first), int(last))]
        print(json.dumps(outcomes), flush=True)


class Worker:
    """A process that runs seeds: the same hash seed for all of them."""

    def __init__(self, compiled: bool) -> None:
        chosen = COMPILED if compiled else ENVIRONMENT
        env = {**os.environ, **chosen, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sim.runner", "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd=ROOT,
            text=True,
        )

    def give(self, kind: str, first: int, last: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{first} {last} {kind}\n")
        self.process.stdin.flush()

    @property
    def out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def take(self) -> list[dict[str, object]]:
        line = self.out.readline()
        if not line:
            raise RuntimeError(f"a worker ended with {self.process.wait(10)}")
        found: list[dict[str, object]] = json.loads(line)
        return found

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def outcomes(
    kind: str, first: int, count: int, workers: int, compiled: bool = False
) -> Iterator[dict[str, object]]:
    """Run seeds, `count` of them or for ever (0), on so many processes.

    `compiled`: with the compiled modules, where there are any.
    """
    import selectors

    selector = selectors.DefaultSelector()
    pool = [Worker(compiled) for _ in range(workers)]
    end = first + count if count else sys.maxsize
    busy = 0
    try:
        for worker in pool:
            if first < end:
                worker.give(kind, first, min(first + BATCH, end))
                first = min(first + BATCH, end)
                selector.register(worker.out, selectors.EVENT_READ, worker)
                busy += 1
        while busy:
            ready = selector.select(WORKER_TIMEOUT_S)
            if not ready:
                raise RuntimeError(f"no seed came to its end within {WORKER_TIMEOUT_S:.0f} s")
            for key, _ in ready:
                worker = key.data
                found = worker.take()
                if first < end:
                    worker.give(kind, first, min(first + BATCH, end))
                    first = min(first + BATCH, end)
                else:
                    selector.unregister(worker.out)
                    busy -= 1
                yield from found
    finally:
        for worker in pool:
            worker.stop()


class Totals:
    """What a campaign adds up to."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seeds = 0
        self.virtual_us = 0
        self.events = 0
        self.ops = 0
        self.answered = 0
        self.txns = 0
        self.counts: Counter[str] = Counter()
        self.failed: list[int] = []

    def add(self, outcome: dict[str, object]) -> None:
        self.seeds += 1
        for name in ("virtual_us", "events", "ops", "answered", "txns"):
            value = outcome[name]
            assert isinstance(value, int)
            setattr(self, name, getattr(self, name) + value)
        counts = outcome["counts"]
        assert isinstance(counts, dict)
        self.counts.update(counts)
        self.counts["epochs"] += int(str(outcome["epochs"]))
        wrong = outcome["wrong"]
        assert isinstance(wrong, list)
        if wrong:
            seed = int(str(outcome["seed"]))
            self.failed.append(seed)
            print(f"seed {seed}: {len(wrong)} violations")
            for sentence in wrong[:5]:
                print(f"  {sentence}")

    def report(self) -> str:
        took_s = time.monotonic() - self.began
        hours = self.virtual_us / US_PER_HOUR
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return (
            f"{self.seeds} seeds, {len(self.failed)} failed {self.failed[:20]}\n"
            f"{hours:.2f} simulated hours in {took_s:.0f} s: {hours / took_s:.4f} per second; "
            f"{self.events} events, {self.ops} requests, {self.answered} answered, "
            f"{self.txns} transactions\n{counts}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make sim")
    parser.add_argument("--kind", choices=KINDS, default="ensemble")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=500, help="how many; 0: until told to stop")
    parser.add_argument("--seed", type=int, default=None, help="only this one, with its story")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--compiled", action="store_true", help="run the compiled modules")
    parser.add_argument("--bug", default="", help="put a known bug back in, and stop when it shows")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return 0
    if options.seed is not None:
        kind = f"{options.kind}:{options.bug}" if options.bug else options.kind
        return tell(kind, options.seed)
    totals = Totals()
    kind = f"{options.kind}:{options.bug}" if options.bug else options.kind
    assert not (options.bug and options.compiled), "bugs are put back into sources"
    runs = outcomes(kind, options.first, options.seeds, options.workers, options.compiled)
    try:
        for outcome in runs:
            totals.add(outcome)
            if options.bug and totals.failed:
                break
            if totals.seeds % 1_000 == 0:
                print(totals.report(), flush=True)
    except KeyboardInterrupt:
        pass
    print(totals.report())
    return 1 if totals.failed else 0


def tell(kind: str, seed: int) -> int:
    """One seed's story. It runs in a process of its own: the hash seed is fixed at the start."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        command = [sys.executable, "-m", "tests.sim.runner", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, **ENVIRONMENT}).returncode
    outcome = run_one(kind, seed, verbose=True)
    lines, wrong = outcome["lines"], outcome["wrong"]
    assert isinstance(lines, list)
    assert isinstance(wrong, list)
    print("\n".join(lines))
    for sentence in wrong:
        print(sentence)
    print(f"seed {seed}: {len(wrong)} violations, trace {outcome['trace']}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
