"""axe finds nothing serious on pages that need something to be there, nor with a dialog open.

What is inside their frame is looked at in light, and in dark for its contrasts. The frame itself
and the main pages: `test_shell`.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kazoo.client import KazooClient

from tests.console import browsing
from tests.console.browsing import Running
from tests.console.test_shell import PHONE, axe

playwright = browsing.playwright
WITHIN_MS = 60_000
CALM = {"reduced_motion": "reduce"}  # no colour is on its way to another
# With details of what is wrong alone: collecting those of the rest takes longer than the rules.
ONLY_WRONG = "resultTypes: ['violations']"
RULES = f"{{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], {ONLY_WRONG}}}"
CONTRASTS = f"{{runOnly: ['color-contrast'], {ONLY_WRONG}}}"
LONG = "a-name-that-is-as-long-as-names-are-" * 5


class Look:
    """A page that axe looks at, and what it has found."""

    def __init__(self, page: "playwright.Page", url: str) -> None:
        self.page = page
        self.url = url
        self.found: list[str] = []
        page.set_default_timeout(WITHIN_MS)

    def at(self, address: str, shows: str = "main") -> None:
        """Open a page, and look."""
        answer = self.page.goto(self.url + address)
        assert answer is not None
        assert answer.status == 200, address
        self.page.wait_for_selector(shows)
        self.here(address)

    def here(self, what: str) -> None:
        """Look at what is shown now."""
        if self.page.evaluate("typeof axe === 'undefined'"):
            self.page.evaluate(axe.AXE_FILE_PATH.read_text())
        self.ask(what, "light", RULES)
        self.page.emulate_media(color_scheme="dark")
        self.ask(what, "dark", CONTRASTS)
        self.page.emulate_media(color_scheme="light")

    def ask(self, what: str, theme: str, options: str) -> None:
        found = self.page.evaluate(
            f"axe.run(document.querySelector('dialog[open]') ?? 'main', {options})"
        )
        self.found += [
            f"{what} {theme} {one['id']}: {node['html'][:160]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]


@pytest.fixture
def look(running: Running, chromium: "playwright.Browser") -> Iterator[Look]:
    with browsing.signed_in(chromium, running.url, running.password, **CALM) as page:
        yield Look(page, running.url)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def client_of(stack: ExitStack, running: Running, **options: object) -> KazooClient:
    client = KazooClient(running.up.address, **options)
    client.start(30)
    stack.callback(client.close)
    stack.callback(client.stop)
    return client


def test_the_look_finds_what_is_wrong(look: Look) -> None:
    """A button that nobody can name, and words that are dark in both themes."""
    look.page.goto(look.url + "/plans")
    look.page.evaluate(
        """() => {
          const words = document.createElement("p");
          words.textContent = "dark";
          words.style.color = "rgb(60, 60, 60)";
          document.querySelector("main").append(document.createElement("button"), words);
        }"""
    )
    look.here("here")
    rules = [found.split(":")[0] for found in look.found]
    assert rules == ["here light button-name", "here dark color-contrast"]


def test_the_browsers_dialogs(running: Running, look: Look, stack: ExitStack) -> None:
    client = client_of(stack, running)
    client.ensure_path(f"/shop/{LONG}")
    client.set("/shop", b"open\n")
    page = look.page
    look.at("/znodes/at/shop", "text=open")
    page.click("#copy summary")
    look.here("copy as")
    page.click("#copy summary")
    page.click("#more summary")
    look.here("more")
    page.click("#help")
    look.here("help")
    page.keyboard.press("Escape")
    page.click("#create")
    look.here("create")
    page.check("[name=mode][value=ttl]")
    page.fill("#new-name", "no/such/parent")
    page.click("#create-dialog [type=submit]")
    page.wait_for_selector("#create-dialog .problem:not([hidden])")
    look.here("create, refused")
    page.click("#create-dialog [value=cancel]")
    page.click("#delete")
    look.here("delete")
    page.click("#delete-dialog [value=cancel]")
    page.click("#tab-acl")
    look.here("acl")
    page.click("#tab-past")
    look.here("history")
    page.click(".ace_content")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("open\nshut\n")
    page.keyboard.press("Control+s")
    page.wait_for_selector("#review[open]")
    look.here("review before save")
    page.keyboard.press("Escape")
    client.set("/shop", b"closed\nshut\n")
    page.wait_for_selector("text=Look and merge")
    look.here("somebody was faster")
    page.click("text=Look and merge")
    page.wait_for_selector("#review .choices")
    look.here("a merge")
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("Control+k")
    page.keyboard.type("shop")
    look.here("palette")
    page.keyboard.press("Escape")
    page.goto(look.url + "/plans")
    page.keyboard.press("?")
    look.here("keys")
    assert look.found == []


def test_what_is_made_and_done(running: Running, look: Look, stack: ExitStack) -> None:
    page = look.page
    page.goto(look.url + "/new")
    page.fill("[name=slug]", "orders")
    page.locator("main form button.primary").last.click()
    page.wait_for_selector("#token")
    page.locator("summary", has_text="Curator").click()
    look.here("a credential")
    token = page.inner_text("#token")
    holder = client_of(stack, running, auth_data=[("tenant", token)])
    waiter = client_of(stack, running, auth_data=[("tenant", token)])
    holder.Lock("/locks/nightly", LONG[:60]).acquire()
    threading.Thread(target=quietly(waiter, "/locks/nightly"), daemon=True).start()
    while len(holder.get_children("/locks/nightly")) < 2:
        pass
    look.at("/tenants/orders/locks", ".lock .waiters li")
    look.at("/tenants/orders/sessions", ".sessions tbody tr")
    page.click(".lock .holders a, .sessions tbody a")
    page.wait_for_selector("#close")
    look.here("session")
    page.fill("#id_confirm", "0x1")
    page.click("text=Close the session")
    page.wait_for_selector("#close .problem, #close [role=alert]")
    look.here("session, refused")
    for part in ("credentials", "settings", "steer"):
        look.at(f"/tenants/orders/{part}")
    holder.ensure_path("/cart/a")
    page.goto(look.url + "/tenants/orders/znodes/delete-tree?path=/cart")
    look.here("a wish")
    page.click("button:has-text('Show what would happen')")
    page.wait_for_selector("#go")
    look.here("a dry run")
    page.fill("#confirm", "cart")
    page.click("#go")
    page.wait_for_selector("text=steps are done.")
    look.here("a job that is done")
    look.at("/jobs")
    assert look.found == []


def test_the_operators_pages(running: Running, look: Look) -> None:
    page = look.page
    # It has reached its limit, so that there is an alert by the end.
    page.goto(look.url + "/new")
    page.fill("[name=slug]", "full")
    page.locator("main form button.primary").last.click()
    page.wait_for_selector("#token")
    page.goto(look.url + "/tenants/full/steer")
    page.fill("[name=limit_znodes]", "2")
    page.get_by_role("button", name="Set the limits", exact=True).click()
    page.goto(look.url + "/alerts/rules/quota-full")
    page.fill("[name=hold_s]", "0")
    look.here("a rule")
    page.click("main form button.primary")
    look.at("/ensembles/main/nodes/node1")
    look.at("/ensembles/main/sessions", ".sessions tbody tr")
    look.at("/ensembles/main/locks")
    page.goto(look.url + "/people/new")
    page.fill("[name=username]", "alice")
    page.click("form.stack button[type=submit]")
    page.wait_for_selector("#secret")
    look.here("a password")
    page.goto(look.url + "/people")
    page.click("main table a")
    page.wait_for_selector("main form")
    look.here("a person")
    page.goto(look.url + "/tokens")
    page.fill("[name=name]", "ci")
    page.locator("main form button.primary").last.click()
    page.wait_for_selector("#token")
    look.here("a token")
    for part in ("rules", "silences", "channels"):
        look.at(f"/alerts/{part}")
    page.fill("[name=name]", "chat")
    page.fill("[name=url]", "https://hooks.example.com/path")
    page.locator("main form button.primary").last.click()
    page.wait_for_selector("#secret")
    look.here("a channel")
    page.goto(look.url + "/alerts/")
    page.wait_for_selector("#firing a[href*='/alerts/of/']")
    look.here("alerts")
    page.click("#firing a[href*='/alerts/of/']")
    page.wait_for_selector("text=What to do")
    look.here("an alert")
    page.set_viewport_size(PHONE)
    look.here("an alert on a phone")
    assert look.found == []


def quietly(client: KazooClient, path: str) -> object:
    """The lock's wait ends with its client, in whatever way."""

    def run() -> None:
        try:
            client.Lock(path, "worker-2").acquire()
        except Exception:
            return

    return run
