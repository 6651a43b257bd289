"""Sign-ins, failures, lockouts and second factors, as rows of the trail.

Whoever knocks can make rows: so the number of failures that are written is bounded, and names that
are nobody's are not written (people type their password there, now and then).
"""

import time
from typing import Any, Final

from allauth.account.signals import password_changed, user_logged_in
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest

from console.who import address_of
from tenants import audit
from tenants.audit import Actor

FAILURES_A_MINUTE_MAX: Final = 120  # rows of one process; the last of them says that more came
LOCKOUT_EVERY_S: Final = 300  # a row for each address


def note(request: HttpRequest | None, user: Any, verb: str, **detail: object) -> None:
    address = "" if request is None else address_of(request)
    with transaction.atomic():
        actor = Actor(user, "form", address)
        audit.record(actor, verb, target=actor.name, detail=detail)


def note_failure(request: HttpRequest | None, name: str, why: str) -> None:
    """A row for an attempt that failed, within the bound."""
    key = f"trail.failures.{int(time.time()) // 60}"
    cache.add(key, 0, 120)
    count = cache.incr(key)
    if count > FAILURES_A_MINUTE_MAX:
        return
    if count == FAILURES_A_MINUTE_MAX:
        why += f"; more in this minute are not written ({FAILURES_A_MINUTE_MAX} are)"
    address = "" if request is None else address_of(request)
    known = User.objects.filter(username__iexact=name[:150]).first() if name else None
    with transaction.atomic():
        audit.record(
            Actor(None, "form", address),
            "person.sign_in_failed",
            target=known.username if known else "",
            result="refused",
            detail={"why": why},
        )


def note_lockout(request: HttpRequest, name: str) -> None:
    """Too many attempts: one row for each address and time."""
    address = address_of(request)
    if cache.add(f"trail.lockout.{address}", 1, LOCKOUT_EVERY_S):
        note_failure(request, name, "locked out: too many attempts")


def signed_in(sender: Any, request: HttpRequest, user: User, **others: Any) -> None:
    by_sso = others.get("sociallogin") is not None
    factor = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()
    method = "single sign-on" if by_sso else "password"
    note(request, user, "person.signed_in", method=method, second_factor=factor)


def signed_out(sender: Any, request: HttpRequest, user: User | None, **others: Any) -> None:
    if user is not None:
        note(request, user, "person.signed_out")


def failed(sender: Any, credentials: dict[str, Any], **others: Any) -> None:
    name = str(credentials.get("username") or "").replace("\0", "")
    note_failure(others.get("request"), name, "wrong name or password")


def factor_failed(sender: Any, request: HttpRequest, user: User, **others: Any) -> None:
    note_failure(request, user.username, "wrong code")


def factor_added(sender: Any, request: HttpRequest, user: User, **others: Any) -> None:
    note(request, user, "person.mfa_added", type=str(others["authenticator"].type))


def factor_removed(sender: Any, request: HttpRequest, user: User, **others: Any) -> None:
    note(request, user, "person.mfa_removed", type=str(others["authenticator"].type))


def factor_reset(sender: Any, request: HttpRequest, user: User, **others: Any) -> None:
    note(request, user, "person.mfa_codes_renewed")


def new_password(sender: Any, request: HttpRequest, user: User, **others: Any) -> None:
    note(request, user, "person.password_changed")


def connect() -> None:
    user_logged_in.connect(signed_in)
    user_logged_out.connect(signed_out)
    user_login_failed.connect(failed)
    authentication_failed.connect(factor_failed)
    authenticator_added.connect(factor_added)
    authenticator_removed.connect(factor_removed)
    authenticator_reset.connect(factor_reset)
    password_changed.connect(new_password)
