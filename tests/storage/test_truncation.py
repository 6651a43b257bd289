"""TRUNC: history after some zxid is gone for good, from logs and snapshots (storage.md 8)."""

import shutil
from pathlib import Path

import pytest
from histories import History, Picture, picture, tree_of
from simdisk import Fate, PowerCut, SimDisk

from ensemble.errors import StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.truncation import truncate
from ensemble.storage.txnlog import TxnLog
from ensemble.tree.datatree import DataTree

DATA = Path(__file__).parent / "data"
LAYOUT = Layout("/data", "/logs")
LAST = 40


class Server:
    """Forty transactions in four log files; snapshots at 0 and where the test wants them.

    `fuzzy` are (name, zxid up to which the snapshot holds effects).
    """

    def __init__(self, snapshots: tuple[int, ...] = (), fuzzy: tuple[tuple[int, int], ...] = ()):
        self.disk = SimDisk()
        LAYOUT.make_folders(self.disk)
        history = History(3)
        snapfile.save(self.disk, LAYOUT, history.tree)
        log = TxnLog(self.disk, LAYOUT, prealloc_kb=8)
        while history.last_zxid < LAST:
            log.append(*history.grow())
            if history.last_zxid % 10 == 0:
                log.roll()
            if history.last_zxid in snapshots:
                log.flush()
                snapfile.save(self.disk, LAYOUT, history.tree)
        log.close()
        self.payloads = history.payloads
        for name, holds in fuzzy:
            snapfile.write(self.disk, LAYOUT.snapshot_path(name), self.tree(holds), "", True, True)
        self.disk.sync_folder(LAYOUT.snapshot_folder)

    def tree(self, zxid: int) -> DataTree:
        return tree_of(self.payloads[:zxid])

    def picture(self, zxid: int) -> Picture:
        return picture(self.tree(zxid))


def recovered(disk: SimDisk) -> Picture:
    return picture(recover(disk, LAYOUT, RecoveryOptions()).tree)


def names(disk: SimDisk) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in disk.files)


@pytest.mark.parametrize("zxid", [0, 1, 9, 10, 11, 15, 29, 30, 31, 39, 40])
def test_the_history_ends_at_exactly_that_zxid(zxid: int) -> None:
    """At the beginning, the middle and the end of a file, and where there is nothing to cut."""
    server = Server()
    assert truncate(server.disk, LAYOUT, zxid)
    after = server.disk.after_cut("all lost")
    assert recovered(after) == server.picture(zxid)
    assert [name for name, _ in LAYOUT.logs(after)] == [n for n in (1, 11, 21, 31) if n <= zxid]
    assert truncate(after, LAYOUT, zxid), "twice is as good as once"
    assert recovered(after) == server.picture(zxid)


def test_after_it_history_goes_on_in_a_new_file() -> None:
    server = Server()
    assert truncate(server.disk, LAYOUT, 15)
    log = TxnLog(server.disk, LAYOUT, prealloc_kb=0)
    log.append(16, server.payloads[15])
    log.roll()
    assert names(server.disk) == ["log.1", "log.10", "log.b", "snapshot.0"]
    assert recovered(server.disk) == server.picture(16)


def test_1549_snapshots_with_the_tail_in_them_are_removed() -> None:
    """storage.md 8.3: later ones, and one whose dump went on beyond the zxid of its name."""
    server = Server(snapshots=(12, 25, 40), fuzzy=((14, 16),))
    assert truncate(server.disk, LAYOUT, 15)
    assert [zxid for zxid, _ in LAYOUT.snapshots(server.disk)] == [0, 12]
    assert recovered(server.disk) == server.picture(15)


def test_a_fuzzy_snapshot_that_ends_in_time_is_kept() -> None:
    server = Server(fuzzy=((14, 16),))
    assert truncate(server.disk, LAYOUT, 16)
    assert [zxid for zxid, _ in LAYOUT.snapshots(server.disk)] == [0, 14]
    assert recovered(server.disk) == server.picture(16)


def test_a_snapshot_of_exactly_that_zxid_is_as_good_as_a_record() -> None:
    """storage.md 8.2: it came by SNAP, and the log begins after it."""
    server = Server(snapshots=(20,))
    for path in ("/data/version-2/snapshot.0", "/logs/version-2/log.1", "/logs/version-2/log.b"):
        server.disk.remove(path)
    assert truncate(server.disk, LAYOUT, 20)
    assert names(server.disk) == ["snapshot.14"]
    assert recovered(server.disk) == server.picture(20)


