"""Removing what no recovery needs any more.

Source: storage.md section 9. Unlike the Java server, only snapshots that have been read and found
whole count as kept: the recent ones may all be damaged (trust.md B5, ZOOKEEPER-3231).
"""

from typing import Final

from ensemble.errors import ConfigError, StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout

RETAIN_MIN: Final = 3


def purge(disk: Disk, layout: Layout, retain: int) -> list[str]:
    """Keep the `retain` newest whole snapshots and the logs that they need; what was removed.

    With fewer whole ones than that, nothing is removed.

    Raises:
        ConfigError: `retain` is too small.
        StorageError: the disk refuses; what is left is enough for a recovery all the same.
    """
    if retain < RETAIN_MIN:
        raise ConfigError(f"{retain}, at least {RETAIN_MIN}", "autopurge.snapRetainCount")
    snapshots = layout.snapshots(disk)
    oldest = oldest_kept(disk, snapshots, retain)
    if oldest < 0:
        return []
    logs = layout.logs(disk)
    # The log that begins at or before the snapshot may hold what comes after it.
    first_log = max([zxid for zxid, _ in logs if zxid <= oldest], default=oldest)
    doomed = [path for zxid, path in snapshots if zxid < oldest]
    doomed += [path for zxid, path in logs if zxid < first_log]
    for path in doomed:
        disk.remove(path)
    return doomed


def oldest_kept(disk: Disk, snapshots: list[tuple[int, str]], retain: int) -> int:
    """The zxid of the oldest snapshot to keep; -1 where there are not enough whole ones."""
    whole: set[int] = set()
    for zxid, path in reversed(snapshots):
        try:
            snapfile.verify(disk, path)
        except StorageError:
            continue
        whole.add(zxid)
        if len(whole) == retain:
            return zxid
    return -1
