"""Transactions that a learner missed, read back from the log files for a DIFF.

Source: zab.md 4.2 rule 4 and section 9. What Java reads there may have holes, and records that were
never committed, from before a received snapshot (ZOOKEEPER-2846, 2418, 4925). A log that this
server wrote alone has neither; one that it took over from Java may. Every doubt ends in None: a
snapshot is always right.
"""

from typing import Final

from ensemble.errors import DamagedFileError
from ensemble.storage.disk import Disk, file_bytes
from ensemble.storage.layout import Layout
from ensemble.storage.logreader import LogRecord
from ensemble.storage.logwalk import LogWalk
from ensemble.wire.zxid import counter_of, format_zxid

FIRST_COUNTER: Final = 1
FILE_BYTES_MAX: Final = 1 << 28  # a longer file is not searched for its beginning: that takes long


def read_after(
    disk: Disk,
    layout: Layout,
    zxid: int,
    up_to: int,
    bytes_max: int,
    notes: list[str] | None = None,
) -> list[tuple[int, bytes]] | None:
    """All transactions after `zxid` up to and including `up_to`, as (zxid, payload).

    None unless `zxid` itself is in the log, or names a snapshot, and every transaction up to
    `up_to` is there, and they have `bytes_max` bytes at most. `notes` then gets the reason.

    Raises:
        StorageError: the disk cannot read.
    """
    found: list[tuple[int, bytes]] = []
    why = collect(disk, layout, zxid, up_to, bytes_max, found)
    if why:
        if notes is not None:
            notes.append(
                f"no transactions after {format_zxid(zxid)} up to {format_zxid(up_to)} from the "
                f"log: {why}"
            )
        return None
    return found


def collect(
    disk: Disk,
    layout: Layout,
    zxid: int,
    up_to: int,
    bytes_max: int,
    found: list[tuple[int, bytes]],
) -> str:
    """Fill `found`; why it cannot be, or an empty text."""
    if up_to < zxid:
        return "the end lies before the beginning"
    snapshots = {name for name, _ in layout.snapshots(disk)}
    begun = zxid in snapshots
    # One file further back than the transaction itself: it has to be seen, too.
    walk = LogWalk(disk, layout.logs(disk), zxid if begun else zxid - 1)
    size = 0
    try:
        if walk.files and file_bytes(disk, walk.files[0][1]) > FILE_BYTES_MAX:
            return f"the file with the first of them has more than {FILE_BYTES_MAX} bytes"
        while walk.last < up_to or not begun:
            before = int(walk.last)
            record = walk.next_record()
            if record is None:
                return f"it ends at {format_zxid(before)}"
            if not begun:
                if record.zxid != zxid:
                    return "it does not hold the first of them"
                begun = True
                continue
            why = doubt(before, record, snapshots)
            if why:
                return why
            size += len(record.payload)
            if size > bytes_max:
                return f"they have more than {bytes_max} bytes"
            found.append((int(record.zxid), record.payload))
    except DamagedFileError as error:
        return str(error)
    finally:
        walk.close()
    return "" if walk.last == up_to else f"it goes on with {format_zxid(int(walk.last))}"


def doubt(before: int, record: LogRecord, snapshots: set[int]) -> str:
    """Why something may be missing between two records that the file has side by side."""
    zxid = int(record.zxid)
    if zxid == before + 1:
        return ""
    if counter_of(zxid) != FIRST_COUNTER:
        return f"{format_zxid(zxid)} follows {format_zxid(before)}"
    # A new epoch may follow anything. But a snapshot in between did not come from this log: what is
    # before it may never have been committed, and what it brought is missing.
    between = [name for name in snapshots if before < name < zxid]
    if between:
        return f"a snapshot of {format_zxid(min(between))} came from elsewhere"
    return ""