def refused(server: Server, zxid: int) -> None:
    before = {path: bytes(inode.live) for path, inode in server.disk.files.items()}
    effects = len(server.disk.effects)
    assert not truncate(server.disk, LAYOUT, zxid)
    assert len(server.disk.effects) == effects
    assert {path: bytes(inode.live) for path, inode in server.disk.files.items()} == before
    assert server.disk.open_files == 0


@pytest.mark.parametrize("zxid", [41, 1 << 32, (1 << 32) + 5])
def test_a_zxid_that_was_never_logged_is_refused(zxid: int) -> None:
    """storage.md 8.2: Java keeps a record too many, or ends the process."""
    refused(Server(snapshots=(20,)), zxid)


def test_a_zxid_from_before_the_oldest_snapshot_is_refused() -> None:
    server = Server(snapshots=(20,))
    server.disk.remove("/data/version-2/snapshot.0")
    refused(server, 15)


def test_only_dirty_or_damaged_snapshots_are_no_base() -> None:
    """storage.md 8.3: without one the log alone proves nothing."""
    server = Server(snapshots=(12,), fuzzy=((5, 16),))
    server.disk.remove("/data/version-2/snapshot.0")
    server.disk.files["/data/version-2/snapshot.c"].live[100] ^= 1
    refused(server, 15)


def test_a_snapshot_that_does_not_say_when_it_was_complete_is_no_base() -> None:
    server = Server()
    server.disk.remove("/data/version-2/snapshot.0")
    snapfile.write(server.disk, LAYOUT.snapshot_path(12), server.tree(12), "", False, False)
    refused(server, 15)


def test_a_hole_before_the_zxid_is_refused() -> None:
    server = Server()
    server.disk.remove("/logs/version-2/log.b")
    refused(server, 25)


def test_damage_before_the_zxid_is_refused_and_damage_behind_it_is_cut_off() -> None:
    for at, fits in ((3_000, False), (None, True)):
        server = Server()
        inode = server.disk.files["/logs/version-2/log.15"]
        place = at or len(inode.live) // 2
        inode.live[60] ^= 1  # the first record of the file, 21
        if fits:
            assert place
            assert truncate(server.disk, LAYOUT, 20)
            assert recovered(server.disk) == server.picture(20)
        else:
            refused(server, 25)


def test_damage_right_behind_the_zxid_in_the_same_file_is_cut_off() -> None:
    server = Server()
    inode = server.disk.files["/logs/version-2/log.b"]
    inode.live[inode.live.rindex(server.payloads[15])] ^= 1
    assert truncate(server.disk, LAYOUT, 15)
    assert recovered(server.disk) == server.picture(15)


def test_what_java_left_behind_a_torn_record_is_cut_where_its_file_becomes_the_newest() -> None:
    """storage.md 3.6: harmless while a later file goes on, not when that file is removed."""
    server = Server()
    disk = server.disk
    path = "/logs/version-2/log.b"
    good = bytes(disk.files[path].live)
    disk.files[path].live += good[16:40] + b"\0" * 8 + good[16:]
    assert recovered(disk) == server.picture(40)
    assert truncate(disk, LAYOUT, 20)
    assert bytes(disk.files[path].live) == good
    assert recovered(disk) == server.picture(20)


def test_a_log_of_nothing_but_what_goes_is_removed() -> None:
    server = Server(snapshots=(10,))
    server.disk.remove("/logs/version-2/log.1")
    assert truncate(server.disk, LAYOUT, 10)
    assert names(server.disk) == ["snapshot.0", "snapshot.a"]


def test_f5_a_disk_that_cannot_read_is_no_reason_to_ask_for_a_snapshot() -> None:
    server = Server()
    whole = server.disk.calls
    assert truncate(server.disk, LAYOUT, 15)
    failed = 0
    for fail_at in range(whole, server.disk.calls):
        again = Server()
        again.disk.fail_at = fail_at
        try:
            if truncate(again.disk, LAYOUT, 15):
                continue
            assert again.disk.failed_calls[0].endswith("snapshot.0")
        except StorageError:
            failed += 1
        assert again.disk.open_files == 0
        well = again.disk.after_cut("all kept")
        assert recovered(well) in (server.picture(15), server.picture(40))
    assert failed > 10


