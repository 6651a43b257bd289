"""Which alerts fire, which did, and everything that is known of one."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.forms.alerts import NoteForm, SilenceForm
from console.views.alerts.place import Place, alert_in, place_of, show
from console.views.tenants.common import query_without
from console.who import actor_of
from observability.alerts import read
from observability.alerts.read import Shown
from observability.models import Alert
from tenants.actions import alerts as actions
from tenants.models import AlertNote

PAST_A_PAGE: Final = 30
DASHBOARD_RULES: Final = (
    *("budget-burns", "budget-leaks", "noisy-neighbour", "tenant-throttled", "tenant-held"),
    *("watch-storm", "quota-near", "quota-full"),
)
AROUND_MS: Final = 600_000  # of the trail, before an alert began and after it was seen last


@dataclass(frozen=True, slots=True)
class Link:
    """A way from an alert to what it is about."""

    words: str
    address: str


@require_GET
def alerts(request: HttpRequest, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.read", "tenant.alerts")
    return show(request, place, "list", {**now(request, place), **past(request, place)})


def now(request: HttpRequest, place: Place) -> dict[str, Any]:
    found = read.now(request.user, place.tenant)
    asked = request.GET.get("severity", "")
    shown = [one for one in found.found if asked in ("", one.alert.severity)]
    return {
        "loud": [one for one in shown if not one.is_quiet],
        "quiet": [one for one in shown if one.is_quiet],
        "counts": found.counts,
        "asked": asked if asked in found.counts else "",
        "asleep": found.asleep_s,
        "is_asleep": found.is_asleep,
    }


def past(request: HttpRequest, place: Place) -> dict[str, Any]:
    text = request.GET.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
    visible = read.visible(request.user, place.tenant)
    found = read.history(visible, PAST_A_PAGE + 1, before)
    more = len(found) > PAST_A_PAGE
    found = found[:PAST_A_PAGE]
    return {
        "past": found,
        "older": found[-1].alert.pk if more else None,
        "query": query_without(request, "before"),
    }


@require_GET
def alert(request: HttpRequest, pk: int, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.read", "tenant.alerts")
    return page(request, place, alert_in(request, place, pk))


@require_POST
def note(request: HttpRequest, pk: int, slug: str = "") -> HttpResponse:
    """Acknowledge, or take it back."""
    place = place_of(request, slug, "alert.act", "tenant.alerts.act")
    shown = alert_in(request, place, pk)
    take_back = request.POST.get("how") == "back"
    form = NoteForm(request.POST, auto_id="note-%s")
    if take_back:
        form.fields["note"].required = False
    if form.is_valid():
        with form.refusals():
            actions.acknowledge(
                actor_of(request),
                alert=pk,
                rule=shown.alert.rule,
                tenant=shown.alert.tenant,
                note=form.cleaned_data["note"],
                take_back=take_back,
            )
            return redirect(f"{place.base}of/{pk}")
    return page(request, place, shown, form.status, note_form=form)


def page(
    request: HttpRequest, place: Place, shown: Shown, status: int = 200, **forms: Any
) -> HttpResponse:
    row = shown.alert
    start = {"rule": row.rule, "node": row.node, "tenant": row.tenant}
    if not row.tenant:
        start["ensemble"] = row.ensemble
    of_tenant = place.tenant is not None
    context = {
        "shown": shown,
        "alert": row,
        "rule": shown.rule,
        "first": facts(row, "first"),
        "latest": facts(row, "now"),
        "links": links(row, place),
        "notes": AlertNote.objects.filter(alert=row.pk),
        "told": [(one.message, one.channel, one.at) for one in read.told(row, place.tenant)],
        "note_form": forms.get("note_form") or NoteForm(auto_id="note-%s"),
        "silence_form": forms.get("silence_form")
        or SilenceForm(of_tenant=of_tenant, initial=start, auto_id="silence-%s"),
    }
    return show(request, place, "alert", context, status)


def facts(alert: Alert, name: str) -> dict[str, Any]:
    """Figures then: name and value, and the time of them."""
    found = read.facts(alert, name)
    if not found.figures and found.at_ms is None:
        return {}
    figures = {words(key): value for key, value in found.figures.items()}
    at = None if found.at_ms is None else read.moment(found.at_ms)
    return {"at": at, "figures": figures}


def words(key: str) -> str:
    return key.replace("_", " ")


def links(alert: Alert, place: Place) -> list[Link]:
    """Where to look further; only what is open to whoever sees the alert there."""
    found: list[Link] = []
    since = (alert.fired_at or alert.since) - AROUND_MS
    until = max(alert.seen_at, alert.fired_at or 0) + AROUND_MS
    times = {"since": stamp(since), "until": stamp(until)}
    if alert.tenant:
        found.append(Link(f"Tenant {alert.tenant}", reverse("tenant", args=[alert.tenant])))
        trail = reverse("tenant-audit", args=[alert.tenant])
        found.append(Link("What was done then", f"{trail}?{urlencode(times)}"))
        if alert.rule in DASHBOARD_RULES:
            found.append(Link("Its dashboard", reverse("tenant-dashboard", args=[alert.tenant])))
        found.append(Link("What changed", reverse("tenant-history", args=[alert.tenant])))
    if place.tenant is None:
        if alert.ensemble and not alert.tenant:
            there = reverse("ensemble", args=[alert.ensemble])
            found.append(Link(f"Ensemble {alert.ensemble}", there))
            figures = reverse("ensemble-dashboard", args=[alert.ensemble])
            found.append(Link("Its dashboard", figures))
        asked = {"node": alert.node} if alert.node else {}
        if alert.rule == "weighty-action":
            asked = {"of": "plane"}
        trail = reverse("plane-audit")
        if not alert.tenant or asked:
            found.append(Link("The audit page then", f"{trail}?{urlencode(asked | times)}"))
        if alert.tenant:
            found.append(Link("Operate", reverse("tenant-steer", args=[alert.tenant])))
    return found


def stamp(ms: int) -> str:
    return read.moment(ms).strftime("%Y-%m-%dT%H:%M:%SZ")
