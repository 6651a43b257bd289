"""SNAP: a received tree replaces all that was there (storage.md 8.4)."""

import shutil
from pathlib import Path

import pytest
from histories import History, Picture, picture, tree_of
from simdisk import Fate, PowerCut, SimDisk

from ensemble.errors import StorageError
from ensemble.storage import replacement, replay, snapfile
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import COMPRESSIONS, Layout
from ensemble.storage.loghistory import read_after
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.txnlog import TxnLog
from ensemble.tree.datatree import DataTree
from ensemble.wire.txns import read_txn

DATA = Path(__file__).parent / "data"
LAYOUT = Layout("/data", "/logs")


def old_server() -> tuple[SimDisk, Picture]:
    """Thirty transactions, the last ones never committed anywhere else."""
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    history = History(3)
    snapfile.save(disk, LAYOUT, history.tree)
    log = TxnLog(disk, LAYOUT, prealloc_kb=8)
    while history.last_zxid < 30:
        log.append(*history.grow())
        if history.last_zxid % 10 == 0:
            log.roll()
            snapfile.save(disk, LAYOUT, history.tree, "gz" if history.last_zxid == 20 else "")
    return disk, picture(history.tree)


def leaders_tree(zxid: int) -> DataTree:
    """Another history, that ends at `zxid`."""
    history = History(99)
    while len(history.payloads) < 12:
        history.grow()
    history.tree.last_zxid = zxid
    return history.tree


def recovered(disk: SimDisk) -> Picture:
    return picture(recover(disk, LAYOUT, RecoveryOptions()).tree)


# Behind all that was there, in the middle of it, and under a name that is taken.
ZXIDS = [0x200000003, 15, 30, 20]


