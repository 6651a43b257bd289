"""The real disk: modes, errors that name the file, and what is durable."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.errors import StorageError
from ensemble.storage.disk import OsDisk


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=["umask-000", "umask-022", "umask-277"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_b13_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    OsDisk().make_folder(str(folder))
    OsDisk().create(str(folder / "file")).close()
    assert mode(tmp_path / "a") == 0o700
    assert mode(folder) == 0o700
    assert mode(folder / "file") == 0o600


def test_b13_an_older_file_becomes_private_when_it_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    OsDisk().create(str(path)).close()
    assert mode(path) == 0o600
    assert path.read_bytes() == b""


def test_a_folder_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    OsDisk().make_folder(str(tmp_path))
    assert mode(tmp_path) == 0o755


def test_a_folder_may_be_named_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    OsDisk().make_folder("data/version-2")
    assert (tmp_path / "data" / "version-2").is_dir()


def test_write_goes_on_where_the_last_write_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = OsDisk().create(str(path))
    file.write(b"abc")
    file.write_at(8, b"xyz")
    file.write(b"def")
    file.extend(20)
    file.sync()
    assert path.read_bytes() == b"abcdef\0\0xyz" + bytes(9)
    file.shrink(4)
    file.close()
    assert path.read_bytes() == b"abcd"


def test_extend_never_shortens(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = OsDisk().create(str(path))
    file.write(b"abcdef")
    file.extend(3)
    file.close()
    assert path.read_bytes() == b"abcdef"


def test_read_at_gives_less_only_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    source = OsDisk().open(str(tmp_path / "file"))
    assert (source.size(), source.read_at(2, 3)) == (10, b"234")
    assert source.read_at(8, 5) == b"89"
    assert source.read_at(10, 5) == b""
    source.close()


def test_names_are_sorted_and_a_missing_folder_has_none(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(b"")
    assert OsDisk().names(str(tmp_path)) == ["a", "b"]
    assert OsDisk().names(str(tmp_path / "none")) == []


def test_a_cut_leaves_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    OsDisk().cut(str(tmp_path / "file"), 4)
    assert (tmp_path / "file").read_bytes() == b"0123"


def test_a_part_that_is_written_again_is_as_it_was_f5(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    OsDisk().rewrite(str(path), 3, 7)
    OsDisk().rewrite(str(path), 0, 10)
    OsDisk().rewrite(str(path), 7, 7)
    assert path.read_bytes() == b"0123456789"
    with pytest.raises(StorageError, match="became shorter"):
        OsDisk().rewrite(str(path), 7, 11)
    with pytest.raises(StorageError, match=r"cannot open .*/gone: No such file"):
        OsDisk().rewrite(str(tmp_path / "gone"), 0, 1)
    assert path.read_bytes() == b"0123456789"


def test_rename_replaces_and_remove_removes(tmp_path: Path) -> None:
    disk = OsDisk()
    (tmp_path / "old").write_bytes(b"1")
    (tmp_path / "new").write_bytes(b"2")
    disk.rename(str(tmp_path / "old"), str(tmp_path / "new"))
    disk.sync_folder(str(tmp_path))
    assert (tmp_path / "new").read_bytes() == b"1"
    disk.remove(str(tmp_path / "new"))
    assert disk.names(str(tmp_path)) == []
    assert disk.free_bytes(str(tmp_path)) > 0


@pytest.mark.parametrize(
    "what",
    ["open", "read", "remove", "sync_folder", "free_bytes"],
)
def test_an_error_names_the_file_and_what_the_kernel_said(what: str, tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    with pytest.raises(StorageError, match=r"none: No such file or directory \(errno 2\)"):
        getattr(OsDisk(), what)(path)


def test_errors_of_calls_with_two_arguments_name_the_file_too(tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "file")
    disk = OsDisk()
    for call in (
        lambda: disk.create(path),
        lambda: disk.rename(path, path),
        lambda: disk.cut(path, 0),
    ):
        with pytest.raises(StorageError, match="none/file: No such file"):
            call()


def test_a_disk_that_cannot_answer_does_not_pass_for_a_missing_file(tmp_path: Path) -> None:
    """Else an unreadable currentEpoch would be made anew."""
    (tmp_path / "file").write_bytes(b"")
    assert OsDisk().exists(str(tmp_path / "file"))
    assert not OsDisk().exists(str(tmp_path / "none"))
    with pytest.raises(StorageError, match="Not a directory"):
        OsDisk().exists(str(tmp_path / "file" / "below"))


def test_f9_a_full_device_is_a_storage_error() -> None:
    """/dev/full refuses every write with ENOSPC."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    fd = os.open("/dev/full", os.O_WRONLY)
    os.close(fd)
    from ensemble.storage.disk import OsFile

    file = OsFile("/dev/full", os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(StorageError, match=r"/dev/full: No space left on device \(errno 28\)"):
        file.write(b"x")
    file.close()
