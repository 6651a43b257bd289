"""A decided change of history is done, however often the power fails (storage.md 8.3, 8.4)."""

from zlib import adler32

import pytest
from simdisk import Fate, PowerCut, SimDisk

from ensemble.errors import StorageError
from ensemble.storage.layout import Layout
from ensemble.storage.redo import Change, carry_out, read_change, resume

LAYOUT = Layout("/data", "/logs")
BEFORE = {
    "/logs/version-2/log.1": b"0123456789",
    "/logs/version-2/log.5": b"five",
    "/data/version-2/snapshot.4": b"old",
    "/data/version-2/snapshot.7.tmp": b"new",
}
AFTER = {
    "/logs/version-2/log.1": b"0123",
    "/data/version-2/snapshot.7": b"new",
}


def some_disk() -> SimDisk:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    for path, content in BEFORE.items():
        file = disk.create(path)
        file.write(content)
        file.sync()
        file.close()
    disk.sync_folder("/logs/version-2")
    disk.sync_folder("/data/version-2")
    return disk


def some_change() -> Change:
    change = Change()
    change.rename("/data/version-2/snapshot.7.tmp", "/data/version-2/snapshot.7")
    change.remove("/data/version-2/snapshot.4")
    change.remove("/logs/version-2/log.5")
    change.cut("/logs/version-2/log.1", 4)
    return change


def contents(disk: SimDisk) -> dict[str, bytes]:
    """All files but a decision that was never taken, which may stay until the next start."""
    tmp = LAYOUT.redo_path() + ".tmp"
    return {path: bytes(inode.live) for path, inode in disk.files.items() if path != tmp}


def test_all_steps_are_done_and_the_decision_is_forgotten() -> None:
    disk = some_disk()
    carry_out(disk, LAYOUT, some_change())
    assert contents(disk) == AFTER
    assert contents(disk.after_cut("all lost")) == AFTER
    assert resume(disk, LAYOUT) == []


def test_nothing_to_do_touches_nothing() -> None:
    disk = some_disk()
    effects = len(disk.effects)
    carry_out(disk, LAYOUT, Change())
    assert len(disk.effects) == effects


@pytest.mark.parametrize("fate", ["all lost", "all kept", "any subset"])
def test_f1_f2_all_or_nothing_whenever_the_power_fails(fate: Fate) -> None:
    """Also when it fails again in each of the repairs."""
    whole = some_disk()
    first = len(whole.effects)
    carry_out(whole, LAYOUT, some_change())
    outcomes = set()
    for cut in range(first, len(whole.effects)):
        for seed in range(6):
            disk = some_disk()
            disk.cut_at = cut
            with pytest.raises(PowerCut):
                carry_out(disk, LAYOUT, some_change())
            decided = False
            for again in range(12):
                disk = disk.after_cut(fate, seed + again)
                found = disk.exists(LAYOUT.redo_path())
                assert found or not decided or contents(disk) == AFTER, "a decision was forgotten"
                decided = decided or found
                disk.cut_at = again
                try:
                    resume(disk, LAYOUT)
                    break
                except PowerCut:
                    pass
            found_files = contents(disk.after_cut("all lost"))
            assert found_files in (BEFORE, AFTER)
            assert not decided or found_files == AFTER
            outcomes.add(found_files == AFTER)
    assert outcomes == {True, False}


def test_f5_a_disk_that_fails_once_is_completed_by_the_next_start() -> None:
    whole = some_disk()
    first = whole.calls
    carry_out(whole, LAYOUT, some_change())
    for fail_at in range(first, whole.calls):
        disk = some_disk()
        disk.fail_at = fail_at
        with pytest.raises(StorageError):
            carry_out(disk, LAYOUT, some_change())
        assert disk.open_files == 0
        well = disk.after_cut("all kept")
        resume(well, LAYOUT)
        assert contents(well) in (BEFORE, AFTER)


def test_names_of_any_kind_survive_the_way_through_the_file() -> None:
    change = Change()
    for name in ("log.1 x", "snapshot.1.\n%41", "snapshot.2.\udcff", "log.3.é\x85"):
        change.remove(name)
        change.rename(name, name + "2")
        change.cut(name, 1 << 40)
    again = read_change(change.text(), "redo")
    assert (again.removed, again.renames, again.cuts) == (
        change.removed,
        change.renames,
        change.cuts,
    )


def test_f6_a_damaged_decision_is_not_obeyed() -> None:
    good = some_change().text()
    for at in range(len(good)):
        raw = bytearray(good)
        raw[at] ^= 0x04
        with pytest.raises(StorageError, match="/x/redo is damaged"):
            read_change(bytes(raw), "/x/redo")
    for size in range(len(good)):
        with pytest.raises(StorageError, match="/x/redo is damaged"):
            read_change(good[:size], "/x/redo")


def test_steps_of_a_later_version_are_refused_before_anything_is_done() -> None:
    text = some_change().text().replace(b"remove log.5", b"melt log.5")
    body = text.rpartition(b"end ")[0]
    disk = some_disk()
    file = disk.create(LAYOUT.redo_path())
    file.write(body + b"end %08x\n" % adler32(body))
    file.close()
    with pytest.raises(StorageError, match=r"line 4 is 'melt log.5': start that version"):
        resume(disk, LAYOUT)
    assert contents(disk).items() >= BEFORE.items()


def test_a_file_that_is_gone_and_was_never_put_in_place_is_named() -> None:
    disk = some_disk()
    change = some_change()
    change.rename("snapshot.9.tmp", "snapshot.9")
    with pytest.raises(StorageError, match=r"neither /data/version-2/snapshot.9.tmp nor"):
        carry_out(disk, LAYOUT, change)
