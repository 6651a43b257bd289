"""TRUNC: what this server logged beyond some zxid was never committed, and must be gone for good.

Source: storage.md 8. Java looks at the log only: a snapshot that holds the tail brings it back
(ZOOKEEPER-1549), and where the zxid is not in the log it keeps one record too many. Here both are
looked at, and nothing is touched unless what is left can be proved to end at exactly that zxid.
"""

from typing import Final, final

from ensemble.errors import DamagedFileError, StorageError
from ensemble.storage import redo, snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout
from ensemble.storage.logwalk import LogWalk
from ensemble.storage.txnlog import FILE_HEADER_BYTES


@final
class LogEnd:
    """Where the kept part of the logs ends: at `offset` in `path`; path "" for all of them.

    `unclean` are files of the kept part with something behind their end.
    """

    __slots__ = ("offset", "path", "unclean")

    def __init__(self, path: str, offset: int, unclean: list[tuple[str, int]]) -> None:
        self.path: Final = path
        self.offset: Final = offset
        self.unclean: Final = unclean


def truncate(disk: Disk, layout: Layout, zxid: int) -> bool:
    """Remove all history after `zxid`, from the logs and the snapshots. Durable when this returns.

    The caller recovers afterwards; the next log file is a new one. No log may be open for writing,
    and no snapshot be on its way.

    Returns:
        False, and nothing is changed, if this server cannot prove that it holds the history up to
        `zxid`: ask for a snapshot then.

    Raises:
        StorageError: stop this server; its next start completes the truncation, or has not begun.
    """
    snapshots = layout.snapshots(disk)
    logs = layout.logs(disk)
    base = newest_clean(disk, snapshots, zxid)
    if base < 0:
        return False
    end = find_end(disk, logs, snapshots[base][0], zxid)
    if end is None:
        return False
    change = redo.Change()
    for _, path in snapshots[base + 1 :]:
        change.remove(path)
    removing = False
    for _, path in logs:
        if path == end.path:
            removing = True
            if end.offset > FILE_HEADER_BYTES:
                change.cut(path, end.offset)
                continue
        if removing:
            change.remove(path)
    for path, offset in end.unclean:
        change.cut(path, offset)
    redo.carry_out(disk, layout, change)
    return True


def newest_clean(disk: Disk, snapshots: list[tuple[int, str]], zxid: int) -> int:
    """The index of the newest snapshot that holds nothing of what comes after `zxid`, or -1.

    Those before it were complete when it was begun, so they are clean, too.
    """
    tries = 0
    for index in range(len(snapshots) - 1, -1, -1):
        if snapshots[index][0] > zxid:
            continue
        if tries == snapfile.READ_TRIES_MAX:
            break
        tries += 1
        try:
            holds = snapfile.verify(disk, snapshots[index][1])
        except StorageError:
            continue
        if snapshots[index][0] <= holds <= zxid:  # less than the name says nothing about the end
            return index
    return -1


def find_end(
    disk: Disk, logs: list[tuple[int, str]], snapshot_zxid: int, zxid: int
) -> LogEnd | None:
    """Where to cut, if every transaction between the snapshot and `zxid` is there."""
    walk = LogWalk(disk, logs, snapshot_zxid)
    try:
        while True:
            last = walk.last
            record = walk.next_record()
            if record is None:
                return LogEnd("", 0, []) if last == zxid else None
            if record.zxid > zxid:
                if last != zxid:
                    return None
                return LogEnd(record.path, record.offset, walk.unclean)
    except DamagedFileError as error:
        # Behind `zxid` anything may be damaged: it goes.
        return LogEnd(error.path, error.offset, walk.unclean) if walk.last == zxid else None
    finally:
        walk.close()
