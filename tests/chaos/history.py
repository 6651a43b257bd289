"""What clients of an ensemble did and saw: one record an operation, in the order they were sent."""

import enum
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


class Outcome(enum.Enum):
    """What a client knows of an operation."""

    DONE = "done"
    REFUSED = "refused"  # answered with an error: nothing was changed
    UNKNOWN = "unknown"  # the connection was lost: it may have been done, once


@dataclass
class Change:
    """A write of one znode."""

    key: str
    value: str
    expected_version: int = -1  # a conditional write's
    version: int = -1  # the znode's afterwards


@dataclass
class Write:
    """A set, or several in one transaction: they share a zxid."""

    client: int
    sent: float
    done: float
    outcome: Outcome
    changes: list[Change]
    zxid: int = 0


@dataclass
class Read:
    """A get, with what it saw; `zxid` is the reply's."""

    client: int
    sent: float
    done: float
    key: str
    value: str
    version: int
    mzxid: int
    zxid: int
    synced_from: float = -1.0  # when the sync before it was sent, if there was one


@dataclass
class Sequential:
    """A sequential znode that was acknowledged."""

    client: int
    sent: float
    done: float
    path: str


@dataclass
class History:
    """All clients of one run; times are seconds of one clock."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    sequentials: list[Sequential] = field(default_factory=list)
    ephemerals: dict[str, int] = field(default_factory=dict)  # acknowledged, present: path, session
    expired: list[int] = field(default_factory=list)  # sessions whose clients were there all along
    connections_lost: int = 0

    def keep(self, path: Path) -> None:
        """For the one who looks into a failure."""
        kept = asdict(self)
        path.write_text(json.dumps(kept, default=lambda value: value.value, indent=0))

    def summary(self) -> str:
        done = sum(write.outcome is Outcome.DONE for write in self.writes)
        unknown = sum(write.outcome is Outcome.UNKNOWN for write in self.writes)
        return (
            f"{done} writes acknowledged, {unknown} unknown, {len(self.reads)} reads, "
            f"{len(self.sequentials)} sequential znodes, "
            f"{self.connections_lost} connections lost, {len(self.expired)} sessions expired"
        )
