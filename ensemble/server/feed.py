"""The change feed: every committed transaction from a zxid on, to readers over HTTP.

While somebody reads, what is committed goes into a ring in memory, from which all readers are
served; who is further back than the ring reads log files (`feed_history`) until it has caught up.
The node's thread does no more than put a payload into the ring. Nothing waits for a reader: one
that takes nothing for too long is cut, and its last line's zxid is where it goes on.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from ensemble.server.feed_history import SLICE_BYTES, SLICE_COUNT
from ensemble.wire.zxid import epoch_of

if TYPE_CHECKING:
    from ensemble.server.node import Node

RING_COUNT_MAX: Final = 20_000  # transactions in memory
RING_BYTES_MAX: Final = 8 << 20
READERS_MAX: Final = 64


@final
class FeedHub:
    """One server's ring. `base`: the ring holds everything that is committed after it."""

    def __init__(self, node: "Node") -> None:
        self.node: Final = node
        self.ring: Final[deque[tuple[int, bytes]]] = deque()
        self.size = 0
        self.base = 0
        self.readers: Final[set[asyncio.Event]] = set()
        self.waking = False

    # The node's thread

    def on_committed(self, zxid: i64, payload: bytes) -> None:
        """See `contracts.Feed`."""
        last = self.ring[-1][0] if self.ring else self.base
        if zxid != last + 1 and epoch_of(int(zxid)) == epoch_of(last):
            self.clear(int(zxid) - 1)  # a restored tree: what is before it has to be asked for
        self.ring.append((int(zxid), payload))
        self.size += len(payload)
        while len(self.ring) > RING_COUNT_MAX or self.size > RING_BYTES_MAX:
            self.base, dropped = self.ring.popleft()
            self.size -= len(dropped)
        if not self.waking:
            self.waking = True
            self.node.loop.call_soon(self.wake)

    def on_serving(self) -> None:
        """Another epoch begins, perhaps with another tree: readers go through the log files."""
        self.clear(int(self.node.pipeline.tree.last_zxid))
        self.wake()

    def wake(self) -> None:
        self.waking = False
        for event in self.readers:
            event.set()

    def clear(self, base: int) -> None:
        self.ring.clear()
        self.size = 0
        self.base = base

    # Readers

    def join(self) -> asyncio.Event:
        """A reader comes; what it is given is set whenever there may be something new."""
        event = asyncio.Event()
        if not self.readers:
            self.clear(int(self.node.tree.last_zxid))
            self.node.pipeline.feed = self
        self.readers.add(event)
        return event

    def leave(self, event: asyncio.Event) -> None:
        self.readers.discard(event)
        if not self.readers:
            self.node.pipeline.feed = None
            self.clear(0)

    def after(self, position: int) -> list[tuple[int, bytes]]:
        """The next ones behind `position`, which must not lie before `base`; a slice of them."""
        assert position >= self.base
        found: list[tuple[int, bytes]] = []
        size = 0
        skip = 0
        if self.ring and position > self.base:
            # Zxids within an epoch are dense: nearly always the first guess is right.
            skip = max(0, min(len(self.ring), position - self.ring[0][0] + 1))
            while skip > 0 and self.ring[skip - 1][0] > position:
                skip -= 1
        for index in range(skip, len(self.ring)):
            zxid, payload = self.ring[index]
            if zxid <= position:
                continue
            found.append((zxid, payload))
            size += len(payload)
            if len(found) >= SLICE_COUNT or size >= SLICE_BYTES:
                break
        return found

    def readable(self) -> int:
        """Up to where the log files may be read: committed, and on this server's disk."""
        node = self.node
        if not node.serving or node.pipeline.read_only:
            return 0
        committed = int(node.tree.last_zxid)
        if node.authority.is_idle():
            return committed
        return min(committed, int(node.log_writer.synced))
