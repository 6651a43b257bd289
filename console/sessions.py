"""How long a sign-in holds: so long without doing anything, so long in all.

The cookie alone cannot say it: it is renewed with each request. So the session keeps when it began
and when its person last did something. Requests that a page makes by itself do not count.
"""

import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.contrib.auth import get_user, logout
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse

from tenants.access import User

BEGAN: Final = "console.began"
ACTIVE: Final = "console.active"
NOTE_EVERY_S: Final = 60  # a session is not written for each click
BACKGROUND_HEADER: Final = "X-Background"


def is_over(session: SessionBase, now_s: float) -> bool:
    """Whether its person has to sign in again."""
    idle_s = now_s - session.get(ACTIVE, now_s)
    age_s = now_s - session.get(BEGAN, now_s)
    return bool(idle_s > settings.SESSION_IDLE_S or age_s > settings.SESSION_COOKIE_AGE)


class SessionAgeMiddleware:
    """Signs out who was idle for too long; stands behind the authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            now_s = time.time()
            session = request.session
            if is_over(session, now_s):
                logout(request)
            else:
                session.setdefault(BEGAN, now_s)
                by_person = BACKGROUND_HEADER not in request.headers
                if ACTIVE not in session or (by_person and now_s - session[ACTIVE] > NOTE_EVERY_S):
                    session[ACTIVE] = now_s
        return self.get_response(request)


def user_of(session_key: str | None) -> User:
    """Whose session it is, read anew: password, account and age as they are now."""
    if not session_key:
        return AnonymousUser()
    request = HttpRequest()
    request.session = SessionStore(session_key)
    if is_over(request.session, time.time()):
        return AnonymousUser()
    return get_user(request)
