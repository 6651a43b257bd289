"""In a browser, over a whole product: export, delete, undo by import, bring back as it was."""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ensemble.client import Client
from tests.console.browsing import chromium, product, signed_in
from tests.needs import need

T = TypeVar("T")

WITHIN_MS = 60_000
TREE = {"/shop": b"{}", "/shop/a": b"1", "/shop/b": b"\xff\x00", "/shop/‮txt": b"<b>"}


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread: Playwright has a loop of its own in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def wait_heard(page: Any, path: str) -> None:
    """Until the page of what changed lately knows of a path: the collector follows."""
    deadline = time.monotonic() + WITHIN_MS / 1_000
    while path not in page.inner_text("main"):
        assert time.monotonic() < deadline, page.inner_text("main")
        page.reload()


def tree(address: str, change: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """What is below /shop now, after some changes."""

    async def work() -> dict[str, bytes]:
        async with Client(address) as client:
            for path, data in (change or {}).items():
                if await client.exists(path) is None:
                    await client.create(path, data)
                else:
                    await client.set(path, data)
            if await client.exists("/shop") is None:
                return {}
            names = await client.children("/shop")
            paths = ["/shop", *(f"/shop/{name}" for name in names)]
            return {path: (await client.get(path))[0] for path in paths}

    return run(work())


def confirmed(page: Any, word: str = "") -> None:
    """The dry run comes by itself; then what it has shown is done."""
    page.wait_for_selector("#go", timeout=WITHIN_MS)
    if word:
        page.fill("#confirm", word)
    page.click("#go")
    page.wait_for_selector("text=steps are done.", timeout=WITHIN_MS)


def test_a_subtree_goes_and_comes_back_in_a_browser(tmp_path: Path) -> None:
    need("chromium")
    with product(tmp_path, "--nodes", "1") as running, chromium() as browser:
        address = running.up.address
        assert tree(address, TREE) == TREE
        with signed_in(browser, running.url, running.password) as page:
            page.goto(f"{running.url}/znodes/at/shop")
            page.click("#more summary")
            page.click("#more a:has-text('Export')")
            assert page.input_value("#id_path") == "/shop"
            page.click("button:has-text('Export')")
            page.wait_for_selector("text=Download", timeout=WITHIN_MS)
            with page.expect_download() as download:
                page.click("text=Download")
            file = tmp_path / download.value.suggested_filename
            download.value.save_as(file)

            page.goto(f"{running.url}/znodes/delete-tree?path=/shop")
            page.click("button:has-text('Show what would happen')")
            page.wait_for_selector("#go", timeout=WITHIN_MS)
            assert "‹U+202E›txt" in page.inner_text(".steps")
            assert tree(address) == TREE
            confirmed(page, "shop")
            assert tree(address) == {}
            job = page.url

            page.goto(f"{running.url}/znodes/import?path=/shop")
            page.set_input_files("input[type=file]", file)
            page.click("button:has-text('Show what would happen')")
            confirmed(page)
            assert tree(address) == TREE

            page.goto(job)
            page.click("#undo")
            page.wait_for_selector("text=somebody has made it again since", timeout=WITHIN_MS)

            page.goto(f"{running.url}/znodes/at-time?path=/shop&at=2026-01-01 00:00")
            zxid = run(last_zxid(address))
            wait_heard(page, "/shop/a")
            tree(address, {"/shop/a": b"spoilt", "/shop/new": b"n"})
            wait_heard(page, "/shop/new")
            page.goto(f"{running.url}/znodes/restore?path=/shop&at={zxid:#x}")
            page.click("button:has-text('Show what would happen')")
            page.wait_for_selector("#go", timeout=WITHIN_MS)
            assert page.inner_text(".tiles .bad b") == "1", "the new one goes"
            confirmed(page, "shop")
            assert tree(address) == TREE


async def last_zxid(address: str) -> int:
    async with Client(address) as client:
        stat = await client.exists("/shop")
        assert stat is not None
        return int(stat.pzxid)
