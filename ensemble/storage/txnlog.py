"""The transaction log's writer: records are gathered, written and synced, batch by batch.

Source: storage.md sections 3.1, 3.2, 3.5. A record is acknowledged only after `flush`. A file is
never appended to by a later run. `logreader` is the other direction.
"""

from typing import Final, final
from zlib import adler32

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk, File
from ensemble.storage.layout import Layout

FILE_HEADER: Final = b"ZKLG\x00\x00\x00\x02" + bytes(8)
FILE_HEADER_BYTES: Final = 16
RECORD_HEADER_BYTES: Final = 12
RECORD_END: Final = 0x42
TXN_HEADER_BYTES: Final = 32
PADDING_MARGIN_BYTES: Final = 4096
PREALLOC_KB_DEFAULT: Final = 65_536
PAYLOAD_BYTES_MAX: Final = (1 << 31) - 1

# A batch is synced in pieces of this size, so a power cut has only so much to mix up. The reader
# relies on it: torn records with whole ones behind them are no crash's doing further from the end.
UNSYNCED_BYTES_MAX: Final = 1 << 20

# Reserved space reads as zeros, but the file system keeps a note about each block that was never
# written, and a sync that turns such a block into a written one costs a commit of its journal. Real
# zeros, written a little ahead, make a sync of 8 KB a third cheaper (ext4: 56 to 58 us on average,
# 78 to 97 without).
ZEROS_AHEAD_BYTES: Final = 1 << 18


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

    One thread uses it. `size` is the length of the records in the current file, header included.
    """

    __slots__ = (
        "disk",
        "failed",
        "file",
        "force_sync",
        "layout",
        "parts",
        "parts_bytes",
        "prealloc_bytes",
        "reserved",
        "size",
        "zeroed",
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
        self.size = 0  # what has been written to the file
        self.reserved = 0  # length of the file, padding included
        self.zeroed = 0  # up to here the padding has been written
        self.parts: list[bytes] = []
        self.parts_bytes = 0
        self.failed = False

    def append(self, zxid: int, payload: bytes) -> None:
        """Gather a record; the first one of a file names the file.

        Raises:
            StorageError: as for `flush`, which is called when a lot has been gathered.
        """
        self.refuse_after_failure()
        assert TXN_HEADER_BYTES <= len(payload) <= PAYLOAD_BYTES_MAX
        if self.file is None:
            self.begin(zxid)
        record = encode_record(payload)
        if self.parts and self.parts_bytes + len(record) > UNSYNCED_BYTES_MAX:
            self.flush()
        self.parts.append(record)
        self.parts_bytes += len(record)

    def flush(self) -> None:
        """Write what was gathered and sync it. Only now may it be acknowledged.

        Raises:
            StorageError: nothing of this batch may be acknowledged, and no sync is tried again: the
                kernel may have dropped the pages that it could not write (trust.md F5).
        """
        self.refuse_after_failure()
        file = self.file
        if file is None or not self.parts:
            return
        data = b"".join(self.parts)
        self.parts = []
        self.parts_bytes = 0
        self.failed = True
        end = self.size + len(data)
        self.reserve(file, end)
        file.write(data)
        self.size = end
        self.write_zeros(file)
        if self.force_sync:
            file.sync()
        self.failed = False

    def roll(self) -> None:
        """Sync what was gathered; the next record begins a new file."""
        self.flush()
        self.end_file()

    def close(self) -> None:
        """Close the file. What was gathered and not flushed has been promised to nobody."""
        self.parts = []
        self.parts_bytes = 0
        if self.failed:
            if self.file is not None:
                self.file.close()
                self.file = None
        else:
            self.end_file()

    def begin(self, zxid: int) -> None:
        """Start `log.<zxid>`. Its name is on the disk before any of its records is acknowledged."""
        self.failed = True
        file = self.disk.create(self.layout.log_path(zxid))
        self.file = file
        file.write(FILE_HEADER)
        self.size = FILE_HEADER_BYTES
        self.reserved = FILE_HEADER_BYTES
        self.zeroed = FILE_HEADER_BYTES
        self.reserve(file, self.size)
        self.write_zeros(file)
        if self.force_sync:
            file.sync()
            self.disk.sync_folder(self.layout.log_folder)
        self.failed = False

    def end_file(self) -> None:
        """Close the file and give back its padding."""
        file = self.file
        if file is None:
            return
        self.failed = True
        if self.reserved > self.size:
            file.shrink(self.size)
        file.close()
        self.file = None
        self.failed = False

    def reserve(self, file: File, end: int) -> None:
        """Pad the file where less than a margin would be left behind `end`."""
        if self.prealloc_bytes <= 0 or end + PADDING_MARGIN_BYTES < self.reserved:
            return
        if end > self.reserved and self.reserved > FILE_HEADER_BYTES:
            self.reserved = end - end % self.prealloc_bytes
        while self.reserved <= end + PADDING_MARGIN_BYTES:
            self.reserved += self.prealloc_bytes
        file.extend(self.reserved)

    def write_zeros(self, file: File) -> None:
        """Keep written zeros ahead of the next batch, within the padding."""
        if self.zeroed - self.size > PADDING_MARGIN_BYTES or self.reserved <= self.size:
            return
        begin = max(self.zeroed, self.size)
        end = min(self.size + ZEROS_AHEAD_BYTES, self.reserved)
        if begin < end:
            file.write_at(begin, bytes(end - begin))
            self.zeroed = end

    def refuse_after_failure(self) -> None:
        if self.failed:
            raise StorageError(
                "the transaction log failed before; restart this server once its disk is well"
            )
