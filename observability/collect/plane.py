"""Copies the plane's own trail into the one trail, in its order, and checks its chain."""

from typing import Final

from observability.chain import Found
from observability.models import Source
from observability.rows import of_event
from observability.store import Batch, Place, state_of, take
from tenants.audit import BEGINNING, hash_of
from tenants.models import AuditEvent

ROWS_AT_ONCE: Final = 2_000
PLACE: Final[Place] = ("", "")


def copy(term: int, source: Source) -> bool:
    """Take what is new; whether there may be more.

    Raises:
        LeaseLostError, MovedError: nothing was written.
    """
    done = int(source.cursor or 0)
    head = str(state_of(source).get("head", BEGINNING))
    events = list(AuditEvent.objects.filter(seq__gt=done).order_by("seq")[:ROWS_AT_ONCE])
    if not events:
        return False
    found = Found(first_seq=events[0].seq)
    expected = done + 1
    for event in events:
        why = ""
        if event.seq != expected:
            why = f"rows {expected} to {event.seq - 1} are missing"
        elif event.previous != head:
            why = f"row {event.seq} does not continue the row before it"
        elif event.hash != hash_of(event):
            why = f"row {event.seq} was changed: its hash is another one"
        if why:
            found.problems += 1
            if found.first_problem_seq is None:
                found.first_problem_seq, found.first_problem = event.seq, why
        head, expected = event.hash, event.seq + 1
        found.lines += 1
    found.last_seq, found.last_hash = events[-1].seq, events[-1].hash
    entries = [of_event(event) for event in events]
    batch = Batch(
        before=source.cursor,
        after=str(found.last_seq),
        rows=[entry.row() for entry in entries],
        segments={(1, 1): found},
        state={"head": head},
        newest_ms=entries[-1].at,
    )
    take(term, source, batch)
    source.state = f'{{"head": "{head}"}}'
    return len(events) == ROWS_AT_ONCE
