"""Addresses of the admin plane's pages. Their names stand in `routes`, with what each needs."""

from django.urls import path

from console import figure_urls
from console.bulk_urls import operations
from console.views.plane import ensembles, plans, requests, tokens
from console.views.tenants import (
    creation,
    credentials,
    history,
    listing,
    members,
    overview,
    settings,
    snippets,
    steering,
    trail,
)
from console.znode_urls import browser

TENANT = "tenants/<slug:slug>"
CREDENTIAL = f"{TENANT}/credentials/<str:name>"
ENSEMBLE = "ensembles/<slug:ensemble>"


urlpatterns = [
    path("tenants/", listing.tenants, name="tenants"),
    path("new", creation.new, name="tenant-new"),
    path("new/slug", creation.slug, name="tenant-new-slug"),
    path(f"{TENANT}/", overview.tenant, name="tenant"),
    path(f"{TENANT}/try", snippets.try_it, name="tenant-try"),
    path(f"{TENANT}/credentials", credentials.credentials, name="tenant-credentials"),
    path(f"{TENANT}/credentials/new", credentials.create, name="credential-new"),
    path(f"{CREDENTIAL}/rotate", credentials.rotate, name="credential-rotate"),
    path(f"{CREDENTIAL}/revoke", credentials.revoke, name="credential-revoke"),
    path(f"{CREDENTIAL}/subjects", credentials.subjects, name="credential-subjects"),
    path(f"{TENANT}/members", members.members, name="tenant-members"),
    path(f"{TENANT}/members/add", members.add, name="tenant-member-add"),
    path(f"{TENANT}/members/<int:pk>/role", members.set_role, name="tenant-member-role"),
    path(f"{TENANT}/members/<int:pk>/remove", members.remove, name="tenant-member-remove"),
    path(f"{TENANT}/members/invite", members.invite, name="tenant-invite"),
    path(f"{TENANT}/invitations/<int:pk>/revoke", members.revoke, name="invitation-revoke"),
    path("invitations/<str:secret>", members.invitation, name="invitation"),
    path(f"{TENANT}/settings", settings.settings, name="tenant-settings"),
    path(f"{TENANT}/describe", settings.describe, name="tenant-describe"),
    path(f"{TENANT}/mode", settings.mode, name="tenant-mode"),
    path(f"{TENANT}/plan", settings.plan, name="tenant-plan"),
    path(f"{TENANT}/delete", settings.delete, name="tenant-delete"),
    path(f"{TENANT}/restore", settings.restore, name="tenant-restore"),
    path(f"{TENANT}/audit", trail.of_tenant, name="tenant-audit"),
    path(f"{TENANT}/history", history.of_tenant, name="tenant-history"),
    path(f"{TENANT}/steer", steering.steer, name="tenant-steer"),
    path(f"{TENANT}/limits", steering.limits, name="tenant-limits"),
    path(f"{TENANT}/suspend", steering.suspend, name="tenant-suspend"),
    path(f"{TENANT}/throttle", steering.throttle, name="tenant-throttle"),
    path(f"{TENANT}/resume", steering.resume, name="tenant-resume"),
    path(f"{TENANT}/purge", steering.purge, name="tenant-purge"),
    path(f"{TENANT}/repair", steering.repair, name="tenant-repair"),
    path(f"{TENANT}/publish", steering.publish, name="tenant-publish"),
    *browser(f"{TENANT}/", "tenant-"),
    *operations(f"{TENANT}/", "tenant-"),
    path("requests", requests.requests, name="requests"),
    path("requests/<int:pk>/approve", requests.approve, name="request-approve"),
    path("requests/<int:pk>/reject", requests.reject, name="request-reject"),
    path("requests/<int:pk>/withdraw", requests.withdraw, name="request-withdraw"),
    path("tokens", tokens.tokens, name="tokens"),
    path("tokens/<str:prefix>/revoke", tokens.revoke, name="token-revoke"),
    path("plans", plans.plans, name="plans"),
    path("plans/new", plans.new, name="plan-new"),
    path("plans/of/<slug:name>", plans.plan, name="plan"),
    path("plans/of/<slug:name>/retire", plans.retire, name="plan-retire"),
    path("ensembles", ensembles.ensembles, name="ensembles"),
    path("ensembles/new", ensembles.new, name="ensemble-new"),
    path(f"{ENSEMBLE}/", ensembles.ensemble, name="ensemble"),
    path(f"{ENSEMBLE}/change", ensembles.change, name="ensemble-change"),
    path(f"{ENSEMBLE}/remove", ensembles.remove, name="ensemble-remove"),
    path(f"{ENSEMBLE}/repair", ensembles.repair, name="ensemble-repair"),
    *browser(f"{ENSEMBLE}/", "ensemble-"),
    *operations(f"{ENSEMBLE}/", "ensemble-"),
    path("audit", trail.of_plane, name="plane-audit"),
    *figure_urls.urlpatterns,
]
