"""How long a sign-in holds, and what settings an installation behind TLS runs with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client as Browser

from console import env
from console.sessions import ACTIVE, BEGAN
from tests.harness import ROOT


def session_of(browser: Browser) -> SessionStore:
    return SessionStore(browser.cookies[settings.SESSION_COOKIE_NAME].value)


def move_back(browser: Browser, name: str, seconds: float) -> None:
    session = session_of(browser)
    session[name] -= seconds
    session.save()


@pytest.mark.parametrize(
    ("name", "allowed_s"), [(ACTIVE, settings.SESSION_IDLE_S), (BEGAN, settings.SESSION_COOKIE_AGE)]
)
def test_a_sign_in_ends_after_idling_and_after_a_day_of_work(
    name: str, allowed_s: float, auditor: Browser
) -> None:
    ask = {"headers": {"accept": "application/json"}}
    assert auditor.get("/account/password/change/").status_code == 200
    move_back(auditor, name, allowed_s - 5)
    assert auditor.get("/account/password/change/").status_code == 200
    move_back(auditor, name, allowed_s + 5)
    assert auditor.get("/znodes/data", **ask).status_code == 401


def test_what_a_page_does_by_itself_keeps_nobody_signed_in(auditor: Browser) -> None:
    auditor.get("/account/password/change/")
    move_back(auditor, ACTIVE, 600)
    before = session_of(auditor)[ACTIVE]
    auditor.get("/account/password/change/", headers={"x-background": "1"})
    assert session_of(auditor)[ACTIVE] == before
    auditor.get("/account/password/change/")
    assert session_of(auditor)[ACTIVE] > before + 500


def settings_with(var: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    names = "TLS", "SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "SESSION_IDLE_S"
    names += ("CONTENT_SECURITY_POLICY",)
    script = f"""
import json, django
django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("check", deploy=True, fail_level="WARNING")
print(json.dumps([getattr(settings, name) for name in {names!r}]))
"""
    keep = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "console.settings"}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**keep, "ENSEMBLE_VAR": str(var), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_djangos_own_check_of_a_deployment_finds_nothing(tmp_path: Path) -> None:
    done = settings_with(tmp_path, ENSEMBLE_CONSOLE_TLS="1", ENSEMBLE_CONSOLE_IDLE_MINUTES="5")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[:4] == [True, "__Host-ensemble_session", True, 300]
    assert found[4]["DIRECTIVES"]["form-action"] == ["'self'"]
    key = tmp_path / "console.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_text()) > 50


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENSEMBLE_CONSOLE_TLS", "maybe", "ENSEMBLE_CONSOLE_TLS is 'maybe'; use 1 or 0"),
        ("ENSEMBLE_CONSOLE_IDLE_MINUTES", "0", "is '0'; use a number between 1 and 720"),
        ("ENSEMBLE_CONSOLE_IDLE_MINUTES", "soon", "is 'soon'; use a number"),
        ("ENSEMBLE_REQUIRE_MFA", "all", "is 'all'; use nobody, operators, everybody"),
        ("ENSEMBLE_OIDC_ISSUER", "http://id.example.org", "use an https address"),
        ("ENSEMBLE_OIDC_ISSUER", "https://id.example.org", "ENSEMBLE_OIDC_CLIENT_ID is not set"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, words: str, tmp_path: Path) -> None:
    done = settings_with(tmp_path, **{name: value})
    assert done.returncode != 0
    assert words in done.stderr


def test_single_sign_on_is_read_from_the_environment_and_its_mistakes_are_named(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    given = {
        "ENSEMBLE_OIDC_ISSUER": "https://id.example.org/",
        "ENSEMBLE_OIDC_CLIENT_ID": "ensemble",
        "ENSEMBLE_OIDC_CLIENT_SECRET_FILE": str(secret),
        "ENSEMBLE_OIDC_GROUPS": "sre=operator",
        "ENSEMBLE_CONSOLE_TLS": "1",
    }
    for text, words in ((None, "No such file"), ("", "is empty")):
        if text is not None:
            secret.write_text(text)
        assert words in settings_with(tmp_path, **given).stderr
    secret.write_text("s")
    for name, value, words in (
        ("ENSEMBLE_OIDC_CREATE", "all", "use nobody, mapped, everybody"),
        ("ENSEMBLE_OIDC_GROUPS", "sre=king", "ENSEMBLE_OIDC_GROUPS: 'king' means nothing"),
        ("ENSEMBLE_OIDC_GROUPS_FILE", "none", "ENSEMBLE_OIDC_GROUPS_FILE: "),
    ):
        assert words in settings_with(tmp_path, **{**given, name: value}).stderr
    done = settings_with(tmp_path, **given)
    assert done.returncode == 0, done.stderr
    policy = json.loads(done.stdout.splitlines()[-1])[4]["DIRECTIVES"]
    leads_to = policy.pop("form-action")
    assert leads_to == ["'self'", "https://id.example.org"], "or the browser stops the sign-on"
    assert "id.example.org" not in str(policy)


def test_the_key_is_made_once(tmp_path: Path) -> None:
    assert env.kept_secret(tmp_path / "key") == env.kept_secret(tmp_path / "key")
