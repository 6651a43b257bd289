"""Whether what is collected is whole: is there a collector, does all come, do chains hold.

For pages, the API and the health endpoint.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from observability.models import Lease, Segment, Source
from observability.store import LEASE


@dataclass(frozen=True, slots=True)
class Collector:
    """The process that collects. `holder` is empty where none ever did."""

    is_alive: bool
    holder: str
    term: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Something that is followed. `problem`: why nothing comes; empty: it does."""

    kind: str
    ensemble: str
    node: str
    behind_s: float
    looked_at: datetime | None
    taken_at: datetime | None
    problem: str
    problem_since: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a journal's lines hold each other; `node` empty: the plane's own trail.

    `anchor_seq`: up to which line a quorum of the ensemble has confirmed it, None: unknown.
    """

    ensemble: str
    node: str
    lines: int
    missing: int
    problems: int
    first_problem: str
    first_problem_seq: int | None
    anchor_seq: int | None

    @property
    def is_sound(self) -> bool:
        return self.problems == 0


def collector() -> Collector:
    lease = Lease.objects.filter(name=LEASE).first()
    if lease is None:
        return Collector(False, "", 0)
    return Collector(lease.until > time.time() * 1_000, lease.holder, lease.term)


def follows(ensemble: str = "") -> list[Follow]:
    """Everything that is followed, of one ensemble or of all."""
    sources = Source.objects.order_by("ensemble", "node", "kind")
    if ensemble:
        sources = sources.filter(ensemble=ensemble)
    return [
        Follow(
            *(one.kind, one.ensemble, one.node, one.behind / 1_000, one.looked_at, one.taken_at),
            *(one.problem, one.problem_since if one.problem else None),
        )
        for one in sources
    ]


def verdicts(ensemble: str = "") -> list[Verdict]:
    """One for each journal, over all of its segments; the first problem is the oldest one."""
    segments = Segment.objects.order_by("ensemble", "node", "chain", "segment")
    if ensemble:
        segments = segments.filter(ensemble=ensemble)
    by_node: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        by_node.setdefault((segment.ensemble, segment.node), []).append(segment)
    found = []
    for (name, node), mine in by_node.items():
        first = next((one for one in mine if one.first_problem_seq is not None), None)
        anchors = [one.anchor_seq for one in mine if one.anchor_seq is not None]
        found.append(
            Verdict(
                name,
                node,
                sum(one.lines for one in mine),
                sum(one.missing for one in mine),
                sum(one.problems for one in mine),
                "" if first is None else first.first_problem,
                None if first is None else first.first_problem_seq,
                anchors[-1] if anchors else None,
            )
        )
    return found
