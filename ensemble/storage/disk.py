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
    """A new file that is being written. Nothing is safe before `sync`."""

    def write(self, data: bytes) -> None:
        """Write behind what `write` has written before."""
        ...

    def write_at(self, offset: int, data: bytes) -> None:
        """Write somewhere else; the position of `write` does not move."""
        ...

    def extend(self, size: int) -> None:
        """Reserve space: at least `size` bytes, with zeros behind what was written."""
        ...

    def shrink(self, size: int) -> None:
        """Give back the space behind `size` bytes. Not durable, and need not be."""
        ...

    def sync(self) -> None:
        """Put all written data on the platter (fdatasync)."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """An existing file that is being read."""

    def size(self) -> int: ...

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end of the file."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """What the storage layer asks of an operating system. Paths are absolute."""

    def create(self, path: str) -> File:
        """Open for writing; an existing file loses its content."""
        ...

    def open(self, path: str) -> Source: ...

    def read(self, path: str) -> bytes:
        """All of a small file."""
        ...

    def cut(self, path: str, size: int) -> None:
        """Shorten a file to `size` bytes; durable when this returns."""
        ...

    def rewrite(self, path: str, begin: int, end: int) -> None:
        """Write a part of a file again, as it is; durable when this returns."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty where there is no such folder."""
        ...

    def exists(self, path: str) -> bool: ...

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, path: str) -> None: ...

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, where they are missing; durable when this returns."""
        ...

    def sync_folder(self, path: str) -> None:
        """Put names that were created, renamed or removed on the platter."""
        ...

    def free_bytes(self, folder: str) -> int:
        """How much this server may still write there."""
        ...


def file_bytes(disk: Disk, path: str) -> int:
    """How long a file is."""
    source = disk.open(path)
    try:
        return source.size()
    finally:
        source.close()


def failed(what: str, path: str, error: OSError) -> StorageError:
    """An error of the operating system, with the file it is about."""
    return StorageError(f"{what} {path}: {error.strerror} (errno {error.errno})")


@final
class OsFile:
    """A file of the operating system, open for writing."""

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

    def shrink(self, size: int) -> None:
        try:
            os.ftruncate(self.fd, size)
        except OSError as error:
            raise failed(f"cannot cut to {size} bytes", self.path, error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            raise failed("cannot sync", self.path, error) from error

    def close(self) -> None:
        try:
            os.close(self.fd)
        except OSError as error:
            raise failed("cannot close", self.path, error) from error


@final
class OsSource:
    """A file of the operating system, open for reading."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path: Final = path
        self.fd: Final = fd

    def size(self) -> int:
        try:
            return os.fstat(self.fd).st_size
        except OSError as error:
            raise failed("cannot stat", self.path, error) from error

    def read_at(self, offset: int, count: int) -> bytes:
        try:
            data = os.pread(self.fd, count, offset)
            while 0 < len(data) < count:  # one call gives at most 2 GiB, and less after a signal
                more = os.pread(self.fd, count - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise failed(f"cannot read at offset {offset} of", self.path, error) from error
        return data

    def close(self) -> None:
        os.close(self.fd)


@final
class OsDisk:
    """The real disk."""

    __slots__ = ()

    def create(self, path: str) -> File:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise failed("cannot create", path, error) from error
        try:
            os.fchmod(fd, FILE_MODE)  # an older file of that name, or a strange umask
        except OSError as error:
            os.close(fd)
            raise failed("cannot create", path, error) from error
        return OsFile(path, fd)

    def open(self, path: str) -> Source:
        try:
            return OsSource(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise failed("cannot open", path, error) from error

    def read(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise failed("cannot read", path, error) from error

    def cut(self, path: str, size: int) -> None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise failed("cannot open", path, error) from error
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        except OSError as error:
            raise failed(f"cannot cut to {size} bytes", path, error) from error
        finally:
            os.close(fd)

    def rewrite(self, path: str, begin: int, end: int) -> None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise failed("cannot open", path, error) from error
        try:
            while begin < end:
                count = os.pwrite(fd, os.pread(fd, end - begin, begin), begin)
                if count == 0:
                    raise StorageError(f"{path} became shorter while it was read")
                begin += count
            os.fsync(fd)
        except OSError as error:
            raise failed("cannot write", path, error) from error
        finally:
            os.close(fd)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise failed("cannot list", folder, error) from error

    def exists(self, path: str) -> bool:
        # Not os.path.exists: a disk that cannot answer must not pass for a file that is not there.
        try:
            os.stat(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise failed("cannot stat", path, error) from error
        return True

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
        missing: list[str] = []
        while not self.exists(path):
            missing.append(path)
            path = os.path.dirname(path) or "."
        for folder in reversed(missing):
            try:
                os.mkdir(folder, FOLDER_MODE)
                os.chmod(folder, FOLDER_MODE)
            except FileExistsError:
                pass
            except OSError as error:
                raise failed("cannot make folder", folder, error) from error
            self.sync_folder(os.path.dirname(folder) or ".")

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

    def free_bytes(self, folder: str) -> int:
        try:
            facts = os.statvfs(folder)
        except OSError as error:
            raise failed("cannot stat", folder, error) from error
        return facts.f_bavail * facts.f_frsize
