"""Searching in a browser over a real node: as one types, by the keyboard, and what was searched."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ensemble.client import Client
from tests.console import browsing
from tests.console.browsing import Running
from tests.console.test_shell import PHONE, serious

playwright = browsing.playwright
HITS = ".hit-path a"


def change(running: Running, *made: tuple[str, bytes], gone: str = "") -> None:
    """Make znodes, and delete one, as the superuser of `ensemble up`."""
    scheme, _, credential = (running.up.folder / "zookeeper.auth").read_text().partition(":")

    async def work() -> None:
        auth = [(scheme, credential.strip().encode())]
        async with Client(running.up.address, auth=auth) as client:
            for path, value in made:
                await client.create(path, value)
            if gone:
                await client.delete(gone)

    with ThreadPoolExecutor(1) as thread:  # this one has the browser's event loop
        thread.submit(asyncio.run, work()).result()


def test_what_lives_is_found_as_one_types_and_what_is_gone_is_not(running: Running) -> None:
    change(
        running,
        ("/config", b""),
        ("/config/app.json", b'{"needle": 7}'),
        ("/config/\u202egpj<b>needle", b"<script>needle()</script>"),
        ("/needle", b""),
    )
    with (
        browsing.chromium() as browser,
        browsing.signed_in(browser, running.url, running.password) as page,
    ):
        page.goto(f"{running.url}/ensembles/main/search")
        assert page.locator(".examples").count() == 1
        assert serious(page) == []
        # The collector reads the tree and follows it: until it has, the page says what is missing.
        for _ in range(60):
            page.reload()
            page.fill("#q", "needle")
            page.wait_for_selector(".search-sum")
            if page.locator(HITS).count() == 3:
                break
        page.wait_for_function("document.querySelectorAll('.hit-path a').length === 3")
        assert page.locator("mark").first.inner_text() == "needle"
        assert "‹U+202E›gpj<b>" in page.inner_text("#results")
        assert serious(page) == []
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ensembles/main/znodes/at/needle")
        page.go_back()
        assert page.input_value("#q") == "needle"
        page.fill("#q", "size:huge")
        page.wait_for_selector("[role=alert]")
        assert "size:>10k" in page.inner_text("[role=alert]")
        page.fill("#q", "")
        page.wait_for_selector(".recent:not([hidden]) a")
        assert page.locator(".recent a").all_inner_texts() == ["needle"]
        change(running, gone="/needle")
        page.set_viewport_size(PHONE)
        for _ in range(60):
            page.goto(f"{running.url}/search?q=needle")
            if page.locator(HITS).count() == 2:
                break
        assert page.locator(HITS).count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
