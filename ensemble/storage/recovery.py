"""From files to a tree: the newest snapshot that is whole, then every transaction after it.

Source: storage.md sections 2.3, 3.7, 4.3, 7. What cannot be proved is refused: a server that is not
sure of its data does not start, and says which file, where, and what to do (trust.md I19). Nothing
is changed on the disk before that is decided.
"""

import posixpath
from typing import Final, final

from ensemble.errors import StorageError
from ensemble.storage import redo, snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout
from ensemble.storage.logwalk import LogWalk
from ensemble.storage.renewal import renew_end, renew_names
from ensemble.storage.replay import RECENT_TXNS_MAX, Replay
from ensemble.tree.datatree import DataTree
from ensemble.tree.snapshot_reader import Snapshot
from ensemble.wire.zxid import format_zxid


@final
class RecoveryOptions:
    """Settings of storage.md 2.3, 5.3 and 6.4, and how many recent transactions are to be kept."""

    __slots__ = ("autocreate", "digest_enabled", "extended_types", "recent_max", "trust_empty")

    def __init__(
        self,
        extended_types: bool = False,
        trust_empty: bool = False,
        autocreate: bool = True,
        digest_enabled: bool = True,
        recent_max: int = RECENT_TXNS_MAX,
    ) -> None:
        self.extended_types: Final = extended_types
        self.trust_empty: Final = trust_empty
        self.autocreate: Final = autocreate
        self.digest_enabled: Final = digest_enabled
        self.recent_max: Final = recent_max


@final
class Recovered:
    """What was found. `notes` are lines for the log: files passed over, tails dropped.

    `recent` are the last replayed transactions, (zxid, payload), none missing between them. Before
    the first comes `snapshot_zxid`, unless there were more than are kept.
    """

    __slots__ = ("fresh", "notes", "recent", "snapshot_zxid", "tree", "txns_replayed")

    def __init__(
        self,
        tree: DataTree,
        snapshot_zxid: int,
        txns_replayed: int,
        fresh: bool,
        notes: list[str],
        recent: list[tuple[int, bytes]],
    ) -> None:
        self.tree: Final = tree
        self.snapshot_zxid: Final = snapshot_zxid  # -1: no snapshot was used
        self.txns_replayed: Final = txns_replayed
        self.fresh: Final = fresh
        self.notes: Final = notes
        self.recent: Final = recent


def recover(disk: Disk, layout: Layout, options: RecoveryOptions) -> Recovered:
    """Load this server's database.

    A change of history that an earlier run had decided is completed first. A torn tail is cut off
    the newest log, unfinished snapshots are removed, and so is the flag file `initialize`. What is
    returned is durable, whatever became of the process that wrote it.

    Raises:
        StorageError: there is no snapshot but a log, all snapshots are damaged, a log is damaged
            anywhere but in its torn tail, or transactions are missing. The files are as they were.
    """
    layout.make_folders(disk)
    renew_names(disk, layout)
    notes = redo.resume(disk, layout)
    initialize = disk.exists(layout.initialize_path())
    snapshots = layout.snapshots(disk)
    whole, found = newest_whole(disk, snapshots, options, notes)
    logs = layout.logs(disk)
    fresh = False
    if found is None:
        refuse_without_snapshot(layout, options, len(snapshots), logs, initialize, notes)
        found = Snapshot(DataTree(options.extended_types, options.digest_enabled), -1, 0)
        fresh = not logs
    replay = Replay(disk, logs, found, options.digest_enabled, options.recent_max)
    replay.run()
    refuse_lost_end(layout, snapshots, found, notes)
    notes += replay.walk.notes + replay.check.notes()
    if replay.walk.torn:
        cut_torn_tail(disk, layout, replay.walk)
    renew_end(disk, replay.walk)
    for path in layout.unfinished_snapshots(disk):
        disk.remove(path)
        notes.append(f"removed {path}, which was never finished")
    if initialize:
        disk.remove(layout.initialize_path())
    return Recovered(found.tree, whole, replay.count, fresh, notes, list(replay.recent))


def newest_whole(
    disk: Disk, snapshots: list[tuple[int, str]], options: RecoveryOptions, notes: list[str]
) -> tuple[int, Snapshot | None]:
    """The newest snapshot that can be read, with the zxid of its name. Damaged ones are noted."""
    for zxid, path in sorted(snapshots, reverse=True)[: snapfile.READ_TRIES_MAX]:
        try:
            snapshot = snapfile.load(
                disk, path, zxid, options.extended_types, options.digest_enabled
            )
        except StorageError as error:
            notes.append(f"snapshot passed over: {error}")
        else:
            return zxid, snapshot
    return -1, None


def refuse_without_snapshot(
    layout: Layout,
    options: RecoveryOptions,
    snapshots: int,
    logs: list[tuple[int, str]],
    initialize: bool,
    notes: list[str],
) -> None:
    """There is no snapshot to begin with: is an empty tree right (B4, storage.md 2.3)?"""
    if snapshots and not options.trust_empty:
        raise StorageError(
            f"none of the {snapshots} snapshots in {layout.snapshot_folder} can be read: "
            f"{notes[0]}. Restore one from a backup, or set this server's data aside and let it "
            "copy the ensemble's"
        )
    if logs and not options.trust_empty:
        raise StorageError(
            f"{layout.log_folder} holds {posixpath.basename(logs[0][1])} but "
            f"{layout.snapshot_folder} holds no snapshot. If the logs are complete from the first "
            "transaction on, start once with snapshot.trust.empty=true; otherwise restore one"
        )
    if not logs and not initialize and not options.autocreate:
        raise StorageError(
            f"{layout.snapshot_folder} is empty and db.autocreate is false: create an empty file "
            f"{layout.initialize_path()} to begin a new database"
        )


def refuse_lost_end(
    layout: Layout, snapshots: list[tuple[int, str]], found: Snapshot, notes: list[str]
) -> None:
    """What a snapshot once held was applied, so it must have come back (A7, F6, F7)."""
    reached = found.tree.last_zxid
    if snapshots and reached < snapshots[-1][0]:
        raise StorageError(
            f"the logs in {layout.log_folder} end at {format_zxid(reached)}, but a snapshot of "
            f"{format_zxid(snapshots[-1][0])} was written and cannot be read: {notes[0]}. "
            "Restore it from a backup, or set this server's data aside and let it copy the "
            "ensemble's"
        )
    if reached < found.digest_zxid:
        raise StorageError(
            f"the logs in {layout.log_folder} end at {format_zxid(reached)}, but the snapshot was "
            f"completed at {format_zxid(found.digest_zxid)} and holds part of what came between: "
            "restore the missing log"
        )


def cut_torn_tail(disk: Disk, layout: Layout, walk: LogWalk) -> None:
    """So that no later start meets it in a file that is no longer the newest."""
    path, offset = walk.unclean[-1]
    if offset == 0:
        disk.remove(path)
        disk.sync_folder(layout.log_folder)
    else:
        disk.cut(path, offset)
