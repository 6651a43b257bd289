"""Every address of the API, below /api/v1/. `api.access.ROUTES` says who may do what there."""

from django.urls import path

from tenants.api.access import NAMESPACE
from tenants.api.views import me, schema, tokens, znodes

app_name = NAMESPACE

urlpatterns = [
    path("me", me.Me.as_view(), name="me"),
    path("schema", schema.SchemaView.as_view(), name="schema"),
    path("tenants/<slug:slug>/znodes", znodes.TenantZnodes.as_view(), name="tenant-znodes"),
    path(
        "tenants/<slug:slug>/znodes/children",
        znodes.TenantChildren.as_view(),
        name="tenant-children",
    ),
    path("tenants/<slug:slug>/znodes/acl", znodes.TenantAcl.as_view(), name="tenant-acl"),
    path("ensembles/<slug:name>/znodes", znodes.EnsembleZnodes.as_view(), name="ensemble-znodes"),
    path(
        "ensembles/<slug:name>/znodes/children",
        znodes.EnsembleChildren.as_view(),
        name="ensemble-children",
    ),
    path("ensembles/<slug:name>/znodes/acl", znodes.EnsembleAcl.as_view(), name="ensemble-acl"),
    path("tokens", tokens.Tokens.as_view(), name="tokens"),
    path("tokens/<str:prefix>", tokens.Token.as_view(), name="token"),
]
