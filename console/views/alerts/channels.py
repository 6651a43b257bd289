"""Where alerts are sent: webhooks and mail, with a test and a log of what went out."""

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from console.forms.alerts import ChannelForm
from console.forms.base import PlaneForm, lines
from console.views.alerts.place import Place, place_of, show
from console.who import actor_of
from observability.alerts import outbox, read
from observability.models import Delivery
from tenants.actions import channels as actions
from tenants.alerts.places import channels_in, leads_to
from tenants.models import AlertChannel

LOG_MAX: Final = 100
RIGHTS: Final = ("alert.change", "tenant.alerts.channels")


@require_GET
def channels(request: HttpRequest, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.read", "tenant.alerts.channels")
    return page(request, place, ChannelForm(of_tenant=place.tenant is not None))


@require_POST
def make(request: HttpRequest, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, *RIGHTS)
    form = ChannelForm(request.POST, of_tenant=place.tenant is not None)
    if form.is_valid():
        values = form.cleaned_data
        with form.refusals():
            made, secret = actions.make(
                actor_of(request),
                name=values["name"],
                kind=values["kind"],
                tenant=place.tenant,
                of_tenant=values.get("of_tenant", ""),
                url=values["url"],
                addresses=lines(values["addresses"]),
                severity=values["severity"],
            )
            return one(request, place, made, secret=secret)
    return page(request, place, form, form.status)


@require_GET
def channel(request: HttpRequest, pk: int, slug: str = "") -> HttpResponse:
    place = place_of(request, slug, "alert.read", "tenant.alerts.channels")
    return one(request, place, channel_in(place, pk))


@require_POST
def act(request: HttpRequest, pk: int, slug: str = "") -> HttpResponse:
    """Test, switch, a new secret, remove."""
    place = place_of(request, slug, *RIGHTS)
    row = channel_in(place, pk)
    how = request.POST.get("how", "")
    actor = actor_of(request)
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            if how == "test":
                outbox.ask_for_test(row)
                messages.success(request, "A test is on its way: its line below says how it went.")
            elif how in ("on", "off"):
                actions.switch(actor, channel=row, is_on=how == "on")
            elif how == "secret":
                return one(request, place, row, secret=actions.renew_secret(actor, channel=row))
            elif how == "remove" and request.POST.get("confirm", "") == row.name:
                actions.remove(actor, channel=row)
                messages.success(request, f"{row.name} is removed.")
                return redirect(f"{place.base}channels")
            elif how == "remove":
                problem = f"Type {row.name} to confirm."
                return one(request, place, row, status=422, problem=problem)
            return redirect(f"{place.base}channels/{pk}")
    return one(request, place, row, status=form.status, problem=form.problem)


def channel_in(place: Place, pk: int) -> AlertChannel:
    """Raises Http404."""
    row = channels_in(place.tenant).filter(pk=pk).first()
    if row is None:
        raise Http404(f"there is no channel {pk} here")
    return row


def page(request: HttpRequest, place: Place, form: ChannelForm, status: int = 200) -> HttpResponse:
    rows = [(row, leads_to(row, whole=place.may_send)) for row in channels_in(place.tenant)]
    context = {"channels": rows, "form": form}
    return show(request, place, "channels", context, status)


def one(
    request: HttpRequest, place: Place, row: AlertChannel, status: int = 200, **more: Any
) -> HttpResponse:
    log = Delivery.objects.filter(channel=row.pk).order_by("-pk")[:LOG_MAX]
    context = {
        "channel": row,
        "leads_to": leads_to(row, whole=place.may_send),
        "log": [(entry, read.moment(entry.made_at)) for entry in log],
        **more,
    }
    return show(request, place, "channel", context, status)
