"""Removes what is older, or more, than the trail is to keep. The verdicts on chains stay.

Rows go from the oldest on, a few at a time, so that nothing waits for it. Size is counted in rows:
the setting OBSERVED_TRAIL_ROWS; a million take about half a gigabyte (docs/observability.md).
"""

import time
from typing import Final

from django.conf import settings
from django.db import connections, transaction

from observability.samples.table import ask
from observability.store import ALIAS, fence

TRAIL_DAYS: Final = 365
TRAIL_ROWS: Final = 10_000_000
ROWS_AT_ONCE: Final = 2_000
DAY_MS: Final = 86_400_000


def trail_days() -> int:
    """The setting OBSERVED_TRAIL_DAYS."""
    return int(getattr(settings, "OBSERVED_TRAIL_DAYS", TRAIL_DAYS))


def trail_rows() -> int:
    """The setting OBSERVED_TRAIL_ROWS."""
    return int(getattr(settings, "OBSERVED_TRAIL_ROWS", TRAIL_ROWS))


def prune_trail(term: int) -> int:
    """Remove a portion of what is too old or too much; how many rows, 0: nothing is.

    Raises:
        LeaseLostError: nothing was removed.
    """
    until_ms = time.time_ns() // 1_000_000 - trail_days() * DAY_MS
    with transaction.atomic(using=ALIAS):
        fence(term)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "DELETE FROM observability_trail WHERE id IN "
                "(SELECT id FROM observability_trail WHERE at < %s ORDER BY at LIMIT %s)",
                (until_ms, ROWS_AT_ONCE),
            )
            gone = cursor.rowcount
            # Numbers of rows rise by one, and only the oldest are ever removed: no count is needed.
            (first, last) = ask("SELECT min(id), max(id) FROM observability_trail")[0]
            if first is not None and last - first + 1 > trail_rows():
                bound = min(last - trail_rows() + 1, first + ROWS_AT_ONCE)
                cursor.execute("DELETE FROM observability_trail WHERE id < %s", (bound,))
                gone += cursor.rowcount
    return int(gone)
