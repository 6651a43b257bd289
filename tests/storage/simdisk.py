"""A disk that loses power, tears writes and fails, for tests of the storage layer (trust.md F1-F5,
F9).

Each file has a page cache and a platter. What is written reaches the platter for certain with a
sync; before that, any of its 512-byte sectors may, or none. The same holds for the entries of
folders. Every change is an *effect* with a number, and the power can be cut before any of them.
A process that is killed leaves the page cache to the next one. A sync that fails leaves what it
should have written in the cache as if it were on the platter, as kernels do.
"""

import posixpath
import random
from typing import Literal

from ensemble.errors import StorageError

SECTOR = 512
Fate = Literal["all lost", "all kept", "any subset"]


class PowerCut(BaseException):
    """The machine is gone. Not an Exception: nothing may catch it and go on."""


class Inode:
    """The content of one file: as programs see it, on the platter, and what lies between."""

    def __init__(self) -> None:
        self.live = bytearray()
        self.stable = b""
        self.pending: list[tuple[int, bytes]] = []  # (offset, data); offset -1: new length

    def write(self, offset: int, data: bytes) -> None:
        if len(self.live) < offset:
            self.live.extend(bytes(offset - len(self.live)))
        self.live[offset : offset + len(data)] = data
        self.pending.append((offset, data))

    def resize(self, size: int) -> None:
        resize(self.live, size)
        self.pending.append((-1, size.to_bytes(8, "big")))

    def sync(self) -> None:
        self.stable = self.after_cut("all kept", random.Random(0))
        self.pending.clear()

    def drop_dirty(self) -> None:
        """A sync has failed: the pages stay in the cache, and are not written by a later one."""
        self.pending.clear()

    def after_cut(self, fate: Fate, rng: random.Random) -> bytes:
        """What the platter holds once the power is back."""
        data = bytearray(self.stable)
        for offset, raw in self.pending:
            if offset < 0:
                if keep(fate, rng):
                    resize(data, int.from_bytes(raw, "big"))
                continue
            at = 0
            while at < len(raw):
                end = min(len(raw), at + SECTOR - (offset + at) % SECTOR)
                if keep(fate, rng):
                    if len(data) < offset + at:
                        data.extend(bytes(offset + at - len(data)))
                    data[offset + at : offset + end] = raw[at:end]
                at = end
        return bytes(data)


def resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def keep(fate: Fate, rng: random.Random) -> bool:
    return fate == "all kept" or (fate == "any subset" and rng.random() < 0.5)


