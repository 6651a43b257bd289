"""Searching by path and value: within a tenant, over an ensemble, over all that somebody sees."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from console.views.tenants.common import person_of, query_without, tenant_page
from console.views.tenants.listing import is_part
from observability.index import scope as scopes
from observability.index.fresh import Fresh, fresh
from observability.index.query import QUERY_MAX, Query, QueryError, parse
from observability.index.rows import PATH_KEPT_MAX
from observability.index.scope import Scope
from observability.index.search import Hit, Page, search
from observability.roots import inward
from tenants import access
from tenants.access import tenant_for
from tenants.models import Ensemble

HITS_A_PAGE: Final = 50
HITS_A_GROUP: Final = 8
GROUPS_MAX: Final = 20
ALL_WITHIN_S: Final = 3.0  # of all groups together
PART: Final = "console/parts/search-results.html"
EXAMPLES: Final = (
    ("timeout", "the word, in a path or a value, whatever its case"),
    ('"max connections"', "words with spaces between them"),
    ("path:/config name:*.json", "names that end so, below a path"),
    ("in:value 10.0.0.7", "in values alone; in:path, in paths alone"),
    ("changed:<1h", "changed within the last hour; s, m, h, d, w"),
    ("size:>10k", "values of more than 10 KiB; k, m"),
    ("ephemeral:yes", "that go with their session"),
    (r"/port=\d{4}/", "a regular expression"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A hit and where it leads."""

    hit: Hit
    url: str  # empty: this person cannot look at it
    history: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """One place that was searched, of all that somebody sees."""

    title: str
    kind: str
    url: str
    rows: list[Row]
    page: Page | None
    problem: str


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.history")
    scope = scopes.of_tenant(request.user, tenant)
    context = context_of(request, scope, fresh(tenant.ensemble, whole=False))
    if is_part(request):
        return part(request, {**context, "tenant": tenant})
    return tenant_page(request, tenant, "search", context, context["status"])


@require_GET
def of_ensemble(request: HttpRequest, ensemble: str) -> HttpResponse:
    access.require(request.user, "tree.read")
    found = access.ensemble_named(ensemble)
    scope = scopes.of_ensemble(request.user, found)
    context = {**context_of(request, scope, fresh(found, whole=True)), "ensemble": found}
    if is_part(request):
        return part(request, context)
    return page_of(request, "console/pages/ensemble-search.html", context)


@require_GET
def everywhere(request: HttpRequest) -> HttpResponse:
    """All places that somebody sees, a few hits of each."""
    text = text_of(request)
    context: dict[str, Any] = {"q": text, "examples": EXAMPLES, "groups": [], "status": 200}
    person = person_of(request)
    places = places_of(person)
    context["places"] = [(title, kind, url) for title, kind, url, _ in places]
    try:
        query = parse(text)
        if not query.is_empty:
            context |= grouped(person, query, text, places)
    except QueryError as error:
        context |= {"wrong": str(error), "status": 422}
    if is_part(request):
        return part(request, context, "console/parts/search-groups.html")
    return page_of(request, "console/pages/search.html", context)


def text_of(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip()[: QUERY_MAX + 1]


def part(request: HttpRequest, context: dict[str, Any], template: str = PART) -> HttpResponse:
    return page_of(request, template, context)


def page_of(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    response = render(request, template, context, status=context["status"])
    response["Cache-Control"] = "no-store"
    return response


def context_of(request: HttpRequest, scope: Scope, state: Fresh) -> dict[str, Any]:
    """What the search found, or why it did not."""
    text = text_of(request)
    context: dict[str, Any] = {
        "q": text,
        "scope": scope,
        "fresh": state,
        "filled_at": moment_of(state.filled_at_ms),
        "examples": [one for one in EXAMPLES if scope.sees_values or "value" not in one[0]],
        "query": query_without(request, "cursor"),
        "status": 200,
    }
    began_s = time.monotonic()
    try:
        query = parse(text)
        if query.is_empty:
            return context
        page = search(query, scope, limit=HITS_A_PAGE, cursor=request.GET.get("cursor", ""))
    except QueryError as error:
        return {**context, "wrong": str(error), "status": 422}
    rows = [row_of(hit, scope) for hit in page.hits]
    return {
        **context,
        "page": page,
        "rows": rows,
        "is_later": bool(request.GET.get("cursor")),
        "took_ms": round(1_000 * (time.monotonic() - began_s)),
    }


def row_of(hit: Hit, scope: Scope) -> Row:
    return Row(hit, link_of(hit, scope), history_of(hit, scope), moment_of(hit.at))


def link_of(hit: Hit, scope: Scope) -> str:
    """The znode's page, for those who may open it."""
    if len(hit.path) >= PATH_KEPT_MAX:
        return ""  # cut
    if scope.tenant is not None:
        if not scope.sees_values:
            return history_of(hit, scope)
        return znode_url("tenant-znode", hit.path, slug=scope.tenant.slug)
    if scope.sees_values:
        return znode_url("ensemble-znode", hit.path, ensemble=scope.ensemble)
    return znode_url("znode", hit.path) if scope.ensemble == settings.MAIN_ENSEMBLE else ""


def znode_url(route: str, path: str, **where: str) -> str:
    return reverse(route, kwargs={**where, "name": path[1:]})


def history_of(hit: Hit, scope: Scope) -> str:
    """The znode's revisions, which are a tenant's."""
    path: str | None = hit.path
    if scope.tenant is None:
        root = next((root for root, slug in scope.roots.by_root.items() if slug == hit.tenant), "")
        path = inward(root, hit.path) if hit.tenant else None
    if path is None:
        return ""
    return f"{reverse('tenant-history', args=[hit.tenant])}?{urlencode({'path': path})}"


def moment_of(ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # a clock that nobody has


# Over everything


Place = tuple[str, str, str, Scope]


def places_of(person: User) -> list[Place]:
    """Title, kind, address and scope of each: whole ensembles, or one's own tenants."""
    if access.standing_of(person) >= access.Standing.AUDITOR:
        return [
            (
                one.name,
                "ensemble",
                reverse("ensemble-search", args=[one.name]),
                scopes.of_ensemble(person, one),
            )
            for one in Ensemble.objects.order_by("name")[:GROUPS_MAX]
        ]
    found = access.visible_to(person).select_related("ensemble", "plan").order_by("slug")
    return [
        (
            one.slug,
            "tenant",
            reverse("tenant-search", args=[one.slug]),
            scopes.of_tenant(person, one),
        )
        for one in found[:GROUPS_MAX]
        if access.may(person, "tenant.history", one)
    ]


def grouped(person: User, query: Query, text: str, places: list[Place]) -> dict[str, Any]:
    """A few hits of each place, as far as the time goes."""
    end_s = time.monotonic() + ALL_WITHIN_S
    groups: list[Group] = []
    for title, kind, url, scope in places:
        where = f"{url}?{urlencode({'q': text})}"
        left_s = end_s - time.monotonic()
        page, problem = None, ""
        if left_s <= 0:
            problem = "not searched: the other places took all the time"
        else:
            try:
                page = search(query, scope, limit=HITS_A_GROUP, within_s=min(left_s, 1.5))
            except QueryError as error:
                if len(places) == 1:
                    raise
                problem = str(error)
        rows = [] if page is None else [row_of(hit, scope) for hit in page.hits]
        if rows or problem:
            groups.append(Group(title, kind, where, rows, page, problem))
    return {"groups": groups, "is_asked": True}
