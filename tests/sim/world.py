"""One world from one seed: its time, its chance, and the order in which things happen.

Nothing here knows what is simulated. Events run one after the other; whatever they do takes no time
unless it asks for a later event. All chance comes from `random`, a stream for each purpose, so that
leaving faults out does not change what the clients do.
"""

import hashlib
import heapq
import random
from collections.abc import Callable

EVENTS_MAX = 3_000_000  # of one run: beyond it something goes round in circles


class World:
    """See the module. `trace` is the fingerprint of the run so far, `lines` its story if wanted."""

    def __init__(self, seed: int, verbose: bool = False) -> None:
        self.seed = seed
        self.verbose = verbose
        self.now_us = 0
        self.events = 0
        self.lines: list[str] = []
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._number = 0
        self._trace = hashlib.blake2b(digest_size=8)

    def random(self, purpose: str) -> random.Random:
        """A stream of chance of its own."""
        return random.Random(f"{self.seed}/{purpose}")

    def after(self, delay_us: int, call: Callable[..., None], *args: object) -> None:
        """Have `call` run once that time has passed."""
        assert delay_us >= 0
        self._number += 1
        heapq.heappush(self._heap, (self.now_us + delay_us, self._number, call, args))

    def run(self, until_us: int, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass. True where `done` came true, looked at after each event."""
        heap = self._heap
        while heap and heap[0][0] <= until_us:
            time_us, _, call, args = heapq.heappop(heap)
            self.now_us = time_us
            self.events += 1
            assert self.events < EVENTS_MAX, "the run does not come to an end"
            call(*args)
            if done is not None and done():
                return True
        self.now_us = until_us
        return False

    def note(self, what: str, data: bytes = b"") -> None:
        """Part of the fingerprint, and of the story."""
        self._trace.update(b"%d " % self.now_us)
        self._trace.update(what.encode())
        if data:
            self._trace.update(data)
        if self.verbose:
            self.lines.append(f"{self.now_us / 1e6:10.6f} {what}")

    def tell(self, what: Callable[[], str]) -> None:
        """Part of the story only."""
        if self.verbose:
            self.lines.append(f"{self.now_us / 1e6:10.6f} {what()}")

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()
