"""Applying the logged transactions to a snapshot's tree, with proof that none is missing.

Source: storage.md sections 3.6, 3.7, 4.2, 6.2. Java reads past damage, missing files and gaps; here
zxids must be continuous over all files, and the tree must match the digests that were logged.
"""

import posixpath
from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import StorageError
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
from ensemble.tree.apply import apply
from ensemble.tree.digest import signed64
from ensemble.tree.snapshot_reader import Snapshot
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError
from ensemble.wire.txns import DIGEST_VERSION, LoggedTxn, read_txn
from ensemble.wire.zxid import format_zxid


@final
class Replay:
    """One run over the logs. `count` transactions were applied; the newest file may be torn."""

    __slots__ = ("check", "count", "disk", "files", "notes", "snapshot", "torn_at", "torn_path")

    def __init__(
        self, disk: Disk, logs: list[tuple[int, str]], snapshot: Snapshot, digest_enabled: bool
    ) -> None:
        start = snapshot.tree.last_zxid + 1
        older = [log for log in logs if log[0] < start]
        self.disk: Final = disk
        self.files: Final = older[-1:] + [log for log in logs if log[0] >= start]
        self.snapshot: Final = snapshot
        self.check: Final = DigestCheck(snapshot, digest_enabled)
        self.notes: Final[list[str]] = []
        self.count = 0
        self.torn_path = ""
        self.torn_at = -1

    def run(self) -> None:
        """Apply all that comes after the snapshot.

        Raises:
            StorageError: a file is damaged, transactions are missing, or the tree is not what the
                writer had.
        """
        for i in range(len(self.files)):
            zxid, path = self.files[i]
            reader = LogReader(self.disk, path)
            try:
                last_zxid = self.replay_file(reader, zxid)
                if reader.end != CLEAN:
                    self.end_of_file(reader, last_zxid, self.files[i + 1 :])
            finally:
                reader.close()
        if self.count > 0:
            # A fuzzy snapshot counted what the replay has counted again.
            self.snapshot.tree.rebuild_quotas()

    def replay_file(self, reader: LogReader, zxid: int) -> i64:
        """Apply what one file brings; its last zxid, or that of the tree where it holds none."""
        tree = self.snapshot.tree
        check = self.check
        start = tree.last_zxid
        previous: i64 = -1
        while True:
            record = reader.next_record()
            if record is None:
                return max(previous, tree.last_zxid)
            if previous < 0 and record.zxid != zxid:
                raise damaged(
                    record.path,
                    record.offset,
                    f"the first zxid is {format_zxid(record.zxid)}, the name says otherwise",
                )
            if record.zxid <= previous:
                check_order(previous, record)
            previous = record.zxid
            if record.zxid <= start:
                continue
            check_order(tree.last_zxid, record)
            logged = decode(record)
            apply(tree, logged.header, logged.txn)
            check.after(record, logged)
            self.count += 1

    def end_of_file(self, reader: LogReader, last_zxid: i64, later: list[tuple[int, str]]) -> None:
        """A file does not end cleanly: is what it lost needed by nobody?"""
        if not later:
            if reader.end == DAMAGED:
                raise damaged(reader.path, reader.end_offset, reader.why)
            assert reader.end == TORN
            self.torn_path = reader.path
            self.torn_at = reader.end_offset
            self.notes.append(
                f"{reader.path}: dropped a torn tail at offset {reader.end_offset}: {reader.why}"
            )
            return
        # The Java server leaves a torn tail where it is and goes on in a new file, which then
        # begins with the zxid that was torn: so nothing is missing. Anything else is damage.
        if reader.end_offset == 0 or later[0][0] != last_zxid + 1:
            raise damaged(reader.path, reader.end_offset, reader.why)
        self.notes.append(
            f"{reader.path}: passed over what is behind offset {reader.end_offset} ({reader.why}); "
            f"{posixpath.basename(later[0][1])} goes on with the next transaction"
        )


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

    __slots__ = ("enabled", "from_zxid", "snapshot", "wanted")

    def __init__(self, snapshot: Snapshot, enabled: bool) -> None:
        self.snapshot: Final = snapshot
        self.enabled: Final = enabled
        self.wanted: Final = snapshot.digest
        self.from_zxid: Final[i64] = max(snapshot.digest_zxid, int(snapshot.tree.last_zxid))
        if enabled and 0 < snapshot.digest_zxid == snapshot.tree.last_zxid:
            self.compare(snapshot.digest, "the snapshot")

    def after(self, record: LogRecord, logged: LoggedTxn) -> None:
        """A transaction has been applied."""
        if not self.enabled or record.zxid < self.from_zxid:
            return
        if record.zxid == self.snapshot.digest_zxid:
            self.compare(self.wanted, f"the snapshot, which is of {format_zxid(record.zxid)}")
        if (
            logged.has_digest
            and logged.digest_version == DIGEST_VERSION
            and logged.header.type != codes.OP_ERROR
        ):
            self.compare(int(logged.digest), f"{record.path} at offset {record.offset}")

    def compare(self, wanted: int, where: str) -> None:
        found = signed64(self.snapshot.tree.digest)
        if found != wanted:
            raise StorageError(
                f"the tree does not match the digest in {where}: {found} instead of {wanted}. "
                "Set this server's data aside and let it copy the ensemble's, or restore a backup; "
                "digest.enabled=false starts without the check"
            )
