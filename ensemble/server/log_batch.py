"""Transactions that are written and synced together."""

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64


@final
class LogBatch:
    """Records in the order of their zxids: zxid, length, payload, one after the other."""

    __slots__ = ("count", "last_zxid", "records", "roll")

    def __init__(self) -> None:
        self.records: Final = BytesWriter()
        self.count = 0
        self.last_zxid: i64 = -1
        self.roll = False  # begin a new file before this batch

    def append(self, zxid: i64, payload: bytes) -> None:
        records = self.records
        write_i64_be(records, zxid)
        write_i32_be(records, len(payload))
        records.write(payload)
        self.last_zxid = zxid
        self.count += 1


@final
class LogFileSize:
    """Begins a new log file when the newest one is large (zoo.cfg: txnLogSizeLimitInKb)."""

    __slots__ = ("bytes", "bytes_max")

    def __init__(self) -> None:
        self.bytes: i64 = 0  # of the newest file
        self.bytes_max: i64 = 0  # 0: a new file begins with a snapshot only

    def add(self, batch: LogBatch) -> None:
        """`batch` is about to be written."""
        size: i64 = len(batch.records)
        if 0 < self.bytes_max <= self.bytes:
            batch.roll = True
        self.bytes = size if batch.roll else self.bytes + size
