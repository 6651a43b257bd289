"""How many sessions may be opened or re-attached in a time: tokens, and chance under overload.

The settings are connection_throttle_*, as Apache's server has them. Each ConnectRequest takes a
token; `fill_count` come back every `fill_ms`. With `freeze_ms` set, a bucket that is found empty
makes refusals more probable, one that is nearly full less: clients that all lost the same server
are let in spread over time instead of all at once and again (trust.md C9).
"""

import random
from collections.abc import Callable
from typing import Final, final

from ensemble.server.config import ConnectionTokens


@final
class ConnectionThrottle:
    """A bucket of tokens. `drop` is the probability of a refusal, 0 unless `freeze_ms` >= 0."""

    def __init__(
        self,
        tokens_max: int,
        fill_ms: int,
        fill_count: int,
        freeze_ms: int,
        drop_increase: float,
        drop_decrease: float,
        decrease_ratio: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        assert tokens_max > 0
        assert fill_ms > 0
        self.tokens_max: Final = tokens_max
        self.fill_ms: Final = fill_ms
        self.fill_count: Final = fill_count
        self.freeze_ms: Final = freeze_ms
        self.drop_increase: Final = drop_increase
        self.drop_decrease: Final = drop_decrease
        self.nearly_full: Final = tokens_max - round(tokens_max * decrease_ratio)
        self.chance: Final = chance
        self.tokens = tokens_max
        self.drop = 0.0
        self._filled_ms: int | None = None
        self._adjusted_ms: int | None = None

    def admits(self, now_ms: int) -> bool:
        """Whether one more may come in now; if so it has taken its token."""
        self.fill(now_ms)
        if self.freeze_ms >= 0:
            self.adjust(now_ms)
            if self.chance() < self.drop:
                return False
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def deficit(self) -> int:
        """How many tokens are out."""
        return self.tokens_max - self.tokens

    def fill(self, now_ms: int) -> None:
        if self._filled_ms is None:
            self._filled_ms = now_ms
        steps = (now_ms - self._filled_ms) // self.fill_ms
        if steps > 0:
            self.tokens = min(self.tokens + steps * self.fill_count, self.tokens_max)
            self._filled_ms += steps * self.fill_ms

    def adjust(self, now_ms: int) -> None:
        if self._adjusted_ms is not None and now_ms - self._adjusted_ms <= self.freeze_ms:
            return
        self._adjusted_ms = now_ms
        if self.tokens == 0:
            self.drop = min(self.drop + self.drop_increase, 1.0)
        elif self.tokens >= self.nearly_full:
            self.drop = max(self.drop - self.drop_decrease, 0.0)


def throttle_of(options: ConnectionTokens) -> ConnectionThrottle | None:
    """The throttle that the configuration asks for, if it does."""
    if not options.tokens:
        return None
    return ConnectionThrottle(
        options.tokens,
        options.fill_ms,
        options.fill_count,
        options.freeze_ms,
        options.drop_increase,
        options.drop_decrease,
        options.decrease_ratio,
    )
