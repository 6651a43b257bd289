"""What operators do with one tenant: limits, suspension, throttling, repair, the final end."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from console.forms.base import PlaneForm, hours_from_now, limits_of
from console.forms.operators import LimitsForm, ThrottleForm
from console.forms.tenants import ConfirmForm, ReasonForm
from console.views.tenants.common import tenant_page
from console.views.tenants.documents import documents
from console.who import actor_of
from tenants import publication, reconcile
from tenants.access import tenant_for
from tenants.actions import life
from tenants.actions import tenants as actions
from tenants.models import Tenant


@require_GET
def steer(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, tenant_for(request.user, slug, "tenant.state"))


@require_POST
def limits(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.limits")
    form = LimitsForm(request.POST, tenant=tenant)
    if form.is_valid():
        with form.refusals():
            weight = form.cleaned_data["weight"]
            actions.set_limits(
                actor_of(request), tenant=tenant, overrides=form.overrides, weight=weight
            )
            return done(request, slug, "The limits are changed.")
    return page(request, tenant, form.status, limits=form)


@require_POST
def suspend(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.state")
    form = ReasonForm(request.POST, auto_id="suspend-%s")
    if form.is_valid():
        with form.refusals(until="hours"):
            values = form.cleaned_data
            until = hours_from_now(values["hours"])
            act = actions.drain if request.POST.get("how") == "drain" else actions.suspend
            act(actor_of(request), tenant=tenant, reason=values["reason"], until=until)
            return done(request, slug, "Done.")
    return page(request, tenant, form.status, suspend=form)


@require_POST
def throttle(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.state")
    form = ThrottleForm(request.POST, auto_id="throttle-%s")
    if form.is_valid():
        values = form.cleaned_data
        with form.refusals(until="hours"):
            actions.throttle(
                actor_of(request),
                tenant=tenant,
                limits=limits_of(values),
                until=timezone.now() + timedelta(hours=values["hours"]),
                reason=values["reason"],
            )
            return done(request, slug, "The rates are lower for a while.")
    return page(request, tenant, form.status, throttle=form)


@require_POST
def resume(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.state")
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.resume(actor_of(request), tenant=tenant)
            return done(request, slug, "It is active again.")
    return page(request, tenant, form.status, problem=form.problem)


@require_POST
def purge(request: HttpRequest, slug: str) -> HttpResponse:
    """Tenant and data go for good."""
    tenant = tenant_for(request.user, slug, "tenant.purge")
    form = ConfirmForm(request.POST, name=slug, auto_id="purge-%s")
    if form.is_valid():
        with form.refusals():
            life.purge(actor_of(request), tenant=tenant)
            messages.success(request, f"{slug} is gone.")
            return redirect("tenants")
    return page(request, tenant, form.status, purge=form)


@require_POST
def repair(request: HttpRequest, slug: str) -> HttpResponse:
    """Make registry and database agree, in the direction that was chosen."""
    tenant = tenant_for(request.user, slug, "tenant.publish")
    form = PlaneForm(request.POST)
    direction = request.POST.get("direction", "")
    if form.is_valid():
        with form.refusals():
            reconcile.repair(
                actor_of(request), ensemble=tenant.ensemble, slug=slug, direction=direction
            )
            return done(request, slug, "Repaired.")
    return page(request, tenant, form.status, problem=form.problem)


@require_POST
def publish(request: HttpRequest, slug: str) -> HttpResponse:
    """Try again now, rather than when its time comes."""
    tenant = tenant_for(request.user, slug, "tenant.publish")
    found = publication.publish(tenant.pk)
    return done(request, slug, f"Published: {found.get_status_display()}.")


def done(request: HttpRequest, slug: str, text: str) -> HttpResponse:
    messages.success(request, text)
    return redirect("tenant-steer", slug=slug)


def page(request: HttpRequest, tenant: Tenant, status: int = 200, **forms: Any) -> HttpResponse:
    context = {
        "limits": forms.get("limits") or LimitsForm(tenant=tenant),
        "suspend": forms.get("suspend") or ReasonForm(auto_id="suspend-%s"),
        "throttle": forms.get("throttle") or ThrottleForm(auto_id="throttle-%s"),
        "purge": forms.get("purge") or ConfirmForm(name=tenant.slug, auto_id="purge-%s"),
        "problem": forms.get("problem", ""),
        **documents(tenant),
    }
    return tenant_page(request, tenant, "steer", context, status)
