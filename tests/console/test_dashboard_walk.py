"""The noisy neighbour, in a browser on a real node: seen, throttled, and the other recovers.

What is asserted are figures that were collected, and what the page shows of them.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest

from tests.console import browsing
from tests.console.browsing import Running
from tests.harness import ROOT

playwright = browsing.playwright
WITHIN_S = 60
SECONDS = 3
RATE = 20  # requests a second that the loud one is left with
ZNODES = 4_000  # of the loud one

# Counts all znodes of its tenant until it is killed: `each` requests at once on each of so many
# connections, then a pause. With many znodes that is much work for the node and none for us, so
# what the other one waits does not depend on how fast this program is.
LOAD = """
import asyncio, sys
from ensemble.client import Client
hosts, auth, connections, each, pause, znodes = sys.argv[1:]
def connected():
    return Client(hosts, auth=[("tenant", auth.encode())])
async def one():
    async with connected() as client:
        while True:
            await asyncio.gather(*[client.all_children_count("/") for _ in range(int(each))])
            await asyncio.sleep(float(pause))
async def main():
    async with connected() as client:
        for at in range(0, int(znodes), 500):
            await asyncio.gather(*[client.create(f"/n{at + n}") for n in range(500)])
    await asyncio.gather(*[one() for _ in range(int(connections))])
asyncio.run(main())
"""
POST = """async ([path, body]) => {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
  const sent = { method: "POST", headers, body: JSON.stringify(body) };
  return await (await fetch(`/api/v1${path}`, sent)).json();
}"""
GET = "async (path) => await (await fetch(path)).json()"


@pytest.fixture
def loads(running: Running) -> Iterator[Callable[..., None]]:
    started: list[subprocess.Popen[bytes]] = []

    def load(auth: str, connections: int, each: int, pause: float, znodes: int) -> None:
        values = [running.up.address, auth, str(connections), str(each), str(pause), str(znodes)]
        started.append(subprocess.Popen([sys.executable, "-c", LOAD, *values], cwd=ROOT))

    yield load
    for process in started:
        process.kill()
        process.wait()


class Figures:
    """What was collected of a tenant, as the page's own requests have it."""

    def __init__(self, page: "playwright.Page") -> None:
        self.page = page

    def lately(self, slug: str, name: str, seconds: int) -> list[float]:
        """The last values that are known, of so many seconds; fewer where fewer are known."""
        until = int(time.time())
        found = self.page.evaluate(GET, f"/tenants/{slug}/figures?since={until - 60}&until={until}")
        values = [value for value in found["values"].get(name, []) if value is not None]
        return values[-seconds:]

    def wait(self, what: str, slug: str, name: str, holds: Callable[[list[float]], bool]) -> float:
        """Until some seconds in a row are as wanted; their median."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            values = self.lately(slug, name, SECONDS)
            if len(values) == SECONDS and holds(values):
                return median(values)
            assert time.monotonic() < deadline, f"{what}: {values}"
            self.page.wait_for_timeout(200)


def make(page: "playwright.Page", slug: str) -> str:
    page.evaluate(POST, ["/tenants", {"slug": slug, "plan": "large"}])
    made: dict[str, Any] = page.evaluate(
        POST, [f"/tenants/{slug}/credentials", {"name": "app", "role": "writer"}]
    )
    return str(made["auth"])


def test_a_noisy_neighbour_is_seen_and_throttled_and_the_other_recovers(
    running: Running, loads: Callable[..., None]
) -> None:
    with (
        browsing.chromium() as browser,
        browsing.signed_in(browser, running.url, running.password) as page,
    ):
        quiet, loud = make(page, "quiet"), make(page, "loud")
        loads(quiet, 1, 1, 0.02, 0)
        figures = Figures(page)
        page.goto(f"{running.url}/tenants/quiet/dashboard?range=live&with=tenant:loud")
        page.wait_for_selector("#dash-state:text-is('live')")
        calm_ms = figures.wait("quiet asks", "quiet", "read.p95", lambda found: True)

        # The loud one begins: more than its rate will be, and the quiet one waits for its turn.
        loads(loud, 4, 20, 0.0, ZNODES)
        figures.wait("loud asks", "loud", "requests", lambda found: min(found) > 4 * RATE)
        noisy_ms = figures.wait(
            "quiet waits", "quiet", "read.p95", lambda found: median(found) > 1.5 * calm_ms
        )
        chart = page.locator("[data-chart=requests]")
        legend = chart.locator(".legend li", has_text="reads")
        page.wait_for_function(
            "element => Number(element.textContent.split('·')[1].replace(/[^0-9.]/g, '')) > 200",
            arg=legend.element_handle(),
        )
        assert page.evaluate(
            "Chart.getChart(document.querySelector('canvas')).data.datasets.length"
        )

        # It is throttled by the form.
        page.goto(f"{running.url}/tenants/loud/steer")
        page.fill("#throttle-reason", "takes more than its share")
        page.fill("#throttle-limit_requests_per_second", str(RATE))
        page.get_by_role("button", name="Lower its rates").click()
        page.wait_for_selector("text=The rates are lower for a while")

        figures.wait("loud is held", "loud", "requests", lambda found: max(found) <= 2 * RATE)
        assert max(figures.lately("loud", "held", 10)) > 0, "its requests wait for its rate"

        def is_better(found: list[float]) -> bool:
            return median(found) < noisy_ms / 1.5

        figures.wait("quiet recovers", "quiet", "read.p95", is_better)
        page.goto(f"{running.url}/tenants/quiet/dashboard?range=live")
        page.wait_for_selector("#dash-state:text-is('live')")

        # A stretch is looked at closely, by the keyboard, and as a table; one goes back.
        plot = page.locator("[data-chart=read] .plot")
        plot.focus()
        for key in ("End", *["Shift+ArrowLeft"] * 20):
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_url("**since=*")
        page.wait_for_selector("#dash-state:text-is('as it was')")
        page.locator("[data-chart=read] [data-table]").click()
        rows = page.locator("[data-chart=read] .figures-table tbody tr")
        assert 15 <= rows.count() <= 25
        assert "ms" in rows.first.inner_text()
        slow = page.locator("[data-chart=read] [data-under=slow]").get_attribute("href") or ""
        assert "since=" in slow
        assert "until=" in slow
        page.locator("#zoom-out").click()
        page.wait_for_selector("#dash-state:text-is('live')")
