"""The websocket of figures: who may follow whom, what it costs, and what is never queued."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import Http404
from django.test import Client as Browser

from console import figures_guard, socket
from console.asgi import router
from console.figure_subjects import subject_of
from console.figures_hub import hub
from console.figures_live import FiguresConsumer
from console.routes_figures import FIGURE_ACTIONS
from console.second_factor import person_of_session
from observability.samples.table import RESOLUTIONS
from observability.store import ALIAS
from tenants.models import Membership, Tenant
from tests.console.cast import SLUG, make_cast, make_tenant
from tests.console.test_live import closed_with, end_session, grow_old, say
from tests.observability.test_dashboards import seconds

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "observed"])
HOST = b"127.0.0.1:8000"


@pytest.fixture
def browsers(transactional_db: None) -> Iterator[Callable[[str], Browser]]:
    FiguresConsumer.open_pages.clear()
    cast = make_cast()
    make_tenant(cast)

    def browser_of(name: str) -> Browser:
        browser = Browser()
        if name:
            browser.force_login(cast[name])
        return browser

    yield browser_of
    with connections[ALIAS].cursor() as cursor:  # no model's tables: nobody else empties them
        for name in ("series", *(f"sample_{resolution}" for resolution in RESOLUTIONS)):
            cursor.execute(f"DELETE FROM observability_{name}")


def page_of(browser: Browser, origin: bytes = b"http://" + HOST) -> WebsocketCommunicator:
    key = browser.cookies.get(settings.SESSION_COOKIE_NAME)
    cookie = f"{settings.SESSION_COOKIE_NAME}={key.value if key else ''}".encode()
    headers = [(b"host", HOST), (b"origin", origin), (b"cookie", cookie)]
    return WebsocketCommunicator(router, "/live/figures", headers=headers)


async def opened(browsers: Callable[[str], Browser], name: str) -> WebsocketCommunicator:
    page = page_of(await database_sync_to_async(browsers)(name))
    assert (await page.connect(timeout=10))[0]
    return page


async def figures(page: WebsocketCommunicator) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await page.receive_from(timeout=10))
    return message


async def followed(page: WebsocketCommunicator, count: int) -> None:
    """Until the hub knows of so many subjects; a page that was closed instead fails."""
    while len(hub().subjects) < count:
        assert await page.receive_nothing(timeout=0.02)


def test_E10_every_action_is_handled() -> None:
    assert set(FIGURE_ACTIONS) == {"follow", "seen"}
    assert all(callable(getattr(FiguresConsumer, action)) for action in FIGURE_ACTIONS)


async def test_E10_nobody_and_other_origins_do_not_open_it(
    browsers: Callable[[str], Browser],
) -> None:
    bob = await database_sync_to_async(browsers)("bob")
    assert (await page_of(bob, b"http://evil.example").connect(timeout=10))[0] is False
    assert await page_of(Browser()).connect(timeout=10) == (False, socket.CLOSE_SIGNED_OUT)


@pytest.mark.parametrize(
    ("name", "subjects", "is_followed"),
    [
        ("bob", [f"tenant:{SLUG}"], True),
        ("ada", [f"tenant:{SLUG}", "ensemble:main", "node:main:node1"], True),
        ("olga", ["ensemble:main"], True),
        ("carol", [f"tenant:{SLUG}"], False),
        ("carol", ["tenant:nobody"], False),
        ("alice", ["ensemble:main"], False),
        ("alice", ["node:main:node1"], False),
        ("alice", [f"tenant:{SLUG}", "ensemble:main"], False),
        ("ada", ["ensemble:other"], False),
    ],
)
async def test_E10_people_follow_what_they_may_see(
    name: str, subjects: list[str], is_followed: bool, browsers: Callable[[str], Browser]
) -> None:
    page = await opened(browsers, name)
    await say(page, do="follow", subjects=subjects)
    if is_followed:
        await followed(page, len(subjects))
    else:
        assert await closed_with(page) == socket.CLOSE_SIGNED_OUT
    await page.disconnect()
    assert not hub().subjects
    assert not FiguresConsumer.open_pages


@pytest.mark.parametrize(
    "message",
    [
        {"do": "follow"},
        {"do": "follow", "subjects": "tenant:payments"},
        {"do": "follow", "subjects": [7]},
        {"do": "follow", "subjects": ["tenant"]},
        {"do": "follow", "subjects": ["person:alice"]},
        {"do": "follow", "subjects": ["node:main"]},
        {"do": "follow", "subjects": ["tenant:" + "x" * 300]},
        {"do": "follow", "subjects": ["ensemble:main"] * 9},
        {"do": "watch", "path": "/"},
    ],
)
async def test_a_message_that_means_nothing_closes(
    message: dict[str, Any], browsers: Callable[[str], Browser]
) -> None:
    page = await opened(browsers, "olga")
    await say(page, **message)
    assert await closed_with(page) == socket.CLOSE_BAD_MESSAGE
    await page.disconnect()


async def test_a_second_is_told_once_and_a_slow_page_hears_the_newest_alone(
    browsers: Callable[[str], Browser],
) -> None:
    page = await opened(browsers, "ada")
    other = await opened(browsers, "bob")
    begin = int(time.time()) - 30
    await database_sync_to_async(seconds)("node1", begin, begin)
    await say(page, do="follow", subjects=[f"tenant:{SLUG}", "ensemble:main"])
    first = await figures(page)
    assert set(first["figures"]) == {f"tenant:{SLUG}", "ensemble:main"}
    assert first["figures"]["ensemble:main"]["at"] == begin
    await say(other, do="follow", subjects=[f"tenant:{SLUG}"])
    while len(hub().followers[first_key()]) < 2:
        assert await other.receive_nothing(timeout=0.02)
    for later in (1, 2, 3):
        await database_sync_to_async(seconds)("node1", begin + later, begin + later, reads=later)
        told = await figures(other)
        assert told["missed"] == 0
        assert told["figures"][f"tenant:{SLUG}"]["at"] == begin + later
        await say(other, do="seen")
    assert await page.receive_nothing(timeout=0.1), "it has not said that it has seen the first"
    await say(page, do="seen")
    newest = await figures(page)
    assert newest["figures"]["ensemble:main"]["at"] == begin + 3
    assert newest["figures"]["ensemble:main"]["values"]["requests"] == 3.0
    assert newest["missed"] == 4, "two seconds of two subjects"
    await page.disconnect()
    await other.disconnect()


def first_key() -> str:
    return next(key for key in hub().followers if key.startswith("tenant:"))


def lose_the_tenant(browser: Browser) -> None:
    Membership.objects.all().delete()


def switch_off(browser: Browser) -> None:
    User.objects.update(is_active=False)


@pytest.mark.parametrize("revoke", [lose_the_tenant, switch_off, end_session, grow_old])
async def test_E10_rights_that_are_lost_end_what_is_followed(
    revoke: Callable[[Browser], None],
    browsers: Callable[[str], Browser],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "CHECK_USER_EVERY_S", 0.05)
    bob = await database_sync_to_async(browsers)("bob")
    page = page_of(bob)
    assert (await page.connect(timeout=10))[0]
    await say(page, do="follow", subjects=[f"tenant:{SLUG}"])
    await followed(page, 1)
    await database_sync_to_async(revoke)(bob)
    assert await closed_with(page) == socket.CLOSE_SIGNED_OUT
    await page.disconnect()
    assert not hub().subjects


def test_E10_what_holds_for_open_pages_is_what_holds_when_they_open(
    browsers: Callable[[str], Browser],
) -> None:
    words = (f"tenant:{SLUG}", "tenant:nobody", "tenant:gone", "ensemble:main", "ensemble:other")
    one = Tenant.objects.get()
    Tenant.objects.create(
        slug="gone", ensemble=one.ensemble, plan=one.plan, root="/gone", lifecycle="gone"
    )
    checked = 0
    for name in ("olga", "ada", "alice", "dan", "bob", "carol", ""):
        cookie = browsers(name).cookies.get(settings.SESSION_COOKIE_NAME)
        key = None if cookie is None else cookie.value
        user, _ = person_of_session(key)
        for word in (*words, "node:main:node1"):
            try:
                subject_of(user, word)
                opens = bool(name)
            except (Http404, PermissionDenied):
                opens = False
            assert figures_guard.may_all([(key, (word,))]) == [opens], (name, word)
            checked += opens
    assert checked == 9


async def test_a_page_that_does_not_answer_is_dropped(
    browsers: Callable[[str], Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "SEEN_WITHIN_S", 0.1)
    page = await opened(browsers, "ada")
    begin = int(time.time()) - 30
    await database_sync_to_async(seconds)("node1", begin, begin)
    await say(page, do="follow", subjects=["ensemble:main"])
    assert (await figures(page))["figures"]
    assert await closed_with(page) == socket.CLOSE_TOO_SLOW
    await page.disconnect()


async def test_the_reader_ends_when_nobody_looks(browsers: Callable[[str], Browser]) -> None:
    page = await opened(browsers, "ada")
    await say(page, do="follow", subjects=["ensemble:main"])
    await followed(page, 1)
    task = hub().task
    assert task is not None
    await page.disconnect()
    await asyncio.wait_for(task, 5)
