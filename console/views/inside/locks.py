"""Locks, elections, queues: who holds, who waits, for how long, and what looks wrong."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from console.views.inside import indexed
from console.views.inside.common import PATH_MAX, Place, of_ensemble, of_tenant, reached
from console.views.tenants.common import access_to, person_of, query_without
from tenants import locks, sessions
from tenants.recipes import Participant, Recipe
from tenants.sessions import Listing, Session

ROWS_A_PAGE: Final = 20
SILENT_MS: Final = 600_000  # a holder that asks nothing for so long, while others wait
LINE_MAX: Final = 12  # that are drawn in a line; the page of the one znode draws all that were read
ORDER: Final = {"election": 0, "lock": 1, "read-write lock": 2, "semaphore": 3, "queue": 4}


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody in a recipe, as the page draws them. `hint`: what looks wrong."""

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


@require_GET
def of_whole(request: HttpRequest, ensemble: str) -> HttpResponse:
    return page(request, of_ensemble(ensemble))


@require_GET
def of_one_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, of_tenant(request, slug, "znode.read"))


def page(request: HttpRequest, place: Place) -> HttpResponse:
    path = request.GET.get("path", "").strip()[:PATH_MAX]
    context: dict[str, object] = {
        "path": path,
        "below": request.GET.get("below", "").strip()[:PATH_MAX],
        "here": request.get_full_path(),
        "query": query_without(request, "page", "again"),
    }
    status = 200
    if path and not path.startswith("/"):
        context["problem"] = f"The path {path[:100]!r} must begin with a slash."
    elif path:
        read = reached(lambda: locks.read_all(place.bridge(request), [path]))
        context["cards"] = cards_of(request, place, read.found or [], most=locks.PARTICIPANTS_MAX)
        context["problem"], status = read.problem, read.status
    else:
        status = add_scan(request, place, context)
    return place.page(request, "locks", context, status)


def add_scan(request: HttpRequest, place: Place, context: dict[str, object]) -> int:
    """The recipes of the tree, a page of them, or why there are none; the answer's status."""
    below = str(context["below"]) or "/"
    if not below.startswith("/"):
        context["problem"] = f"The path {below[:100]!r} must begin with a slash."
        return 422
    key = (place.ensemble.pk, place.name, person_of(request).pk)
    again = "again" in request.GET
    top = below.rstrip("/") or "/"
    scanned = reached(
        lambda: locks.find(
            place.bridge(request),
            key,
            top,
            again=again,
            more=lambda: indexed.paths_of(request, place, top),
        )
    )
    if scanned.found is None:
        context["problem"] = scanned.problem
        return scanned.status
    paged = Paginator(scanned.found.paths, ROWS_A_PAGE).get_page(request.GET.get("page"))
    paths = list(paged.object_list)
    read = reached(lambda: locks.read_all(place.bridge(request), paths))
    recipes = sorted(read.found or [], key=lambda one: (ORDER.get(one.kind, 9), one.path))
    context |= {
        "problem": read.problem,
        "cards": cards_of(request, place, recipes),
        "page": paged,
        "scan": scanned.found,
        "scanned_at": datetime.fromtimestamp(scanned.found.at, UTC),
        "scanned_max": locks.SCANNED_MAX,
    }
    return read.status


def cards_of(
    request: HttpRequest, place: Place, recipes: list[Recipe], most: int = LINE_MAX
) -> list[Card]:
    listing = Listing((), True, ())
    if recipes and (place.tenant is None or access_to(request, "session.read", place.tenant)):
        listing = sessions.of_ensemble(place.ensemble, place.tenant)
    by_id = listing.by_id()
    return [card_of(one, by_id, place, most) for one in recipes]


def card_of(recipe: Recipe, by_id: dict[int, Session], place: Place, most: int) -> Card:
    waiting = len(recipe.waiters)
    seats: dict[str, list[Seat]] = {}
    drawn = 0
    for name, group in (
        ("holders", recipe.holders),
        ("waiters", recipe.waiters),
        ("others", recipe.others),
    ):
        seats[name] = [seat_of(one, by_id, place, waiting) for one in group[:most]]
        drawn += len(seats[name])
    return Card(recipe, **seats, unseen=max(0, recipe.count - drawn))


def seat_of(one: Participant, by_id: dict[int, Session], place: Place, waiting: int) -> Seat:
    number = one.owner & 0xFFFFFFFFFFFFFFFF
    session = by_id.get(number) if one.owner else None
    since = datetime.fromtimestamp(one.since_ms / 1_000, UTC) if one.since_ms > 0 else None
    holds = one.state not in ("waits", "is queued")
    hint = hint_of(one, session, by_id, place, waiting) if holds else ""
    return Seat(replace(one), f"{number:#x}" if one.owner else "", session, since, hint)


def hint_of(
    one: Participant,
    session: Session | None,
    by_id: dict[int, Session],
    place: Place,
    waiting: int,
) -> str:
    """What looks wrong with who holds something."""
    if not one.owner or not by_id:
        return ""
    if session is None:
        if place.tenant is not None:
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
