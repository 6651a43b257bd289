"""Tenants: made, described, limited, suspended, deleted and brought back."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ensemble.admin.draft import LIMIT_NAMES
from tenants import access
from tenants.actions import tenants
from tenants.api.documented import documented
from tenants.api.lookups import ensemble_named, person_named, plan_named
from tenants.api.views.base import PageQuery, Strict, View
from tenants.models import Publication, Tenant
from tenants.publication import publish

LIMITS = f"numbers by name: {', '.join(LIMIT_NAMES)}"


class PublicationOut(serializers.ModelSerializer[Publication]):
    class Meta:
        model = Publication
        fields = (
            "status",
            "wanted",
            "written",
            "applied",
            "nodes",
            "tries",
            "next_try_at",
            "error",
            "changed_at",
            "applied_at",
        )


class TenantOut(serializers.ModelSerializer[Tenant]):
    ensemble = serializers.CharField(source="ensemble.name")
    connect = serializers.CharField(source="ensemble.hosts", help_text="the connect string")
    plan = serializers.CharField(source="plan.name")
    limits = serializers.DictField(
        child=serializers.IntegerField(), help_text="in force: the plan's and the overrides"
    )
    weight = serializers.IntegerField(source="weight_in_force")
    publication = serializers.ChoiceField(
        choices=Publication.Status.values,
        source="publication.status",
        read_only=True,
        help_text="whether the ensemble has all of it in force",
    )

    class Meta:
        model = Tenant
        fields = (
            "slug",
            "title",
            "ensemble",
            "connect",
            "plan",
            "root",
            "adopted",
            "limits",
            "overrides",
            "weight",
            "mode",
            "state",
            "state_until",
            "state_reason",
            "throttle",
            "throttle_until",
            "throttle_reason",
            "audit_reads",
            "secret_paths",
            "history_days",
            "history_bytes",
            "lifecycle",
            "deleted_at",
            "purge_at",
            "keeps_data",
            "revision",
            "created_at",
            "publication",
        )


class OverridesField(serializers.DictField):
    """Limits in the plan's place."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            child=serializers.IntegerField(min_value=0, allow_null=True),
            help_text=f"{LIMITS}; null: no limit, whatever the plan has",
            **options,
        )


class TenantIn(Strict):
    slug = serializers.SlugField(max_length=63)
    title = serializers.CharField(max_length=100, allow_blank=True, default="")
    plan = serializers.CharField(max_length=63)
    ensemble = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    owner = serializers.CharField(
        max_length=150, required=False, allow_null=True, help_text="yourself by default"
    )
    overrides = OverridesField(required=False, default=dict)
    weight = serializers.IntegerField(
        min_value=1, max_value=10_000, required=False, allow_null=True, default=None
    )
    mode = serializers.ChoiceField(choices=Tenant.Mode.values, default="enforce")
    root = serializers.CharField(  # type: ignore[assignment]  # a field, not the property
        max_length=1_000, allow_blank=True, default=""
    )
    adopt = serializers.BooleanField(default=False, help_text="the root is there, and stays")


class DescribeIn(Strict):
    title = serializers.CharField(max_length=100, allow_blank=True, required=False)
    audit_reads = serializers.BooleanField(required=False)
    secret_paths = serializers.ListField(
        child=serializers.CharField(max_length=1_000), max_length=100, required=False
    )
    history_days = serializers.IntegerField(min_value=0, max_value=3_650, required=False)
    history_bytes = serializers.IntegerField(min_value=0, max_value=10**11, required=False)


class ModeIn(Strict):
    mode = serializers.ChoiceField(choices=Tenant.Mode.values)


class SetPlanIn(Strict):
    plan = serializers.CharField(max_length=63)


class LimitsIn(Strict):
    overrides = OverridesField()
    weight = serializers.IntegerField(
        min_value=1, max_value=10_000, allow_null=True, help_text="null: the plan's"
    )


class StateIn(Strict):
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")
    until = serializers.DateTimeField(required=False, allow_null=True, default=None)


class ThrottleIn(Strict):
    limits = serializers.DictField(child=serializers.IntegerField(min_value=0), help_text=LIMITS)
    until = serializers.DateTimeField()
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class PurgeIn(Strict):
    keep_data = serializers.BooleanField(required=False, allow_null=True, default=None)


class NothingIn(Strict):
    pass


class DeleteQuery(Strict):
    confirm = serializers.CharField(max_length=70, help_text="the tenant's name, once more")
    keep_data = serializers.BooleanField(
        required=False, default=None, allow_null=True, help_text="by default that of adopted roots"
    )


class TenantsQuery(PageQuery):
    q = serializers.CharField(required=False, max_length=100, help_text="within name or title")
    ensemble = serializers.CharField(required=False, max_length=63)
    plan = serializers.CharField(required=False, max_length=63)
    mode = serializers.ChoiceField(required=False, choices=Tenant.Mode.values)
    state = serializers.ChoiceField(required=False, choices=Tenant.State.values)
    lifecycle = serializers.ChoiceField(required=False, choices=Tenant.Lifecycle.values)
    publication = serializers.ChoiceField(required=False, choices=Publication.Status.values)
    mine = serializers.BooleanField(required=False, help_text="only where you are a member")


