"""`make bench`: ours beside Apache's server, on one machine, in one run, in alternating rounds.

Both get the same configuration and the same load (`load.c`). A row is one operation with so many
connections and so many requests outstanding on each; its figures are medians over the rounds, the
ratio's spread its smallest and largest value. `--quick` measures few rows for seconds each: whether
the tool works, not how fast a server is.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.servers import (
    ROOT,
    Server,
    apache,
    apache_libraries,
    free_port,
    is_compiled,
    ours,
)
from ensemble.client import Client

PAYLOAD_BYTES: Final = 100
KEYS: Final = 1_000
JVM_WARMUP_S: Final = 8.0
MILLION: Final = 1_000_000
LOADS: Final = {"1": (1, 1), "100": (100, 1), "100x16": (100, 16)}
ROWS: Final = [f"{op}-{load}" for op in ("get", "set", "create", "mixed") for load in LOADS]
QUICK_ROWS: Final = ["get-1", "get-100x16", "set-100"]


@dataclass
class Figures:
    """What one round of one row gave."""

    per_s: float
    p50_us: float
    p99_us: float
    cpu_s: float  # of the server, for 100,000 operations


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="few rows, few seconds")
    parser.add_argument("--without-million", action="store_true", help="leave the large tree out")
    parser.add_argument("--apache-lib", default="", help="a folder of jars instead of Maven's")
    parser.add_argument("--var", default="var/bench", help="for data and results")
    options = parser.parse_args()
    rows = QUICK_ROWS if options.quick else options.rows.split(",")
    unknown = set(rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known are {', '.join(ROWS)}")
    if options.quick:
        options.rounds, options.seconds, options.without_million = 1, 1.0, True
    return Bench(options, rows).run()


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, rows: list[str]) -> None:
        self.options: Final = options
        self.rows: Final = rows
        self.var: Final = Path(options.var).resolve()
        self.load: Final = self.var / "load"
        self.out: Final[list[str]] = []
        self.results: Final[dict[str, object]] = {}

    def run(self) -> int:
        self.var.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            print("the load generator is C: apt-get install gcc", file=sys.stderr)
            return 1
        source = ROOT / "benchmarks" / "load.c"
        subprocess.run([compiler, "-O2", "-pthread", "-o", str(self.load), str(source)], check=True)
        libraries = apache_libraries(self.options.apache_lib)
        servers = [ours(self.fresh("ours"))]
        if libraries:
            servers.append(apache(self.fresh("apache"), libraries))
        self.say(
            f"{os.cpu_count()} cores, Python {platform.python_version()}, load generator on the "
            f"same machine; load average before: {os.getloadavg()[0]:.1f}."
        )
        if not is_compiled():
            self.say("Interpreted: `make compile` first for the real figures.")
        if not libraries:
            self.say("Without Apache's server: Java and Maven are not here.")
        self.say("")
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
        self.keep()
        return 0

    def keep(self) -> None:
        """What is known so far, in files: a long run may be cut."""
        (self.var / "result.json").write_text(json.dumps(self.results, indent=1))
        (self.var / "result.md").write_text("\n".join(self.out) + "\n")

    def fresh(self, name: str) -> Path:
        folder = self.var / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.out.append(line)

    def drive(
        self, server: Server, op: str, connections: int, window: int, seconds: float
    ) -> Figures:
        threads = 1 if connections == 1 else 2
        warmup = min(1.0, seconds / 2)
        numbers = (connections, window, seconds, warmup, threads, PAYLOAD_BYTES, KEYS)
        before = server.cpu_s()
        command = [str(self.load), str(server.port), op, *(str(number) for number in numbers)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + warmup + 120
        )
        if done.returncode != 0:
            raise RuntimeError(f"{server.name}, {op}: {done.stderr}")
        seen = json.loads(done.stdout)
        # The server worked through the warm-up, too: its share is taken off by time.
        cpu_s = (server.cpu_s() - before) * seconds / (seconds + warmup)
        ops = seen["ops"]
        if ops == 0:
            raise RuntimeError(f"{server.name}, {op}: no request was answered")
        return Figures(ops / seconds, seen["p50_us"], seen["p99_us"], cpu_s / ops * 100_000)

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
                cells += self.cells(figures_of_one)
            if both:
                ratios = [a.per_s / b.per_s for a, b in zip(*seen, strict=True)]
                tails = [a.p99_us / b.p99_us for a, b in zip(*seen, strict=True)]
                cells.append(
                    f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f})"
                )
                cells.append(f"{statistics.median(tails):.2f}")
            self.say("| " + " | ".join(cells) + " |")
            self.results[row] = [[asdict(figures) for figures in one] for one in seen]
            self.keep()
        self.say("")
        self.say("CPU s: processor seconds of the server for 100,000 operations.")

    def cells(self, seen: list[Figures]) -> list[str]:
        def median(of: Callable[[Figures], float]) -> float:
            return statistics.median(of(figures) for figures in seen)

        return [
            f"{median(lambda f: f.per_s):,.0f}",
            f"{median(lambda f: f.p50_us) / 1e3:.2f}",
            f"{median(lambda f: f.p99_us) / 1e3:.2f}",
            f"{median(lambda f: f.cpu_s):.2f}",
        ]

    def measure_floor(self) -> None:
        port = free_port()
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo", str(port)], cwd=ROOT)
        try:
            time.sleep(1.0)
            self.say("")
            self.say("The floor, an echo of a get's frame on the same kind of loop, interpreted:")
            for load, (connections, window) in LOADS.items():
                numbers = (connections, window, 1 if self.options.quick else 3, 0.5)
                threads = 1 if connections == 1 else 2
                command = [str(self.load), str(port), "echo", *(str(number) for number in numbers)]
                command += [str(threads), str(PAYLOAD_BYTES), "1"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=60)
                if done.returncode != 0:
                    raise RuntimeError(done.stderr)
                seen = json.loads(done.stdout)
                per_s = seen["ops"] / seen["seconds"]
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
