"""Addresses of dashboards; `routes_figures` has what each needs."""

from django.urls import path

from console.views.figures import dashboards, slow
from console.views.plane import plans
from console.views.tenants import settings

TENANT = "tenants/<slug:slug>"
ENSEMBLE = "ensembles/<slug:ensemble>"

urlpatterns = [
    path(f"{TENANT}/dashboard", dashboards.of_tenant, name="tenant-dashboard"),
    path(f"{TENANT}/figures", dashboards.tenant_figures, name="tenant-figures"),
    path(f"{TENANT}/slow", slow.of_tenant, name="tenant-slow"),
    path(f"{TENANT}/objective", settings.objective, name="tenant-objective"),
    path("plans/of/<slug:name>/objective", plans.objective, name="plan-objective"),
    path(f"{ENSEMBLE}/dashboard", dashboards.of_ensemble, name="ensemble-dashboard"),
    path(f"{ENSEMBLE}/figures", dashboards.ensemble_figures, name="ensemble-figures"),
    path(f"{ENSEMBLE}/slow", slow.of_ensemble, name="ensemble-slow"),
]
