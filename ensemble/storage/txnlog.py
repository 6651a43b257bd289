"""The transaction log: records appended, synced, and read back with their damage named.

Source: storage.md section 3. A record is acknowledged only after `flush`. A file is never appended to
by a later run. What a crash may leave at the end of the newest file is a torn tail, and is dropped;
the same anywhere else is damage, and is refused, where the Java server would skip it silently.
"""

import posixpath
from typing import Final, final
from zlib import adler32

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk, File
from ensemble.storage.layout import Layout
from ensemble.wire.zxid import counter_of, epoch_of, format_zxid

FILE_HEADER: Final = b"ZKLG\x00\x00\x00\x02" + bytes(8)
FILE_HEADER_BYTES: Final = 16
RECORD_HEADER_BYTES: Final = 12
RECORD_END: Final = 0x42
TXN_HEADER_BYTES: Final = 32
PADDING_MARGIN_BYTES: Final = 4096
PREALLOC_KB_DEFAULT: Final = 65_536
RECORD_BYTES_MAX_DEFAULT: Final = 2 * 0xFFFFF


def encode_record(payload: bytes) -> bytes:
    """checksum (Adler-32 of the payload, as a long), length, payload, end byte."""
    return b"%b%b%b%b" % (
        adler32(payload).to_bytes(8, "big"),
        len(payload).to_bytes(4, "big"),
        payload,
        b"B",
    )


@final
class TxnLog:
    """The writer. `append` gathers, `flush` writes and syncs; after an error it refuses everything.

    One thread uses it. Files are padded with zeros ahead of the writing, so that a sync need not
    update the file's size.
    """

    __slots__ = (
        "disk",
        "failed",
        "file",
        "force_sync",
        "layout",
        "parts",
        "parts_bytes",
        "position",
        "prealloc_bytes",
        "reserved",
    )

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        prealloc_kb: int = PREALLOC_KB_DEFAULT,
        force_sync: bool = True,
    ) -> None:
        self.disk: Final = disk
        self.layout: Final = layout
        self.prealloc_bytes: Final = prealloc_kb * 1024
        self.force_sync: Final = force_sync
        self.file: File | None = None
        self.position = 0  # end of what has been written to the file
        self.reserved = 0  # size of the file, padding included
        self.parts: list[bytes] = []
        self.parts_bytes = 0
        self.failed = False

    def append(self, zxid: int, payload: bytes) -> None:
        """Gather a record; the first of a file names the file."""
        self.refuse_after_failure()
        if self.file is None:
            self.begin(zxid)
        record = encode_record(payload)
        self.parts.append(record)
        self.parts_bytes += len(record)

    def flush(self) -> None:
        """Write what was gathered and sync it. Only now may it be acknowledged.

        Raises:
            StorageError: nothing of this batch may be acknowledged, and no sync is tried again: the
                kernel may have dropped the pages that it could not write.
        """
        self.refuse_after_failure()
        file = self.file
        if file is None or not self.parts:
            return
        data = b"".join(self.parts)
        self.parts = []
        self.parts_bytes = 0
        self.failed = True
        self.reserve(file, len(data))
        file.write(data)
        self.position += len(data)
        if self.force_sync:
            file.sync()
        self.failed = False

    def roll(self) -> None:
        """Let the next record begin a new file."""
        self.flush()
        if self.file is not None:
            self.file.close()
            self.file = None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def begin(self, zxid: int) -> None:
        """Start `log.<zxid>`. Its name is on the disk before any of its records is acknowledged."""
        self.failed = True
        path = self.layout.log_path(zxid)
        file = self.disk.create(path)
        file.write(FILE_HEADER)
        self.position = FILE_HEADER_BYTES
        self.reserved = FILE_HEADER_BYTES
        self.file = file
        self.reserve(file, 0)
        if self.force_sync:
            file.sync()
            self.disk.sync_folder(self.layout.log_folder)
        self.failed = False

    def reserve(self, file: File, size: int) -> None:
        """Pad the file where less than a margin would be left behind `size` more bytes."""
        if self.prealloc_bytes <= 0:
            return
        end = self.position + size
        if end + PADDING_MARGIN_BYTES < self.reserved:
            return
        if end > self.reserved and self.reserved > FILE_HEADER_BYTES:
            self.reserved = end - end % self.prealloc_bytes
        while self.reserved <= end + PADDING_MARGIN_BYTES:
            self.reserved += self.prealloc_bytes
        file.extend(self.reserved)

    def refuse_after_failure(self) -> None:
        if self.failed:
            raise StorageError(
                "the transaction log failed before; restart this server once its disk is well"
            )


@final
class LogRecord:
    """One record: `payload` as it was written, at `offset` in `path`."""

    __slots__ = ("offset", "path", "payload", "zxid")

    def __init__(self, path: str, offset: int, zxid: int, payload: bytes) -> None:
        self.path: Final = path
        self.offset: Final = offset
        self.zxid: Final = zxid
        self.payload: Final = payload


