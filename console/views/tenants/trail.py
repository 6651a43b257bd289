"""Who did what: the nodes' journals and the plane's own actions, as one trail.

The collector makes it. Where none has run yet, and where asked for (`of=plane`), the plane's own
rows are shown alone: they are there at once.
"""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.views.tenants.common import query_without, tenant_page
from observability import health, trail
from observability.trail import Page, Query, QueryError
from tenants.access import tenant_for
from tenants.models import AuditEvent, Tenant

EVENTS_A_PAGE: Final = 50
WORD_MAX: Final = 150
PATH_MAX: Final = 1_000
EMPTY: Final = Page([], "")


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.audit")
    own = AuditEvent.objects.filter(tenant=slug, at__gte=tenant.created_at)
    return tenant_page(request, tenant, "audit", context_of(request, own, tenant))


@require_GET
def of_plane(request: HttpRequest) -> HttpResponse:
    found = AuditEvent.objects.all()
    for name, field in (
        ("tenant", "tenant"),
        ("person", "actor"),
        ("operation", "verb__startswith"),
    ):
        if word := word_of(request, name):
            found = found.filter(**{field: word})
    context = {**context_of(request, found, None), **chains()}
    return render(
        request, "console/pages/audit.html", context, status=422 if context["problem"] else 200
    )


def context_of(
    request: HttpRequest, own: QuerySet[AuditEvent], tenant: Tenant | None
) -> dict[str, Any]:
    """The trail's lines, or the plane's rows alone."""
    asked = {
        name: word
        for name in ("tenant", "person", "path", "operation")
        if (word := word_of(request, name))
    }
    if request.GET.get("failed"):
        asked["failed"] = "true"
    context: dict[str, Any] = {
        "values": request.GET,
        "export": urlencode(asked),
        "query": query_without(request, "before", "cursor"),
        "problem": "",
    }
    lines, whole = EMPTY, request.GET.get("of") != "plane"
    if whole:
        try:
            lines = trail.search(
                query_of(request), tenant=tenant, limit=EVENTS_A_PAGE,
                cursor=request.GET.get("cursor", ""),
            )  # fmt: skip
            nothing_yet = (
                not lines.lines and not trail.search(Query(), tenant=tenant, limit=1).lines
            )
        except QueryError as error:
            return {**context, "of": "all", "problem": str(error)}
        if not nothing_yet:
            shown = [(when(line.at), line) for line in lines.lines]
            return {**context, "of": "all", "lines": shown, "page": lines}
    events, older = page(request, own)
    return {**context, "of": "plane", "events": events, "older": older, "is_alone": whole}


def chains() -> dict[str, Any]:
    """Whether the journals' lines hold each other, and whether all of them come."""
    verdicts = health.verdicts()
    late = [one for one in health.follows() if one.problem]
    return {
        "verdicts": verdicts,
        "collector": health.collector(),
        "late": late,
        "is_whole": not late and all(one.is_sound for one in verdicts),
    }


def query_of(request: HttpRequest) -> Query:
    """What the form asks for."""
    return Query(
        tenant=word_of(request, "tenant"),
        person=word_of(request, "person"),
        path=request.GET.get("path", "").strip()[:PATH_MAX],
        operation=word_of(request, "operation"),
        failed=bool(request.GET.get("failed")),
    )


def word_of(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").strip()[:WORD_MAX]


def when(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def page(request: HttpRequest, found: QuerySet[AuditEvent]) -> tuple[list[AuditEvent], int | None]:
    """Events below the number that the address names, newest first, and where the next begin."""
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        found = found.filter(seq__lt=int(before))
    events = list(found.order_by("-seq")[: EVENTS_A_PAGE + 1])
    more = len(events) > EVENTS_A_PAGE
    events = events[:EVENTS_A_PAGE]
    return events, events[-1].seq if more else None
