"""The transaction log in a process of its own: it writes and syncs, batch by batch.

The loop hands over a batch, goes on, and finds a socket readable when the batch is on the disk. A
thread would do the same work, but would need the interpreter's lock three times a batch, against a
loop that holds it nearly always (docs/decisions/0003). One batch is in flight at a time, so what
waits is bounded by what clients may have outstanding. After an error nothing is tried again: the
failure comes out of `take_synced`, and the server stops (trust.md F5).

The child ends when its socket closes. It shares the lock on the log folder with the server, so no
other server can begin on these files before both are gone.
"""

import logging
import os
import signal
import socket
import struct
import time
from typing import Final, final

from librt.strings import read_i32_be, read_i64_be

from ensemble.errors import EnsembleError, StorageError
from ensemble.server.log_batch import LogBatch
from ensemble.server.log_port import LogPort
from ensemble.server.stats import ServerStats
from ensemble.storage.txnlog import TxnLog

log = logging.getLogger("ensemble.log")

HEADER: Final = struct.Struct(">IIB")  # bytes of records, number of records, begin a new file first
ANSWER: Final = struct.Struct(">qII")  # last zxid (-1: failed), microseconds, length of a text
SOCKET_BUFFER_BYTES: Final = 4 << 20
STOP_TIMEOUT_S: Final = 10.0


@final
class LogWriter(LogPort):
    """The loop's end. `submit` only while not `busy`; `notify_fd` turns readable when done."""

    def __init__(self, log: TxnLog, stats: ServerStats, slow_ms: int = 1_000) -> None:
        super().__init__()
        self.stats: Final = stats
        self.slow_us: Final = slow_ms * 1_000
        self.synced = 0
        ours, childs = socket.socketpair()
        for end in (ours, childs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        self.pid: int = os.fork()
        if self.pid == 0:
            ours.close()
            run_child(childs, log)
        childs.close()
        self.socket: Final = ours
        self.notify_fd: Final = ours.fileno()

    def submit(self, batch: LogBatch) -> None:
        """Write and sync a batch.

        Raises:
            StorageError: the log's process is gone.
        """
        assert not self.busy, "one batch at a time"
        self.busy = True
        records = batch.records.getvalue()
        try:
            self.socket.sendall(HEADER.pack(len(records), batch.count, batch.roll) + records)
        except OSError as error:
            raise StorageError(f"the log's process is gone: {error}") from None

    def take_synced(self) -> int:
        """After `notify_fd` became readable: the highest zxid on the disk.

        Raises:
            StorageError: writing or syncing failed; nothing of the batch may be acknowledged.
        """
        raw = receive(self.socket, ANSWER.size)
        if raw is None:
            raise StorageError("the log's process ended; its last batch is not known to be kept")
        zxid, took_us, count = ANSWER.unpack(raw)
        if zxid < 0:
            text = receive(self.socket, count) or b""
            raise StorageError(text.decode("utf-8", "replace"))
        self.busy = False
        self.synced = zxid
        self.stats.fsync_ms.record(took_us // 1_000)
        if took_us >= self.slow_us:
            self.stats.fsync_slow += 1
            log.warning(
                "syncing %d transactions took %d ms (fsync.warningthresholdms is %d): the disk is "
                "slow or shared",
                count,
                took_us // 1_000,
                self.slow_us // 1_000,
            )
        self.stats.sync_batch.record(count)
        return self.synced

    def end_file(self) -> None:
        """See `LogPort`. Waits for the log's process, which has nothing else to do."""
        batch = LogBatch()
        batch.roll = True
        self.submit(batch)
        self.take_synced()

    def stop(self) -> None:
        """Close the socket: the child finishes its batch and ends."""
        self.socket.close()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            time.sleep(0.005)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def receive(end: socket.socket, count: int) -> bytes | None:
    """Exactly `count` bytes, or None at the end of the stream."""
    parts: list[bytes] = []
    while count > 0:
        try:
            data = end.recv(min(count, 1 << 20))
        except ConnectionResetError:
            return None
        if not data:
            return None
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def run_child(end: socket.socket, log: TxnLog) -> None:
    """The log's process. Signals of the terminal are the server's business, not its."""
    code = 0
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while serve_batch(end, log):
            pass
        log.close()
    except (EnsembleError, OSError):
        code = 1
    finally:
        os._exit(code)


def serve_batch(end: socket.socket, log: TxnLog) -> bool:
    """One batch. False: the server is gone, or the log failed and the server knows."""
    header = receive(end, HEADER.size)
    if header is None:
        return False
    size, count, roll = HEADER.unpack(header)
    records = receive(end, size)
    if records is None:
        return False
    began = time.monotonic_ns()
    zxid = 0
    try:
        if roll:
            log.roll()
        at = 0
        while at < size:
            zxid = int(read_i64_be(records, at))
            length = int(read_i32_be(records, at + 8))
            at += 12
            log.append(zxid, records[at : at + length])
            at += length
        log.flush()
    except StorageError as error:
        text = str(error).encode()
        end.sendall(ANSWER.pack(-1, 0, len(text)) + text)
        return False
    took_us = (time.monotonic_ns() - began) // 1_000
    end.sendall(ANSWER.pack(zxid, min(took_us, 0xFFFFFFFF), count))
    return True
