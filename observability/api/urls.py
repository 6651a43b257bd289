"""The addresses of what was collected; `tenants.api.access` has their rights, with all others."""

from django.urls import path

from observability.api import views

TENANT = "tenants/<slug:slug>"
ENSEMBLE = "ensembles/<slug:name>"

urlpatterns = [
    path(f"{TENANT}/usage", views.Usage.as_view(), name="tenant-usage"),
    path(f"{TENANT}/metrics", views.TenantMetrics.as_view(), name="tenant-metrics"),
    path(f"{TENANT}/audit", views.TenantTrail.as_view(), name="tenant-audit"),
    path(f"{TENANT}/audit/facets", views.TenantTrailFacets.as_view(), name="tenant-audit-facets"),
    path(f"{TENANT}/audit/export", views.TenantTrailExport.as_view(), name="tenant-audit-export"),
    path(
        f"{ENSEMBLE}/nodes/<str:node>/metrics", views.NodeMetrics.as_view(), name="ensemble-metrics"
    ),
    path(f"{ENSEMBLE}/top", views.Top.as_view(), name="ensemble-top"),
    path("audit", views.Trail.as_view(), name="audit"),
    path("audit/facets", views.TrailFacets.as_view(), name="audit-facets"),
    path("audit/export", views.TrailExport.as_view(), name="audit-export"),
]
