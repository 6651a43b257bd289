"""From files to a tree: the newest snapshot that is whole, then every transaction after it.

Source: storage.md sections 2.3, 3.7, 4.3, 7. What cannot be proved is refused: a server that is not
sure of its data does not start, and says which file, where, and what to do (trust.md I19).
"""

import posixpath
from typing import Final, final

from ensemble.errors import StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.layout import TEMPORARY_SUFFIX, Layout
from ensemble.storage.txnlog import (
    RECORD_BYTES_MAX_DEFAULT,
    LogRecord,
    check_order,
    damaged,
    read_log_file,
)
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import signed64
from ensemble.tree.snapshot import Snapshot
from ensemble.wire.jute import MarshallingError
from ensemble.wire.txns import DIGEST_VERSION, LoggedTxn, read_txn
from ensemble.wire.zxid import format_zxid

INITIALIZE: Final = "initialize"


@final
class RecoveryOptions:
    """Settings of storage.md 2.3 and 5.3."""

    __slots__ = (
        "autocreate",
        "digest_enabled",
        "extended_types",
        "record_bytes_max",
        "trust_empty",
    )

    def __init__(
        self,
        extended_types: bool = False,
        trust_empty: bool = False,
        autocreate: bool = True,
        digest_enabled: bool = True,
        record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT,
    ) -> None:
        self.extended_types: Final = extended_types
        self.trust_empty: Final = trust_empty
        self.autocreate: Final = autocreate
        self.digest_enabled: Final = digest_enabled
        self.record_bytes_max: Final = record_bytes_max


@final
class Recovered:
    """What was found. `notes` are lines for the log: files passed over, tails dropped."""

    __slots__ = ("fresh", "notes", "snapshot_zxid", "tree", "txns_replayed")

    def __init__(
        self, tree: DataTree, snapshot_zxid: int, txns_replayed: int, fresh: bool, notes: list[str]
    ) -> None:
        self.tree: Final = tree
        self.snapshot_zxid: Final = snapshot_zxid  # -1: no snapshot was used
        self.txns_replayed: Final = txns_replayed
        self.fresh: Final = fresh
        self.notes: Final = notes


def recover(disk: Disk, layout: Layout, options: RecoveryOptions) -> Recovered:
    """Load this server's database.

    Raises:
        StorageError: there is no snapshot but a log, all snapshots are damaged, a log is damaged
            anywhere but in its torn tail, or transactions are missing.
    """
    notes: list[str] = []
    layout.make_folders(disk)
    remove_unfinished(disk, layout, notes)
    flag = posixpath.join(layout.log_dir, INITIALIZE)
    allowed = options.autocreate
    if disk.exists(flag):
        disk.remove(flag)
        allowed = True
    snapshots = layout.snapshots(disk)
    logs = layout.logs(disk)
    if not snapshots:
        return without_snapshot(disk, layout, options, allowed, notes)
    snapshot: Snapshot | None = None
    chosen = -1
    for zxid, path in sorted(snapshots, reverse=True)[: snapfile.READ_TRIES_MAX]:
        try:
            snapshot = snapfile.load(disk, path, zxid, options.extended_types)
            chosen = zxid
            break
        except StorageError as error:
            notes.append(f"snapshot passed over: {error}")
    if snapshot is None:
        if not logs and options.trust_empty:
            return without_snapshot(disk, layout, options, allowed, notes)
        raise StorageError(
            f"none of the {len(snapshots)} snapshots in {layout.snapshot_folder} can be read: "
            f"{notes[-1]}. Restore one from a backup"
        )
    count = replay(disk, layout, options, snapshot, notes)
    # An older snapshot must be caught up with to the newest one's name: else the log has a hole there.
    newest = snapshots[-1][0]
    if snapshot.tree.last_zxid < newest:
        raise StorageError(
            f"the logs end at {format_zxid(snapshot.tree.last_zxid)}, but a snapshot of "
            f"{format_zxid(newest)} was written and cannot be read: {notes[0]}. "
            "Restore it from a backup"
        )
    return Recovered(snapshot.tree, chosen, count, False, notes)


def remove_unfinished(disk: Disk, layout: Layout, notes: list[str]) -> None:
    """Snapshots that were being written when this server stopped."""
    for name in disk.names(layout.snapshot_folder):
        if name.startswith("snapshot.") and name.endswith(TEMPORARY_SUFFIX):
            disk.remove(posixpath.join(layout.snapshot_folder, name))
            notes.append(f"removed {name}, which was never finished")


