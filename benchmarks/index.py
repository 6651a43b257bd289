"""What the index of znodes costs and how fast it answers: synthetic rows in a database of its own.

    python -m benchmarks.index <folder> [--rows 1000000] [--only fill|search|feed]

A tree of 1,000 tenants, JSON values of about 120 bytes. Not a test: figures for docs.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCH = 256
WORDS = "alpha beta gamma delta queue worker broker topic cache shard leader lock config".split()
SEARCHES = (
    "worker-000777",
    "timeout",
    "replicas in:value shard",
    "path:/tenants/t0042 queue",
    "name:*-000999",
    "changed:<1h size:>100",
    "size:>10k",
    "zzzznothing",
    "/port=9[0-9]{3}/ broker",
    "ab",
)


def main() -> None:
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    os.environ["ENSEMBLE_VAR"] = str(args.folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
    import django

    django.setup()
    from django.core.management import call_command

    for name in ("default", "observed"):
        call_command("migrate", database=name, verbosity=0)
    if args.only in ("", "fill"):
        fill(args.rows, args.folder)
    if args.only in ("", "search"):
        searches()
    if args.only in ("", "feed"):
        feed()


def arguments() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="", choices=["", "fill", "search", "feed"])
    return parser.parse_args()


def value(rng: random.Random, at: int) -> str:
    return json.dumps(
        {
            "id": at,
            "kind": rng.choice(WORDS),
            "role": rng.choice(WORDS),
            "replicas": rng.randrange(9),
            "note": f"port={rng.randrange(1_000, 65_000)} timeout={rng.randrange(1_000)}ms",
        }
    )


def rows(first: int, count: int) -> Iterator[Any]:
    from observability.index.rows import Found

    rng = random.Random(first)
    now_ms = int(time.time() * 1_000)
    for at in range(first, first + count):
        path = f"/tenants/t{at % 1_000:04}/{rng.choice(WORDS)}/{rng.choice(WORDS)}-{at:06}"
        text = value(rng, at)
        yield Found(path, at + 1, now_ms - rng.randrange(10**9), size=len(text), text=text)


def fill(count: int, folder: Path) -> None:
    """Rows as a fill writes them, without the walk; goes on where it was."""
    from observability.index import write
    from observability.models import Lease, Source
    from observability.store import LEASE, source_of

    Lease.objects.get_or_create(name=LEASE, defaults={"holder": "benchmark", "term": 1})
    source = source_of(Source.Kind.INDEX, "main", "")
    state = write.state_of("main")
    if state is None or not state.fill:
        state = write.begin(1, source, "benchmark")
    first, began_s, began_cpu_s = state.seen, time.perf_counter(), time.process_time()
    held: list[Any] = []
    for one in rows(first, count):
        held.append(one)
        if len(held) == BATCH:
            state = write.add(1, source, held, "/", "x")
            held = []
    state = write.add(1, source, held, "/", "x")
    took_s = time.perf_counter() - began_s
    size = sum(path.stat().st_size for path in folder.glob("observed.sqlite3*"))
    cpu_us = 1e6 * (time.process_time() - began_cpu_s) / count
    print(
        f"{state.rows:,} rows; {count / took_s:,.0f} a second, {cpu_us:.0f} us of a core each; "
        f"{size / 1e6:,.0f} MB"
    )


def searches() -> None:
    """The median and the worst of five of each."""
    from observability.index import suggest
    from observability.index.query import parse
    from observability.index.scope import Scope
    from observability.index.search import search
    from observability.roots import Roots

    roots = Roots({f"/tenants/t{n:04}": f"t{n:04}" for n in range(1_000)})
    scope = Scope("main", None, True, True, roots, {}, 0)
    for text in SEARCHES:
        times, cpu = [], []
        for _ in range(5):
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            page = search(parse(text), scope)
            times.append(1_000 * (time.perf_counter() - began_s))
            cpu.append(1_000 * (time.process_time() - began_cpu_s))
        end = "" if page.is_all else " or more"
        took = f"{statistics.median(times):7.0f} {max(times):7.0f} ms"
        print(f"{took}, of a core {statistics.median(cpu):.0f}  {text}: {page.total}{end}")
    for text in ("/", "/tenants/", "/tenants/t0042/", "worker-000777", "lock"):
        times = []
        for _ in range(5):
            began_s = time.perf_counter()
            suggest.paths(text, scope)
            times.append(1_000 * (time.perf_counter() - began_s))
        print(f"{statistics.median(times):7.1f} {max(times):7.1f} ms  suggest {text}")


def feed() -> None:
    """What a change costs the collector with the index, and without."""
    from observability.changes import ChangeReader, Stretch
    from observability.index import write as index
    from observability.models import Source
    from observability.revisions import write
    from observability.store import source_of

    source = source_of(Source.Kind.CHANGES, "main", "")
    zxid = 1 << 32
    for name in ("with", "without"):
        if name == "without":
            index.apply = lambda *_, **__: None  # type: ignore[assignment]
        spent = []
        for at in range(20):
            reader, stretch = ChangeReader({}), Stretch()
            for one in rows(at * 5_000, 250):
                zxid += 1
                reader.read(line(zxid, one), stretch)
            began_s = time.process_time()
            write(1, source, stretch, reader.stored)
            spent.append((time.process_time() - began_s) / 250)
        print(f"{1e6 * statistics.median(spent):.0f} us of a core a change, {name} the index")


def line(zxid: int, one: Any) -> bytes:
    import base64

    fields = {
        "zxid": f"{zxid:#x}",
        "time": "2026-11-21T12:00:00.000Z",
        "operation": "setData",
        "path": one.path,
        "version": 1,
        "principal": "app@t",
        "bytes": one.size + 1,
        "value": base64.b64encode(f"{one.text}{zxid % 10}".encode()).decode(),
    }
    return json.dumps(fields).encode()


if __name__ == "__main__":
    main()
