"""The numbers beside words of the rail: what waits for somebody. Asked for by the page's script."""

from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from console.access import standing_in
from console.views.tenants.common import person_of
from observability.alerts.read import firing_counts
from tenants.access import Standing
from tenants.alerts.rule import Severity
from tenants.models import Request

COUNTED_MAX: Final = 99  # more is "99+"


@require_GET
def counts(request: HttpRequest) -> HttpResponse:
    """By the route of the entry: how many, and whether it is urgent."""
    firing = firing_counts(person_of(request))
    alerts = firing[Severity.PAGE] + firing[Severity.TICKET]
    found = {"alerts": {"count": alerts, "bad": firing[Severity.PAGE] > 0}}
    if standing_in(request) is Standing.OPERATOR:
        waiting = Request.objects.filter(status="pending")[: COUNTED_MAX + 1].count()
        found["requests"] = {"count": waiting, "bad": False}
    answer = JsonResponse({"counts": found, "most": COUNTED_MAX})
    answer["Cache-Control"] = "no-store"
    return answer
