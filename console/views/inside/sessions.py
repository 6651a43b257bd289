"""Sessions: who is connected, what each holds and watches, and the end of one after a preview."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from console.access import standing_in
from console.forms.base import PlaneForm
from console.views.inside.common import PATH_MAX, Place, of_ensemble, of_tenant, reached
from console.views.tenants.common import access_to, query_without
from console.who import actor_of
from tenants import locks, sessions
from tenants.access import Standing
from tenants.actions import sessions as actions
from tenants.models import Ensemble
from tenants.recipes import Recipe
from tenants.sessions import Detail, Session, Watcher

ROWS_A_PAGE: Final = 100
QUERY_MAX: Final = 100
AFFECTED_MAX: Final = 50  # recipes that a preview reads
STATES: Final[dict[str, tuple[str, Callable[[Session], bool]]]] = {
    "holding": ("hold ephemerals", lambda one: one.ephemerals > 0),
    "watching": ("watch something", lambda one: one.watches > 0),
    "waiting": ("have requests that wait", lambda one: one.queue > 0),
    "gone": ("are connected nowhere", lambda one: not one.node),
}
SORTS: Final[dict[str, tuple[str, Callable[[Session], Any], bool]]] = {
    "id": ("by id", lambda one: one.number, False),
    "requests": ("most requests first", lambda one: one.requests, True),
    "queue": ("longest queue first", lambda one: (one.queue, one.queue_oldest_ms), True),
    "latency": ("slowest first", lambda one: (one.avg_ms, one.max_ms), True),
    "ephemerals": ("most ephemerals first", lambda one: one.ephemerals, True),
    "watches": ("most watches first", lambda one: one.watches, True),
    "age": ("oldest connection first", lambda one: one.age_ms, True),
    "idle": ("longest idle first", lambda one: one.idle_ms or 0, True),
    "client": ("by client", lambda one: (one.who, one.address), False),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    session: Session
    watcher: Watcher | None


@dataclass(frozen=True, slots=True)
class Change:
    """What the end of a session would do to a lock, election or queue."""

    recipe: Recipe
    text: str
    moves: bool


class CloseForm(PlaneForm):
    """A session ends by typing its id."""

    confirm = forms.CharField(
        label="Its id",
        max_length=40,
        strip=True,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, session: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session = session

    def clean_confirm(self) -> str:
        typed = str(self.cleaned_data["confirm"])
        if typed.lower() != self.session:
            raise forms.ValidationError(f"Type {self.session}, not {typed!r}.")
        return typed


@require_GET
def listing(request: HttpRequest, ensemble: str) -> HttpResponse:
    return page(request, of_ensemble(ensemble))


@require_GET
def tenant_listing(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, of_tenant(request, slug, "session.read"))


def page(request: HttpRequest, place: Place) -> HttpResponse:
    found = sessions.of_ensemble(place.ensemble, place.tenant)
    path = request.GET.get("path", "").strip()[:PATH_MAX]
    watching: dict[int, Watcher] | None = None
    problem = ""
    if path.startswith("/"):
        watching = sessions.watchers(place.ensemble, path, place.tenant)
    elif path:
        problem = f"The path {path[:100]!r} must begin with a slash."
    rows = filtered(request, list(found.sessions), watching)
    paged = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    lines = [
        Row(one, None if watching is None else watching.get(one.number))
        for one in paged.object_list
    ]
    names = sorted({one.node for one in found.sessions if one.node})
    context = {
        "listing": found,
        "page": paged,
        "rows": lines,
        "path": path,
        "is_watching": watching is not None,
        "problem": problem,
        "query": query_without(request, "page"),
        "here": request.get_full_path(),
        "values": request.GET,
        "is_filtered": any(request.GET.get(name) for name in ("q", "node", "state", "path")),
        "states": {key: words for key, (words, _) in STATES.items()},
        "sorts": {key: words for key, (words, _, _) in SORTS.items()},
        "node_names": names,
        "total": len(found.sessions),
        "gone": sum(not one.node for one in found.sessions),
    }
    return place.page(request, "sessions", context)


def filtered(
    request: HttpRequest, found: list[Session], watching: dict[int, Watcher] | None
) -> list[Session]:
    """Those that the address's query names, in the order that it wants."""
    values = request.GET
    text = values.get("q", "").strip().lower()[:QUERY_MAX]
    if text:
        found = [
            one
            for one in found
            if text in f"{one.id} {one.address} {one.who} {one.tenant} {one.last_op}".lower()
        ]
    if values.get("node"):
        found = [one for one in found if one.node == values["node"]]
    if values.get("state") in STATES:
        wanted = STATES[values["state"]][1]
        found = [one for one in found if wanted(one)]
    if watching is not None:
        found = [one for one in found if one.number in watching]
    _, key, backwards = SORTS.get(values.get("sort", ""), SORTS["id"])
    found.sort(key=lambda one: one.number)
    found.sort(key=key, reverse=backwards)
    return found


