"""Who calls: by a token in the header, or by the browser's session with its CSRF token."""

from typing import Final

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.access import Bounds
from tenants.actions import tokens
from tenants.audit import Actor
from tenants.models import ApiToken, MemberRole

SCHEME: Final = "Bearer"
FORWARDED: Final = "X-Forwarded-For"


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer ens_<prefix>_<secret>`."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != SCHEME.lower():
            raise AuthenticationFailed(
                f"the header Authorization says {scheme[:20]!r}; the API takes: Bearer ens_..."
            )
        token = tokens.token_of(text.strip())
        if token is None:
            raise AuthenticationFailed(
                "this token is unknown, was revoked, has expired, or its person is switched off; "
                "make another one"
            )
        user = token.user
        bounds = Bounds(
            token.tenant_id, MemberRole(token.role), token.as_operator, token.expires_at
        )
        user.token_bounds = bounds  # type: ignore[attr-defined]  # access.bounds_of reads it
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{SCHEME} realm="ensemble"'


class BrowserAuthentication(SessionAuthentication):
    """The console's own session. What changes something needs the CSRF token in X-CSRFToken."""


def actor_of(request: Request) -> Actor:
    """Whom the trail names for what this request does."""
    token = request.auth
    via = f"api:{token.prefix}" if isinstance(token, ApiToken) else "api:session"
    return Actor(request.user, via, address_of(request._request))


def address_of(request: HttpRequest) -> str:
    """Where a request comes from: as one trusted proxy says it, where there is one."""
    from django.conf import settings

    forwarded = request.headers.get(FORWARDED, "")
    if settings.ALLAUTH_TRUSTED_PROXY_COUNT and forwarded:
        return forwarded.rsplit(",", 1)[-1].strip()[:60]
    return str(request.META.get("REMOTE_ADDR", ""))[:60]
