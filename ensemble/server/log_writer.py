"""The one thread beside the loop: it writes and syncs the transaction log, batch by batch.

The loop hands over a batch, goes on, and finds an eventfd readable when the batch is on the disk.
One batch is in flight at a time, so what waits is bounded by what clients may have outstanding.
After an error nothing is tried again: the failure comes out of `take_synced`, and the server stops
(trust.md F5).
"""

import os
import threading
import time
from queue import SimpleQueue
from typing import Final, final

from ensemble.errors import StorageError
from ensemble.server.stats import ServerStats
from ensemble.storage.txnlog import TxnLog


@final
class LogBatch:
    """Transactions that are written and synced together, in order of their zxids."""

    __slots__ = ("last_zxid", "payloads", "roll", "zxids")

    def __init__(self) -> None:
        self.zxids: list[int] = []
        self.payloads: list[bytes] = []
        self.last_zxid = 0
        self.roll = False  # begin a new file before this batch

    def append(self, zxid: int, payload: bytes) -> None:
        self.zxids.append(zxid)
        self.payloads.append(payload)
        self.last_zxid = zxid


@final
class LogWriter:
    """Owns the log file. `submit` only while not `busy`; `notify_fd` turns readable when done."""

    def __init__(self, log: TxnLog, stats: ServerStats) -> None:
        self.log: Final = log
        self.stats: Final = stats
        self.notify_fd: Final = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.busy = False
        self._jobs: Final[SimpleQueue[LogBatch | None]] = SimpleQueue()
        self._synced = 0
        self._sync_ms = 0.0
        self._count = 0
        self._failure: BaseException | None = None
        self._thread: Final = threading.Thread(target=self._run, name="txnlog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, batch: LogBatch) -> None:
        """Write and sync a batch."""
        assert not self.busy, "one batch at a time"
        self.busy = True
        self._jobs.put(batch)

    def take_synced(self) -> int:
        """After `notify_fd` became readable: the highest zxid on the disk.

        Raises:
            StorageError: writing or syncing failed.
        """
        try:
            os.eventfd_read(self.notify_fd)
        except BlockingIOError:
            return self._synced
        if self._failure is not None:
            if isinstance(self._failure, StorageError):
                raise self._failure
            raise StorageError(f"the transaction log: {self._failure}") from self._failure
        self.busy = False
        self.stats.fsync_ms.record(int(self._sync_ms))
        self.stats.sync_batch.record(self._count)
        return self._synced

    def stop(self, timeout_s: float = 10.0) -> None:
        """Let a running batch end, then end the thread and close the file."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        log = self.log
        while True:
            batch = self._jobs.get()
            if batch is None:
                log.close()
                return
            try:
                if batch.roll:
                    log.roll()
                for zxid, payload in zip(batch.zxids, batch.payloads, strict=True):
                    log.append(zxid, payload)
                began = time.monotonic()
                log.flush()
                self._sync_ms = (time.monotonic() - began) * 1e3
                self._count = len(batch.zxids)
                self._synced = batch.last_zxid
            except BaseException as failure:
                self._failure = failure
                os.eventfd_write(self.notify_fd, 1)
                return
            os.eventfd_write(self.notify_fd, 1)
