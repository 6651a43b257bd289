"""The clock by which sessions age: it stands still while this server does.

A server that was paused, swapped out or starved of processor could not hear its clients; their
pings wait in its sockets' buffers. If sessions aged meanwhile, all of them would expire together
before any ping is read (trust.md I13, F17). So of a gap between two readings only so much counts.
"""

import time
from typing import Final, final

# The loop reads the clock every half second at least, so a longer gap means that it stood still.
GAP_COUNTED_MAX_MS: Final = 1_000


def monotonic_ms() -> int:
    """Whatever the wall clock does, this goes forward."""
    return time.monotonic_ns() // 1_000_000


def monotonic_us() -> int:
    """The same, for latencies."""
    return time.monotonic_ns() // 1_000


def wall_ms() -> int:
    """The time that transactions carry."""
    return time.time_ns() // 1_000_000


@final
class ServingClock:
    """Milliseconds of a monotonic clock, less those during which nobody read it."""

    def __init__(self) -> None:
        self.away_ms = 0  # in all
        self._last_ms = -1

    def now_ms(self, monotonic_ms: int) -> int:
        """The time for sessions, connections and latencies. Never goes back."""
        gap_ms = monotonic_ms - self._last_ms
        if self._last_ms >= 0 and gap_ms > GAP_COUNTED_MAX_MS:
            self.away_ms += gap_ms - GAP_COUNTED_MAX_MS
        self._last_ms = monotonic_ms
        return monotonic_ms - self.away_ms
