"""Asks for work on a whole subtree: each form makes a job, whose page shows its dry run."""

import time
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from console.forms import bulk as forms
from console.forms.bulk import BulkForm
from console.routes_bulk import OPERATIONS
from console.scopes import scope_of
from console.templatetags.bulk import links_of
from console.views.tenants.common import query_without, tenant_page
from console.who import actor_of
from ensemble.client import ClientError
from observability import history, subtree
from observability.history import HistoryError
from observability.subtree import Moment, Past
from tenants import access
from tenants.access import tenant_for
from tenants.actions import jobs
from tenants.bulk import reading
from tenants.bulk.bounds import KEPT_FOR
from tenants.bulk.reading import MissingError
from tenants.errors import LimitError
from tenants.keys import NoKeyError
from tenants.models import Job, Tenant
from tenants.reach import BusyError
from tenants.zk import UnreachableError

CHANGES_SHOWN: Final = 200
LISTED_MAX: Final = 2_000  # znodes of a subtree as it was, on the page itself
LISTED_A_PAGE: Final = 100
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Operation:
    """What a form page says."""

    kind: str
    title: str
    words: str
    form: type[BulkForm]
    button: str = "Show what would happen"


ASKED: Final[dict[str, Operation]] = {
    "duplicate": Operation(
        "duplicate",
        "Duplicate",
        "A copy of the znode and of all below it: values, ACLs, containers and times to live. "
        "Sequential znodes keep their numbers as plain names.",
        forms.DuplicateForm,
    ),
    "move": Operation(
        "move",
        "Move",
        "Copied first, deleted afterwards; as one transaction where it has at most 200 steps and "
        "400 kB. What somebody changes meanwhile stays where it is.",
        forms.MoveForm,
    ),
    "delete-tree": Operation(
        "delete",
        "Delete with all below",
        f"Children before their parents. It can be undone for {KEPT_FOR.days} days, but for "
        "secret values and for what was ephemeral.",
        forms.DeleteForm,
    ),
    "acl-tree": Operation(
        "acl",
        "Change ACLs",
        "Of the znode and of all below it; each keeps what the change does not name.",
        forms.AclForm,
    ),
    "export": Operation(
        "export",
        "Export",
        "A file of the znode and of all below it, as you may read them.",
        forms.ExportForm,
        "Export",
    ),
    "import": Operation(
        "import",
        "Import",
        "From a file. The dry run says what is new, what would change and what is in the way.",
        forms.ImportForm,
    ),
    "restore": Operation(
        "restore",
        "Bring back as it was",
        "From the history. The dry run says what would be made again, set back and deleted, and "
        "what cannot be, with the reason.",
        forms.RestoreForm,
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Whose tree it is about."""

    where: str
    prefix: str
    args: dict[str, str]
    tenant: Tenant | None = None
    ensemble: str = ""

    def url(self, name: str, query: str = "") -> str:
        return reverse(f"{self.prefix}znode-{name}", kwargs=self.args) + query

    def page(self, path: str) -> str:
        """The znode's own page."""
        return reverse(f"{self.prefix}znode", kwargs=self.args | {"name": path[1:]})


def place_of(request: HttpRequest, right: str, slug: str, ensemble: str) -> Place:
    """The tree that the address names; the access table has let the person in."""
    if slug:
        tenant = tenant_for(request.user, slug, right)
        return Place(Job.Where.TENANT, "tenant-", {"slug": slug}, tenant, tenant.ensemble.name)
    if ensemble:
        access.ensemble_named(ensemble)
        return Place(Job.Where.ENSEMBLE, "ensemble-", {"ensemble": ensemble}, None, ensemble)
    return Place(Job.Where.TREE, "", {}, None, settings.MAIN_ENSEMBLE)


@require_http_methods(["GET", "POST"])
def ask(request: HttpRequest, operation: str, slug: str = "", ensemble: str = "") -> HttpResponse:
    """The form, and the job that it makes."""
    place = place_of(request, OPERATIONS[operation], slug, ensemble)
    asked = ASKED[operation]
    path = request.GET.get("path", "/")
    is_sent = request.method == "POST"
    initial = {"path": path, "at": request.GET.get("at", "")}
    if operation in ("duplicate", "move") and path != "/":
        initial["to"] = f"{path}-copy" if operation == "duplicate" else path
    form = asked.form(
        request.POST if is_sent else None, request.FILES if is_sent else None, initial=initial
    )
    if is_sent and form.is_valid():
        with form.refusals():
            job = jobs.make(
                actor_of(request),
                kind=asked.kind,
                where=place.where,
                tenant=place.tenant,
                ensemble=place.ensemble,
                path=form.cleaned_data["path"],
                parameters=form.parameters(),
                sent=form.cleaned_data.get("file"),
            )
            return redirect("job", key=job.key)
    context = {"asked": asked, "form": form, "path": form["path"].value() or "/"}
    return page(request, place, operation, context, form.status if form.refused else 200)


@require_GET
def at_time(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """What has changed below a path since a time: the differences from what it was to now."""
    place = place_of(request, OPERATIONS["at-time"], slug, ensemble)
    path, text = request.GET.get("path", "/"), request.GET.get("at", "")
    now_ms = int(time.time() * 1_000)
    context: dict[str, Any] = {"path": path, "then": text, "hours": hours(now_ms)}
    try:
        given = forms.moment_of(text) if text else {}
        if given:
            moment = Moment(**given)
            context |= standing(request, place, path, moment)
            context |= {"moment": True, "zxid": moment.zxid}
            if moment.at_ms is not None:
                context |= differences(place, path, moment.at_ms, now_ms)
    except (ValidationError, HistoryError) as error:
        text = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        return page(request, place, "at-time", {**context, "problem": text}, 422)
    return page(request, place, "at-time", context)


def standing(request: HttpRequest, place: Place, path: str, moment: Moment) -> dict[str, Any]:
    """The subtree as it was, a page of it; what cannot be told says why not."""
    tenant, ensemble = place.tenant, "" if place.tenant is not None else place.ensemble
    past: dict[str, Past] = {}
    sight = access.sees_closed(request.user, tenant)
    for one in subtree.last_changes(
        path, moment, ensemble=ensemble, tenant=tenant, sees_closed=sight
    ):
        past[one.path] = one
        if len(past) > LISTED_MAX:
            return {"too_many": LISTED_MAX}
    try:
        bridge = scope_of(
            request.user, place.args.get("slug", ""), place.args.get("ensemble", "")
        ).bridge
        found = reading.subtree(bridge, path, quiet, most=LISTED_MAX)
    except MissingError:
        found = []
    except LimitError:
        return {"too_many": LISTED_MAX}
    except (ClientError, UnreachableError, NoKeyError, BusyError) as error:
        return {"silent": str(error)}
    now = {one.path: one.stat for one in found}
    stood = [one for one in subtree.was(now, past, moment) if not reading.is_own(one.path)]
    return {"stood": Paginator(stood, LISTED_A_PAGE).get_page(request.GET.get("page"))}


def quiet(_: int) -> None:
    """Nobody is told: it is a page's part."""


def differences(place: Place, path: str, at_ms: int, now_ms: int) -> dict[str, Any]:
    """What changed since, by path; the last change first."""
    ensemble = "" if place.tenant is not None else place.ensemble
    found = history.changed(
        path,
        since_ms=at_ms + 1,
        until_ms=now_ms + HOUR_MS,
        ensemble=ensemble,
        tenant=place.tenant,
    )
    rows = sorted(found.paths, key=lambda one: -one.last_at)
    return {
        "rows": rows[:CHANGES_SHOWN],
        "count": len(rows),
        "is_all": found.is_all and len(rows) <= CHANGES_SHOWN,
        "was": instant(at_ms),
    }


def hours(now_ms: int) -> list[tuple[str, str]]:
    """Times to choose from."""
    spans = ((10, "10 minutes ago"), (60, "an hour ago"), (1_440, "a day ago"))
    return [(instant(now_ms - minutes * 60_000), words) for minutes, words in spans]


def instant(ms: int) -> str:
    """As the form takes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms / 1_000))


def page(
    request: HttpRequest, place: Place, operation: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """In the frame of the tenant, where it is one's."""
    path = context["path"] if str(context["path"]).startswith("/") else "/"
    whole = {
        **context,
        "operation": operation,
        "place": place,
        "znode_url": place.page(path),
        "query": query_without(request, "page"),
        "links": links_of(request.user, place.prefix, place.args, path, place.tenant),
        "part": "console/parts/bulk-time.html"
        if operation == "at-time"
        else "console/parts/bulk-ask.html",
    }
    if place.tenant is not None:
        marked = {**whole, "tab": "znodes"}
        return tenant_page(request, place.tenant, "bulk", marked, status)
    response = render(request, "console/pages/bulk.html", whole, status=status)
    response["Cache-Control"] = "no-store"
    return response
