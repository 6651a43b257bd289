"""Single sign-on in a real browser, with the console's own policy and cookies."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console.oidc import CLIENT, SECRET, Provider
from tests.console.runs import Run
from tests.needs import need
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(300)
NAME = "Example ID"
WITHIN_S = 60.0


@pytest.fixture
def port() -> int:
    """Where the provider will be. To a browser it is another site than the console's."""
    return free_port()


@pytest.fixture
def run(tmp_path: Path, port: int) -> Iterator[Run]:
    need("chromium")
    secret = tmp_path / "client.secret"
    secret.write_text(SECRET)
    environment = {
        "ENSEMBLE_OIDC_ISSUER": f"http://localhost:{port}",
        "ENSEMBLE_OIDC_CLIENT_ID": CLIENT,
        "ENSEMBLE_OIDC_CLIENT_SECRET_FILE": str(secret),
        "ENSEMBLE_OIDC_NAME": NAME,
        "ENSEMBLE_OIDC_CREATE": "mapped",
        "ENSEMBLE_OIDC_GROUPS": "sre=operator; audit=auditor",
    }
    run = Run(tmp_path, environment)
    run.start("--zookeeper", "127.0.0.1:1").wait_open()
    yield run
    run.kill()
    assert "Traceback" not in run.log.read_text(), run.log.read_text()[-4_000:]


@pytest.fixture
def page(chromium: "Browser") -> "Iterator[Page]":
    """Nobody's. What the policy forbids, or a script that fails, fails the test."""
    context = chromium.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type == "error" and "the server responded with a status" not in message.text
            else None
        ),
    )
    yield page
    context.close()
    assert problems == []


def press(page: "Page", run: Run) -> None:
    page.goto(f"{run.url}/account/login/?next=/people")
    page.click(f"text=Sign in by {NAME}")
    page.wait_for_load_state()


def test_the_whole_walk_with_a_provider_that_is_down_refuses_and_agrees(
    page: "Page", run: Run, port: int
) -> None:
    press(page, run)
    said = page.inner_text("main")
    assert f"{NAME} does not answer: there is no connection to http://localhost:{port}." in said
    assert "Try again soon, or sign in with a password." in said
    provider = Provider("localhost", port)
    try:
        provider.person = {"sub": "u-1", "preferred_username": "erin", "groups": ["sre"]}
        begun = time.monotonic()
        while not page.url.startswith(provider.issuer):  # "soon"
            assert time.monotonic() - begun < WITHIN_S, page.inner_text("main")
            press(page, run)
        page.click("text=Refuse")
        page.wait_for_url(f"{run.url}/**")
        assert "The sign-on was not completed. Try again" in page.inner_text("main")
        assert page.goto(f"{run.url}/people").url.startswith(f"{run.url}/account/login/")  # type: ignore[union-attr]
        press(page, run)
        page.click("text=Go on as erin")
        page.wait_for_url(f"{run.url}/people")
        assert page.inner_text("h1") == "2 people", "an operator's page: what the group gives"
        assert "erin" in page.inner_text("main")
        page.click("button[aria-label='Sign out']")
        page.wait_for_url(f"{run.url}/account/login/**")
        assert page.goto(f"{run.url}/people").url.startswith(f"{run.url}/account/login/")  # type: ignore[union-attr]
        provider.person = {"sub": "u-2", "preferred_username": "dan", "groups": ["sales"]}
        press(page, run)
        page.click("text=Go on as dan")
        page.wait_for_url(f"{run.url}/account/sign-on/callback**")
        assert "There is no account for you here. Ask an operator" in page.inner_text("main")
    finally:
        provider.stop()