# One session


@require_GET
def session(request: HttpRequest, ensemble: str, session: str) -> HttpResponse:
    return one_page(request, of_ensemble(ensemble), session)


@require_GET
def tenant_session(request: HttpRequest, slug: str, session: str) -> HttpResponse:
    return one_page(request, of_tenant(request, slug, "session.read"), session)


@require_POST
def close(request: HttpRequest, ensemble: str, session: str) -> HttpResponse:
    return end(request, of_ensemble(ensemble), session)


@require_POST
def tenant_close(request: HttpRequest, slug: str, session: str) -> HttpResponse:
    return end(request, of_tenant(request, slug, "session.close"), session)


def end(request: HttpRequest, place: Place, id: str) -> HttpResponse:
    """Close it, if its id was typed."""
    form = CloseForm(request.POST, session=id)
    if form.is_valid():
        with form.refusals(session="confirm"):
            held = actions.close(
                actor_of(request), ensemble=place.ensemble, session=id, tenant=place.tenant
            )
            went = "nothing else went with it" if not held else f"{held:,} ephemerals went with it"
            if held == 1:
                went = "one ephemeral went with it"
            messages.success(request, f"{id} is closed; {went}.")
            return redirect(place.url("sessions"))
    return one_page(request, place, id, form, form.status)


def one_page(
    request: HttpRequest, place: Place, id: str, form: CloseForm | None = None, status: int = 200
) -> HttpResponse:
    if not actions.SESSION.fullmatch(id):
        raise Http404(f"{id[:40]} is no session: 0x and hex digits")
    found = sessions.find(place.ensemble, id, place.tenant)
    if found is None:
        return place.page(request, "session", {"id": id, "session": None}, max(status, 404))
    detail = sessions.detail(place.ensemble, found, place.tenant)
    changes, problem = changes_of(request, place, detail)
    context = {
        "id": id,
        "session": found,
        "detail": detail,
        "changes": changes,
        "preview_problem": problem,
        "may_close": may_close(request, place) and not found.is_inner,
        "close_url": place.url("session-close", id),
        "form": form or CloseForm(session=id),
    }
    return place.page(request, "session", context, status)


def may_close(request: HttpRequest, place: Place) -> bool:
    if place.tenant is not None:
        return access_to(request, "session.close", place.tenant)
    is_ours = place.ensemble.kind == Ensemble.Kind.OURS
    return is_ours and standing_in(request) is Standing.OPERATOR


def changes_of(request: HttpRequest, place: Place, detail: Detail) -> tuple[list[Change], str]:
    """Which locks, elections and queues the session's end would move, and to whom."""
    if place.tenant is not None and not access_to(request, "znode.read", place.tenant):
        return [], ""
    paths = {one.path for one in detail.held}
    for held in detail.held:
        paths.update(locks.wholes_of(held.path.rpartition("/")[0] or "/"))
    if not paths:
        return [], ""
    wanted = sorted(paths)[:AFFECTED_MAX]
    read = reached(lambda: locks.read_all(place.bridge(request), wanted))
    owner = signed(detail.session.number)
    changes = [one for recipe in read.found or () if (one := change_of(recipe, owner)) is not None]
    return changes, read.problem


def signed(number: int) -> int:
    """A session's number as stats have it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def change_of(recipe: Recipe, owner: int) -> Change | None:
    mine = [one for one in recipe.participants if one.owner == owner]
    if not mine:
        return None
    after = locks.without(recipe, owner)
    held = any(one in recipe.holders for one in mine)
    if recipe.kind in ("lock", "read-write lock", "election"):
        if not held:
            return Change(recipe, "It waits here and leaves the line.", moves=False)
        if not after.holders:
            return Change(recipe, "It holds this, and nobody waits: it becomes free.", moves=True)
        before = {one.name for one in recipe.holders}
        fresh = [one for one in after.holders if one.name not in before]
        if not fresh:
            return Change(recipe, "It is one of those that share it; they go on.", moves=False)
        names = ", ".join(one.says or one.name for one in fresh[:3])
        return Change(recipe, f"It holds this: the next is {names}.", moves=True)
    if recipe.kind == "semaphore":
        if not held:
            return Change(recipe, "It waits for a lease and leaves the line.", moves=False)
        return Change(recipe, "It gives its lease back; who waits first gets it.", moves=True)
    if recipe.kind == "queue":
        return Change(recipe, "What it works on is free to be taken again.", moves=True)
    return Change(recipe, f"It is no longer among the {after.count:,} others.", moves=True)
