"""What a purge removes, and what it must leave (storage.md 9, trust.md B5)."""

import pytest
from histories import History, picture
from simdisk import SimDisk

from ensemble.errors import ConfigError, StorageError
from ensemble.storage import snapfile
from ensemble.storage.layout import Layout
from ensemble.storage.purge import purge
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.txnlog import TxnLog

LAYOUT = Layout("/data", "/logs")


def server(snapshots: int, offset: int = 0) -> tuple[SimDisk, History]:
    """A server that rolled its log every ten txns, and `offset` txns later took a snapshot."""
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    history = History(1)
    snapfile.save(disk, LAYOUT, history.tree)
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    while history.last_zxid < 10 * (snapshots - 1) + 5:
        log.append(*history.grow())
        if history.last_zxid % 10 == 0:
            log.roll()
        if history.last_zxid % 10 == offset:
            log.flush()
            snapfile.save(disk, LAYOUT, history.tree)
    log.roll()
    return disk, history


def zxids(files: list[tuple[int, str]]) -> list[int]:
    return [zxid for zxid, _ in files]


def damage(disk: SimDisk, path: str) -> None:
    disk.files[path].live[200] ^= 1


@pytest.mark.parametrize("retain", [3, 4, 5])
def test_the_newest_snapshots_and_the_logs_they_need_are_kept(retain: int) -> None:
    disk, _ = server(6)
    assert zxids(LAYOUT.snapshots(disk)) == [0, 10, 20, 30, 40, 50]
    removed = purge(disk, LAYOUT, retain)
    oldest = 10 * (6 - retain)
    assert zxids(LAYOUT.snapshots(disk)) == list(range(oldest, 51, 10))
    assert zxids(LAYOUT.logs(disk)) == list(range(oldest - 9, 52, 10))
    assert len(removed) == 2 * (6 - retain) - 1
    assert purge(disk, LAYOUT, retain) == []


def test_a_log_that_begins_before_the_oldest_snapshot_and_ends_after_it_is_kept() -> None:
    disk, _ = server(6, offset=4)
    purge(disk, LAYOUT, 3)
    assert zxids(LAYOUT.snapshots(disk))[0] == 34
    assert zxids(LAYOUT.logs(disk))[0] == 31


@pytest.mark.parametrize("offset", [0, 4])
def test_every_kept_snapshot_is_enough_for_a_recovery(offset: int) -> None:
    disk, history = server(7, offset)
    purge(disk, LAYOUT, 3)
    for _ in range(3):
        recovered = recover(disk, LAYOUT, RecoveryOptions())
        assert picture(recovered.tree) == picture(history.tree)
        damage(disk, LAYOUT.snapshots(disk)[-len(recovered.notes) - 1][1])
    with pytest.raises(StorageError, match="none of the 3 snapshots"):
        recover(disk, LAYOUT, RecoveryOptions())


def test_b5_damaged_snapshots_do_not_count_as_kept() -> None:
    """ZOOKEEPER-3231: the recent ones may all be damaged."""
    disk, history = server(7)
    for zxid in (40, 50, 60):
        damage(disk, LAYOUT.snapshot_path(zxid))
    purge(disk, LAYOUT, 3)
    assert zxids(LAYOUT.snapshots(disk)) == [10, 20, 30, 40, 50, 60]
    assert picture(recover(disk, LAYOUT, RecoveryOptions()).tree) == picture(history.tree)


def test_b5_with_too_few_whole_snapshots_nothing_is_removed() -> None:
    disk, _ = server(6)
    for zxid in (20, 30, 40, 50):
        damage(disk, LAYOUT.snapshot_path(zxid))
    before = sorted(disk.files)
    assert purge(disk, LAYOUT, 3) == []
    assert sorted(disk.files) == before


def test_one_zxid_in_two_compressions_counts_once() -> None:
    disk, history = server(5)
    for compression in ("gz", "snappy"):
        history.tree.last_zxid = 40
        snapfile.save(disk, LAYOUT, history.tree, compression)
    purge(disk, LAYOUT, 3)
    assert zxids(LAYOUT.snapshots(disk)) == [20, 30, 40, 40, 40]


def test_a_purge_that_is_interrupted_anywhere_leaves_enough() -> None:
    whole, _ = server(7, offset=4)
    before = whole.calls
    purge(whole, LAYOUT, 3)
    for fail_at in range(before, whole.calls):
        disk, history = server(7, offset=4)
        disk.fail_at = fail_at
        try:
            purge(disk, LAYOUT, 3)
        except StorageError:
            pass
        assert picture(recover(disk, LAYOUT, RecoveryOptions()).tree) == picture(history.tree)


def test_other_files_are_left_alone() -> None:
    disk, _ = server(6)
    for name in ("/data/version-2/acceptedEpoch", "/logs/version-2/log.old", "/data/myid"):
        disk.create(name)
    purge(disk, LAYOUT, 3)
    assert {"/data/version-2/acceptedEpoch", "/logs/version-2/log.old", "/data/myid"} <= set(
        disk.files
    )


@pytest.mark.parametrize("retain", [-1, 0, 2])
def test_to_retain_less_than_three_is_refused(retain: int) -> None:
    with pytest.raises(ConfigError, match=rf"autopurge.snapRetainCount: {retain}, at least 3"):
        purge(SimDisk(), LAYOUT, retain)
