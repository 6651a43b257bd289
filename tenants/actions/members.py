"""Members of a tenant: added, given another role, removed, invited."""

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.utils import timezone

from tenants.actions.base import action, clean, hold, person_of
from tenants.audit import Actor, record
from tenants.errors import ConflictError, ForbiddenError, InvalidError, LimitError
from tenants.models import Invitation, MemberRole, Membership, Tenant

MEMBERS_MAX: Final = 500
INVITATIONS_MAX: Final = 100  # open ones of a tenant
INVITATION_DAYS_MAX: Final = 30
SECRET_BYTES: Final = 32


@action
def add(actor: Actor, *, tenant: Tenant, user: User, role: int, from_group: str = "") -> Membership:
    """A further member. `from_group`: single sign-on gave it, and takes it away again."""
    hold(tenant)
    check_role(role)
    if not user.is_active:
        raise ConflictError(f"{user.get_username()} is switched off", field="user")
    if Membership.objects.filter(tenant=tenant, user=user).exists():
        raise ConflictError(
            f"{user.get_username()} is a member of {tenant.slug} already: change the role",
            field="user",
        )
    return enter(actor, tenant, user, MemberRole(role), from_group)


@action
def set_role(actor: Actor, *, membership: Membership, role: int) -> Membership:
    """Another role; the last owner stays one."""
    tenant = hold_both(membership)
    check_role(role)
    before = MemberRole(membership.role)
    if before == role:
        return membership
    if before is MemberRole.OWNER:
        check_other_owner(tenant, membership)
    membership.role = MemberRole(role)
    membership.from_group = ""  # a person has decided: single sign-on leaves it alone
    clean(membership)
    membership.save()
    record(
        actor,
        "member.role",
        tenant=tenant,
        target=membership.user.get_username(),
        detail={"before": before.label, "after": MemberRole(role).label},
    )
    return membership


@action
def remove(actor: Actor, *, membership: Membership) -> None:
    """A member less; the last owner stays."""
    tenant = hold_both(membership)
    if membership.role == MemberRole.OWNER:
        check_other_owner(tenant, membership)
    record(actor, "member.removed", tenant=tenant, target=membership.user.get_username())
    membership.delete()


@action
def invite(
    actor: Actor, *, tenant: Tenant, role: int, note: str = "", days: int = 7
) -> tuple[Invitation, str]:
    """A link's secret, given back once: who opens it first, signed in, becomes a member."""
    hold(tenant)
    check_role(role)
    if type(days) is not int or not 1 <= days <= INVITATION_DAYS_MAX:
        raise InvalidError(
            f"days: {str(days)[:40]}, a number from 1 to {INVITATION_DAYS_MAX} is wanted",
            field="days",
        )
    now = timezone.now()
    waiting = Invitation.objects.filter(
        tenant=tenant, used_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now
    )
    if waiting.count() >= INVITATIONS_MAX:
        raise LimitError(f"{tenant.slug} has {INVITATIONS_MAX} open invitations: revoke some first")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    invitation = Invitation(
        tenant=tenant,
        role=role,
        note=note,
        secret_hash=hash_of(secret),
        made_by=person_of(actor),
        expires_at=now + timedelta(days=days),
    )
    clean(invitation)
    invitation.save(force_insert=True)
    detail: dict[str, object] = {"role": MemberRole(role).label, "note": note, "days": days}
    record(actor, "invitation.made", tenant=tenant, target=str(invitation.pk), detail=detail)
    return invitation, secret


@action
def revoke_invitation(actor: Actor, *, invitation: Invitation) -> Invitation:
    """Its link is void."""
    Invitation.objects.select_for_update().filter(pk=invitation.pk).values_list("pk").first()
    invitation.refresh_from_db()
    if invitation.used_at is not None:
        raise ConflictError("the invitation was used: remove the member instead")
    if invitation.revoked_at is None:
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        record(actor, "invitation.revoked", tenant=invitation.tenant, target=str(invitation.pk))
    return invitation


@action
def accept(actor: Actor, *, secret: str) -> Membership:
    """Become a member by an invitation; of two who open it at once, one does.

    Raises:
        ForbiddenError: it is none, was used, revoked, or is too old: which, nobody learns.
    """
    person = person_of(actor)
    if person is None:
        raise ForbiddenError("sign in first: an invitation is for a person")
    now = timezone.now()
    void = ForbiddenError("this invitation is not valid any more: ask for another one")
    invitation = (
        Invitation.objects.select_related("tenant", "tenant__ensemble")
        .filter(secret_hash=hash_of(secret))
        .first()
    )
    if invitation is None or invitation.tenant.lifecycle != Tenant.Lifecycle.ALIVE:
        raise void
    taken = Invitation.objects.filter(
        pk=invitation.pk, used_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now
    ).update(used_at=now, used_by=person)
    if taken != 1:
        raise void
    tenant = invitation.tenant
    hold(tenant)
    there = Membership.objects.filter(tenant=tenant, user=person).first()
    if there is None:
        return enter(actor, tenant, person, MemberRole(invitation.role), "")
    if there.role >= invitation.role:
        raise ConflictError(
            f"you are a member of {tenant.slug} already, as {MemberRole(there.role).label}"
        )
    before = MemberRole(there.role)
    there.role, there.from_group = invitation.role, ""
    there.save()
    detail: dict[str, object] = {"before": before.label, "after": MemberRole(there.role).label}
    record(actor, "member.role", tenant=tenant, target=person.get_username(), detail=detail)
    return there


def enter(
    actor: Actor, tenant: Tenant, user: User, role: MemberRole, from_group: str
) -> Membership:
    if Membership.objects.filter(tenant=tenant).count() >= MEMBERS_MAX:
        raise LimitError(f"{tenant.slug} has {MEMBERS_MAX} members: remove some first")
    membership = Membership(tenant=tenant, user=user, role=role, from_group=from_group)
    clean(membership)
    membership.save(force_insert=True)
    detail: dict[str, object] = {"role": role.label, "from_group": from_group}
    record(actor, "member.added", tenant=tenant, target=user.get_username(), detail=detail)
    return membership


def hold_both(membership: Membership) -> Tenant:
    """Lock the tenant, and see the membership as it is now. Raises ConflictError."""
    tenant = membership.tenant
    hold(tenant)
    if not Membership.objects.filter(pk=membership.pk).exists():
        raise ConflictError(f"this person is no member of {tenant.slug} any more")
    membership.refresh_from_db()
    membership.tenant = tenant
    return tenant


def check_other_owner(tenant: Tenant, membership: Membership) -> None:
    owners = Membership.objects.filter(tenant=tenant, role=MemberRole.OWNER)
    if not owners.exclude(pk=membership.pk).exists():
        raise ConflictError(
            f"{membership.user.get_username()} is the last owner of {tenant.slug}: make somebody "
            "else an owner first"
        )


def check_role(role: int) -> None:
    if role not in MemberRole.values:
        raise InvalidError(
            f"role: {str(role)[:40]} is none; 1 is viewer, 2 developer, 3 owner", field="role"
        )


def hash_of(secret: str) -> str:
    """What is kept of an invitation's secret, which has 256 random bits."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
