"""Addresses of pages about alerts and lines of the trail. Their names: `routes_alerts`."""

from django.urls import URLPattern, path

from console.views import searches
from console.views.alerts import channels, listing, quiet, rules
from console.views.tenants import trail

TENANT = "tenants/<slug:slug>"


def both(root: str, prefix: str) -> list[URLPattern]:
    """The addresses that the plane and each tenant have."""
    return [
        path(f"{root}/", listing.alerts, name=f"{prefix}alerts"),
        path(f"{root}/of/<int:pk>", listing.alert, name=f"{prefix}alert"),
        path(f"{root}/of/<int:pk>/note", listing.note, name=f"{prefix}alert-note"),
        path(f"{root}/silences", quiet.silences, name=f"{prefix}alert-silences"),
        path(f"{root}/silences/new", quiet.silence, name=f"{prefix}alert-silence"),
        path(f"{root}/silences/<int:pk>/end", quiet.end, name=f"{prefix}alert-silence-end"),
        path(f"{root}/channels", channels.channels, name=f"{prefix}alert-channels"),
        path(f"{root}/channels/new", channels.make, name=f"{prefix}alert-channel-new"),
        path(f"{root}/channels/<int:pk>", channels.channel, name=f"{prefix}alert-channel"),
        path(f"{root}/channels/<int:pk>/act", channels.act, name=f"{prefix}alert-channel-act"),
    ]


urlpatterns = [
    path("audit/line/<int:number>", trail.line_of_plane, name="plane-audit-line"),
    path(f"{TENANT}/audit/line/<int:number>", trail.line_of_tenant, name="tenant-audit-line"),
    path("searches/save", searches.save, name="search-save"),
    path("searches/<int:pk>/remove", searches.remove, name="search-remove"),
    *both("alerts", ""),
    *both(f"{TENANT}/alerts", "tenant-"),
    path("alerts/rules", rules.rules, name="alert-rules"),
    path("alerts/rules/<slug:name>", rules.rule, name="alert-rule"),
]
