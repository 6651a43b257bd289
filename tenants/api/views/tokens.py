"""API tokens of oneself; operators see and revoke everybody's."""

from typing import Final

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import access
from tenants.actions import tokens
from tenants.api.documented import documented
from tenants.api.fields import RoleField
from tenants.api.views.base import SECRET, PageQuery, Strict, View
from tenants.models import ApiToken, MemberRole, Tenant

NAME_MAX: Final = 100


class TokenOut(serializers.ModelSerializer[ApiToken]):
    person = serializers.CharField(source="user.username")
    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None)
    role = RoleField()

    class Meta:
        model = ApiToken
        fields = (
            "prefix",
            "name",
            "person",
            "tenant",
            "role",
            "as_operator",
            "made_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        )


class NewTokenOut(TokenOut):
    token = serializers.CharField(help_text="the text for the header; shown this once")

    class Meta(TokenOut.Meta):
        fields = (*TokenOut.Meta.fields, "token")  # type: ignore[assignment]


class TokenIn(Strict):
    name = serializers.CharField(max_length=NAME_MAX)
    role = RoleField(help_text="the most that it may do in a tenant; a viewer's token reads only")
    tenant = serializers.SlugField(
        required=False, allow_null=True, default=None, max_length=63, help_text="null: all of yours"
    )
    as_operator = serializers.BooleanField(default=False)
    expires_at = serializers.DateTimeField()


class TokensQuery(PageQuery):
    person = serializers.CharField(required=False, max_length=150, help_text="operators only")
    valid = serializers.BooleanField(required=False, help_text="neither revoked nor expired")


def visible(request: Request) -> QuerySet[ApiToken]:
    """One's own; everybody's for operators. Within the token that was sent."""
    found = ApiToken.objects.select_related("user", "tenant")
    if access.standing_of(request.user) is not access.Standing.OPERATOR:
        found = found.filter(user__username=request.user.get_username())
    bounds = access.bounds_of(request.user)
    if bounds is not None and bounds.tenant_id is not None:
        found = found.filter(tenant_id=bounds.tenant_id)
    return found


class Tokens(View):
    @documented("Your tokens; for operators everybody's", query=TokensQuery, rows=TokenOut)
    def get(self, request: Request) -> Response:
        from django.utils import timezone

        asked = self.asked(TokensQuery)
        found = visible(request)
        if "person" in asked:
            found = found.filter(user__username=asked["person"])
        if "valid" in asked:
            valid = {"revoked_at": None, "expires_at__gt": timezone.now()}
            found = found.filter(**valid) if asked["valid"] else found.exclude(**valid)
        return self.page(found, TokenOut, ("-made_at", "-pk"))

    @documented("Make a token", body=TokenIn, answer=NewTokenOut, status=201)
    def post(self, request: Request) -> Response:
        given = self.given(TokenIn)
        tenant: Tenant | None = None
        if given["tenant"] is not None:
            tenant = access.tenant_for(request.user, given["tenant"], "tenant.read")
        # The person anew: it has no bounds, so that what it may is not narrowed twice.
        person = User.objects.get(pk=self.user.pk)
        token, text = tokens.make(
            self.actor,
            user=person,
            name=given["name"],
            tenant=tenant,
            role=MemberRole(given["role"]),
            as_operator=given["as_operator"],
            expires_at=given["expires_at"],
        )
        token.token = text  # type: ignore[attr-defined]  # for this one answer
        return Response(NewTokenOut(token).data, status=201, headers={SECRET: "1"})


class Token(View):
    @documented("One token", answer=TokenOut)
    def get(self, request: Request, prefix: str) -> Response:
        return Response(TokenOut(token_for(request, prefix)).data)

    @documented("Revoke a token, at once", answer=TokenOut)
    def delete(self, request: Request, prefix: str) -> Response:
        token = token_for(request, prefix)
        tokens.revoke(self.actor, token=token)
        return Response(TokenOut(token).data)


def token_for(request: Request, prefix: str) -> ApiToken:
    found = visible(request).filter(prefix=prefix).first()
    if found is None:
        raise Http404(f"there is no token {prefix[:20]} that you can see")
    return found
