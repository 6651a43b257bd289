"""The two epoch files: which leader this server has promised to follow, and which it has followed.

Source: storage.md 2 and 2.1. Written to a temporary file, synced, renamed, folder synced: an epoch that
was acknowledged must not vanish with a rename that never reached the disk.
"""

from typing import Final

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk
from ensemble.storage.layout import TEMPORARY_SUFFIX, Layout

ACCEPTED: Final = "acceptedEpoch"
CURRENT: Final = "currentEpoch"


def load_epoch(disk: Disk, layout: Layout, name: str) -> int | None:
    """The stored epoch, or None where there is no such file."""
    path = layout.epoch_path(name)
    if not disk.exists(path):
        return None
    text = disk.read(path).decode("ascii", "replace").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise StorageError(f"{path} holds {text[:40]!r}, an epoch in decimal is expected")
    return int(text)


def save_epoch(disk: Disk, layout: Layout, name: str, epoch: int) -> None:
    """Durable when this returns."""
    path = layout.epoch_path(name)
    temporary = path + TEMPORARY_SUFFIX
    file = disk.create(temporary)
    try:
        file.write(str(epoch).encode())
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_folder(layout.snapshot_folder)
