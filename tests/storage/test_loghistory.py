"""What a learner missed, from the log files; or None where anything is in doubt (zab.md 4.2, 9)."""

import shutil
from pathlib import Path

import pytest
from histories import History, payload
from simdisk import SimDisk

from ensemble.errors import StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout
from ensemble.storage.loghistory import FILE_BYTES_MAX, read_after
from ensemble.storage.truncation import truncate
from ensemble.storage.txnlog import TxnLog
from ensemble.tree.datatree import DataTree
from ensemble.wire import codes
from ensemble.wire.txns import ErrorTxn

DATA = Path(__file__).parent / "data"
LAYOUT = Layout("/data")
ENOUGH = 1 << 20


def server() -> tuple[SimDisk, list[tuple[int, bytes]]]:
    """Thirty transactions in three files of a padded log that is still being written."""
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    history = History(4)
    log = TxnLog(disk, LAYOUT, prealloc_kb=8)
    pairs = []
    while history.last_zxid < 30:
        pairs.append(history.grow())
        log.append(*pairs[-1])
        if history.last_zxid in (10, 20):
            log.roll()
    log.flush()
    return disk, pairs


def write_log(disk: SimDisk, zxids: list[int]) -> None:
    """A file with these records, whatever they mean."""
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    for zxid in zxids:
        log.append(zxid, payload(DataTree(), zxid, codes.OP_ERROR, ErrorTxn(codes.NO_NODE)))
    log.roll()


def hand_made(*files: list[int]) -> SimDisk:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    for zxids in files:
        write_log(disk, zxids)
    return disk


def zxids(disk: SimDisk, zxid: int, up_to: int, size: int = ENOUGH) -> list[int] | None:
    before = disk.open_files
    found = read_after(disk, LAYOUT, zxid, up_to, size)
    assert disk.open_files == before
    return None if found is None else [zxid for zxid, _ in found]


@pytest.mark.parametrize("zxid", [1, 5, 9, 10, 11, 20, 21, 30])
@pytest.mark.parametrize("up_to", [1, 10, 15, 21, 30])
def test_all_that_comes_after_a_transaction_over_all_files(zxid: int, up_to: int) -> None:
    disk, pairs = server()
    wanted = pairs[zxid:up_to] if up_to >= zxid else None
    assert read_after(disk, LAYOUT, zxid, up_to, ENOUGH) == wanted


def test_what_is_wanted_must_be_there_to_its_end() -> None:
    """ZOOKEEPER-2418: a gap between the log and the list of recent transactions."""
    disk, _ = server()
    notes: list[str] = []
    assert read_after(disk, LAYOUT, 5, 31, ENOUGH, notes) is None
    assert notes == ["no transactions after 0x5 up to 0x1f from the log: it ends at 0x1e"]


def test_the_first_transaction_must_be_in_the_log_itself() -> None:
    disk, _ = server()
    disk.remove("/data/version-2/log.1")
    assert zxids(disk, 10, 30) is None
    assert zxids(disk, 11, 30) == list(range(12, 31))


def test_or_name_a_snapshot_which_the_log_goes_on_from() -> None:
    disk, _ = server()
    disk.remove("/data/version-2/log.1")
    tree = DataTree()
    tree.last_zxid = 10
    snapfile.save(disk, LAYOUT, tree)
    assert zxids(disk, 10, 30) == list(range(11, 31))
    assert zxids(disk, 9, 30) is None


def test_no_log_at_all_has_nothing_to_give() -> None:
    disk = hand_made()
    assert zxids(disk, 0, 0) is None
    snapfile.save(disk, LAYOUT, DataTree())
    assert zxids(disk, 0, 0) == []
    assert zxids(disk, 0, 1) is None


def test_the_bound_in_bytes_is_exact() -> None:
    disk, pairs = server()
    size = sum(len(raw) for _, raw in pairs[5:25])
    assert zxids(disk, 5, 25, size) == list(range(6, 26))
    assert zxids(disk, 5, 25, size - 1) is None


