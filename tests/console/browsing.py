"""A real browser for tests, and a page of somebody who is signed in."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

playwright = pytest.importorskip("playwright.sync_api")


@contextmanager
def chromium() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def signed_in(
    browser: "playwright.Browser", url: str, password: str, **options: object
) -> Iterator["playwright.Page"]:
    """An operator's page. Any script error or policy violation fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1300, "height": 800}, **options})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type == "error" and "status of 4" not in message.text
            else None
        ),
    )
    page.goto(url + "/")
    page.fill("#id_login", "admin")
    page.fill("#id_password", password)
    page.click("button.primary")
    page.wait_for_url(url + "/")
    yield page
    context.close()
    assert problems == []
