"""What these pages share: whose inside is looked at, as whom, and the frame around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from console.access import standing_in
from console.views.tenants.common import access_to, person_of, tenant_page
from tenants import access, reach
from tenants.access import Standing
from tenants.models import Ensemble, Tenant
from tenants.zk import Bridge

PATH_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Place:
    """An ensemble, or one tenant of it: then nothing is seen but what is the tenant's."""

    ensemble: Ensemble
    tenant: Tenant | None = None

    @property
    def name(self) -> str:
        return self.ensemble.name if self.tenant is None else self.tenant.slug

    def url(self, route: str, *args: str) -> str:
        prefix = "" if self.tenant is None else "tenant-"
        return reverse(f"{prefix}{route}", args=[self.name, *args])

    def urls(self) -> dict[str, str]:
        return {"sessions": self.url("sessions"), "locks": self.url("locks")}

    def page(
        self, request: HttpRequest, name: str, context: Mapping[str, Any], status: int = 200
    ) -> HttpResponse:
        """The page of this name, in the tenant's frame or the ensemble's."""
        context = {"place": self, "urls": self.urls(), "znodes": self.znodes(request), **context}
        if self.tenant is not None:
            return tenant_page(request, self.tenant, name, context, status)
        context = {"ensemble": self.ensemble, "tab": name, **context}
        answer = render(request, f"console/pages/inside/{name}.html", context, status=status)
        answer["Cache-Control"] = "no-store"
        return answer

    def znodes(self, request: HttpRequest) -> str:
        """Where paths lead to; empty for somebody who may not read them."""
        if self.tenant is not None:
            may = access_to(request, "znode.read", self.tenant)
            return reverse("tenant-znode", args=[self.tenant.slug]) if may else ""
        if standing_in(request) is Standing.OPERATOR:
            return reverse("ensemble-znode", args=[self.ensemble.name])
        return ""

    def bridge(self, request: HttpRequest) -> Bridge:
        """The way to the tree, in this person's own name.

        Raises:
            BusyError, NoKeyError: with a text for people.
        """
        user = person_of(request)
        if self.tenant is not None:
            return reach.as_person(self.tenant, user, access.acting_role(user, self.tenant))
        is_operator = standing_in(request) is Standing.OPERATOR
        return reach.as_operator(self.ensemble, user, reads=not is_operator)


def of_ensemble(name: str) -> Place:
    return Place(access.ensemble_named(name))


def of_tenant(request: HttpRequest, slug: str, right: str) -> Place:
    tenant = access.tenant_for(request.user, slug, right)
    return Place(tenant.ensemble, tenant)
