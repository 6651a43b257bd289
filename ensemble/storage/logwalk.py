"""Every record after some zxid, over all log files that may hold one, in order and without a gap.

Source: storage.md 3.6, 3.7. Java reads past damage, missing files and gaps; here each is an error
that says where. Only what a crash may leave at the end of the newest file is passed over.
"""

import posixpath
from typing import Final, final

from mypy_extensions import i64

from ensemble.storage.disk import Disk
from ensemble.storage.logreader import (
    CLEAN,
    DAMAGED,
    TORN,
    LogReader,
    LogRecord,
    check_order,
    damaged,
)
from ensemble.wire.zxid import format_zxid


@final
class LogWalk:
    """`next_record` until it gives None; `close` in any case.

    `last` is the zxid of the record that was given last, at first `after`. `unclean` are (path,
    offset) of files that end otherwise than they should, harmlessly; the last of them is `torn` if
    it is the newest file. Of the file that was read last, in the end the newest: its `path`, where
    its last record begins, and where that one ends.
    """

    __slots__ = (
        "after",
        "at",
        "begin",
        "disk",
        "end",
        "files",
        "last",
        "named",
        "notes",
        "path",
        "previous",
        "reader",
        "torn",
        "unclean",
    )

    def __init__(self, disk: Disk, logs: list[tuple[int, str]], after: int) -> None:
        older = [log for log in logs if log[0] <= after]
        self.disk: Final = disk
        self.files: Final = older[-1:] + [log for log in logs if log[0] > after]
        self.after: Final[i64] = after
        self.last: i64 = after
        self.at = 0  # the file to be opened next
        self.reader: LogReader | None = None
        self.named: i64 = -1  # what the name of the open file says
        self.previous: i64 = -1  # the zxid before, in the open file
        self.notes: Final[list[str]] = []
        self.unclean: Final[list[tuple[str, int]]] = []
        self.torn = False
        self.path = ""
        self.begin: i64 = 0
        self.end: i64 = 0

    def next_record(self) -> LogRecord | None:
        """The next record after `last`, or None at the end of the newest file.

        Raises:
            DamagedFileError: what follows `last` is damaged, or not the transaction after it.
            StorageError: the disk cannot read.
        """
        while True:
            reader = self.reader
            if reader is None:
                if self.at == len(self.files):
                    return None
                reader = self.open_next()
            record = reader.next_record()
            if record is None:
                self.end_file(reader)
                continue
            if self.previous < 0 and record.zxid != self.named:
                raise damaged(
                    record.path,
                    record.offset,
                    f"the first zxid is {format_zxid(record.zxid)}, the name says otherwise",
                )
            if record.zxid <= self.previous:
                check_order(self.previous, record)
            self.previous = record.zxid
            self.begin = record.offset
            if record.zxid > self.after:
                check_order(self.last, record)
                self.last = record.zxid
                return record

    def open_next(self) -> LogReader:
        zxid, path = self.files[self.at]
        reader = LogReader(self.disk, path)
        self.at += 1
        self.reader = reader
        self.path = path
        self.begin = 0
        self.named = zxid
        self.previous = -1
        return reader

    def close(self) -> None:
        """Let go of the open file."""
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def end_file(self, reader: LogReader) -> None:
        """The open file has ended. Not cleanly: is what it lost needed by nobody?"""
        self.end = reader.end_offset
        if reader.end != CLEAN:
            newest = self.at == len(self.files)
            if newest and reader.end == DAMAGED:
                raise damaged(reader.path, reader.end_offset, reader.why)
            if newest:
                assert reader.end == TORN
                self.torn = True
                self.notes.append(
                    f"{reader.path}: dropped a torn tail at offset {reader.end_offset}: "
                    f"{reader.why}"
                )
            else:
                self.pass_over(reader)
            self.unclean.append((reader.path, reader.end_offset))
        self.close()

    def pass_over(self, reader: LogReader) -> None:
        """What lies behind the end of a file that is not the newest.

        The Java server leaves a torn tail where it is and goes on in a new file, which then begins
        with the zxid that was torn: so nothing is missing. Anything else is damage.
        """
        zxid, path = self.files[self.at]
        if reader.end_offset == 0 or zxid != max(self.previous, self.last) + 1:
            raise damaged(reader.path, reader.end_offset, reader.why)
        self.notes.append(
            f"{reader.path}: passed over what is behind offset {reader.end_offset} ({reader.why}); "
            f"{posixpath.basename(path)} goes on with the next transaction"
        )
