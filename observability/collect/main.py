"""The collector: waits for the lease, then follows everything until it is told to stop.

One task for each thing that is followed. A task that cannot go on says so in its source's row and
tries again; nothing that one node does holds another one up.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import aiohttp
from django.db import DatabaseError

from observability.alerts.job import send_messages, watch_rules
from observability.collect import lease, plane, targets
from observability.collect.admin import new_session
from observability.collect.changes import follow_changes
from observability.collect.chores import Chores
from observability.collect.db import Db
from observability.collect.index import keep_index
from observability.collect.jobs import count, follow_journal
from observability.collect.runner import serving
from observability.collect.targets import Known, Wanted
from observability.collect.work import IDLE_S, RETRY_S, Work
from observability.models import Source
from observability.store import LeaseLostError, MovedError, source_of

log = logging.getLogger("observability.collect")

CHORES_EVERY_S: Final = 1.0
LEASE_POLL_S: Final = 1.0
FOREVER_S: Final = 1e9


class Collector:
    """One process's work. `stop` from a signal handler."""

    def __init__(self) -> None:
        self.db: Final = Db()
        self.holder: Final = lease.own_name()
        self.chores: Final = Db()  # they ask ensembles: nothing else waits for that
        self.alerts: Final = Db()
        self.outbox: Final = Db()
        self.stopping: Final = asyncio.Event()
        self.term = 0
        self.known: Final[dict[str, Known]] = {}
        self.tasks: Final[dict[object, asyncio.Task[None]]] = {}

    def stop(self) -> None:
        self.stopping.set()

    async def run(self) -> None:
        """Until `stop`; takes over whenever the lease is free."""
        try:
            while not self.stopping.is_set():
                self.term = await self.take_lease()
                if self.term:
                    await self.hold()
                else:
                    await self.pause(LEASE_POLL_S)
        finally:
            self.db.close()
            self.chores.close()
            self.alerts.close()
            self.outbox.close()

    async def take_lease(self) -> int:
        try:
            return await self.db.run(lease.take, self.holder)
        except DatabaseError as error:
            log.warning("the lease cannot be asked for: %s", error)
            return 0

    async def hold(self) -> None:
        """Collect, as the only one, until the end or until the lease is lost."""
        log.info("collecting as %s, term %d", self.holder, self.term)
        async with new_session() as session, serving():
            work = [
                asyncio.create_task(self.renew()),
                asyncio.create_task(self.watch_targets(session)),
                asyncio.create_task(self.follow_plane()),
                asyncio.create_task(self.do_chores()),
                asyncio.create_task(watch_rules(self.alerts, self.term)),
                asyncio.create_task(send_messages(self.outbox, self.term)),
                asyncio.create_task(self.pause(FOREVER_S)),
            ]
            try:
                await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for task in work:
                    if task.done():
                        task.result()
            except LeaseLostError as error:
                log.warning("%s", error)
            finally:
                await end([*work, *self.tasks.values()])
                self.tasks.clear()
                with suppress(DatabaseError):
                    await self.db.run(lease.give_back, self.term)
                self.term = 0

    async def renew(self) -> None:
        while True:
            await asyncio.sleep(lease.RENEW_EVERY_S)
            try:
                held = await self.db.run(lease.renew, self.term)
            except DatabaseError as error:
                log.warning("the lease was not renewed: %s", error)
                continue
            if not held:
                raise LeaseLostError(f"term {self.term} is over: another collector has taken over")

    async def pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    # What is followed

    async def watch_targets(self, session: aiohttp.ClientSession) -> None:
        """Begin and end tasks as ensembles and nodes come and go, or change."""
        while True:
            try:
                wanted, known = await self.db.run(targets.load)
            except DatabaseError as error:
                log.warning("the ensembles cannot be read: %s", error)
            else:
                self.known.clear()
                self.known.update(known)
                await self.match(session, wanted)
            for task in self.tasks.values():
                if task.done():
                    task.result()  # a lost lease, or a defect: the end of this term
            await asyncio.sleep(targets.LOAD_EVERY_S)

    async def match(self, session: aiohttp.ClientSession, wanted: dict[str, Wanted]) -> None:
        work = Work(self.db, session, self.term, self.known)
        jobs: dict[object, Callable[[], Coroutine[Any, Any, None]]] = {}
        for ensemble in wanted.values():
            jobs["figures", ensemble] = partial(count, work, ensemble)
            if ensemble.hosts:
                jobs["index", ensemble] = partial(keep_index, work, ensemble)
            if ensemble.is_ours and any(node.url for node in ensemble.nodes):
                jobs["changes", ensemble] = partial(follow_changes, work, ensemble)
            for node in ensemble.nodes:
                if ensemble.is_ours and node.url:
                    jobs["journal", node] = partial(follow_journal, work, node)
        gone = [key for key in self.tasks if key not in jobs]
        await end([self.tasks.pop(key) for key in gone])
        for key, job in jobs.items():
            if key not in self.tasks:
                self.tasks[key] = asyncio.create_task(job())

    async def do_chores(self) -> None:
        chores = Chores(self.term)
        while True:
            await self.chores.run(chores.do)
            await asyncio.sleep(CHORES_EVERY_S)

    async def follow_plane(self) -> None:
        while True:
            try:
                source = await self.db.run(source_of, Source.Kind.PLANE, "", "")
                while True:
                    if not await self.db.run(plane.copy, self.term, source):
                        await asyncio.sleep(IDLE_S)
            except (DatabaseError, MovedError) as error:
                log.warning("the plane's trail: %s", error)
            await asyncio.sleep(RETRY_S)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
