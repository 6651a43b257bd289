"""What owners decide: title, audit, history, mode, plan; and the end of a tenant, with its undo."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from console.forms.base import PlaneForm
from console.forms.tenants import (
    ConfirmForm,
    DescribeForm,
    ModeForm,
    ObjectiveForm,
    PlanChangeForm,
)
from console.views.tenants.common import access_to, is_operator, tenant_page
from console.who import actor_of
from tenants.access import tenant_for
from tenants.actions import life, objectives, requests
from tenants.actions import tenants as actions
from tenants.models import Plan, Request, Tenant

MODE_HINTS = {
    "observe": "attributed and measured by path; nothing is refused, by limits or by the wall",
    "permissive": "limits hold; programs without a credential still reach the root as before",
    "enforce": "limits hold; only the tenant's own credentials reach its root",
}


@require_GET
def settings(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, tenant_for(request.user, slug, "tenant.read"))


@require_POST
def describe(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.describe")
    form = DescribeForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.describe(actor_of(request), tenant=tenant, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("tenant-settings", slug=slug)
    return page(request, tenant, form.status, describe=form)


@require_POST
def mode(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.mode")
    form = ModeForm(request.POST)
    if form.is_valid():
        with form.refusals():
            wanted = form.cleaned_data["mode"]
            actions.set_mode(actor_of(request), tenant=tenant, mode=wanted)
            messages.success(request, f"The mode is {wanted} now.")
            return redirect("tenant-settings", slug=slug)
    return page(request, tenant, form.status, mode=form)


@require_POST
def plan(request: HttpRequest, slug: str) -> HttpResponse:
    """At once where it is self-service or an operator does it, else as a wish."""
    tenant = tenant_for(request.user, slug, "tenant.plan")
    plans = Plan.objects.offered(to_operator=is_operator(request))
    form = PlanChangeForm(request.POST, plans=plans)
    if form.is_valid():
        wanted = form.cleaned_data["plan"]
        with form.refusals():
            if wanted.is_at_once(by_operator=is_operator(request)):
                actions.set_plan(actor_of(request), tenant=tenant, plan=wanted)
                messages.success(request, f"The plan is {wanted.title} now.")
            else:
                requests.ask(
                    actor_of(request),
                    kind=Request.Kind.PLAN,
                    slug=slug,
                    title=tenant.title,
                    plan=wanted,
                    ensemble=tenant.ensemble,
                    purpose=form.cleaned_data["purpose"],
                    tenant=tenant,
                )
                messages.success(request, f"An operator was asked for the plan {wanted.title}.")
            return redirect("tenant-settings", slug=slug)
    return page(request, tenant, form.status, plan=form)


@require_POST
def objective(request: HttpRequest, slug: str) -> HttpResponse:
    """What it is promised, where that is not what the plan promises."""
    tenant = tenant_for(request.user, slug, "tenant.describe")
    form = ObjectiveForm(request.POST, of=tenant)
    if form.is_valid():
        with form.refusals():
            wanted = form.objectives
            objectives.set_objectives(actor_of(request), tenant=tenant, objectives=wanted)
            messages.success(request, "The objectives are changed.")
            return redirect("tenant-settings", slug=slug)
    return page(request, tenant, form.status, objective=form)


@require_POST
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.delete")
    form = ConfirmForm(request.POST, name=slug, auto_id="delete-%s")
    if form.is_valid():
        with form.refusals():
            life.delete(actor_of(request), tenant=tenant, confirm=slug)
            messages.success(request, f"{slug} is deleted. It can be brought back for a while.")
            return redirect("tenant", slug=slug)
    return page(request, tenant, form.status, delete=form)


@require_POST
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.restore")
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            life.restore(actor_of(request), tenant=tenant)
            messages.success(request, f"{slug} is back, with its credentials.")
            return redirect("tenant", slug=slug)
    return page(request, tenant, form.status, problem=form.problem)


def page(request: HttpRequest, tenant: Tenant, status: int = 200, **forms: Any) -> HttpResponse:
    plans = Plan.objects.offered(to_operator=is_operator(request))
    context = {
        "describe": forms.get("describe") or DescribeForm.of(tenant),
        "mode": forms.get("mode") or ModeForm(initial={"mode": tenant.mode}),
        "mode_hints": MODE_HINTS,
        "plan": forms.get("plan") or PlanChangeForm(plans=plans, initial={"plan": tenant.plan_id}),
        "plans": plans,
        "objective": forms.get("objective") or ObjectiveForm(of=tenant),
        "delete": forms.get("delete") or ConfirmForm(name=tenant.slug, auto_id="delete-%s"),
        "problem": forms.get("problem", ""),
        "asked": Request.objects.filter(tenant=tenant, status="pending").select_related("plan"),
        "may_change": access_to(request, "tenant.describe", tenant),
    }
    return tenant_page(request, tenant, "settings", context, status)
