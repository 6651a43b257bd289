"""A change of history: decided in one step, then done, however often the power fails in between.

Cutting a log and replacing a database touch several files, and no order of these steps is safe at
each of them: without its dirty snapshot a log may have a hole, without its log a fuzzy snapshot is
not whole. So the steps are written down first. Before that file is durable nothing has happened;
from then on the change is done, and every start completes it before it looks at anything else.

Java knows no such file: let this server start and stop once before an older one gets its folder.
"""

import posixpath
from typing import Final, final
from urllib.parse import quote_from_bytes, unquote_to_bytes
from zlib import adler32

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk, file_bytes
from ensemble.storage.layout import TEMPORARY_SUFFIX, Layout
from ensemble.storage.smallfile import save_small

FIRST_LINE: Final = "ensemble redo 1"
LAST_WORD: Final = "end "
REMOVE: Final = "remove"
CUT: Final = "cut"
RENAME: Final = "rename"
ADVICE: Final = (
    "Set this server's data aside and let it copy the ensemble's, or restore a backup of all of it"
)


@final
class Change:
    """Files to be removed, cut, or put in place. Every step can be done twice.

    They are kept by their names: the folders may have another path at the next start. Nobody else
    may write meanwhile: neither the log process nor a child with a snapshot.
    """

    __slots__ = ("cuts", "removed", "renames")

    def __init__(self) -> None:
        self.renames: Final[list[tuple[str, str]]] = []
        self.removed: Final[list[str]] = []
        self.cuts: Final[list[tuple[str, int]]] = []

    def rename(self, old: str, new: str) -> None:
        """Put `old` in the place of `new`."""
        self.renames.append((posixpath.basename(old), posixpath.basename(new)))

    def remove(self, path: str) -> None:
        """Remove a file, if it is still there."""
        self.removed.append(posixpath.basename(path))

    def cut(self, path: str, size: int) -> None:
        """Shorten a file to `size` bytes, if it is longer."""
        self.cuts.append((posixpath.basename(path), size))

    def is_empty(self) -> bool:
        """There is nothing to do."""
        return not (self.renames or self.removed or self.cuts)

    def text(self) -> bytes:
        """One step a line, and a checksum: it is obeyed without further question."""
        lines = [FIRST_LINE]
        lines += [f"{RENAME} {quote(old)} {quote(new)}" for old, new in self.renames]
        lines += [f"{REMOVE} {quote(name)}" for name in self.removed]
        lines += [f"{CUT} {quote(name)} {size}" for name, size in self.cuts]
        body = "".join(line + "\n" for line in lines).encode()
        return body + f"{LAST_WORD}{adler32(body):08x}\n".encode()


def quote(name: str) -> str:
    return quote_from_bytes(name.encode("utf-8", "surrogateescape"))


def unquote(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def read_change(raw: bytes, path: str) -> Change:
    """The steps of a file.

    Raises:
        StorageError: it is not what was written.
    """
    body, mark, last = raw.rpartition(LAST_WORD.encode())
    if not mark or last != f"{adler32(body):08x}\n".encode():
        raise StorageError(
            f"{path} is damaged: it ends with {raw[-20:]!r}, {adler32(body):08x} found. {ADVICE}"
        )
    change = Change()
    for number, line in enumerate(body.decode().splitlines(), 1):
        parts = line.split(" ")
        if number == 1 and line == FIRST_LINE:
            continue
        if parts[0] == RENAME and len(parts) == 3:
            change.rename(unquote(parts[1]), unquote(parts[2]))
        elif parts[0] == REMOVE and len(parts) == 2:
            change.remove(unquote(parts[1]))
        elif parts[0] == CUT and len(parts) == 3:
            change.cut(unquote(parts[1]), int(parts[2]))
        else:
            raise StorageError(
                f"{path} was written by a later version, line {number} is {line[:80]!r}: "
                "start that version once"
            )
    return change


def carry_out(disk: Disk, layout: Layout, change: Change) -> None:
    """Decide the change and do it; all of it is durable when this returns.

    Raises:
        StorageError: stop this server. Its next start goes on, or finds that nothing was decided.
    """
    if change.is_empty():
        return
    save_small(disk, layout.redo_path(), change.text())
    perform(disk, layout, change)


def resume(disk: Disk, layout: Layout) -> list[str]:
    """Complete what an earlier run has decided; lines for the log.

    Raises:
        StorageError: the disk refuses, or the file with the decision is damaged.
    """
    path = layout.redo_path()
    if disk.exists(path + TEMPORARY_SUFFIX):
        disk.remove(path + TEMPORARY_SUFFIX)  # never decided
    if not disk.exists(path):
        return []
    change = read_change(disk.read(path), path)
    perform(disk, layout, change)
    return [
        f"completed a change of history that {path} had: {len(change.removed)} files removed, "
        f"{len(change.cuts)} cut, {len(change.renames)} put in place"
    ]


def perform(disk: Disk, layout: Layout, change: Change) -> None:
    for old_name, new_name in change.renames:
        old = path_of(layout, old_name)
        new = path_of(layout, new_name)
        if disk.exists(old):
            disk.rename(old, new)
        elif not disk.exists(new):
            raise StorageError(f"neither {old} nor {new} is there, one of them must be. {ADVICE}")
    for name in change.removed:
        path = path_of(layout, name)
        if disk.exists(path):
            disk.remove(path)
    for name, size in change.cuts:
        cut_behind(disk, path_of(layout, name), size)
    disk.sync_folder(layout.log_folder)
    disk.sync_folder(layout.snapshot_folder)
    # Only what is done and durable may be forgotten.
    disk.remove(layout.redo_path())
    disk.sync_folder(layout.snapshot_folder)


def path_of(layout: Layout, name: str) -> str:
    folder = layout.log_folder if name.startswith("log.") else layout.snapshot_folder
    return posixpath.join(folder, name)


def cut_behind(disk: Disk, path: str, size: int) -> None:
    if file_bytes(disk, path) > size:
        disk.cut(path, size)
