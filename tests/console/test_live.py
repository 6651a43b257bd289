"""The websocket: who may open it, what it may say, what it costs. Against a real node."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client as Browser

from console import live, zk
from console import socket as sockets
from console.asgi import router
from console.live import LiveConsumer
from console.origin import is_own
from console.sessions import ACTIVE, BEGAN
from console.socket import Allowance
from ensemble.client import Client
from tests.console.cast import make_person
from tests.harness import Node

pytestmark = pytest.mark.django_db(transaction=True)
HOST = b"127.0.0.1:8000"
Open = Callable[..., Awaitable[tuple[bool, WebsocketCommunicator]]]


@pytest.fixture
def signed_in(zookeeper: Node) -> Browser:
    LiveConsumer.open_pages.clear()
    browser = Browser()
    browser.force_login(make_person("ada"))
    return browser


def socket(browser: Browser, **changed: bytes) -> WebsocketCommunicator:
    key = browser.cookies.get(settings.SESSION_COOKIE_NAME)
    headers = {
        b"host": HOST,
        b"origin": b"http://" + HOST,
        b"cookie": f"{settings.SESSION_COOKIE_NAME}={key.value if key else ''}".encode(),
    }
    headers.update({name.encode(): value for name, value in changed.items()})
    return WebsocketCommunicator(router, "/live", headers=list(headers.items()))


async def events(page: WebsocketCommunicator) -> list[tuple[str, str]]:
    message = json.loads(await page.receive_from(timeout=5))
    return [(event["event"], event["path"]) for event in message["events"]]


async def closed_with(page: WebsocketCommunicator, timeout_s: float = 5) -> int:
    message = await page.receive_output(timeout=timeout_s)
    assert message["type"] == "websocket.close", message
    return int(message["code"])


async def say(page: WebsocketCommunicator, **message: Any) -> None:
    await page.send_to(json.dumps(message))


async def set_data(node: Node, path: str, data: bytes) -> None:
    async with Client(node.address) as client:
        if await client.exists(path) is None:
            await client.create(path, data)
        else:
            await client.set(path, data)


@pytest.mark.parametrize(
    ("changed", "opens"),
    [
        ({}, True),
        ({"origin": b"http://127.0.0.1:8001"}, False),  # another program on this machine
        ({"origin": b"https://127.0.0.1:8000"}, False),
        ({"origin": b"http://evil.example"}, False),
        ({"origin": b"null"}, False),
        ({"origin": b""}, False),
        ({"host": b"evil.example", "origin": b"http://evil.example"}, False),  # DNS rebinding
        ({"cookie": b""}, False),
        ({"cookie": b"ensemble_session=guessed"}, False),
    ],
)
async def test_only_pages_of_the_console_open_it(
    changed: dict[str, bytes], opens: bool, signed_in: Browser
) -> None:
    page = socket(signed_in, **changed)
    assert (await page.connect())[0] is opens
    await page.disconnect()


async def test_E10_persons_do_not_follow_the_whole_tree(zookeeper: Node) -> None:
    browser = Browser()
    carol = await sync_to_async(make_person)("carol")
    await sync_to_async(browser.force_login)(carol)
    page = socket(browser)
    assert (await page.connect()) == (False, sockets.CLOSE_SIGNED_OUT)


def test_an_origin_that_is_trusted_by_name_passes(settings: Any) -> None:
    headers = [(b"host", b"127.0.0.1:8000"), (b"origin", b"https://zk.example")]
    assert not is_own(headers)
    settings.CSRF_TRUSTED_ORIGINS = ["https://zk.example"]
    assert is_own(headers)
    assert not is_own([*headers, (b"origin", b"http://evil.example")])


async def test_a_change_is_told_once_until_the_page_has_seen_it(
    signed_in: Browser, zookeeper: Node
) -> None:
    await set_data(zookeeper, "/told", b"0")
    page = socket(signed_in)
    await page.connect()
    await say(page, do="watch", path="/told")
    await say(page, do="watch", path="/told")
    while [path for path, _ in zk.bridge()._watchers] != ["/told"]:
        assert await page.receive_nothing(timeout=0.05)
    await set_data(zookeeper, "/told", b"1")
    assert await events(page) == [("data", "/told")]
    for number in range(20):
        await set_data(zookeeper, "/told", b"%d" % number)
    assert await page.receive_nothing(timeout=0.3), "it has not said that it has seen the first"
    await say(page, do="seen")
    assert await events(page) == [("data", "/told")], "twenty changes are one"
    await page.disconnect()
    assert zk.bridge()._watchers == []
    assert not LiveConsumer.open_pages


async def test_a_page_that_has_read_before_it_watched_is_told_to_look_again(
    signed_in: Browser, zookeeper: Node
) -> None:
    page = socket(signed_in)
    await page.connect()
    await say(page, do="watch", path="/", gap=True)
    assert await events(page) == [("gap", "/")]
    assert [path for path, _ in zk.bridge()._watchers] == ["/"], "the watch hangs by then"
    await page.disconnect()


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "{",
        "[]",
        "7",
        '"watch"',
        "{}",
        '{"do": "delete", "path": "/"}',
        '{"do": ["watch"], "path": "/"}',
        '{"do": "watch", "path": 7}',
        '{"do": "__class__", "path": "/"}',
        "[" * 60_000,
        " " * (sockets.MESSAGE_BYTES_MAX + 1),
    ],
)
async def test_a_message_that_means_nothing_closes(text: str, signed_in: Browser) -> None:
    page = socket(signed_in)
    await page.connect()
    await page.send_to(text)
    assert await closed_with(page) == sockets.CLOSE_BAD_MESSAGE


async def test_bytes_close(signed_in: Browser) -> None:
    page = socket(signed_in)
    await page.connect()
    await page.send_to(bytes_data=b"{}")
    assert await closed_with(page) == sockets.CLOSE_BAD_MESSAGE


def end_session(browser: Browser) -> None:
    browser.logout()


def switch_off(browser: Browser) -> None:
    User.objects.update(is_active=False)


def change_password(browser: Browser) -> None:
    user = User.objects.get()
    user.set_password("another")
    user.save()


def grow_old(browser: Browser) -> None:
    change_session(browser, {BEGAN: 0.0})


def lose_the_role(browser: Browser) -> None:
    User.objects.get().groups.clear()


def fall_asleep(browser: Browser) -> None:
    change_session(browser, {ACTIVE: 0.0})


def change_session(browser: Browser, values: dict[str, float]) -> None:
    session = SessionStore(browser.cookies[settings.SESSION_COOKIE_NAME].value)
    session.update(values)
    session.save()


REVOKED = [end_session, switch_off, change_password, grow_old, fall_asleep, lose_the_role]


@pytest.mark.parametrize("revoke", REVOKED)
async def test_every_message_is_checked_anew(
    revoke: Callable[[Browser], None], signed_in: Browser
) -> None:
    page = socket(signed_in)
    assert (await page.connect())[0]
    await sync_to_async(revoke)(signed_in)
    await say(page, do="watch", path="/")
    assert await closed_with(page) == sockets.CLOSE_SIGNED_OUT
    assert LiveConsumer.open_pages.total() == 1
    await page.disconnect()
    assert LiveConsumer.open_pages.total() == 0


@pytest.mark.parametrize("revoke", REVOKED)
async def test_a_page_that_says_nothing_is_closed_too(
    revoke: Callable[[Browser], None], signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sockets.CHECK_USER_EVERY_S < 5
    monkeypatch.setattr(sockets, "CHECK_USER_EVERY_S", 0.05)
    page = socket(signed_in)
    assert (await page.connect())[0]
    await sync_to_async(revoke)(signed_in)
    assert await closed_with(page) == sockets.CLOSE_SIGNED_OUT


async def test_a_page_that_does_not_answer_is_dropped(
    signed_in: Browser, zookeeper: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SEEN_WITHIN_S", 0.1)
    monkeypatch.setattr(live, "PATHS_MAX", 0)
    page = socket(signed_in)
    await page.connect()
    await say(page, do="watch", path="/")
    assert await events(page) == [("unwatched", "/")]
    assert await closed_with(page) == sockets.CLOSE_TOO_SLOW


async def test_what_waits_for_a_page_is_bounded(
    signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVENTS_MAX", 3)
    monkeypatch.setattr(live, "PATHS_MAX", 0)
    page = socket(signed_in)
    await page.connect()
    await say(page, do="watch", path="/first")
    assert await events(page) == [("unwatched", "/first")]
    for number in range(5):
        await say(page, do="watch", path=f"/{number}")
    await say(page, do="seen")
    assert await closed_with(page) == sockets.CLOSE_TOO_SLOW


async def test_one_path_too_many_is_said_and_the_others_stay(
    signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATHS_MAX", 2)
    page = socket(signed_in)
    await page.connect()
    for path in ("/a", "/b", "/c"):
        await say(page, do="watch", path=path)
    assert await events(page) == [("unwatched", "/c")]
    assert [path for path, _ in zk.bridge()._watchers] == ["/a", "/b"]
    await say(page, do="unwatch", path="/a")
    await say(page, do="unwatch", path="/never")
    await page.disconnect()


async def test_pages_of_one_person_are_counted(
    signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "PAGES_A_USER_MAX", 2)
    pages = [socket(signed_in) for _ in range(3)]
    assert [(await page.connect())[0] for page in pages] == [True, True, False]
    for page in pages:
        await page.disconnect()
    assert not LiveConsumer.open_pages


async def test_who_talks_without_end_is_closed(
    signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MESSAGES_BURST_MAX", 3)
    monkeypatch.setattr(sockets, "MESSAGES_A_SECOND_MAX", 0)
    page = socket(signed_in)
    await page.connect()
    for _ in range(4):
        await say(page, do="seen")
    assert await closed_with(page) == sockets.CLOSE_TOO_MANY


def test_an_allowance_grows_back_with_time_and_not_beyond_its_bound() -> None:
    allowance = Allowance(a_second=2, at_once=3)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(100.5), allowance.take(100.5)] == [True, False]
    assert [allowance.take(900.0) for _ in range(4)] == [True, True, True, False]
