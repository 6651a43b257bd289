"""The start page: a person's tenants, or all of them for operators and auditors."""

from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.usage import Meter, meters
from console.views.tenants.common import page_of, person_of, query_without
from tenants import access
from tenants.models import Ensemble, MemberRole, Membership, Plan, Publication, Request, Tenant

QUERY_MAX: Final = 100
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


@require_GET
def tenants(request: HttpRequest) -> HttpResponse:
    sees_all = access.standing_of(request.user) >= access.Standing.AUDITOR
    mine = sees_all and "mine" in request.GET
    found = filtered(request, access.visible_to(request.user), mine)
    page = page_of(request, found)
    rows = rows_of(request, page.object_list)
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
        "asked": list(asked.select_related("plan")[:5]),
    }
    template = "tenants/rows.html" if "HX-Request" in request.headers else "tenants/list.html"
    return render(request, f"console/pages/{template}", context)


def filtered(request: HttpRequest, found: QuerySet[Tenant], mine: bool) -> QuerySet[Tenant]:
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
    if mine:
        found = found.filter(memberships__user=person_of(request))
    found = found.exclude(lifecycle=Tenant.Lifecycle.GONE)
    order = SORTS.get(values.get("sort", ""), SORTS["slug"])
    return found.select_related("plan", "ensemble", "publication").order_by(*order)


def rows_of(request: HttpRequest, tenants: Any) -> list[Row]:
    """A page's lines, with the person's roles in one query."""
    shown = list(tenants)
    roles = dict(
        Membership.objects.filter(tenant__in=shown, user=person_of(request)).values_list(
            "tenant_id", "role"
        )
    )
    rows = []
    for tenant in shown:
        role = roles.get(tenant.pk)
        try:
            publication = tenant.publication
        except ObjectDoesNotExist:
            publication = None
        word = "" if role is None else str(MemberRole(role).label)
        rows.append(Row(tenant, word, publication, meters(tenant, {})[:2]))
    return rows
