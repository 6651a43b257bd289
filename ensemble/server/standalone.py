"""The authority of a server that stands alone: it orders writes, its own disk is the quorum.

A write is prepared when it arrives, logged with all others of its turn, and applied once its batch
is on the disk. While one batch is being synced the next one gathers: throughput is batch size times
sync rate, latency is one sync. Nothing is acknowledged that is not on the disk (trust.md I9).
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.server.committing import commit_prepared
from ensemble.server.connection import Connection
from ensemble.server.contracts import Authority
from ensemble.server.log_batch import LogBatch, LogFileSize
from ensemble.server.log_port import LogPort
from ensemble.server.pipeline import Pipeline
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import Prepared, Preparer, WriteRequest
from ensemble.wire.jute import Reader


@final
class StandaloneAuthority(Authority):
    """Orders, logs, commits and applies. The caller sets `wall_ms` at each turn.

    Invariant: `syncing`, then `gathering`, hold exactly the zxids after tree.last_zxid up to
    `proposed`, in order; `batch` the records of `gathering`.
    """

    __slots__ = (
        "batch",
        "gathering",
        "log",
        "log_bytes_since_snapshot",
        "log_file",
        "pipeline",
        "preparer",
        "proposed",
        "snapshot_at",
        "snapshot_at_bytes",
        "syncing",
        "tree",
        "txns_since_snapshot",
        "wall_ms",
    )

    def __init__(self, tree: DataTree, preparer: Preparer, log: LogPort) -> None:
        self.tree: DataTree = tree
        self.preparer: Preparer = preparer
        self.log: Final = log
        self.pipeline: Pipeline | None = None
        self.proposed: i64 = tree.last_zxid
        self.gathering: list[Prepared] = []
        self.syncing: list[Prepared] = []
        self.batch = LogBatch()
        self.wall_ms: i64 = 0
        self.txns_since_snapshot: i64 = 0
        self.log_bytes_since_snapshot: i64 = 0
        self.log_file: Final = LogFileSize()
        self.snapshot_at: i64 = 1 << 62  # so many transactions, or bytes of log, until the next
        self.snapshot_at_bytes: i64 = 1 << 62

    def last_proposed(self) -> i64:
        return self.proposed

    def submit(self, request: WriteRequest) -> i64:
        """Order a write; see `pipeline.Authority`."""
        zxid = self.proposed + 1
        prepared = self.preparer.prepare(request, zxid, self.wall_ms)
        self.proposed = zxid
        self.gathering.append(prepared)
        self.batch.append(zxid, prepared.payload)
        return zxid

    def sync(self, conn: Connection, xid: i64, reader: Reader) -> bool:
        """There is nobody else who could have written."""
        return True

    def revalidate(self, conn: Connection, session_id: i64, timeout_ms: i64) -> bool:
        """This server knows every session."""
        return True

    def end_turn(self) -> None:
        """Hand what has gathered to the log, unless a sync is still on its way."""
        if self.batch.count > 0 and not self.log.busy:
            self.log_bytes_since_snapshot += len(self.batch.records)
            self.log_file.add(self.batch)
            self.log.submit(self.batch)
            self.batch = LogBatch()
            self.syncing = self.gathering
            self.gathering = []

    def is_idle(self) -> bool:
        """Whether everything that was submitted has been applied."""
        return not self.syncing and not self.gathering

    def is_leading(self) -> bool:
        """There is nobody else."""
        return True

    def on_log_synced(self) -> None:
        """The disk has another batch: apply it.

        Raises:
            StorageError: the disk failed. Nothing of the batch may be acknowledged; the server
            stops.
        """
        synced = self.log.take_synced()
        pipeline = self.pipeline
        assert pipeline is not None
        batch = self.syncing
        self.syncing = []
        assert batch[-1].header.zxid == synced, f"synced {synced:#x}, not the batch that was sent"
        for prepared in batch:
            commit_prepared(pipeline, self.tree, self.preparer, prepared)
        self.txns_since_snapshot += len(batch)
