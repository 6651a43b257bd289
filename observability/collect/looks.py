"""Asking a node for its figures: ours at the admin port, Apache's by mntr."""

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp

from ensemble.client import ClientError, four_letter
from observability.collect.admin import AskError, Target, fetch_json
from observability.samples.node import OUTSIDE, Look, read_pages
from observability.samples.totals import COUNTS, FigureError, MoreNeededError, Totals

PAGE: Final = 1_000  # tenants
PAGES_MAX: Final = 20
MNTR_TIMEOUT_S: Final = 2.0
LATE_S: Final = 4.0  # a look that takes longer: the node hangs, whatever comes of it

# What is kept of a node's own figures (mntr's names without zk_), where it has them.
OWN: Final[tuple[str, ...]] = (
    *("server_state", "version", "uptime", "znode_count", "watch_count", "ephemerals_count"),
    *("approximate_data_size", "num_alive_connections", "outstanding_requests", "packets_sent"),
    *("packets_received", "avg_latency", "max_latency", "open_file_descriptor_count"),
    *("max_file_descriptor_count", "synced_followers", "synced_observers", "learners"),
    *("audit_lines", "audit_missing", "audit_dropped", "audit_process_restarts"),
    *("last_zxid", "global_sessions", "local_sessions", "election_time", "fsynctime"),
    *("p50_fsynctime", "p99_fsynctime", "avg_fsynctime", "max_fsynctime", "avg_updatelatency"),
    *("p99_updatelatency", "avg_readlatency", "p99_readlatency"),
    *("cnt_fsynctime", "sum_fsynctime", "fsync_threshold_exceed_count", "quorum_size"),
    *("looking_count", "peer_state", "digest_mismatches_count", "client_certificate_end"),
    *("datadir_disk_bytes", "datadir_free_bytes", "datadir_files_bytes"),
    *("logdir_disk_bytes", "logdir_free_bytes", "logdir_files_bytes"),
)


async def look(session: aiohttp.ClientSession, target: Target, before: dict[str, Totals]) -> Look:
    """Everything that a node says at once. `before`: its accounts of the look before.

    Raises:
        AskError, FigureError: it does not, or says something else.
    """
    asked_s = time.monotonic()
    try:
        found = read_pages(await ask_pages(session, target, "recent" if before else "true"), before)
    except MoreNeededError:
        asked_s = time.monotonic()
        found = read_pages(await ask_pages(session, target, "true"), before)
    uptime_ms, accounts, usage = found
    heads: dict[str, str] = {}
    own = await fetch_json(session, target, "/commands/monitor", heads=heads)
    kept: dict[str, Any] = {name: own[name] for name in OWN if name in own}
    if (ahead := clock_ahead_ms(heads.get("Date", ""))) is not None:
        kept["clock_ahead_ms"] = ahead
    return Look(asked_s, time.monotonic(), uptime_ms, accounts, usage, kept)


def clock_ahead_ms(date: str) -> int | None:
    """By how much a node's clock is ahead of ours, to half a second: its answer's Date."""
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return round((theirs + 0.5 - time.time()) * 1_000)


async def ask_pages(
    session: aiohttp.ClientSession, target: Target, histograms: str
) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = []
    after = ""
    while len(pages) < PAGES_MAX:
        params = {"histograms": histograms, "limit": str(PAGE), "after": after}
        page = await fetch_json(session, target, "/commands/tenants", params)
        pages.append(page)
        after = str(page.get("next") or "")
        if not after:
            break
    return pages


async def look_plain(target: Target) -> Look:
    """What a server of Apache's says: itself alone, by mntr, else by its AdminServer's monitor.

    Raises:
        AskError: it says neither.
    """
    asked_s = time.monotonic()
    host, _, port = target.client.rpartition(":")
    try:
        text = await four_letter(host.strip("[]"), int(port), "mntr", within=MNTR_TIMEOUT_S)
    except (ClientError, ValueError) as error:
        raise AskError(f"{target.client} does not answer mntr: {error}") from None
    lines = [line.removeprefix("zk_") for line in text.splitlines() if "\t" in line]
    numbers = dict(line.split("\t", 1) for line in lines)
    if "server_state" not in numbers:
        raise AskError(
            f"{target.client}: mntr answers {text.strip()[:100]!r}; allow it there: "
            "4lw.commands.whitelist=mntr,srvr"
        )
    own: dict[str, Any] = {name: plain(numbers[name]) for name in OWN if name in numbers}
    totals = Totals()
    totals.counts[COUNTS.index("requests")] = count(own.get("packets_received"))
    uptime = count(own.get("uptime"))
    return Look(asked_s, time.monotonic(), uptime, {OUTSIDE: totals}, {}, own, has_tenants=False)


def plain(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text[:200]


def count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


class NodePoll:
    """Asks one node again and again, one look at a time: a slow one delays nobody."""

    def __init__(self, target: Target, is_ours: bool) -> None:
        self.target: Final = target
        self.is_ours: Final = is_ours
        self.task: asyncio.Task[Look] | None = None
        self.problem = ""
        self.asked_s = 0.0

    def begin(self, session: aiohttp.ClientSession, before: dict[str, Totals]) -> None:
        if self.task is None:
            asked = look(session, self.target, before) if self.is_ours else look_plain(self.target)
            self.task = asyncio.create_task(asked)
            self.asked_s = time.monotonic()

    @property
    def is_late(self) -> bool:
        return self.task is not None and time.monotonic() >= self.asked_s + LATE_S

    def taken(self) -> Look | None:
        """The look, if it has come."""
        if self.task is None or not self.task.done():
            return None
        task, self.task = self.task, None
        try:
            found = task.result()
        except (AskError, FigureError) as error:
            self.problem = str(error)
            return None
        self.problem = ""
        return found

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
