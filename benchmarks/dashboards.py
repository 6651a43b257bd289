"""`python -m benchmarks.dashboards`: open dashboards on one web process, a second after another.

A plane in a folder of its own, Daphne as it is shipped, and so many websockets of so many tenants'
people. Rows are written as the collector writes them, once a second; lag is the time from their
commit until a page has the message. The figures stand in docs/console.md.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.servers import cpu_s_of
from tests.harness import ROOT
from tests.ports import free_ports

READY_WITHIN_S: Final = 60
WARM_UP_S: Final = 5
PEOPLE_EACH: Final = 40  # pages of one person: fifty are the most
REQUESTS: Final = 25  # a second and tenant


def main() -> int:
    options = parser().parse_args()
    folder = Path(options.folder).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["ENSEMBLE_VAR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
    import django

    django.setup()
    sessions = prepare(options.pages, options.tenants)
    (port,) = free_ports(1)
    command = [*(sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port))]
    with (folder / "daphne.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "console.asgi:application"], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        asyncio.run(measure(port, server.pid, sessions, options))
    finally:
        server.terminate()
        server.wait(20)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.dashboards", description=__doc__)
    made.add_argument("--folder", default="var/bench-dashboards", help="removed first")
    made.add_argument("--pages", type=int, default=200)
    made.add_argument("--tenants", type=int, default=200, help="that pages are of, in turn")
    made.add_argument("--seconds", type=int, default=40)
    return made


def prepare(pages: int, tenants: int) -> list[tuple[str, str]]:
    """Databases, tenants, people; (session's key, tenant) of each page."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command

    from tenants.models import Ensemble, Membership, Plan, Tenant

    for database in settings.DATABASES:
        call_command("migrate", database=database, verbosity=0, interactive=False)
    settings.STATIC_ROOT.mkdir()
    ensemble = Ensemble.objects.create(name="main", hosts="127.0.0.1:1")
    plan = Plan.objects.create(name="bench", title="Bench")
    made = [
        Tenant.objects.create(slug=f"t{n}", ensemble=ensemble, plan=plan, root=f"/tenants/t{n}")
        for n in range(tenants)
    ]
    found: list[tuple[str, str]] = []
    user: User | None = None
    for page in range(pages):
        if page % PEOPLE_EACH == 0:
            user = User.objects.create_user(f"person{page}")
            Membership.objects.bulk_create(
                Membership(tenant=tenant, user=user, role=1) for tenant in made
            )
        assert user is not None
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        found.append((str(session.session_key), made[page % tenants].slug))
    return found


class Writer:
    """Rows of each second, as the collector writes them, and when they stood."""

    def __init__(self, tenants: list[str]) -> None:
        from observability.samples import table
        from tests.observability.test_totals import account, totals

        self.nodes = list(table.make_series("main", "node", ["node1", "node2", "node3"]).values())
        ids = table.make_series("main", "tenant", tenants)
        self.tenants = [ids[name] for name in tenants]
        self.totals = totals(account([900 + 40 * n for n in range(REQUESTS)], 5))
        self.written: dict[int, float] = {}

    def write(self, at: int) -> None:
        from django.db import connections, transaction

        from observability.samples import table
        from observability.store import ALIAS

        own = '{"num_alive_connections": 200, "watch_count": 10, "znode_count": 1000}'
        usage = {"znodes": 100, "sessions": 3, "connections": 3}
        rows = [table.row_of(one, at, 1, self.totals, {}, own) for one in self.nodes]
        rows += [table.row_of(one, at, 1, self.totals, usage) for one in self.tenants]
        with transaction.atomic(using=ALIAS):
            table.write(1, rows)
        self.written[at] = time.time()
        connections.close_all()


class Page:
    """One open dashboard."""

    def __init__(self, slug: str) -> None:
        self.word = f"tenant:{slug}"
        self.lags: list[float] = []
        self.missed = 0
        self.closed = ""

    async def run(self, http: aiohttp.ClientSession, port: int, key: str, writer: Writer) -> None:
        from django.conf import settings

        headers = {
            "Origin": f"http://127.0.0.1:{port}",
            "Cookie": f"{settings.SESSION_COOKIE_NAME}={key}",
        }
        url = f"http://127.0.0.1:{port}/live/figures"
        async with http.ws_connect(url, headers=headers) as socket:
            await socket.send_json({"do": "follow", "subjects": [self.word]})
            async for message in socket:
                now = time.time()
                told: dict[str, Any] = json.loads(message.data)
                at = told["figures"][self.word]["at"]
                self.missed += told["missed"]
                if at in writer.written:
                    self.lags.append(now - writer.written[at])
                await socket.send_json({"do": "seen"})
            self.closed = f"closed with {socket.close_code}"


async def measure(
    port: int, pid: int, sessions: list[tuple[str, str]], options: argparse.Namespace
) -> None:
    writer = await asyncio.to_thread(Writer, sorted({slug for _, slug in sessions}))
    await wait_ready(port)
    pages = [Page(slug) for _, slug in sessions]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        tasks = [
            asyncio.create_task(page.run(http, port, key, writer))
            for page, (key, _) in zip(pages, sessions, strict=True)
        ]
        await tick(writer, WARM_UP_S)
        for page in pages:
            page.lags.clear()
            page.missed = 0
        used, began = cpu_s_of([pid]), time.monotonic()
        await tick(writer, options.seconds)
        await asyncio.sleep(0.9)
        cpu = (cpu_s_of([pid]) - used) / (time.monotonic() - began)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    report(pages, options.seconds, cpu)


async def wait_ready(port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"no console at port {port} within {READY_WITHIN_S} s")
            await asyncio.sleep(0.1)


async def tick(writer: Writer, seconds: int) -> None:
    """Write a second's rows at each second."""
    for _ in range(seconds):
        now = time.time()
        await asyncio.sleep(1 - now % 1)
        await asyncio.to_thread(writer.write, int(time.time()))


def report(pages: list[Page], seconds: int, cpu: float) -> None:
    lags = sorted(lag for page in pages for lag in page.lags)
    ended = [page.closed for page in pages if page.closed]
    told = len(lags) / len(pages) / seconds
    print(f"{len(pages)} pages, {seconds} s: {told:.3f} updates a page and second")
    print(
        f"lag in ms: median {statistics.median(lags) * 1_000:.0f}, "
        f"p99 {lags[int(len(lags) * 0.99)] * 1_000:.0f}, worst {lags[-1] * 1_000:.0f}"
    )
    print(f"missed {sum(page.missed for page in pages)}, web process {cpu:.0%} of a core")
    print(f"load average {os.getloadavg()[0]:.1f}; ended: {ended[:3] or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
