"""The jobs that people have asked for, in a thread of the collector: see `tenants.bulk.runner`."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from observability import latest, subtree
from observability.restoring import entries, restore
from tenants.bulk import importing, plans, undo
from tenants.bulk.entries import Entry
from tenants.bulk.runner import Planner, Runner
from tenants.bulk.steps import Kind
from tenants.bulk.work import Created, Work
from tenants.models import Job, Tenant

ENDS_WITHIN_S: Final = 12.0  # a portion that is under way, and its word to the database

PLANNERS: Final[Mapping[str, Planner]] = {
    Job.Kind.DUPLICATE: plans.duplicate,
    Job.Kind.MOVE: plans.move,
    Job.Kind.DELETE: plans.delete,
    Job.Kind.ACL: plans.acl_tree,
    Job.Kind.IMPORT: importing.bring,
    Job.Kind.RESTORE: restore,
    Job.Kind.UNDO: undo.undo,
}


class Observed:
    """What the collector knows and a client cannot ask."""

    def used(self, tenant: Tenant) -> dict[str, int]:
        return latest.usages(tenant.ensemble.name, [tenant.slug]).get(tenant.slug, {})

    def as_it_was(self, work: Work) -> tuple[int, Iterator[Entry]]:
        return entries(work)

    def kinds(self, job: Job, made: Sequence[Created]) -> dict[str, Kind]:
        return subtree.kinds(made, ensemble=job.ensemble, tenant=job.tenant)


def new_runner() -> Runner:
    return Runner(PLANNERS, Observed())


@asynccontextmanager
async def serving() -> AsyncIterator[None]:
    """Jobs run as long as this lasts, which is as long as the lease is held."""
    runner = new_runner()
    thread = threading.Thread(target=runner.serve, name="jobs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        await asyncio.to_thread(thread.join, ENDS_WITHIN_S)
