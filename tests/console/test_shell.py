"""The frame around every page, in a browser: palette, keys, rail, zones, phones; axe finds nothing.

`axe-core` comes with a package of the tests; it is put into the page from outside, past its policy.
"""

import pytest

from tests.console import browsing
from tests.console.browsing import Running

playwright = browsing.playwright
axe = pytest.importorskip("axe_playwright_python.base")

PHONE = {"width": 390, "height": 844}
HEAVY = ("/", "/znodes/at/", "/ensembles/main/dashboard")
BYTES_MAX = 500_000  # of a page with everything that it loads, nothing kept from before
# Every page that needs nothing to be made first.
PAGES = (
    "/",
    "/znodes/at/",
    "/members",
    "/ensembles",
    "/ensembles/main",
    "/tenants/",
    "/new",
    "/requests",
    "/plans",
    "/audit",
    "/people",
    "/tokens",
    "/account/two-factor/",
    "/api/v1/docs",
)


def serious(page: "playwright.Page") -> list[str]:
    """What axe finds that keeps somebody from using the page: rule, and the element."""
    page.evaluate(axe.AXE_FILE_PATH.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{page.url} {one['id']}: {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    running: Running, chromium: "playwright.Browser", theme: str
) -> None:
    found: list[str] = []
    with browsing.signed_in(chromium, running.url, running.password, color_scheme=theme) as page:
        for address in PAGES:
            answer = page.goto(running.url + address)
            assert answer is not None
            assert answer.status == 200, address
            found += serious(page)
        page.keyboard.press("Control+k")
        found += serious(page)
    assert found == []


def test_the_palette_leads_to_pages_and_paths_from_the_keyboard(
    running: Running, chromium: "playwright.Browser"
) -> None:
    with browsing.signed_in(chromium, running.url, running.password) as page:
        page.keyboard.press("Control+k")
        page.keyboard.type("plan")
        page.keyboard.press("Enter")
        page.wait_for_url("**/plans")
        page.keyboard.press("Control+k")
        page.keyboard.type("/zookeeper/config")
        page.keyboard.press("Enter")
        page.wait_for_url("**/znodes/at/zookeeper/config")
        page.keyboard.press("g")
        page.keyboard.press("t")
        page.wait_for_url("**/tenants/")
        page.keyboard.press("Control+k")
        page.keyboard.type("no such page")
        playwright.expect(page.locator("#palette .none")).to_be_visible()
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#palette")).to_be_hidden()
        page.keyboard.press("?")
        playwright.expect(page.locator("#keys-dialog")).to_be_visible()


def test_what_comes_late_for_an_older_text_is_not_shown(
    running: Running, chromium: "playwright.Browser"
) -> None:
    with browsing.signed_in(chromium, running.url, running.password) as page:
        held: list[playwright.Route] = []
        page.route("**/search/suggest*", lambda route: held.append(route))
        page.keyboard.press("Control+k")
        page.keyboard.type("zookeeper")
        while not held:
            page.wait_for_timeout(20)
        page.keyboard.type(" of nothing")
        row = {"kind": "znode", "label": "/late", "hint": "", "url": "/late"}
        held[0].fulfill(json={"rows": [row]})
        while len(held) < 2:
            page.wait_for_timeout(20)
        assert page.locator("#palette li", has_text="/late").count() == 0
        playwright.expect(page.locator("#palette .none")).to_be_visible()
        held[-1].fulfill(json={"rows": []})
        playwright.expect(page.locator("#palette .none")).to_be_visible()


def test_on_a_phone_the_menu_opens_without_script(
    running: Running, chromium: "playwright.Browser"
) -> None:
    with browsing.signed_in(
        chromium, running.url, running.password, viewport=PHONE, java_script_enabled=False
    ) as page:
        rail = page.get_by_role("navigation", name="Main", exact=True)
        playwright.expect(rail).to_be_hidden()
        page.get_by_label("Menu", exact=True).click()
        rail.get_by_role("link", name="Tenants", exact=True).click()
        page.wait_for_url("**/tenants/")
        playwright.expect(rail).to_be_hidden()


def test_nothing_is_wider_than_a_phone(running: Running, chromium: "playwright.Browser") -> None:
    with browsing.signed_in(chromium, running.url, running.password, viewport=PHONE) as page:
        for address in PAGES:
            page.goto(running.url + address)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"], address


def test_a_page_and_all_that_it_loads_are_small(
    running: Running, chromium: "playwright.Browser"
) -> None:
    with browsing.signed_in(chromium, running.url, running.password) as page:
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        network.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes: list[int] = []
        network.on("Network.loadingFinished", lambda one: sizes.append(one["encodedDataLength"]))
        for address in HEAVY:
            sizes.clear()
            page.goto(running.url + address)
            page.wait_for_load_state("load")
            assert 20_000 < sum(sizes) < BYTES_MAX, address


def test_times_are_in_the_viewers_zone_and_utc_is_told(
    running: Running, chromium: "playwright.Browser"
) -> None:
    with browsing.signed_in(
        chromium, running.url, running.password, timezone_id="Asia/Tokyo", locale="en-GB"
    ) as page:
        page.goto(running.url + "/people")
        page.goto(running.url + "/tenants/")
        page.evaluate(
            "document.querySelector('main').innerHTML ="
            " '<time datetime=\"2026-11-21T20:30:00Z\">2026-11-21 20:30 UTC</time>'"
        )
        page.evaluate("import('/static/console/times.js').then((m) => m.localTimes(document))")
        shown = page.locator("main time")
        shown.and_(page.locator("[data-local]")).wait_for()
        assert shown.inner_text() == "22 Nov 2026, 05:30"
        assert shown.get_attribute("title") == "2026-11-21 20:30 UTC"
