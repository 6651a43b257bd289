"""A tenant at a glance: limits against usage, state, what the nodes have of it, how to connect."""

import time

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from console.usage import meters, usage_of
from console.views.tenants.common import tenant_page
from observability.forecast import forecasts
from tenants.access import tenant_for
from tenants.models import Credential, Membership, Node, Publication, Request, Tenant


@require_GET
def tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.read")
    usage = {} if tenant.lifecycle != Tenant.Lifecycle.ALIVE else usage_of(tenant)
    rows = meters(tenant, usage, forecasts(tenant, int(time.time())))
    context = {
        "meters": rows,
        "is_measured": bool(usage),
        "over": [meter for meter in rows if meter.kind == "bad"],
        "nodes": nodes_of(tenant),
        "credentials": Credential.objects.filter(tenant=tenant, revoked_at=None).count(),
        "owners": Membership.objects.filter(tenant=tenant, role=3).select_related("user")[:5],
        "members": Membership.objects.filter(tenant=tenant).count(),
        "asked": Request.objects.filter(tenant=tenant, status="pending").select_related("plan"),
    }
    return tenant_page(request, tenant, "overview", context)


def nodes_of(tenant: Tenant) -> list[tuple[str, str, bool]]:
    """Each node, what it has in force, and whether that is what is wanted."""
    publication = Publication.objects.filter(tenant=tenant).first()
    said = {} if publication is None else publication.nodes
    rows = []
    for node in Node.objects.filter(ensemble=tenant.ensemble):
        word = said.get(node.name)
        if word is None:
            rows.append((node.name, "not heard of yet", False))
        elif isinstance(word, int):
            wanted = publication is not None and word == publication.document_version
            rows.append((node.name, f"version {word}", wanted))
        else:
            rows.append((node.name, str(word), False))
    return rows
