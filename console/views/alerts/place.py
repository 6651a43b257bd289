"""Where a page of alerts stands: in the plane, or in one tenant, with the rights there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from console.views.tenants.common import access_to, tenant_page
from observability.alerts import read
from observability.alerts.read import Shown
from tenants.access import PLANE, require, standing_of, tenant_for
from tenants.models import Tenant

PLANE_FRAME = "console/pages/alerts/frame.html"
TENANT_FRAME = "console/pages/alerts/tenant-frame.html"


@dataclass(frozen=True, slots=True)
class Place:
    """`base`: the address that those of the other pages begin with."""

    tenant: Tenant | None
    base: str
    may_act: bool  # acknowledge, silence
    may_send: bool  # channels
    may_change: bool  # rules


def place_of(request: HttpRequest, slug: str, plane: str, own: str) -> Place:
    """The place, for somebody who holds the right `plane` on the plane, or `own` in the tenant.

    Raises:
        Http404, PermissionDenied: as `tenants.access` has it.
    """
    if slug:
        tenant = tenant_for(request.user, slug, own)
        return Place(
            tenant,
            reverse("tenant-alerts", args=[slug]),
            access_to(request, "tenant.alerts.act", tenant),
            access_to(request, "tenant.alerts.channels", tenant),
            False,
        )
    require(request.user, plane)
    standing = standing_of(request.user)
    may_change = standing >= PLANE["alert.change"]
    may_act = standing >= PLANE["alert.act"]
    return Place(None, reverse("alerts"), may_act, may_change, may_change)


def show(
    request: HttpRequest,
    place: Place,
    name: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> HttpResponse:
    """A page of this name, in the frame of its place."""
    template = f"console/pages/alerts/{name}.html"
    whole = {"place": place, "view": name, **context}
    if place.tenant is not None:
        within = {**whole, "frame": TENANT_FRAME}
        return tenant_page(request, place.tenant, "alerts", within, status, template=template)
    response = render(request, template, {**whole, "frame": PLANE_FRAME}, status=status)
    response["Cache-Control"] = "no-store"
    return response


def alert_in(request: HttpRequest, place: Place, pk: int) -> Shown:
    """One alert that this person may see here.

    Raises:
        Http404: there is none.
    """
    found = read.one(request.user, pk, place.tenant)
    if found is None:
        raise Http404(f"there is no alert {pk} that you can see; it may be older than 90 days")
    return found


def subject_of(place: Place) -> str:
    return "" if place.tenant is None else place.tenant.slug
