"""Who may do what: every route and every websocket action stands in one table.

Deny by default: a route that is not in `ROUTES` answers 404 to everybody, and a test walks all
routes of the project with the whole cast. What stands there is a standing (`Standing`: what
somebody is to the plane), a right on the plane (`tenants.access.PLANE`), or a right in the tenant
that the address names by `slug` (`tenants.access.RIGHTS`). Pages of the whole tree are for
auditors, who read, and operators; everybody else sees their tenants.
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from console import navigation
from console.routes import PLANE_ROUTES
from console.routes_parts import PART_HEADER
from console.routes_znodes import ZNODE_ROUTES
from tenants.access import PLANE, Standing, require, standing_of, tenant_for
from tenants.api.access import is_open
from tenants.models import Ensemble

ROUTES: Final[dict[str, Standing | str]] = {
    "account_login": Standing.NOBODY,
    "account_logout": Standing.NOBODY,
    "mfa_authenticate": Standing.NOBODY,  # the second step of signing in
    "account_inactive": Standing.NOBODY,
    "sign-on": Standing.NOBODY,
    "sign-on-callback": Standing.NOBODY,
    "health": Standing.NOBODY,
    "health-ready": Standing.NOBODY,
    "metrics": Standing.NOBODY,  # asks for a token of its own
    "account_change_password": Standing.PERSON,
    "account_reauthenticate": Standing.PERSON,
    "mfa_index": Standing.PERSON,
    "mfa_reauthenticate": Standing.PERSON,
    "mfa_activate_totp": Standing.PERSON,
    "mfa_deactivate_totp": Standing.PERSON,
    "mfa_view_recovery_codes": Standing.PERSON,
    "mfa_generate_recovery_codes": Standing.PERSON,
    "api-docs": Standing.PERSON,
    "overview": Standing.PERSON,  # who is neither auditor nor operator is led to PERSONS_HOME
    "counts": Standing.PERSON,
    "members": Standing.AUDITOR,
    "member-add": Standing.OPERATOR,
    "member-remove": Standing.OPERATOR,
    "people": "people.read",
    "person": "people.read",
    "person-add": "people.change",
    "person-change": "people.change",
    "person-password": "people.change",
    "person-deactivate": "people.change",
    "person-activate": "people.change",
    "person-mfa-reset": "people.change",
    **PLANE_ROUTES,
    **ZNODE_ROUTES,
}

ENSEMBLES_MAX: Final = 100  # that the rail looks through

PERSONS_HOME: Final = "tenants"
"""The route where those begin who have nothing to do with the whole tree."""

ACTIONS: Final = {
    "watch": Standing.PERSON,
    "unwatch": Standing.PERSON,
    "seen": Standing.PERSON,
}
"""What a message on the websocket may ask for; whose tree it is about, `scopes` decides."""


class AccessMiddleware:
    """Holds the table at the door, before any view runs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        match = request.resolver_match
        if match is not None and is_open(match.view_name):
            return None  # the API's own table holds there, for tokens, too
        needed = None if match is None else ROUTES.get(match.view_name)
        if needed is None:
            raise Http404("this address is not open to anybody")
        least = needed if isinstance(needed, Standing) else PLANE.get(needed, Standing.PERSON)
        if least is Standing.NOBODY:
            return None
        standing = standing_in(request)
        if standing is Standing.NOBODY:
            return to_sign_in(request)
        if isinstance(needed, Standing):
            if standing < needed:
                raise PermissionDenied(REFUSALS[standing])
        elif needed in PLANE:
            require(request.user, needed)
        else:  # a right in a tenant; KeyError without a slug: the table is wrong
            tenant_for(request.user, kwargs["slug"], needed)
        return None


REFUSALS: Final = {
    Standing.PERSON: "The whole ensemble is for operators and auditors. Ask an operator.",
    Standing.AUDITOR: "Your account may read, not change. Ask an operator.",
}


def standing_in(request: HttpRequest) -> Standing:
    """The standing of who asks, looked up once a request."""
    known: Standing | None = getattr(request, "standing", None)
    if known is None:
        known = standing_of(request.user)
        request.standing = known  # type: ignore[attr-defined]
    return known


def to_sign_in(request: HttpRequest) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"error": "Your session is over. Sign in again."}, status=401)
    there = urlencode({"next": request.get_full_path()})
    return HttpResponseRedirect(f"{reverse('account_login')}?{there}")


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def sections_in(request: HttpRequest, standing: Standing) -> list[navigation.Section]:
    """The rail of who asks, about the ensemble that the address names."""
    if standing is Standing.NOBODY:
        return []
    ensembles: list[str] = []
    if standing >= Standing.AUDITOR:
        names = Ensemble.objects.order_by("pk").values_list("name", flat=True)
        ensembles = list(names[:ENSEMBLES_MAX])
    named = {} if request.resolver_match is None else request.resolver_match.kwargs
    return navigation.sections_for(standing, ROUTES, ensembles, str(named.get("ensemble", "")))


def context(request: HttpRequest) -> dict[str, Any]:
    """What every template knows."""
    standing = standing_in(request)
    match = request.resolver_match
    route = "" if match is None else match.view_name or ""
    is_part = PART_HEADER in request.headers
    # Made where a template asks for it: parts that a page fetches again have no rail.
    sections = SimpleLazyObject(lambda: sections_in(request, standing))
    return {
        "sections": sections,
        "rail_at": SimpleLazyObject(lambda: navigation.current(sections, route)),
        "sign_on": settings.SIGN_ON,
        "standing": standing.name.lower(),
        "may_look": standing >= Standing.AUDITOR,
        "may_write": standing >= Standing.OPERATOR,
        "page_frame": "console/part.html" if is_part else "console/base.html",
        "is_part": is_part,
    }
