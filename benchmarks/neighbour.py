"""`make neighbour`: what a quiet tenant notices of a noisy one, with fair turns and without.

Tenant B sends 500 requests a second in an open loop (90 % reads, then writes only) and keeps idle
sessions of 4 s that do nothing but ping. Tenant A floods from 200 connections: deep pipelines of
reads and writes, multis of a hundred operations, a storm of new sessions. B is measured alone, with
A, and with A at servers that run with `ensemble.tenancy.fairness=off`, in alternating rounds.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.load import CONNECT_TIMEOUT_S, PAYLOAD_BYTES, build_load, build_neighbour
from benchmarks.provisioning import tenants_at, trusted_key
from benchmarks.report import Report
from benchmarks.servers import Server
from ensemble.admin.draft import Draft
from tests.ensembles import Ensemble, ours

QUIET_CONNECTIONS: Final = 20
QUIET_RATE: Final = 500
IDLE_SESSIONS: Final = 50
FLOODS: Final = {"reads and writes": 140, "multis": 40, "new sessions": 20}  # connections
FLOOD_WINDOW: Final = 64
MULTI_WINDOW: Final = 2
MULTI_OPERATIONS: Final = 100
LEAD_S: Final = 3.0  # the flood runs so long before B is measured, and after it
FAIRNESS_OFF: Final = "-Densemble.tenancy.fairness=off"


class Fleet:
    """One server, or an ensemble, with tenants a and b."""

    def __init__(self, folder: Path, nodes: int, *flags: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.key, trust = trusted_key(folder)
        self.server: Server | None = None
        self.ensemble: Ensemble | None = None
        if nodes == 1:
            command = [sys.executable, "-m", "ensemble.server.main", "server", trust, *flags]
            self.server = Server("Ensemble", folder, command)
            self.ports = [self.server.port]
        else:
            self.ensemble = Ensemble(folder / "members", [ours(trust, *flags)] * nodes)
            self.ports = [member.client_port for member in self.ensemble.all]
        self.tokens: dict[str, str] = {}

    def start(self) -> None:
        if self.server is not None:
            self.server.start()
        if self.ensemble is not None:
            self.ensemble.start().wait_serving()
        drafts = [Draft(slug=slug, mode="enforce") for slug in ("a", "b")]
        self.tokens = tenants_at(self.ports[0], self.key, drafts)

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
        if self.ensemble is not None:
            self.ensemble.kill()


class Neighbours:
    """The generators against one fleet."""

    def __init__(self, fleet: Fleet, load: Path, neighbour: Path) -> None:
        self.ports: Final = ",".join(str(port) for port in fleet.ports)
        self.tokens: Final = fleet.tokens
        self.load: Final = load
        self.neighbour: Final = neighbour

    def start(self, tenant: str, program: Path, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(program), *(str(argument) for argument in arguments)],
            env={**os.environ, "LOAD_AUTH": f"tenant {self.tokens[tenant]}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def quiet(self, seconds: float, write_percent: int) -> dict[str, float]:
        """What B sees."""
        return finish(
            self.start(
                "b",
                self.neighbour,
                "quiet",
                self.ports,
                QUIET_CONNECTIONS,
                QUIET_RATE,
                seconds,
                write_percent,
                IDLE_SESSIONS,
            ),
            seconds,
        )

    def flooded(
        self, seconds: float, write_percent: int, floods: Iterable[str]
    ) -> dict[str, float]:
        """The same while A floods; with what A got through."""
        long_s = seconds + 2 * LEAD_S
        started: dict[str, subprocess.Popen[str]] = {}
        for flood in floods:
            count = FLOODS[flood]
            if flood == "reads and writes":
                numbers = (count, FLOOD_WINDOW, long_s, 0, 1, PAYLOAD_BYTES, 100)
                started[flood] = self.start("a", self.load, self.ports, "mixed", *numbers)
            elif flood == "multis":
                numbers = (count, MULTI_WINDOW, long_s, MULTI_OPERATIONS)
                started[flood] = self.start("a", self.neighbour, flood, self.ports, *numbers)
            else:
                arguments = ("arrivals", self.ports, count, long_s)
                started[flood] = self.start("a", self.neighbour, *arguments)
        try:
            wait(LEAD_S, started.values())
            seen = self.quiet(seconds, write_percent)
            for flood, process in started.items():
                seen[flood] = finish(process, long_s)["ops"] / long_s
        finally:
            for process in started.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return seen


def wait(seconds: float, processes: Iterable[subprocess.Popen[str]]) -> None:
    """Until a flood has begun; one that ends at once has failed."""
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            seconds = 0.001
        else:
            raise RuntimeError(f"a flood ended early: {process.communicate()}")


def finish(process: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    out, err = process.communicate(timeout=seconds + CONNECT_TIMEOUT_S)
    if process.returncode != 0:
        raise RuntimeError(f"a generator failed: {err}")
    seen: dict[str, float] = json.loads(out)
    return seen


def cells(name: str, rounds: list[dict[str, float]], floods: list[str]) -> str:
    def median(of: str) -> float:
        return statistics.median(seen[of] for seen in rounds)

    figures = [f"{median(of) / 1e3:.2f}" for of in ("p50_us", "p99_us", "p999_us", "write_p99_us")]
    figures.append(f"{max(seen['max_us'] for seen in rounds) / 1e3:.1f}")
    figures.append(f"{median('ping_p99_us') / 1e3:.2f}")
    figures += [f"{sum(seen[of] for seen in rounds):.0f}" for of in ("errors", "lost", "expired")]
    passed = " + ".join(f"{median(flood):,.0f}" for flood in floods if flood in rounds[0])
    return f"| {name} | " + " | ".join(figures) + f" | {passed} |"


def measure(options: argparse.Namespace, report: Report, load: Path, neighbour: Path) -> None:
    floods = options.floods.split(",")
    for nodes in [int(number) for number in options.nodes.split(",")]:
        fair = Fleet(report.var / f"fair-{nodes}", nodes)
        unfair = Fleet(report.var / f"unfair-{nodes}", nodes, FAIRNESS_OFF)
        fleets = [fair] if options.without_off else [fair, unfair]
        try:
            for fleet in fleets:
                fleet.start()
            report.say(
                f"| {nodes} node{'s'[: nodes > 1]} | p50 ms | p99 ms | p99.9 ms | p99 of writes "
                "| worst ms | p99 of pings | errors | connections lost | sessions expired "
                "| A got through, /s |"
            )
            report.say("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
            for percent in [int(number) for number in options.writes.split(",")]:
                seen: dict[str, list[dict[str, float]]] = {}
                for _ in range(options.rounds):
                    for fleet in fleets:
                        tenants = Neighbours(fleet, load, neighbour)
                        name = "" if fleet is fair else ", fairness off"
                        alone = tenants.quiet(options.alone_seconds, percent)
                        seen.setdefault(f"alone{name}", []).append(alone)
                        flooded = tenants.flooded(options.seconds, percent, floods)
                        seen.setdefault(f"beside A{name}", []).append(flooded)
                for name, rounds in seen.items():
                    report.say(cells(f"{percent} % writes, {name}", rounds, floods))
                    report.results[f"{nodes}-{percent}-{name}"] = rounds
                    report.keep()
            report.say("")
        finally:
            for fleet in fleets:
                fleet.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make neighbour", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="600 for the record")
    parser.add_argument("--alone-seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--nodes", default="1,3")
    parser.add_argument("--writes", default="10,100", help="shares of writes in B's requests, %%")
    parser.add_argument("--floods", default=",".join(FLOODS), help="some of them")
    parser.add_argument("--without-off", action="store_true", help="leave the contrast out")
    parser.add_argument("--var", default="var/bench", help="for data and results")
    options = parser.parse_args()
    unknown = set(options.floods.split(",")) - set(FLOODS)
    if unknown:
        parser.error(f"unknown floods {', '.join(sorted(unknown))}; known are {', '.join(FLOODS)}")
    report = Report(Path(options.var).resolve(), "neighbour")
    load, neighbour = build_load(report.var), build_neighbour(report.var)
    if load is None or neighbour is None:
        print("the load generators are C: apt-get install gcc", file=sys.stderr)
        return 1
    report.say_where(True)
    measure(options, report, load.program, neighbour)
    report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
