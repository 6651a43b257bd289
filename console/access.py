"""Who may do what: every route and every websocket action stands in one table.

Deny by default: a route that is not in `ROUTES` answers 404 to everybody, and a test walks all
routes of the project against the table. Roles for now: a *viewer* is signed in and reads; an
*operator* (Django's `is_staff`) writes, too.
"""

import enum
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse

from tenants.api.access import is_open


class Role(enum.IntEnum):
    """Each one may do what those before it may."""

    ANYBODY = 0
    VIEWER = 1
    OPERATOR = 2


ROUTES: Final = {
    "account_login": Role.ANYBODY,
    "account_logout": Role.ANYBODY,
    "mfa_authenticate": Role.ANYBODY,  # the second step of signing in
    "health": Role.ANYBODY,
    "account_change_password": Role.VIEWER,
    "account_reauthenticate": Role.VIEWER,
    "mfa_index": Role.VIEWER,
    "mfa_reauthenticate": Role.VIEWER,
    "mfa_activate_totp": Role.VIEWER,
    "mfa_deactivate_totp": Role.VIEWER,
    "mfa_view_recovery_codes": Role.VIEWER,
    "mfa_generate_recovery_codes": Role.VIEWER,
    "overview": Role.VIEWER,
    "members": Role.VIEWER,
    "member-add": Role.OPERATOR,
    "member-remove": Role.OPERATOR,
    "znode": Role.VIEWER,
    "znode-children": Role.VIEWER,
    "znode-data": Role.VIEWER,
    "znode-raw": Role.VIEWER,
    "znode-save": Role.OPERATOR,
    "znode-create": Role.OPERATOR,
    "znode-delete": Role.OPERATOR,
}

ACTIONS: Final = {
    "watch": Role.VIEWER,
    "unwatch": Role.VIEWER,
    "seen": Role.VIEWER,
}
"""What a message on the websocket may ask for."""

User = AbstractBaseUser | AnonymousUser


def role_of(user: User) -> Role:
    if not user.is_authenticated or not user.is_active:
        return Role.ANYBODY
    return Role.OPERATOR if getattr(user, "is_staff", False) else Role.VIEWER


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
        role = role_of(request.user)
        if role >= needed:
            return None
        if role is not Role.ANYBODY:
            raise PermissionDenied("Your account may read, not change. Ask an operator.")
        if wants_json(request):
            return JsonResponse({"error": "Your session is over. Sign in again."}, status=401)
        there = urlencode({"next": request.get_full_path()})
        return HttpResponseRedirect(f"{reverse('account_login')}?{there}")


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def context(request: HttpRequest) -> dict[str, Any]:
    """What every template knows."""
    return {"may_write": role_of(request.user) >= Role.OPERATOR}
