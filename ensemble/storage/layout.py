"""Where everything lies below the data folders, and what each name means.

    <dataDir>/myid                          the server's number
    <dataDir>/version-2/snapshot.<zxid>     the tree when <zxid> was the last applied one;
                                            .gz or .snappy behind it: compressed; .tmp: unfinished
    <dataDir>/version-2/currentEpoch        beside the snapshots, not the logs
    <dataDir>/version-2/acceptedEpoch
    <dataDir>/version-2/redo                a change of history that was decided and is not done yet
    <dataLogDir>/version-2/log.<zxid>       transactions from <zxid> on
    <dataLogDir>/initialize                 consumed at start: an empty database may be made

Source: storage.md section 2. Zxids in names are lower-case hex without prefix; a file's zxid is
parsed from the second dot-separated part, so `snapshot.1a.gz` is 0x1a.
"""

import posixpath
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.storage.disk import Disk

VERSION_FOLDER: Final = "version-2"
INITIALIZE: Final = "initialize"
REDO: Final = "redo"
TEMPORARY_SUFFIX: Final = ".tmp"
COMPRESSIONS: Final = ("", "gz", "snappy")
HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
ZXID_MAX: Final = (1 << 63) - 1


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
        return posixpath.join(self.log_folder, f"log.{zxid:x}")

    def snapshot_path(self, zxid: int, compression: str = "") -> str:
        assert compression in COMPRESSIONS
        suffix = "." + compression if compression else ""
        return posixpath.join(self.snapshot_folder, f"snapshot.{zxid:x}{suffix}")

    def epoch_path(self, name: str) -> str:
        return posixpath.join(self.snapshot_folder, name)

    def redo_path(self) -> str:
        return posixpath.join(self.snapshot_folder, REDO)

    def initialize_path(self) -> str:
        return posixpath.join(self.log_dir, INITIALIZE)

    def make_folders(self, disk: Disk) -> None:
        """Create what is missing, and refuse folders that were mixed up (storage.md 2).

        Raises:
            ConfigError: with folders of their own for logs and snapshots, one holds the other's.
        """
        disk.make_folder(self.snapshot_folder)
        disk.make_folder(self.log_folder)
        if self.log_folder == self.snapshot_folder:
            return
        for name in disk.names(self.log_folder):
            if name.startswith("snapshot."):
                raise ConfigError(
                    f"{self.log_folder} holds {name}: snapshots belong into dataDir, "
                    f"{self.snapshot_folder}",
                    "dataLogDir",
                )
        for name in disk.names(self.snapshot_folder):
            if name.startswith("log."):
                raise ConfigError(
                    f"{self.snapshot_folder} holds {name}: logs belong into dataLogDir, "
                    f"{self.log_folder}. Move them there",
                    "dataDir",
                )

    def logs(self, disk: Disk) -> list[tuple[int, str]]:
        """(zxid, path) of every log file, ascending."""
        return found(disk, self.log_folder, "log")

    def snapshots(self, disk: Disk) -> list[tuple[int, str]]:
        """(zxid, path) of every snapshot, ascending. Unfinished ones (.tmp) are none."""
        return found(disk, self.snapshot_folder, "snapshot")

    def unfinished_snapshots(self, disk: Disk) -> list[str]:
        """Paths of what a stop in the middle of a snapshot has left."""
        return [
            posixpath.join(self.snapshot_folder, name)
            for name in disk.names(self.snapshot_folder)
            if name.startswith("snapshot.") and name.endswith(TEMPORARY_SUFFIX)
        ]


def found(disk: Disk, folder: str, kind: str) -> list[tuple[int, str]]:
    """The files of one kind whose names say a zxid, by that zxid."""
    files: list[tuple[int, str]] = []
    for name in disk.names(folder):
        if not name.startswith(kind + ".") or name.endswith(TEMPORARY_SUFFIX):
            continue
        zxid = zxid_of(name)
        if zxid is not None:
            files.append((zxid, posixpath.join(folder, name)))
    return sorted(files)


def zxid_of(path: str) -> int | None:
    """The zxid that a file's name says, or None."""
    parts = posixpath.basename(path).split(".")
    if len(parts) < 2 or not parts[1] or not HEX_DIGITS.issuperset(parts[1]):
        return None
    zxid = int(parts[1], 16)
    return zxid if zxid <= ZXID_MAX else None


def compression_of(path: str) -> str:
    """What a snapshot's last extension says, finished or not; anything unknown means none."""
    extension = path.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2]
    return extension if extension in COMPRESSIONS else ""
