"""Wrong passwords and codes count, whoever they are for; what counts is bounded and goes."""

import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from console import lockouts
from console.lockouts import CODE, PASSWORD, begin, folded, network_of, place_of, sweep
from tenants.models import SignInTries
from tests.console.cast import PASSWORD as RIGHT
from tests.console.cast import make_person
from tests.console.test_account import BASE, code_for, sign_in, switch_on

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def counting_from_nothing(db: None) -> None:
    cache.clear()  # the library's own: requests of an address


def knock(name: str, password: str = "wrong", address: str = "192.0.2.1") -> str:
    """The page, without what differs each time: the token, and what was typed."""
    answer = Browser(REMOTE_ADDR=address).post(
        "/account/login/", {"login": name, "password": password}
    )
    text = answer.content.decode().replace(name, "NAME")
    return re.sub(r'(csrfmiddlewaretoken" value=|csrf-token" content=)"\w+"', "", text)


def is_locked(page: str) -> bool:
    return "Too many failed" in page


def test_an_account_that_does_not_exist_is_locked_as_one_that_does() -> None:
    make_person("carol")
    pages: dict[str, list[str]] = {"carol": [], "nobody": []}
    asked: dict[str, list[int]] = {"carol": [], "nobody": []}
    knock("warm", address="198.51.100.1")
    for name, seen in pages.items():
        for at in range(7):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                seen.append(knock(name, address=f"192.0.2.{at}"))
            asked[name].append(len([q for q in queries if "tenants_signintries" in q["sql"]]))
    assert pages["carol"] == pages["nobody"]
    assert [is_locked(page) for page in pages["carol"]] == [False] * 5 + [True] * 2
    assert asked["carol"] == asked["nobody"], "the lock costs the same"
    assert is_locked(knock("carol", RIGHT)), "the right one, too"


@pytest.mark.parametrize("other", ["CAROL", "cArol", "ｃarol", " carol "])
def test_another_spelling_of_a_name_is_no_further_try(other: str) -> None:
    make_person("carol")
    for at in range(5):
        knock("carol", address=f"192.0.2.{at}")
    assert is_locked(knock(other, RIGHT))


def test_names_that_a_database_may_hold_for_the_same_are_counted_as_one() -> None:
    assert folded("admın") == folded("ADMIN") == folded("admin")
    assert folded("ſam") == folded("sam")
    assert folded("Straße") == folded("STRASSE")
    assert folded("carol") != folded("carole")


def test_an_address_that_tries_many_names_is_locked_and_others_are_not() -> None:
    make_person("carol")
    pages = [knock(f"n{at}") for at in range(12)]
    assert [is_locked(page) for page in pages] == [False] * 10 + [True] * 2
    assert is_locked(knock("carol", RIGHT))
    assert knock("carol", RIGHT, address="192.0.2.2") == "", "led on"


def test_who_has_a_network_of_ipv6_has_one_count() -> None:
    assert network_of("2001:db8:0:1::1") == network_of("2001:db8:0:1:ffff::2") == "2001:db8:0:1::"
    assert network_of("2001:db8:0:2::1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("") == ""


def test_a_right_password_leaves_nothing_and_takes_nothing_else_back() -> None:
    make_person("carol")
    assert knock("carol", RIGHT) == ""
    assert not SignInTries.objects.exists()
    for at in range(4):
        knock("carol", address=f"192.0.2.{at}")
    assert knock("carol", RIGHT) == ""
    knock("carol", address="192.0.2.9")
    assert is_locked(knock("carol", RIGHT)), "who guesses gains nothing by the person signing in"


def test_a_lock_ends_when_the_first_of_the_tries_is_old_enough() -> None:
    def tried(after_s: float, address: str) -> bool:
        return begin(address, PASSWORD, "carol", NOW + after_s) is not None

    assert [tried(at, f"a{at}") for at in range(6)] == [True] * 5 + [False]
    assert not tried(PASSWORD.window_s - 0.1, "a7")
    assert tried(PASSWORD.window_s, "a8")
    assert not tried(PASSWORD.window_s + 0.5, "a9"), "the second one still counts"


def test_a_clock_that_was_wrong_and_is_put_right_locks_nobody_out_for_long() -> None:
    for at in range(5):
        begin(f"a{at}", PASSWORD, "carol", NOW + 86_400)
    assert begin("b", PASSWORD, "carol", NOW) is not None


def test_the_table_is_bounded_whatever_is_typed_and_old_rows_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lockouts, "PLACES", 4)
    for at in range(40):
        begin(f"192.0.2.{at}", PASSWORD, f"name{at}", NOW)
    assert 1 < SignInTries.objects.count() <= 8
    assert max(len(row.times) for row in SignInTries.objects.all()) <= 10
    assert sweep(NOW + 61) <= 4, "of addresses"
    assert {row.place[0] for row in SignInTries.objects.all()} == {"p"}
    sweep(NOW + 301)
    assert not SignInTries.objects.exists()


