"""When to ping, and when to give a connection up. No clock here: `now` is an argument, in seconds.

Source: client.md section 19: a ping when nothing was sent for a third of the timeout, at most 10 s;
the connection is dropped when nothing arrived for two thirds, so that a third is left to reach
another server before the session expires.
"""

from typing import Final

PING_INTERVAL_MAX_S: Final = 10.0


class Liveness:
    """What was sent and received last, on one connection."""

    __slots__ = ("drop_after_s", "due", "heard", "ping_after_s", "spoke")

    def __init__(self, timeout_s: float, now: float) -> None:
        self.ping_after_s: Final = min(timeout_s / 3, PING_INTERVAL_MAX_S)
        self.drop_after_s: Final = timeout_s * 2 / 3
        self.spoke = now  # last time that something was sent
        self.heard = now  # last time that something arrived
        self.due = now  # when the next check was wanted

    def must_drop(self, now: float) -> bool:
        """Whether the server has been silent for too long.

        A check that comes late by the time between two pings finds that we were busy ourselves: no
        ping left meanwhile, so there was nothing to answer. The server then gets that time anew.
        """
        if now - self.due >= self.ping_after_s:
            self.heard = max(self.heard, now - self.drop_after_s + self.ping_after_s)
        return now - self.heard >= self.drop_after_s

    def must_ping(self, now: float) -> bool:
        """Whether we have been silent for so long that the session could expire."""
        return now - self.spoke >= self.ping_after_s

    def next_check(self, now: float) -> float:
        """Seconds until one of the two can become true."""
        drop_in = self.heard + self.drop_after_s - now
        ping_in = self.spoke + self.ping_after_s - now
        wait = max(0.0, min(drop_in, ping_in))
        self.due = now + wait
        return wait
