"""A disk that fails or fills up, at every single call (trust.md F5, F9).

The server stops or goes on without a snapshot, never acknowledges what it cannot keep, and starts
again once the disk is well.
"""

import pytest
from lives import LAYOUT, Life
from simdisk import SimDisk

from ensemble.errors import StorageError
from ensemble.storage.txnlog import TxnLog

BATCHES = 14


def live(disk: SimDisk, life: Life) -> None:
    """Until the end, or until the log fails: then it must have failed for good."""
    try:
        log = life.start(disk)
    except StorageError:
        return
    try:
        life.work(disk, log, BATCHES)
    except StorageError:
        refuses_everything(log, life)
        log.close()


def refuses_everything(log: TxnLog, life: Life) -> None:
    """F5: no sync is tried again; the kernel may have dropped the pages."""
    if not log.failed:
        return  # an epoch file failed, not the log
    with pytest.raises(StorageError, match="failed before"):
        log.append(life.history.last_zxid + 1, bytes(40))
    with pytest.raises(StorageError, match="failed before"):
        log.flush()
    with pytest.raises(StorageError, match="failed before"):
        log.roll()


@pytest.mark.parametrize("full", [False, True], ids=["F5-EIO-once", "F9-ENOSPC-until-restart"])
def test_a_failing_call_costs_no_acknowledged_write(full: bool) -> None:
    """F5, F9, I9: whichever call it is, in a recovery or in a batch or in a snapshot."""
    disk = SimDisk()
    live(disk, Life(7))
    stopped = 0
    tidied = 0
    for fail_at in range(disk.calls):
        life = Life(7)
        failing = SimDisk()
        failing.fail_at = fail_at
        failing.full = full
        live(failing, life)
        assert failing.open_files == 0, failing.failed_calls
        stopped += life.acknowledged < 14
        tidied += life.tidy_failures > 0
        # The machine is restarted with room on its disk; what was not synced may be lost.
        well = failing.after_cut("any subset", fail_at)
        life.work(well, life.start(well), 3)
        assert LAYOUT.unfinished_snapshots(well) == []
    assert stopped > 10
    assert tidied > 10


def test_what_a_failed_sync_has_left_in_the_cache_is_written_before_it_counts_f5() -> None:
    """I9: the next start reads it, though the kernel will not write it any more. Then the power
    goes: what that start has shown must be there."""
    disk = SimDisk()
    live(disk, Life(7))
    found_more = 0
    for fail_at in range(disk.calls):
        life = Life(7)
        failing = SimDisk()
        failing.fail_at = fail_at
        live(failing, life)
        acknowledged = life.acknowledged
        restarted = failing.after_kill()
        try:
            life.start(restarted)
        except StorageError:
            continue
        found_more += life.acknowledged > acknowledged
        life.start(restarted.after_cut("all lost"))
    assert found_more > 3


def test_a_failed_snapshot_leaves_no_file_behind() -> None:
    """B6: its temporary file is removed at once, the older snapshots stay."""
    life = Life(3)
    disk = SimDisk()
    log = life.start(disk)
    life.work(disk, log, 3)
    disk.fail_at = disk.calls
    disk.full = True
    life.tidy(disk)
    assert life.tidy_failures == 1
    assert disk.names(LAYOUT.snapshot_folder) == [
        "acceptedEpoch",
        "currentEpoch",
        "snapshot.0",
    ]
