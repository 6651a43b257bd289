"""Follows one ensemble's change feed at one of its nodes, at the next where that does not answer.

What has come is written in stretches, STRETCH_S or so much at once; meanwhile nothing is read, so
the node's buffer and the socket's hold what waits, and no more than LINE_BYTES_MAX of one line is
ever held here.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import aiohttp
from django.db import DatabaseError

from observability.changes import ChangeReader, Stretch
from observability.collect.admin import CONNECT_TIMEOUT_S, AskError, Target, fetch_json, refusal
from observability.collect.targets import NOTHING, Wanted
from observability.collect.work import RETRY_MAX_S, RETRY_S, Work
from observability.models import Source
from observability.revisions import BEGINNING, prune, stored_by_tenant, write
from observability.rows import zxid_of
from observability.store import MovedError, answered, source_of

log = logging.getLogger("observability.collect")

STRETCH_S: Final = 0.25
STRETCH_LINES: Final = 500
STRETCH_BYTES: Final = 4 << 20
LINE_BYTES_MAX: Final = 32 << 20
SILENCE_S: Final = 20.0  # the feed says something every five seconds
PRUNE_EVERY_S: Final = 30.0
BEHIND_S: Final = 10.0  # so long no node may be as far as the cursor before it is another tree


async def follow_changes(work: Work, wanted: Wanted) -> None:
    """Until cancelled; the cursor is the ensemble's, whichever node is asked."""
    nodes = [node for node in wanted.nodes if node.url]
    turn = 0
    retry_s = RETRY_S
    behind: dict[str, float] = {}  # since when each node has not been as far as the cursor
    while True:
        target = nodes[turn % len(nodes)]
        source: Source | None = None
        began_s = time.monotonic()
        try:
            source = await work.db.run(source_of, Source.Kind.CHANGES, wanted.name, "")
            reader = ChangeReader(await work.db.run(stored_by_tenant, wanted.name))
            reader.has_values = bool(target.control_token)
            await check_reach(work, target, source.cursor)
            behind.clear()
            await follow(work, target, source, reader)
        except BehindError as error:
            now_s = time.monotonic()
            since_s = max([behind.setdefault(target.node, now_s), *behind.values()])
            await work.tell(source, str(error))
            if len(behind) == len(nodes) and now_s > since_s + BEHIND_S and source is not None:
                await begin_anew(work, source, str(error))
                behind.clear()
            retry_s = RETRY_S
        except AskError as error:
            behind.pop(target.node, None)
            await work.tell(source, str(error))
        except (DatabaseError, MovedError) as error:
            log.warning("the changes of %s: %s", wanted.name, error)
        turn += 1
        if time.monotonic() - began_s > RETRY_MAX_S:
            retry_s = RETRY_S
        await asyncio.sleep(retry_s)
        retry_s = min(RETRY_MAX_S, 2 * retry_s)


class BehindError(Exception):
    """The node has not got as far as the cursor. The text is for people."""


async def check_reach(work: Work, target: Target, cursor: str) -> None:
    """The feed behind a zxid that is not there yet says nothing, perhaps for ever: so ask before.

    Raises:
        BehindError: the node's last transaction comes before the cursor.
        AskError: it does not say.
    """
    answer = await fetch_json(work.session, target, "/commands/server_stats")
    stats = answer.get("server_stats")
    last = stats.get("last_processed_zxid") if isinstance(stats, dict) else None
    if not isinstance(last, int):
        raise AskError(f"{target.url}: server_stats has no last_processed_zxid")
    if last < (zxid_of(cursor) or 0):
        raise BehindError(
            f"{target.node} ends with {last:#x}, {cursor} was collected: it is behind, or the "
            "ensemble was restored or made anew"
        )


async def begin_anew(work: Work, source: Source, why: str) -> None:
    """No node has what was collected last, for long enough: it is another tree. A row says so."""
    said = f"the changes are collected from the beginning once more: {why}"
    log.warning("%s: %s", source.ensemble, said)
    stretch = Stretch(gaps=[said], restart_at=BEGINNING)
    try:
        await work.db.run(write, work.term, source, stretch, {})
    except DatabaseError as error:
        log.warning("%s: %s", source.ensemble, error)


