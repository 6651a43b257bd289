"""In a browser, on real nodes: a lock is handed over by closing a session; a node hangs."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.console import browsing
from tests.console.browsing import Running
from tests.console.test_shell import serious
from tests.needs import need

playwright = browsing.playwright
WITHIN_MS = 30_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    need("chromium")
    with browsing.product(Path(tmp_path_factory.mktemp("var")), "--nodes", "3") as running:
        yield running


@pytest.fixture(scope="module")
def page(running: Running) -> Iterator["playwright.Page"]:
    with (
        browsing.chromium() as browser,
        browsing.signed_in(browser, running.url, running.password) as page,
    ):
        page.set_default_timeout(WITHIN_MS)
        yield page


def sees(page: "playwright.Page", what: str, text: str) -> None:
    playwright.expect(page.locator(what).first).to_contain_text(text, timeout=WITHIN_MS)


def test_the_holder_of_a_lock_is_closed_after_a_preview_and_the_next_one_gets_it(
    running: Running, page: "playwright.Page"
) -> None:
    clients = [KazooClient(running.up.address) for _ in range(3)]
    for client in clients:
        client.start(15)
    clients[0].Lock("/jobs/nightly", "worker-1").acquire()
    for n in (1, 2):
        lock = clients[n].Lock("/jobs/nightly", f"worker-{n + 1}")
        threading.Thread(target=quietly(lock.acquire), daemon=True).start()
        clients[n].ensure_path("/jobs")
        while len(clients[n].get_children("/jobs/nightly")) < n + 1:
            pass
    page.goto(running.url + "/ensembles/main/locks")
    sees(page, ".lock .holders", "worker-1")
    playwright.expect(page.locator(".lock .waiters li")).to_have_count(2)
    sees(page, ".lock .waiters", "worker-2")
    assert serious(page) == []
    page.click(".lock .holders a")
    sees(page, "#close", "It holds this: the next is worker-2.")
    assert serious(page) == []
    id = page.locator("h2.big").inner_text()
    page.fill("#id_confirm", "0x1")
    page.click("text=Close the session")
    sees(page, "#close", f"Type {id}, not")
    page.fill("#id_confirm", id)
    page.click("text=Close the session")
    sees(page, ".notice", f"{id} is closed; one ephemeral went with it.")
    page.goto(running.url + "/znodes/at/jobs")
    sees(page, "#path", "jobs")
    page.goto(running.url + "/znodes/at/jobs/nightly")
    sees(page, "#path", "nightly")
    page.click("#more summary")
    page.click("text=Lock, election or queue here")
    sees(page, ".lock .holders", "worker-2")
    playwright.expect(page.locator(".lock .waiters li")).to_have_count(1)
    page.goto(running.url + "/ensembles/main/sessions")
    sees(page, ".sessions tbody", "0x")
    assert serious(page) == []
    for client in clients:
        client.stop()
        client.close()


def quietly(acquire: object) -> object:
    """The lock's wait ends with its client, in whatever way."""

    def run() -> None:
        try:
            acquire()  # type: ignore[operator]
        except Exception:
            return

    return run


def test_a_node_that_hangs_is_named_and_the_rest_says_what_may_still_fail(
    running: Running, page: "playwright.Page"
) -> None:
    page.goto(running.url + "/")
    sees(page, "h1", "Everything is well")
    sees(page, ".sums", "3 of 3 voters serve, 1 may fail")
    sid = next(n for n in (3, 2) if n != running.up.leader())
    pid = running.up.pid_of(f"node{sid}/zoo.cfg")
    os.kill(pid, signal.SIGSTOP)
    try:
        sees(page, "h1", "1 of 1 ensemble needs you")
        sees(page, ".wrong", f"node{sid}: does not answer.")
        sees(page, ".ens", "2 of 3 voters serve, none more may fail")
        sees(page, ".nodes tbody tr", "down")
        assert serious(page) == []
        page.click(".nodes tbody tr a")
        sees(page, ".wrong", f"node{sid}: does not answer.")
        assert serious(page) == []
    finally:
        os.kill(pid, signal.SIGCONT)
    page.goto(running.url + "/")
    sees(page, "h1", "Everything is well")
    assert "in step" in page.content()
