"""The websocket of parts: what it shows is what the page would show, told when it differs."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from console import parts_hub, socket
from console.access import ROUTES
from console.asgi import router
from console.parts_hub import Look, Seen, hub, look_at
from console.parts_live import PartsConsumer
from console.routes_parts import PART_ACTIONS, PARTS
from tenants.models import Ensemble, Job, Tenant
from tests.console.cast import CAST, SLUG, make_cast, make_tenant
from tests.console.test_figures_live import lose_the_tenant
from tests.console.test_live import closed_with, end_session, say

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "observed"])
HOST = b"127.0.0.1:8000"
WITH = {"ensemble": "main", "node": "one", "slug": SLUG, "key": "j0b"}
IDS = {
    "tenant": "glance",
    "tenant-locks": "locks",
    "tenant-sessions": "sessions",
    "jobs": "jobs-list",
    "alerts": "firing",
    "tenant-alerts": "firing",
}


@pytest.fixture
def browsers(transactional_db: None) -> Callable[[str], Browser]:
    PartsConsumer.open_pages.clear()
    cast = make_cast()
    make_tenant(cast)
    Ensemble.objects.get().nodes.create(name="one")
    Job.objects.create(
        key=WITH["key"],
        kind="export",
        person=cast["olga"],
        where="tree",
        ensemble="main",
        via="form",
        path="/",
        expires_at=timezone.now() + timedelta(days=1),
    )

    def browser_of(name: str) -> Browser:
        browser = Browser(HTTP_HOST=HOST.decode())
        if name:
            browser.force_login(cast[name])
        return browser

    return browser_of


def page_of(browser: Browser, origin: bytes = b"http://" + HOST) -> WebsocketCommunicator:
    key = browser.cookies.get(settings.SESSION_COOKIE_NAME)
    cookie = f"{settings.SESSION_COOKIE_NAME}={key.value if key else ''}".encode()
    headers = [(b"host", HOST), (b"origin", origin), (b"cookie", cookie)]
    return WebsocketCommunicator(router, "/live/parts", headers=headers)


async def opened(browser: Browser) -> WebsocketCommunicator:
    page = page_of(browser)
    assert (await page.connect(timeout=10))[0]
    return page


async def part(page: WebsocketCommunicator) -> str:
    message: dict[str, Any] = json.loads(await page.receive_from(timeout=10))
    assert set(message) == {"part"}
    return str(message["part"])


def address_of(route: str) -> str:
    names = [name for name in WITH if name in needed_by(route)]
    return reverse(route, kwargs={name: WITH[name] for name in names})


def needed_by(route: str) -> tuple[str, ...]:
    if route in ("node", "job"):
        return ("ensemble", "node") if route == "node" else ("key",)
    if route.startswith("tenant"):
        return ("slug",)
    return ("ensemble",) if route in ("locks", "sessions") else ()


def test_E10_every_action_and_every_page_stands_in_a_table() -> None:
    assert set(PART_ACTIONS) == {"follow", "seen"}
    assert set(PARTS) <= set(ROUTES)


async def test_E10_nobody_and_other_origins_do_not_open_it(
    browsers: Callable[[str], Browser],
) -> None:
    ada = await database_sync_to_async(browsers)("ada")
    assert (await page_of(ada, b"http://evil.example").connect(timeout=10))[0] is False
    assert await page_of(Browser()).connect(timeout=10) == (False, socket.CLOSE_SIGNED_OUT)


@pytest.mark.parametrize("route", PARTS)
async def test_E10_everybody_is_told_what_they_could_ask_for(
    route: str, browsers: Callable[[str], Browser]
) -> None:
    address = address_of(route)
    told = []
    for name in filter(None, CAST):
        browser = await database_sync_to_async(browsers)(name)
        whole = await database_sync_to_async(browser.get)(address)
        page = await opened(browser)
        await say(page, do="follow", part=address)
        if b" data-fresh=" in whole.content:
            text = await part(page)
            own = f'id="{IDS.get(route, route)}" data-fresh="{address}"'
            assert own in text, f"{name}: the page's own part"
            assert own in whole.content.decode()
            told.append(name)
            assert "<html" not in text
            if route != "job":  # else each look would differ
                assert "csrfmiddlewaretoken" not in text
        else:
            assert await closed_with(page) == socket.CLOSE_SIGNED_OUT, (name, whole.status_code)
        await page.disconnect()
    assert not hub().parts
    assert "olga" in told
    assert ("carol" in told) == (route == "jobs"), "a stranger has jobs of their own, or none"


@pytest.mark.parametrize(
    "message",
    [
        {"do": "follow"},
        {"do": "follow", "part": 7},
        {"do": "follow", "part": "/people"},  # a page without such a part
        {"do": "follow", "part": "/no/such/page"},
        {"do": "follow", "part": "http://evil.example/"},
        {"do": "follow", "part": "//evil.example/"},
        {"do": "follow", "part": "/api/v1/tenants"},
        {"do": "follow", "part": "/?" + "x" * 20_000},
        {"do": "delete", "part": "/"},
    ],
)
async def test_a_message_that_means_nothing_closes(
    message: dict[str, Any], browsers: Callable[[str], Browser]
) -> None:
    page = await opened(await database_sync_to_async(browsers)("olga"))
    await page.send_to(json.dumps(message))
    assert await closed_with(page) == socket.CLOSE_BAD_MESSAGE
    await page.disconnect()


class Pages:
    """In place of the console's: says what it is told to."""

    def __init__(self) -> None:
        self.says = Seen(200, "one")
        self.looks: list[Look] = []
        self.told = threading.Semaphore(0)

    def __call__(self, look: Look) -> Seen:
        self.looks.append(look)
        self.told.release()
        return self.says

    async def looked_at(self, times: int) -> None:
        """Until there were so many looks from now on."""
        while self.told.acquire(blocking=False):
            pass
        for _ in range(times):
            assert await asyncio.to_thread(self.told.acquire, timeout=10)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    found = Pages()
    monkeypatch.setattr(parts_hub, "look_at", found)
    for route in PARTS:
        monkeypatch.setitem(PARTS, route, 0.02)
    return found


