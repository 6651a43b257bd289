"""API tokens: `ens_<prefix>_<secret>`, of which the secret's SHA-256 is kept."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from tenants import access, audit
from tenants.audit import Actor
from tenants.errors import ForbiddenError, InvalidError, LimitError
from tenants.models import ApiToken, MemberRole, Tenant

SCHEME: Final = "ens"
PREFIX_BYTES: Final = 5
SECRET_BYTES: Final = 32
TEXT_MAX: Final = 200
DAYS_MAX: Final = 366
TOKENS_PER_PERSON_MAX: Final = 50
USED_EVERY: Final = timedelta(minutes=1)  # `last_used_at` is written no oftener
NOBODYS_HASH: Final = hashlib.sha256(b"").hexdigest()


def make(
    actor: Actor,
    *,
    user: AbstractBaseUser,
    name: str,
    tenant: Tenant | None,
    role: MemberRole,
    as_operator: bool,
    expires_at: datetime,
) -> tuple[ApiToken, str]:
    """A new token of a person, and its text, which is given once.

    Who acts by a token makes none that reaches further, or lives longer, than that token.

    Raises:
        InvalidError, LimitError, ForbiddenError: with the value and the bound.
    """
    now = timezone.now()
    if not now < expires_at <= now + timedelta(days=DAYS_MAX):
        raise InvalidError(
            f"a token ends within {DAYS_MAX} days and not in the past, not at {expires_at:%F %R}",
            field="expires_at",
        )
    check_reach(user, tenant, as_operator)
    check_bounds(actor, tenant, role, as_operator, expires_at)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        valid = ApiToken.objects.filter(user_id=user.pk, revoked_at=None, expires_at__gt=now)
        if valid.count() >= TOKENS_PER_PERSON_MAX:
            raise LimitError(
                f"{user.get_username()} has {TOKENS_PER_PERSON_MAX} valid tokens, no more are "
                "kept: revoke one that is not used"
            )
        token = ApiToken(
            user_id=user.pk,
            name=name,
            tenant=tenant,
            role=role,
            as_operator=as_operator,
            prefix=secrets.token_hex(PREFIX_BYTES),
            secret_hash=hash_of(secret),
            expires_at=expires_at,
        )
        try:
            token.full_clean(validate_constraints=False)
        except ValidationError as error:
            field, texts = next(iter(error.message_dict.items()))
            raise InvalidError(texts[0], field=field) from None
        token.save(force_insert=True)
        detail: dict[str, object] = {
            "name": name,
            "role": role.label,
            "as_operator": as_operator,
            "expires_at": audit.instant(expires_at),
            "person": user.get_username(),
        }
        audit.record(actor, "token.made", tenant=tenant or "", target=token.prefix, detail=detail)
    return token, f"{SCHEME}_{token.prefix}_{secret}"


def check_reach(user: AbstractBaseUser, tenant: Tenant | None, as_operator: bool) -> None:
    """A token gives nothing that its person has not: say so at once."""
    if as_operator and access.standing_of(user) < access.Standing.AUDITOR:
        raise ForbiddenError(
            f"{user.get_username()} is neither operator nor auditor: leave as_operator out",
            field="as_operator",
        )
    if as_operator and tenant is not None:
        raise InvalidError(
            "a token of one tenant has no operator's rights: leave out one of both",
            field="as_operator",
        )
    if tenant is not None and access.role_in(user, tenant) is None:
        raise InvalidError(
            f"{user.get_username()} is no member of {tenant.slug}: its token would open nothing",
            field="tenant",
        )


def check_bounds(
    actor: Actor,
    tenant: Tenant | None,
    role: MemberRole,
    as_operator: bool,
    expires_at: datetime,
) -> None:
    """What a token makes stays within that token."""
    bounds = None if actor.user is None else access.bounds_of(actor.user)
    if bounds is None:
        return
    if bounds.tenant_id is not None and (tenant is None or tenant.pk != bounds.tenant_id):
        raise ForbiddenError("this token is for one tenant, so are those that it makes")
    if role > bounds.role:
        raise ForbiddenError(f"this token is a {bounds.role.label}'s, it makes no {role.label}'s")
    if as_operator and not bounds.as_operator:
        raise ForbiddenError("this token has no operator's rights to give")
    if expires_at > bounds.expires_at:
        raise ForbiddenError(f"this token ends at {bounds.expires_at:%F %R}, so do those it makes")


def revoke(actor: Actor, *, token: ApiToken) -> None:
    """Void from now on. Once more changes nothing."""
    with transaction.atomic():
        changed = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if changed:
            detail: dict[str, object] = {"name": token.name, "person": token.user.get_username()}
            audit.record(
                actor,
                "token.revoked",
                tenant=token.tenant or "",
                target=token.prefix,
                detail=detail,
            )
    token.refresh_from_db()


def token_of(text: str) -> ApiToken | None:
    """The valid token of this text: neither revoked nor expired, of somebody who is active.

    What is compared takes the same time whether the prefix is known or not.
    """
    parts = text.split("_", 2) if len(text) <= TEXT_MAX else []
    if len(parts) != 3 or parts[0] != SCHEME:
        return None
    found = ApiToken.objects.select_related("user", "tenant").filter(prefix=parts[1]).first()
    kept = NOBODYS_HASH if found is None else found.secret_hash
    is_right = constant_time_compare(hash_of(parts[2]), kept)
    now = timezone.now()
    if found is None or not is_right or found.revoked_at is not None or found.expires_at <= now:
        return None
    if not found.user.is_active:
        return None
    if found.last_used_at is None or found.last_used_at < now - USED_EVERY:
        ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
    return found


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
