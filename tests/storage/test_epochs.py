"""The epoch files: what they hold, and the rules at start (storage.md 2, 2.1)."""

import pytest
from simdisk import PowerCut, SimDisk

from ensemble.errors import StorageError
from ensemble.storage.epochs import ACCEPTED, CURRENT, load_epoch, load_epochs, save_epoch
from ensemble.storage.layout import Layout

LAYOUT = Layout("/data")


def disk_with(current: int | None, accepted: int | None) -> SimDisk:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    if current is not None:
        save_epoch(disk, LAYOUT, CURRENT, current)
    if accepted is not None:
        save_epoch(disk, LAYOUT, ACCEPTED, accepted)
    return disk


@pytest.mark.parametrize("epoch", [0, 7, (1 << 31) - 1])
def test_an_epoch_is_stored_in_decimal_without_a_newline(epoch: int) -> None:
    disk = disk_with(epoch, None)
    assert disk.read("/data/version-2/currentEpoch") == str(epoch).encode()
    assert load_epoch(disk, LAYOUT, CURRENT) == epoch
    assert load_epoch(disk, LAYOUT, ACCEPTED) is None
    assert disk.names("/data/version-2") == ["currentEpoch"]


def test_f1_a_power_cut_leaves_the_old_epoch_or_the_new_one() -> None:
    whole = disk_with(3, None)
    before = len(whole.effects)
    save_epoch(whole, LAYOUT, CURRENT, 4)
    seen = set()
    for cut in range(before, len(whole.effects)):
        for seed in range(20):
            disk = disk_with(3, None)
            disk.cut_at = cut
            with pytest.raises(PowerCut):
                save_epoch(disk, LAYOUT, CURRENT, 4)
            seen.add(load_epoch(disk.after_cut("any subset", seed), LAYOUT, CURRENT))
    assert seen == {3, 4}
    assert load_epoch(whole.after_cut("all lost"), LAYOUT, CURRENT) == 4


def test_an_epoch_that_cannot_be_stored_leaves_no_file_behind() -> None:
    disk = disk_with(3, None)
    disk.fail_at = disk.calls + 1
    disk.full = True
    with pytest.raises(StorageError, match="No space left"):
        save_epoch(disk, LAYOUT, CURRENT, 4)
    assert disk.names("/data/version-2") == ["currentEpoch"]
    assert load_epoch(disk, LAYOUT, CURRENT) == 3


@pytest.mark.parametrize(
    "raw", [b"", b"x", b"-1", b"2147483648", b"1.5", b"\xb2", b"9" * 50, b"1 2"]
)
def test_a_file_that_holds_no_epoch_is_refused(raw: bytes) -> None:
    disk = disk_with(None, None)
    disk.create("/data/version-2/currentEpoch").write(raw)
    with pytest.raises(StorageError, match="/data/version-2/currentEpoch holds"):
        load_epoch(disk, LAYOUT, CURRENT)


def test_a_newline_behind_the_number_is_forgiven() -> None:
    disk = disk_with(None, None)
    disk.create("/data/version-2/currentEpoch").write(b"5\n")
    assert load_epoch(disk, LAYOUT, CURRENT) == 5


@pytest.mark.parametrize(
    ("current", "accepted", "logged", "expected"),
    [
        (None, None, 0, (0, 0)),
        (None, None, 5, (5, 5)),
        (None, 7, 5, (5, 7)),
        (5, 7, 5, (5, 7)),
        (5, 5, 3, (5, 5)),
        (3, 5, 5, (5, 5)),  # ZOOKEEPER-2354: the Java server refuses without a .tmp file
        (5, None, 5, (5, 5)),
    ],
)
def test_f21_epochs_at_start_follow_the_database(
    current: int | None, accepted: int | None, logged: int, expected: tuple[int, int]
) -> None:
    disk = disk_with(current, accepted)
    epochs = load_epochs(disk, LAYOUT, (logged << 32) + 9)
    assert (epochs.current, epochs.accepted) == expected
    assert load_epoch(disk, LAYOUT, CURRENT) == expected[0]
    assert load_epoch(disk, LAYOUT, ACCEPTED) == expected[1]


@pytest.mark.parametrize(
    ("current", "accepted", "logged", "text"),
    [
        (7, 5, 5, "acceptedEpoch says 5, less than the 7"),
        (7, None, 5, "less than the 7"),
        (3, 4, 5, "in epoch 5, but /data/version-2/acceptedEpoch says 4"),
        (None, 4, 5, "in epoch 5"),
    ],
)
def test_f21_epochs_that_contradict_the_database_are_refused(
    current: int | None, accepted: int | None, logged: int, text: str
) -> None:
    disk = disk_with(current, accepted)
    before = {path: bytes(inode.live) for path, inode in disk.files.items()}
    with pytest.raises(StorageError, match=text):
        load_epochs(disk, LAYOUT, logged << 32)
    assert {path: bytes(inode.live) for path, inode in disk.files.items()} == before


def test_a_database_of_zxid_minus_one_has_epoch_zero() -> None:
    """storage.md 2.3: -1 means that the data may have been lost."""
    assert load_epochs(disk_with(None, None), LAYOUT, -1).current == 0
