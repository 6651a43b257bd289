"""Saved searches of the trail: everybody's own."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.forms.alerts import SearchForm
from console.views.tenants.common import person_of
from console.who import actor_of
from observability.asked import asked_of
from tenants.access import require, tenant_for
from tenants.actions import searches as actions
from tenants.models import SavedSearch


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Keep what the form names, of the page it comes from, and go there."""
    slug = request.POST.get("of", "")
    base = base_of(request, slug)
    form = SearchForm(request.POST)
    address = base
    if form.is_valid():
        asked = asked_of(QueryDict(form.cleaned_data["query"]), of_tenant=bool(slug))
        address = base + asked.address()
        with form.refusals():
            actions.save(
                actor_of(request),
                name=form.cleaned_data["name"],
                query=asked.address()[1:],
                tenant=slug,
            )
            messages.success(request, f"{form.cleaned_data['name']} is saved.")
            return redirect(address)
    messages.error(request, form.problem or "It was not saved.")
    return redirect(address)


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    found = SavedSearch.objects.filter(user=person_of(request), pk=pk).first()
    if found is None:
        raise Http404(f"you have no search {pk}")
    actions.remove(actor_of(request), search=found)
    messages.success(request, f"{found.name} is removed.")
    return redirect(base_of(request, found.tenant))


def base_of(request: HttpRequest, slug: str) -> str:
    """The page that a search is of, for somebody who may open it.

    Raises:
        Http404, PermissionDenied: this person may not.
    """
    if slug:
        tenant_for(request.user, slug, "tenant.audit")
        return reverse("tenant-audit", args=[slug])
    require(request.user, "audit.read")
    return reverse("plane-audit")
