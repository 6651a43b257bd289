"""Applying the logged transactions to a snapshot's tree, with proof that none is missing.

Source: storage.md sections 4.2, 6.2. `logwalk` sees to it that no transaction is missing; here the
tree must match the digests that were logged.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk
from ensemble.storage.logreader import LogRecord, damaged
from ensemble.storage.logwalk import LogWalk
from ensemble.tree.apply import apply
from ensemble.tree.digest import signed64
from ensemble.tree.snapshot_reader import Snapshot
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError
from ensemble.wire.txns import DIGEST_VERSION, LoggedTxn, read_txn
from ensemble.wire.zxid import counter_of, format_zxid

RECENT_TXNS_MAX: Final = 500  # commitLogCount
FUZZY_TXNS_MAX: Final = 1_000_000  # so many may be written while a leader dumps its tree


@final
class Replay:
    """One run over the logs. `count` transactions were applied; the newest file may be torn.

    `recent` are the last of them, zxid and payload: what a learner that was away for a moment needs
    (zab.md 4.2).
    """

    __slots__ = ("check", "count", "recent", "snapshot", "walk")

    def __init__(
        self,
        disk: Disk,
        logs: list[tuple[int, str]],
        snapshot: Snapshot,
        digest_enabled: bool,
        recent_max: int = RECENT_TXNS_MAX,
    ) -> None:
        self.snapshot: Final = snapshot
        self.walk: Final = LogWalk(disk, logs, int(snapshot.tree.last_zxid))
        self.check: Final = DigestCheck(snapshot, digest_enabled)
        self.recent: Final[deque[tuple[int, bytes]]] = deque(maxlen=recent_max)
        self.count = 0

    def run(self) -> None:
        """Apply all that comes after the snapshot.

        Raises:
            StorageError: a file is damaged, transactions are missing, or the tree is not what the
                writer had.
        """
        walk = self.walk
        tree = self.snapshot.tree
        check = self.check
        recent = self.recent
        try:
            while True:
                before = walk.last
                record = walk.next_record()
                if record is None:
                    break
                if record.zxid != before + 1 and counter_of(record.zxid) != 1:
                    recent.clear()  # Java's logs may begin an epoch so: no proof of what was before
                logged = decode(record)
                apply(tree, logged.header, logged.txn)
                check.after(record, logged)
                recent.append((int(record.zxid), record.payload))
                self.count += 1
        finally:
            walk.close()
        if self.count > 0:
            # A fuzzy snapshot counted what the replay has counted again.
            tree.rebuild_quotas()


def decode(record: LogRecord) -> LoggedTxn:
    try:
        return read_txn(record.payload)
    except MarshallingError as error:
        raise damaged(record.path, record.offset, str(error)) from None


@final
class DigestCheck:
    """Compares the tree's digest with the one that the writer left (trust.md I12, B10).

    A fuzzy snapshot may hold effects of transactions that are about to be replayed: nothing is
    compared before the zxid that its own digest belongs to (storage.md 4.2). One that came from a
    leader has no digest and does not say how fuzzy it is (zab.md 4.4): there a mismatch means
    nothing before the first match.
    """

    __slots__ = ("enabled", "from_zxid", "mismatches", "provisional", "snapshot", "wanted")

    def __init__(self, snapshot: Snapshot, enabled: bool) -> None:
        self.snapshot: Final = snapshot
        self.enabled: Final = enabled
        self.wanted: Final = snapshot.digest
        self.from_zxid: Final[i64] = max(snapshot.digest_zxid, int(snapshot.tree.last_zxid))
        self.provisional = snapshot.digest_zxid < 0 < snapshot.tree.last_zxid
        self.mismatches = 0  # while provisional
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
            if self.provisional:
                self.provisional = signed64(self.snapshot.tree.digest) != logged.digest
                self.mismatches += self.provisional
                if self.mismatches <= FUZZY_TXNS_MAX:
                    return
            self.compare(int(logged.digest), f"{record.path} at offset {record.offset}")

    def notes(self) -> list[str]:
        """What could not be decided, for the log."""
        if not self.provisional or self.mismatches == 0:
            return []
        return [
            f"the tree matches none of the {self.mismatches} digests in the log since the snapshot "
            f"of {format_zxid(self.from_zxid)}, which came from a leader while it went on writing"
        ]

    def compare(self, wanted: int, where: str) -> None:
        found = signed64(self.snapshot.tree.digest)
        if found != wanted:
            raise StorageError(
                f"the tree does not match the digest in {where}: {found} instead of {wanted}. "
                "Set this server's data aside and let it copy the ensemble's, or restore a backup; "
                "digest.enabled=false starts without the check"
            )
