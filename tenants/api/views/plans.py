"""Plans: everybody sees them, operators change them."""

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actions import plans
from tenants.api.documented import documented
from tenants.api.views.base import PageQuery, Strict, View
from tenants.models import Plan


class PlanOut(serializers.ModelSerializer[Plan]):
    class Meta:
        model = Plan
        fields = (
            "name",
            "title",
            "description",
            "entry",
            "limits",
            "weight",
            "tenants_per_person_max",
            "position",
            "retired",
        )


class PlanChangeIn(Strict):
    title = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=2_000, allow_blank=True, required=False)
    entry = serializers.ChoiceField(choices=Plan.Entry.values, required=False)
    limits = serializers.DictField(
        child=serializers.IntegerField(min_value=0), required=False, help_text="by name"
    )
    weight = serializers.IntegerField(min_value=1, max_value=10_000, required=False)
    tenants_per_person_max = serializers.IntegerField(min_value=0, max_value=10_000, required=False)
    position = serializers.IntegerField(min_value=0, max_value=1_000_000, required=False)


class PlanIn(PlanChangeIn):
    name = serializers.SlugField(max_length=63)
    title = serializers.CharField(max_length=100)


class RetireIn(Strict):
    retired = serializers.BooleanField(default=True, help_text="false: offered again")


class Plans(View):
    @documented("The plans", query=PageQuery, rows=PlanOut)
    def get(self, request: Request) -> Response:
        self.asked(PageQuery)
        return self.page(Plan.objects.all(), PlanOut, ("position", "name"))

    @documented("Make a plan", body=PlanIn, answer=PlanOut, status=201)
    def post(self, request: Request) -> Response:
        made = plans.create(self.actor, **self.given(PlanIn))
        return Response(PlanOut(made).data, status=201)


class PlanView(View):
    @documented("One plan", answer=PlanOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(PlanOut(plan_for(name)).data)

    @documented("Change a plan; its tenants follow at once", body=PlanChangeIn, answer=PlanOut)
    def patch(self, request: Request, name: str) -> Response:
        given = self.given(PlanChangeIn)
        return Response(PlanOut(plans.change(self.actor, plan=plan_for(name), **given)).data)


class PlanRetire(View):
    @documented("Give a plan to no new tenant, or again", body=RetireIn, answer=PlanOut)
    def post(self, request: Request, name: str) -> Response:
        retired = self.given(RetireIn)["retired"]
        changed = plans.retire(self.actor, plan=plan_for(name), retired=retired)
        return Response(PlanOut(changed).data)


def plan_for(name: str) -> Plan:
    found = Plan.objects.filter(name=name).first()
    if found is None:
        raise Http404(f"there is no plan {name[:70]}")
    return found