def test_a_file_that_would_take_long_to_search_is_not_searched() -> None:
    disk, _ = server()
    file = disk.files["/data/version-2/log.1"]

    class Long(bytearray):
        def __len__(self) -> int:
            return FILE_BYTES_MAX + 1

    file.live = Long(file.live)
    notes: list[str] = []
    assert read_after(disk, LAYOUT, 5, 25, ENOUGH, notes) is None
    assert "more than 268435456 bytes" in notes[0]


E1, E2, E3 = 1 << 32, 2 << 32, 3 << 32


def test_a_new_epoch_begins_with_one() -> None:
    disk = hand_made([E1 + 1, E1 + 2], [E2 + 1], [E3 + 1, E3 + 2])
    assert zxids(disk, E1 + 1, E3 + 2) == [E1 + 2, E2 + 1, E3 + 1, E3 + 2]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([[E1 + 1, E1 + 3]], "transactions are missing"),
        ([[E1 + 1], [E1 + 3]], "transactions are missing"),
        ([[E1 + 1, E2 + 2]], "transactions are missing"),
        ([[E1 + 1], [E2, E2 + 1]], "0x200000000 follows 0x100000001"),
        ([[E1 + 1, E1 + 1, E1 + 2]], "comes again"),
    ],
)
def test_4925_a_hole_is_never_read_over(files: list[list[int]], why: str) -> None:
    disk = hand_made(*files)
    notes: list[str] = []
    assert read_after(disk, LAYOUT, E1 + 1, files[-1][-1], ENOUGH, notes) is None
    assert why in notes[0]


def test_2846_an_epoch_that_a_snapshot_came_before_is_in_doubt() -> None:
    """E1 + 2 was never committed; what E2 brought came as a snapshot, and E3 follows it."""
    disk = hand_made([E1 + 1, E1 + 2], [E3 + 1])
    assert zxids(disk, E1 + 1, E3 + 1) == [E1 + 2, E3 + 1]
    tree = DataTree()
    tree.last_zxid = E2 + 7
    snapfile.save(disk, LAYOUT, tree)
    notes: list[str] = []
    assert read_after(disk, LAYOUT, E1 + 1, E3 + 1, ENOUGH, notes) is None
    assert "a snapshot of 0x200000007 came from elsewhere" in notes[0]
    assert zxids(disk, E2 + 7, E3 + 1) == [E3 + 1]


def test_2846_javas_log_under_a_received_snapshot_serves_nobody(tmp_path: Path) -> None:
    shutil.copytree(DATA / "stale-log-under-snapshot", tmp_path / "data")
    layout = Layout(str(tmp_path / "data"))
    for zxid in (0x100000001, 0x300000001, 0x300000003, 0x400000001):
        assert read_after(OsDisk(), layout, zxid, 0x400000006, ENOUGH) is None
    found = read_after(OsDisk(), layout, 0x400000003, 0x400000006, ENOUGH)
    assert found is not None
    assert [zxid for zxid, _ in found] == [0x400000004, 0x400000005, 0x400000006]


def test_a_cut_log_serves_what_was_kept() -> None:
    disk, _ = server()
    snapfile.save(disk, LAYOUT, DataTree())
    assert truncate(disk, LAYOUT, 15)
    write_log(disk, [E1 + 1, E1 + 2])
    assert zxids(disk, 12, E1 + 2) == [13, 14, 15, E1 + 1, E1 + 2]
    assert zxids(disk, 16, E1 + 2) is None


def test_damage_is_a_reason_to_send_a_snapshot_and_a_failing_disk_is_not() -> None:
    disk, _ = server()
    disk.files["/data/version-2/log.b"].live[60] ^= 1
    notes: list[str] = []
    assert read_after(disk, LAYOUT, 5, 25, ENOUGH, notes) is None
    assert "log.b is damaged at offset 16" in notes[0]
    assert zxids(disk, 5, 10) == [6, 7, 8, 9, 10]
    before = disk.open_files
    disk.fail_at = disk.calls + 3
    with pytest.raises(StorageError, match="errno 5"):
        read_after(disk, LAYOUT, 5, 10, ENOUGH)
    assert disk.open_files == before
