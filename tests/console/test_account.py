"""Two-factor sign-in and passwords, from the first page to the last."""

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.totp.internal.auth import yield_hotp_counters_from_time as counters
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client as Browser

from tests.console.conftest import PASSWORD

BASE = "/account/two-factor"


def code_for(secret: str) -> str:
    """Of the middle one of the steps that are taken: the next step may begin before it is sent."""
    taken = sorted(counters())
    return format_hotp_value(hotp_value(secret, taken[len(taken) // 2]))


def sign_in(name: str) -> Browser:
    browser = Browser()
    browser.post("/account/login/", {"login": name, "password": PASSWORD})
    return browser


@pytest.fixture
def person(db: None) -> Browser:
    cache.clear()  # it counts requests to sign in, those of other tests, too
    User.objects.create_user("victor", password=PASSWORD)
    return sign_in("victor")


def prove(browser: Browser, wanted: str) -> None:
    """Type the password once more, as one has to before the account can be changed."""
    asked = browser.get(wanted)
    assert asked["Location"].startswith("/account/reauthenticate/?next=")
    assert b"Is it you?" in browser.get(asked["Location"]).content
    wrong = browser.post(asked["Location"], {"password": "wrong"})
    assert (wrong.status_code, b"Is it you?" in wrong.content) == (200, True)
    done = browser.post(asked["Location"], {"password": PASSWORD, "next": wanted})
    assert done["Location"] == wanted


def switch_on(browser: Browser) -> str:
    """The secret."""
    prove(browser, f"{BASE}/totp/activate/")
    page = browser.get(f"{BASE}/totp/activate/")
    assert page.status_code == 200
    secret = re.search(r"<code>(\w+)</code>", page.content.decode())
    assert secret is not None
    done = browser.post(f"{BASE}/totp/activate/", {"code": code_for(secret.group(1))})
    assert done["Location"] == f"{BASE}/recovery-codes/"
    return secret.group(1)


def test_a_second_factor_is_asked_for_from_then_on(person: Browser) -> None:
    assert b"Switch on" in person.get(f"{BASE}/").content
    secret = switch_on(person)
    assert b"Switch off" in person.get(f"{BASE}/").content
    other = sign_in("victor")
    assert other.get("/znodes/at/")["Location"].startswith("/account/login/"), "half is not in"
    assert b"One more step" in other.get(f"{BASE}/authenticate/").content
    wrong = other.post(f"{BASE}/authenticate/", {"code": "000000"})
    assert b"Incorrect code" in wrong.content
    code = code_for(secret)
    done = other.post(f"{BASE}/authenticate/", {"code": code})
    assert (done.status_code, done["Location"]) == (302, "/")
    assert other.get(f"{BASE}/").status_code == 200
    thief = sign_in("victor")
    assert thief.post(f"{BASE}/authenticate/", {"code": code}).status_code == 200, "used up"


def test_a_recovery_code_signs_in_once(person: Browser) -> None:
    switch_on(person)
    page = person.get(f"{BASE}/recovery-codes/").content.decode()
    codes = re.findall(r"<li><code>(\w+)</code>", page)
    assert len(codes) == 10
    for status in (302, 200):
        other = sign_in("victor")
        assert other.post(f"{BASE}/authenticate/", {"code": codes[0]}).status_code == status


def test_the_secret_is_not_in_the_database(person: Browser) -> None:
    secret = switch_on(person)
    kept = [str(row) for row in Authenticator.objects.values_list("data", flat=True)]
    assert len(kept) == 2
    assert not [row for row in kept if secret in row]


def test_switching_off_asks_who_it_is(person: Browser) -> None:
    switch_on(person)
    session = person.session
    for method in session["account_authentication_methods"]:
        method["at"] = 0
    session.save()
    asked = person.post(f"{BASE}/totp/deactivate/")
    assert asked["Location"].startswith("/account/reauthenticate/")
    assert b"Is it you?" in person.get(f"{BASE}/reauthenticate/").content
    assert Authenticator.objects.exists()
    given = {"password": PASSWORD, "next": f"{BASE}/totp/deactivate/"}
    assert person.post(asked["Location"], given).status_code == 302
    assert not Authenticator.objects.exists()


def test_a_new_password_signs_out_everywhere_else(person: Browser) -> None:
    other = sign_in("victor")
    assert other.get(f"{BASE}/").status_code == 200
    given = {"oldpassword": PASSWORD, "password1": "short", "password2": "short"}
    refused = person.post("/account/password/change/", given)
    assert b"at least 12 characters" in refused.content
    given |= {"password1": "correct horse battery staple"} | {
        "password2": "correct horse battery staple"
    }
    assert person.post("/account/password/change/", given).status_code == 302
    assert person.get(f"{BASE}/").status_code == 200
    assert other.get(f"{BASE}/").status_code == 302


def test_pages_of_the_account_have_the_look_and_policy_of_the_console(person: Browser) -> None:
    prove(person, f"{BASE}/totp/activate/")
    for path in (f"{BASE}/", f"{BASE}/totp/activate/", "/account/password/change/"):
        page = person.get(path)
        assert b"console/base.css" in page.content, path
        assert b"<script>" not in page.content, path
        assert b"style=" not in page.content, path
        assert "default-src 'none'" in page["Content-Security-Policy"], path
    secret = re.search(r"<code>(\w+)</code>", person.get(f"{BASE}/totp/activate/").content.decode())
    assert secret is not None
    person.post(f"{BASE}/totp/activate/", {"code": code_for(secret.group(1))})
    for path in (f"{BASE}/recovery-codes/", f"{BASE}/recovery-codes/generate/"):
        assert b"console/base.css" in person.get(path).content, path
