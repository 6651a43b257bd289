"""What is written down about the servers: every record that they log, how far each tree has come.

The first gives the checkers the committed history, the second shows at once where two trees differ.
"""

from typing import Any

from ensemble.server.log_batch import LogBatch
from ensemble.tree.datatree import DataTree
from ensemble.wire.jute import reader_of
from ensemble.wire.txns import LoggedTxn, read_txn

COUNTER = 0xFFFFFFFF


class Violation(AssertionError):
    """A promise is broken. The text begins with its number in trust.md."""


class Tap:
    """One run's. zxids of committed transactions come out of it at the end."""

    def __init__(self, reuse: bool = False) -> None:
        self.reuse = reuse  # a server alone has no epochs: it gives a lost zxid out again
        self.records: dict[int, bytes] = {}
        self.others: dict[int, set[bytes]] = {}  # what else was logged under a zxid
        self.digests: dict[int, tuple[int, int]] = {}  # zxid -> (digest, who had it first)
        self.histories: dict[int, tuple[int, int]] = {}  # epoch -> (leader, end of its history)
        self.reached = 0
        self.configurations: dict[int, bytes] = {}  # in force at some server, by version
        self.counts: dict[str, int] = {}  # that something came about at all

    def log(self, log: Any) -> Any:
        """Have every batch that goes into this log written down."""
        submit = log.submit

        def tapped(batch: LogBatch) -> None:
            reader = reader_of(batch.records.getvalue())
            while reader.remaining():
                zxid = int(reader.read_long())
                self.record(zxid, reader.read_buffer() or b"")
            submit(batch)

        log.submit = tapped
        return log

    def record(self, zxid: int, payload: bytes) -> None:
        """I3: one zxid, one content."""
        if self.reuse:
            self.records[zxid] = payload
            return
        known = self.records.setdefault(zxid, payload)
        if known != payload:
            raise Violation(f"I3: two transactions are logged as {zxid:#x}")

    def forget_after(self, zxid: int) -> None:
        """A server alone has lost what it had not synced."""
        assert self.reuse
        if zxid < self.reached:
            raise Violation(f"I9: {self.reached:#x} was applied, recovered is {zxid:#x}")
        for lost in [other for other in self.records if other > zxid]:
            del self.records[lost]

    def serving(self, sid: int, epoch: int, history_end: int) -> None:
        """I1: a leader is established; its history is committed."""
        known = self.histories.get(epoch)
        if known is None:
            self.histories[epoch] = (sid, history_end)
        elif known[0] != sid:
            raise Violation(f"I1: servers {known[0]} and {sid} both lead epoch {epoch}")

    def members(self, version: int, text: bytes) -> None:
        """I1: a version of the configuration is the same wherever it is in force."""
        if self.configurations.setdefault(version, text) != text:
            raise Violation(f"I1: two configurations are in force as {version:#x}")
        self.counts["configurations"] = len(self.configurations)

    def applied(self, sid: int, tree: DataTree) -> None:
        """I12: at one zxid all trees are the same."""
        zxid, digest = int(tree.last_zxid), int(tree.digest)
        known = self.digests.setdefault(zxid, (digest, sid))
        if known[0] != digest:
            raise Violation(
                f"I12: at {zxid:#x} server {sid} has digest {digest}, server {known[1]} {known[0]}"
            )
        self.reached = max(self.reached, zxid)

    def committed(self) -> list[LoggedTxn]:
        """The history: of each epoch the transactions that the next leader's history holds."""
        ends = sorted((epoch, end) for epoch, (_, end) in self.histories.items())
        found = []
        for zxid in sorted(self.records):
            if zxid <= self.reached and all(
                zxid <= end for epoch, end in ends if epoch > zxid >> 32
            ):
                found.append(read_txn(self.records[zxid]))
        return found