FILTERS = {
    "ensemble": "ensemble__name",
    "plan": "plan__name",
    "mode": "mode",
    "state": "state",
    "lifecycle": "lifecycle",
    "publication": "publication__status",
}


def shown(tenant: Tenant, status: int = 200) -> Response:
    """What all that change one tenant answer: as it is now, the word to the ensemble included."""
    fresh = Tenant.objects.select_related("plan", "ensemble", "publication").get(pk=tenant.pk)
    return Response(TenantOut(fresh).data, status=status)


class Tenants(View):
    @documented("The tenants that you may see", query=TenantsQuery, rows=TenantOut)
    def get(self, request: Request) -> Response:
        from django.db.models import Q

        asked = self.asked(TenantsQuery)
        found = access.visible_to(request.user)
        found = found.filter(**{to: asked[name] for name, to in FILTERS.items() if name in asked})
        if "lifecycle" not in asked:
            found = found.exclude(lifecycle=Tenant.Lifecycle.GONE)
        if "q" in asked:
            found = found.filter(Q(slug__icontains=asked["q"]) | Q(title__icontains=asked["q"]))
        if asked.get("mine"):
            found = found.filter(memberships__user=self.user)
        found = found.select_related("plan", "ensemble", "publication")
        return self.page(found, TenantOut, ("slug", "pk"))

    @documented("Make a tenant", body=TenantIn, answer=TenantOut, status=201)
    def post(self, request: Request) -> Response:
        given = self.given(TenantIn)
        owner = given.pop("owner", self.user.get_username())
        given["plan"] = plan_named(given["plan"])
        given["ensemble"] = ensemble_named(given["ensemble"])
        given["owner"] = None if owner is None else person_named(owner, "owner")
        made = tenants.create(self.actor, **given)
        return shown(made, 201)


class TenantView(View):
    @documented("One tenant", answer=TenantOut)
    def get(self, request: Request, slug: str) -> Response:
        return shown(self.tenant)

    @documented("Change what limits nobody", body=DescribeIn, answer=TenantOut)
    def patch(self, request: Request, slug: str) -> Response:
        return shown(tenants.describe(self.actor, tenant=self.tenant, **self.given(DescribeIn)))

    @documented(
        "Delete a tenant; until purge_at it can be restored", query=DeleteQuery, answer=TenantOut
    )
    def delete(self, request: Request, slug: str) -> Response:
        asked = self.asked(DeleteQuery)
        return shown(tenants.delete(self.actor, tenant=self.tenant, **asked))


class TenantMode(View):
    @documented("Observe, permit or enforce", body=ModeIn, answer=TenantOut)
    def put(self, request: Request, slug: str) -> Response:
        mode = self.given(ModeIn)["mode"]
        return shown(tenants.set_mode(self.actor, tenant=self.tenant, mode=mode))


class TenantPlan(View):
    @documented(
        "Another plan: self-service ones; others are asked for", body=SetPlanIn, answer=TenantOut
    )
    def put(self, request: Request, slug: str) -> Response:
        plan = plan_named(self.given(SetPlanIn)["plan"])
        return shown(tenants.set_plan(self.actor, tenant=self.tenant, plan=plan))


class TenantLimits(View):
    @documented("Limits and weight in the plan's place", body=LimitsIn, answer=TenantOut)
    def put(self, request: Request, slug: str) -> Response:
        given = self.given(LimitsIn)
        return shown(tenants.set_limits(self.actor, tenant=self.tenant, **given))


class TenantSuspend(View):
    @documented("Refuse its writes", body=StateIn, answer=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        return shown(tenants.suspend(self.actor, tenant=self.tenant, **self.given(StateIn)))


class TenantDrain(View):
    @documented("Let no new sessions in", body=StateIn, answer=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        return shown(tenants.drain(self.actor, tenant=self.tenant, **self.given(StateIn)))


class TenantResume(View):
    @documented("Active again, at full rates", body=NothingIn, answer=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        self.given(NothingIn)
        return shown(tenants.resume(self.actor, tenant=self.tenant))


class TenantThrottle(View):
    @documented("Lower limits for a while", body=ThrottleIn, answer=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        given = self.given(ThrottleIn)
        return shown(tenants.throttle(self.actor, tenant=self.tenant, **given))


class TenantRestore(View):
    @documented("Bring a deleted tenant back", body=NothingIn, answer=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        self.given(NothingIn)
        return shown(tenants.restore(self.actor, tenant=self.tenant))


class TenantPurge(View):
    @documented("Remove a deleted tenant for good", body=PurgeIn, answer=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        return shown(tenants.purge(self.actor, tenant=self.tenant, **self.given(PurgeIn)))


class TenantPublication(View):
    @documented("How far the ensemble knows what is wished", answer=PublicationOut)
    def get(self, request: Request, slug: str) -> Response:
        return Response(PublicationOut(Publication.objects.get(tenant=self.tenant)).data)

    @documented("Publish it now", body=NothingIn, answer=PublicationOut)
    def post(self, request: Request, slug: str) -> Response:
        self.given(NothingIn)
        return Response(PublicationOut(publish(self.tenant.pk)).data)
