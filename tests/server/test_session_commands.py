"""Sessions closed from the admin port: what goes with them, whose they must be, what is noted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ensemble.server.role_history import ROLES_MAX, RoleHistory
from tests.ensembles import Ensemble, ours
from tests.harness import Node, RawClient
from tests.ports import free_ports
from tests.server import feeds
from tests.server import tenant_steps as steps
from tests.server.test_admin_port import ask as ask_node
from tests.server.test_introspection import session_of


@dataclass
class At:
    """A server's admin port, as `ask_node` wants it."""

    admin_port: int


def ask_to_close(
    node: Node | At, token: str = feeds.CONTROL, **query: object
) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = f"/commands/close_session?{urlencode(query)}"
    status, text = ask_node(node, path, "POST", headers)  # type: ignore[arg-type]
    return status, json.loads(text)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("closing")
    settings = {**feeds.access(folder), "ensemble.audit.journal": "on"}
    node = Node(
        folder / "node",
        settings,
        {"zookeeper.DigestAuthenticationProvider.superDigest": steps.SUPER_DIGEST},
        [],
    ).start()
    steps.provision(node, "payments", "search")
    yield node
    node.kill9()


def test_a_session_that_is_closed_takes_its_ephemerals_with_it(node: Node) -> None:
    watcher = steps.client(node)
    closed = steps.client(node)
    closed.create("/held-1", b"", ephemeral=True)
    closed.create("/held-2", b"", ephemeral=True)
    id = session_of(closed)
    status, answer = ask_to_close(node, session=id, by="olga")
    assert (status, answer["error"], answer["ephemerals"]) == (200, None, 2)
    assert watcher.exists("/held-1") is None
    assert watcher.exists("/held-2") is None
    again = ask_to_close(node, session=id)
    assert again[0] == 404
    assert again[1]["error"] == f"{id} is no session here"
    steps.leave(watcher, closed)


def test_a_session_without_a_connection_is_closed_too(node: Node) -> None:
    raw = RawClient(node.port)
    raw.connect()
    raw.close()
    status, _ = ask_to_close(node, session=f"0x{raw.session_id & (1 << 64) - 1:x}")
    assert status == 200
    again = RawClient(node.port)
    assert not again.connect(session_id=raw.session_id, password=raw.password)
    again.close()


def test_E10_a_tenant_ends_its_own_sessions_and_learns_nothing_of_others(node: Node) -> None:
    payments = steps.tenant_client(node, "payments")
    nobody = steps.client(node)
    own, other = session_of(payments), session_of(nobody)
    refused = ask_to_close(node, session=own, tenant="search")
    assert refused[0] == 404
    absent = ask_to_close(node, session="0x123456", tenant="search")
    assert str(refused[1]["error"]).replace(own, "0x123456") == absent[1]["error"]
    assert ask_to_close(node, session=other, tenant="payments")[0] == 404
    assert ask_to_close(node, session=own, tenant="nobody")[0] == 400
    assert payments.exists("/") is not None, "it is still there"
    assert ask_to_close(node, session=own, tenant="payments")[0] == 200
    steps.leave(payments, nobody)


@pytest.mark.parametrize(
    ("token", "query", "status", "words"),
    [
        (feeds.READ, {"session": "0x1"}, 403, "may read, not change"),
        ("", {"session": "0x1"}, 401, "a token is needed"),
        (feeds.CONTROL, {}, 400, "0x and hex digits"),
        (feeds.CONTROL, {"session": "0xzz"}, 400, "session=0xzz is no session id"),
        (feeds.CONTROL, {"session": "0x" + "f" * 17}, 400, "64 bits"),
        (feeds.CONTROL, {"session": "0x1", "by": "o" * 201}, 400, "201 characters, at most 200"),
    ],
)
def test_E10_who_may_not_and_what_is_no_session_is_refused(
    node: Node, token: str, query: dict[str, str], status: int, words: str
) -> None:
    found, answer = ask_to_close(node, token, **query)
    assert found == status
    assert words in str(answer["error"])


def test_the_journal_says_which_session_and_who_asked(node: Node) -> None:
    client = steps.client(node)
    id = session_of(client)
    ask_to_close(node, session=id, by="olga")
    noted: list[object] = []
    for _ in range(200):  # the journal is a process of its own
        _, lines = feeds.ask(node.admin_port, "/audit?limit=1000")
        noted = [one.get("command") for one in lines if one.get("operation") == "command"]
        if f"close_session {id} by olga" in noted:
            break
    assert f"close_session {id} by olga" in noted
    steps.leave(client)


def test_a_session_is_closed_by_any_member_and_each_knows_its_last_roles(tmp_path: Path) -> None:
    ports = free_ports(3)
    with Ensemble(tmp_path, [ours()] * 3, feeds.access(tmp_path / "tokens")) as ensemble:
        for member, port in zip(ensemble.all, ports, strict=True):
            member.config |= {"admin.enableServer": "true", "admin.serverPort": port}
        at = dict(zip(ensemble.members, ports, strict=True))
        leader = ensemble.start().wait_serving()
        first, second = [member for member in ensemble.all if member is not leader]
        client = steps.client(first)
        client.create("/held", b"", ephemeral=True)
        beside = steps.client(second)
        beside.sync("/")  # from here on it knows the session
        id = session_of(client)
        status, answer = ask_to_close(At(at[second.sid]), session=id)
        assert (status, answer["error"], answer["ephemerals"]) == (200, None, 1)
        assert beside.exists("/held") is None
        steps.leave(client, beside)
        leader.kill9()
        ensemble.wait_serving()
        for member in (first, second):
            _, found = feeds.ask(at[member.sid], "/commands/elections")
            newest, lost, before = found[0]["roles"][:3]  # type: ignore[index]
            assert newest["mode"] in ("leader", "follower")
            assert newest["leader"] in (first.sid, second.sid)
            assert newest["epoch"] > before["epoch"]
            assert newest["away_ms"] >= 0
            assert lost["mode"] == "looking"
            assert lost["why"].startswith(f"no longer {before['mode'][:6]}")
            assert before["leader"] == leader.sid


def test_a_history_of_roles_is_bounded() -> None:
    history = RoleHistory()
    for n in range(2 * ROLES_MAX):
        history.on_report(f"no longer following: reason {n}")
        history.begin(n, "looking", n, 0, 0)
    assert (len(history.roles), history.total) == (ROLES_MAX, 2 * ROLES_MAX)
    assert history.entries()[0]["why"] == f"no longer following: reason {2 * ROLES_MAX - 1}"
