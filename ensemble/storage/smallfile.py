"""Putting a file in place as a whole: whenever the power fails, the old content or the new."""

import contextlib
import posixpath
from collections.abc import Callable

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk
from ensemble.storage.layout import TEMPORARY_SUFFIX


def save_small(disk: Disk, path: str, content: bytes) -> None:
    """Durable when this returns.

    Raises:
        StorageError: as for `put_in_place`.
    """

    def write(temporary: str) -> None:
        file = disk.create(temporary)
        try:
            file.write(content)
            file.sync()
        finally:
            file.close()

    put_in_place(disk, path, write)


def put_in_place(disk: Disk, path: str, write: Callable[[str], None]) -> None:
    """Have `write` write and sync a temporary file, and give it its name. Then it is durable.

    Raises:
        StorageError: the old content is still there, or after the rename perhaps the new one.
            Nothing else is left behind, unless the disk refuses to remove it, too.
    """
    temporary = path + TEMPORARY_SUFFIX
    try:
        write(temporary)
        disk.rename(temporary, path)
    except StorageError:
        with contextlib.suppress(StorageError):
            if disk.exists(temporary):
                disk.remove(temporary)
        raise
    disk.sync_folder(posixpath.dirname(path) or ".")
