"""A small server's life on a simulated disk: starts, batches, rolls, snapshots, purges, epochs."""

import random

from histories import History, picture

from ensemble.errors import StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import Disk
from ensemble.storage.epochs import ACCEPTED, CURRENT, load_epochs, save_epoch
from ensemble.storage.layout import Layout
from ensemble.storage.purge import purge
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.txnlog import TxnLog

LAYOUT = Layout("/srv/data", "/srv/logs")


class Life:
    """One server over several starts. `acknowledged` is what its clients rely on."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.history = History(seed)
        self.acknowledged = 0
        self.epoch = 0
        self.tidy_failures = 0

    def start(self, disk: Disk) -> TxnLog:
        """Recover, and check what came back."""
        recovered = recover(disk, LAYOUT, RecoveryOptions())
        tree = recovered.tree
        assert self.acknowledged <= tree.last_zxid <= self.history.last_zxid
        self.history.forget_after(int(tree.last_zxid))
        assert picture(tree) == picture(self.history.tree)
        epochs = load_epochs(disk, LAYOUT, 0)
        assert self.epoch <= epochs.current <= epochs.accepted <= self.epoch + 1
        self.epoch = epochs.current
        self.acknowledged = int(tree.last_zxid)  # clients see it from now on
        if recovered.fresh:
            snapfile.save(disk, LAYOUT, tree)
        return TxnLog(disk, LAYOUT, prealloc_kb=8)

    def work(self, disk: Disk, log: TxnLog, batches: int) -> None:
        """Batches of transactions, now and then a roll, a snapshot, a purge, an epoch."""
        for number in range(batches):
            for _ in range(self.rng.randint(1, 6)):
                log.append(*self.history.grow())
            log.flush()
            self.acknowledged = self.history.last_zxid
            if number % 4 == 3:
                if self.rng.random() < 0.5:  # a snapshot's zxid may lie in the middle of a log
                    log.roll()
                self.tidy(disk)
            if number % 5 == 4:
                save_epoch(disk, LAYOUT, ACCEPTED, self.epoch + 1)
                save_epoch(disk, LAYOUT, CURRENT, self.epoch + 1)
                self.epoch += 1
        log.close()

    def tidy(self, disk: Disk) -> None:
        """A snapshot and a purge. Where they fail the server goes on (B6)."""
        try:
            snapfile.save(disk, LAYOUT, self.history.tree, self.rng.choice(["", "gz"]))
            purge(disk, LAYOUT, retain=3)
        except StorageError:
            self.tidy_failures += 1
