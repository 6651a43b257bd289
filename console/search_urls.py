"""Addresses of searches. Their names stand in `routes_search`, with what each needs."""

from django.urls import path

from console.views import search, suggest

urlpatterns = [
    path("search", search.everywhere, name="search"),
    path("search/suggest", suggest.suggest, name="search-suggest"),
    path("tenants/<slug:slug>/search", search.of_tenant, name="tenant-search"),
    path("ensembles/<slug:ensemble>/search", search.of_ensemble, name="ensemble-search"),
]
