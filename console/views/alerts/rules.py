"""The rules: what is watched for, from which value on, and what people changed of it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from console.forms.alerts import RuleForm
from console.views.alerts.place import place_of, show
from console.who import actor_of
from observability.alerts.evaluate import setting_of
from observability.alerts.rules import Line, lines
from tenants.actions import alerts as actions
from tenants.alerts.table import RULES
from tenants.models import AlertRule


@require_GET
def rules(request: HttpRequest) -> HttpResponse:
    place = place_of(request, "", "alert.read", "")
    groups: dict[str, list[Line]] = {}
    for line in lines():
        groups.setdefault(f"About {GROUPS[line.setting.rule.scope]}", []).append(line)
    return show(request, place, "rules", {"groups": groups})


GROUPS = {
    "ensemble": "ensembles",
    "node": "nodes and journals",
    "tenant": "tenants",
    "plane": "the plane",
}


@require_http_methods(["GET", "POST"])
def rule(request: HttpRequest, name: str) -> HttpResponse:
    place = place_of(request, "", "alert.change", "")
    known = RULES.get(name)
    if known is None:
        raise Http404(f"there is no rule {name[:40]}")
    row = AlertRule.objects.filter(pk=name).first()
    form = RuleForm(request.POST if request.method == "POST" else None, rule=known,
                    initial=initial(row))  # fmt: skip
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        with form.refusals():
            actions.set_rule(
                actor_of(request),
                name=name,
                is_on=values["is_on"],
                threshold=values.get("threshold"),
                hold_s=values["hold_s"],
                severity=values["severity"],
            )
            messages.success(request, f"{known.title}: in force within {known.every_s} s.")
            return redirect("alert-rules")
    context = {"rule": known, "row": row, "setting": setting_of(known, row), "form": form}
    return show(request, place, "rule", context, form.status if form.refused else 200)


def initial(row: AlertRule | None) -> dict[str, Any]:
    if row is None:
        return {"is_on": True}
    return {
        "is_on": row.is_on,
        "threshold": row.threshold,
        "hold_s": row.hold_s,
        "severity": row.severity,
    }
