"""Replacing a small file as a whole: whenever the power fails, the old content or the new."""

import contextlib
import posixpath

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk
from ensemble.storage.layout import TEMPORARY_SUFFIX


def save_small(disk: Disk, path: str, content: bytes) -> None:
    """Durable when this returns.

    Raises:
        StorageError: the old content is still there, or after the rename perhaps the new one.
    """
    temporary = path + TEMPORARY_SUFFIX
    try:
        file = disk.create(temporary)
        try:
            file.write(content)
            file.sync()
        finally:
            file.close()
        disk.rename(temporary, path)
    except StorageError:
        with contextlib.suppress(StorageError):
            if disk.exists(temporary):
                disk.remove(temporary)
        raise
    disk.sync_folder(posixpath.dirname(path) or ".")