def test_a_sign_in_sweeps_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockouts, "sweeper", lockouts.Sweeper())
    begin("192.0.2.77", PASSWORD, "old", NOW)
    knock("carol")
    assert not SignInTries.objects.filter(until__lt=NOW + 1_000).exists()
    assert SignInTries.objects.count() == 2
    begin("192.0.2.77", PASSWORD, "old", NOW)
    knock("carol")
    assert SignInTries.objects.filter(until__lt=NOW + 1_000).count() == 2, "not each time"


def test_the_rows_tell_no_names_and_need_the_key(settings: Any) -> None:
    knock("my secret password")
    kept = str(list(SignInTries.objects.values_list("place", "times")))
    assert "secret" not in kept
    assert "192.0.2" not in kept
    before = [place_of(PASSWORD, name) for name in ("a", "b", "c")]
    settings.SECRET_KEY = "another"
    assert [place_of(PASSWORD, name) for name in ("a", "b", "c")] != before


def test_wrong_codes_of_a_second_factor_are_counted_and_a_right_one_taken_back() -> None:
    make_person("carol")
    secret = switch_on(sign_in("carol"))
    SignInTries.objects.all().delete()  # `switch_on` types a wrong password once

    def second_step(code: str, address: str) -> str:
        browser = Browser(REMOTE_ADDR=address)
        browser.post("/account/login/", {"login": "carol", "password": RIGHT})
        return browser.post(f"{BASE}/authenticate/", {"code": code}).content.decode()

    for at in range(4):
        assert "Incorrect code" in second_step("000000", f"192.0.2.{at}")
    assert second_step(code_for(secret), "192.0.2.8") == ""
    assert "Incorrect code" in second_step("000000", "192.0.2.5")
    assert is_locked(second_step("000000", "192.0.2.6"))
    assert SignInTries.objects.get(place__startswith=CODE.kind).times != []


def test_a_session_that_was_left_open_is_no_way_to_guess_its_password() -> None:
    make_person("carol")
    browser = sign_in("carol")
    given = {"oldpassword": "wrong", "password1": "x" * 14, "password2": "x" * 14}
    for at in range(5):
        cache.clear()
        page = browser.post("/account/password/change/", given, REMOTE_ADDR=f"192.0.2.{at}")
        assert b"type your current password" in page.content
    cache.clear()
    page = browser.post("/account/password/change/", {**given, "oldpassword": RIGHT})
    assert b"Too many failed" in page.content
    assert is_locked(knock("carol", RIGHT, address="192.0.2.9")), "it is one count"


@pytest.mark.parametrize("path", ["/account/login/", "/account/reauthenticate/"])
def test_what_cannot_be_counted_is_not_looked_at(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_person("carol")
    browser = sign_in("carol") if "re" in path else Browser()

    def locked(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(QuerySet, "bulk_create", locked)
    answer = browser.post(path, {"login": "carol", "password": RIGHT})
    assert answer.status_code == 503
    assert answer["Retry-After"] == "30"
    assert b"Nobody can sign in now" in answer.content
    assert b"try again in half a minute" in answer.content
    assert b"locked" not in answer.content
    assert "could not be counted: database is locked" in caplog.text
    if "re" not in path:
        assert browser.get(f"{BASE}/").status_code == 302
