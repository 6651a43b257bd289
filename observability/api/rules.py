"""The rules of alerts: what is watched for, from which value on, and what people changed of it."""

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.alerts import rules
from observability.alerts.rules import Line
from observability.api.alerts import SEVERITIES
from tenants.actions import alerts as actions
from tenants.alerts.rule import HOLD_MAX_S, Scope
from tenants.alerts.table import RULES
from tenants.api.documented import documented
from tenants.api.views.base import Strict, View


class BoundOut(serializers.Serializer[Any]):
    low = serializers.FloatField()
    high = serializers.FloatField()
    unit = serializers.CharField()
    default = serializers.FloatField()
    is_least = serializers.BooleanField(help_text="it holds below the threshold, not above")


class ForceOut(serializers.Serializer[Any]):
    is_on = serializers.BooleanField()
    threshold = serializers.FloatField(allow_null=True, help_text="null: the rule has none")
    hold_s = serializers.IntegerField()
    severity = serializers.ChoiceField(choices=SEVERITIES)


class RuleOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    scope = serializers.ChoiceField(choices=[str(one) for one in Scope])
    why = serializers.CharField()
    steps = serializers.ListField(child=serializers.CharField())
    for_members = serializers.BooleanField(help_text="a tenant's own people see its alerts")
    every_s = serializers.IntegerField(help_text="how often it is looked at")
    bound = BoundOut(allow_null=True, help_text="of the threshold")
    in_force = ForceOut()
    is_changed = serializers.BooleanField()
    changed_by = serializers.CharField(allow_null=True)
    changed_at = serializers.DateTimeField(allow_null=True)
    firing = serializers.IntegerField(help_text="alerts of it")


class RulesOut(serializers.Serializer[Any]):
    results = RuleOut(many=True)


class RuleIn(Strict):
    """What is left out, or null, is as the rule comes."""

    is_on = serializers.BooleanField(default=True)
    threshold = serializers.FloatField(
        required=False, allow_null=True, default=None, help_text="within the rule's bound"
    )
    hold_s = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0, max_value=HOLD_MAX_S
    )
    severity = serializers.ChoiceField(choices=SEVERITIES, required=False, allow_null=True)


class Rules(View):
    @documented("All rules, with their bounds and what is in force", answer=RulesOut)
    def get(self, request: Request) -> Response:
        return Response({"results": [told(line) for line in rules.lines()]})


class RuleView(View):
    def shown(self, name: str) -> Response:
        found = rules.line(name)
        if found is None:
            raise Http404(f"there is no rule {name[:40]}: see /api/v1/alerts/rules")
        return Response(told(found))

    @documented("A rule", answer=RuleOut)
    def get(self, request: Request, name: str) -> Response:
        return self.shown(name)

    @documented("Set what differs from the rule as it comes", body=RuleIn, answer=RuleOut)
    def put(self, request: Request, name: str) -> Response:
        given = self.given(RuleIn)
        if name in RULES:
            given["severity"] = given.get("severity") or ""
            actions.set_rule(self.actor, name=name, **given)
        return self.shown(name)


def told(line: Line) -> dict[str, object]:
    setting, row = line.setting, line.row
    rule = setting.rule
    bound = rule.bound
    return RuleOut(
        {
            "name": rule.name,
            "title": rule.title,
            "scope": str(rule.scope),
            "why": rule.why,
            "steps": list(rule.steps),
            "for_members": rule.for_members,
            "every_s": rule.every_s,
            "bound": bound
            and {
                "low": bound.low,
                "high": bound.high,
                "unit": bound.unit,
                "default": bound.value,
                "is_least": bound.is_least,
            },
            "in_force": {
                "is_on": setting.is_on,
                "threshold": None if bound is None else setting.value,
                "hold_s": setting.hold_s,
                "severity": str(setting.severity),
            },
            "is_changed": line.is_changed,
            "changed_by": None if row is None else row.changed_by,
            "changed_at": None if row is None else row.changed_at,
            "firing": line.firing,
        }
    ).data
