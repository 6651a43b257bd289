"""Who must have a second factor sees nothing but the pages to set it up, until it is."""

from collections.abc import Callable
from typing import Any, Final

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect

from console.access import standing_in, wants_json
from console.sessions import user_of
from tenants.access import Standing, User, standing_of
from tenants.api import problems

NOBODY: Final = "nobody"
WHO: Final = {"operators": Standing.OPERATOR, "everybody": Standing.PERSON}
OPEN: Final = {
    "account_logout",
    "account_reauthenticate",
    "account_change_password",
    "mfa_index",
    "mfa_reauthenticate",
    "mfa_activate_totp",
    "mfa_view_recovery_codes",
    "health",
    "health-ready",
    "metrics",
}
TEXT: Final = "Your account needs two-factor sign-in: set it up first, on the page of your account."


def lacks_factor(user: User, session: SessionBase, standing: Standing) -> bool:
    """Whether this person has to set one up first; single sign-on has its own."""
    least = WHO.get(settings.REQUIRE_MFA)
    if least is None or standing is Standing.NOBODY or standing < least:
        return False
    methods = session.get("account_authentication_methods", [])
    if any(method.get("method") == "socialaccount" for method in methods):
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).exists()


def standing_with_factor(user: User, session: SessionBase) -> Standing:
    """The standing of who may go on; nobody's for who has to set up a factor first."""
    standing = standing_of(user)
    return Standing.NOBODY if lacks_factor(user, session, standing) else standing


def person_of_session(key: str | None) -> tuple[User, Standing]:
    """Whose session it is, and with what standing, as the database has it now."""
    user = user_of(key)
    return user, standing_with_factor(user, SessionStore(key))


class SecondFactorMiddleware:
    """Stands before the access table."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if settings.REQUIRE_MFA == NOBODY or not request.user.is_authenticated:
            return None
        match = request.resolver_match
        if match is not None and match.view_name in OPEN:
            return None
        if not lacks_factor(request.user, request.session, standing_in(request)):
            return None
        if request.path.startswith("/api/"):
            return problems.plain(403, "second-factor", TEXT)
        if wants_json(request):
            return JsonResponse({"error": TEXT, "detail": TEXT}, status=403)
        return redirect("mfa_activate_totp")
