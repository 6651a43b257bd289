"""Silences: what nobody is told of for a while, who said so, and why."""

from datetime import datetime, timedelta
from typing import Any

from django.http import Http404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.api.alerts import Within
from tenants.actions import alerts as actions
from tenants.actions.alerts import SILENCE_MAX, WORDS_MAX
from tenants.alerts.places import silences_in
from tenants.alerts.table import FOR_MEMBERS, RULES
from tenants.api.documented import documented
from tenants.api.views.base import PageQuery, Strict
from tenants.models import AlertSilence

HOURS_MAX = SILENCE_MAX.days * 24


class SilenceOut(serializers.ModelSerializer[AlertSilence]):
    number = serializers.IntegerField(source="pk")
    is_over = serializers.SerializerMethodField()

    class Meta:
        model = AlertSilence
        fields = (
            *("number", "rule", "ensemble", "node", "tenant", "is_own", "reason"),
            *("made_by", "made_at", "ends_at", "is_over"),
        )

    def get_is_over(self, row: AlertSilence) -> bool:
        return row.ends_at <= timezone.now()


class SilencesQuery(PageQuery):
    over = serializers.BooleanField(default=False, help_text="those that have ended, too")


class Lasting(Strict):
    """How long, and why."""

    ends_at = serializers.DateTimeField(required=False, help_text="either this")
    hours = serializers.FloatField(
        required=False, min_value=0.01, max_value=HOURS_MAX, help_text="or this; from now on"
    )
    reason = serializers.CharField(max_length=WORDS_MAX, help_text="for those who come after you")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("ends_at" in attrs) == ("hours" in attrs):
            text = f"say either ends_at or hours, {SILENCE_MAX.days} days at most"
            raise serializers.ValidationError({"ends_at": [text]})
        return attrs


class SilenceIn(Lasting):
    """What is left out fits everything; something is to be named."""

    rule = serializers.ChoiceField(choices=list(RULES), required=False)
    ensemble = serializers.CharField(max_length=63, required=False)
    node = serializers.CharField(max_length=100, required=False)
    tenant = serializers.CharField(max_length=63, required=False)


class OwnSilenceIn(Lasting):
    """A tenant's people silence what they see; operators are told all the same."""

    rule = serializers.ChoiceField(
        choices=sorted(FOR_MEMBERS), required=False, help_text="left out: all of the tenant"
    )


class OfSilences(Within):
    def silence(self, number: int) -> AlertSilence:
        """Raises Http404."""
        found = silences_in(self.where).filter(pk=number).first()
        if found is None:
            raise Http404(f"there is no silence {number} here")
        return found

    def make(self, given: dict[str, Any]) -> Response:
        subject = {name: given[name] for name in ("rule", "ensemble", "node") if name in given}
        made = actions.silence(
            self.actor,
            tenant=self.where or given.get("tenant", ""),
            reason=given["reason"],
            ends_at=end_of(given),
            **subject,
        )
        return Response(SilenceOut(made).data, status=201)


class Silences(OfSilences):
    @documented("Silences, the newest first", query=SilencesQuery, rows=SilenceOut)
    def get(self, request: Request, **_: str) -> Response:
        rows = silences_in(self.where)
        if not self.asked(SilencesQuery)["over"]:
            rows = rows.filter(ends_at__gt=timezone.now())
        return self.page(rows, SilenceOut, "-pk")

    @documented(
        "Tell nobody of alerts that fit, until it ends",
        body=SilenceIn,
        answer=SilenceOut,
        status=201,
    )
    def post(self, request: Request) -> Response:
        return self.make(self.given(SilenceIn))


class TenantSilences(Silences):
    @documented(
        "Tell a tenant's own channels of no alerts that fit, until it ends",
        body=OwnSilenceIn,
        answer=SilenceOut,
        status=201,
    )
    def post(self, request: Request, slug: str) -> Response:  # type: ignore[override]  # its address
        return self.make(self.given(OwnSilenceIn))


class SilenceView(OfSilences):
    @documented("A silence", answer=SilenceOut)
    def get(self, request: Request, number: int, **_: str) -> Response:
        return Response(SilenceOut(self.silence(number)).data)

    @documented("End a silence now; once more changes nothing", answer=SilenceOut)
    def delete(self, request: Request, number: int, **_: str) -> Response:
        found = self.silence(number)
        actions.end_silence(self.actor, silence=found)
        found.refresh_from_db()
        return Response(SilenceOut(found).data)


def end_of(given: dict[str, Any]) -> datetime:
    if "hours" in given:
        return timezone.now() + timedelta(hours=given["hours"])
    end: datetime = given["ends_at"]
    return end
