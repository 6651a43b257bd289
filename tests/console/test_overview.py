"""The first page: what the servers say of themselves."""

import asyncio
from typing import Any

import pytest
from django.test import Client as Browser

from console import health, zk
from ensemble.client import ConnectionLossError
from tests.console.conftest import Do
from tests.harness import Node
from tests.ports import free_port

SRVR = """Zookeeper version: 3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17
Latency min/avg/max: 0/1.25/18
Received: 45
Sent: 44
Connections: 3
Outstanding: 0
Zxid: 0x100000002
Mode: follower
Node count: 1234
"""


def test_a_server_that_runs_is_shown_with_its_numbers(
    viewer: Browser, zookeeper: Node, do: Do[Any]
) -> None:
    do(lambda client: client.exists("/"))
    page = viewer.get("/").content.decode()
    assert "Everything answers" in page
    for words in ("standalone", zookeeper.address, "Zxid", "0x", "Average latency", "Connections"):
        assert words in page, words


def test_a_server_with_a_whitelist_tells_what_it_may(
    viewer: Browser, zookeeper: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(host: str, port: int, word: str, within: float) -> str:
        closed = f"{word} is not executed because it is not in the whitelist.\n"
        return SRVR if word == "srvr" else closed

    monkeypatch.setattr(health, "four_letter", answer)
    page = viewer.get("/").content.decode()
    for words in ("follower", "0x100000002", "1.25", "1,234", ">3.9.3-c26634f"):
        assert words in page, words


@pytest.mark.parametrize("text", ["", "This ZooKeeper instance is not currently serving requests"])
def test_a_server_that_does_not_serve_is_shown_as_such(
    text: str, viewer: Browser, zookeeper: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(host: str, port: int, word: str, within: float) -> str:
        return text

    monkeypatch.setattr(health, "four_letter", answer)
    page = viewer.get("/").content.decode()
    assert "Something is wrong" in page
    assert (text or "an empty answer") in page


def test_what_a_server_says_is_never_markup(
    viewer: Browser, zookeeper: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(host: str, port: int, word: str, within: float) -> str:
        if word == "mntr":
            raise ConnectionLossError("<script>alert(1)</script>")
        return SRVR

    monkeypatch.setattr(health, "four_letter", answer)
    page = viewer.get("/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_one_of_several_that_is_down_is_named(
    viewer: Browser, zookeeper: Node, settings: Any
) -> None:
    down = f"127.0.0.1:{free_port()}"
    zk.stop()
    settings.ZOOKEEPER_HOSTS = f"{zookeeper.address},{down}"
    page = viewer.get("/").content.decode()
    assert "Something is wrong" in page
    assert page.count("does not answer") == 1
    assert page.index("standalone") < page.index(down) < page.index("does not answer")


def test_a_server_that_hangs_holds_up_one_page_and_not_the_next_ones(
    viewer: Browser, zookeeper: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages look again every few seconds; the console has few threads for all of them."""
    asked: list[str] = []
    hanging = False

    async def answer(host: str, port: int, word: str, within: float) -> str:
        asked.append(word)
        if hanging:
            await asyncio.sleep(3_600)
        return SRVR

    monkeypatch.setattr(health, "four_letter", answer)
    monkeypatch.setattr(health, "PATIENCE_S", 0.01)
    assert "follower" in viewer.get("/").content.decode()
    assert "follower" in viewer.get("/").content.decode()
    assert asked == ["srvr", "mntr"], "a fresh answer serves all pages"
    monkeypatch.setattr(health, "FRESH_S", 0.0)
    hanging = True
    for _ in range(3):
        assert "follower" in viewer.get("/").content.decode()
    assert asked == ["srvr", "mntr", "srvr"], "one question at a time"


def test_answers_are_kept_of_so_many_lists_of_servers(
    zookeeper: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = health.Rounds()

    async def answer(host: str, port: int, word: str, within: float) -> str:
        return SRVR

    async def ask_many() -> None:
        for port in range(1, health.KEPT_MAX + 9):
            assert (await rounds.of(f"host:{port}"))[0].host == f"host:{port}"

    monkeypatch.setattr(health, "four_letter", answer)
    asyncio.run(ask_many())
    assert len(rounds._answers) == health.KEPT_MAX
