"""What a dry run has found: how much of what, the first rows, what is in the way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tenants.bulk.bounds import BYTES_MAX, ROWS_SHOWN
from tenants.bulk.steps import PlanWriter, Step
from tenants.errors import LimitError

SHOWN_CHARACTERS_MAX: Final = 300
NOTES_MAX: Final = 20


class Preview:
    """Collects a dry run's findings, and writes its plan."""

    def __init__(self, plan: Path) -> None:
        self.plan: Final = PlanWriter(plan)
        self.counts: Final[dict[str, int]] = {}
        self.bytes = 0
        self.rows: Final[list[list[str]]] = []
        self.in_the_way: Final[list[list[str]]] = []
        self.blocked = 0
        self.stops: Final[list[str]] = []
        self.notes: Final[list[str]] = []

    def step(self, step: Step, note: str = "") -> None:
        """It would be done."""
        self.plan.add(step)
        self.bytes += len(step.data or b"")
        if self.bytes > BYTES_MAX:
            raise LimitError(
                f"more than {BYTES_MAX >> 20} MiB of values would be written, one job takes no "
                "more: go by parts"
            )
        self.count(step.op)
        self.row(step.op, step.path, note)

    def leave(self, what: str, path: str, note: str = "") -> None:
        """It stays as it is: the same already, kept, left out."""
        self.count(what)
        self.row(what, path, note)

    def block(self, path: str, why: str) -> None:
        """It cannot be done; the others can."""
        self.blocked += 1
        if len(self.in_the_way) < ROWS_SHOWN:
            self.in_the_way.append([path[:SHOWN_CHARACTERS_MAX], why])

    def stop(self, text: str) -> None:
        """None of it can be done as it is."""
        if text not in self.stops and len(self.stops) < NOTES_MAX:
            self.stops.append(text)

    def note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < NOTES_MAX:
            self.notes.append(text)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def row(self, what: str, path: str, note: str) -> None:
        if len(self.rows) < ROWS_SHOWN:
            self.rows.append([what, path[:SHOWN_CHARACTERS_MAX], note])

    def close(self) -> dict[str, Any]:
        """The plan is on the disk; what the page shows."""
        self.plan.close()
        return {
            "counts": self.counts,
            "bytes": self.bytes,
            "rows": self.rows,
            "has_notes": any(note for _, _, note in self.rows),
            "blocked": self.blocked,
            "in_the_way": self.in_the_way,
            "stops": self.stops,
            "notes": self.notes,
        }


def changes_something(counts: dict[str, int], of: Iterable[str] = ("set", "delete", "acl")) -> bool:
    """Whether what is there already would be changed: then the name is typed."""
    return any(counts.get(name) for name in of)
