"""Who holds a lock, election or queue, who waits, for how long, and what looks wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tenants.recipes import Participant, Recipe
from tenants.sessions import Session

SILENT_MS: Final = 600_000  # a holder that asks nothing for so long, while others wait
LINE_MAX: Final = 12  # that are shown in a line; the page of the one znode draws all that were read
ORDER: Final = {"election": 0, "lock": 1, "read-write lock": 2, "semaphore": 3, "queue": 4}


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody in a recipe, as pages and programs are told. `hint`: what looks wrong."""

    who: Participant
    id: str
    session: Session | None
    since: datetime | None
    hint: str

    @property
    def title(self) -> str:
        """What it says of itself, else who its client is, else its znode."""
        client = "" if self.session is None else self.session.principal
        return self.who.says or client or self.who.name


@dataclass(frozen=True, slots=True)
class Card:
    """One recipe."""

    recipe: Recipe
    holders: list[Seat]
    waiters: list[Seat]
    others: list[Seat]
    unseen: int  # that take part and are not drawn

    @property
    def drawn(self) -> int:
        return len(self.holders) + len(self.waiters) + len(self.others)

    @property
    def kind(self) -> str:
        if any(seat.hint for seat in self.holders):
            return "warn"
        return "good"


def weight(recipe: Recipe) -> tuple[int, str]:
    """What is looked at first comes first."""
    return ORDER.get(recipe.kind, 9), recipe.path


def card_of(
    recipe: Recipe, by_id: Mapping[int, Session], *, of_tenant: bool, most: int = LINE_MAX
) -> Card:
    """One recipe with its sessions; of each group `most`. `of_tenant`: only its own are known."""
    waiting = len(recipe.waiters)
    seats: dict[str, list[Seat]] = {}
    drawn = 0
    for name, group in (
        ("holders", recipe.holders),
        ("waiters", recipe.waiters),
        ("others", recipe.others),
    ):
        seats[name] = [seat_of(one, by_id, waiting, of_tenant=of_tenant) for one in group[:most]]
        drawn += len(seats[name])
    return Card(recipe, **seats, unseen=max(0, recipe.count - drawn))


def seat_of(
    one: Participant, by_id: Mapping[int, Session], waiting: int, *, of_tenant: bool
) -> Seat:
    number = one.owner & 0xFFFFFFFFFFFFFFFF
    session = by_id.get(number) if one.owner else None
    since = datetime.fromtimestamp(one.since_ms / 1_000, UTC) if one.since_ms > 0 else None
    holds = one.state not in ("waits", "is queued")
    hint = hint_of(one, session, by_id, waiting, of_tenant=of_tenant) if holds else ""
    return Seat(one, f"{number:#x}" if one.owner else "", session, since, hint)


def hint_of(
    one: Participant,
    session: Session | None,
    by_id: Mapping[int, Session],
    waiting: int,
    *,
    of_tenant: bool,
) -> str:
    """What looks wrong with who holds something."""
    if not one.owner or not by_id:
        return ""
    if session is None:
        if of_tenant:
            return "Its session is none of this tenant's."
        return "Its session is unknown: it has just ended, or a node is behind."
    if not session.node:
        left = session.expires_in_ms
        within = (
            f"{left / 1_000:.0f} s" if left is not None else f"{session.timeout_ms / 1_000:.0f} s"
        )
        return f"Connected nowhere: unless it comes back, it ends within {within}."
    if waiting and session.idle_ms is not None and session.idle_ms > SILENT_MS:
        minutes = session.idle_ms // 60_000
        return (
            f"Others wait. Its client lives, but has asked nothing for {minutes} min: "
            "if it hangs, close its session."
        )
    return ""
