"""Where alerts are sent: webhooks and mail, of operators and of tenants' owners."""

import secrets
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from tenants.actions.base import action, clean
from tenants.alerts.rule import Severity
from tenants.alerts.sealing import seal
from tenants.audit import Actor, record
from tenants.errors import InvalidError, LimitError
from tenants.models import AlertChannel, Tenant

CHANNELS_MAX: Final = 20  # of one tenant, and of the plane
ADDRESSES_MAX: Final = 20
URL_MAX: Final = 1_000
SECRET_BYTES: Final = 32


@action
def make(
    actor: Actor,
    *,
    name: str,
    kind: str,
    tenant: Tenant | None = None,
    of_tenant: str = "",
    url: str = "",
    addresses: list[str] | None = None,
    severity: str = "ticket",
) -> tuple[AlertChannel, str]:
    """A new channel; of a webhook with the secret that signs its messages, given once.

    Raises:
        InvalidError, ConflictError, LimitError: with the value and the bound.
    """
    if AlertChannel.objects.filter(tenant=tenant).count() >= CHANNELS_MAX:
        raise LimitError(f"there are {CHANNELS_MAX} channels, no more are kept: remove one first")
    if severity not in list(Severity):
        raise InvalidError(f"severity is {severity[:20]!r}; page, ticket or note", field="severity")
    if of_tenant and tenant is None and not Tenant.objects.filter(slug=of_tenant).exists():
        raise InvalidError(f"there is no tenant {of_tenant[:70]}", field="of_tenant")
    secret = ""
    if kind == AlertChannel.Kind.WEBHOOK:
        check_url(url)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        addresses = []
    else:
        url = ""
        addresses = check_addresses(addresses or [])
    channel = AlertChannel(
        name=name.strip(),
        kind=kind,
        tenant=tenant,
        of_tenant="" if tenant is not None else of_tenant,
        url=url.strip(),
        addresses=addresses,
        secret=seal(secret) if secret else "",
        severity=severity,
        made_by=actor.name or "plane",
    )
    clean(channel)
    channel.save(force_insert=True)
    note(actor, channel, "alert.channel_made", where_to(channel))
    return channel, secret


@action
def renew_secret(actor: Actor, *, channel: AlertChannel) -> str:
    """Another secret in the place of the one before, which signs nothing any more."""
    if channel.kind != AlertChannel.Kind.WEBHOOK:
        raise InvalidError(f"{channel.name} is mail: it has no secret")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    AlertChannel.objects.filter(pk=channel.pk).update(secret=seal(secret))
    note(actor, channel, "alert.channel_secret", {})
    return secret


@action
def switch(actor: Actor, *, channel: AlertChannel, is_on: bool) -> None:
    """Send, or do not. What waited while it was off is not sent afterwards."""
    if AlertChannel.objects.filter(pk=channel.pk, is_on=not is_on).update(is_on=is_on):
        note(actor, channel, "alert.channel_on" if is_on else "alert.channel_off", {})


@action
def remove(actor: Actor, *, channel: AlertChannel) -> None:
    """It goes, with its secret; its log stays as long as alerts do."""
    note(actor, channel, "alert.channel_removed", where_to(channel))
    AlertChannel.objects.filter(pk=channel.pk).delete()


def note(actor: Actor, channel: AlertChannel, verb: str, detail: dict[str, object]) -> None:
    record(actor, verb, tenant=channel.tenant or "", target=channel.name, detail=detail)


def where_to(channel: AlertChannel) -> dict[str, object]:
    """For the trail: where it leads, without what a webhook's address may hold of secrets."""
    if channel.kind == AlertChannel.Kind.WEBHOOK:
        return {"kind": channel.kind, "host": urlsplit(channel.url).hostname or ""}
    return {"kind": channel.kind, "addresses": len(channel.addresses)}


def check_url(url: str) -> None:
    """Raises InvalidError. Where it leads is checked when it is called, as names may change."""
    if len(url) > URL_MAX:
        raise InvalidError(f"the address has {len(url)} characters; {URL_MAX} at most", field="url")
    try:
        parts = urlsplit(url.strip())
        port_is_one = parts.port is None or 0 < parts.port < 65_536
    except ValueError:
        raise InvalidError("this is no address: https://host/path", field="url") from None
    plain = url.isascii() and url.isprintable() and " " not in url.strip()
    if parts.scheme not in ("https", "http") or not parts.hostname or not port_is_one or not plain:
        raise InvalidError("use an address like https://hooks.example.com/path", field="url")
    if parts.username is not None or parts.password is not None:
        raise InvalidError("leave name and password out: messages are signed", field="url")


def check_addresses(addresses: list[str]) -> list[str]:
    """Raises InvalidError."""
    found = [one.strip() for one in addresses if one.strip()]
    if not 1 <= len(found) <= ADDRESSES_MAX:
        raise InvalidError(
            f"{len(found)} addresses; use 1 to {ADDRESSES_MAX}, one a line", field="addresses"
        )
    for one in found:
        try:
            validate_email(one)
        except ValidationError:
            raise InvalidError(f"{one[:100]!r} is no mail address", field="addresses") from None
    return found
