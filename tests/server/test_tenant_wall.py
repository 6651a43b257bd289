"""The wall of a real server, for clients that know nothing of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.recipe.lock import Lock

from tests.harness import Node
from tests.server import tenant_steps as steps
from tests.server.starting import Start, refused, until

WALLED = ("dump", "cons", "wchp", "wchc")
OPEN_WORDS = ("ruok", "srvr", "mntr", "wchs", "conf", "isro", "dirs")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = steps.start(tmp_path_factory.mktemp("wall"), {"4lw.commands.whitelist": "*"})
    steps.provision(node, "payments", "search", mode="enforce")
    yield node
    node.kill9()


@pytest.fixture
def client(node: Node) -> Iterator[KazooClient]:
    found = steps.tenant_client(node, "payments")
    yield found
    found.delete("/app", recursive=True)
    steps.leave(found)


def test_two_tenants_use_the_same_names_and_never_meet(node: Node, client: KazooClient) -> None:
    other = steps.tenant_client(node, "search")
    for each, data in ((client, b"payments"), (other, b"search")):
        each.create("/app/config", data, makepath=True)
        each.create("/app/n-", sequence=True, ephemeral=True)
    assert client.get("/app/config")[0] == b"payments"
    assert other.get("/app/config")[0] == b"search"
    assert sorted(client.get_children("/app")) == sorted(other.get_children("/app"))
    assert sorted(client.get_children("/")) == ["app", "zookeeper"]
    other.delete("/app", recursive=True)
    assert client.exists("/app/config") is not None
    steps.leave(other)


def test_recipes_watches_and_transactions_work_with_the_credential_alone(
    node: Node, client: KazooClient
) -> None:
    second = steps.tenant_client(node, "payments")
    seen: list[list[str]] = []
    client.ensure_path("/app/members")
    client.ChildrenWatch("/app/members", seen.append)
    with Lock(second, "/app/lock"):
        assert Lock(client, "/app/lock").contenders() == [""]
    transaction = second.transaction()
    transaction.create("/app/members/a", b"1")
    transaction.check("/app", 0)
    transaction.set_data("/app/members", b"x")
    done = transaction.commit()
    assert done[0] == "/app/members/a"
    assert second.sync("/app") == "/app"
    client.retry(client.get, "/app/members/a")
    until(lambda: seen[-1:] == [["a"]])  # kazoo tells on a thread of its own
    steps.leave(second)


def test_without_a_credential_there_is_nothing_but_no_auth(node: Node) -> None:
    stranger = steps.client(node)
    assert stranger.get_children("/tenants") == []
    for attempt in (
        lambda: stranger.get("/tenants/payments/app"),
        lambda: stranger.get("/tenants/payments/none"),
        lambda: stranger.create("/tenants/payments/x"),
        lambda: stranger.get_children("/zookeeper/tenants"),
        lambda: stranger.exists("/zookeeper/tenants/none"),
    ):
        with pytest.raises(NoAuthError):
            attempt()
    steps.leave(stranger)


def test_words_that_name_what_is_behind_the_wall_say_where_to_ask(
    node: Node, client: KazooClient
) -> None:
    client.create("/app", b"", ephemeral=False)
    client.create("/app/secret-name", ephemeral=True)
    client.get("/app/secret-name", watch=print)
    for word in (*WALLED, "stat"):
        said = node.word(word).decode()
        assert "admin port" in said, word
        assert "secret-name" not in said
        assert "127.0.0.1" not in said
        assert f"{client.client_id[0]:x}" not in said
    assert len(node.word("dump").splitlines()) == 1
    assert b"Latency min/avg/max" in node.word("stat")
    for word in OPEN_WORDS:
        said = node.word(word).decode()
        assert said
        assert "admin port, /" not in said, word
        assert "secret-name" not in said


def test_words_stay_open_where_that_is_wanted_or_nobody_is_walled(tmp_path: Path) -> None:
    for name, settings, mode in [
        ("open", {"ensemble.tenancy.words": "open"}, "enforce"),
        ("permissive", {}, "permissive"),
    ]:
        other = steps.start(tmp_path / name, {"4lw.commands.whitelist": "*", **settings})
        steps.provision(other, "payments", mode=mode)
        found = steps.tenant_client(other, "payments")
        found.create("/known-name", ephemeral=True)
        assert b"known-name" in other.word("dump")
        assert b"127.0.0.1" in other.word("cons")
        steps.leave(found)
        other.kill9()


def test_a_server_closed_to_outsiders_serves_tenants_and_super_users(tmp_path: Path) -> None:
    other = steps.start(tmp_path, {"ensemble.tenancy.outsiders": "deny"})
    steps.provision(other, "payments", mode="observe")
    member, stranger = steps.tenant_client(other, "payments"), steps.client(other)
    assert member.create("/x") == "/x"
    for attempt in (lambda: stranger.get("/"), lambda: stranger.exists("/none")):
        with pytest.raises(NoAuthError):
            attempt()
    stranger.add_auth("tenant", f"payments:{steps.secret_of('payments')}")
    assert stranger.exists("/x") is not None
    steps.leave(member, stranger)
    other.kill9()


@pytest.mark.parametrize(
    ("key", "value"),
    [("ensemble.tenancy.outsiders", "maybe"), ("ensemble.tenancy.words", "yes")],
)
def test_settings_of_the_wall_are_one_of_their_values(
    start_node: Start, key: str, value: str
) -> None:

    refused(start_node, {key: value}, key, value)
