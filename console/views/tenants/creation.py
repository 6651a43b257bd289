"""A new tenant: at once by a self-service plan, as a wish by others, by adoption for operators."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from console.forms.base import bound
from console.forms.tenants import NewTenantForm, OperatorTenantForm
from console.views.tenants.common import is_operator, person_of, tenant_page
from console.views.tenants.snippets import shown_once
from console.who import actor_of
from tenants.actions import credentials, requests, tenants
from tenants.errors import ActionError, InvalidError
from tenants.models import CredentialRole, Ensemble, Plan, Request, Tenant
from tenants.models.ensembles import NAME


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    by_operator = is_operator(request)
    plans = Plan.objects.offered(to_operator=by_operator)
    ensembles = Ensemble.objects.filter(takes_tenants=True)
    kind = OperatorTenantForm if by_operator else NewTenantForm
    initial = {"owner": request.user.get_username()}
    form = bound(kind, request, plans=plans, ensembles=ensembles, initial=initial)
    if request.method == "POST" and form.is_valid():
        with form.refusals(user="owner"):
            if form.cleaned_data["plan"].is_at_once(by_operator=by_operator):
                return made(request, form)
            return asked(request, form)
    context = {"form": form, "plans": plans, "has_ensemble": ensembles.exists()}
    status = form.status if form.refused else 200
    return render(request, "console/pages/tenants/new.html", context, status=status)


def made(request: HttpRequest, form: Any) -> HttpResponse:
    """Create it, with its first credential, whose secret the answer shows this once."""
    values = form.cleaned_data
    actor = actor_of(request)
    tenant = tenants.create(
        actor,
        slug=values["slug"],
        title=values["title"],
        plan=values["plan"],
        ensemble=values["ensemble"],
        owner=owner_of(request, values),
        mode="observe" if values.get("adopt") else "enforce",
        root=values.get("root", ""),
        adopt=values.get("adopt", False),
    )
    if not values["credential"]:
        return redirect("tenant", slug=tenant.slug)
    try:
        secret = credentials.create(
            actor, tenant=tenant, name=values["credential"], role=CredentialRole.WRITER
        )
    except ActionError as error:  # the tenant is there: its page offers the same again
        messages.error(request, f"The tenant is made, its credential is not: {error}")
        return redirect("tenant-credentials", slug=tenant.slug)
    return tenant_page(request, tenant, "secret", {**shown_once(tenant, secret), "is_new": True})


def owner_of(request: HttpRequest, values: dict[str, Any]) -> User | None:
    """Who makes it owns it; operators name somebody, or nobody."""
    if "owner" not in values:
        return person_of(request)
    if not values["owner"]:
        return None
    owner = User.objects.filter(username=values["owner"], is_active=True).first()
    if owner is None:
        raise InvalidError(f"There is no account {values['owner']}.", field="owner")
    return owner


def asked(request: HttpRequest, form: Any) -> HttpResponse:
    """An operator decides on it."""
    values = form.cleaned_data
    requests.ask(
        actor_of(request),
        kind=Request.Kind.CREATE,
        slug=values["slug"],
        title=values["title"],
        plan=values["plan"],
        ensemble=values["ensemble"],
        purpose=values["purpose"],
    )
    messages.success(request, f"An operator was asked for {values['slug']}. The answer comes here.")
    return redirect("requests")


@require_GET
def slug(request: HttpRequest) -> HttpResponse:
    """Whether a name can be had, while it is being typed."""
    wanted = request.GET.get("slug", "").strip()
    problem = ""
    if wanted:
        try:
            NAME(wanted)
        except ValidationError as error:
            problem = "; ".join(error.messages)
        if not problem and Tenant.objects.filter(slug=wanted).exclude(lifecycle="gone").exists():
            problem = f"{wanted} cannot be had: choose another name."
    context = {"wanted": wanted, "problem": problem}
    return render(request, "console/parts/slug.html", context)
