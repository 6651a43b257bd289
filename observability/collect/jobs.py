"""What the collector does for each node and ensemble, again and again, whatever fails.

A job that fails begins anew from what the database says, after a pause; why stands in its source's
row. A lost lease ends it.
"""

import asyncio
import logging
import time
from typing import Final

from django.db import DatabaseError

from observability.chain import Follower
from observability.collect.admin import AskError, Target
from observability.collect.figures import EnsembleFigures
from observability.collect.journal import JournalReader
from observability.collect.lease import wall_ms
from observability.collect.looks import LATE_S, NodePoll
from observability.collect.targets import NOTHING, Wanted
from observability.collect.work import ANSWERED_EVERY, IDLE_S, RETRY_MAX_S, RETRY_S, Work
from observability.models import Source
from observability.store import MovedError, answered, source_of, state_of, take

log = logging.getLogger("observability.collect")

LOOK_EVERY_S: Final = 1.0
LOOKS_WAIT_S: Final = 0.8  # for the nodes' answers; a later one is in the next second's row


async def follow_journal(work: Work, target: Target) -> None:
    """One node's journal, page by page."""
    retry_s = RETRY_S
    kind = Source.Kind.JOURNAL
    while True:
        source: Source | None = None
        try:
            source = await work.db.run(source_of, kind, target.ensemble, target.node)
            reader = JournalReader(target, source.cursor, Follower(state_of(source)))
            quiet = 0
            while True:
                roots = work.known.get(target.ensemble, NOTHING).roots
                page = await reader.next(work.session, roots, wall_ms())
                retry_s = RETRY_S
                if page.batch is not None:
                    await work.db.run(take, work.term, source, page.batch)
                    reader.wrote(page.batch)
                if page.more:
                    continue
                if quiet % ANSWERED_EVERY == 0:
                    await work.db.run(answered, work.term, source)
                quiet = 0 if page.batch is not None else quiet + 1
                await asyncio.sleep(IDLE_S)
        except AskError as error:
            await work.tell(source, str(error))
        except (DatabaseError, MovedError) as error:
            log.warning("the journal of %s/%s: %s", target.ensemble, target.node, error)
        await asyncio.sleep(retry_s)
        retry_s = min(RETRY_MAX_S, 2 * retry_s)


async def count(work: Work, wanted: Wanted) -> None:
    """One ensemble's figures, second by second."""
    while True:
        try:
            figures = EnsembleFigures(wanted.name)
            await work.db.run(figures.load, work.term)
            polls = [
                NodePoll(node, wanted.is_ours)
                for node in wanted.nodes
                if (node.url if wanted.is_ours else node.client)
            ]
            sources = {
                poll.target.node: await work.db.run(
                    source_of, Source.Kind.METRICS, wanted.name, poll.target.node
                )
                for poll in polls
            }
            try:
                await count_seconds(work, figures, polls, sources)
            finally:
                for poll in polls:
                    poll.stop()
        except DatabaseError as error:
            log.warning("the figures of %s: %s", wanted.name, error)
        await asyncio.sleep(RETRY_S)


async def count_seconds(
    work: Work, figures: EnsembleFigures, polls: list[NodePoll], sources: dict[str, Source]
) -> None:
    rounds = 0
    while True:
        await asyncio.sleep(LOOK_EVERY_S - time.time() % LOOK_EVERY_S)
        for poll in polls:
            known = figures.nodes.get(poll.target.node)
            poll.begin(work.session, known.before if known is not None else {})
        waiting = [poll.task for poll in polls if poll.task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=LOOKS_WAIT_S)
        for poll in polls:
            node = poll.target.node
            look = poll.taken()
            if look is not None:
                figures.take(node, look)
                if rounds % ANSWERED_EVERY == 0 or sources[node].problem:
                    await work.db.run(answered, work.term, sources[node])
            elif poll.problem or poll.is_late:
                figures.miss(node)
                problem = poll.problem or f"no answer for {LATE_S:.0f} s: it hangs, or is very busy"
                await work.tell(sources[node], problem)
        rounds += 1
        at = max(int(time.time()), figures.written_at + 1)
        await work.db.run(figures.save, work.term, at)
