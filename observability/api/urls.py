"""The addresses of what was collected; `tenants.api.access` has their rights, with all others."""

from django.urls import path

from observability.api import (
    alert_urls,
    history,
    locks,
    promises,
    search,
    searches,
    sessions,
    views,
)

TENANT = "tenants/<slug:slug>"
ENSEMBLE = "ensembles/<slug:name>"

urlpatterns = [
    *alert_urls.urlpatterns,
    path(f"{TENANT}/usage", views.Usage.as_view(), name="tenant-usage"),
    path(f"{TENANT}/metrics", views.TenantMetrics.as_view(), name="tenant-metrics"),
    path(f"{TENANT}/audit", views.TenantTrail.as_view(), name="tenant-audit"),
    path(f"{TENANT}/audit/facets", views.TenantTrailFacets.as_view(), name="tenant-audit-facets"),
    path(f"{TENANT}/audit/export", views.TenantTrailExport.as_view(), name="tenant-audit-export"),
    path(
        f"{ENSEMBLE}/nodes/<str:node>/metrics", views.NodeMetrics.as_view(), name="ensemble-metrics"
    ),
    path(f"{TENANT}/objectives", promises.TenantObjectives.as_view(), name="tenant-objectives"),
    path("plans/<slug:name>/objectives", promises.PlanObjectives.as_view(), name="plan-objectives"),
    path(f"{ENSEMBLE}/neighbours", promises.Neighbours.as_view(), name="ensemble-neighbours"),
    path(f"{ENSEMBLE}/top", views.Top.as_view(), name="ensemble-top"),
    path(f"{TENANT}/history", history.History.as_view(), name="tenant-history"),
    path(f"{TENANT}/history/at", history.HistoryAt.as_view(), name="tenant-history-at"),
    path(
        f"{TENANT}/history/changed", history.HistoryChanged.as_view(), name="tenant-history-changed"
    ),
    path(f"{ENSEMBLE}/history", history.History.as_view(), name="ensemble-history"),
    path(f"{ENSEMBLE}/history/at", history.HistoryAt.as_view(), name="ensemble-history-at"),
    path(
        f"{ENSEMBLE}/history/changed",
        history.HistoryChanged.as_view(),
        name="ensemble-history-changed",
    ),
    path(f"{ENSEMBLE}/collected", history.Collected.as_view(), name="ensemble-collected"),
    path(f"{TENANT}/search", search.TenantSearch.as_view(), name="tenant-search"),
    path(f"{ENSEMBLE}/search", search.EnsembleSearch.as_view(), name="ensemble-search"),
    path(f"{TENANT}/sessions", sessions.Sessions.as_view(), name="tenant-sessions"),
    path(f"{TENANT}/sessions/<str:session>", sessions.SessionView.as_view(), name="tenant-session"),
    path(f"{TENANT}/locks", locks.Locks.as_view(), name="tenant-locks"),
    path(f"{ENSEMBLE}/sessions", sessions.Sessions.as_view(), name="ensemble-sessions"),
    path(
        f"{ENSEMBLE}/sessions/<str:session>",
        sessions.SessionView.as_view(),
        name="ensemble-session",
    ),
    path(f"{ENSEMBLE}/locks", locks.Locks.as_view(), name="ensemble-locks"),
    path("searches", searches.Searches.as_view(), name="searches"),
    path("searches/<int:number>", searches.OneSearch.as_view(), name="search"),
    path("audit/verdicts", history.Verdicts.as_view(), name="audit-verdicts"),
    path("audit", views.Trail.as_view(), name="audit"),
    path("audit/facets", views.TrailFacets.as_view(), name="audit-facets"),
    path("audit/export", views.TrailExport.as_view(), name="audit-export"),
]
