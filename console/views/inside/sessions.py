"""Sessions: who is connected, what each holds and watches, and the end of one after a preview."""

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
from console.views.inside.common import PATH_MAX, Place, of_ensemble, of_tenant
from console.views.tenants.common import access_to, query_without
from console.who import actor_of
from tenants import session_end, sessions
from tenants.access import Standing
from tenants.actions import sessions as actions
from tenants.models import Ensemble
from tenants.session_end import Change
from tenants.session_order import SORTS, STATES, ordered
from tenants.sessions import Detail, Session, Watcher

ROWS_A_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    session: Session
    watcher: Watcher | None


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
    rows = ordered(
        found.sessions,
        text=request.GET.get("q", ""),
        node=request.GET.get("node", ""),
        state=request.GET.get("state", ""),
        sort=request.GET.get("sort", ""),
        watching=watching,
    )
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
    return session_end.changes_of(lambda: place.bridge(request), detail)
