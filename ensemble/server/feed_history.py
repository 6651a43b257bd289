"""The change feed's past: committed transactions from the log files, slice by slice.

Runs in a thread beside the server's loop. Only what is committed, and on this server's disk as a
whole, is asked for (`up_to`), so a file that is being written to is read no further than it is
sound. Where something may be missing it says so: `GoneError` with a zxid to go on from.
"""

from typing import Final, final

from ensemble.errors import DamagedFileError, EnsembleError
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout
from ensemble.storage.loghistory import doubt
from ensemble.storage.logwalk import LogWalk
from ensemble.wire.zxid import format_zxid

SLICE_COUNT: Final = 500  # transactions read at once
SLICE_BYTES: Final = 1 << 20


class GoneError(EnsembleError):
    """History does not reach back so far, or has a hole. `oldest`: a zxid to go on from."""

    def __init__(self, why: str, oldest: int) -> None:
        super().__init__(why)
        self.oldest: Final = oldest


@final
class History:
    """Reads on from `after`, which the reader has. `close` in any case."""

    def __init__(self, disk: Disk, layout: Layout, after: int) -> None:
        self.disk: Final = disk
        self.layout: Final = layout
        self.position = after
        self.walk: LogWalk | None = None
        self.snapshots: set[int] = set()

    def read(self, up_to: int) -> list[tuple[int, bytes]]:
        """(zxid, payload) of the next ones, up to and including `up_to`; none: not on disk yet.

        Raises:
            GoneError: not all of them are there any more.
            StorageError: the disk cannot read.
        """
        if self.walk is not None:
            # What it has in memory may be older than what it is to read: then once more, afresh.
            try:
                found = self.take(self.walk, up_to)
            except DamagedFileError:
                found = []
                self.close()
            if found:
                return found
        try:
            found = self.take(self.open(), up_to)
        except DamagedFileError as error:
            raise GoneError(str(error), self.restart_at(self.position + 1)) from None
        except FileNotFoundError:
            raise GoneError("the log file was purged meanwhile", self.oldest()) from None
        if not found and self.position < up_to:
            why = f"the log files end at {format_zxid(self.position)}"
            raise GoneError(why, self.restart_at(up_to))
        return found

    def take(self, walk: LogWalk, up_to: int) -> list[tuple[int, bytes]]:
        """A slice; the walk is closed where it has come to its end."""
        found: list[tuple[int, bytes]] = []
        size = 0
        is_over = True
        try:
            while self.position < up_to and len(found) < SLICE_COUNT and size < SLICE_BYTES:
                record = walk.next_record()
                if record is None:
                    return found
                zxid = int(record.zxid)
                why = doubt(self.position, record, self.snapshots)
                if why:
                    raise GoneError(why, self.restart_at(zxid))
                self.position = zxid
                size += len(record.payload)
                found.append((zxid, record.payload))
            is_over = self.position >= up_to  # what is behind it is still being written
            return found
        finally:
            if is_over:
                self.close()

    def open(self) -> LogWalk:
        """Stand behind `position`, which has to be in a log file, or the name of a snapshot."""
        after = self.position
        self.snapshots = {name for name, _ in self.layout.snapshots(self.disk)}
        begun = after in self.snapshots
        logs = self.layout.logs(self.disk)
        walk = LogWalk(self.disk, logs, after if begun else after - 1)
        self.walk = walk
        if begun:
            return walk
        why = f"{format_zxid(after)} is not in the log files any more"
        if not logs or logs[0][0] > after:
            self.close()
            raise GoneError(why, self.oldest())
        record = walk.next_record()
        if record is None or record.zxid != after:
            self.close()
            raise GoneError(why, self.oldest())
        return walk

    def oldest(self) -> int:
        """The lowest zxid from which the log files go on."""
        logs = self.layout.logs(self.disk)
        snapshots = {name for name, _ in self.layout.snapshots(self.disk)}
        if not logs:
            return max(snapshots, default=0)
        first = logs[0][0]
        return first - 1 if first - 1 in snapshots else first

    def restart_at(self, zxid: int) -> int:
        """Behind a hole that ends at or before `zxid`: the last snapshot there, else itself."""
        names = [name for name, _ in self.layout.snapshots(self.disk) if name >= self.position]
        return min(names, default=zxid)

    def close(self) -> None:
        if self.walk is not None:
            self.walk.close()
            self.walk = None
