"""The collector: waits for the lease, then follows everything until it is told to stop.

One task for each thing that is followed. A task that cannot go on says so in its source's row and
tries again; nothing that one node does holds another one up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import aiohttp
from django.db import DatabaseError

from observability.chain import Follower
from observability.collect import lease, plane, targets
from observability.collect.admin import AskError, Target, new_session
from observability.collect.db import Db
from observability.collect.journal import JournalReader
from observability.collect.targets import Wanted
from observability.models import Source
from observability.roots import Roots
from observability.store import (
    Batch,
    LeaseLostError,
    MovedError,
    answered,
    note,
    source_of,
    state_of,
    take,
)

log = logging.getLogger("observability.collect")

IDLE_S: Final = 0.5  # where nothing is new
RETRY_S: Final = 1.0  # after a failure, doubled up to
RETRY_MAX_S: Final = 15.0
LEASE_POLL_S: Final = 1.0
FOREVER_S: Final = 1e9
ANSWERED_EVERY: Final = 20  # quiet rounds: then the row says that the node answers

Step = Callable[[], Awaitable[bool]]


class Collector:
    """One process's work. `stop` from a signal handler."""

    def __init__(self) -> None:
        self.db: Final = Db()
        self.holder: Final = lease.own_name()
        self.stopping: Final = asyncio.Event()
        self.term = 0
        self.roots: dict[str, Roots] = {}
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

    async def take_lease(self) -> int:
        try:
            return await self.db.run(lease.take, self.holder)
        except DatabaseError as error:
            log.warning("the lease cannot be asked for: %s", error)
            return 0

    async def hold(self) -> None:
        """Collect, as the only one, until the end or until the lease is lost."""
        log.info("collecting as %s, term %d", self.holder, self.term)
        async with new_session() as session:
            work = [
                asyncio.create_task(self.renew()),
                asyncio.create_task(self.watch_targets(session)),
                asyncio.create_task(self.follow_plane()),
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
                wanted, self.roots = await self.db.run(targets.load)
            except DatabaseError as error:
                log.warning("the ensembles cannot be read: %s", error)
            else:
                await self.match(session, wanted)
            for task in self.tasks.values():
                if task.done():
                    task.result()  # a lost lease, or a defect: the end of this term
            await asyncio.sleep(targets.LOAD_EVERY_S)

    async def match(self, session: aiohttp.ClientSession, wanted: dict[str, Wanted]) -> None:
        jobs: dict[object, Callable[[], Awaitable[None]]] = {}
        for ensemble in wanted.values():
            if not ensemble.is_ours:
                continue
            for node in ensemble.nodes:
                if node.url:
                    jobs["journal", node] = self.job_of_journal(session, node)
        gone = [key for key in self.tasks if key not in jobs]
        await end([self.tasks.pop(key) for key in gone])
        for key, job in jobs.items():
            if key not in self.tasks:
                self.tasks[key] = asyncio.ensure_future(job())

    def job_of_journal(
        self, session: aiohttp.ClientSession, target: Target
    ) -> Callable[[], Awaitable[None]]:
        async def job() -> None:
            await self.follow(Source.Kind.JOURNAL, target, lambda s: self.journal(session, s))

        return job

    async def follow(self, kind: str, target: Target, begin: Callable[[Source], "Feed"]) -> None:
        """Take what a source has, again and again; begin anew from its row after any failure."""
        retry_s = RETRY_S
        while True:
            source: Source | None = None
            try:
                source = await self.db.run(source_of, kind, target.ensemble, target.node)
                feed = begin(source)
                quiet = 0
                while True:
                    is_more = await feed.step(target)
                    retry_s = RETRY_S
                    if is_more:
                        quiet = 0
                        continue
                    if quiet % ANSWERED_EVERY == 0:
                        await self.db.run(answered, self.term, source)
                    quiet += 1
                    await asyncio.sleep(IDLE_S)
            except MovedError as error:
                log.warning("%s", error)
            except AskError as error:
                await self.tell(source, str(error))
            except DatabaseError as error:
                log.warning("%s of %s: %s", kind, target.node, error)
            await asyncio.sleep(retry_s)
            retry_s = min(RETRY_MAX_S, 2 * retry_s)

    async def tell(self, source: Source | None, problem: str) -> None:
        if source is None:
            return
        try:
            await self.db.run(note, self.term, source, problem)
        except DatabaseError as error:
            log.warning("%s: %s", problem, error)

    async def write(self, source: Source, batch: Batch) -> None:
        await self.db.run(take, self.term, source, batch)

    def journal(self, session: aiohttp.ClientSession, source: Source) -> "Feed":
        return JournalFeed(self, session, source)

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


class Feed:
    """A source that is followed step by step."""

    async def step(self, target: Target) -> bool:
        """Take and write what there is; whether there may be more at once."""
        raise NotImplementedError


class JournalFeed(Feed):
    def __init__(
        self, collector: Collector, session: aiohttp.ClientSession, source: Source
    ) -> None:
        self.collector: Final = collector
        self.session: Final = session
        self.source: Final = source
        self.reader: JournalReader | None = None

    async def step(self, target: Target) -> bool:
        if self.reader is None:
            follower = Follower(state_of(self.source))
            self.reader = JournalReader(target, self.source.cursor, follower)
        roots = self.collector.roots.get(target.ensemble) or Roots({})
        page = await self.reader.next(self.session, roots, lease.wall_ms())
        if page.batch is None:
            return False
        await self.collector.write(self.source, page.batch)
        self.reader.wrote(page.batch)
        return page.more


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
