"""Silences and channels where they are seen: on the plane, or within one tenant."""

from urllib.parse import urlsplit

from django.db.models import QuerySet

from tenants.models import AlertChannel, AlertSilence, Tenant


def silences_in(tenant: Tenant | None) -> QuerySet[AlertSilence]:
    """All of them; within a tenant those of it that its people could have made."""
    rows = AlertSilence.objects.all()
    if tenant is None:
        return rows
    return rows.filter(tenant=tenant.slug, ensemble="", node="", made_at__gte=tenant.created_at)


def channels_in(tenant: Tenant | None) -> QuerySet[AlertChannel]:
    """Operators' own; within a tenant its own."""
    return AlertChannel.objects.select_related("tenant").filter(tenant=tenant)


def leads_to(channel: AlertChannel, *, whole: bool) -> str:
    """Where a channel leads. An address may be a secret in itself: whole for who may change it."""
    if channel.kind == AlertChannel.Kind.WEBHOOK:
        return channel.url if whole else f"{urlsplit(channel.url).hostname}, …"
    return ", ".join(channel.addresses)
