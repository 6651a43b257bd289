"""The log of closed connections: every one is counted, so many a second are told."""

import logging
from typing import Final, final

from ensemble.server.clock import monotonic_ms
from ensemble.server.stats import ServerStats

log = logging.getLogger("ensemble.node")

LOGGED_PER_S_MAX: Final = 20


@final
class RefusalLog:
    """One server's."""

    def __init__(self, stats: ServerStats) -> None:
        self.stats: Final = stats
        self._logged = 0
        self._second = 0

    def note(self, host: str, reason: str) -> None:
        """A connection of `host` was closed."""
        self.stats.connections_dropped += 1
        second = monotonic_ms() // 1_000
        if second != self._second:
            left_out = self._logged - LOGGED_PER_S_MAX
            if left_out > 0:
                log.info("closed %d more connections in that second", left_out)
            self._second = second
            self._logged = 0
        self._logged += 1
        if self._logged <= LOGGED_PER_S_MAX:
            log.info("closed connection of %s: %s", host, reason)