@final
class LogFile:
    """The records of one file. `torn_at` >= 0: dropped from there on, `why` says what was found."""

    __slots__ = ("path", "records", "torn_at", "why")

    def __init__(self, path: str) -> None:
        self.path: Final = path
        self.records: list[LogRecord] = []
        self.torn_at = -1
        self.why = ""


def read_log_file(
    disk: Disk, path: str, newest: bool, record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT
) -> LogFile:
    """All records of a file (storage.md 3.6).

    Args:
        newest: whether it is the newest of its folder: only there a crash may have left a torn tail.

    Raises:
        StorageError: the file is damaged in a way that no crash explains.
    """
    data = disk.read(path)
    file = LogFile(path)
    if len(data) < FILE_HEADER_BYTES or data[:4] != FILE_HEADER[:4]:
        if newest and (len(data) < FILE_HEADER_BYTES or not data.strip(b"\0")):
            file.torn_at = 0
            file.why = f"a header of {len(data)} bytes" if len(data) < 16 else "only zeros"
            return file
        raise damaged(path, 0, f"no log file header, it begins with {data[:8].hex() or 'nothing'}")
    at = FILE_HEADER_BYTES
    size = len(data)
    view = memoryview(data)
    while at < size:
        if size - at < RECORD_HEADER_BYTES:
            return end_of(file, data, at, newest, "a record header is cut off")
        length = int.from_bytes(view[at + 8 : at + 12], "big", signed=True)
        if length == 0:
            return end_of(file, data, at, newest, "")
        end = at + RECORD_HEADER_BYTES + length
        if length < TXN_HEADER_BYTES or length > record_bytes_max:
            return end_of(file, data, at, newest, f"a record of {length} bytes")
        if end + 1 > size:
            return end_of(file, data, at, newest, "a record is cut off by the end of the file")
        payload = bytes(view[at + RECORD_HEADER_BYTES : end])
        if data[end] != RECORD_END:
            return end_of(file, data, at, newest, f"end byte {data[end]:#x}, 0x42 is right")
        if adler32(payload) != int.from_bytes(view[at : at + 8], "big"):
            return end_of(file, data, at, newest, "the checksum does not match", end + 1)
        zxid = int.from_bytes(payload[12:20], "big", signed=True)
        file.records.append(LogRecord(path, at, zxid, payload))
        at = end + 1
    return file


def end_of(
    file: LogFile, data: bytes, at: int, newest: bool, why: str, behind: int = -1
) -> LogFile:
    """Decide whether what was found at `at` is a torn tail, plain padding, or damage.

    A record that was being written may have reached the disk in any subset of its sectors. So what
    follows must not hold another whole record: that one was written after the torn one was complete.
    """
    if len(data.rstrip(b"\0")) <= at:
        return file  # padding to the end of the file
    if not newest:
        raise damaged(file.path, at, why or "zeros before other data")
    if has_record(data, at + 1 if behind < 0 else behind):
        raise damaged(file.path, at, (why or "zeros") + ", with whole records behind it")
    file.torn_at = at
    file.why = why or "zeros before other data"
    return file


def has_record(data: bytes, at: int) -> bool:
    """Whether a whole, valid record begins anywhere at or after `at`."""
    size = len(data.rstrip(b"\0"))
    # Its checksum is a 32-bit number in a 64-bit field, so four zero bytes come first.
    start = data.find(b"\0\0\0\0", at, size)
    while 0 <= start and start + RECORD_HEADER_BYTES + TXN_HEADER_BYTES < size:
        length = int.from_bytes(data[start + 8 : start + 12], "big", signed=True)
        stop = start + RECORD_HEADER_BYTES + length
        if (
            TXN_HEADER_BYTES <= length
            and stop < size
            and data[stop] == RECORD_END
            and adler32(data[start + RECORD_HEADER_BYTES : stop])
            == int.from_bytes(data[start : start + 8], "big")
        ):
            return True
        start = data.find(b"\0\0\0\0", start + 1, size)
    return False


def damaged(path: str, offset: int, why: str) -> StorageError:
    return StorageError(
        f"{posixpath.basename(path)} is damaged at offset {offset}: {why}. "
        f"Restore the file {path}, or set this server's data aside and let it copy the ensemble's"
    )


def check_order(last_zxid: int, record: LogRecord) -> None:
    """Zxids rise by one within an epoch; a new epoch begins anywhere (storage.md 3.6, trust.md B2).

    Raises:
        StorageError: a transaction is missing or comes twice.
    """
    zxid = record.zxid
    if zxid == last_zxid + 1 or (last_zxid <= 0 and zxid == 1):
        return
    if epoch_of(zxid) > epoch_of(last_zxid) and counter_of(zxid) <= 1:
        return
    raise damaged(
        record.path,
        record.offset,
        f"zxid {format_zxid(zxid)} follows {format_zxid(last_zxid)}: transactions are missing",
    )
