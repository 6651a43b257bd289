"""Accounts: read by auditors, changed by operators. Passwords are shown once."""

from typing import Any

from django.contrib.auth.models import User
from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access import AUDITORS
from tenants.actions import people
from tenants.api.documented import documented
from tenants.api.views.base import SECRET, PageQuery, Strict, View
from tenants.api.views.tenants import NothingIn


class PersonOut(serializers.ModelSerializer[User]):
    operator = serializers.BooleanField(source="is_staff")
    auditor = serializers.SerializerMethodField()
    active = serializers.BooleanField(source="is_active")

    class Meta:
        model = User
        fields = ("username", "email", "operator", "auditor", "active", "date_joined", "last_login")

    def get_auditor(self, user: User) -> bool:
        return any(group.name == AUDITORS for group in user.groups.all())


class NewPersonOut(PersonOut):
    password = serializers.CharField(help_text="shown this once; empty with single sign-on")

    class Meta(PersonOut.Meta):
        fields = (*PersonOut.Meta.fields, "password")  # type: ignore[assignment]


class PersonChangeIn(Strict):
    email = serializers.EmailField(max_length=254, allow_blank=True, required=False)
    operator = serializers.BooleanField(required=False)
    auditor = serializers.BooleanField(required=False)


class PersonIn(PersonChangeIn):
    username = serializers.CharField(max_length=150)
    single_sign_on = serializers.BooleanField(default=False)


class PasswordOut(serializers.Serializer[Any]):
    username = serializers.CharField()
    password = serializers.CharField(help_text="shown this once")


class PeopleQuery(PageQuery):
    q = serializers.CharField(required=False, max_length=150, help_text="within name or email")
    active = serializers.BooleanField(required=False)
    operator = serializers.BooleanField(required=False)


def person_for(username: str) -> User:
    found = User.objects.prefetch_related("groups").filter(username=username).first()
    if found is None:
        raise Http404(f"there is nobody called {username[:150]}")
    return found


class People(View):
    @documented("The accounts", query=PeopleQuery, rows=PersonOut)
    def get(self, request: Request) -> Response:
        from django.db.models import Q

        asked = self.asked(PeopleQuery)
        found = User.objects.prefetch_related("groups")
        if "q" in asked:
            found = found.filter(Q(username__icontains=asked["q"]) | Q(email__icontains=asked["q"]))
        if "active" in asked:
            found = found.filter(is_active=asked["active"])
        if "operator" in asked:
            found = found.filter(is_staff=asked["operator"])
        return self.page(found, PersonOut, "username")

    @documented("Make an account", body=PersonIn, answer=NewPersonOut, status=201)
    def post(self, request: Request) -> Response:
        user, password = people.create(self.actor, **self.given(PersonIn))
        user.password = password  # for this one answer; it is not saved
        return Response(NewPersonOut(user).data, status=201, headers={SECRET: "1"})


class Person(View):
    @documented("One account", answer=PersonOut)
    def get(self, request: Request, username: str) -> Response:
        return Response(PersonOut(person_for(username)).data)

    @documented("Another address, other rights", body=PersonChangeIn, answer=PersonOut)
    def patch(self, request: Request, username: str) -> Response:
        people.change(self.actor, user=person_for(username), **self.given(PersonChangeIn))
        return Response(PersonOut(person_for(username)).data)


class PersonPassword(View):
    @documented("A new password", body=NothingIn, answer=PasswordOut)
    def post(self, request: Request, username: str) -> Response:
        self.given(NothingIn)
        password = people.set_password(self.actor, user=person_for(username))
        shown = {"username": username, "password": password}
        return Response(PasswordOut(shown).data, headers={SECRET: "1"})


class PersonActivate(View):
    @documented(
        "Switch an account on again; with a new password", body=NothingIn, answer=PasswordOut
    )
    def post(self, request: Request, username: str) -> Response:
        self.given(NothingIn)
        password = people.activate(self.actor, user=person_for(username))
        shown = {"username": username, "password": password}
        return Response(PasswordOut(shown).data, headers={SECRET: "1"})


class PersonDeactivate(View):
    @documented("Switch an account off, with all its tokens", body=NothingIn, answer=PersonOut)
    def post(self, request: Request, username: str) -> Response:
        self.given(NothingIn)
        people.deactivate(self.actor, user=person_for(username))
        return Response(PersonOut(person_for(username)).data)


class PersonMfaReset(View):
    @documented("Forget somebody's second factors", body=NothingIn, answer=PersonOut)
    def post(self, request: Request, username: str) -> Response:
        self.given(NothingIn)
        people.reset_mfa(self.actor, user=person_for(username))
        return Response(PersonOut(person_for(username)).data)
