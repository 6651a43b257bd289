"""Whether the lines of a node's journal, as they come, hold each other.

The same questions that `ensemble audit verify` asks of files, asked of a stream: is a line what its
hash says, does it follow the one before it by number and hash, do the node's own numbers go on.
What was found stands by segment. No database here.
"""

from dataclasses import dataclass
from typing import Any, Final

from ensemble.tenancy.journal_line import NO_HASH, Line

UNKNOWN: Final = -2  # in place of a record's number: what is missing has been told
REASON_MAX: Final = 500


@dataclass(slots=True)
class Found:
    """What a stretch of a segment has shown."""

    first_seq: int = 0
    last_seq: int = 0
    last_hash: str = ""
    lines: int = 0
    missing: int = 0
    problems: int = 0
    first_problem_seq: int | None = None
    first_problem: str = ""


class Follower:
    """Goes along a chain. `state` is what another one goes on from."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self.chain = int(state.get("chain", 1))  # rises when the journal began anew
        self.segment = int(state.get("segment", 0))
        self.seq = int(state.get("seq", 0))
        self.head = str(state.get("head", NO_HASH))
        self.run = str(state.get("run", ""))
        self.number = int(state.get("number", UNKNOWN))
        self.is_adrift = bool(state.get("is_adrift", True))  # what the next line follows is unknown
        self.node_id = int(state.get("node_id", -1))  # as its own lines say
        self.found: dict[tuple[int, int], Found] = {}

    def state(self) -> dict[str, Any]:
        return {
            "chain": self.chain,
            "segment": self.segment,
            "seq": self.seq,
            "head": self.head,
            "run": self.run,
            "number": self.number,
            "is_adrift": self.is_adrift,
            "node_id": self.node_id,
        }

    def skip(self) -> None:
        """Lines are missing, and a row says so: the next one is taken as it is."""
        self.is_adrift = True
        self.number = UNKNOWN

    def begin_anew(self) -> None:
        """The node has another journal than before."""
        self.chain += 1
        self.segment = 0
        self.seq = 0
        self.head = NO_HASH
        self.run = ""
        self.skip()

    def follow(self, raw: bytes) -> Line:
        """The next line; what is wrong with it is counted, and it is taken all the same."""
        line = Line(raw)
        if not line.why and line.text("operation") == "segment":
            self.segment = line.number("segment")
        found = self.found_here()
        seq = line.number("seq")
        if line.why:
            self.problem(found, self.seq + 1, line.why)
            if not line.hash:
                self.skip()
                return line
        else:
            self.node_id = line.number("node") if line.number("node") >= 0 else self.node_id
            self.check_order(found, line, seq)
            self.check_content(found, line, seq)
        self.seq = seq if seq >= 0 else self.seq + 1
        self.head = line.hash
        self.is_adrift = False
        found.lines += 1
        found.first_seq = found.first_seq or self.seq
        found.last_seq = self.seq
        found.last_hash = line.hash
        return line

    def found_here(self) -> Found:
        return self.found.setdefault((self.chain, self.segment), Found())

    def check_order(self, found: Found, line: Line, seq: int) -> None:
        if self.is_adrift:
            if self.segment == 1 and self.seq == 0 and (seq != 1 or line.prev != NO_HASH):
                self.problem(found, seq, f"the chain begins with line {seq}, not with 1")
        elif seq != self.seq + 1:
            what = "lines are missing" if seq > self.seq else "it was moved, or is there twice"
            self.problem(found, seq, f"line {seq} follows line {self.seq}: {what}")
            self.number = UNKNOWN
        elif line.prev != self.head:
            why = f"line {seq} does not follow the line {self.seq} before it: written anew"
            self.problem(found, seq, why)

    def check_content(self, found: Found, line: Line, seq: int) -> None:
        operation = line.text("operation")
        number = line.number("n")
        if operation == "segment":
            self.run = line.text("run")
            self.number = number
            return
        if operation == "start" or (line.text("run") and line.text("run") != self.run):
            self.run = line.text("run")
            self.number = -1
        if number < 0:
            return
        if number != self.number + 1 and self.run and self.number != UNKNOWN:
            why = f"record {number} of the run follows {self.number}, and nothing says why"
            self.problem(found, seq, why)
        self.number = number
        if operation == "gap":
            self.number = line.number("n_to")
            found.missing += max(0, line.number("missing"))

    def problem(self, found: Found, seq: int, why: str) -> None:
        found.problems += 1
        if found.first_problem_seq is None:
            found.first_problem_seq = seq
            found.first_problem = why[:REASON_MAX]
