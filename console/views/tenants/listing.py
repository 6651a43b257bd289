"""The start page: a person's tenants, or all of them for operators and auditors."""

import time
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Case, Q, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.usage import Meter, meters
from console.views.tenants.common import page_of, person_of, query_without
from observability import latest
from observability.neighbours import Neighbour, neighbours
from tenants import access
from tenants.models import Ensemble, MemberRole, Membership, Plan, Publication, Request, Tenant

QUERY_MAX: Final = 100
ENSEMBLES_MAX: Final = 50  # that are asked for noisy neighbours
RANKED_MAX: Final = 200  # that stand in the order of their costs
SORTS: Final = {
    "slug": ("slug",),
    "-slug": ("-slug",),
    "new": ("-created_at", "slug"),
    "plan": ("plan__position", "plan__name", "slug"),
    "ensemble": ("ensemble__name", "slug"),
    "state": ("lifecycle", "state", "slug"),
}
SORT_WORDS: Final = {
    "slug": "by name",
    "-slug": "by name, backwards",
    "new": "newest first",
    "plan": "by plan",
    "ensemble": "by ensemble",
    "state": "by state",
    "cost": "costliest first",
}
STATES: Final = {
    "active": Q(lifecycle="alive", state="active"),
    "suspended": Q(lifecycle="alive", state="suspended"),
    "draining": Q(lifecycle="alive", state="draining"),
    "deleted": Q(lifecycle="deleted"),
    "pending": Q(publication__status="pending"),
    "failed": Q(publication__status="failed"),
}
STATE_WORDS: Final = {
    "active": "active",
    "suspended": "suspended",
    "draining": "draining",
    "deleted": "deleted, can be brought back",
    "pending": "not in force yet",
    "failed": "publication failed",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list."""

    tenant: Tenant
    role: str
    publication: Publication | None
    meters: list[Meter]
    cost_ms: float | None  # of the nodes' threads, a second


@require_GET
def tenants(request: HttpRequest) -> HttpResponse:
    sees_all = access.standing_of(request.user) >= access.Standing.AUDITOR
    found = filtered(request, access.visible_to(request.user))
    costs = latest.costs(Ensemble.objects.values_list("name", flat=True)) if sees_all else {}
    if sees_all and request.GET.get("sort") == "cost":
        page = page_of(request, by_cost(found, costs))
    else:
        page = page_of(request, found)
    rows = rows_of(request, page.object_list, costs)
    part = is_part(request)
    noisy = [] if part or not sees_all else noisy_ones()
    asked = Request.objects.filter(status=Request.Status.PENDING)
    if not sees_all:
        asked = asked.filter(asked_by_id=request.user.pk)
    context = {
        "rows": rows,
        "page": page,
        "query": query_without(request, "page"),
        "sort_query": query_without(request, "page", "sort"),
        "values": request.GET,
        "is_filtered": any(request.GET.get(name) for name in ("q", "ensemble", "plan", "state")),
        "ensembles": Ensemble.objects.all() if sees_all else (),
        "plans": Plan.objects.all() if sees_all else (),
        "states": STATE_WORDS,
        "sorts": SORT_WORDS if sees_all else {"slug": SORT_WORDS["slug"], "new": SORT_WORDS["new"]},
        "sees_all": sees_all,
        "has_costs": bool(costs),
        "noisy": noisy,
        "asked": list(asked.select_related("plan")[:5]),
    }
    template = "tenants/rows.html" if part else "tenants/list.html"
    response = render(request, f"console/pages/{template}", context)
    response["Cache-Control"] = "no-store"  # who goes back is not shown the part as the page
    return response


def noisy_ones() -> list[Neighbour]:
    """Of all ensembles; one statement for each that has none."""
    now = int(time.time())
    names = Ensemble.objects.values_list("name", flat=True)[:ENSEMBLES_MAX]
    return [one for name in names for one in neighbours(name, now)]


def is_part(request: HttpRequest) -> bool:
    """Whether a script wants the lines alone; who goes back in time wants the page."""
    headers = request.headers
    return "HX-Request" in headers and "HX-History-Restore-Request" not in headers


def filtered(request: HttpRequest, found: QuerySet[Tenant]) -> QuerySet[Tenant]:
    """Those that the address's query names, in the order that it wants."""
    values = request.GET
    text = values.get("q", "").strip()[:QUERY_MAX]
    if text:
        found = found.filter(Q(slug__icontains=text.lower()) | Q(title__icontains=text))
    if values.get("ensemble"):
        found = found.filter(ensemble__name=values["ensemble"])
    if values.get("plan"):
        found = found.filter(plan__name=values["plan"])
    if values.get("state") in STATES:
        found = found.filter(STATES[values["state"]])
    found = found.exclude(lifecycle=Tenant.Lifecycle.GONE)
    order = SORTS.get(values.get("sort", ""), SORTS["slug"])
    return found.select_related("plan", "ensemble", "publication").order_by(*order)


def by_cost(found: QuerySet[Tenant], costs: dict[str, float]) -> QuerySet[Tenant]:
    """Who costs most comes first; who costs nothing, by name behind them."""
    ranked = sorted(costs, key=lambda slug: -costs[slug])[:RANKED_MAX]
    places = [When(slug=slug, then=place) for place, slug in enumerate(ranked)]
    if not places:
        return found
    return found.annotate(place=Case(*places, default=RANKED_MAX)).order_by("place", "slug")


def rows_of(request: HttpRequest, tenants: Any, costs: dict[str, float]) -> list[Row]:
    """A page's lines, with the person's roles in one query, and the figures in a few."""
    shown = list(tenants)
    roles = dict(
        Membership.objects.filter(tenant__in=shown, user=person_of(request)).values_list(
            "tenant_id", "role"
        )
    )
    by_ensemble: dict[str, list[str]] = {}
    for tenant in shown:
        by_ensemble.setdefault(tenant.ensemble.name, []).append(tenant.slug)
    used = {name: latest.usages(name, slugs) for name, slugs in by_ensemble.items()}
    rows = []
    for tenant in shown:
        role = roles.get(tenant.pk)
        try:
            publication = tenant.publication
        except ObjectDoesNotExist:
            publication = None
        word = "" if role is None else str(MemberRole(role).label)
        known = used.get(tenant.ensemble.name, {}).get(tenant.slug, {})
        rows.append(
            Row(tenant, word, publication, meters(tenant, known)[:2], costs.get(tenant.slug))
        )
    return rows
