"""The ensemble's configuration on the disk (storage.md 2.2, zab.md 7 and 10)."""

from pathlib import Path

import pytest
from simdisk import Fate, PowerCut, SimDisk

from ensemble.errors import ConfigError, StorageError
from ensemble.storage import members_file
from ensemble.storage.disk import OsDisk

DATA = Path(__file__).parent / "data"
STATIC = "/etc/zk/zoo.cfg"
OLD_TEXT = b"server.1=a:1:2:participant;0.0.0.0:3\nversion=100000000"
NEW_TEXT = OLD_TEXT.replace(b"\nversion=100000000", b"\nserver.2=b:1:2:observer\nversion=10000002d")
OLD_STATIC = b"dataDir=/data\nserver.1=a:1:2\n"
NEW_STATIC = b"dataDir=/data\ndynamicConfigFile=/etc/zk/zoo.cfg.dynamic.10000002d\n"


def some_disk(*files: tuple[str, bytes]) -> SimDisk:
    disk = SimDisk()
    disk.make_folder("/etc/zk")
    for path, content in [(STATIC, OLD_STATIC), *files]:
        file = disk.create(path)
        file.write(content)
        file.sync()
        file.close()
    disk.sync_folder("/etc/zk")
    return disk


def contents(disk: SimDisk) -> dict[str, bytes]:
    """By the end of the name; what a cut left unfinished does not count."""
    return {
        path.removeprefix(STATIC): bytes(inode.live)
        for path, inode in disk.files.items()
        if not path.endswith(".tmp")
    }


def test_a_real_servers_dynamic_file_gets_its_version_from_its_name() -> None:
    path = DATA / "member-voter" / "zoo.cfg.dynamic.10000002d"
    text = members_file.load(OsDisk(), str(path))
    assert text == path.read_bytes() + b"\nversion=10000002d"
    assert text.count(b"server.") == 4


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("zoo.cfg.dynamic", 0),
        ("zoo.cfg.dynamic.next", 0),
        ("zoo.cfg.dynamic.0", 0),
        ("zoo.cfg.dynamic.10000002D", 0x10000002D),
        ("zoo.cfg.dynamic.7fffffffffffffff", (1 << 63) - 1),
        ("zoo.cfg.dynamic.8000000000000000", 0),
        ("zoo.cfg.dynamic.", 0),
        ("members", 0),
        ("x.5/members", 0),
    ],
)
def test_a_name_without_a_hex_suffix_means_version_0(name: str, version: int) -> None:
    assert members_file.version_of("/etc/zk/" + name) == version


def test_a_committed_configuration_is_what_java_writes_and_comes_back() -> None:
    disk = some_disk()
    path = members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=True)
    assert path == STATIC + ".dynamic.10000002d"
    assert contents(disk.after_cut("all lost")) == {
        "": NEW_STATIC,
        ".bak": OLD_STATIC,
        ".dynamic.10000002d": b"server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:observer",
    }
    assert members_file.load(disk, path) == NEW_TEXT


def test_a_proposal_comes_back_until_it_is_committed_or_overtaken() -> None:
    disk = some_disk()
    assert members_file.load_proposed(disk, STATIC, 0) is None
    members_file.save_proposed(disk, STATIC, NEW_TEXT)
    disk = disk.after_cut("all lost")
    assert contents(disk)[".dynamic.next"] == NEW_TEXT
    assert members_file.load_proposed(disk, STATIC, 0x10000002C) == NEW_TEXT
    assert members_file.load_proposed(disk, STATIC, 0x10000002D) is None
    members_file.activate(disk, STATIC, OLD_TEXT, OLD_STATIC, backup=False)
    assert ".dynamic.next" in contents(disk), "an older one does not overtake it"
    members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=False)
    assert ".dynamic.next" not in contents(disk.after_cut("all lost"))


