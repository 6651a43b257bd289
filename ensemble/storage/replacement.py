"""SNAP: a leader's tree takes the place of all that this server had.

Source: storage.md 8.4. Java leaves the old logs under the new snapshot, with records in them that
were never committed and a hole behind them; a DIFF that is served from there hands both to others
(ZOOKEEPER-2846). And the new zxid may be lower than an old one. So nothing old stays.
"""

from ensemble.storage import redo, snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.layout import TEMPORARY_SUFFIX, Layout
from ensemble.tree.datatree import DataTree


def install(
    disk: Disk,
    layout: Layout,
    tree: DataTree,
    compression: str = "",
    last_zxid: bool = True,
) -> str:
    """Make `tree` the whole history of this server; the snapshot's path. Durable when this returns.

    No log may be open for writing, and no other snapshot be on its way.

    Raises:
        StorageError: stop this server; its next start has either the old history or the new one.
    """
    write(disk, layout, tree, compression, last_zxid)
    return take_over(disk, layout, int(tree.last_zxid), compression)


def write(
    disk: Disk,
    layout: Layout,
    tree: DataTree,
    compression: str = "",
    last_zxid: bool = True,
) -> None:
    """The first half of `install`, which takes long and may run in a child: changes nothing yet.

    The file gets no digest: the leader may have gone on writing while it dumped, and then the tree
    is exact only some transactions later (zab.md 4.4). With a digest it would claim to be so now.
    """
    temporary = layout.snapshot_path(tree.last_zxid, compression) + TEMPORARY_SUFFIX
    snapfile.write(disk, temporary, tree, compression, False, last_zxid)
    disk.sync_folder(layout.snapshot_folder)


def take_over(disk: Disk, layout: Layout, zxid: int, compression: str = "") -> str:
    """The second half: what `write` has written replaces everything else, in one step."""
    path = layout.snapshot_path(zxid, compression)
    temporary = path + TEMPORARY_SUFFIX
    # It was written a moment ago, and will be all there is: a disk that lies must not go unnoticed.
    snapfile.verify(disk, temporary)
    change = redo.Change()
    change.rename(temporary, path)
    for _, old in layout.snapshots(disk):
        if old != path:
            change.remove(old)
    for _, old in layout.logs(disk):
        change.remove(old)
    redo.carry_out(disk, layout, change)
    return path
