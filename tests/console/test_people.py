"""The pages of people: what operators do there, and what auditors see."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import Client as Browser

HOSTILE = '<script>alert(1)</script>"@example.org'


def test_a_person_is_made_and_the_password_shown_once(operator: Browser) -> None:
    assert operator.get("/people/new").status_code == 200
    answer = operator.post("/people/new", {"username": "dan", "standing": "auditor"})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    password = re.search(r'id="secret">([\w-]{20})<', answer.content.decode())
    assert password is not None
    dan = authenticate(username="dan", password=password[1])
    assert isinstance(dan, User)
    page = operator.get(f"/people/{dan.pk}").content.decode()
    assert password[1] not in page
    assert '<span class="pill">auditor</span>' in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"username": "olga", "standing": "person"}, "there is an account"),
        ({"username": "a b", "standing": "person"}, "Enter a valid username"),
        ({"username": "dan", "standing": "king"}, "king is not one of the available choices"),
        ({"username": "dan", "standing": "person", "email": "x"}, "valid email"),
        ({"username": "", "standing": "person"}, "This field is required"),
        ({"username": "dan", "standing": "person", "single_sign_on": "on"}, "give one"),
    ],
)
def test_what_cannot_be_is_said_at_its_field_and_nothing_typed_is_lost(
    values: dict[str, str], words: str, operator: Browser
) -> None:
    answer = operator.post("/people/new", values)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert f'value="{values["username"]}"' in answer.content.decode() or not values["username"]
    assert User.objects.count() == 1


def test_a_person_is_changed_switched_off_and_on(operator: Browser) -> None:
    dan = User.objects.create_user("dan", password="x")
    here = f"/people/{dan.pk}"
    values = {"email": "dan@example.org", "operator": "on"}
    assert operator.post(f"{here}/change", values)["Location"] == here
    dan.refresh_from_db()
    assert (dan.email, dan.is_staff) == ("dan@example.org", True)
    Authenticator.objects.create(user=dan, type=Authenticator.Type.TOTP, data={})
    assert "TOTP" in operator.get(here).content.decode()
    assert operator.post(f"{here}/reset-mfa")["Location"] == here
    assert not Authenticator.objects.exists()
    assert b'id="secret"' in operator.post(f"{here}/password").content
    assert operator.post(f"{here}/deactivate")["Location"] == here
    assert "switched off" in operator.get(here).content.decode()
    refused = operator.post(f"{here}/password")
    assert (refused.status_code, b"switch it on first" in refused.content) == (409, True)
    assert b'id="secret"' in operator.post(f"{here}/activate").content


def test_the_last_operator_cannot_go(operator: Browser) -> None:
    olga = User.objects.get()
    for answer in (
        operator.post(f"/people/{olga.pk}/deactivate"),
        operator.post(f"/people/{olga.pk}/change", {"email": ""}),
    ):
        assert answer.status_code in (409, 422)
        assert "the last operator" in answer.content.decode()


def test_an_auditor_looks_and_is_offered_nothing(auditor: Browser) -> None:
    ada = User.objects.get()
    page = auditor.get("/people").content.decode()
    assert "New person" not in page
    page = auditor.get(f"/people/{ada.pk}").content.decode()
    assert "<button" not in page.split("<main")[1].split("</main>")[0]


def test_the_list_is_paged_and_searched_and_costs_few_queries(
    operator: Browser, django_assert_max_num_queries: object
) -> None:
    User.objects.bulk_create(
        [User(username=f"p{n:03}", email=f"{n}@example.org") for n in range(250)]
    )
    User.objects.create_user("mallory", email=HOSTILE)
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        page = operator.get("/people?page=2").content.decode()
    assert "252 people" in page
    assert "p150" in page
    assert "p050" not in page
    found = operator.get("/people?q=mall").content.decode()
    assert "1 person" in found
    assert "<script>alert" not in found
    assert "Nobody is called like that" in operator.get("/people?q=%00zz9").content.decode()
    assert operator.get("/people?page=zzz").status_code == 200
    assert operator.get("/people/999999").status_code == 404
