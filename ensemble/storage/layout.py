"""Where everything lies below the data folders, and what each name means.

    <dataDir>/myid                          the server's number
    <dataDir>/version-2/snapshot.<zxid>     the tree when <zxid> was the last applied one
    <dataDir>/version-2/currentEpoch        beside the snapshots, not the logs
    <dataDir>/version-2/acceptedEpoch
    <dataLogDir>/version-2/log.<zxid>       transactions from <zxid> on
    <dataLogDir>/initialize                 consumed at start: an empty database may be made

Source: storage.md section 2. Zxids in names are lower-case hex without prefix; a file's zxid is parsed
from the second dot-separated part, so `snapshot.1a.gz` is 0x1a.
"""

import posixpath
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.storage.disk import Disk

VERSION_FOLDER: Final = "version-2"
TEMPORARY_SUFFIX: Final = ".tmp"
SNAPSHOT_SUFFIXES: Final = {"": "", "gz": ".gz", "snappy": ".snappy"}


@final
class Layout:
    """The folders of one server. `log_folder` may be on a disk of its own."""

    __slots__ = ("data_dir", "log_dir", "log_folder", "snapshot_folder")

    def __init__(self, data_dir: str, log_dir: str | None = None) -> None:
        self.data_dir: Final = data_dir
        self.log_dir: Final = log_dir or data_dir
        self.snapshot_folder: Final = posixpath.join(self.data_dir, VERSION_FOLDER)
        self.log_folder: Final = posixpath.join(self.log_dir, VERSION_FOLDER)

    def log_path(self, zxid: int) -> str:
        return posixpath.join(self.log_folder, f"log.{zxid & 0xFFFFFFFFFFFFFFFF:x}")

    def snapshot_path(self, zxid: int, compression: str = "") -> str:
        name = f"snapshot.{zxid & 0xFFFFFFFFFFFFFFFF:x}{SNAPSHOT_SUFFIXES[compression]}"
        return posixpath.join(self.snapshot_folder, name)

    def epoch_path(self, name: str) -> str:
        return posixpath.join(self.snapshot_folder, name)

    def make_folders(self, disk: Disk) -> None:
        """Create what is missing, and refuse folders that were mixed up (storage.md 2)."""
        disk.make_folder(self.snapshot_folder)
        disk.make_folder(self.log_folder)
        if self.log_folder != self.snapshot_folder:
            for name in disk.names(self.log_folder):
                if name.startswith("snapshot."):
                    raise ConfigError(f"{self.log_folder} holds {name}", "dataLogDir")
            for name in disk.names(self.snapshot_folder):
                if name.startswith("log."):
                    raise ConfigError(f"{self.snapshot_folder} holds {name}", "dataDir")

    def logs(self, disk: Disk) -> list[tuple[int, str]]:
        """(zxid, path) of every log file, ascending."""
        return found(disk, self.log_folder, "log")

    def snapshots(self, disk: Disk) -> list[tuple[int, str]]:
        """(zxid, path) of every snapshot, ascending. Unfinished ones (.tmp) are none."""
        return found(disk, self.snapshot_folder, "snapshot")


def found(disk: Disk, folder: str, kind: str) -> list[tuple[int, str]]:
    files: list[tuple[int, str]] = []
    for name in disk.names(folder):
        parts = name.split(".")
        if parts[0] != kind or len(parts) < 2 or name.endswith(TEMPORARY_SUFFIX):
            continue
        try:
            zxid = int(parts[1], 16)
        except ValueError:
            continue
        if zxid >= 1 << 63:
            zxid -= 1 << 64
        files.append((zxid, posixpath.join(folder, name)))
    return sorted(files)


def compression_of(path: str) -> str:
    """What a snapshot's last extension says; anything unknown means none."""
    extension = path.rpartition(".")[2]
    return extension if extension in ("gz", "snappy") else ""
