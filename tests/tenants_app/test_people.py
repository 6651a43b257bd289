"""Accounts of people: who makes, changes and ends them, and what is written down of it."""

import json
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone

from tenants.access import Standing, standing_of
from tenants.actions import people
from tenants.audit import Actor, verify
from tenants.errors import ActionError, ConflictError, InvalidError
from tenants.models import ApiToken, AuditEvent, MemberRole

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga() -> User:
    return User.objects.create_user("olga", password="x", is_staff=True)


@pytest.fixture
def actor(olga: User) -> Actor:
    return Actor(olga, "form", "192.0.2.7")


def last_row() -> tuple[str, str, str, dict[str, object]]:
    row = AuditEvent.objects.first()
    assert row is not None
    return row.actor, row.verb, row.target, row.detail


def test_a_new_person_signs_in_with_the_password_that_was_given(actor: Actor) -> None:
    user, password = people.create(actor, username="dan", email="dan@example.org")
    assert authenticate(username="dan", password=password) == user
    assert standing_of(user) is Standing.PERSON
    detail = {"operator": False, "auditor": False, "sso": False}
    assert last_row() == ("olga", "person.created", "dan", detail)
    assert password not in json.dumps(list(AuditEvent.objects.values_list("detail", flat=True)))
    assert not list(verify())


@pytest.mark.parametrize(
    ("wanted", "standing"),
    [({"operator": True}, Standing.OPERATOR), ({"auditor": True}, Standing.AUDITOR)],
)
def test_a_standing_is_given_and_taken(
    wanted: dict[str, Any], standing: Standing, actor: Actor
) -> None:
    user, _ = people.create(actor, username="dan", **wanted)
    assert standing_of(user) is standing
    user = people.change(actor, user=user, **dict.fromkeys(wanted, False))
    assert standing_of(user) is Standing.PERSON
    assert last_row()[1:] == ("person.changed", "dan", dict.fromkeys(wanted, False))


def test_a_change_that_changes_nothing_leaves_no_row(actor: Actor) -> None:
    user, _ = people.create(actor, username="dan")
    before = AuditEvent.objects.count()
    people.change(actor, user=user, email="", operator=False, auditor=False)
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"username": ""}, InvalidError, "username ''"),
        ({"username": "a b"}, InvalidError, "username 'a b': Enter a valid username"),
        ({"username": "x" * 151}, InvalidError, "at most 150 characters"),
        ({"username": "Olga"}, ConflictError, "there is an account 'Olga' already"),
        ({"username": "dan", "email": "@"}, InvalidError, "email '@'"),
        ({"username": "dan", "single_sign_on": True}, InvalidError, "give one"),
        (
            {"username": "dan", "single_sign_on": True, "email": "OLGA@example.org"},
            ConflictError,
            "could not tell them apart",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_value(
    values: dict[str, Any], error: type[ActionError], words: str, actor: Actor, olga: User
) -> None:
    User.objects.update(email="olga@example.org")
    with pytest.raises(error) as refused:
        people.create(actor, **values)
    assert words in str(refused.value)
    assert User.objects.count() == 1
    assert not AuditEvent.objects.exists()


def test_the_last_operator_stays(actor: Actor, olga: User) -> None:
    User.objects.create_user("omar", is_staff=True, is_active=False)
    with pytest.raises(ConflictError, match="the last operator"):
        people.deactivate(actor, user=olga)
    with pytest.raises(ConflictError, match="make another one first"):
        people.change(actor, user=olga, operator=False)
    people.create(actor, username="otto", operator=True)
    people.change(actor, user=olga, operator=False)
    olga.refresh_from_db()
    assert not olga.is_staff


def test_who_is_switched_off_is_out_for_good_even_when_switched_on_again(actor: Actor) -> None:
    dan, password = people.create(actor, username="dan")
    token = ApiToken.objects.create(
        user=dan, name="t", role=MemberRole.VIEWER, prefix="p", expires_at=timezone.now()
    )
    browser = Browser()
    browser.force_login(dan)
    people.deactivate(actor, user=dan)
    assert last_row()[1:] == ("person.deactivated", "dan", {"tokens": 1})
    assert browser.get("/account/two-factor/").status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None
    with pytest.raises(ConflictError, match="switched off"):
        people.set_password(actor, user=dan)
    given = people.activate(actor, user=dan)
    assert browser.get("/account/two-factor/").status_code == 302, "an old session does not revive"
    assert authenticate(username="dan", password=password) is None
    assert authenticate(username="dan", password=given) == dan
    assert people.activate(actor, user=dan) == "", "nothing to do"


def test_a_lost_second_factor_is_reset(actor: Actor) -> None:
    dan, _ = people.create(actor, username="dan")
    Authenticator.objects.create(user=dan, type=Authenticator.Type.TOTP, data={})
    assert people.reset_mfa(actor, user=dan) == 1
    assert last_row()[1:] == ("person.mfa_reset", "dan", {"authenticators": 1})


def command(*words: str) -> Any:
    out = StringIO()
    call_command("person", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_does_all_of_it() -> None:
    made = command("add", "ada", "--auditor", "--email", "ada@example.org")
    assert authenticate(username="ada", password=made["password"]) is not None
    assert command("add", "sam", "--single-sign-on", "--email", "s@example.org") == {
        "name": "sam",
        "password": None,
    }
    command("change", "ada", "--operator", "yes", "--auditor", "no")
    command("add", "olga", "--operator")
    command("deactivate", "ada")
    listed = {row["name"]: (row["operator"], row["active"]) for row in command("list")}
    assert listed == {"ada": (True, False), "olga": (True, True), "sam": (False, True)}
    assert command("activate", "ada")["password"]
    assert command("password", "ada")["password"]
    assert command("reset-mfa", "ada") == {"name": "ada", "authenticators": 0}
    assert set(AuditEvent.objects.values_list("via", flat=True)) == {"command"}
    out = StringIO()
    call_command("person", "list", stdout=out)
    assert out.getvalue().splitlines()[0] == f"{'ada':<24} {'operator':<12} ada@example.org"


def test_the_command_says_what_is_wrong() -> None:
    with pytest.raises(CommandError, match="there is no account 'nobody'"):
        command("deactivate", "nobody")
    with pytest.raises(CommandError, match="username 'a b'"):
        command("add", "a b")
