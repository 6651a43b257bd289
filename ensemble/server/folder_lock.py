"""One server at a time works on a data folder."""

import fcntl
import os
import time
from typing import Final

from ensemble.errors import StorageError

LOCK_TIMEOUT_S: Final = 10.0


def lock_folder(folder: str) -> int:
    """Hold the folder for this server and its log process; the descriptor is the lock.

    Raises:
        StorageError: another server works on it and did not end within the time.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise StorageError(f"another server is running on {folder}: stop it") from None
            time.sleep(0.02)
