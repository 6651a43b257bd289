"""Plans: limits with a name. Everybody reads them, operators change them."""

from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.forms.base import PlaneForm, bound
from console.forms.operators import NewPlanForm, PlanForm
from console.forms.tenants import ObjectiveForm
from console.who import actor_of
from tenants.actions import objectives
from tenants.actions import plans as actions
from tenants.models import Plan


@require_GET
def plans(request: HttpRequest) -> HttpResponse:
    alive = Count("tenants", filter=~Q(tenants__lifecycle="gone"))
    found = Plan.objects.annotate(used=alive).order_by("retired", "position", "name")
    return render(request, "console/pages/plans.html", {"plans": found})


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = bound(NewPlanForm, request)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            made = actions.create(actor_of(request), **form.values)
            messages.success(request, f"The plan {made.name} is made.")
            return redirect("plans")
    status = form.status if form.refused else 200
    return render(request, "console/pages/plan.html", {"form": form}, status=status)


@require_http_methods(["GET", "POST"])
def plan(request: HttpRequest, name: str) -> HttpResponse:
    """Change one; its tenants have the new limits at once."""
    found = one_of(name)
    form = bound(PlanForm, request, plan=found)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            actions.change(actor_of(request), plan=found, **form.values)
            messages.success(request, f"The plan {name} is changed, and so are its tenants.")
            return redirect("plans")
    status = form.status if form.refused else 200
    used = found.tenants.exclude(lifecycle="gone").count()
    context = {"form": form, "plan": found, "used": used, "objective": ObjectiveForm(of=found)}
    return render(request, "console/pages/plan.html", context, status=status)


@require_POST
def retire(request: HttpRequest, name: str) -> HttpResponse:
    """No new tenants by it, or again some; those that have it keep it."""
    found = one_of(name)
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.retire(actor_of(request), plan=found, retired=not found.retired)
            messages.success(request, f"{name}: done.")
            return redirect("plans")
    context = {
        "form": PlanForm(plan=found),
        "plan": found,
        "refused": form,
        "objective": ObjectiveForm(of=found),
    }
    return render(request, "console/pages/plan.html", context, status=form.status)


@require_POST
def objective(request: HttpRequest, name: str) -> HttpResponse:
    """What its tenants are promised, those that have no objectives of their own."""
    found = one_of(name)
    form = ObjectiveForm(request.POST, of=found)
    if form.is_valid():
        with form.refusals():
            wanted = form.objectives
            objectives.set_plan_objectives(actor_of(request), plan=found, objectives=wanted)
            messages.success(request, f"The objectives of {name} are changed.")
            return redirect("plan", name=name)
    context = {"form": PlanForm(plan=found), "plan": found, "objective": form}
    return render(request, "console/pages/plan.html", context, status=form.status)


def one_of(name: str) -> Plan:
    found = Plan.objects.filter(name=name).first()
    if found is None:
        raise Http404(f"there is no plan {name[:70]}")
    return found
