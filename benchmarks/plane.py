"""`python -m benchmarks.plane`: what the collector costs, how far it is behind, what searches take.

Three nodes with journals, many tenants of which some are busy, a real collector over SQLite; then
searches in a trail of a million rows. Nothing is compared: the figures stand in
docs/observability.md.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from benchmarks.provisioning import tenants_at, trusted_key
from benchmarks.servers import cpu_s_of
from ensemble.admin.draft import Draft
from ensemble.client import Client, ClientError
from tests.ensembles import Ensemble, ours
from tests.harness import ROOT
from tests.ports import free_ports
from tests.server.feeds import CONTROL, READ, access

WARM_UP_S: Final = 20.0
ROUNDS: Final = 5
FILL_AT_ONCE: Final = 5_000
BEGIN_MS: Final = 1_780_000_000_000


def main() -> int:
    options = parser().parse_args()
    if options.load_only:
        asyncio.run(load(json.loads(sys.stdin.read()), options.rate, options.seconds))
        return 0
    folder = Path(options.folder)
    shutil.rmtree(folder, ignore_errors=True)
    var = folder / "plane"
    prepare(var)
    os.environ["ENSEMBLE_VAR"] = str(var)
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
    import django

    django.setup()
    if options.rows:
        fill(options.rows)
    collect(folder, var, options)
    searches(options.rows)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.plane", description=__doc__)
    made.add_argument("--folder", default="var/bench-plane", help="removed first")
    made.add_argument("--tenants", type=int, default=200)
    made.add_argument("--active", type=int, default=200)
    made.add_argument("--rate", type=float, default=5.0, help="requests/s of each active tenant")
    made.add_argument("--seconds", type=float, default=60.0)
    made.add_argument("--rows", type=int, default=1_000_000, help="of the trail, made up")
    made.add_argument("--load-only", action="store_true", help=argparse.SUPPRESS)
    return made


def prepare(var: Path) -> None:
    var.mkdir(parents=True)
    for database in ("default", "observed"):
        run = [sys.executable, "manage.py", "migrate", "--database", database, "-v", "0"]
        environment = {**os.environ, "ENSEMBLE_VAR": str(var)}
        subprocess.run(run, cwd=ROOT, env=environment, check=True)


# The nodes and the collector


def collect(folder: Path, var: Path, options: argparse.Namespace) -> None:
    key, trust = trusted_key(folder / "key")
    ports = free_ports(3)
    config = {**access(folder / "access"), "admin.enableServer": "true"}
    config["ensemble.audit.journal"] = "on"
    ensemble = Ensemble(folder / "members", [ours(trust)] * 3, config=config)
    for member, port in zip(ensemble.all, ports, strict=True):
        member.config["admin.serverPort"] = port
    with ensemble:
        ensemble.start().wait_serving()
        clients = [member.client_port for member in ensemble.all]
        drafts = [Draft(slug=f"t{at}", mode="enforce") for at in range(options.tenants)]
        tokens = tenants_at(clients[0], key, drafts)
        active = dict(list(tokens.items())[: options.active])
        register(var, clients, ports)
        long_s = options.seconds + 3 * WARM_UP_S + 60
        generator = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.plane", "--load-only"]
            + ["--rate", str(options.rate), "--seconds", str(long_s)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            text=True,
        )
        assert generator.stdin is not None
        generator.stdin.write(json.dumps({"ports": clients, "tokens": active}))
        generator.stdin.close()
        log = (folder / "collect.log").open("ab")
        collector: subprocess.Popen[bytes] | None = None
        try:
            nodes = [pid for member in ensemble.all for pid in member.processes()]
            time.sleep(WARM_UP_S)
            alone = cpu_share(nodes, WARM_UP_S)
            collector = subprocess.Popen(
                [sys.executable, "manage.py", "collect"], cwd=ROOT, stdout=log, stderr=log
            )
            time.sleep(2 * WARM_UP_S)
            measure(var, collector.pid, nodes, alone, options.seconds)
        finally:
            for process in (collector, generator):
                if process is not None:
                    process.terminate()
                    process.wait(30)
            log.close()


def register(var: Path, clients: list[int], admin: list[int]) -> None:
    place = var / "ensembles" / "bench"
    place.mkdir(parents=True)
    (place / "admin.read").write_text(READ)
    (place / "admin.control").write_text(CONTROL)
    from tenants.models import Ensemble as Row
    from tenants.models import Node

    hosts = ",".join(f"127.0.0.1:{port}" for port in clients)
    row = Row.objects.create(name="bench", hosts=hosts, takes_tenants=False)
    for at, (client, port) in enumerate(zip(clients, admin, strict=True), 1):
        url = f"http://127.0.0.1:{port}"
        Node.objects.create(
            ensemble=row, name=f"node{at}", client=f"127.0.0.1:{client}", admin_url=url
        )


def cpu_share(pids: list[int], seconds: float) -> float:
    before = cpu_s_of(pids)
    time.sleep(seconds)
    return (cpu_s_of(pids) - before) / seconds


def measure(var: Path, collector: int, nodes: list[int], alone: float, seconds: float) -> None:
    lags: list[float] = []
    fresh: list[float] = []
    tables = ("sample_1", "sample_10", "sample_60", "trail", "revision", "value")
    before = {table: size_of(var, table) for table in tables}
    cpu, node_cpu = cpu_s_of([collector]), cpu_s_of(nodes)
    began_s = time.monotonic()
    while time.monotonic() < began_s + seconds:
        time.sleep(1)
        with suppress(sqlite3.OperationalError):
            lags.append(ask(var, "SELECT max(behind) FROM observability_source")[0] / 1_000)
            fresh.append(time.time() - ask(var, "SELECT max(at) FROM observability_sample_1")[0])
    took_s = time.monotonic() - began_s
    cpu, node_cpu = cpu_s_of([collector]) - cpu, cpu_s_of(nodes) - node_cpu
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"collector: {100 * cpu / took_s:.1f} % of a core")
    print(f"three nodes: {100 * node_cpu / took_s:.0f} %, without a collector {100 * alone:.0f} %")
    lags.sort()
    fresh.sort()
    print(f"journal and changes behind: median {middle(lags):.2f} s, worst {lags[-1]:.2f} s")
    print(f"newest second is old: median {middle(fresh):.2f} s, worst {fresh[-1]:.2f} s")
    for table in tables:
        rows, size = (b - a for a, b in zip(before[table], size_of(var, table), strict=True))
        hour = 3_600 / took_s
        each = size / rows if rows > 0 else 0
        print(
            f"{table}: {rows / took_s:.0f} rows/s, {each:.0f} bytes each, "
            f"{size * hour / 1e6:.0f} MB an hour, {size * hour * 24 / 1e9:.2f} GB a day"
        )


def size_of(var: Path, table: str) -> tuple[int, int]:
    """Rows, and bytes with their indexes."""
    name = f"observability_{table}"
    rows = ask(var, f"SELECT count(*) FROM {name}")[0]  # noqa: S608 names are ours
    listed = "SELECT name FROM sqlite_master WHERE tbl_name = ?"
    sql = f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({listed})"  # noqa: S608 the same
    size = ask(var, sql, name)[0]
    return int(rows), int(size or 0)


def ask(var: Path, sql: str, *params: object) -> tuple[float, ...]:
    with closing(sqlite3.connect(var / "observed.sqlite3", timeout=20)) as db:
        found: tuple[float, ...] = db.execute(sql, params).fetchone()
        return found


def middle(values: list[float]) -> float:
    return values[len(values) // 2]


async def load(what: dict[str, object], rate: float, seconds: float) -> None:
    """Each tenant reads and sets one znode, four to one."""
    ports, tokens = what["ports"], what["tokens"]
    assert isinstance(ports, list)
    assert isinstance(tokens, dict)
    ends_s = time.monotonic() + seconds

    async def one(at: int, token: str) -> None:
        address = f"127.0.0.1:{ports[at % len(ports)]}"
        client = Client(address, auth=[("tenant", token.encode())], timeout=30.0)
        async with client:
            with suppress(ClientError):
                await client.create("/n", b"0")
            turn = 0
            while time.monotonic() < ends_s:
                await asyncio.sleep(random.uniform(0.5, 1.5) / rate)
                turn += 1
                with suppress(ClientError):
                    if turn % 5:
                        await client.get("/n")
                    else:
                        await client.set("/n", b"%d" % turn)

    await asyncio.gather(*(one(at, token) for at, token in enumerate(tokens.values())))


# The trail


def fill(rows: int) -> None:
    from django.db import transaction

    from observability.store import ALIAS, insert

    began_s = time.monotonic()
    made = lines(rows)
    for _ in range(0, rows, FILL_AT_ONCE):
        with transaction.atomic(using=ALIAS):
            insert([row for row, _ in zip(made, range(FILL_AT_ONCE), strict=False)])
    took_s = time.monotonic() - began_s
    print(f"{rows} rows of the trail in {took_s:.0f} s: {rows / took_s:.0f} a second")


def lines(rows: int) -> Iterator[tuple[object, ...]]:
    """A thousand tenants, some of them busy, three nodes, a few refusals and operators."""
    from observability.rows import Entry

    chance = random.Random(1)
    operations = ["create", "setData", "delete", "createSession", "closeSession", "auth"]
    results = ["Ok", "NoAuth", "NodeExists", "BadVersion"]
    for at in range(rows):
        tenant = f"t{min(int(chance.expovariate(0.01)), 999)}"
        app = f"app{chance.randrange(3)}@{tenant}"
        yield Entry(
            at=BEGIN_MS + at * 50,
            origin="node",
            ensemble="main",
            node=f"node{at % 3 + 1}",
            seq=at // 3,
            tenant=tenant,
            principal=app if chance.random() < 0.99 else "operator:olga",
            operation=chance.choices(operations, [30, 40, 20, 4, 4, 1])[0],
            path=f"/tenants/{tenant}/svc/{chance.randrange(50)}/n{chance.randrange(1_000)}",
            result=chance.choices(results, [96, 1, 2, 1])[0],
            zxid=at,
            session=f"0x1{chance.getrandbits(48):x}",
            address=f"10.0.{chance.randrange(4)}.{chance.randrange(250)}",
            hash=f"{chance.getrandbits(256):064x}",
            prev=f"{chance.getrandbits(256):064x}",
        ).row()


def searches(rows: int) -> None:
    from observability.trail import Query, facets, search

    middle_ms = BEGIN_MS + rows * 25
    hour = {"since_ms": middle_ms, "until_ms": middle_ms + 3_600_000}
    for name, query in {
        "everything": Query(),
        "a busy tenant": Query(tenant="t0"),
        "a quiet tenant": Query(tenant="t900"),
        "a person": Query(person="olga"),
        "a subtree": Query(path="/tenants/t3/svc/7"),
        "nearly all of the tree, one operation": Query(path="/tenants", operation="auth"),
        "an operation refused": Query(operation="auth", result="NoAuth"),
        "a tenant, an operation": Query(tenant="t0", operation="auth"),
        "all that failed": Query(failed=True),
        "an hour": Query(**hour),
        "an hour, a tree": Query(path="/tenants", **hour),
        "what is not there, of four filters": Query(
            tenant="t0", person="olga", operation="auth", result="NoAuth"
        ),
        "an ensemble that is not there": Query(ensemble="none"),
    }.items():
        found, counts = [], []
        for _ in range(ROUNDS):
            began_s = time.perf_counter()
            page = search(query)
            found.append(1_000 * (time.perf_counter() - began_s))
            began_s = time.perf_counter()
            facets(query)
            counts.append(1_000 * (time.perf_counter() - began_s))
        cut = ", cut" if page.is_cut else ""
        print(
            f"{name}: {len(page.lines)} lines{cut}, {middle(sorted(found)):.1f} ms (worst "
            f"{max(found):.1f}); counts {middle(sorted(counts)):.1f} ms (worst {max(counts):.1f})"
        )


if __name__ == "__main__":
    sys.exit(main())
