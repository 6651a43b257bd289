"""Alerts: which fire and did, one with what is known of it, and who sees to it.

Operators and auditors ask for all of them, or for a tenant's; its people for those that are theirs
to solve.
"""

from dataclasses import asdict
from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.alerts import read
from observability.alerts.read import Shown, Told
from observability.models import Alert, Delivery
from tenants.access import Standing, standing_of
from tenants.actions import alerts as actions
from tenants.actions.alerts import WORDS_MAX
from tenants.alerts.rule import Severity
from tenants.alerts.table import RULES
from tenants.api.documented import documented
from tenants.api.views.base import PageQuery, Strict, View
from tenants.models import AlertNote, Tenant

STATES = (Alert.Status.FIRING.value, Alert.Status.RESOLVED.value)
SEVERITIES = [str(one) for one in Severity]


class Within(View):
    """On the plane, or within a tenant where the address names one."""

    @property
    def where(self) -> Tenant | None:
        return self.tenant if "slug" in self.kwargs else None


class NoteOut(serializers.ModelSerializer[AlertNote]):
    class Meta:
        model = AlertNote
        fields = ("person", "note", "is_taken_back", "at")


class AlertOut(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    rule = serializers.CharField()
    title = serializers.CharField()
    severity = serializers.ChoiceField(choices=SEVERITIES)
    status = serializers.ChoiceField(choices=STATES)
    summary = serializers.CharField()
    ensemble = serializers.CharField(help_text="empty: of none in particular, as node and tenant")
    node = serializers.CharField()
    tenant = serializers.CharField()
    of = serializers.CharField(help_text="which limit, credential, line")
    times = serializers.IntegerField(help_text="that it came, soon after it had gone")
    since_ms = serializers.IntegerField(help_text="from when on the rule held")
    fired_at_ms = serializers.IntegerField()
    resolved_at_ms = serializers.IntegerField(allow_null=True)
    seen_at_ms = serializers.IntegerField(help_text="when there were figures last")
    acknowledged_by = serializers.CharField(allow_null=True, help_text="who sees to it")
    silenced_until = serializers.DateTimeField(allow_null=True)


class FactsOut(serializers.Serializer[Any]):
    at_ms = serializers.IntegerField(allow_null=True)
    figures = serializers.DictField()


class ToldOut(serializers.Serializer[Any]):
    channel = serializers.CharField(allow_null=True, help_text="null: it was removed")
    event = serializers.ChoiceField(choices=Delivery.Event.values)
    status = serializers.ChoiceField(choices=Delivery.Status.values)
    at_ms = serializers.IntegerField()
    answer = serializers.CharField()


class WholeAlertOut(AlertOut):
    why = serializers.CharField(help_text="what it means")
    steps = serializers.ListField(child=serializers.CharField(), help_text="what to do, in order")
    first = FactsOut(help_text="the figures when it began")
    latest = FactsOut(help_text="the last ones")
    notes = NoteOut(many=True, help_text="the newest first")
    told = ToldOut(many=True, help_text="to whom, the last first; a tenant's people see their own")


class CountsOut(serializers.Serializer[Any]):
    page = serializers.IntegerField(help_text="that fire and nobody sees to; wakes somebody up")
    ticket = serializers.IntegerField(help_text="waits for the morning")
    note = serializers.IntegerField()
    firing = serializers.IntegerField(help_text="all of them, also silenced and seen to; 500 most")
    looked_s_ago = serializers.FloatField(allow_null=True, help_text="at the rules; null: never")
    is_asleep = serializers.BooleanField(
        help_text="nobody looks at the rules: what is told here may not be so any more"
    )


class AlertsQuery(PageQuery):
    status = serializers.ChoiceField(choices=STATES, required=False)
    severity = serializers.ChoiceField(choices=SEVERITIES, required=False)
    rule = serializers.ChoiceField(choices=list(RULES), required=False)


class AcknowledgeIn(Strict):
    note = serializers.CharField(
        max_length=WORDS_MAX, help_text="what you see, and what you do about it"
    )


class TakeBackIn(Strict):
    note = serializers.CharField(max_length=WORDS_MAX, default="", allow_blank=True)


class Alerts(Within):
    @documented("Alerts, newest first", query=AlertsQuery, rows=AlertOut)
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(AlertsQuery)
        wanted = {name: asked[name] for name in ("status", "severity", "rule") if name in asked}
        rows = read.visible(self.user, self.where).exclude(status=Alert.Status.PENDING)
        own = standing_of(self.user) < Standing.AUDITOR
        return self.page(
            rows.filter(**wanted),
            AlertOut,
            "-pk",
            lambda found: [told_of(one) for one in read.shown(found, for_own=own)],
        )


class Counts(Within):
    @documented("How many alerts fire, and whether anybody looks at the rules", answer=CountsOut)
    def get(self, request: Request, **_: str) -> Response:
        now = read.now(self.user, self.where)
        further = {"looked_s_ago": now.asleep_s, "is_asleep": now.is_asleep}
        return Response({**now.counts, "firing": len(now.found), **further})


class OneAlert(Within):
    def alert(self) -> Shown:
        """Raises Http404: there is none that this person may see here."""
        number = int(self.kwargs["number"])
        found = read.one(self.user, number, self.where)
        if found is None:
            raise Http404(f"there is no alert {number} that you can see; they are kept 90 days")
        return found

    def shown(self) -> Response:
        """What is known of it by now."""
        return Response(WholeAlertOut(whole(self.alert(), self.where)).data)

    def note(self, text: str, *, take_back: bool = False) -> Response:
        alert = self.alert().alert
        actions.acknowledge(
            self.actor,
            alert=alert.pk,
            rule=alert.rule,
            tenant=alert.tenant,
            note=text,
            take_back=take_back,
        )
        return self.shown()


class AlertView(OneAlert):
    @documented("An alert: what it means, what to do, figures, notes", answer=WholeAlertOut)
    def get(self, request: Request, **_: str) -> Response:
        return self.shown()


class Acknowledge(OneAlert):
    @documented("Say that you see to it, and how", body=AcknowledgeIn, answer=WholeAlertOut)
    def post(self, request: Request, **_: str) -> Response:
        return self.note(self.given(AcknowledgeIn)["note"])


class TakeBack(OneAlert):
    @documented("Nobody sees to it any more", body=TakeBackIn, answer=WholeAlertOut)
    def post(self, request: Request, **_: str) -> Response:
        return self.note(self.given(TakeBackIn)["note"], take_back=True)


def told_of(one: Shown) -> dict[str, object]:
    row = one.alert
    is_over = row.status == Alert.Status.RESOLVED
    names = ("rule", "severity", "status", "summary", "ensemble", "node", "tenant", "of", "times")
    return {
        "number": row.pk,
        "title": one.title,
        **{name: getattr(row, name) for name in names},
        "since_ms": row.since,
        "fired_at_ms": row.fired_at or row.since,
        "resolved_at_ms": row.resolved_at if is_over else None,
        "seen_at_ms": row.seen_at,
        "acknowledged_by": None if one.note is None else one.note.person,
        "silenced_until": None if one.silence is None else one.silence.ends_at,
    }


def whole(one: Shown, tenant: Tenant | None) -> dict[str, object]:
    row = one.alert
    return {
        **told_of(one),
        "why": "" if one.rule is None else one.rule.why,
        "steps": [] if one.rule is None else list(one.rule.steps),
        "first": asdict(read.facts(row, "first")),
        "latest": asdict(read.facts(row, "now")),
        "notes": AlertNote.objects.filter(alert=row.pk),
        "told": [message(told) for told in read.told(row, tenant)],
    }


def message(told: Told) -> dict[str, object]:
    sent = told.message
    return {
        "channel": None if told.channel is None else told.channel.name,
        "event": sent.event,
        "status": sent.status,
        "at_ms": sent.done_at or sent.made_at,
        "answer": sent.answer,
    }
