"""What this server has been, when and why: the last elections, for people who ask afterwards."""

from collections import deque
from typing import Final, final

ROLES_MAX: Final = 50


@final
class Role:
    """A role that began. `away_ms`: for so long nobody was served here before it."""

    __slots__ = ("at_ms", "away_ms", "epoch", "leader", "mode", "why")

    def __init__(
        self, at_ms: int, mode: str, epoch: int, leader: int, away_ms: int, why: str
    ) -> None:
        self.at_ms: Final = at_ms
        self.mode: Final = mode
        self.epoch: Final = epoch
        self.leader: Final = leader
        self.away_ms: Final = away_ms
        self.why: Final = why


@final
class RoleHistory:
    """The last ROLES_MAX roles, and the reason for which the present one may end."""

    __slots__ = ("ended_why", "roles", "total")

    def __init__(self) -> None:
        self.roles: Final[deque[Role]] = deque(maxlen=ROLES_MAX)
        self.total = 0
        self.ended_why = ""

    def on_report(self, text: str) -> None:
        """A line of the log: if it says why a role is over, the next entry tells it."""
        if text.startswith("no longer "):
            self.ended_why = text

    def begin(self, at_ms: int, mode: str, epoch: int, leader: int, away_ms: int) -> None:
        why = self.ended_why if mode == "looking" else ""
        self.roles.append(Role(at_ms, mode, epoch, leader, away_ms, why))
        self.total += 1
        if mode == "looking":
            self.ended_why = ""

    def entries(self) -> list[dict[str, object]]:
        """The newest first."""
        return [
            {
                "at_ms": role.at_ms,
                "mode": role.mode,
                "epoch": role.epoch,
                "leader": role.leader if role.leader > 0 else None,
                "away_ms": role.away_ms,
                "why": role.why,
            }
            for role in reversed(self.roles)
        ]
