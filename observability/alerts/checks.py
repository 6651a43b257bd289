"""Each rule's look at the picture: for whom it holds, and of whom nothing can be said.

A check answers with findings, and with the subjects that it cannot judge at present (`blind`): what
was firing there goes on, as missing figures are no good news.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from observability.alerts.picture import Picture
from tenants.alerts.rule import Rule


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about; `of` tells apart what is of the same place."""

    ensemble: str = ""
    node: str = ""
    tenant: str = ""
    of: str = ""


@dataclass(slots=True)
class Finding:
    """The rule holds there. `since_s`: from when on, where that is known better than from now."""

    subject: Subject
    summary: str
    evidence: dict[str, object] = field(default_factory=dict)
    since_s: float | None = None


@dataclass(slots=True)
class Found:
    """What a check has seen. `blind` subjects without `of` stand for all of that place."""

    findings: list[Finding] = field(default_factory=list)
    blind: set[Subject] = field(default_factory=set)

    def add(
        self, subject: Subject, summary: str, since_s: float | None = None, **evidence: object
    ) -> None:
        self.findings.append(Finding(subject, summary, evidence, since_s))

    def is_blind_for(self, subject: Subject) -> bool:
        place = Subject(subject.ensemble, subject.node, subject.tenant)
        whole = Subject(subject.ensemble)
        return not self.blind.isdisjoint((subject, place, whole))


Check = Callable[[Rule, float, Picture], Found]
CHECKS: Final[dict[str, Check]] = {}


def check(name: str) -> Callable[[Check], Check]:
    """The look of the rule of this name."""

    def keep(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return keep
