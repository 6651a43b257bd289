"""Members of a tenant, and invitations to become one."""

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actions import members
from tenants.api.documented import documented
from tenants.api.fields import RoleField
from tenants.api.lookups import person_named
from tenants.api.views.base import SECRET, PageQuery, Strict, View
from tenants.models import Invitation, Membership


class MemberOut(serializers.ModelSerializer[Membership]):
    person = serializers.CharField(source="user.username")
    role = RoleField()

    class Meta:
        model = Membership
        fields = ("person", "role", "since", "from_group")


class MemberIn(Strict):
    person = serializers.CharField(max_length=150)
    role = RoleField()


class RoleIn(Strict):
    role = RoleField()


class InvitationOut(serializers.ModelSerializer[Invitation]):
    role = RoleField()
    made_by = serializers.CharField(source="made_by.username", default=None, allow_null=True)
    used_by = serializers.CharField(source="used_by.username", default=None, allow_null=True)

    class Meta:
        model = Invitation
        fields = (
            "id",
            "role",
            "note",
            "made_by",
            "made_at",
            "expires_at",
            "used_by",
            "used_at",
            "revoked_at",
        )


class NewInvitationOut(InvitationOut):
    secret = serializers.CharField(help_text="for POST /invitations/accept; shown this once")

    class Meta(InvitationOut.Meta):
        fields = (*InvitationOut.Meta.fields, "secret")  # type: ignore[assignment]


class InvitationIn(Strict):
    role = RoleField()
    note = serializers.CharField(max_length=200, allow_blank=True, default="")
    days = serializers.IntegerField(min_value=1, max_value=30, default=7)


class AcceptIn(Strict):
    secret = serializers.CharField(max_length=200)


class MemberOfTenantOut(MemberOut):
    tenant = serializers.CharField(source="tenant.slug")

    class Meta(MemberOut.Meta):
        fields = ("tenant", *MemberOut.Meta.fields)  # type: ignore[assignment]


class Members(View):
    @documented("The members of a tenant", query=PageQuery, rows=MemberOut)
    def get(self, request: Request, slug: str) -> Response:
        self.asked(PageQuery)
        rows = Membership.objects.filter(tenant=self.tenant).select_related("user")
        return self.page(rows, MemberOut, ("user__username",))

    @documented("Add a member", body=MemberIn, answer=MemberOut, status=201)
    def post(self, request: Request, slug: str) -> Response:
        given = self.given(MemberIn)
        person = person_named(given["person"])
        made = members.add(self.actor, tenant=self.tenant, user=person, role=given["role"])
        return Response(MemberOut(made).data, status=201)


class Member(View):
    @documented("One member", answer=MemberOut)
    def get(self, request: Request, slug: str, username: str) -> Response:
        return Response(MemberOut(self.membership(username)).data)

    @documented("Another role", body=RoleIn, answer=MemberOut)
    def patch(self, request: Request, slug: str, username: str) -> Response:
        role = self.given(RoleIn)["role"]
        member = members.set_role(self.actor, membership=self.membership(username), role=role)
        return Response(MemberOut(member).data)

    @documented("Remove a member; the last owner stays", answer=None)
    def delete(self, request: Request, slug: str, username: str) -> Response:
        members.remove(self.actor, membership=self.membership(username))
        return Response(status=204)

    def membership(self, username: str) -> Membership:
        rows = Membership.objects.filter(tenant=self.tenant, user__username=username)
        found = rows.select_related("user", "tenant", "tenant__ensemble", "tenant__plan").first()
        if found is None:
            raise Http404(f"{username[:150]} is no member of {self.tenant.slug}")
        return found


class Invitations(View):
    @documented("Invitations to a tenant", query=PageQuery, rows=InvitationOut)
    def get(self, request: Request, slug: str) -> Response:
        self.asked(PageQuery)
        rows = Invitation.objects.filter(tenant=self.tenant).select_related("made_by", "used_by")
        return self.page(rows, InvitationOut, ("-made_at", "-pk"))

    @documented("Invite somebody", body=InvitationIn, answer=NewInvitationOut, status=201)
    def post(self, request: Request, slug: str) -> Response:
        made, secret = members.invite(self.actor, tenant=self.tenant, **self.given(InvitationIn))
        made.secret = secret  # type: ignore[attr-defined]  # for this one answer
        return Response(NewInvitationOut(made).data, status=201, headers={SECRET: "1"})


class InvitationView(View):
    @documented("Revoke an invitation", answer=InvitationOut)
    def delete(self, request: Request, slug: str, number: int) -> Response:
        found = Invitation.objects.filter(tenant=self.tenant, pk=min(number, 2**62)).first()
        if found is None:
            raise Http404(f"{self.tenant.slug} has no invitation {number}")
        revoked = members.revoke_invitation(self.actor, invitation=found)
        return Response(InvitationOut(revoked).data)


class InvitationAccept(View):
    @documented("Become a member by an invitation", body=AcceptIn, answer=MemberOfTenantOut)
    def post(self, request: Request) -> Response:
        member = members.accept(self.actor, secret=self.given(AcceptIn)["secret"])
        return Response(MemberOfTenantOut(member).data)
