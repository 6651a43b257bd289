"""`make bench-tenants`: what tenants cost, on one machine, in one run, in alternating rounds.

The same node without a tenant, with one, and with a thousand of which one is at work, its clients
authenticated in it. `--before` is another checkout, of a state before there were tenants.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.load import Load, build_load
from benchmarks.report import Figures, Report
from benchmarks.run import LOADS, ROWS
from benchmarks.servers import Server
from ensemble.admin import provision
from ensemble.admin.draft import LIMIT_NAMES, Draft
from ensemble.admin.keys import OperatorKey, make_key
from ensemble.client import Client

COUNTS: Final = [1, 1_000]
QUICK_ROWS: Final = ["get-100x16", "set-100"]
SLUG: Final = "bench"
# Connections that are being opened are a flow of their own, and so long after it had work turns are
# shared (docs/tenancy.md, "Fair turns"): that is another measurement.
WARMUP_S: Final = 1.5
FAR_AWAY: Final = 1_000_000_000  # limits that are looked at, and do not hold anything up


class Place:
    """A server with so many tenants, and the credential of the one at work."""

    def __init__(self, name: str, server: Server, tenants: int, key: OperatorKey) -> None:
        self.name: Final = name
        self.server: Final = server
        self.tenants: Final = tenants
        self.key: Final = key
        self.auth = ""

    def start(self) -> None:
        self.server.start()
        if self.tenants:
            self.auth = asyncio.run(self.provision())

    async def provision(self) -> str:
        """Define the tenants; "tenant slug:secret" of the one at work, which has every limit."""
        async with Client(f"127.0.0.1:{self.server.port}", timeout=60) as client:
            await client.add_auth("operator", self.key.sign("bench"))
            await provision.init(client, self.key.id, self.key.public)
            limits = dict.fromkeys(LIMIT_NAMES, FAR_AWAY)
            drafts = [Draft(slug=SLUG, mode="enforce", limits=limits)]
            drafts += [Draft(slug=f"other-{n}", limits=limits) for n in range(1, self.tenants)]
            for draft in drafts:
                await provision.create(client, draft)
            made = await provision.add_credential(client, SLUG, "load", "writer")
        return f"tenant {made.token}"

    def drive(self, load: Load, op: str, connections: int, window: int, seconds: float) -> Figures:
        """One round of a row; what the processor did is counted from the end of the warm-up on."""
        began: list[float] = []
        clock = threading.Timer(WARMUP_S, lambda: began.append(self.server.cpu_s()))
        clock.start()
        seen = load.run(
            [self.server.port], op, connections, window, seconds, WARMUP_S, auth=self.auth
        )
        clock.join()
        cpu_s = self.server.cpu_s() - began[0]
        return Figures(seen.per_s, seen.p50_us, seen.p99_us, cpu_s / seen.ops * 100_000)


def here(folder: Path, keys: Path) -> Server:
    """A node of this checkout that trusts the key."""
    command = [sys.executable, "-m", "ensemble.server.main", "server"]
    return Server("ours", folder, [*command, f"-Densemble.operator.keys={keys}"])


def before(folder: Path, checkout: str) -> Server:
    """A node of another checkout, with the libraries of this one."""
    command = ["env", f"PYTHONPATH={checkout}", sys.executable, "-P", "-m", "ensemble.server.main"]
    return Server("before", folder, [*command, "server"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-tenants", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", default="", help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="few rows, few seconds")
    parser.add_argument("--counts", default=",".join(str(count) for count in COUNTS))
    parser.add_argument("--before", default="", help="another checkout, compiled")
    parser.add_argument("--var", default="var/bench-tenants", help="for data and results")
    options = parser.parse_args()
    rows = QUICK_ROWS if options.quick else (options.rows or ",".join(ROWS)).split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known are {', '.join(ROWS)}")
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    var = Path(options.var).resolve()
    report, load = Report(var), build_load(var)
    if load is None:
        print("the load generator is C: apt-get install gcc", file=sys.stderr)
        return 1
    key = make_key("bench")
    var.mkdir(parents=True, exist_ok=True)
    keys = var / "operator.keys"
    keys.write_text(key.line + "\n")
    places = [Place("no tenant", here(fresh(var / "none"), keys), 0, key)]
    for count in [int(text) for text in options.counts.split(",") if text]:
        name = "1 tenant" if count == 1 else f"{count:,} tenants"
        places.append(Place(name, here(fresh(var / f"tenants-{count}"), keys), count, key))
    if options.before:
        places.append(Place("before", before(fresh(var / "before"), options.before), 0, key))
    measure(places, rows, options, report, load)
    return 0


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def measure(
    places: list[Place], rows: list[str], options: argparse.Namespace, report: Report, load: Load
) -> None:
    report.say_where(True)
    try:
        for place in places:
            place.start()
        names = [place.name for place in places]
        report.say("Throughput as a ratio; in brackets that of processor seconds for an operation.")
        report.say("")
        report.say("| operation | connections x outstanding | " + " | ".join(names) + " |")
        report.say("|---|---|" + "--:|" * len(names))
        for row in rows:
            op, kind = row.split("-")
            connections, window = LOADS[kind]
            seen: list[list[Figures]] = [[] for _ in places]
            for number in range(options.rounds):
                turn = list(enumerate(places))
                for index, place in turn if number % 2 == 0 else reversed(turn):
                    seen[index].append(place.drive(load, op, connections, window, options.seconds))
            base = statistics.median(figures.per_s for figures in seen[0])
            cells = [op, f"{connections} x {window}", f"{base:,.0f}/s"]
            for figures_of_one in seen[1:]:
                # Of the same round: what else the machine does changes from round to round.
                pairs = list(zip(figures_of_one, seen[0], strict=True))
                speed = statistics.median(one.per_s / none.per_s for one, none in pairs)
                cpu = statistics.median(one.cpu_s / none.cpu_s for one, none in pairs)
                cells.append(f"{speed:.3f} ({cpu:.3f})")
            report.say("| " + " | ".join(cells) + " |")
            report.results[row] = [[asdict(figures) for figures in one] for one in seen]
            report.keep()
    finally:
        for place in places:
            place.server.stop()


if __name__ == "__main__":
    sys.exit(main())
