"""Every page. Names stand in `access.ROUTES`, with who may see them."""

from django.urls import include, path

from console import sign_on
from console.views import api_docs, counts, errors, health, members, overview, people
from console.znode_urls import browser
from observability.api import urls as observability_api
from tenants.api import urls as tenants_api
from tenants.api.access import NAMESPACE

API = [*tenants_api.urlpatterns, *observability_api.urlpatterns]

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("health", health.health, name="health"),
    path("health/ready", health.ready, name="health-ready"),
    path("metrics", health.metrics, name="metrics"),
    path("counts", counts.counts, name="counts"),
    path("members", members.members, name="members"),
    path("members/add", members.add, name="member-add"),
    path("members/remove", members.remove, name="member-remove"),
    *browser("", ""),
    path("people", people.people, name="people"),
    path("people/new", people.add, name="person-add"),
    path("people/<int:pk>", people.person, name="person"),
    path("people/<int:pk>/change", people.change, name="person-change"),
    path("people/<int:pk>/password", people.password, name="person-password"),
    path("people/<int:pk>/deactivate", people.deactivate, name="person-deactivate"),
    path("people/<int:pk>/activate", people.activate, name="person-activate"),
    path("people/<int:pk>/reset-mfa", people.reset_mfa, name="person-mfa-reset"),
    path("", include("console.tenant_urls")),
    path("", include("console.search_urls")),
    path("", include("console.inside_urls")),
    path("", include("console.alert_urls")),
    path("", include("console.bulk_urls")),
    path("api/v1/docs", api_docs.api_docs, name="api-docs"),
    path("api/v1/", include((API, NAMESPACE))),
    path("account/sign-on", sign_on.begin, name="sign-on"),
    path("account/sign-on/callback", sign_on.callback, name="sign-on-callback"),
    path("account/two-factor/", include("allauth.mfa.urls")),
    path("account/", include("allauth.account.urls")),
]

handler400 = errors.bad
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.failed
