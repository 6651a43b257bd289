"""`python -m benchmarks.run --nodes 3`: an ensemble of ours beside one of Apache's.

Both run all the time, on the same disk with the same configuration; the load goes to one, then to
the other, spread evenly over the members. Processor seconds are told apart: the leader's, and the
mean of a follower's.
"""

import argparse
import shutil
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import Load
from benchmarks.report import Figures, Report, cells_of, ratio_cells
from benchmarks.servers import APACHE_HEAP, apache_libraries, cpu_s_of
from tests.ensembles import Ensemble, Software, apache, ours

JVM_WARMUP_S: Final = 8.0
NODES_LOADS: Final = {"1": (1, 1), "99": (99, 1), "99x4": (99, 4), "99x16": (99, 16)}
NODES_ROWS: Final = ["set-99", "set-99x16", "get-99", "get-99x16", "mixed-99x4", "create-99"] + [
    "create-99x16",
    "mixed-99",
    "mixed-99x16",
    "set-1",
    "get-1",
]
NODES_QUICK_ROWS: Final = ["set-99", "get-99x16"]


@dataclass
class NodesFigures(Figures):
    """With the share of the roles in the processor seconds."""

    leader_s: float
    follower_s: float


class Cluster:
    """An ensemble under measurement."""

    def __init__(self, folder: Path, software: list[Software], observers: int = 0) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.name: Final = software[0].name
        self.ensemble: Final = Ensemble(folder, software, observers=software[:1] * observers)
        self.ports: Final = [member.client_port for member in self.ensemble.all]
        self.leader = 0  # its id

    def start(self) -> None:
        self.leader = self.ensemble.start().wait_serving().sid

    def warm_up(self, load: Load) -> None:
        """A JVM compiles what it has run for a while."""
        if self.name == "apache":
            for op in ("get", "set"):
                self.drive(load, op, 99, 16, JVM_WARMUP_S / 2)

    def stop(self) -> None:
        self.ensemble.kill()

    def cpu_s(self) -> dict[int, float]:
        return {member.sid: cpu_s_of(member.processes()) for member in self.ensemble.all}

    def drive(
        self, load: Load, op: str, connections: int, window: int, seconds: float
    ) -> NodesFigures:
        """One round of a row.

        Raises:
            RuntimeError: also if another member leads afterwards: the figures would mean nothing.
        """
        warmup_s = min(1.0, seconds / 2)
        before = self.cpu_s()
        seen = load.run(self.ports, op, connections, window, seconds, warmup_s)
        after = self.cpu_s()
        leader = self.ensemble.wait_serving().sid
        if leader != self.leader:
            raise RuntimeError(f"{self.name}, {op}: {leader} leads in place of {self.leader}")
        # The servers worked through the warm-up, too: its share is taken off by time.
        share = seconds / (seconds + warmup_s) / seen.ops * 100_000
        used = {sid: (after[sid] - before[sid]) * share for sid in after}
        followers = [cpu_s for sid, cpu_s in used.items() if sid != leader]
        return NodesFigures(
            seen.per_s,
            seen.p50_us,
            seen.p99_us,
            sum(used.values()),
            used[leader],
            statistics.mean(followers),
        )


def clusters(
    folder: Path, nodes: int, libraries: str, observers: int = 0, names: Iterable[str] = ()
) -> list[Cluster]:
    """Ours, and Apache's where Java is."""
    software = [ours()] + ([apache(libraries, APACHE_HEAP)] if libraries else [])
    wanted = set(names)
    return [
        Cluster(folder / f"{one.name}-{nodes}", [one] * nodes, observers)
        for one in software
        if not wanted or one.name in wanted
    ]


class NodesBench:
    """One run."""

    def __init__(
        self, options: argparse.Namespace, rows: list[str], report: Report, load: Load
    ) -> None:
        self.options: Final = options
        self.rows: Final = rows
        self.report: Final = report
        self.load: Final = load

    def run(self) -> int:
        libraries = apache_libraries(self.options.apache_lib)
        names = [name for name in self.options.only.split(",") if name]
        measured = clusters(self.report.var, self.options.nodes, libraries, names=names)
        self.report.say_where(bool(libraries))
        try:
            for cluster in measured:
                cluster.start()
            if not self.options.quick:
                for cluster in measured:
                    cluster.warm_up(self.load)
            self.measure(measured)
        finally:
            for cluster in measured:
                cluster.stop()
        self.report.keep()
        return 0

    def measure(self, measured: list[Cluster]) -> None:
        say = self.report.say
        head = f"| {self.options.nodes} nodes | connections x outstanding |"
        rule = "|---|---|"
        for cluster in measured:
            name = cluster.name.capitalize()
            head += f" {name} /s | p50 ms | p99 ms | CPU s, all | leader | a follower |"
            rule += "--:|--:|--:|--:|--:|--:|"
        if len(measured) > 1:
            head += " ratio | p99 ratio |"
            rule += "--:|--:|"
        say(head)
        say(rule)
        for row in self.rows:
            op, load = row.split("-")
            connections, window = NODES_LOADS[load]
            seen: list[list[NodesFigures]] = [[] for _ in measured]
            for _ in range(self.options.rounds):
                for index, cluster in enumerate(measured):
                    figures = cluster.drive(
                        self.load, op, connections, window, self.options.seconds
                    )
                    seen[index].append(figures)
            cells = [op, f"{connections} x {window}"]
            for rounds in seen:
                cells += cells_of(list(rounds))
                cells.append(f"{statistics.median(figures.leader_s for figures in rounds):.2f}")
                cells.append(f"{statistics.median(figures.follower_s for figures in rounds):.2f}")
            if len(seen) == 2:
                cells += ratio_cells(list(seen[0]), list(seen[1]))
            say("| " + " | ".join(cells) + " |")
            self.report.results[f"{self.options.nodes}-{row}"] = {
                cluster.name: [asdict(figures) for figures in rounds]
                for cluster, rounds in zip(measured, seen, strict=True)
            }
            self.report.keep()
        say("")
        say("CPU s: processor seconds for 100,000 operations; of all members, and by role.")
