"""`make chaos`: hurt an ensemble of real processes while clients work, then check everything.

    python -m tests.chaos.run --seconds 300 --seed 7 --software ours

The seed decides which faults come in which order and how long they last, not what the processes
make of it: two runs differ. A failing run keeps its folder, with the clients' history.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.checkers import (
    check_equal,
    check_final,
    check_history,
    check_no_ephemerals,
    fail_if,
)
from tests.chaos.faults import FAULTS, Fault, words
from tests.chaos.history import History
from tests.chaos.links import Links
from tests.chaos.workload import (
    CLIENTS,
    EPHEMERALS,
    KEYS,
    Worker,
    abandon_session,
    dump_all,
    prepare,
)
from tests.ensembles import Ensemble, Software, apache, ours
from tests.java import java_classpath

# Short ticks: what takes too long is noticed within seconds. Session timeouts may be long all the
# same: no session may expire while its client is there.
CONFIG: Final[Mapping[str, object]] = {
    "tickTime": 500,
    "initLimit": 20,
    "syncLimit": 5,
    "minSessionTimeout": 1_000,
    "maxSessionTimeout": 60_000,
    "snapCount": 500,  # snapshots and new log files all the time
    "preAllocSize": 64,
}
# A run draws from these: how learners catch up, and how often everything is written anew.
VARIATIONS: Final[Mapping[str, list[object]]] = {
    "snapCount": [60, 500, 5_000],
    "forceSnapshotSync": ["false", "false", "true"],
}
CALM_S: Final = (0.3, 1.5)  # between two faults
RECOVERY_MAX_S: Final = 40.0  # I20: from the end of a fault until all members serve
EPHEMERALS_MAX_S: Final = 20.0  # until an abandoned session's are gone


@dataclass
class Run:
    """One ensemble, its clients, and what is done to them."""

    ensemble: Ensemble
    rng: random.Random
    faults: list[Fault]
    seconds: float
    sync_is_linearizable: bool = True
    quiet: bool = True
    history: History = field(default_factory=History)
    done: Counter[str] = field(default_factory=Counter)
    recovery_s: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Everything; raises what was found."""
        ensemble = self.ensemble
        with Links(ensemble) as links:
            ensemble.start()
            await asyncio.to_thread(ensemble.wait_serving)
            await prepare(ensemble.address)
            stop = asyncio.Event()
            workers = [
                Worker(number, self.history, random.Random(self.rng.random()), stop)
                for number in range(CLIENTS)
            ]
            tasks = [asyncio.create_task(worker.run(ensemble.address)) for worker in workers]
            try:
                await asyncio.to_thread(self.hurt, links)
                stop.set()
                await asyncio.gather(*tasks)
                await self.check(workers)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for worker in workers:
                    await worker.close()
                self.history.keep(ensemble.folder / "history.json")

    def hurt(self, links: Links) -> None:
        """Fault after fault; each one at least once if there is time for all."""
        deadline = time.monotonic() + self.seconds
        waiting: list[Fault] = []
        while time.monotonic() < deadline:
            if not waiting:
                waiting = self.rng.sample(self.faults, len(self.faults))
            fault = waiting.pop()
            time.sleep(self.rng.uniform(*CALM_S))
            began = time.monotonic()
            fault(self.ensemble, links, self.rng)
            ended = time.monotonic()
            self.ensemble.wait_serving(RECOVERY_MAX_S)
            self.recovery_s.append(time.monotonic() - ended)
            self.done[words(fault)] += 1
            if not self.quiet:
                print(
                    f"{words(fault)}: {ended - began:.1f} s, recovered after "
                    f"{self.recovery_s[-1]:.1f} s; {self.history.summary()}",
                    flush=True,
                )

    async def check(self, workers: Iterable[Worker]) -> None:
        """With the sessions open, then without them."""
        ensemble = self.ensemble
        # In a thread: the sessions have to ping meanwhile.
        found = await asyncio.to_thread(check_history, self.history, self.sync_is_linearizable)
        fail_if(found)
        trees = await dump_all(ensemble)
        assert len(trees) == len(ensemble.members)
        fail_if(check_equal(trees))
        fail_if(check_final(self.history, next(iter(trees.values())), KEYS))
        abandoned = [
            await asyncio.to_thread(abandon_session, member.client_port) for member in ensemble.all
        ]
        for worker in workers:
            await worker.close()
        deadline = time.monotonic() + EPHEMERALS_MAX_S
        while left := check_no_ephemerals(await dump_all(ensemble)):
            of_clients = [line for line in left if not any(path in line for path in abandoned)]
            fail_if(of_clients)  # closed, not expired: gone at once
            assert time.monotonic() < deadline, f"still there: {left}"
            await asyncio.sleep(0.1)
        trees = await dump_all(ensemble)
        fail_if(check_equal(trees))
        assert EPHEMERALS in next(iter(trees.values()))


def software_of(name: str, count: int = 3) -> list[Software]:
    """Members: ours, Apache's, or both in turn."""
    if name == "ours":
        return [ours()] * count
    theirs = apache(java_classpath())
    return [theirs if name == "apache" or sid % 2 else ours() for sid in range(count)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--software", choices=["ours", "apache", "mixed"], default="ours")
    parser.add_argument("--nodes", type=int, default=3, help="that vote")
    parser.add_argument("--observers", type=int, default=0)
    names = [fault.__name__ for fault in FAULTS]
    parser.add_argument("--faults", default="", help=f"some of {', '.join(names)}")
    options = parser.parse_args()
    chosen = [name for name in options.faults.split(",") if name]
    unknown = set(chosen) - set(names)
    if unknown:
        parser.error(f"unknown faults {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="ensemble-chaos-"))
    print(f"seed {seed}, {options.software}, in {folder}", flush=True)
    faults = [fault for fault in FAULTS if not chosen or fault.__name__ in chosen]
    software = software_of(options.software, options.nodes + options.observers)
    voters, observers = software[: options.nodes], software[options.nodes :]
    rng = random.Random(seed)
    drawn = {name: rng.choice(values) for name, values in VARIATIONS.items()}
    print(", ".join(f"{name} {value}" for name, value in drawn.items()), flush=True)
    with Ensemble(folder, voters, {**CONFIG, **drawn}, observers) as ensemble:
        run = Run(ensemble, rng, faults, options.seconds, quiet=False)
        # Apache's sync does not ask a quorum whether the leader still leads.
        run.sync_is_linearizable = options.software == "ours"
        asyncio.run(run.run())
    shutil.rmtree(folder)
    counts = ", ".join(f"{times} x {name}" for name, times in sorted(run.done.items()))
    print(f"passed: {sum(run.done.values())} faults ({counts}); {run.history.summary()};")
    print(f"recovery {max(run.recovery_s):.1f} s at worst")
    return 0


if __name__ == "__main__":
    sys.exit(main())
