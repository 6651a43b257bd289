"""Every address of the API, below /api/v1/. `api.access.ROUTES` says who may do what there."""

from django.urls import path

from tenants.api.access import NAMESPACE
from tenants.api.views import me, schema, tokens

app_name = NAMESPACE

urlpatterns = [
    path("me", me.Me.as_view(), name="me"),
    path("schema", schema.SchemaView.as_view(), name="schema"),
    path("tokens", tokens.Tokens.as_view(), name="tokens"),
    path("tokens/<str:prefix>", tokens.Token.as_view(), name="token"),
]
