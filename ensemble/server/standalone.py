"""The authority of a server that stands alone: it orders writes, its own disk is the quorum.

A write is prepared when it arrives, logged with all others of its turn, and applied once its batch
is on the disk. While one batch is being synced the next one gathers: throughput is batch size times
sync rate, latency is one sync. Nothing is acknowledged that is not on the disk (trust.md I9).
"""

from collections import deque
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from ensemble.server.log_writer import LogBatch, LogWriter
from ensemble.tree.apply import Applied, apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import Prepared, Preparer, WriteRequest
from ensemble.wire.txns import TxnHeader


@final
class StandaloneAuthority:
    """Orders, logs, commits and applies. The caller sets `wall_ms` at each turn.

    Invariants: tree.last_zxid <= synced <= proposed; `inflight` holds exactly the zxids after
    tree.last_zxid up to `proposed`, in order.
    """

    __slots__ = (
        "batch",
        "inflight",
        "log",
        "on_committed",
        "preparer",
        "proposed",
        "tree",
        "txns_since_snapshot",
        "wall_ms",
    )

    def __init__(self, tree: DataTree, preparer: Preparer, log: LogWriter) -> None:
        self.tree: DataTree = tree
        self.preparer: Preparer = preparer
        self.log: Final = log
        self.on_committed: Callable[[TxnHeader, int, Applied], None] | None = None
        self.proposed: i64 = tree.last_zxid
        self.inflight: Final[deque[Prepared]] = deque()
        self.batch = LogBatch()
        self.wall_ms: i64 = 0
        self.txns_since_snapshot: i64 = 0

    def last_proposed(self) -> int:
        return self.proposed

    def submit(self, request: WriteRequest) -> int:
        """Order a write; see `pipeline.Authority`."""
        zxid = self.proposed + 1
        prepared = self.preparer.prepare(request, zxid, self.wall_ms)
        self.proposed = zxid
        self.inflight.append(prepared)
        self.batch.append(zxid, prepared.payload)
        return zxid

    def end_turn(self) -> None:
        """Hand what has gathered to the log, unless a sync is still on its way."""
        if self.batch.payloads and not self.log.busy:
            self.log.submit(self.batch)
            self.batch = LogBatch()

    def on_synced(self) -> int:
        """The disk has another batch: apply it. Gives the number of transactions applied.

        Raises:
            StorageError: the disk failed. Nothing of the batch may be acknowledged; the server
            stops.
        """
        synced = self.log.take_synced()
        assert synced <= self.proposed
        on_committed = self.on_committed
        assert on_committed is not None
        inflight = self.inflight
        count = 0
        while inflight and inflight[0].header.zxid <= synced:
            prepared = inflight.popleft()
            header = prepared.header
            applied = apply(self.tree, header, prepared.txn)
            self.preparer.on_applied(header.zxid, header)
            on_committed(header, prepared.error, applied)
            count += 1
        self.txns_since_snapshot += count
        return count
