"""What a rule is: what it looks at, from which value on, for how long, whom it wakes."""

import enum
from dataclasses import dataclass
from typing import Final

HOLD_MAX_S: Final = 86_400


class Scope(enum.StrEnum):
    """What an alert of the rule is about."""

    ENSEMBLE = "ensemble"
    NODE = "node"
    TENANT = "tenant"
    PLANE = "plane"


class Severity(enum.StrEnum):
    """`page` wakes somebody up, `ticket` waits for the morning, `note` is to be known."""

    PAGE = "page"
    TICKET = "ticket"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 comes first."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Bound:
    """The value above which a rule holds (below, where `is_least`), and what it may be set to."""

    value: float
    low: float
    high: float
    unit: str
    is_least: bool = False

    def is_over(self, figure: float, value: float) -> bool:
        return figure < value if self.is_least else figure > value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `why`: what it means; `steps`: what to do, in this order.

    `prometheus`: the rule of the same meaning in deploy/prometheus/rules.yaml. `for_members`: a
    tenant's own people see alerts of their tenant; others are for operators and auditors alone.
    `every_s`: how often it is looked at, as some looks cost more.
    """

    name: str
    title: str
    scope: Scope
    severity: Severity
    hold_s: int
    why: str
    steps: tuple[str, ...]
    bound: Bound | None = None
    prometheus: str = ""
    for_members: bool = False
    every_s: int = 5
