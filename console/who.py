"""Who asks, as actions want to know it."""

from allauth.account.adapter import get_adapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest

from tenants.audit import Actor


def actor_of(request: HttpRequest) -> Actor:
    """The person at the browser, and the address as far as the settings trust it."""
    return Actor(request.user, "form", address_of(request))


def address_of(request: HttpRequest) -> str:
    """Where a request comes from; empty where a proxy does not say it as it should."""
    try:
        return str(get_adapter(request).get_client_ip(request))
    except (ImproperlyConfigured, PermissionDenied):
        return ""
