"""Whether a kept audit journal is what was written: every line, every segment, against the anchors.

Finds each line that was edited, dropped, doubled or moved, and names segment, line and reason. What
a crash may leave, a torn last line, is named and no fault. What the chain alone cannot show, that
its end was cut off or that all of it was written anew, the anchors in the tree show.
"""

import json
import os
from collections.abc import Iterator
from typing import Final, final

from ensemble.errors import StorageError
from ensemble.server.audit_chain import segment_name, segments
from ensemble.tenancy.journal_line import LINE_BYTES_MAX, NO_HASH, Line

UNKNOWN: Final = -2  # in place of a record's number: a problem has been named already
PROBLEMS_MAX: Final = 1_000  # that are named; further ones are counted


@final
class Problem:
    """Something that is wrong: `line` counts from 1 within the segment, 0: the whole segment."""

    def __init__(self, segment: int, line: int, why: str) -> None:
        self.segment: Final = segment
        self.line: Final = line
        self.why: Final = why

    def __str__(self) -> str:
        where = segment_name(self.segment)
        return f"{where}: {self.why}" if self.line == 0 else f"{where}:{self.line}: {self.why}"


@final
class Verifier:
    """Walks over a folder's segments once. `problems` and what else was found stand in here."""

    def __init__(self, folder: str) -> None:
        self.folder: Final = folder
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.notes: list[str] = []  # torn end, gaps that the journal itself tells of
        self.segments = 0
        self.lines = 0
        self.missing = 0  # records that the journal says are missing
        self.first_seq = 0
        self.seq = 0
        self.head = NO_HASH
        self.run = ""
        self.number = -1
        self.oldest = 0  # as the newest header says
        self.hashes: dict[int, str] = {}  # of the lines in `wanted`
        self.wanted: set[int] = set()
        self.is_adrift = False  # behind a problem: what the next line follows is not known

    def run_over(self, wanted: set[int] | None = None) -> None:
        """Check everything; the hashes of lines `wanted` are kept for comparison.

        Raises:
            StorageError: the disk cannot read.
        """
        self.wanted = wanted or set()
        found = segments(self.folder)
        before = 0
        for number in found:
            if before and number != before + 1:
                self.problem(number, 0, f"segments {before + 1} to {number - 1} before it are gone")
            before = number
            self.check_segment(number, number == found[-1])
        self.segments = len(found)
        if found and found[0] > self.oldest > 0:
            self.problem(
                found[0],
                0,
                f"segments {self.oldest} to {found[0] - 1} are gone: the server kept them",
            )

    def check_segment(self, number: int, newest: bool) -> None:
        at = 0
        for raw in read_lines(os.path.join(self.folder, segment_name(number))):
            at += 1
            line = Line(raw)
            if newest and not raw.endswith(b"\n") and len(raw) < LINE_BYTES_MAX:
                self.notes.append(
                    f"{segment_name(number)}:{at}: torn, {len(raw)} bytes without an end: as a "
                    "crash leaves it, the server cuts it off when it starts"
                )
                return
            if line.why:
                self.problem(number, at, line.why)
                self.number = UNKNOWN
                if line.hash:
                    self.follow(line)  # what it claims to be: the next one is judged by itself
                else:
                    self.is_adrift = True
                continue
            self.check_order(number, at, line)
            self.follow(line)
            self.lines += 1
            if line.number("seq") in self.wanted:
                self.hashes[line.number("seq")] = line.hash
            self.check_content(number, at, line)
        if at == 0 and not newest:
            self.problem(number, 0, "it is empty")

    def check_order(self, segment: int, at: int, line: Line) -> None:
        """A line follows the one before it, by number and by hash."""
        seq = line.number("seq")
        is_header = line.text("operation") == "segment"
        if at == 1 and not is_header:
            self.problem(segment, at, "the segment does not begin with its own first line")
        if self.lines == 0 and not self.is_adrift:
            self.first_seq = seq
            if segment == 1 and (seq != 1 or line.prev != NO_HASH):
                self.problem(segment, at, f"the chain begins with line {seq}, not with 1")
            return
        if self.is_adrift:
            self.is_adrift = False
            return
        if seq != self.seq + 1:
            self.problem(segment, at, f"line {seq} follows line {self.seq}: {order(self.seq, seq)}")
            self.number = UNKNOWN
        elif line.prev != self.head:
            self.problem(segment, at, f"line {seq} does not follow the line {self.seq} before it")

    def check_content(self, segment: int, at: int, line: Line) -> None:
        """The node's own numbers: what is missing has been told."""
        operation = line.text("operation")
        if operation == "segment":
            if line.number("segment") != segment:
                self.problem(segment, at, f"it says that it is segment {line.number('segment')}")
            self.oldest = line.number("oldest")
            self.run = line.text("run")
            self.number = line.number("n")
            return
        if operation == "start" or (line.text("run") and line.text("run") != self.run):
            self.run = line.text("run")
            self.number = -1
        number = line.number("n")
        if number < 0:
            if operation == "resume":
                self.notes.append(f"{segment_name(segment)}:{at}: {line.text('reason')}")
            return
        if number != self.number + 1 and self.run and self.number != UNKNOWN:
            self.problem(
                segment,
                at,
                f"record {number} of the run follows {self.number}, and nothing says why",
            )
        self.number = number
        if operation == "gap":
            self.number = line.number("n_to")
            self.missing += line.number("missing")
            zxids = f", {line.text('zxid')} to {line.text('zxid_to')}" if line.text("zxid") else ""
            self.notes.append(
                f"{segment_name(segment)}:{at}: {line.number('missing')} records are missing"
                f"{zxids}: {line.text('reason')}"
            )

    def follow(self, line: Line) -> None:
        seq = line.number("seq")
        self.seq = seq if seq >= 0 else self.seq + 1
        self.head = line.hash

    def problem(self, segment: int, line: int, why: str) -> None:
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(segment, line, why))

    def compare(self, name: str, anchor: bytes) -> str:
        """What a committed head says about this chain; a problem is also kept."""
        try:
            fields = json.loads(anchor)
            seq, committed = int(fields["seq"]), str(fields["hash"])
            segment = int(fields["segment"])
        except (ValueError, KeyError, TypeError):
            text = f"{name} holds no head of a journal"
            self.problem(0, 0, text)
            return text
        if seq < self.first_seq:
            return f"{name}: line {seq} was committed, the journal is kept from {self.first_seq} on"
        if seq > self.seq:
            text = f"{name}: line {seq} was committed, the journal ends with {self.seq}: cut off"
        elif self.hashes.get(seq) != committed:
            text = f"{name}: line {seq} was committed with another hash: written anew since"
        else:
            return f"{name}: line {seq} is as it was committed"
        self.problem(segment, 0, text)
        return text


def order(before: int, seq: int) -> str:
    if seq == before:
        return "it is there twice"
    return "lines are missing" if seq > before else "it was moved, or is there twice"


def read_lines(path: str) -> Iterator[bytes]:
    """The lines of a file, each with its end; one that is too long comes in pieces.

    Raises:
        StorageError: the disk cannot read.
    """
    try:
        with open(path, "rb") as file:
            while raw := file.readline(LINE_BYTES_MAX):
                yield raw
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
