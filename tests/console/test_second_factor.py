"""Who must have a second factor gets nowhere without; and what of signing in is written down."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from channels.testing import WebsocketCommunicator
from django.conf import settings as live_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client as Browser

from console import trail
from console.asgi import router
from console.socket import CLOSE_SIGNED_OUT
from tenants.models import AuditEvent
from tests.console.cast import PASSWORD, make_person
from tests.console.test_account import BASE, sign_in, switch_on

JSON = {"accept": "application/json"}


def browser_of(name: str) -> Browser:
    cache.clear()
    make_person(name)
    return sign_in(name)


def rows() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("seq").values_list("verb", "actor", "target"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("required", "name", "held_up"),
    [
        ("nobody", "olga", False),
        ("operators", "olga", True),
        ("operators", "ada", False),
        ("operators", "carol", False),
        ("everybody", "ada", True),
        ("everybody", "carol", True),
    ],
)
def test_who_needs_a_factor_is_led_to_set_it_up(
    required: str, name: str, held_up: bool, settings: Any
) -> None:
    settings.REQUIRE_MFA = required
    browser = browser_of(name)
    page = browser.get("/people", headers=JSON)
    other = browser.get("/people")
    if held_up:
        assert page.status_code == 403
        assert "set it up first" in page.json()["error"]
        assert other["Location"] == f"{BASE}/totp/activate/"
        assert browser.get("/api/v1/tokens").status_code == 403
    else:
        assert "set it up first" not in page.content.decode()


@pytest.mark.django_db
def test_once_it_is_set_up_everything_is_open_and_a_reset_closes_it_again(settings: Any) -> None:
    settings.REQUIRE_MFA = "operators"
    browser = browser_of("olga")
    switch_on(browser)
    assert browser.get("/people").status_code == 200
    assert browser.post(f"{BASE}/totp/deactivate/").status_code == 302, "that page is closed?"
    Authenticator.objects.all().delete()
    assert browser.get("/people").status_code == 302


@pytest.mark.django_db(transaction=True)
async def test_the_websocket_asks_for_it_too(settings: Any) -> None:
    from asgiref.sync import sync_to_async

    settings.REQUIRE_MFA = "operators"
    browser = await sync_to_async(browser_of)("olga")
    key = browser.cookies[live_settings.SESSION_COOKIE_NAME].value
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"origin", b"http://127.0.0.1:8000"),
        (b"cookie", f"{live_settings.SESSION_COOKIE_NAME}={key}".encode()),
    ]
    page = WebsocketCommunicator(router, "/live", headers=headers)
    assert await page.connect() == (False, CLOSE_SIGNED_OUT)


@pytest.mark.django_db
def test_a_sign_in_its_factor_and_its_end_are_rows(
    django_capture_on_commit_callbacks: Any,
) -> None:
    browser = browser_of("olga")
    with django_capture_on_commit_callbacks(execute=True):
        secret_shown = switch_on(browser)
    with django_capture_on_commit_callbacks(execute=True):
        assert browser.post(f"{BASE}/recovery-codes/generate/").status_code == 302
    assert browser.post(f"{BASE}/totp/deactivate/").status_code == 302
    given = {"oldpassword": PASSWORD, "password1": "x" * 14, "password2": "x" * 14}
    browser.post("/account/password/change/", given)
    browser.post("/account/logout/")
    verbs = [verb for verb, _, _ in rows()]
    assert verbs == [
        "person.signed_in",
        "person.sign_in_failed",  # `switch_on` types a wrong password once
        "person.mfa_added",
        "person.mfa_added",
        "person.mfa_codes_renewed",
        "person.mfa_removed",
        "person.mfa_removed",
        "person.password_changed",
        "person.signed_out",
    ]
    texts = str(list(AuditEvent.objects.values_list("detail", flat=True)))
    assert secret_shown not in texts
    assert AuditEvent.objects.order_by("seq").first().address == "127.0.0.1"  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_failure_names_an_account_only_if_there_is_one() -> None:
    cache.clear()
    make_person("olga")
    for name in ("OLGA", "my secret password", "\0", "x" * 5_000):
        Browser().post("/account/login/", {"login": name, "password": "wrong"})
    assert rows()[0] == ("person.sign_in_failed", "", "olga")
    assert {target for _, _, target in rows()[1:]} <= {""}


@pytest.mark.django_db
def test_a_lockout_is_one_row_however_often_somebody_knocks() -> None:
    cache.clear()
    make_person("olga")
    for _ in range(25):
        Browser().post("/account/login/", {"login": "olga", "password": "wrong"})
    details = [row.detail["why"] for row in AuditEvent.objects.order_by("seq")]
    assert details == ["wrong name or password"] * 5 + ["locked out: too many attempts"]
    assert User.objects.get().is_active


@pytest.mark.django_db
def test_rows_of_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(trail, "FAILURES_A_MINUTE_MAX", 3)
    monkeypatch.setattr(trail.time, "time", lambda: 1_000.0)
    for _ in range(10):
        trail.note_failure(None, "", "wrong")
    details = [row.detail["why"] for row in AuditEvent.objects.order_by("seq")]
    assert details == ["wrong", "wrong", "wrong; more in this minute are not written (3 are)"]
