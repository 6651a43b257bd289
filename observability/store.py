"""How collectors write: rows and the cursor behind them in one transaction, or neither.

Two things keep a line from being taken twice. A write names the term of the collector's lease, so
one that was paused and has lost it writes nothing; and it names the cursor from which it went on,
which must still be the one that is kept.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from django.db import connections, transaction
from django.db.models import F, Q

from observability.chain import Found
from observability.models import Lease, Segment, Source
from observability.router import Router
from observability.rows import COLUMNS, Row

ALIAS: Final = Router.place_of("observability")
LEASE: Final = "collect"
PROBLEM_MAX: Final = 500
INSERT: Final = (
    f"INSERT INTO observability_trail ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(COLUMNS))})"
)

Place = tuple[str, str]  # ensemble and node
Segments = dict[tuple[int, int], Found]  # by chain and segment


class LeaseLostError(Exception):
    """Another collector is at work: this one must not write any more."""


class MovedError(Exception):
    """The cursor is not where this collector left it: somebody else wrote."""


@dataclass(slots=True)
class Batch:
    """What a source has brought, to be written together with its cursor."""

    before: str
    after: str
    rows: list[Row] = field(default_factory=list)
    segments: Segments = field(default_factory=dict)
    state: dict[str, Any] | None = None
    newest_ms: int = 0  # time of the newest line; 0: none


def now() -> datetime:
    return datetime.now(UTC)


def fence(term: int) -> None:
    """Inside a transaction: go on only as the holder of the lease.

    Raises:
        LeaseLostError: the term is over.
    """
    # An update, not a read: on PostgreSQL the row is ours until the commit.
    held = Lease.objects.filter(name=LEASE, term=term).update(until=F("until"))
    if held != 1:
        raise LeaseLostError(f"term {term} is over: another collector has taken over")


def source_of(kind: str, ensemble: str, node: str) -> Source:
    """Where this source is; made at the beginning of everything."""
    found, _ = Source.objects.get_or_create(kind=kind, ensemble=ensemble, node=node)
    return found


def state_of(source: Source) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(source.state)
    return state


def take(term: int, source: Source, batch: Batch) -> None:
    """Write a batch; afterwards `source` stands behind it.

    Raises:
        LeaseLostError, MovedError: nothing was written.
    """
    moment = now()
    with transaction.atomic(using=ALIAS):
        fence(term)
        changes: dict[str, Any] = {"cursor": batch.after, "looked_at": moment, "problem": ""}
        if batch.state is not None:
            changes["state"] = json.dumps(batch.state)
        if batch.rows:
            changes["taken_at"] = moment
        if batch.newest_ms:
            behind = round(moment.timestamp() * 1_000) - batch.newest_ms
            changes["behind"] = max(0, behind)
        moved = Source.objects.filter(pk=source.pk, cursor=batch.before).update(**changes)
        if moved != 1:
            raise MovedError(f"{source} is not at {batch.before!r} any more")
        insert(batch.rows)
        if batch.segments:
            keep_segments((source.ensemble, source.node), batch.segments, moment)
    source.cursor = batch.after
    source.problem = ""


def insert(rows: list[Row]) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany(INSERT, cast("list[tuple[str, ...]]", rows))


def keep_segments(place: Place, segments: Segments, moment: datetime) -> None:
    """Add what a batch has shown to the verdict of its segments."""
    ensemble, node = place
    for (chain, number), found in segments.items():
        segment, _ = Segment.objects.get_or_create(
            ensemble=ensemble, node=node, chain=chain, segment=number
        )
        changes: dict[str, Any] = {
            "lines": F("lines") + found.lines,
            "missing": F("missing") + found.missing,
            "problems": F("problems") + found.problems,
        }
        if found.lines:
            changes |= {"last_seq": found.last_seq, "last_hash": found.last_hash}
            if not segment.first_seq:
                changes["first_seq"] = found.first_seq
        if found.first_problem_seq is not None and segment.first_problem_seq is None:
            changes["first_problem_seq"] = found.first_problem_seq
            changes["first_problem"] = found.first_problem
            changes["first_problem_at"] = moment
        Segment.objects.filter(pk=segment.pk).update(**changes)


def add_problem(place: Place, chain: int, seq: int, why: str) -> None:
    """Something that is wrong with what was collected before; named once for each segment."""
    ensemble, node = place
    found = Segment.objects.filter(
        Q(first_seq__lte=seq), ensemble=ensemble, node=node, chain=chain
    ).last()
    if found is None or found.first_problem_seq is not None:
        return
    found.problems += 1
    found.first_problem_seq, found.first_problem = seq, why[:PROBLEM_MAX]
    found.first_problem_at = now()
    found.save(update_fields=["problems", *PROBLEM_FIELDS])


PROBLEM_FIELDS: Final = ("first_problem_seq", "first_problem", "first_problem_at")


def note(term: int, source: Source, problem: str) -> None:
    """Say why nothing comes; written only when it is news, so that a dead node costs nothing."""
    problem = problem[:PROBLEM_MAX]
    if source.problem == problem:
        return
    with transaction.atomic(using=ALIAS):
        fence(term)
        Source.objects.filter(pk=source.pk).update(problem=problem, problem_since=now())
    source.problem = problem


def answered(term: int, source: Source) -> None:
    """It answered and has nothing new."""
    with transaction.atomic(using=ALIAS):
        fence(term)
        Source.objects.filter(pk=source.pk).update(looked_at=now(), problem="", behind=0)
    source.problem = ""
