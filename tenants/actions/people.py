"""Accounts of people: made, changed, switched off by operators. Passwords are shown once."""

import secrets
from typing import Final

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from tenants import audit
from tenants.access import AUDITORS
from tenants.audit import Actor
from tenants.errors import ConflictError, InvalidError
from tenants.models import ApiToken

PASSWORD_BYTES: Final = 15
PEOPLE_MAX: Final = 50_000


def create(
    actor: Actor,
    *,
    username: str,
    email: str = "",
    operator: bool = False,
    auditor: bool = False,
    single_sign_on: bool = False,
) -> tuple[User, str]:
    """A new account and its password, given once. With `single_sign_on` it has none, and waits.

    The first sign-on whose provider vouches for the email address takes such an account over.

    Raises:
        InvalidError, ConflictError: with the value and the bound.
    """
    if single_sign_on and not email:
        raise InvalidError("single sign-on finds an account by its email: give one", field="email")
    with transaction.atomic():
        check_free(username, email if single_sign_on else "")
        if User.objects.count() >= PEOPLE_MAX:
            raise ConflictError(f"there are {PEOPLE_MAX} accounts, no more are kept")
        user = User(username=username, email=email, is_staff=operator)
        password = "" if single_sign_on else secrets.token_urlsafe(PASSWORD_BYTES)
        user.set_password(password or None)
        check(user)
        user.save()
        set_auditor(user, auditor)
        note(actor, "person.created", user, standing_words(user) | {"sso": single_sign_on})
    return user, password


def change(
    actor: Actor,
    *,
    user: User,
    email: str | None = None,
    operator: bool | None = None,
    auditor: bool | None = None,
) -> User:
    """Another email address, or other rights on the plane; None leaves as it is.

    Raises:
        InvalidError, ConflictError: the last operator stays one.
    """
    with transaction.atomic():
        user = locked(user)
        before = standing_words(user) | {"email": user.email}
        if email is not None and email != user.email:
            user.email = email
            EmailAddress.objects.filter(user=user).delete()  # what was vouched for was the old one
        for wanted, mark in ((operator, "operators by sign-on"), (auditor, "auditors by sign-on")):
            if wanted is not None:  # a person has decided: single sign-on leaves it alone
                user.groups.remove(*Group.objects.filter(name=mark))
        if operator is not None:
            if user.is_staff and not operator:
                check_not_last(user, "be made a person as others")
            user.is_staff = operator
            user.is_superuser = user.is_superuser and operator
        check(user)
        user.save()
        if auditor is not None:
            set_auditor(user, auditor)
        after = standing_words(user) | {"email": user.email}
        changed = {name: value for name, value in after.items() if before[name] != value}
        if changed:
            note(actor, "person.changed", user, changed)
    return user


def set_password(actor: Actor, *, user: User) -> str:
    """A new password, given once. Every session of the person ends.

    Raises:
        ConflictError: the account is switched off.
    """
    with transaction.atomic():
        user = locked(user)
        if not user.is_active:
            raise ConflictError(f"{user.username} is switched off: switch it on first")
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        user.set_password(password)
        user.save(update_fields=["password"])
        note(actor, "person.password_set", user)
    return password


def deactivate(actor: Actor, *, user: User) -> User:
    """Switch an account off: its sessions, password and API tokens are void at once.

    Memberships stay, for the day on which it is switched on again.

    Raises:
        ConflictError: it is the last operator's.
    """
    with transaction.atomic():
        user = locked(user)
        if not user.is_active:
            return user
        if user.is_staff:
            check_not_last(user, "be switched off")
        user.is_active = False
        user.set_unusable_password()  # also ends what sessions there are, for good
        user.save(update_fields=["is_active", "password"])
        tokens = ApiToken.objects.filter(user=user, revoked_at=None)
        revoked = tokens.update(revoked_at=timezone.now())
        note(actor, "person.deactivated", user, {"tokens": revoked})
    return user


def activate(actor: Actor, *, user: User) -> str:
    """Switch it on again; its new password, empty where single sign-on is its way in."""
    with transaction.atomic():
        user = locked(user)
        if user.is_active:
            return ""
        password = ""
        if not SocialAccount.objects.filter(user=user).exists():
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            user.set_password(password)
        user.is_active = True
        user.save(update_fields=["is_active", "password"])
        note(actor, "person.activated", user)
    return password


def reset_mfa(actor: Actor, *, user: User) -> int:
    """Forget a person's authenticator app and recovery codes; how many were forgotten."""
    with transaction.atomic():
        user = locked(user)
        count, _ = Authenticator.objects.filter(user=user).delete()
        note(actor, "person.mfa_reset", user, {"authenticators": count})
    return int(count)


def is_auditor(user: User) -> bool:
    return user.groups.filter(name=AUDITORS).exists()


def set_auditor(user: User, wanted: bool) -> None:
    group, _ = Group.objects.get_or_create(name=AUDITORS)
    if wanted:
        user.groups.add(group)
    else:
        user.groups.remove(group)


def standing_words(user: User) -> dict[str, object]:
    return {"operator": user.is_staff, "auditor": is_auditor(user)}


def note(actor: Actor, verb: str, user: User, detail: dict[str, object] | None = None) -> None:
    audit.record(actor, verb, target=user.username, detail=detail)


def locked(user: User) -> User:
    """As the database has it, and nobody else changes it meanwhile."""
    return User.objects.select_for_update().get(pk=user.pk)


def check_free(username: str, sign_on_email: str) -> None:
    """Names that differ in upper and lower case only would be taken for each other."""
    if User.objects.filter(username__iexact=username).exists():
        raise ConflictError(f"there is an account {username[:150]!r} already", field="username")
    if sign_on_email and User.objects.filter(email__iexact=sign_on_email).exists():
        raise ConflictError(
            f"another account has {sign_on_email[:100]}: single sign-on could not tell them apart",
            field="email",
        )


def check(user: User) -> None:
    """Django's own rules for each field.

    Raises:
        InvalidError: the first that is broken.
    """
    try:
        user.full_clean(exclude=["password"], validate_unique=False)
    except ValidationError as error:
        field, texts = next(iter(error.message_dict.items()))
        value = str(getattr(user, field, ""))[:60]
        raise InvalidError(f"{field} {value!r}: {texts[0]}", field=field) from None


def check_not_last(user: User, what: str) -> None:
    """Raises ConflictError: nobody else could operate the plane."""
    operators = User.objects.select_for_update().filter(is_staff=True, is_active=True)
    if not [other for other in operators if other.pk != user.pk]:
        raise ConflictError(
            f"{user.username} is the last operator and cannot {what}: make another one first"
        )
