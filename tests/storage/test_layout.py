"""File names and folders (storage.md section 2)."""

from pathlib import Path

import pytest
from simdisk import SimDisk

from ensemble.errors import ConfigError
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout, compression_of, zxid_of


def test_names_carry_the_zxid_in_hex_without_padding() -> None:
    layout = Layout("/data", "/logs")
    assert layout.log_path(0x10000002D) == "/logs/version-2/log.10000002d"
    assert layout.snapshot_path(0) == "/data/version-2/snapshot.0"
    assert layout.snapshot_path(26, "gz") == "/data/version-2/snapshot.1a.gz"
    assert layout.epoch_path("currentEpoch") == "/data/version-2/currentEpoch"
    assert layout.initialize_path() == "/logs/initialize"


def test_logs_lie_beside_the_snapshots_unless_said_otherwise() -> None:
    layout = Layout("/data")
    assert layout.log_folder == layout.snapshot_folder == "/data/version-2"


@pytest.mark.parametrize(
    ("name", "zxid"),
    [
        ("snapshot.1a.gz", 0x1A),
        ("snapshot.0", 0),
        ("log.FF", 0xFF),
        ("log.7fffffffffffffff", (1 << 63) - 1),
        ("log.8000000000000000", None),
        ("log.", None),
        ("log", None),
        ("log.0x5", None),
        ("log.-5", None),
        ("log.1_0", None),
        ("log. 5", None),
        ("log.xyz", None),
    ],
)
def test_a_zxid_is_parsed_from_the_second_part_or_not_at_all(name: str, zxid: int | None) -> None:
    assert zxid_of("/folder/" + name) == zxid


def test_files_are_ordered_by_zxid_and_others_are_passed_over(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    layout.make_folders(OsDisk())
    names = ["log.10", "log.9", "log.a", "log.nothex", "logs.1", "log.3.tmp", "snapshot.5.tmp"]
    names += ["snapshot.10.gz", "snapshot.2", "acceptedEpoch"]
    for name in names:
        (tmp_path / "version-2" / name).write_bytes(b"")
    assert [zxid for zxid, _ in layout.logs(OsDisk())] == [0x9, 0xA, 0x10]
    assert [zxid for zxid, _ in layout.snapshots(OsDisk())] == [0x2, 0x10]
    assert [Path(path).name for path in layout.unfinished_snapshots(OsDisk())] == ["snapshot.5.tmp"]


@pytest.mark.parametrize(
    ("path", "compression"),
    [("/x/snapshot.5", ""), ("s.5.gz", "gz"), ("s.5.snappy", "snappy"), ("s.5.bz2", "")],
)
def test_the_last_extension_says_the_compression(path: str, compression: str) -> None:
    assert compression_of(path) == compression


def test_mixed_up_folders_are_refused() -> None:
    """storage.md 2: a snapshot in dataLogDir, a log in dataDir."""
    layout = Layout("/data", "/logs")
    disk = SimDisk()
    layout.make_folders(disk)
    disk.create("/logs/version-2/snapshot.5")
    with pytest.raises(ConfigError, match=r"dataLogDir: /logs/version-2 holds snapshot\.5"):
        layout.make_folders(disk)
    disk.remove("/logs/version-2/snapshot.5")
    disk.create("/data/version-2/log.5")
    with pytest.raises(ConfigError, match=r"dataDir: /data/version-2 holds log\.5"):
        layout.make_folders(disk)


def test_f2_new_folders_survive_a_power_cut() -> None:
    disk = SimDisk()
    Layout("/data", "/logs").make_folders(disk)
    assert disk.after_cut("all lost").folders == {
        "/",
        "/data",
        "/data/version-2",
        "/logs",
        "/logs/version-2",
    }