def without_snapshot(
    disk: Disk, layout: Layout, options: RecoveryOptions, allowed: bool, notes: list[str]
) -> Recovered:
    """A new database, or logs whose beginning is lost (B4)."""
    tree = DataTree(options.extended_types)
    logs = layout.logs(disk)
    if logs:
        if not options.trust_empty:
            raise StorageError(
                f"{layout.log_folder} holds {posixpath.basename(logs[0][1])} but "
                f"{layout.snapshot_folder} holds no snapshot. If the logs are complete from the first "
                "transaction on, start once with snapshot.trust.empty=true; otherwise restore a snapshot"
            )
        count = replay(disk, layout, options, Snapshot(tree, -1, 0), notes)
        return Recovered(tree, -1, count, False, notes)
    if not allowed:
        raise StorageError(
            f"{layout.snapshot_folder} is empty and db.autocreate is false: create an empty file "
            f"{posixpath.join(layout.log_dir, INITIALIZE)} to begin a new database"
        )
    return Recovered(tree, -1, 0, True, notes)


def replay(
    disk: Disk, layout: Layout, options: RecoveryOptions, snapshot: Snapshot, notes: list[str]
) -> int:
    """Apply every logged transaction after the snapshot's zxid; how many."""
    tree = snapshot.tree
    start = tree.last_zxid + 1
    logs = layout.logs(disk)
    older = [log for log in logs if log[0] < start]
    files = older[-1:] + [log for log in logs if log[0] >= start]
    count = 0
    check = DigestCheck(snapshot, options.digest_enabled)
    for zxid, path in files:
        log = read_log_file(disk, path, path == logs[-1][1], options.record_bytes_max)
        if log.torn_at >= 0:
            notes.append(f"{path}: dropped a torn tail at offset {log.torn_at}: {log.why}")
            if log.torn_at == 0:
                disk.remove(path)
        if log.records and log.records[0].zxid != zxid:
            raise damaged(
                path, log.records[0].offset, f"begins with {format_zxid(log.records[0].zxid)}"
            )
        previous = -1
        for record in log.records:
            if previous >= record.zxid:
                check_order(previous, record)
            previous = record.zxid
            if record.zxid < start:
                continue
            check_order(tree.last_zxid, record)
            logged = decode(record)
            apply(tree, logged.header, logged.txn)
            check.after(record, logged)
            count += 1
    check.at_end(layout)
    return count


def decode(record: LogRecord) -> LoggedTxn:
    try:
        return read_txn(record.payload)
    except MarshallingError as error:
        raise damaged(record.path, record.offset, str(error)) from None


@final
class DigestCheck:
    """Compares the tree's digest with the one that the writer left (trust.md I12, B10).

    A fuzzy snapshot may hold effects of transactions that are about to be replayed: nothing is
    compared before the zxid that its own digest belongs to (storage.md 4.2).
    """

    def __init__(self, snapshot: Snapshot, enabled: bool) -> None:
        self.tree: Final = snapshot.tree
        self.from_zxid: Final = max(snapshot.digest_zxid, snapshot.tree.last_zxid)
        self.wanted: Final = snapshot.digest
        self.enabled: Final = enabled
        self.has_digest: Final = snapshot.digest_zxid > 0
        if enabled and self.has_digest and snapshot.digest_zxid == snapshot.tree.last_zxid:
            self.compare(snapshot.digest, "the snapshot")

    def after(self, record: LogRecord, logged: LoggedTxn) -> None:
        if not self.enabled:
            return
        if self.has_digest and record.zxid == self.from_zxid:
            self.compare(self.wanted, f"the snapshot, at {format_zxid(record.zxid)}")
        if (
            logged.has_digest
            and logged.digest_version == DIGEST_VERSION
            and record.zxid >= self.from_zxid
            and logged.header.type != -1
        ):
            self.compare(logged.digest, f"{record.path} at offset {record.offset}")

    def at_end(self, layout: Layout) -> None:
        """A log that ends before a fuzzy snapshot was complete leaves an unknown tree."""
        if self.has_digest and self.tree.last_zxid < self.from_zxid:
            raise StorageError(
                f"the logs in {layout.log_folder} end at {format_zxid(self.tree.last_zxid)}, the "
                f"snapshot needs them up to {format_zxid(self.from_zxid)}: restore the missing log"
            )

    def compare(self, wanted: int, where: str) -> None:
        found = signed64(self.tree.digest)
        if found != wanted:
            raise StorageError(
                f"the tree does not match the digest in {where}: {found} instead of {wanted}. "
                "Set this server's data aside and let it copy the ensemble's, or restore a backup; "
                "digest.enabled=false starts without the check"
            )
