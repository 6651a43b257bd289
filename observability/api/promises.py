"""Objectives with their budgets, forecasts of limits, noisy neighbours."""

import time
from dataclasses import asdict
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability import neighbours, objectives
from observability.forecast import forecasts
from tenants.access import ensemble_named
from tenants.actions import objectives as actions
from tenants.api.documented import documented
from tenants.api.views.base import Strict, View
from tenants.api.views.plans import plan_for
from tenants.models import Tenant
from tenants.objectives import BOUNDS, CLASSES, OBJECTIVE_WORDS, WHOLE


def number(name: str) -> serializers.Field[Any, Any, Any, Any]:
    """The field of one objective."""
    low, high = BOUNDS[name]
    words = OBJECTIVE_WORDS[name]
    if name in WHOLE:
        return serializers.IntegerField(
            required=False, min_value=int(low), max_value=int(high), help_text=words
        )
    return serializers.FloatField(required=False, min_value=low, max_value=high, help_text=words)


class ObjectivesIn(Strict):
    """What is not named is the plan's, or for a plan the default."""

    availability = number("availability")
    latency = number("latency")
    latency_ms = number("latency_ms")
    latency_of = serializers.ChoiceField(
        choices=list(CLASSES), required=False, help_text=OBJECTIVE_WORDS["latency_of"]
    )
    days = number("days")


class BudgetOut(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="availability or latency")
    words = serializers.CharField()
    good = serializers.IntegerField(help_text="requests")
    total = serializers.IntegerField()
    left = serializers.FloatField(help_text="1: all of the budget; below 0: missed")
    burn_1h = serializers.FloatField(allow_null=True, help_text="1: just the budget; null: idle")
    burn_6h = serializers.FloatField(allow_null=True)
    burn_3d = serializers.FloatField(allow_null=True)


class ForecastOut(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="the limit")
    used = serializers.IntegerField()
    limit = serializers.IntegerField()
    per_day = serializers.FloatField()
    full_in_s = serializers.IntegerField()
    fit = serializers.FloatField(help_text="1: a straight line")
    looked_back_s = serializers.IntegerField()


class ObjectivesOut(serializers.Serializer[Any]):
    own = ObjectivesIn()
    in_force = ObjectivesIn()
    budgets = BudgetOut(many=True)
    forecasts = ForecastOut(many=True, help_text="limits that fill up; those that say nothing lack")


class PlanObjectivesOut(serializers.Serializer[Any]):
    own = ObjectivesIn()


class VictimOut(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    kind = serializers.CharField(help_text="read or write")
    usual_us = serializers.IntegerField(help_text="p99, as it mostly was in the hour before")
    now_us = serializers.IntegerField()
    requests = serializers.IntegerField()
    held = serializers.IntegerField(help_text="by its own rates")


class NeighbourOut(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    ensemble = serializers.CharField()
    until = serializers.IntegerField(help_text="the last second that was looked at")
    share = serializers.FloatField(help_text="of the threads' time on tenants")
    busy = serializers.FloatField(help_text="of one thread")
    requests_per_s = serializers.FloatField()
    held = serializers.IntegerField()
    victims = VictimOut(many=True)


class NeighboursOut(serializers.Serializer[Any]):
    rule = serializers.CharField()
    results = NeighbourOut(many=True)


class TenantObjectives(View):
    @documented("What a tenant is promised, and how it fares", answer=ObjectivesOut)
    def get(self, request: Request, slug: str) -> Response:
        return Response(fields_of(self.tenant))

    @documented("Objectives in the plan's place", body=ObjectivesIn, answer=ObjectivesOut)
    def put(self, request: Request, slug: str) -> Response:
        wanted = self.given(ObjectivesIn)
        found = actions.set_objectives(self.actor, tenant=self.tenant, objectives=wanted)
        return Response(fields_of(found))


class PlanObjectives(View):
    @documented("Objectives of a plan's tenants", body=ObjectivesIn, answer=PlanObjectivesOut)
    def put(self, request: Request, name: str) -> Response:
        wanted = self.given(ObjectivesIn)
        plan = plan_for(name)
        found = actions.set_plan_objectives(self.actor, plan=plan, objectives=wanted)
        return Response({"own": found.objectives})


class Neighbours(View):
    @documented("Who may be a noisy neighbour, with the evidence", answer=NeighboursOut)
    def get(self, request: Request, name: str) -> Response:
        found = neighbours.neighbours(ensemble_named(name).name, int(time.time()))
        return Response({"rule": neighbours.RULE, "results": [asdict(one) for one in found]})


def fields_of(tenant: Tenant) -> dict[str, Any]:
    now = int(time.time())
    return {
        "own": tenant.objectives,
        "in_force": tenant.objectives_in_force,
        "budgets": [budget_fields(one) for one in objectives.budgets(tenant, now)],
        "forecasts": [asdict(one) for one in forecasts(tenant, now).values()],
    }


def budget_fields(one: objectives.Budget) -> dict[str, Any]:
    names = ("good", "total", "left", "burn_1h", "burn_6h", "burn_3d")
    words = {"kind": one.objective.kind, "words": one.objective.words}
    return {**words, **{name: getattr(one, name) for name in names}}
