"""What the pages of tenants share: who acts, the frame around a page, pages of long lists."""

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console import navigation
from tenants import access
from tenants.models import MemberRole, Publication, Tenant

ROWS_A_PAGE: Final = 50


def person_of(request: HttpRequest) -> User:
    """Who is signed in; the access table has let nobody else in."""
    assert isinstance(request.user, User)
    return request.user


def is_operator(request: HttpRequest) -> bool:
    return access.standing_of(request.user) is access.Standing.OPERATOR


def tenant_page(
    request: HttpRequest,
    tenant: Tenant,
    tab: str,
    context: Mapping[str, Any] | None = None,
    status: int = 200,
    template: str = "",
) -> HttpResponse:
    """One of a tenant's pages, in the frame with its name, state and tabs."""
    held = [right for right in access.RIGHTS if access_to(request, right, tenant)]
    frame = {
        "tenant": tenant,
        "tab": tab,
        "tabs": navigation.tabs_for(held, is_alive=tenant.lifecycle == Tenant.Lifecycle.ALIVE),
        "may": {right.replace(".", "_"): True for right in held},
        "role": role_word(request, tenant),
        "publication": Publication.objects.filter(tenant=tenant).first(),
    }
    template = template or f"console/pages/tenants/{tab}.html"
    response = render(request, template, {**frame, **(context or {})}, status=status)
    response["Cache-Control"] = "no-store"  # who goes back does not see a state that is over
    return response


def access_to(request: HttpRequest, right: str, tenant: Tenant) -> bool:
    """`access.may`, with this person's standing and role looked up once a request."""
    key = f"_role_{tenant.pk}"
    if not hasattr(request, key):
        setattr(request, key, (access.standing_of(request.user), role_of(request, tenant)))
    standing, role = getattr(request, key)
    return access.allows(right, standing, role, access.bounds_of(request.user))


def role_of(request: HttpRequest, tenant: Tenant) -> MemberRole | None:
    return access.role_in(request.user, tenant)


def role_word(request: HttpRequest, tenant: Tenant) -> str:
    """What this person is here."""
    access_to(request, "tenant.read", tenant)
    standing, role = getattr(request, f"_role_{tenant.pk}")
    if role is not None:
        return str(role.label)
    return str(standing.name.lower())


def page_of(request: HttpRequest, rows: QuerySet[Any], each: int = ROWS_A_PAGE) -> Page[Any]:
    """The page that the address asks for; the nearest one where there is no such page."""
    return Paginator(rows, each).get_page(request.GET.get("page"))


def query_without(request: HttpRequest, *names: str) -> str:
    """The address's query without some names, to be continued with `&`."""
    kept = request.GET.copy()
    for name in names:
        kept.pop(name, None)
    text = kept.urlencode()
    return f"{text}&" if text else ""
