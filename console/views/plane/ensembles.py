"""Ensembles: registered with their servers, ours or Apache's; their keys; their drift."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.forms.base import PlaneForm, bound
from console.forms.operators import EnsembleForm, NewEnsembleForm
from console.forms.tenants import ConfirmForm
from console.health import NodeHealth, ask_all
from console.who import actor_of
from tenants import keys, reach, reconcile
from tenants.access import ensemble_named
from tenants.actions import ensembles as actions
from tenants.errors import ActionError
from tenants.keys import NoKeyError
from tenants.models import Ensemble, Tenant
from tenants.reach import BusyError
from tenants.zk import UnreachableError

DRIFTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file that the plane signs in with, and whether it is there."""

    name: str
    use: str
    path: Path
    is_there: bool
    problem: str


@require_GET
def ensembles(request: HttpRequest) -> HttpResponse:
    found = Ensemble.objects.annotate(
        used=Count("tenants", filter=~Q(tenants__lifecycle="gone"), distinct=True),
        servers=Count("nodes", distinct=True),
        pending=Count("tenants", filter=Q(tenants__publication__status="pending"), distinct=True),
        failed=Count("tenants", filter=Q(tenants__publication__status="failed"), distinct=True),
    )
    return render(request, "console/pages/ensembles.html", {"ensembles": found})


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = bound(NewEnsembleForm, request)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            made = actions.register(actor_of(request), **specs(form.cleaned_data))
            messages.success(request, f"{made.name} is registered. See which keys it needs.")
            return redirect("ensemble", ensemble=made.name)
    status = form.status if form.refused else 200
    return render(request, "console/pages/ensemble-new.html", {"form": form}, status=status)


@require_GET
def ensemble(request: HttpRequest, ensemble: str) -> HttpResponse:
    return page(request, ensemble_named(ensemble))


@require_POST
def change(request: HttpRequest, ensemble: str) -> HttpResponse:
    found = ensemble_named(ensemble)
    form = EnsembleForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.change(actor_of(request), ensemble=found, **specs(form.cleaned_data))
            messages.success(request, "Saved.")
            return redirect("ensemble", ensemble=ensemble)
    return page(request, found, form.status, form=form)


@require_POST
def remove(request: HttpRequest, ensemble: str) -> HttpResponse:
    """The plane forgets it; the ensemble itself is left alone."""
    found = ensemble_named(ensemble)
    form = ConfirmForm(request.POST, name=ensemble)
    if form.is_valid():
        with form.refusals():
            actions.remove(actor_of(request), ensemble=found)
            messages.success(request, f"{ensemble} is not known here any more.")
            return redirect("ensembles")
    return page(request, found, form.status, remove=form)


@require_POST
def repair(request: HttpRequest, ensemble: str) -> HttpResponse:
    """Make registry and database agree on one tenant, in the direction that was chosen."""
    found = ensemble_named(ensemble)
    form = PlaneForm(request.POST)
    slug, direction = request.POST.get("slug", ""), request.POST.get("direction", "")
    if form.is_valid():
        with form.refusals():
            reconcile.repair(actor_of(request), ensemble=found, slug=slug, direction=direction)
            messages.success(request, f"{slug} is repaired.")
            return redirect("ensemble", ensemble=ensemble)
    return page(request, found, form.status, refused=form)


def specs(values: dict[str, Any]) -> dict[str, Any]:
    """What the form says, as the actions take it."""
    return {**values, "nodes": [actions.NodeSpec(*row) for row in values["nodes"]]}


def page(request: HttpRequest, found: Ensemble, status: int = 200, **forms: Any) -> HttpResponse:
    nodes = list(found.nodes.all())
    context = {
        "ensemble": found,
        "nodes": list(zip(nodes, health_of(found, [n.client for n in nodes]), strict=True)),
        "keys": key_files(found),
        "form": forms.get("form") or EnsembleForm.of(found),
        "remove": forms.get("remove") or ConfirmForm(name=found.name),
        "tenants": Tenant.objects.filter(ensemble=found).exclude(lifecycle="gone").count(),
        "refused": forms.get("refused"),
        **drift_in(found),
    }
    return render(request, "console/pages/ensemble.html", context, status=status)


def health_of(found: Ensemble, clients: list[str]) -> list[NodeHealth | None]:
    """What each server says of itself."""
    if not clients:
        return []
    try:
        bridge = reach.as_plane(found)
    except (NoKeyError, BusyError):
        return [None for _ in clients]
    answers = ask_all(bridge, ",".join(clients))
    return list(answers) if len(answers) == len(clients) else [None for _ in clients]


def key_files(found: Ensemble) -> list[KeyFile]:
    """Which files are there; never what is in them."""
    of = keys.keys_of(found)
    if found.kind == Ensemble.Kind.APACHE:
        wanted = [("auth", "signs in at the client port", of.auth)]
    else:
        wanted = [("operator.key", "signs what the plane and its people do", of.operator_key)]
    wanted += [
        (
            "admin.read",
            "reads figures, audit journal and changes at the admin ports",
            of.read_token,
        ),
        ("admin.control", "reads values for the history", of.control_token),
    ]
    return [KeyFile(name, use, path, *state_of(path)) for name, use, path in wanted]


def state_of(path: Path) -> tuple[bool, str]:
    try:
        status = path.stat()
    except OSError as error:
        return False, "not there" if isinstance(error, FileNotFoundError) else str(error.strerror)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return True, "others may read it: chmod 600"
    return True, ""


def drift_in(found: Ensemble) -> dict[str, Any]:
    """Where registry and database do not agree."""
    if found.kind == Ensemble.Kind.APACHE:
        return {"drifts": []}
    try:
        drifts = reconcile.drift(found)
    except (ActionError, UnreachableError, NoKeyError, BusyError) as error:
        return {"drifts": [], "drift_problem": str(error)}
    return {"drifts": drifts[:DRIFTS_SHOWN], "drift_count": len(drifts)}
