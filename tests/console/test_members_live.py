"""The console over an ensemble: its members come and go, its client moves. All of it is real."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.client import Client
from tenants.zk import Bridge, Loop, UnreachableError
from tests.console import browsing
from tests.needs import need
from tests.ups import Up

playwright = browsing.playwright
MOVES_WITHIN = 100  # attempts, each of which waits for a connection as long as a page does


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path / "var")
    yield up
    up.clean_up()


def test_the_consoles_session_moves_to_another_server_when_its_own_is_killed(up: Up) -> None:
    up.start("--no-console").wait_ready()
    loop = Loop()
    bridge = Bridge(
        ",".join(f"127.0.0.1:{node.client_port}" for node in up.files()), None, loop.loop
    )

    async def work(client: Client) -> tuple[int, int]:
        await client.exists("/")
        assert client.host is not None
        return client.session_id, client.host.port

    try:
        session_id, port = bridge.run(work)
        sid = next(node.sid for node in up.files() if node.client_port == port)
        os.kill(up.pid_of(f"node{sid}/zoo.cfg"), signal.SIGKILL)
        for _ in range(MOVES_WITHIN):
            try:
                moved_id, moved_port = bridge.run(work)
            except UnreachableError:  # the request that was on its way
                continue
            if moved_port != port:
                break
        assert moved_port != port
        assert moved_id == session_id
    finally:
        bridge.stop()
        loop.stop()
    assert up.stop() == 0


def test_an_operator_adds_and_removes_an_observer_and_sees_who_is_down(up: Up) -> None:
    need("chromium")
    up.start().wait_ready()
    password = re.search(r"Sign in as admin with (\S+)", up.said)
    assert password is not None
    url = f"http://127.0.0.1:{up.console_port}"
    with browsing.chromium() as browser, browsing.signed_in(browser, url, password[1]) as page:
        expect = playwright.expect
        page.click("text=Members")
        expect(page.locator("h1")).to_have_text("All 3 servers serve")
        expect(page.locator("tbody tr:has-text('leader')")).to_have_count(1)
        page.click("text=Add an observer")
        page.wait_for_url("**/members")
        expect(page.locator("h1")).to_have_text("All 4 servers serve", timeout=15_000)
        row = page.locator("tbody tr:has-text('node4')")
        expect(row).to_contain_text("observer")

        page.click("#remove-4")
        page.click("#remove-dialog button[value=cancel]")
        page.click("#remove-4")
        expect(page.locator("#remove-dialog .target")).to_have_text("node4")
        page.click("#remove-dialog button[value=remove]")
        expect(page.locator("h1")).to_have_text("All 3 servers serve", timeout=15_000)
        expect(row).to_have_count(0)

        follower = next(node.id for node in up.wait_nodes(bool) if node.mode == "follower")
        os.kill(up.pid_of(f"node{follower}/zoo.cfg"), signal.SIGSTOP)
        expect(page.locator("h1")).to_have_text("2 of 3 servers serve", timeout=15_000)
        row = page.locator(f"tbody tr:has-text('node{follower}')")
        expect(row).to_contain_text("does not answer")
        os.kill(up.pid_of(f"node{follower}/zoo.cfg"), signal.SIGCONT)
        expect(page.locator("h1")).to_have_text("All 3 servers serve", timeout=15_000)
    assert up.stop() == 0
    said = (up.folder / "console.log").read_text()
    assert '"action": "member-add", "result": "ok"' in said
    assert '"action": "member-remove", "id": 4, "result": "ok"' in said