@pytest.mark.parametrize("fate", ["all lost", "all kept", "any subset"])
@pytest.mark.parametrize("zxid", [10, 15, 20])
def test_f1_f2_whenever_the_power_fails_it_is_the_old_history_or_the_cut_one(
    zxid: int, fate: Fate
) -> None:
    """And once it was cut, no later power cut brings anything back."""
    whole = Server(snapshots=(12, 25, 40), fuzzy=((14, 28),))
    pictures = {n: whole.picture(n) for n in (zxid, LAST)}
    first = len(whole.disk.effects)
    assert truncate(whole.disk, LAYOUT, zxid)
    total = len(whole.disk.effects)
    assert total - first >= 14
    seen = set()
    for cut in range(first, total + 1):
        for seed in range(3):
            server = Server(snapshots=(12, 25, 40), fuzzy=((14, 28),))
            disk = server.disk
            disk.cut_at = cut
            done = False
            try:
                done = truncate(disk, LAYOUT, zxid)
            except PowerCut:
                pass
            assert done == (cut == total)
            for again in range(4):  # and in the middle of the start that follows
                disk = disk.after_cut(fate, seed + again)
                disk.cut_at = 5 * (seed + again) if again < 3 else -1
                try:
                    tree = recover(disk, LAYOUT, RecoveryOptions()).tree
                except PowerCut:
                    continue
                reached = int(tree.last_zxid)
                assert picture(tree) == pictures[reached]
                assert reached == zxid or not done
                done = done or reached == zxid
                seen.add(reached)
            disk.cut_at = -1
            assert truncate(disk, LAYOUT, zxid), "the same truncation goes on"
            assert recovered(disk.after_cut("all lost")) == pictures[zxid]
    assert seen == {zxid, LAST}


# Directories of Apache ZooKeeper 3.9.3


def test_the_same_as_java_where_java_is_right(tmp_path: Path) -> None:
    """`after-trunc`: from 0x100000003 to 0x100000002."""
    shutil.copytree(DATA / "after-trunc" / "before-trunc", tmp_path / "before")
    shutil.copytree(DATA / "after-trunc", tmp_path / "after")
    layout = Layout(str(tmp_path / "before"))
    assert recover(OsDisk(), layout, RecoveryOptions()).tree.last_zxid == 0x100000003
    assert truncate(OsDisk(), layout, 0x100000002)
    log = "version-2/log.100000001"
    assert (tmp_path / "before" / log).read_bytes() == (tmp_path / "after" / log).read_bytes()
    tree = recover(OsDisk(), layout, RecoveryOptions()).tree
    javas = recover(OsDisk(), Layout(str(tmp_path / "after")), RecoveryOptions()).tree
    config = b"/zookeeper/config"  # written locally at every start (storage.md 5.1)
    assert tree.digest == javas.digest
    assert {path: node.data for path, node in tree.nodes.items() if path != config} == {
        path: node.data for path, node in javas.nodes.items() if path != config
    }


def test_1549_javas_dirty_snapshot_does_not_bring_the_lost_node_back(tmp_path: Path) -> None:
    """`dirty-snapshot-before-trunc`: Java keeps `/lost` here."""
    shutil.copytree(DATA / "dirty-snapshot-before-trunc", tmp_path / "data")
    layout = Layout(str(tmp_path / "data"))
    assert b"/lost" in recover(OsDisk(), layout, RecoveryOptions()).tree.nodes
    assert truncate(OsDisk(), layout, 0x100000002)
    tree = recover(OsDisk(), layout, RecoveryOptions()).tree
    assert tree.last_zxid == 0x100000002
    assert b"/lost" not in tree.nodes
    assert [zxid for zxid, _ in layout.snapshots(OsDisk())] == [0]


def test_what_lies_under_a_received_snapshot_is_no_history_to_cut_into(tmp_path: Path) -> None:
    """`stale-log-under-snapshot`: 0x400000001 to 0x400000003 came by SNAP."""
    shutil.copytree(DATA / "stale-log-under-snapshot", tmp_path / "data")
    layout = Layout(str(tmp_path / "data"))
    for zxid in (0x400000001, 0x400000002, 0x300000004):
        assert not truncate(OsDisk(), layout, zxid)
    assert truncate(OsDisk(), layout, 0x400000003)
    tree = recover(OsDisk(), layout, RecoveryOptions()).tree
    assert tree.last_zxid == 0x400000003
