"""The end of a tenant: deleted with a time of grace, brought back, purged; what ends by itself."""

import logging
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from tenants.actions.base import action, changed, hold, rules
from tenants.audit import PLANE, Actor, record
from tenants.errors import ActionError, ConflictError, ForbiddenError, InvalidError
from tenants.models import ApiToken, Credential, Invitation, Request, Tenant

EXPIRED_AT_ONCE_MAX: Final = 100  # in one call of expire_due

log = logging.getLogger("tenants.actions")


@action
def delete(actor: Actor, *, tenant: Tenant, confirm: str, keep_data: bool | None = None) -> Tenant:
    """Suspend it and let nobody in, until `restore`, or until the time of grace is over.

    Args:
        confirm: the tenant's name, once more.
        keep_data: whether the purge leaves the znodes; None: those of adopted roots.
    """
    hold(tenant)
    if confirm != tenant.slug:
        raise InvalidError(
            f"confirm: {confirm[:70]!r} is not the tenant's name; type {tenant.slug}",
            field="confirm",
        )
    now = timezone.now()
    tenant.lifecycle = Tenant.Lifecycle.DELETED
    tenant.deleted_at = now
    tenant.purge_at = now + timedelta(days=settings.TENANT_GRACE_DAYS)
    tenant.keeps_data = tenant.adopted if keep_data is None else keep_data
    detail: dict[str, object] = {
        "purge_at": tenant.purge_at.isoformat(),
        "keeps_data": tenant.keeps_data,
    }
    record(actor, "tenant.deleted", tenant=tenant, detail=detail)
    changed(tenant)
    return tenant


@action
def restore(actor: Actor, *, tenant: Tenant) -> Tenant:
    """As it was before it was deleted, with its credentials."""
    hold(tenant, Tenant.Lifecycle.DELETED)
    tenant.lifecycle = Tenant.Lifecycle.ALIVE
    tenant.deleted_at = tenant.purge_at = None
    tenant.keeps_data = False
    record(actor, "tenant.restored", tenant=tenant)
    changed(tenant)
    return tenant


@action
def purge(actor: Actor, *, tenant: Tenant, keep_data: bool | None = None) -> Tenant:
    """Remove a deleted tenant from its ensemble, for good. The row stays for the trail.

    Its name is free again when the ensemble has forgotten it.
    """
    hold(tenant, Tenant.Lifecycle.DELETED, Tenant.Lifecycle.ALIVE)
    if tenant.lifecycle != Tenant.Lifecycle.DELETED or tenant.purge_at is None:
        raise ConflictError(f"{tenant.slug} is alive: delete it first")
    if tenant.purge_at > timezone.now() and not rules(actor):
        raise ForbiddenError(
            f"{tenant.slug} can be brought back until {tenant.purge_at:%Y-%m-%d %H:%M} UTC: "
            "an operator may purge it before"
        )
    tenant.lifecycle = Tenant.Lifecycle.GONE
    if keep_data is not None:
        tenant.keeps_data = keep_data
    now = timezone.now()
    Credential.objects.filter(tenant=tenant, revoked_at__isnull=True).update(revoked_at=now)
    ApiToken.objects.filter(tenant=tenant, revoked_at__isnull=True).update(revoked_at=now)
    Invitation.objects.filter(tenant=tenant, used_at__isnull=True, revoked_at__isnull=True).update(
        revoked_at=now
    )
    Request.objects.filter(tenant=tenant, status=Request.Status.PENDING).update(
        status=Request.Status.WITHDRAWN, decided_at=now, answer="The tenant is gone."
    )
    record(actor, "tenant.purged", tenant=tenant, detail={"keeps_data": tenant.keeps_data})
    changed(tenant)
    return tenant


def expire_due(now: datetime | None = None) -> int:
    """What ends by itself: suspensions, throttles, times of grace; how many. Every second."""
    now = now or timezone.now()
    due = Tenant.objects.filter(
        Q(lifecycle=Tenant.Lifecycle.ALIVE, state_until__lte=now)
        | Q(lifecycle=Tenant.Lifecycle.ALIVE, throttle_until__lte=now)
        | Q(lifecycle=Tenant.Lifecycle.DELETED, purge_at__lte=now)
    ).order_by("pk")[:EXPIRED_AT_ONCE_MAX]
    done = 0
    for tenant in list(due):
        try:
            done += expire(tenant, now)
        except ActionError as error:
            log.warning("%s: %s", tenant.slug, error)
    return done


def expire(tenant: Tenant, now: datetime) -> int:
    """One of them; how many of its times were over."""
    if tenant.lifecycle == Tenant.Lifecycle.DELETED:
        purge(PLANE, tenant=tenant)
        return 1
    return end_times(tenant, now)


@action
def end_times(tenant: Tenant, now: datetime) -> int:
    hold(tenant)
    ended: list[str] = []
    if tenant.state_until is not None and tenant.state_until <= now:
        ended.append(str(tenant.state))
        tenant.state, tenant.state_until, tenant.state_reason = Tenant.State.ACTIVE, None, ""
    if tenant.throttle_until is not None and tenant.throttle_until <= now:
        ended.append("throttle")
        tenant.throttle, tenant.throttle_until, tenant.throttle_reason = {}, None, ""
    if ended:
        record(PLANE, "tenant.resumed", tenant=tenant, detail={"ended": ended})
        changed(tenant)
    return len(ended)