@pytest.mark.parametrize("zxid", ZXIDS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_nothing_but_the_received_tree_is_left(zxid: int, compression: str) -> None:
    disk, _ = old_server()
    tree = leaders_tree(zxid)
    path = replacement.install(disk, LAYOUT, tree, compression)
    after = disk.after_cut("all lost")
    assert sorted(after.files) == [path]
    assert recovered(after) == picture(tree)
    assert disk.open_files == 0


def test_it_is_a_beginning_on_an_empty_disk_too() -> None:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    tree = leaders_tree(5)
    replacement.install(disk, LAYOUT, tree)
    assert recovered(disk.after_cut("all lost")) == picture(tree)


@pytest.mark.parametrize("fate", ["all lost", "all kept", "any subset"])
@pytest.mark.parametrize("zxid", ZXIDS)
def test_f1_f2_whenever_the_power_fails_it_is_all_old_or_all_new(zxid: int, fate: Fate) -> None:
    """Never the new tree under old records, nor the old one without them."""
    tree = leaders_tree(zxid)
    new = picture(tree)
    whole, old = old_server()
    first = len(whole.effects)
    replacement.install(whole, LAYOUT, tree)
    seen = set()
    for cut in range(first, len(whole.effects) + 1):
        for seed in range(3):
            disk, _ = old_server()
            disk.cut_at = cut
            done = False
            try:
                replacement.install(disk, LAYOUT, tree)
                done = True
            except PowerCut:
                pass
            for again in range(4):  # and in the middle of the start that follows
                disk = disk.after_cut(fate, seed + again)
                disk.cut_at = 5 * (seed + again) if again < 3 else -1
                try:
                    found = recovered(disk)
                except PowerCut:
                    continue
                assert found in (old, new)
                assert found == new or not done
                done = done or found == new
                seen.add(found == new)
            disk.cut_at = -1
            replacement.install(disk, LAYOUT, tree)
            assert recovered(disk.after_cut("all lost")) == new
    assert seen == {True, False}


@pytest.mark.parametrize("full", [False, True], ids=["F5-EIO-once", "F9-ENOSPC-until-restart"])
def test_a_failing_disk_leaves_all_old_or_all_new(full: bool) -> None:
    tree = leaders_tree(15)
    whole, old = old_server()
    first = whole.calls
    replacement.install(whole, LAYOUT, tree)
    for fail_at in range(first, whole.calls):
        disk, _ = old_server()
        disk.fail_at = fail_at
        disk.full = full
        try:
            replacement.install(disk, LAYOUT, tree)
        except StorageError:
            pass
        else:
            assert full  # what only removes needs no space
        assert disk.open_files == 0
        assert recovered(disk.after_cut("any subset", fail_at)) in (old, picture(tree))


def test_f4_a_snapshot_that_the_disk_has_changed_replaces_nothing() -> None:
    disk, old = old_server()
    tree = leaders_tree(15)
    replacement.write(disk, LAYOUT, tree)
    disk.files["/data/version-2/snapshot.f.tmp"].live[200] ^= 1
    with pytest.raises(StorageError, match=r"snapshot.f.tmp: the last seal does not match"):
        replacement.take_over(disk, LAYOUT, 15)
    assert recovered(disk) == old


def fuzzy_server(wrong_from: int = 0) -> tuple[SimDisk, History]:
    """SNAP at 20 while the leader went on to 25; then the log from 21 to 30, as it came.

    From `wrong_from` on the log has digests of another tree.
    """
    history = History(6)
    while history.last_zxid < 25:
        history.grow()
    received = tree_of(history.payloads)
    received.last_zxid = 20
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    replacement.install(disk, LAYOUT, received)
    while history.last_zxid < 30:
        history.grow()
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    for zxid in range(21, 31):
        raw = bytearray(history.payloads[zxid - 1])
        if read_txn(bytes(raw)).has_digest and 0 < wrong_from <= zxid:
            raw[-1] ^= 1
        log.append(zxid, bytes(raw))
    log.roll()
    return disk, history


def test_a_tree_that_was_dumped_while_its_leader_went_on_is_recovered() -> None:
    """zab.md 4.4: digests do not match before the end of the dump, and must from then on."""
    disk, history = fuzzy_server()
    done = recover(disk, LAYOUT, RecoveryOptions())
    assert picture(done.tree) == picture(history.tree)
    assert done.notes == []


def test_i12_after_the_first_match_a_received_tree_is_held_to_its_digests() -> None:
    disk, _ = fuzzy_server(wrong_from=28)
    with pytest.raises(StorageError, match="does not match the digest in"):
        recover(disk, LAYOUT, RecoveryOptions())


def test_a_received_tree_that_never_matched_is_noted() -> None:
    disk, _ = fuzzy_server(wrong_from=21)
    notes = recover(disk, LAYOUT, RecoveryOptions()).notes
    assert len(notes) == 1
    assert "digests in the log since the snapshot of 0x14, which came from a leader" in notes[0]


def test_and_refused_where_no_dump_can_take_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    if not replay.__file__.endswith(".py"):
        pytest.skip("the bound is compiled in")
    monkeypatch.setattr(replay, "FUZZY_TXNS_MAX", 3)
    disk, _ = fuzzy_server(wrong_from=21)
    with pytest.raises(StorageError, match="does not match the digest in"):
        recover(disk, LAYOUT, RecoveryOptions())


def test_2846_a_log_from_before_a_snapshot_serves_nobody_after_it(tmp_path: Path) -> None:
    """Java's directory, which has one, becomes one that has none; history goes on behind it."""
    shutil.copytree(DATA / "stale-log-under-snapshot", tmp_path / "data")
    layout = Layout(str(tmp_path / "data"))
    tree = recover(OsDisk(), layout, RecoveryOptions()).tree
    replacement.install(OsDisk(), layout, tree)
    assert layout.logs(OsDisk()) == []
    assert [zxid for zxid, _ in layout.snapshots(OsDisk())] == [0x400000006]
    assert read_after(OsDisk(), layout, 0x300000001, 0x400000006, 1 << 20) is None
    assert recover(OsDisk(), layout, RecoveryOptions()).tree.last_zxid == 0x400000006
