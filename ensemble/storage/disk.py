"""Every file operation of the project, behind one small interface.

`OsDisk` is the real one; tests put a simulated disk in its place that loses power, tears writes and
fills up. Files are 0600 and folders 0700 whatever the umask (trust.md B13). An OSError becomes a
StorageError that names the file and says what the kernel said.
"""

import os
from typing import Final, Protocol, final

from ensemble.errors import StorageError

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


class File(Protocol):
    """An open file. Writes go to the position behind the last one."""

    def write(self, data: bytes) -> None: ...

    def write_at(self, offset: int, data: bytes) -> None: ...

    def extend(self, size: int) -> None:
        """Make the file at least `size` bytes long, with zeros."""
        ...

    def sync(self) -> None:
        """Put all written data on the platter (fdatasync)."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """What the storage layer asks of an operating system. Paths are absolute."""

    def create(self, path: str) -> File:
        """Open for writing; an existing file loses its content."""
        ...

    def open_for_cut(self, path: str) -> "Cutter": ...

    def read(self, path: str) -> bytes: ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder; empty where there is no such folder."""
        ...

    def size(self, path: str) -> int: ...

    def exists(self, path: str) -> bool: ...

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, path: str) -> None: ...

    def make_folder(self, path: str) -> None: ...

    def sync_folder(self, path: str) -> None:
        """Put names that were created, renamed or removed on the platter."""
        ...


class Cutter(Protocol):
    """An existing file that is about to be shortened."""

    def cut(self, size: int) -> None: ...

    def close(self) -> None: ...


def failed(what: str, path: str, error: OSError) -> StorageError:
    return StorageError(f"{what} {path}: {error.strerror} ({error.errno})")


@final
class OsFile:
    """A file of the operating system."""

    __slots__ = ("at", "fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path: Final = path
        self.fd: Final = fd
        self.at = 0

    def write(self, data: bytes) -> None:
        self.write_at(self.at, data)
        self.at += len(data)

    def write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self.fd, view, offset)
                view = view[count:]
                offset += count
        except OSError as error:
            raise failed("cannot write", self.path, error) from error

    def extend(self, size: int) -> None:
        try:
            os.posix_fallocate(self.fd, 0, size)
        except OSError as error:
            raise failed(f"cannot extend to {size} bytes", self.path, error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            raise failed("cannot sync", self.path, error) from error

    def close(self) -> None:
        os.close(self.fd)


@final
class OsCutter:
    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path: Final = path
        self.fd: Final = fd

    def cut(self, size: int) -> None:
        try:
            os.ftruncate(self.fd, size)
            os.fsync(self.fd)
        except OSError as error:
            raise failed(f"cannot cut to {size} bytes", self.path, error) from error

    def close(self) -> None:
        os.close(self.fd)


@final
class OsDisk:
    """The real disk."""

    def create(self, path: str) -> File:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
            os.fchmod(fd, FILE_MODE)
        except OSError as error:
            raise failed("cannot create", path, error) from error
        return OsFile(path, fd)

    def open_for_cut(self, path: str) -> Cutter:
        try:
            return OsCutter(path, os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            raise failed("cannot open", path, error) from error

    def read(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise failed("cannot read", path, error) from error

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise failed("cannot list", folder, error) from error

    def size(self, path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise failed("cannot stat", path, error) from error

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def rename(self, old: str, new: str) -> None:
        try:
            os.rename(old, new)
        except OSError as error:
            raise failed("cannot rename", old, error) from error

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except OSError as error:
            raise failed("cannot remove", path, error) from error

    def make_folder(self, path: str) -> None:
        try:
            os.makedirs(path, FOLDER_MODE, exist_ok=True)
        except OSError as error:
            raise failed("cannot make folder", path, error) from error

    def sync_folder(self, path: str) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise failed("cannot open", path, error) from error
        try:
            os.fsync(fd)
        except OSError as error:
            raise failed("cannot sync", path, error) from error
        finally:
            os.close(fd)
