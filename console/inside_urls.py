"""Addresses of the pages that look inside ensembles. Names: `routes_overview`."""

from django.urls import path

from console.views.inside import locks, node, sessions

TENANT = "tenants/<slug:slug>"
ENSEMBLE = "ensembles/<slug:ensemble>"

urlpatterns = [
    path(f"{ENSEMBLE}/nodes/<str:node>", node.node, name="node"),
    path(f"{ENSEMBLE}/sessions", sessions.listing, name="sessions"),
    path(f"{ENSEMBLE}/sessions/<str:session>", sessions.session, name="session"),
    path(f"{ENSEMBLE}/sessions/<str:session>/close", sessions.close, name="session-close"),
    path(f"{ENSEMBLE}/locks", locks.of_whole, name="locks"),
    path(f"{TENANT}/sessions", sessions.tenant_listing, name="tenant-sessions"),
    path(f"{TENANT}/sessions/<str:session>", sessions.tenant_session, name="tenant-session"),
    path(
        f"{TENANT}/sessions/<str:session>/close",
        sessions.tenant_close,
        name="tenant-session-close",
    ),
    path(f"{TENANT}/locks", locks.of_one_tenant, name="tenant-locks"),
]