async def test_it_is_told_when_it_differs_and_a_slow_page_hears_the_newest_alone(
    browsers: Callable[[str], Browser], pages: Pages
) -> None:
    page = await opened(await database_sync_to_async(browsers)("olga"))
    await say(page, do="follow", part="/")
    assert await part(page) == "one"
    await say(page, do="seen")
    await pages.looked_at(3)
    assert await page.receive_nothing(timeout=0.1), "nothing has changed"
    pages.says = Seen(200, "two")
    assert await part(page) == "two"
    for text in ("three", "four"):
        pages.says = Seen(200, text)
        await pages.looked_at(2)
    assert await page.receive_nothing(timeout=0.05), "it has not seen the last one"
    await say(page, do="seen")
    assert await part(page) == "four"
    pages.says = Seen(500)
    await say(page, do="seen")
    assert await part(page) == "", "the page cannot be made"
    pages.says = Seen(200, "five")
    await say(page, do="seen")
    assert await part(page) == "five"
    await page.disconnect()


async def test_tabs_of_a_browser_share_their_looks_which_end_with_the_last(
    browsers: Callable[[str], Browser], pages: Pages
) -> None:
    olga = await database_sync_to_async(browsers)("olga")
    ada = await database_sync_to_async(browsers)("ada")
    tabs = [await opened(browser) for browser in (olga, olga, ada)]
    for tab in tabs:
        await say(tab, do="follow", part="/")
        assert await part(tab) == "one"
    assert len(hub().parts) == 2, "a look as each person"
    await say(tabs[1], do="seen")
    await say(tabs[1], do="follow", part="/members")
    assert await part(tabs[1]) == "one"
    assert len(hub().parts) == 3, "another page instead of the first"
    for tab in tabs:
        await tab.disconnect()
    assert not hub().parts
    await asyncio.sleep(0.05)
    count = len(pages.looks)
    await asyncio.sleep(0.1)
    assert len(pages.looks) == count


def test_many_pages_have_their_looks_less_often() -> None:
    assert parts_hub.pause_s(1.0, 0.04, 1) == 1.0
    assert parts_hub.pause_s(1.0, 0.04, 100) == pytest.approx(8.0), "100 looks in 8 s: half of them"


async def test_a_look_that_fails_is_no_end(
    browsers: Callable[[str], Browser], pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(look: Look) -> Seen:
        raise OSError("the disk is gone")

    monkeypatch.setattr(parts_hub, "look_at", fails)
    page = await opened(await database_sync_to_async(browsers)("olga"))
    await say(page, do="follow", part="/")
    assert await part(page) == ""
    monkeypatch.setattr(parts_hub, "look_at", pages)
    await say(page, do="seen")
    assert await part(page) == "one"
    await page.disconnect()


@pytest.mark.parametrize("loses", [lose_the_tenant, end_session])
async def test_E10_rights_that_are_lost_end_it(
    loses: Callable[[Browser], None],
    browsers: Callable[[str], Browser],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PARTS, "tenant", 0.05)
    bob = await database_sync_to_async(browsers)("bob")
    page = await opened(bob)
    await say(page, do="follow", part=address_of("tenant"))
    assert SLUG in await part(page)
    await say(page, do="seen")
    await database_sync_to_async(loses)(bob)
    assert await closed_with(page) == socket.CLOSE_SIGNED_OUT
    await page.disconnect()


def test_a_look_carries_the_address_to_the_letter(browsers: Callable[[str], Browser]) -> None:
    olga = browsers("olga")
    tenant = Tenant.objects.get()
    cookie = olga.cookies[settings.SESSION_COOKIE_NAME].value
    scope = {
        "scheme": "ws",
        "client": ("127.0.0.9", 1),
        "headers": [
            (b"host", HOST),
            (b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()),
            (b"upgrade", b"websocket"),
        ],
    }
    look = Look.of(scope, f"/tenants/{tenant.slug}/locks?path=%2F%C3%A4%2Fb%20c%26d", 1.0)
    environ = look.environ()
    assert environ["REMOTE_ADDR"] == "127.0.0.9"
    assert environ["SERVER_PORT"] == "8000"
    assert "HTTP_UPGRADE" not in environ
    seen = look_at(look)
    assert seen.status == 503, "nobody answers for the cast's tenant"
    assert "/locks?path=%2F%C3%A4%2Fb%20c%26d" in seen.text
    assert Look.of(scope, "/?a=%26&b=1#c", 1.0).environ()["QUERY_STRING"] == "a=%26&b=1#c"
    secure = Look.of({**scope, "scheme": "wss"}, "/", 1.0)
    assert secure.environ()["wsgi.url_scheme"] == "https"
    assert (
        Look.of(scope, "/nä%20h", 1.0).environ()["PATH_INFO"].encode("latin-1") == "/nä h".encode()
    )
