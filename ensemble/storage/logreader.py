"""The transaction log's reader: records in order, and what is wrong where they end.

Source: storage.md section 3.6 and its MUSTs. What a crash may leave at the end of the newest file
is a torn tail: it was never acknowledged, and is dropped. The Java server treats most damage
anywhere as the end of the file and goes on silently; here the caller hears of it and decides.

A batch that was being written when the power failed may have reached the disk in any subset of its
512-byte sectors, so whole records can lie behind a torn one. Such a lost sector still holds the
zeros of the padding. Damage with whole records behind it and no such sector is no crash's doing.
"""

import posixpath
import re
from typing import Final, final
from zlib import adler32

from librt.strings import read_i32_be, read_i64_be
from mypy_extensions import i64

from ensemble.errors import DamagedFileError, StorageError
from ensemble.storage.disk import Disk, Source
from ensemble.storage.txnlog import (
    FILE_HEADER,
    FILE_HEADER_BYTES,
    RECORD_END,
    RECORD_HEADER_BYTES,
    TXN_HEADER_BYTES,
    UNSYNCED_BYTES_MAX,
)
from ensemble.wire.zxid import counter_of, epoch_of, format_zxid

READ_BYTES: Final = 1 << 20
SECTOR_BYTES: Final = 512
TAIL_BYTES_MAX: Final = 1 << 26  # more than this behind a damaged record is not searched
ZERO_RUN: Final = re.compile(rb"\x00{4,}")

# How a file ends
CLEAN: Final = 0  # at its end, or in padding up to its end
TORN: Final = 1  # as a crash may leave the newest file
DAMAGED: Final = 2  # no crash explains it


@final
class LogRecord:
    """One record: `payload` as it was written, at `offset` in `path`."""

    __slots__ = ("offset", "path", "payload", "zxid")

    def __init__(self, path: str, offset: int, zxid: i64, payload: bytes) -> None:
        self.path: Final = path
        self.offset: Final = offset
        self.zxid: Final = zxid
        self.payload: Final = payload


@final
class LogReader:
    """Reads one file, a megabyte at a time.

    `next_record` gives None at the end; `end`, `end_offset` and `why` then say how it ended. A file
    without a header has `end_offset` 0.
    """

    __slots__ = ("at", "base", "buf", "bytes", "end", "end_offset", "path", "source", "why")

    def __init__(self, disk: Disk, path: str) -> None:
        self.path: Final = path
        self.source: Final[Source] = disk.open(path)
        self.end = CLEAN
        self.end_offset = -1
        self.why = ""
        self.buf = b""
        self.base: i64 = 0  # offset of buf[0] in the file
        self.at: i64 = 0  # position in buf
        try:
            self.bytes: i64 = self.source.size()
            self.read_file_header()
        except StorageError:
            self.source.close()
            raise

    def close(self) -> None:
        self.source.close()

    def read_file_header(self) -> None:
        self.fill(FILE_HEADER_BYTES)
        header = self.buf[:FILE_HEADER_BYTES]
        if len(header) == FILE_HEADER_BYTES and header[:4] == FILE_HEADER[:4]:
            self.at = FILE_HEADER_BYTES
            return
        # The header is synced before anything is written behind it.
        written = header.rstrip(b"\0")
        torn = FILE_HEADER.startswith(written) and self.content_end() <= len(header)
        found = f"it begins with {header.hex()}" if header else "it is empty"
        self.stop(TORN if torn else DAMAGED, 0, f"no log file header, {found}")

    def fill(self, count: i64) -> bool:
        """Have `count` bytes behind the position, if the file has them."""
        have = len(self.buf) - self.at
        if have >= count:
            return True
        offset = self.base + self.at
        if offset + count > self.bytes:
            if offset + have >= self.bytes:
                return False
            count = self.bytes - offset
        rest = self.buf[self.at :]
        self.buf = rest + self.source.read_at(
            int(offset + have), int(max(READ_BYTES, count - have))
        )
        self.base = offset
        self.at = 0
        return len(self.buf) >= count

    def next_record(self) -> LogRecord | None:
        """The next whole record, or None.

        Raises:
            StorageError: the disk cannot read.
        """
        if self.end_offset >= 0:
            return None
        if len(self.buf) - self.at < RECORD_HEADER_BYTES:
            self.fill(RECORD_HEADER_BYTES)
            if len(self.buf) - self.at < RECORD_HEADER_BYTES:
                return self.stop_at_damage("a record header is cut off by the end of the file", 0)
        offset = self.base + self.at
        length = i64(read_i32_be(self.buf, self.at + 8))
        if length < TXN_HEADER_BYTES:
            why = "zeros before other data" if length == 0 else f"a record of {length} bytes"
            return self.stop_at_damage(why, 0)
        size = RECORD_HEADER_BYTES + length + 1
        if offset + size > self.bytes:
            return self.stop_at_damage(
                f"a record of {length} bytes, {self.bytes - offset} bytes before the end", size
            )
        if len(self.buf) - self.at < size:
            self.fill(size)
            if len(self.buf) - self.at < size:
                raise StorageError(f"{self.path} became shorter while it was read")
        begin = self.at + RECORD_HEADER_BYTES
        end = begin + length
        if self.buf[end] != RECORD_END:
            return self.stop_at_damage(f"the end byte is {self.buf[end]:#x}, not 0x42", size)
        payload = self.buf[begin:end]
        if i64(adler32(payload)) != read_i64_be(self.buf, self.at):
            return self.stop_at_damage("the checksum does not match", size)
        self.at = end + 1
        return LogRecord(self.path, int(offset), read_i64_be(payload, 12), payload)

    def stop(self, end: int, offset: i64, why: str) -> None:
        self.end = end
        self.end_offset = int(offset)
        self.why = why
        self.buf = b""

    def stop_at_damage(self, why: str, size: i64) -> LogRecord | None:
        """Decide whether there is padding, a torn tail or damage at the position.

        Args:
            size: how long the damaged record claims to be, 0 where it does not say.
        """
        at = int(self.base + self.at)
        content_end = self.content_end()
        if content_end <= at:
            self.stop(CLEAN, at, "")
            return None
        if content_end - at > TAIL_BYTES_MAX:
            self.stop(DAMAGED, at, f"{why}, with {content_end - at} bytes behind it")
            return None
        tail = self.source.read_at(at, content_end - at)
        behind = find_record(tail, 1)
        if behind < 0:
            self.stop(TORN, at, why)
        elif len(tail) <= UNSYNCED_BYTES_MAX and has_lost_sector(tail, at, size):
            self.stop(TORN, at, f"{why}; a sector of the last batch was not written")
        elif len(tail) <= size and find_record(tail, 1, at_end=True) < 0:
            self.stop(TORN, at, f"{why}; its own data holds a record")
        else:
            self.stop(DAMAGED, at, f"{why}, with a whole record behind it at offset {at + behind}")
        return None

    def content_end(self) -> int:
        """The offset behind the last byte that is not zero: where the padding begins."""
        end = int(self.bytes)
        while end > 0:
            begin = max(0, end - READ_BYTES)
            found = self.source.read_at(begin, end - begin).rstrip(b"\0")
            if found:
                return begin + len(found)
            end = begin
        return 0


