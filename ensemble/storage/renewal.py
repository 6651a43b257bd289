"""What a start finds may be in the page cache only. Before it counts it is put on the platter.

A process that was killed leaves what it wrote to the next one, synced or not; and where a sync has
failed the kernel keeps the pages as if they were written, and no later sync writes them. The next
start reads all of that, shows it to clients and counts it in votes: a loss of power then would take
back what a quorum has committed (trust.md I9, F1, F2, F5). So the end of the newest log is written
once more, as it is, and synced, and so are the names in the folders.
"""

from typing import Final

from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout
from ensemble.storage.logwalk import LogWalk
from ensemble.storage.txnlog import UNSYNCED_BYTES_MAX

SPARE_BYTES: Final = 4_096  # so that whole pages are written


def renew_names(disk: Disk, layout: Layout) -> None:
    """Files that were created, renamed or removed last: so they are from now on.

    Raises:
        StorageError: the disk failed.
    """
    for folder in sorted({layout.log_folder, layout.snapshot_folder}):
        disk.sync_folder(folder)


def renew_end(disk: Disk, walk: LogWalk) -> None:
    """The last batch of the newest log, whatever became of its sync.

    Older files are on the platter: no file is begun before the one before it is synced.

    Raises:
        StorageError: the disk failed.
    """
    if walk.end <= 0:
        return  # no log, or one without a header, which is gone
    begin = max(0, min(walk.begin, walk.end - UNSYNCED_BYTES_MAX) - SPARE_BYTES)
    disk.rewrite(walk.path, int(begin), int(walk.end))
