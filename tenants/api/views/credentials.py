"""Credentials of a tenant. A secret is in one answer, and never again."""

from datetime import timedelta
from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actions import credentials
from tenants.actions.credentials import NewSecret
from tenants.api.documented import documented
from tenants.api.views.base import SECRET, PageQuery, Strict, View
from tenants.models import Credential, CredentialRole, CredentialSecret

OVERLAP_S_MAX = 30 * 86_400


class SecretOut(serializers.ModelSerializer[CredentialSecret]):
    class Meta:
        model = CredentialSecret
        fields = ("made_at", "until")


class CredentialOut(serializers.ModelSerializer[Credential]):
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    subjects = serializers.ListField(child=serializers.CharField())
    secrets = SecretOut(many=True, help_text="when they were made, and until when they are valid")

    class Meta:
        model = Credential
        fields = (
            "name",
            "role",
            "subjects",
            "sasl",
            "created_at",
            "created_by",
            "revoked_at",
            "secrets",
        )


class NewSecretOut(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    name = serializers.CharField()
    secret = serializers.CharField(help_text="shown this once")
    auth = serializers.CharField(help_text='for add_auth("tenant", ...): slug:secret')
    sasl_user = serializers.CharField(help_text="for SASL DIGEST-MD5")
    connect = serializers.CharField(help_text="the connect string")


class CredentialIn(Strict):
    name = serializers.CharField(max_length=63, help_text="a-z 0-9 - _ .")
    role = serializers.ChoiceField(choices=CredentialRole.values)
    subjects = serializers.ListField(
        child=serializers.CharField(max_length=1_000), max_length=100, default=list
    )
    sasl = serializers.BooleanField(default=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class RotateIn(Strict):
    overlap_s = serializers.IntegerField(
        min_value=0, max_value=OVERLAP_S_MAX, default=0, help_text="so long the old one is valid"
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class SubjectsIn(Strict):
    subjects = serializers.ListField(child=serializers.CharField(max_length=1_000), max_length=100)


class CredentialsQuery(PageQuery):
    revoked = serializers.BooleanField(default=False, help_text="those that were revoked, too")


class OfCredentials(View):
    """Those of role admin are an owner's matter."""

    def check_role(self, role: str) -> None:
        if role == CredentialRole.ADMIN:
            self.need("credential.admin")

    def credential(self, name: str) -> Credential:
        """The one of this name that is valid, for whoever may change it."""
        rows = Credential.objects.filter(tenant=self.tenant, name=name, revoked_at=None)
        found = rows.select_related("tenant", "tenant__ensemble", "tenant__plan").first()
        if found is None:
            raise Http404(f"{self.tenant.slug} has no credential {name[:63]}")
        return found

    def changeable(self, name: str) -> Credential:
        found = self.credential(name)
        self.check_role(found.role)
        return found

    def once(self, made: NewSecret, status: int) -> Response:
        shown = {
            "tenant": made.slug,
            "name": made.name,
            "secret": made.secret,
            "auth": made.token,
            "sasl_user": f"{made.name}@{made.slug}",
            "connect": self.tenant.ensemble.hosts,
        }
        return Response(NewSecretOut(shown).data, status=status, headers={SECRET: "1"})


class Credentials(OfCredentials):
    @documented("The credentials of a tenant", query=CredentialsQuery, rows=CredentialOut)
    def get(self, request: Request, slug: str) -> Response:
        rows = Credential.objects.filter(tenant=self.tenant)
        if not self.asked(CredentialsQuery)["revoked"]:
            rows = rows.filter(revoked_at=None)
        rows = rows.select_related("created_by").prefetch_related("secrets")
        return self.page(rows, CredentialOut, ("name", "pk"))

    @documented("Make a credential", body=CredentialIn, answer=NewSecretOut, status=201)
    def post(self, request: Request, slug: str) -> Response:
        given = self.given(CredentialIn)
        self.check_role(given["role"])
        return self.once(credentials.create(self.actor, tenant=self.tenant, **given), 201)


class CredentialView(OfCredentials):
    @documented("One credential", answer=CredentialOut)
    def get(self, request: Request, slug: str, name: str) -> Response:
        return Response(CredentialOut(self.credential(name)).data)

    @documented("Revoke a credential, at once", answer=CredentialOut)
    def delete(self, request: Request, slug: str, name: str) -> Response:
        revoked = credentials.revoke(self.actor, credential=self.changeable(name))
        return Response(CredentialOut(revoked).data)


class CredentialRotate(OfCredentials):
    @documented(
        "A further secret; those before end after the overlap", body=RotateIn, answer=NewSecretOut
    )
    def post(self, request: Request, slug: str, name: str) -> Response:
        given = self.given(RotateIn)
        made = credentials.rotate(
            self.actor,
            credential=self.changeable(name),
            overlap=timedelta(seconds=given["overlap_s"]),
            expires_at=given["expires_at"],
        )
        return self.once(made, 200)


class CredentialSubjects(OfCredentials):
    @documented(
        "The TLS client certificates that are this credential",
        body=SubjectsIn,
        answer=CredentialOut,
    )
    def put(self, request: Request, slug: str, name: str) -> Response:
        subjects = self.given(SubjectsIn)["subjects"]
        changed = credentials.set_subjects(
            self.actor, credential=self.changeable(name), subjects=subjects
        )
        return Response(CredentialOut(changed).data)
