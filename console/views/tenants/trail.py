"""The plane's own trail: one tenant's for its people, all of it for operators and auditors."""

from typing import Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.views.tenants.common import tenant_page
from tenants.access import tenant_for
from tenants.models import AuditEvent

EVENTS_A_PAGE: Final = 50
WORD_MAX: Final = 150


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.audit")
    events, older = page(request, AuditEvent.objects.filter(tenant=slug, at__gte=tenant.created_at))
    return tenant_page(request, tenant, "audit", {"events": events, "older": older})


@require_GET
def of_plane(request: HttpRequest) -> HttpResponse:
    values = request.GET
    found = AuditEvent.objects.all()
    for name, field in (("tenant", "tenant"), ("actor", "actor"), ("verb", "verb__startswith")):
        if values.get(name):
            found = found.filter(**{field: values[name].strip()[:WORD_MAX]})
    events, older = page(request, found)
    context = {"events": events, "older": older, "values": values}
    return render(request, "console/pages/audit.html", context)


def page(request: HttpRequest, found: QuerySet[AuditEvent]) -> tuple[list[AuditEvent], int | None]:
    """Events below the number that the address names, newest first, and where the next begin."""
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        found = found.filter(seq__lt=int(before))
    events = list(found.order_by("-seq")[: EVENTS_A_PAGE + 1])
    more = len(events) > EVENTS_A_PAGE
    events = events[:EVENTS_A_PAGE]
    return events, events[-1].seq if more else None
