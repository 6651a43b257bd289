"""Locks, elections, queues: who holds, who waits, for how long, and what looks wrong."""

from datetime import UTC, datetime
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from console.views.inside.common import PATH_MAX, Place, of_ensemble, of_tenant
from console.views.tenants.common import access_to, person_of, query_without
from observability.index import recipes as indexed
from observability.index import scope as scopes
from observability.index.scope import Scope
from tenants import locks, sessions
from tenants.asking import reached
from tenants.holders import LINE_MAX, Card, card_of, weight
from tenants.recipes import Recipe
from tenants.sessions import Listing

ROWS_A_PAGE: Final = 20


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
    slug = "" if place.tenant is None else place.tenant.slug  # which may be the ensemble's name
    key = (place.ensemble.pk, slug, person_of(request).pk)
    again = "again" in request.GET
    top = below.rstrip("/") or "/"
    scanned = reached(
        lambda: locks.find(
            place.bridge(request),
            key,
            top,
            again=again,
            more=lambda: indexed.paths_of(scope_of(request, place), top),
        )
    )
    if scanned.found is None:
        context["problem"] = scanned.problem
        return scanned.status
    paged = Paginator(scanned.found.paths, ROWS_A_PAGE).get_page(request.GET.get("page"))
    paths = list(paged.object_list)
    read = reached(lambda: locks.read_all(place.bridge(request), paths))
    recipes = sorted(read.found or [], key=weight)
    context |= {
        "problem": read.problem,
        "cards": cards_of(request, place, recipes),
        "page": paged,
        "scan": scanned.found,
        "scanned_at": datetime.fromtimestamp(scanned.found.at, UTC),
        "scanned_max": locks.SCANNED_MAX,
    }
    return read.status


def scope_of(request: HttpRequest, place: Place) -> Scope:
    if place.tenant is not None:
        return scopes.of_tenant(request.user, place.tenant)
    return scopes.of_ensemble(request.user, place.ensemble)


def cards_of(
    request: HttpRequest, place: Place, recipes: list[Recipe], most: int = LINE_MAX
) -> list[Card]:
    listing = Listing((), True, ())
    if recipes and (place.tenant is None or access_to(request, "session.read", place.tenant)):
        listing = sessions.of_ensemble(place.ensemble, place.tenant)
    by_id = listing.by_id()
    of_tenant = place.tenant is not None
    return [card_of(one, by_id, of_tenant=of_tenant, most=most) for one in recipes]