def test_the_backup_is_of_the_file_before_it_named_a_dynamic_one() -> None:
    disk = some_disk()
    members_file.activate(disk, STATIC, OLD_TEXT, b"first\n", backup=True)
    members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=False)
    assert contents(disk)[".bak"] == OLD_STATIC


def test_files_that_are_right_already_are_not_written() -> None:
    """A folder of the administrator's, where this server may write nothing."""
    disk = some_disk()
    members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=False)
    effects = len(disk.effects)
    members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=False)
    assert set(disk.effects[effects:]) == {"sync folder /etc/zk"}


@pytest.mark.parametrize("fate", ["all lost", "all kept", "any subset"])
def test_f1_f2_whenever_the_power_fails_old_or_new_members_are_named_and_there(fate: Fate) -> None:
    def run(disk: SimDisk) -> None:
        members_file.save_proposed(disk, STATIC, NEW_TEXT)
        members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=True)

    whole = some_disk()
    first = len(whole.effects)
    run(whole)
    seen = set()
    for cut in range(first, len(whole.effects)):
        for seed in range(4):
            disk = some_disk()
            disk.cut_at = cut
            with pytest.raises(PowerCut):
                run(disk)
            disk = disk.after_cut(fate, seed)
            found = contents(disk)
            assert found[""] in (OLD_STATIC, NEW_STATIC)
            assert found.get(".bak", OLD_STATIC) == OLD_STATIC
            assert found.get(".dynamic.next", NEW_TEXT) == NEW_TEXT
            if found[""] == NEW_STATIC:
                path = members_file.dynamic_path(STATIC, 0x10000002D)
                assert members_file.load(disk, path) == NEW_TEXT
            members_file.load_proposed(disk, STATIC, 0)
            seen.add(found[""])
            run(disk)
            assert contents(disk.after_cut("all lost"))[""] == NEW_STATIC
    assert seen == {OLD_STATIC, NEW_STATIC}


def test_f5_a_disk_that_fails_is_reported_and_nothing_is_half_done() -> None:
    whole = some_disk()
    first = whole.calls
    members_file.activate(whole, STATIC, NEW_TEXT, NEW_STATIC, backup=True)
    for fail_at in range(first, whole.calls):
        disk = some_disk()
        disk.fail_at = fail_at
        with pytest.raises(StorageError):
            members_file.activate(disk, STATIC, NEW_TEXT, NEW_STATIC, backup=True)
        assert disk.open_files == 0
        assert contents(disk)[""] in (OLD_STATIC, NEW_STATIC)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"server.1=a:1:2\nversion=5", "has a line version=, only its name"),
        (b"version=xyz", "version='xyz', at most 0x7fffffffffffffff in hex"),
        (b"x" * (members_file.FILE_BYTES_MAX + 1), "has 524289 bytes, 524288 at most"),
    ],
)
def test_a_dynamic_file_that_no_server_writes_is_refused(content: bytes, why: str) -> None:
    disk = some_disk((STATIC + ".dynamic.5", content))
    with pytest.raises(ConfigError, match=f"/etc/zk/zoo.cfg.dynamic.5.*{why}"):
        members_file.load(disk, STATIC + ".dynamic.5")
    assert disk.open_files == 0


def test_a_dynamic_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"zoo.cfg.dynamic.7 is not there"):
        members_file.load(some_disk(), STATIC + ".dynamic.7")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"server.1=a:1:2", "has no line version=: remove the file"),
        (b"", "has no line version="),
        (b"version=", "version=''"),
        (b"version=8000000000000000", "version='8000000000000000'"),
        (b"version=-1", "version='-1'"),
        (b"version=\xff", "in hex is expected"),
    ],
)
def test_a_proposal_that_no_server_writes_is_refused(content: bytes, why: str) -> None:
    disk = some_disk((STATIC + ".dynamic.next", content))
    with pytest.raises(ConfigError, match=why):
        members_file.load_proposed(disk, STATIC, 0)
