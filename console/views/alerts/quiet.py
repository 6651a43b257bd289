"""Silences: what nobody is told of for a while, who said so, and why."""

from datetime import timedelta
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from console.forms.alerts import SilenceForm
from console.views.alerts import listing
from console.views.alerts.place import Place, alert_in, place_of, show
from console.who import actor_of
from tenants.actions import alerts as actions
from tenants.alerts.places import silences_in

SHOWN_MAX: Final = 200


@require_GET
def silences(request: HttpRequest, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.read", "tenant.alerts")
    start = {name: request.GET.get(name, "")[:100] for name in ("rule", "ensemble", "tenant")}
    form = SilenceForm(of_tenant=place.tenant is not None, initial=start)
    return page(request, place, form)


@require_POST
def silence(request: HttpRequest, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.act", "tenant.alerts.act")
    form = SilenceForm(request.POST, of_tenant=place.tenant is not None, auto_id="silence-%s")
    if form.is_valid():
        values = form.cleaned_data
        with form.refusals(ends_at="hours"):
            actions.silence(
                actor_of(request),
                rule=values["rule"],
                ensemble=values.get("ensemble", ""),
                node=values.get("node", ""),
                tenant=place.tenant or values.get("tenant", ""),
                reason=values["reason"],
                ends_at=timezone.now() + timedelta(hours=int(values["hours"])),
            )
            messages.success(request, "Nobody is told until it ends. The page goes on to show it.")
            return redirect(f"{place.base}silences")
    alert = request.POST.get("alert", "")
    if alert.isascii() and alert.isdigit() and len(alert) < 18:
        shown = alert_in(request, place, int(alert))
        return listing.page(request, place, shown, form.status, silence_form=form)
    return page(request, place, form, form.status)


@require_POST
def end(request: HttpRequest, pk: int, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.act", "tenant.alerts.act")
    row = silences_in(place.tenant).filter(pk=pk).first()
    if row is None:
        raise Http404(f"there is no silence {pk} here")
    actions.end_silence(actor_of(request), silence=row)
    messages.success(request, "The silence has ended.")
    return redirect(f"{place.base}silences")


def page(request: HttpRequest, place: Place, form: SilenceForm, status: int = 200) -> HttpResponse:
    now = timezone.now()
    rows = silences_in(place.tenant)
    context: dict[str, Any] = {
        "form": form,
        "at_work": rows.filter(ends_at__gt=now)[:SHOWN_MAX],
        "over": rows.filter(ends_at__lte=now)[:20],
    }
    return show(request, place, "silences", context, status)