def find_record(data: bytes, begin: int, at_end: bool = False) -> int:
    """The offset of a whole, valid record anywhere at or after `begin`; -1 where there is none.

    Args:
        at_end: only one that ends where the data ends.
    """
    size = len(data)
    # A checksum is a 32-bit number in a 64-bit field, so four zero bytes come first, and a number
    # that is not zero follows: a record begins with the last few bytes of a run of zeros.
    for run in ZERO_RUN.finditer(data, begin):
        for at in range(max(run.start(), run.end() - 7), run.end() - 3):
            if at + RECORD_HEADER_BYTES >= size:
                break
            stop = at + RECORD_HEADER_BYTES + int(read_i32_be(data, at + 8))
            if stop - at < RECORD_HEADER_BYTES + TXN_HEADER_BYTES or stop >= size:
                continue
            if at_end and stop + 1 != size:
                continue
            if data[stop] == RECORD_END and adler32(
                data[at + RECORD_HEADER_BYTES : stop]
            ) == read_i64_be(data, at):
                return at
    return -1


def has_lost_sector(tail: bytes, offset: int, size: i64) -> bool:
    """Whether the record at the beginning of `tail` touches a sector that was not written.

    Of a sector that the batch shares with an older one, only what belongs to the batch can be lost,
    and it is lost up to the sector's end. The first bytes of a record are zero anyway.

    Args:
        offset: of `tail` in the file.
        size: how long the record claims to be. Where its header is lost it claims nothing.
    """
    stop = min(len(tail), max(int(size), RECORD_HEADER_BYTES))
    at = 4
    while at < stop:
        end = at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES
        part = tail[at:end]
        if part and not part.strip(b"\0"):
            return True
        at = end
    return False


def damaged(path: str, offset: int, why: str) -> DamagedFileError:
    """What an operator reads: file, offset, what was found, what to do."""
    return DamagedFileError(
        f"{posixpath.basename(path)} is damaged at offset {offset}: {why}. "
        f"Restore the file {path}, or set this server's data aside and let it copy the ensemble's",
        path,
        offset,
    )


def follows(last_zxid: i64, zxid: i64) -> bool:
    """Whether nothing can be missing between two zxids (storage.md 3.6, trust.md B2).

    Zxids rise by one within an epoch; a later epoch begins with 1, after any zxid.
    """
    if zxid == last_zxid + 1 or (last_zxid <= 0 and zxid == 1):
        return True
    return epoch_of(zxid) > epoch_of(last_zxid) and counter_of(zxid) <= 1


def check_order(last_zxid: i64, record: LogRecord) -> None:
    """Refuse a record that does not follow.

    Raises:
        StorageError: a transaction is missing or comes twice.
    """
    if not follows(last_zxid, record.zxid):
        why = "comes again" if record.zxid <= last_zxid else "transactions are missing"
        raise damaged(
            record.path,
            record.offset,
            f"zxid {format_zxid(record.zxid)} follows {format_zxid(last_zxid)}: {why}",
        )
