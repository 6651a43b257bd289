"""Requests for what is not self-service: asked by anybody, decided by operators."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import request as drf
from rest_framework import serializers
from rest_framework.response import Response

from tenants import access
from tenants.actions import requests
from tenants.api.documented import documented
from tenants.api.lookups import ensemble_named, plan_named
from tenants.api.views.base import PageQuery, Strict, View
from tenants.api.views.tenants import NothingIn, OverridesField, TenantOut, shown
from tenants.models import Request, Tenant


class RequestOut(serializers.ModelSerializer[Request]):
    asked_by = serializers.CharField(source="asked_by.username", default=None, allow_null=True)
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True)
    ensemble = serializers.CharField(source="ensemble.name")
    plan = serializers.CharField(source="plan.name")
    tenant = serializers.CharField(source="tenant.slug", default=None, allow_null=True)

    class Meta:
        model = Request
        fields = (
            "id",
            "kind",
            "status",
            "asked_by",
            "asked_at",
            "purpose",
            "slug",
            "title",
            "ensemble",
            "plan",
            "root",
            "overrides",
            "tenant",
            "decided_by",
            "decided_at",
            "answer",
        )


class RequestIn(Strict):
    kind = serializers.ChoiceField(choices=Request.Kind.values)
    slug = serializers.SlugField(max_length=63, required=False, help_text="of the new tenant")
    title = serializers.CharField(max_length=100, allow_blank=True, default="")
    plan = serializers.CharField(max_length=63)
    ensemble = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    purpose = serializers.CharField(max_length=2_000, allow_blank=True, default="")
    root = serializers.CharField(  # type: ignore[assignment]  # a field, not the property
        max_length=1_000, allow_blank=True, default=""
    )
    overrides = OverridesField(required=False, default=dict)
    tenant = serializers.SlugField(
        max_length=63, required=False, allow_null=True, default=None, help_text="kind `plan`: whose"
    )


class ApproveIn(Strict):
    answer = serializers.CharField(max_length=2_000, allow_blank=True, default="")
    plan = serializers.CharField(max_length=63, required=False, help_text="in the place of asked")
    overrides = OverridesField(required=False)


class RejectIn(Strict):
    answer = serializers.CharField(max_length=2_000, help_text="who asked reads it")


class RequestsQuery(PageQuery):
    status = serializers.ChoiceField(required=False, choices=Request.Status.values)
    kind = serializers.ChoiceField(required=False, choices=Request.Kind.values)
    mine = serializers.BooleanField(required=False)


def visible(view: View) -> QuerySet[Request]:
    """One's own; all for auditors and operators. Of one tenant where the token is."""
    found = Request.objects.select_related("asked_by", "decided_by", "ensemble", "plan", "tenant")
    if access.standing_of(view.user) < access.Standing.AUDITOR:
        found = found.filter(asked_by=view.user)
    bounds = access.bounds_of(view.user)
    if bounds is not None and bounds.tenant_id is not None:
        found = found.filter(tenant_id=bounds.tenant_id)
    return found


def request_for(view: View, number: int) -> Request:
    found = visible(view).filter(pk=min(number, 2**62)).first()
    if found is None:
        raise Http404(f"there is no request {number} that you can see")
    return found


class Requests(View):
    @documented(
        "Your requests; for operators and auditors all", query=RequestsQuery, rows=RequestOut
    )
    def get(self, request: drf.Request) -> Response:
        asked = self.asked(RequestsQuery)
        found = visible(self)
        for name in ("status", "kind"):
            if name in asked:
                found = found.filter(**{name: asked[name]})
        if asked.get("mine"):
            found = found.filter(asked_by=self.user)
        return self.page(found, RequestOut, ("-asked_at", "-pk"))

    @documented(
        "Ask for a tenant, a path to adopt, or another plan",
        body=RequestIn,
        answer=RequestOut,
        status=201,
    )
    def post(self, request: drf.Request) -> Response:
        given: dict[str, Any] = self.given(RequestIn)
        given["plan"] = plan_named(given["plan"])
        given["ensemble"] = ensemble_named(given["ensemble"])
        tenant: Tenant | None = None
        if given["tenant"] is not None:
            tenant = access.tenant_for(request.user, given["tenant"], "tenant.plan")
        given["tenant"] = tenant
        made = requests.ask(self.actor, **given)
        return Response(RequestOut(made).data, status=201)


class RequestView(View):
    @documented("One request", answer=RequestOut)
    def get(self, request: drf.Request, number: int) -> Response:
        return Response(RequestOut(request_for(self, number)).data)


class RequestApprove(View):
    @documented("Do what was asked for", body=ApproveIn, answer=TenantOut)
    def post(self, request: drf.Request, number: int) -> Response:
        given = self.given(ApproveIn)
        wish = request_for(self, number)
        if "plan" in given:
            given["plan"] = plan_named(given["plan"])
        return shown(requests.approve(self.actor, request=wish, **given))


class RequestReject(View):
    @documented("Say no, and why", body=RejectIn, answer=RequestOut)
    def post(self, request: drf.Request, number: int) -> Response:
        given = self.given(RejectIn)
        wish = request_for(self, number)
        return Response(RequestOut(requests.reject(self.actor, request=wish, **given)).data)


class RequestWithdraw(View):
    @documented("Take one's own request back", body=NothingIn, answer=RequestOut)
    def post(self, request: drf.Request, number: int) -> Response:
        self.given(NothingIn)
        wish = request_for(self, number)
        return Response(RequestOut(requests.withdraw(self.actor, request=wish)).data)
