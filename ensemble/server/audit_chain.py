"""The audit journal on the disk: lines that hold each other by their hashes, in segments.

How a line is sealed stands in `ensemble.tenancy.journal_line`. The first line of a
segment carries the previous segment's last hash, and the number of the oldest segment that was kept
at that time. A segment that has ended is never touched again but to be removed as a whole.
"""

import json
import os
import re
import time
from collections.abc import Callable
from typing import Final, final

from ensemble.errors import StorageError
from ensemble.tenancy.journal_line import LINE_BYTES_MAX, NO_HASH, Line, seal

FORMAT: Final = 1
NAME: Final = re.compile(r"audit-(\d{8,12})\.jsonl")

quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring_ascii


def segment_name(number: int) -> str:
    return f"audit-{number:08d}.jsonl"


def segments(folder: str) -> list[int]:
    """The numbers of the segments that are there, ascending.

    Raises:
        StorageError: the folder cannot be listed.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from None
    return sorted(int(found[1]) for name in names if (found := NAME.fullmatch(name)))


def iso(time_ms: int) -> str:
    """2026-11-21T11:33:38.123Z"""
    moment = time.gmtime(time_ms // 1_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{time_ms % 1_000:03d}Z"


@final
class Tail:
    """Where a chain goes on: what its last good line says."""

    def __init__(self) -> None:
        self.segment = 0
        self.seq = 0
        self.head = NO_HASH
        self.run = ""
        self.number = -1  # of the last record of that run
        self.size = 0  # bytes of the last segment that are good
        self.notes: list[str] = []
        self.is_damaged = False  # the last segment is left as it is, a new one begins


def find_tail(folder: str) -> Tail:
    """Read the last segment and say where to go on; a torn end is to be cut at `size`.

    Raises:
        StorageError: the disk cannot read.
    """
    tail = Tail()
    for number in reversed(segments(folder)):
        newest = tail.segment == 0
        if newest:
            tail.segment = number
        if read_tail(os.path.join(folder, segment_name(number)), tail, newest):
            break
        tail.is_damaged = tail.is_damaged or not newest
    return tail


def read_tail(path: str, tail: Tail, newest: bool) -> bool:
    """Take over what the segment's good lines say; False where it has none."""
    try:
        with open(path, "rb") as file:
            found = False
            while raw := file.readline(LINE_BYTES_MAX):
                line = Line(raw)
                if line.why or (found and line.prev != tail.head):
                    rest = raw + file.read()
                    if b"\n" in rest or not newest:
                        tail.is_damaged = True
                        tail.notes.append(
                            f"{os.path.basename(path)} is damaged behind line "
                            f"{tail.seq}: left as it is"
                        )
                    else:
                        tail.notes.append(
                            f"{os.path.basename(path)}: cut a torn line of "
                            f"{len(rest)} bytes behind line {tail.seq}"
                        )
                    break
                found = True
                tail.seq = line.number("seq")
                tail.head = line.hash
                tail.run = line.text("run") or tail.run
                if line.number("n") >= 0:
                    tail.number = max(line.number("n"), line.number("n_to"))
                if newest:
                    tail.size += len(raw)
            return found
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


@final
class Chain:
    """The end of the chain that is written to. One process holds the folder's lock.

    Errors are OSError, and leave the file as it was before the call, as far as the disk lets us.
    """

    def __init__(self, folder: str, node: int, segment_bytes: int, keep_bytes: int) -> None:
        self.folder: Final = folder
        self.node: Final = node
        self.segment_bytes: Final = segment_bytes
        self.keep_bytes: Final = keep_bytes
        self.segment = 0
        self.seq = 0
        self.head = NO_HASH
        self.run = ""
        self.number = -1
        self.size = 0
        self.fd = -1
        self.is_dirty = False
        self.torn = False  # what could not be cut off after a failed write

    def resume(self) -> list[str]:
        """Go on where the folder's last segment ends; what there is to say about it."""
        tail = find_tail(self.folder)
        self.segment = tail.segment
        self.seq = tail.seq
        self.head = tail.head
        self.run = tail.run
        self.number = tail.number
        self.size = tail.size
        if tail.segment > 0 and not tail.is_damaged and tail.size > 0:
            self.fd = self.open(tail.segment)
            os.ftruncate(self.fd, tail.size)
            os.lseek(self.fd, 0, os.SEEK_END)
        elif tail.segment > 0 and not tail.is_damaged:
            os.unlink(self.path(tail.segment))  # killed while it was begun
            self.segment -= 1
        return tail.notes

    def path(self, number: int) -> str:
        return os.path.join(self.folder, segment_name(number))

    def open(self, number: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        return os.open(self.path(number), flags, 0o600)

    def append(self, texts: list[str]) -> None:
        """Write lines; each text is an object without its number, its hashes and its braces."""
        if self.fd < 0 or self.size >= self.segment_bytes or self.torn:
            self.begin_segment()
        parts: list[bytes] = []
        seq, head = self.seq, self.head
        for text in texts:
            seq += 1
            line, head = seal(f'{{"seq":{seq},{text}', head)
            parts.append(line)
        self.write(b"".join(parts))
        self.seq, self.head = seq, head

    def write(self, data: bytes) -> None:
        at = 0
        try:
            while at < len(data):
                at += os.write(self.fd, data[at:] if at else data)
        except OSError:
            self.torn = True
            os.ftruncate(self.fd, self.size)
            os.lseek(self.fd, self.size, os.SEEK_SET)
            self.torn = False
            raise
        self.size += len(data)
        self.is_dirty = True

    def sync(self) -> None:
        if self.fd >= 0 and self.is_dirty:
            os.fdatasync(self.fd)
            self.is_dirty = False

    def begin_segment(self) -> None:
        """End the segment and begin the next; then the oldest go that are too many."""
        self.close()
        kept, doomed = self.kept()
        number = self.segment + 1
        fd = self.open(number)
        os.ftruncate(fd, 0)
        text = (
            f'{{"seq":{self.seq + 1},"operation":"segment","segment":{number},"format":{FORMAT},'
            f'"oldest":{kept if kept else number},"node":{self.node},"run":{quoted(self.run)},'
            f'"n":{self.number},"time":"{iso(int(time.time() * 1_000))}"'
        )
        line, head = seal(text, self.head)
        try:
            written = os.write(fd, line)
            if written < len(line):
                raise OSError(28, "no space for the first line of a segment")
            os.fsync(fd)
            sync_folder(self.folder)
        except OSError:
            os.close(fd)
            os.unlink(self.path(number))
            raise
        self.fd = fd
        self.segment = number
        self.seq += 1
        self.head = head
        self.size = len(line)
        self.torn = False
        self.is_dirty = False
        for old in doomed:
            os.unlink(self.path(old))

    def kept(self) -> tuple[int, list[int]]:
        """The oldest segment that stays when another begins, 0 for none; those that go."""
        numbers = segments(self.folder)
        room = self.keep_bytes - self.segment_bytes
        first = len(numbers)
        while first > 0:
            room -= os.stat(self.path(numbers[first - 1])).st_size
            if room < 0:
                break
            first -= 1
        return (numbers[first] if first < len(numbers) else 0), numbers[:first]

    def abandon(self) -> None:
        """Syncing failed: what the disk has of this segment is not known, a new one begins."""
        fd, self.fd = self.fd, -1
        self.is_dirty = False
        os.close(fd)

    def close(self) -> None:
        """Nothing is written to this segment any more."""
        if self.fd >= 0:
            self.sync()
            os.close(self.fd)
            self.fd = -1


def sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
