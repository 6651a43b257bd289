"""The members' page: what it shows, and who may change what. `ensemble up` itself is in test_up."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser

from ensemble.up import control
from ensemble.up.control import NodeReport
from ensemble.up.errors import NotRunningError, RefusedError
from tests.harness import Node
from tests.ports import free_port

VAR = "/some/folder"


def report(id: int, port: int, **changed: Any) -> NodeReport:
    values: dict[str, Any] = {"role": "voter", "state": "runs", "mode": "follower", "zxid": 0}
    values |= {"clients": 0, "starts": 1, "pid": 0, "client_port": port, "admin_port": 0, **changed}
    return NodeReport(id=id, **values)


class FakeUp:
    """What the page asks `ensemble up` for, without one."""

    def __init__(self) -> None:
        self.nodes: list[NodeReport] = []
        self.asked: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    def list_nodes(self, folder: Path) -> list[NodeReport]:
        assert folder == Path(VAR)
        return self.nodes

    def add_observer(self, folder: Path) -> NodeReport:
        self.asked.append(("add", folder))
        if self.error:
            raise self.error
        return report(4, 2184, role="observer")

    def remove_observer(self, folder: Path, id: int) -> None:
        self.asked.append(("remove", folder, id))
        if self.error:
            raise self.error


@pytest.fixture
def up(zookeeper: Node, settings: Any, monkeypatch: pytest.MonkeyPatch) -> FakeUp:
    """An `up` with one node that runs, one that is down, and an observer that is down, too."""
    up = FakeUp()
    up.nodes = [
        report(1, zookeeper.port, starts=3),
        report(2, free_port(), state="waits"),
        report(4, free_port(), role="observer"),
    ]
    for name in ("list_nodes", "add_observer", "remove_observer"):
        monkeypatch.setattr(control, name, getattr(up, name))
    settings.ENSEMBLE_UP = VAR
    return up


def test_each_server_is_shown_with_what_it_says(
    viewer: Browser, zookeeper: Node, up: FakeUp
) -> None:
    page = viewer.get("/members").content.decode()
    for words in (
        "node1",
        zookeeper.address,
        "standalone",
        "node2",
        "ended, is started again soon",
    ):
        assert words in page, words
    assert "does not answer" in page  # node4, whose process runs
    assert "No leader: writes wait" in page
    assert '<td class="number">2</td>' in page  # restarts of node1
    for words in ("Add an observer", "Remove", '<form method="post" action="/members'):
        assert words not in page, f"a viewer changes nothing: {words}"


def test_an_operator_is_offered_the_removal_of_observers_only(
    operator: Browser, up: FakeUp
) -> None:
    page = operator.get("/members").content.decode()
    assert "Add an observer" in page
    assert 'id="remove-4"' in page
    assert 'id="remove-1"' not in page
    assert 'id="remove-2"' not in page


def test_without_up_the_page_shows_what_servers_say_and_offers_nothing(
    operator: Browser, zookeeper: Node
) -> None:
    page = operator.get("/members").content.decode()
    assert "The server serves" in page
    assert zookeeper.address in page
    assert "this console was not started by `ensemble up`" in page
    assert "Add an observer" not in page
    answer = operator.post("/members/add")
    assert answer.status_code == 503
    assert "this console was not started by" in answer.content.decode()


def test_with_an_up_that_has_ended_the_page_still_shows_the_servers(
    operator: Browser, zookeeper: Node, settings: Any, tmp_path: Path
) -> None:
    settings.ENSEMBLE_UP = str(tmp_path)
    page = operator.get("/members").content.decode()
    assert "no `ensemble up` runs in" in page
    assert zookeeper.address in page


def test_adding_and_removing_are_done_and_written_down(
    operator: Browser, up: FakeUp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "console.audit"):
        answer = operator.post("/members/add")
        assert (answer.status_code, answer["Location"]) == (302, "/members")
        answer = operator.post("/members/remove", {"id": "4"})
        assert (answer.status_code, answer["Location"]) == (302, "/members")
    assert up.asked == [("add", Path(VAR)), ("remove", Path(VAR), 4)]
    assert [json.loads(line) for line in caplog.messages] == [
        {"actor": "olga", "action": "member-add", "result": "ok"},
        {"actor": "olga", "action": "member-remove", "id": 4, "result": "ok"},
    ]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RefusedError("there are 10 observers, at most 10"), 409, "10 observers, at most 10"),
        (NotRunningError("no answer within 30 s"), 503, "no answer within 30 s"),
    ],
)
def test_a_refusal_is_shown_and_written_down(
    error: Exception,
    status: int,
    words: str,
    operator: Browser,
    up: FakeUp,
    caplog: pytest.LogCaptureFixture,
) -> None:
    up.error = error
    for address, form in (("/members/add", {}), ("/members/remove", {"id": "4"})):
        caplog.clear()
        answer = operator.post(address, form)
        assert answer.status_code == status
        assert words in answer.content.decode()
        assert "node1" in answer.content.decode()
        line = json.loads(caplog.messages[0])
        assert (line["actor"], line["result"]) == ("olga", type(error).__name__)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "id is &#x27;&#x27;; it must be a number."),
        ("four", "id is &#x27;four&#x27;; it must be a number."),
        ("0", "id is 0; it must be between 1 and 255."),
        ("256", "id is 256; it must be between 1 and 255."),
    ],
)
def test_an_id_that_cannot_be_is_refused_with_value_and_bound(
    value: str, words: str, operator: Browser, up: FakeUp
) -> None:
    answer = operator.post("/members/remove", {"id": value})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert up.asked == []


def test_a_viewer_is_told_to_ask_an_operator(viewer: Browser, up: FakeUp) -> None:
    for address in ("/members/add", "/members/remove"):
        assert viewer.post(address, {"id": "4"}).status_code == 403
    assert up.asked == []
