"""`make bench`: ours beside Apache's server, on one machine, in one run, in alternating rounds.

Both get the same configuration and the same load (`load.c`). A row is one operation with so many
connections and so many requests outstanding on each; its figures are medians over the rounds, the
ratio's spread its smallest and largest value. `--quick` measures few rows for seconds each: whether
the tool works, not how fast a server is.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.load import PAYLOAD_BYTES, Load, build_load
from benchmarks.nodes import NODES_QUICK_ROWS, NODES_ROWS, NodesBench
from benchmarks.report import Figures, Report, cells_of, ratio_cells
from benchmarks.servers import (
    ROOT,
    Server,
    apache,
    apache_libraries,
    free_port,
    ours,
)
from ensemble.client import Client

JVM_WARMUP_S: Final = 8.0
MILLION: Final = 1_000_000
LOADS: Final = {"1": (1, 1), "100": (100, 1), "100x16": (100, 16)}
ROWS: Final = [f"{op}-{load}" for op in ("get", "set", "create", "mixed") for load in LOADS]
QUICK_ROWS: Final = ["get-1", "get-100x16", "set-100"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rows", default="", help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="few rows, few seconds")
    parser.add_argument("--without-million", action="store_true", help="leave the large tree out")
    parser.add_argument("--apache-lib", default="", help="a folder of jars instead of Maven's")
    parser.add_argument("--var", default="var/bench", help="for data and results")
    parser.add_argument("--nodes", type=int, default=1, help="3 or more: an ensemble's own rows")
    parser.add_argument("--only", default="", help="with --nodes: ours or apache")
    options = parser.parse_args()
    known, quick = (ROWS, QUICK_ROWS) if options.nodes == 1 else (NODES_ROWS, NODES_QUICK_ROWS)
    rows = quick if options.quick else (options.rows or ",".join(known)).split(",")
    unknown = set(rows) - set(known)
    if unknown:
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    if options.quick:
        options.rounds, options.seconds, options.without_million = 1, 1.0, True
    report, load = Report(Path(options.var).resolve()), build_load(Path(options.var).resolve())
    if load is None:
        print("the load generator is C: apt-get install gcc", file=sys.stderr)
        return 1
    if options.nodes > 1:
        return NodesBench(options, rows, report, load).run()
    return Bench(options, rows, report, load).run()


class Bench:
    """One run."""

    def __init__(
        self, options: argparse.Namespace, rows: list[str], report: Report, load: Load
    ) -> None:
        self.options: Final = options
        self.rows: Final = rows
        self.var: Final = report.var
        self.load: Final = load
        self.report: Final = report
        self.say: Final = report.say
        self.results: Final = report.results

    def run(self) -> int:
        libraries = apache_libraries(self.options.apache_lib)
        servers = [ours(self.fresh("ours"))]
        if libraries:
            servers.append(apache(self.fresh("apache"), libraries))
        self.report.say_where(bool(libraries))
        try:
            for server in servers:
                server.start()
            if not self.options.quick:
                for server in servers[1:]:  # a JVM compiles what it has run for a while
                    for op in ("get", "set"):
                        self.drive(server, op, 100, 16, JVM_WARMUP_S / 2)
            self.measure_rows(servers)
        finally:
            for server in servers:
                server.stop()
        self.measure_floor()
        if not self.options.without_million:
            self.measure_million(libraries)
        self.report.keep()
        return 0

    def fresh(self, name: str) -> Path:
        folder = self.var / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def drive(
        self, server: Server, op: str, connections: int, window: int, seconds: float
    ) -> Figures:
        warmup = min(1.0, seconds / 2)
        before = server.cpu_s()
        seen = self.load.run([server.port], op, connections, window, seconds, warmup)
        # The server worked through the warm-up, too: its share is taken off by time.
        cpu_s = (server.cpu_s() - before) * seconds / (seconds + warmup)
        return Figures(seen.per_s, seen.p50_us, seen.p99_us, cpu_s / seen.ops * 100_000)

    # Throughput and latency

    def measure_rows(self, servers: list[Server]) -> None:
        both = len(servers) > 1
        head = "| operation | connections x outstanding | ours /s | p50 ms | p99 ms | CPU s |"
        rule = "|---|---|--:|--:|--:|--:|"
        if both:
            head += " Apache /s | p50 ms | p99 ms | CPU s | ratio | p99 ratio |"
            rule += "--:|--:|--:|--:|--:|--:|"
        self.say(head)
        self.say(rule)
        for row in self.rows:
            op, load = row.split("-")
            connections, window = LOADS[load]
            seen: list[list[Figures]] = [[] for _ in servers]
            for _ in range(self.options.rounds):
                for index, server in enumerate(servers):
                    figures = self.drive(server, op, connections, window, self.options.seconds)
                    seen[index].append(figures)
            cells = [op, f"{connections} x {window}"]
            for figures_of_one in seen:
                cells += cells_of(figures_of_one)
            if both:
                cells += ratio_cells(*seen)
            self.say("| " + " | ".join(cells) + " |")
            self.results[row] = [[asdict(figures) for figures in one] for one in seen]
            self.report.keep()
        self.say("")
        self.say("CPU s: processor seconds of the server for 100,000 operations.")

    def measure_floor(self) -> None:
        port = free_port()
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo", str(port)], cwd=ROOT)
        try:
            time.sleep(1.0)
            self.say("")
            self.say("The floor, an echo of a get's frame on the same kind of loop, interpreted:")
            for load, (connections, window) in LOADS.items():
                seconds = 1.0 if self.options.quick else 3.0
                per_s = self.load.run([port], "echo", connections, window, seconds, 0.5, 1).per_s
                self.say(f"- {connections} x {window}: {per_s:,.0f}/s")
                self.results[f"echo-{load}"] = per_s
        finally:
            process.terminate()
            process.wait()

    # A million znodes

    def measure_million(self, libraries: str) -> None:
        self.say("")
        self.say("| a million znodes of 100 bytes | ours | Apache |")
        self.say("|---|--:|--:|")
        columns = [self.million(ours(self.fresh("ours")))]
        if libraries:
            columns.append(self.million(apache(self.fresh("apache"), libraries)))
        for name in columns[0]:
            values = [f"{column[name]:,.2f}" for column in columns]
            self.say(f"| {name} | " + " | ".join(values) + " |")
        self.results["million"] = columns

    def million(self, server: Server) -> dict[str, float]:
        seen: dict[str, float] = {}
        server.start()
        try:
            empty = server.memory_bytes()
            probe = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.probe", str(server.port)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            asyncio.run(fill(server))
            probe.terminate()
            pauses = json.loads(probe.communicate(timeout=60)[0])
            seen["bytes of memory per znode"] = (server.memory_bytes() - empty) / MILLION
            seen["p99 ms of a get meanwhile, snapshots included"] = pauses["p99_ms"]
            seen["worst ms of a get meanwhile"] = pauses["worst_ms"]
            server.stop()
            seen["seconds to recover"] = server.start()
        finally:
            server.stop()
        return seen


async def fill(server: Server) -> None:
    """Create a million znodes, a thousand requests ahead of their replies."""
    async with Client(f"127.0.0.1:{server.port}", timeout=60) as writer:
        await writer.create("/million")
        data = bytes(PAYLOAD_BYTES)
        for thousand in range(1_000):
            parent = f"/million/p{thousand:03}"
            calls = [writer.create(parent, data)]
            calls += [writer.create(f"{parent}/c{n:03}", data) for n in range(999)]
            await asyncio.gather(*calls)


if __name__ == "__main__":
    sys.exit(main())
