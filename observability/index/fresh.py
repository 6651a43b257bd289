"""How old an index is, and what it does not know; for pages and the API."""

import time
from dataclasses import dataclass

from observability import health
from observability.index import write
from observability.index.write import Phase, State
from observability.models import Source
from tenants.models import Ensemble


@dataclass(frozen=True, slots=True)
class Fresh:
    """`behind_s` None: nobody tells what changes, the index is as old as `filled_at_ms`.

    `filled_at_ms` 0: it was never complete. `seen`: znodes that the fill at work has read.
    `unknown`: what a search may miss, and what to do about it, for people.
    """

    is_there: bool
    is_live: bool
    is_filling: bool
    behind_s: float | None
    filled_at_ms: int
    rows: int
    seen: int
    problem: str
    unknown: list[str]


def fresh(ensemble: Ensemble, *, whole: bool) -> Fresh:
    """What is known of an ensemble's index. `whole`: for somebody who may know of all of it."""
    sources = {
        one.kind: one
        for one in Source.objects.filter(
            ensemble=ensemble.name, kind__in=(Source.Kind.INDEX, Source.Kind.CHANGES)
        )
    }
    index, changes = sources.get(Source.Kind.INDEX), sources.get(Source.Kind.CHANGES)
    state = State() if index is None else State.read(index.state)
    is_live = health.collector().is_alive
    has_feed = changes is not None and changes.looked_at is not None
    behind_s = None
    if has_feed and changes is not None and changes.looked_at is not None:
        behind_s = changes.behind / 1_000
        if changes.problem or not is_live:
            behind_s = max(behind_s, time.time() - changes.looked_at.timestamp())
    problem = ""
    for source in (index, changes):
        if source is not None and source.problem:
            problem = problem or source.problem
    return Fresh(
        is_there=bool(state.fill),
        is_live=is_live,
        is_filling=state.phase != Phase.IDLE,
        behind_s=behind_s,
        filled_at_ms=state.ended,
        rows=state.rows if whole else 0,
        seen=state.seen if whole else 0,
        problem=problem if whole else "",
        unknown=unknown(state, has_feed, is_live, whole),
    )


def unknown(state: State, has_feed: bool, is_live: bool, whole: bool) -> list[str]:
    """`whole`: for those who may know how large the ensemble is, and what fails in it."""
    seen = f": {state.seen:,} znodes so far" if whole else ""
    found = []
    if not write.rows_max():
        found.append("Indexes are switched off: ENSEMBLE_INDEX_ROWS is 0.")
    elif not is_live:
        found.append("No collector is at work, so nothing new comes: start manage.py collect.")
    elif not state.fill:
        found.append("The collector has not begun to read this ensemble yet.")
    elif not state.ended:
        found.append(f"It is read for the first time{seen}.")
    elif state.phase != Phase.IDLE:
        found.append(f"It is read once more{seen}.")
    if state.wanted:
        why = f" {state.wanted}" if whole else ""
        found.append(f"Changes were missed; it is read once more soon.{why}")
    if state.is_full:
        found.append(f"It is full at {write.rows_max():,} znodes: raise ENSEMBLE_INDEX_ROWS.")
    if state.fill and not has_feed:
        found.append("Nobody tells what changes: it is read anew every 15 minutes.")
    if state.unread and whole:
        found.append(f"{state.unread:,} znodes may not be read by the collector.")
    return found
