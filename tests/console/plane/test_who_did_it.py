"""Who did it, in a browser on a real node: found, seen, reverted, proved."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from ensemble.client import Client
from tests.console import browsing
from tests.console.browsing import Running
from tests.harness import ROOT
from tests.needs import need
from tests.tenants import tenant_client

playwright = browsing.playwright
T = TypeVar("T")
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    need("chromium")
    with browsing.product(Path(tmp_path_factory.mktemp("var")), "--nodes", "1") as found:
        yield found


@pytest.fixture(scope="module")
def page(running: Running) -> Iterator["playwright.Page"]:
    with browsing.chromium() as browser:
        with browsing.signed_in(browser, running.url, running.password) as page:
            yield page


def as_app(running: Running, token: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do something as the tenant's application; not on this thread, which has the driver's loop."""

    async def session() -> T:
        async with tenant_client(running.up.address, token.encode()) as client:
            return await work(client)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(session())).result()


def until(page: "playwright.Page", address: str, words: str) -> None:
    """Open a page again until the collector has brought what it is to show."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        page.goto(address)
        if words in page.inner_text("main"):
            return
        assert time.monotonic() < deadline, page.inner_text("main")
        page.wait_for_timeout(300)


def test_who_did_it_is_found_seen_reverted_and_proved(
    running: Running, page: "playwright.Page", tmp_path: Path
) -> None:
    # A tenant, whose application writes a value, and then a wrong one.
    page.goto(f"{running.url}/new")
    page.fill("[name=slug]", "payments")
    page.get_by_role("button", name="Make it", exact=True).click()
    token = page.inner_text("#token")

    async def write(client: Client) -> None:
        await client.create("/limits", b"daily: 5000\n")
        await client.set("/limits", b"daily: 5\n")

    as_app(running, token, write)
    audit = f"{running.url}/tenants/payments/audit"
    until(page, f"{audit}?path=/limits", "setData")

    # One: the path. Two: the line. Three: the revision.
    page.goto(audit)
    page.get_by_label("Path, and below it").fill("/limits")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("link", name="setData").first.click()  # the facet
    playwright.expect(page.locator(".chip")).to_have_count(2)
    rows = page.locator(".events tbody tr")
    playwright.expect(rows).to_have_count(1)
    playwright.expect(rows.first).to_contain_text("app@payments")
    rows.first.locator("a").first.click()
    line = page.locator("#line")
    playwright.expect(line.locator("h2")).to_contain_text(
        "app@payments changed the data of /limits"
    )
    playwright.expect(line.locator(".diff .gone")).to_have_text("daily: 5000")
    playwright.expect(line.locator(".diff .new")).to_have_text("daily: 5")

    # Back to what it was, in one's own name.
    line.get_by_role("link", name="Revert it").click()
    page.wait_for_url("**/tenants/payments/znodes/at/limits?zxid=*")
    playwright.expect(page.locator("#review .sides .new")).to_have_text("+daily: 5")
    page.keyboard.press("Escape")
    page.locator(".revisions li").nth(1).get_by_text("Revert to it").click()
    page.click("text=Save as version 2")
    playwright.expect(page.locator("#notice")).to_contain_text("Saved as version 2")

    async def read(client: Client) -> bytes:
        return (await client.get("/limits"))[0]

    assert as_app(running, token, read) == b"daily: 5000\n"
    until(page, f"{audit}?path=/limits&operation=setData", "\tadmin\t")
    playwright.expect(page.locator(".events tbody tr")).to_have_count(2)

    # The bars lead to their stretch: drawn over, all of it is there.
    box = page.locator(".timeline svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_url("**since=*until=*")
    playwright.expect(page.locator(".events tbody tr").first).to_be_visible()

    # The proof: what the page says of the chain, and what the journal's own file says.
    page.goto(f"{running.url}/audit?path=/tenants/payments/limits")
    playwright.expect(page.locator(".verdict > summary")).to_contain_text("every chain holds")
    with page.expect_download() as begun:
        page.get_by_role("link", name="As JSON lines").click()
    exported = [json.loads(raw) for raw in Path(begun.value.path()).read_text().splitlines()]
    changes = [one for one in exported if one["operation"] == "setData"]
    assert [one["principal"] for one in changes] == ["admin", "app@payments"]
    (folder,) = {path.parent for path in running.up.folder.rglob("audit-*.jsonl")}
    done = subprocess.run(
        [sys.executable, "-m", "ensemble.server.main", "audit", "verify", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kept = "".join(path.read_text() for path in folder.glob("audit-*.jsonl"))
    assert all(f'"{one["hash"]}"' in kept for one in changes), "the export is of these lines"

    # A search is kept, and nothing fires that was not there.
    page.goto(f"{running.url}/audit?failed=1")
    page.fill("#save-name", "refusals")
    page.get_by_role("button", name="Save it", exact=True).click()
    playwright.expect(page.locator(".saved")).to_contain_text("refusals")
    page.goto(f"{running.url}/alerts/")
    playwright.expect(page.locator("#firing")).to_contain_text(re.compile("were looked at \\d+ s"))
    playwright.expect(page.locator("#firing")).not_to_contain_text("journal")
