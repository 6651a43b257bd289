"""Who the caller is, and what it may do."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import access
from tenants.access import PLANE
from tenants.api.documented import documented
from tenants.api.fields import RoleField
from tenants.api.views.base import View
from tenants.models import ApiToken, Membership, Tenant

MEMBERSHIPS_MAX: Final = 1_000


class MemberOfOut(serializers.ModelSerializer[Membership]):
    tenant = serializers.CharField(source="tenant.slug")
    role = RoleField()

    class Meta:
        model = Membership
        fields = ("tenant", "role", "since")


class MeOut(serializers.Serializer[Any]):
    username = serializers.CharField()
    email = serializers.CharField()
    standing = serializers.ChoiceField(choices=["person", "auditor", "operator"])
    token = serializers.CharField(allow_null=True, help_text="prefix of the token that was sent")
    rights = serializers.ListField(child=serializers.CharField(), help_text="on the whole plane")
    memberships = MemberOfOut(
        many=True, help_text=f"by name, the first {MEMBERSHIPS_MAX}; /tenants?mine=true has all"
    )


class Me(View):
    @documented("Who you are and what you may do", answer=MeOut)
    def get(self, request: Request) -> Response:
        standing = access.standing_of(request.user)
        mine = Membership.objects.filter(user=self.user).select_related("tenant")
        mine = mine.filter(tenant__in=access.visible_to(request.user)).order_by("tenant__slug")
        mine = mine.exclude(tenant__lifecycle=Tenant.Lifecycle.GONE)
        bounds = access.bounds_of(request.user)
        shown = list(mine[:MEMBERSHIPS_MAX])
        for membership in shown:
            if bounds is not None:
                membership.role = min(membership.role, bounds.role)
        token = request.auth.prefix if isinstance(request.auth, ApiToken) else None
        return Response(
            MeOut(
                {
                    "username": request.user.get_username(),
                    "email": getattr(request.user, "email", ""),
                    "standing": standing.name.lower(),
                    "token": token,
                    "rights": [right for right in PLANE if self.may(right)],
                    "memberships": shown,
                }
            ).data
        )