class SimFile:
    def __init__(self, disk: "SimDisk", path: str, inode: Inode) -> None:
        self.disk = disk
        self.path = path
        self.inode = inode
        self.at = 0

    def write(self, data: bytes) -> None:
        self.write_at(self.at, data)
        self.at += len(data)

    def write_at(self, offset: int, data: bytes) -> None:
        # A write that fails may have written something.
        self.disk.effect(
            f"write {len(data)} bytes at {offset} of {self.path}",
            lambda: self.inode.write(offset, data[: len(data) // 2]),
        )
        self.inode.write(offset, data)

    def extend(self, size: int) -> None:
        self.disk.effect(f"extend {self.path} to {size}")
        if size > len(self.inode.live):
            self.inode.resize(size)

    def shrink(self, size: int) -> None:
        self.disk.effect(f"shrink {self.path} to {size}")
        self.inode.resize(size)

    def sync(self) -> None:
        self.disk.effect(f"sync {self.path}", self.inode.drop_dirty)
        self.disk.sync(self.inode)

    def close(self) -> None:
        self.disk.open_files -= 1


class SimSource:
    def __init__(self, disk: "SimDisk", path: str, inode: Inode) -> None:
        self.disk = disk
        self.path = path
        self.inode = inode

    def size(self) -> int:
        return len(self.inode.live)

    def read_at(self, offset: int, count: int) -> bytes:
        self.disk.call(f"read {self.path}")
        return bytes(self.inode.live[offset : offset + count])

    def close(self) -> None:
        self.disk.open_files -= 1


class SimDisk:
    """See the module. `cut_at` and `fail_at` are numbers of effects and of calls, from 0 on."""

    def __init__(self) -> None:
        self.files: dict[str, Inode] = {}
        self.folders = {"/"}
        self.stable_files: dict[str, Inode] = {}
        self.stable_folders = {"/"}
        self.pending: list[tuple[str, str, str, Inode | None]] = []  # (what, path, new path, file)
        self.effects: list[str] = []
        self.cut_at = -1
        self.cut_before = ""  # or: at the first effect that begins with this text
        self.calls = 0
        self.fail_at = -1
        self.full = False  # from then on, whatever takes space fails; else only that one call
        self.failed_calls: list[str] = []
        self.open_files = 0
        self.lies = False  # syncs succeed and keep nothing (F4)

    # Time, power and faults

    def call(self, what: str) -> None:
        number = self.calls
        self.calls += 1
        if self.full:
            if 0 <= self.fail_at <= number and what.startswith(
                ("write", "extend", "create", "make")
            ):
                self.failed_calls.append(what)
                raise StorageError(f"cannot {what}: No space left on device (errno 28)")
        elif number == self.fail_at:
            self.failed_calls.append(what)
            raise StorageError(f"cannot {what}: Input/output error (errno 5)")

    def effect(self, what: str, half: object = None) -> None:
        if len(self.effects) == self.cut_at or (
            self.cut_before and what.startswith(self.cut_before)
        ):
            raise PowerCut(what)
        self.effects.append(what)
        try:
            self.call(what)
        except StorageError:
            if callable(half):
                half()
            raise

    def after_kill(self) -> "SimDisk":
        """The disk that the next process finds: as it was, with the page cache."""
        found = SimDisk()
        found.files = self.files
        found.folders = self.folders
        found.stable_files = self.stable_files
        found.stable_folders = self.stable_folders
        found.pending = self.pending
        return found

    def after_cut(self, fate: Fate, seed: int = 0) -> "SimDisk":
        """The disk that the machine finds when the power is back."""
        rng = random.Random(seed)
        names = dict(self.stable_files)
        folders = set(self.stable_folders)
        for what, path, new, inode in self.pending:
            if not keep(fate, rng):
                continue
            if what == "folder":
                folders.add(path)
            elif what == "remove":
                names.pop(path, None)
            elif what == "create":
                assert inode is not None
                names[path] = inode
            else:
                assert inode is not None
                names.pop(path, None)
                names[new] = inode
        found = SimDisk()
        found.folders = {path for path in folders if is_reachable(path, folders)}
        found.stable_folders = set(found.folders)
        for path, inode in sorted(names.items()):
            if posixpath.dirname(path) in found.folders:
                kept = Inode()
                kept.stable = inode.after_cut(fate, rng)
                kept.live = bytearray(kept.stable)
                found.files[path] = kept
                found.stable_files[path] = kept
        return found

    # The interface

    def create(self, path: str) -> SimFile:
        self.effect(f"create {path}")
        self.need_folder(path)
        inode = self.files.get(path)
        if inode is None:
            inode = Inode()
            self.files[path] = inode
            self.pending.append(("create", path, "", inode))
        else:
            inode.resize(0)
        self.open_files += 1
        return SimFile(self, path, inode)

    def open(self, path: str) -> SimSource:
        self.call(f"open {path}")
        self.open_files += 1
        return SimSource(self, path, self.found(path))

    def read(self, path: str) -> bytes:
        self.call(f"read {path}")
        return bytes(self.found(path).live)

    def cut(self, path: str, size: int) -> None:
        inode = self.found(path)
        self.effect(f"cut {path} to {size}")
        inode.resize(size)
        self.effect(f"sync {path}", inode.drop_dirty)
        self.sync(inode)

    def rewrite(self, path: str, begin: int, end: int) -> None:
        inode = self.found(path)
        self.effect(f"rewrite {path}")
        inode.write(begin, bytes(inode.live[begin:end]))
        self.effect(f"sync {path}", inode.drop_dirty)
        self.sync(inode)

    def sync(self, inode: Inode) -> None:
        if not self.lies:
            inode.sync()

    def write_back(self) -> None:
        """The disk has told the truth after all."""
        self.lies = False
        for inode in self.files.values():
            inode.sync()
        for path in sorted(self.folders):
            self.keep_names(path)

    def names(self, folder: str) -> list[str]:
        self.call(f"list {folder}")
        here = [path for path in [*self.files, *self.folders] if posixpath.dirname(path) == folder]
        return sorted(posixpath.basename(path) for path in here if path != "/")

    def exists(self, path: str) -> bool:
        self.call(f"stat {path}")
        return path in self.files or path in self.folders

    def rename(self, old: str, new: str) -> None:
        self.effect(f"rename {old} to {new}")
        inode = self.found(old)
        del self.files[old]
        self.files[new] = inode
        self.pending.append(("rename", old, new, inode))

    def remove(self, path: str) -> None:
        self.effect(f"remove {path}")
        self.found(path)
        del self.files[path]
        self.pending.append(("remove", path, "", None))

    def make_folder(self, path: str) -> None:
        missing = []
        while path not in self.folders:
            missing.append(path)
            path = posixpath.dirname(path)
        for folder in reversed(missing):
            self.effect(f"make folder {folder}")
            self.folders.add(folder)
            self.pending.append(("folder", folder, "", None))
            self.sync_folder(posixpath.dirname(folder))

    def sync_folder(self, path: str) -> None:
        self.effect(f"sync folder {path}")
        if not self.lies:
            self.keep_names(path)

    def keep_names(self, path: str) -> None:
        left = []
        for entry in self.pending:
            what, name, new, inode = entry
            if posixpath.dirname(name) != path:
                left.append(entry)
            elif what == "folder":
                self.stable_folders.add(name)
            elif what == "remove":
                self.stable_files.pop(name, None)
            else:
                assert inode is not None
                self.stable_files.pop(name, None)
                self.stable_files[new or name] = inode
        self.pending = left

    def free_bytes(self, folder: str) -> int:
        return 1 << 40

    def found(self, path: str) -> Inode:
        if path not in self.files:
            raise StorageError(f"cannot open {path}: No such file or directory (errno 2)")
        return self.files[path]

    def need_folder(self, path: str) -> None:
        assert posixpath.dirname(path) in self.folders, f"no folder for {path}"


def is_reachable(path: str, folders: set[str]) -> bool:
    while path != "/":
        if path not in folders:
            return False
        path = posixpath.dirname(path)
    return True
