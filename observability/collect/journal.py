"""Follows one node's audit journal: page by page, each with its cursor into the database.

At most one page is held: the next is asked for when the last is written. What is not there any
more, or is another journal than before, becomes a row that says so.
"""

import json
from typing import Final

import aiohttp

from ensemble.tenancy.journal_line import Line
from observability.chain import Follower
from observability.collect.admin import AskError, Target, fetch, refusal
from observability.roots import Roots
from observability.rows import Entry, of_broken, of_gap, of_line
from observability.store import Batch

LINES_AT_ONCE: Final = 5_000
HEAD_EVERY: Final = 20  # empty pages: then it is asked whether the journal is the same


class Page:
    """What came: a batch to write, and whether there is more behind it."""

    def __init__(self, batch: Batch | None, more: bool) -> None:
        self.batch: Final = batch
        self.more: Final = more


class JournalReader:
    """One node's journal from a cursor on."""

    def __init__(self, target: Target, cursor: str, follower: Follower) -> None:
        self.target: Final = target
        self.cursor = cursor
        self.follower: Final = follower
        self.empty_pages = 0

    async def next(self, session: aiohttp.ClientSession, roots: Roots, now_ms: int) -> Page:
        """The next page; its cursor holds as soon as it is written: see `wrote`.

        Raises:
            AskError: the node does not answer, or has no journal.
        """
        params = {"after": self.cursor, "limit": str(LINES_AT_ONCE)}
        status, body = await fetch(session, self.target, "/audit", params)
        if status == 410:
            return self.gone(body, now_ms)
        if status != 200:
            raise AskError(f"{self.target.url}/audit: {refusal(status, body)}", status)
        lines = [raw + b"\n" for raw in body.split(b"\n")[:-1]]
        try:
            last = json.loads(lines[-1])
            cursor, more = str(last["cursor"]), bool(last["more"])
        except (IndexError, ValueError, KeyError, TypeError):
            raise AskError(f"{self.target.url}/audit: the page has no cursor", status) from None
        if len(lines) > 1:
            self.empty_pages = 0
            return Page(self.batch(lines[:-1], cursor, roots, now_ms), more)
        self.empty_pages += 1
        if self.empty_pages % HEAD_EVERY == 1 and self.cursor:
            return await self.check_last(session, now_ms)
        return Page(None, False)

    def batch(self, lines: list[bytes], cursor: str, roots: Roots, now_ms: int) -> Batch:
        ensemble, node = self.target.ensemble, self.target.node
        follower = self.follower
        follower.found = {}
        entries: list[Entry] = []
        newest_ms = 0
        for raw in lines:
            line = follower.follow(raw)
            if line.why:
                entries.append(
                    of_broken(line, ensemble, node, follower.chain, follower.seq, now_ms)
                )
                continue
            for entry in of_line(line, ensemble, node, follower.chain, roots, now_ms):
                entries.append(entry)
                newest_ms = entry.at
        return Batch(
            before=self.cursor,
            after=cursor,
            rows=[entry.row() for entry in entries],
            segments=follower.found,
            state=follower.state(),
            newest_ms=newest_ms,
        )

    def gone(self, body: bytes, now_ms: int) -> Page:
        """Segments were removed before they were collected: a row tells, and it goes on behind."""
        try:
            oldest = str(json.loads(body)["oldest"])
        except (ValueError, KeyError, TypeError):
            raise AskError(f"{self.target.url}/audit: 410 without oldest", 410) from None
        reason = (
            f"the node has removed its journal's lines between {self.cursor or 'the beginning'} "
            f"and {oldest} before they were collected: raise ensemble.audit.keepBytes, or keep "
            "the collector running"
        )
        self.follower.found = {}
        self.follower.skip()
        return Page(self.gap(reason, oldest, now_ms), True)

    async def check_last(self, session: aiohttp.ClientSession, now_ms: int) -> Page:
        """Nothing new for a while: is the line that came last still there, and the same?

        (What `/audit/head` says does not tell: it is how far the disk is, behind what was read.)
        """
        follower = self.follower
        segment, _, seq = self.cursor.partition(":")
        params = {"after": f"{segment}:{int(seq) - 1}", "limit": "1"}
        status, body = await fetch(session, self.target, "/audit", params)
        if status != 200 or follower.is_adrift or int(seq) != follower.seq:
            return Page(None, False)
        raw, _, rest = body.partition(b"\n")
        if rest and Line(raw + b"\n").hash == follower.head:
            return Page(None, False)
        reason = (
            f"the node's journal does not hold line {follower.seq} any more as it was collected: "
            "it was cut off, written anew or begun anew"
        )
        self.follower.found = {}
        self.follower.problem(self.follower.found_here(), self.follower.seq, reason)
        found = self.follower.found
        self.follower.begin_anew()
        batch = self.gap(reason, "", now_ms)
        batch.segments = found
        return Page(batch, True)

    def gap(self, reason: str, cursor: str, now_ms: int) -> Batch:
        target = self.target
        entry = of_gap(target.ensemble, target.node, self.follower.chain, reason, now_ms)
        state = self.follower.state()
        return Batch(before=self.cursor, after=cursor, rows=[entry.row()], state=state)

    def wrote(self, batch: Batch) -> None:
        self.cursor = batch.after