async def follow(work: Work, target: Target, source: Source, reader: ChangeReader) -> None:
    """One response after another of one node.

    Raises:
        AskError: it does not answer any more.
    """
    pruned_s = 0.0
    while True:
        stretch = Stretch()
        splitter = Splitter()
        async with aclosing(feed(work.session, target, source.cursor)) as pieces:
            due_s = time.monotonic() + STRETCH_S
            async for piece in pieces:
                known = work.known.get(target.ensemble, NOTHING)
                reader.roots, reader.policies = known.roots, known.policies
                for raw in splitter.lines(piece):
                    reader.read(raw, stretch)
                is_much = stretch.lines >= STRETCH_LINES or stretch.size >= STRETCH_BYTES
                is_over = stretch.is_over or time.monotonic() >= due_s
                if stretch.lines and (is_much or is_over):
                    await save(work, source, reader, stretch)
                    if stretch.restart_at:
                        break
                    stretch = Stretch()
                    due_s = time.monotonic() + STRETCH_S
                now_s = time.monotonic()
                if now_s > pruned_s + PRUNE_EVERY_S:
                    pruned_s = now_s
                    left = await work.db.run(
                        prune, work.term, target.ensemble, known.policies, dict(reader.stored)
                    )
                    reader.stored.clear()
                    reader.stored.update(left)


class Splitter:
    """Lines out of pieces; what has no end yet is held as it came."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.size = 0

    def lines(self, piece: bytes) -> list[bytes]:
        """The lines that this piece ends.

        Raises:
            AskError: one is longer than LINE_BYTES_MAX.
        """
        if b"\n" not in piece:
            self.held.append(piece)
            self.size += len(piece)
            if self.size > LINE_BYTES_MAX:
                raise AskError(f"a line of the feed has over {LINE_BYTES_MAX} bytes")
            return []
        found = (b"".join(self.held) + piece).split(b"\n")
        rest = found.pop()
        self.held, self.size = [rest], len(rest)
        return found


async def save(work: Work, source: Source, reader: ChangeReader, stretch: Stretch) -> None:
    """Write a stretch; that the node answers, where it brings nothing.

    Raises:
        AskError: the node says that it cannot go on.
    """
    if stretch.restart_at and stretch.restart_at == source.cursor:
        raise AskError(f"the feed does not go on from {source.cursor}, where it says that it does")
    cursor = stretch.restart_at or stretch.cursor
    if stretch.changes or stretch.gaps or (cursor and cursor != source.cursor):
        await work.db.run(write, work.term, source, stretch, reader.stored)
    else:
        await work.db.run(answered, work.term, source)
    if stretch.problem:
        raise AskError(stretch.problem)


async def feed(
    session: aiohttp.ClientSession, target: Target, cursor: str
) -> AsyncGenerator[bytes, None]:
    """Pieces of the feed from a zxid on; an empty one where nothing came for STRETCH_S.

    Raises:
        AskError: it ended, or did not begin.
    """
    url = f"{target.url.rstrip('/')}/changes"
    params = {"from": cursor or "0", "follow": "1"}
    if target.control_token:
        params["values"] = "1"
    headers = target.headers(control=bool(target.control_token))
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_S)
    try:
        async with session.get(
            url, params=params, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            if answer.status == 410:
                yield await answer.read() + b"\n"
                return
            if answer.status != 200:
                body = await answer.content.read(10_000)
                raise AskError(f"{url}: {refusal(answer.status, body)}", answer.status)
            waiting: asyncio.Task[bytes] | None = None
            try:
                while True:
                    if waiting is None:
                        waiting = asyncio.create_task(answer.content.readany())
                    await asyncio.wait([waiting], timeout=STRETCH_S)
                    piece = b""
                    if waiting.done():
                        piece, waiting = waiting.result(), None
                        if not piece:
                            break
                    yield piece
            finally:
                if waiting is not None:
                    waiting.cancel()
    except (aiohttp.ClientError, OSError) as error:
        raise AskError(f"{url}: {str(error) or type(error).__name__}") from None
    except TimeoutError:
        raise AskError(f"{url}: nothing for {SILENCE_S:.0f} s") from None
    raise AskError(f"{url}: the feed ended")
