"""Removing what no recovery needs any more.

Source: storage.md section 9. Unlike the Java server, only snapshots that have been read and found whole
count as kept: the recent ones may all be damaged (trust.md B5, ZOOKEEPER-3231).
"""

from typing import Final

from ensemble.errors import ConfigError, StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout

RETAIN_MIN: Final = 3


def purge(disk: Disk, layout: Layout, retain: int, extended_types: bool = False) -> list[str]:
    """Keep the `retain` newest whole snapshots and the logs that they need; what was removed."""
    if retain < RETAIN_MIN:
        raise ConfigError(f"{retain}, at least {RETAIN_MIN}", "autopurge.snapRetainCount")
    kept: list[int] = []
    snapshots = layout.snapshots(disk)
    for zxid, path in reversed(snapshots):
        if len(kept) == retain:
            break
        try:
            snapfile.load(disk, path, zxid, extended_types)
        except StorageError:
            continue
        kept.append(zxid)
    if len(kept) < retain:
        return []
    oldest = kept[-1]
    doomed = [path for zxid, path in snapshots if zxid < oldest]
    logs = layout.logs(disk)
    needed = [zxid for zxid, _ in logs if zxid <= oldest]
    first_log = max(needed) if needed else oldest
    doomed += [path for zxid, path in logs if zxid < first_log]
    for path in doomed:
        disk.remove(path)
    return doomed
