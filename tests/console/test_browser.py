"""The console in a real browser, over a real node, both started as `make run` starts them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from ensemble.client import Acl, Client, Id, NoNodeError, digest_id
from tests.console import browsing
from tests.needs import need

playwright = browsing.playwright
T = TypeVar("T")


@dataclass
class Running:
    """A node and a console."""

    address: str  # of the node
    url: str
    password: str

    def do(self, work: Callable[[Client], Awaitable[T]]) -> T:
        async def session() -> T:
            async with Client(self.address) as client:
                return await work(client)

        # Not on this thread: the browser's driver has a loop on it.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(session())).result()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    need("chromium")
    with browsing.product(Path(tmp_path_factory.mktemp("var")), "--nodes", "1") as found:
        yield Running(found.up.address, found.url, found.password)


@pytest.fixture
def page(running: Running, chromium: "playwright.Browser") -> Iterator["playwright.Page"]:
    with browsing.signed_in(chromium, running.url, running.password) as page:
        yield page


def open_znode(page: "playwright.Page", running: Running, path: str) -> None:
    page.goto(f"{running.url}/znodes/at{path}")
    page.wait_for_selector("#live.good")


def text(page: "playwright.Page") -> str:
    return str(page.evaluate("ace.edit(document.getElementById('editor')).getValue()"))


def write(page: "playwright.Page", value: str) -> None:
    """Type over everything in the editor."""
    page.click(".ace_content")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(value)


def make(running: Running, *znodes: tuple[str, bytes]) -> None:
    async def work(client: Client) -> None:
        for path, data in znodes:
            await client.create(path, data)

    running.do(work)


def read(running: Running, path: str) -> bytes:
    async def work(client: Client) -> bytes:
        return (await client.get(path))[0]

    return running.do(work)


def set_data(running: Running, path: str, data: bytes) -> None:
    async def work(client: Client) -> None:
        await client.set(path, data)

    running.do(work)


def test_a_person_finds_a_znode_in_the_tree_edits_it_and_a_client_sees_it(
    page: "playwright.Page", running: Running
) -> None:
    make(running, ("/app", b""), ("/app/config", b'{"port": 8080}'))
    page.get_by_role("link", name="Znodes", exact=True).first.click()
    page.click(".tree-row:has-text('app')")
    page.click(".tree-row:has-text('config')")
    page.wait_for_url("**/znodes/at/app/config")
    playwright.expect(page.locator("#path")).to_have_text("/app/config")
    playwright.expect(page.locator("#format")).to_have_value("json")
    write(page, '{"port": 9090}')
    playwright.expect(page.locator("#save")).to_have_text("Save v0 → v1")
    page.click("#save")
    playwright.expect(page.locator("#review .sides .old")).to_have_text('−{"port": 8080}')
    playwright.expect(page.locator("#review .sides .new")).to_have_text('+{"port": 9090}')
    assert read(running, "/app/config") == b'{"port": 8080}', "looked at, not saved yet"
    page.click("text=Save as version 1")
    playwright.expect(page.locator("#notice")).to_contain_text("Saved as version 1")
    assert read(running, "/app/config") == b'{"port": 9090}'


def test_what_a_client_writes_appears_by_itself(page: "playwright.Page", running: Running) -> None:
    make(running, ("/live", b"one"))
    open_znode(page, running, "/live")
    assert text(page) == "one"
    set_data(running, "/live", b"two")
    playwright.expect(page.locator("#editor")).to_contain_text("two")
    make(running, ("/live/child", b""))
    playwright.expect(page.locator(".tree-row:has-text('live') .count")).to_have_text("1")

    async def delete(client: Client) -> None:
        await client.delete("/live/child")
        await client.delete("/live")

    running.do(delete)
    playwright.expect(page.locator("#empty")).to_contain_text("No such znode")


def test_what_is_deleted_before_the_page_listens_is_told_as_it_is_later(
    page: "playwright.Page", running: Running
) -> None:
    make(running, ("/early", b"one"))

    async def delete(client: Client) -> None:
        await client.delete("/early")

    page.add_init_script("""
        const Real = WebSocket;
        window.WebSocket = function (url) {
          if (window.listens) return new Real(url);
          const cut = new EventTarget();
          setTimeout(() => cut.dispatchEvent(new CloseEvent("close", { code: 1006 })), 50);
          return cut;
        };
        window.WebSocket.OPEN = Real.OPEN;
    """)
    page.goto(f"{running.url}/znodes/at/early")
    playwright.expect(page.locator("#editor")).to_contain_text("one")
    running.do(delete)
    page.evaluate("window.listens = true")
    playwright.expect(page.locator("#empty")).to_contain_text("/early was deleted just now")
    make(running, ("/early", b"two"))
    playwright.expect(page.locator("#editor")).to_contain_text("two")

    page.reload()
    playwright.expect(page.locator("#editor")).to_contain_text("two")
    write(page, "mine")
    running.do(delete)
    page.evaluate("window.listens = true")
    playwright.expect(page.locator("#notice")).to_contain_text("Your text is still here")
    page.click("text=Create it again with my text")
    playwright.expect(page.locator("#notice")).to_be_hidden()
    assert read(running, "/early") == b"mine"


def test_what_comes_is_marked_and_what_is_seen_stays_where_it_is(
    page: "playwright.Page", running: Running
) -> None:
    make(running, ("/marks", b""), *((f"/marks/c-{n:03}", b"") for n in range(300)))
    open_znode(page, running, "/marks/c-200")
    tree = "document.querySelector('znode-tree')"
    seen = f"""() => {{
      const box = {tree}.getBoundingClientRect();
      return [...document.querySelectorAll('.tree-row')]
        .map((row) => [row.textContent, Math.round(row.getBoundingClientRect().top - box.top)])
        .filter(([, top]) => top >= 0 && top < box.height - 26);
    }}"""
    page.wait_for_function(f"() => ({seen})().some(([name]) => name === 'c-200')")
    before = page.evaluate(seen)
    make(running, *((f"/marks/a-{n:03}", b"") for n in range(40)))
    page.wait_for_function(f"() => {tree}.find('/marks').count === 340")
    page.wait_for_function(f"() => {tree}.total === 340 + {tree}.root.count + 1")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
    assert page.evaluate(seen) == before
    make(running, ("/marks/c-200-new", b""))
    page.wait_for_function(f"() => {tree}.find('/marks/c-200-new')?.freshAt > 0")
    assert not page.evaluate(f"{tree}.find('/marks/c-201').freshAt > 0"), "it has been there"
    set_data(running, "/marks/c-201", b"x")
    page.wait_for_function(f"() => {tree}.find('/marks/c-201').freshAt > 0")
    playwright.expect(page.locator(".tree-row.fresh")).to_have_count(0)
    playwright.expect(page.locator(".tree-row[aria-selected=true]")).to_have_text("c-200")


def test_two_who_edit_the_same_are_merged(page: "playwright.Page", running: Running) -> None:
    make(running, ("/both", b"a=1\nb=2\nc=3\n"))
    open_znode(page, running, "/both")
    write(page, "a=1\nb=20\nc=30\n")
    set_data(running, "/both", b"a=10\nb=2\nc=33\n")
    notice = page.locator("#notice")
    playwright.expect(notice).to_contain_text("Somebody saved version 1")
    assert text(page) == "a=1\nb=20\nc=30\n"
    page.click("text=Look and merge")
    said = page.locator("#review .said")
    playwright.expect(said).to_contain_text("1 of 1 places")
    done = page.locator("text=Save the result")
    playwright.expect(done).to_be_disabled()
    page.click("#review .choices >> text=Mine")
    playwright.expect(said).to_contain_text("All is decided")
    done.click()
    playwright.expect(notice).to_contain_text("Saved as version 2")
    assert read(running, "/both") == b"a=10\nb=20\nc=30\n"


def test_a_save_that_comes_too_late_shows_theirs(page: "playwright.Page", running: Running) -> None:
    """Also where the live line is cut: the compare-and-set at the server decides."""
    make(running, ("/late", b"start"))
    page.route_web_socket("**/live", lambda socket: None)
    page.goto(f"{running.url}/znodes/at/late")
    page.wait_for_selector(".ace_content")
    write(page, "mine")
    set_data(running, "/late", b"theirs")
    page.keyboard.press("Control+s")
    page.keyboard.press("Control+s")
    playwright.expect(page.locator("#review h2")).to_contain_text("somebody saved version 1 first")
    page.click("#review footer >> text=Take theirs")
    assert text(page) == "theirs"
    assert read(running, "/late") == b"theirs"


def test_what_is_typed_outlives_the_session(page: "playwright.Page", running: Running) -> None:
    make(running, ("/night", b"start"))
    open_znode(page, running, "/night")
    write(page, "typed at 1 a.m.")
    kept = page.context.cookies()
    page.context.clear_cookies(name="ensemble_session")
    page.keyboard.press("Control+s")
    page.click("text=Save as version 1")
    playwright.expect(page.locator("#notice")).to_contain_text("Your session is over")
    assert text(page) == "typed at 1 a.m."
    page.context.add_cookies(kept)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    playwright.expect(page.locator("#notice")).to_contain_text("is back, not saved")
    assert text(page) == "typed at 1 a.m."
    page.keyboard.press("Control+s")
    page.keyboard.press("Control+s")
    playwright.expect(page.locator("#notice")).to_contain_text("Saved as version 1")
    assert read(running, "/night") == b"typed at 1 a.m."


MERGES = [  # base, mine, theirs, what comes of it; None: a conflict
    ("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC"),
    ("a\nb\nc", "A\nb\nc", "a\nB\nc", "A\nB\nc"),  # lines that touch
    ("a\nb", "a\nx\nb", "a\ny\nb", None),  # nothing says which comes first
    ("a\nb", "a\nx\nb", "a\nx\nb", "a\nx\nb"),
    ("a\nb\nc", "a\nc", "a\nB\nc", None),
    ("a\nb\nc", "a\nc", "a\nb\nc\nd", "a\nc\nd"),
    ("a", "", "a\nb", None),
    ("", "x", "", "x"),
    ("a\n", "a", "b\n", "b"),
]

FUZZ = """async () => {
  const { linesOf, edits, merge, conflicts, mergedText } = await import('/static/console/lines.js');
  let seed = 7;
  const any = (n) => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return (seed >> 8) % n; };
  const change = (text) => {
    const lines = text.split('\\n');
    for (let times = any(3); times >= 0; times--) {
      lines.splice(any(lines.length + 1), any(2), ...'xyz'.slice(0, any(3)));
    }
    return lines.join('\\n');
  };
  for (let round = 0; round < 5000; round++) {
    const base = Array.from({ length: any(8) + 1 }, () => 'abc'[any(3)]).join('\\n');
    const [mine, theirs] = [change(base), change(base)];
    const rebuilt = [];
    let at = 0;
    for (const one of edits(linesOf(base), linesOf(mine))) {
      rebuilt.push(...linesOf(base).slice(at, one.from), ...linesOf(mine).slice(one.at, one.until));
      at = one.to;
    }
    rebuilt.push(...linesOf(base).slice(at));
    const parts = merge(base, mine, theirs);
    const side = (name) => parts.flatMap((part) => part[name]).join('\\n');
    const swapped = merge(base, theirs, mine);
    const holds = rebuilt.join('\\n') === mine && side('base') === base && side('mine') === mine
      && side('theirs') === theirs && mergedText(merge(base, mine, base)) === mine
      && mergedText(merge(base, base, theirs)) === theirs
      && mergedText(merge(base, mine, mine)) === mine
      && conflicts(parts).length === conflicts(swapped).length
      && (conflicts(parts).length > 0 || mergedText(parts) === mergedText(swapped));
    if (!holds) return [base, mine, theirs];
  }
  return null;
}"""


def test_three_texts_are_merged_by_lines(page: "playwright.Page") -> None:
    for base, mine, theirs, wanted in MERGES:
        merged = page.evaluate(
            """async ([base, mine, theirs]) => {
              const { conflicts, merge, mergedText } = await import('/static/console/lines.js');
              const parts = merge(base, mine, theirs);
              return conflicts(parts).length ? null : mergedText(parts);
            }""",
            [base, mine, theirs],
        )
        assert merged == wanted, (base, mine, theirs)
    assert page.evaluate(FUZZ) is None, "no line is lost or made up, whoever is called mine"


def test_an_acl_is_changed_and_tried_out(page: "playwright.Page", running: Running) -> None:
    make(running, ("/closed", b"x"))
    open_znode(page, running, "/closed")
    page.keyboard.press("a")
    page.click("text=Change the ACL")
    page.select_option(".adding select", "digest-plain")
    page.fill("#panel-acl .adding input >> nth=0", "curator:s3cret")
    page.click("#panel-acl .adding >> nth=0 >> button")
    for name in ("create children", "delete children", "write", "change the ACL"):
        page.click(f"#panel-acl tbody tr >> nth=0 >> [aria-label='{name}']")
    page.click("text=Save the ACL")
    playwright.expect(page.locator("#notice")).to_contain_text("The ACL is saved")

    async def acl(client: Client) -> list[Acl]:
        return (await client.get_acl("/closed"))[0]

    async def as_curator(client: Client) -> list[Acl]:
        await client.add_auth("digest", b"curator:s3cret")
        return await acl(client)

    wanted = [Acl(1, Id("world", "anyone")), Acl(31, digest_id("curator", "s3cret"))]
    assert running.do(as_curator) == wanted
    page.fill("#test-who", "digest-plain:curator:s3cret")
    page.click("text=Try")
    rows = page.locator(".verdicts tr")
    playwright.expect(rows.nth(1)).to_contain_text("yesentry 2 of its ACL: digest:curator")
    page.fill("#test-who", "anyone")
    page.click("text=Try")
    playwright.expect(rows.nth(1)).to_contain_text("no entry of its ACL gives write to anyone")
    page.click("text=Change the ACL")
    page.click("[aria-label='Remove user curator']")
    page.click("text=Save the ACL")
    playwright.expect(page.locator("#panel-acl .problem").first).to_contain_text("only superusers")


def test_who_changed_it_is_found_compared_and_reverted(
    page: "playwright.Page", running: Running
) -> None:
    make(running, ("/past", b"port: 1\n"))
    set_data(running, "/past", b"port: 2\n")
    open_znode(page, running, "/past")
    page.wait_for_function(  # the collector is at it
        "async () => (await (await fetch('/znodes/revisions?path=/past')).json()).rows.length == 2"
    )
    page.keyboard.press("h")
    rows = page.locator(".revisions li")
    playwright.expect(rows.nth(0)).to_contain_text("changed v1")
    playwright.expect(rows.nth(1)).to_contain_text("created v0")
    rows.nth(0).locator("input").check()
    rows.nth(1).locator("input").check()
    page.click("text=Compare two")
    playwright.expect(page.locator("#review .sides .old")).to_have_text("−port: 1")
    playwright.expect(page.locator("#review .sides .new")).to_have_text("+port: 2")
    page.keyboard.press("Escape")
    rows.nth(1).get_by_text("Revert to it").click()
    page.click("text=Save as version 2")
    playwright.expect(page.locator("#notice")).to_contain_text("Saved as version 2")
    assert read(running, "/past") == b"port: 1\n"
    first = page.evaluate(
        "async () => (await (await fetch('/znodes/revisions?path=/past')).json()).rows.at(-1).zxid"
    )
    page.goto(f"{running.url}/znodes/at/past?zxid={first}")
    playwright.expect(page.locator(".revisions .wanted")).to_contain_text("created v0")
    playwright.expect(page.locator("#review h2")).to_contain_text("its first revision")
    page.keyboard.press("Escape")

    async def delete(client: Client) -> None:
        await client.delete("/past")

    running.do(delete)
    playwright.expect(page.locator("#empty")).to_contain_text("deleted just now")
    rows.filter(has_text="changed v1").get_by_text("Revert to it").click()
    page.click("#review footer >> text=Create it again")
    playwright.expect(page.locator("#notice")).to_contain_text("It is back")
    assert read(running, "/past") == b"port: 2\n"


def test_a_child_is_made_and_deleted_from_the_keyboard(
    page: "playwright.Page", running: Running
) -> None:
    make(running, ("/keys", b""))
    open_znode(page, running, "/keys")
    page.keyboard.press("n")
    page.fill("#new-name", "made")
    page.fill("#new-text", "hello")
    page.keyboard.press("Tab")
    page.click("#create-dialog button.primary")
    page.wait_for_url("**/znodes/at/keys/made")
    assert read(running, "/keys/made") == b"hello"
    page.click("#delete")
    page.fill("#confirm", "wrong")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#delete-dialog .problem")).to_contain_text("Type 'made'")
    page.fill("#confirm", "made")
    page.keyboard.press("Enter")
    page.wait_for_url("**/znodes/at/keys")
    with pytest.raises(NoNodeError):
        read(running, "/keys/made")


def test_the_tree_is_walked_with_arrows(page: "playwright.Page", running: Running) -> None:
    make(running, ("/walk", b""), ("/walk/a", b"A"), ("/walk/b", b"B"))
    open_znode(page, running, "/walk")
    page.focus("znode-tree")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
        page.wait_for_timeout(150)
    page.wait_for_url("**/znodes/at/walk/b")
    playwright.expect(page.locator("#editor")).to_contain_text("B")
    page.go_back()
    playwright.expect(page.locator("#path")).to_have_text("/walk")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("/walk/a\n")
    page.wait_for_url("**/znodes/at/walk/a")


def test_a_hundred_thousand_children_are_fluid(page: "playwright.Page", running: Running) -> None:
    async def fill(client: Client) -> None:
        await client.create("/wide")
        for base in range(0, 100_000, 5_000):
            await asyncio.gather(
                *(client.create(f"/wide/c-{n:06}") for n in range(base, base + 5_000))
            )

    running.do(fill)
    open_znode(page, running, "/wide/c-077777")
    row = page.locator(".tree-row[aria-selected=true]")
    playwright.expect(row).to_contain_text("c-077777")
    assert page.locator(".tree-row").count() < 120, "only rows in sight are in the document"
    page.focus("znode-tree")
    page.keyboard.press("End")
    playwright.expect(page.locator(".tree-row:has-text('zookeeper')")).to_be_visible()
    page.evaluate("document.querySelector('znode-tree').scrollTop = 500000")
    playwright.expect(page.locator(".tree-row.waiting")).to_have_count(0)


HOSTILE = [
    ("<img src=x onerror=alert(1)>", b"<script>alert(2)</script>", "<script>alert(2)</script>"),
    ("\u202egpj.exe\u200b\u0300", "\u202e\u2066 x".encode(), "Holds what cannot be seen: ‹U+202E›"),
    ("\uffee'\"`${1}", b"\xff\xfe<b>", "ff fe 3c 62 3e"),
    ("{{ 7*7 }}", b"\x1b[31m\x07", "1b 5b 33 31 6d 07"),
    ("n" * 250, b"y" * 1_000_000, "yyyy"),
]


def test_hostile_names_and_data_are_only_text(page: "playwright.Page", running: Running) -> None:
    make(running, ("/hostile", b""), *((f"/hostile/{name}", data) for name, data, _ in HOSTILE))
    alerts: list[str] = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message))
    open_znode(page, running, "/hostile")
    page.click(".tree-row:has-text('hostile') .fold")
    rows = page.locator(".tree-row[aria-level='3'] .name")
    playwright.expect(rows).to_have_count(len(HOSTILE))
    assert "‹U+202E›gpj.exe‹U+200B›" in "".join(rows.all_text_contents())
    for at in range(len(HOSTILE)):
        rows.nth(at).click()
        shown = page.evaluate("decodeURIComponent(location.pathname.split('/').pop())")
        wanted = page.evaluate("document.querySelector('[aria-selected=true]').title")
        while shown == "hostile":
            shown = page.evaluate("decodeURIComponent(location.pathname.split('/').pop())")
        words = next(words for name, _, words in HOSTILE if name == shown)
        playwright.expect(page.locator(".desk")).to_contain_text(words)
        assert "\u202e" not in wanted
    assert alerts == []
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "a long name does not push the page"


def test_leaving_an_unsaved_edit_asks_first(page: "playwright.Page", running: Running) -> None:
    make(running, ("/unsaved", b"start"))
    open_znode(page, running, "/unsaved")
    write(page, "mine")
    asked: list[str] = []

    def refuse(dialog: "playwright.Dialog") -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    page.click(".tree-row[data-at='0'] .name")
    playwright.expect(page.locator("#path")).to_have_text("/unsaved")
    assert text(page) == "mine"
    assert "not saved" in asked[0]
    page.on("dialog", lambda dialog: dialog.accept())


def test_the_theme_is_chosen_and_kept(page: "playwright.Page", running: Running) -> None:
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("[data-theme-toggle]")
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    page.goto(f"{running.url}/znodes/at/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def test_a_websocket_from_elsewhere_is_refused(page: "playwright.Page", running: Running) -> None:
    """Cross-site websocket hijacking: the cookie goes along, the origin gives it away."""
    import http.client

    host = running.url.removeprefix("http://")
    cookies = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
    for origin, status in (("http://evil.example", 403), (running.url, 101)):
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request(
            "GET",
            "/live",
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
                "Origin": origin,
                "Cookie": cookies,
            },
        )
        assert connection.getresponse().status == status
        connection.close()
