"""Sessions, watches, ephemerals, locks, slow requests: over HTTP, with kazoo's own recipes."""

import threading
import uuid
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.recipe.watchers import DataWatch

from tests.harness import Node, RawClient
from tests.server import tenant_steps as steps


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Every request is a slow one here."""
    settings = {"ensemble.slow.ms": 0, "ensemble.slow.max": 500, "localSessionsEnabled": "false"}
    node = steps.start(tmp_path_factory.mktemp("inside"), settings)
    steps.provision(node, "payments", "search")
    yield node
    node.kill9()


@pytest.fixture
def client(node: Node) -> Iterator[KazooClient]:
    client = steps.client(node)
    yield client
    steps.leave(client)


def session_of(client: KazooClient) -> str:
    assert client.client_id is not None
    return f"0x{client.client_id[0]:x}"


def entry_of(node: Node, client: KazooClient, **query: object) -> dict[str, object]:
    found = steps.command(node, "sessions", limit=1_000, **query)["sessions"]
    (entry,) = [one for one in found if one["session"] == session_of(client)]
    return entry


# Sessions


def test_a_session_is_shown_with_what_it_holds(node: Node, client: KazooClient) -> None:
    path = f"/s{uuid.uuid4().hex[:8]}-x"
    client.create(path, b"secret", ephemeral=True)
    client.get(path, watch=lambda event: None)
    entry = entry_of(node, client)
    assert entry["ephemerals"] == 1
    assert entry["watches"] == 1
    assert entry["tenant"] is None
    assert entry["timeout_ms"] == 30_000
    assert entry["connected_here"] is True
    assert entry["address"].startswith("127.0.0.1:")
    assert entry["queue"] == 0
    assert 0 < entry["expires_in_ms"] <= 32_000
    operations = entry["last_operations"]
    assert [one["op"] for one in operations[:2]] == ["getData", "create"]
    assert operations[0]["error"] == 0
    assert "secret" not in str(entry)


def test_the_last_operations_are_bounded_and_tell_errors(node: Node, client: KazooClient) -> None:
    for _ in range(30):
        client.exists("/nowhere")
    operations = entry_of(node, client)["last_operations"]
    assert len(operations) == 8
    assert {(one["op"], one["error"]) for one in operations} == {("exists", -101)}


def test_sessions_of_a_tenant_are_its_own(node: Node, client: KazooClient) -> None:
    payments = steps.tenant_client(node, "payments")
    search = steps.tenant_client(node, "search")
    entry = entry_of(node, payments, tenant="payments")
    assert entry["tenant"] == "payments"
    assert entry["principal"] == "app@payments"
    others = steps.command(node, "sessions", tenant="payments")["sessions"]
    assert [one["session"] for one in others] == [session_of(payments)]
    assert entry_of(node, search)["tenant"] == "search"
    steps.leave(payments, search)
    assert steps.command(node, "sessions", tenant="payments")["sessions"] == []


def test_a_session_without_a_connection_is_shown_all_the_same(node: Node) -> None:
    raw = RawClient(node.port)
    raw.connect()
    raw.close()
    found = steps.command(node, "sessions", limit=1_000)["sessions"]
    name = f"0x{raw.session_id:x}"
    gone = [one for one in found if one["session"] == name and not one["connected_here"]]
    # The server has noticed the end of the connection once the list says so.
    for _ in range(100):
        if gone:
            break
        found = steps.command(node, "sessions", limit=1_000)["sessions"]
        gone = [one for one in found if one["session"] == name and not one["connected_here"]]
    assert "address" not in gone[0]


def test_pages_of_sessions_meet_without_a_gap(node: Node) -> None:
    clients = []
    for _ in range(9):
        raw = RawClient(node.port)
        raw.connect()
        clients.append(raw)
    whole = [one["session"] for one in steps.command(node, "sessions", limit=1_000)["sessions"]]
    paged: list[str] = []
    after: dict[str, object] = {}
    while True:
        page = steps.command(node, "sessions", limit=4, **after)
        assert len(page["sessions"]) <= 4
        paged += [one["session"] for one in page["sessions"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert paged == whole
    assert {f"0x{raw.session_id:x}" for raw in clients} <= set(whole)
    for raw in clients:
        raw.close()


# Watches


def test_watches_are_found_by_path_and_by_session(node: Node, client: KazooClient) -> None:
    top = f"/w-{uuid.uuid4().hex[:8]}"
    client.create(top)
    for n in range(5):
        client.create(f"{top}/n{n}")
        DataWatch(client, f"{top}/n{n}", lambda data, stat: None)
    client.get_children(top, watch=lambda event: None)
    mine = steps.command(node, "session_watches", session=session_of(client), limit=1_000)
    assert {one["path"]: one["data"] for one in mine["watches"] if one["data"]} == {
        f"{top}/n{n}": ["once"] for n in range(5)
    }
    assert {one["path"] for one in mine["watches"] if one["child"] == ["once"]} == {top}
    first = steps.command(node, "watched_paths", limit=3, after=top)
    assert [one["path"] for one in first["paths"]] == [f"{top}/n{n}" for n in range(3)]
    assert first["paths"][0]["sessions"] == [{"session": session_of(client), "kinds": ["once"]}]
    second = steps.command(node, "watched_paths", limit=3, after=first["next"])
    assert [one["path"] for one in second["paths"]][:2] == [f"{top}/n3", f"{top}/n4"]
    children = steps.command(node, "watched_paths", table="child", limit=1_000)["paths"]
    assert top in {one["path"] for one in children}


# Ephemerals


def test_ephemerals_are_paged_and_filtered(node: Node, client: KazooClient) -> None:
    top = f"/e-{uuid.uuid4().hex[:8]}"
    client.create(top)
    for n in range(7):
        client.create(f"{top}/n{n}", b"12345", ephemeral=True)
    mine = steps.command(node, "ephemerals", session=session_of(client))["ephemerals"]
    assert [one["path"] for one in mine] == [f"{top}/n{n}" for n in range(7)]
    assert {one["data_bytes"] for one in mine} == {5}
    page = steps.command(node, "ephemerals", limit=3, after=f"{top}/n1")
    assert [one["path"] for one in page["ephemerals"]] == [f"{top}/n{n}" for n in (2, 3, 4)]
    assert page["next"] == f"{top}/n4"
    assert steps.command(node, "ephemerals", tenant="search")["ephemerals"] == []


# Locks


def lock_at(node: Node, path: str) -> dict[str, object]:
    (found,) = [
        one
        for one in steps.command(node, "locks", limit=1_000)["locks"]
        if one["path"].endswith(path)
    ]
    return found


def test_a_lock_of_kazoo_says_who_holds_and_who_waits(node: Node, client: KazooClient) -> None:
    second = steps.client(node)
    lock = client.Lock("/locks-a/one", "first")
    lock.acquire()
    waiting = second.Lock("/locks-a/one", "second")
    thread = threading.Thread(target=waiting.acquire)
    thread.start()
    while not waiting.contenders() or len(waiting.contenders()) < 2:
        pass
    found = lock_at(node, "/locks-a/one")
    assert (found["kind"], found["holding"], found["waiting"]) == ("kazoo lock", 1, 1)
    assert found["holders"][0]["session"] == session_of(client)
    assert found["waiters"][0]["session"] == session_of(second)
    assert found["holders"][0]["address"].startswith("127.0.0.1:")
    assert "first" not in str(found), "values are not shown"
    lock.release()
    thread.join(20)
    found = lock_at(node, "/locks-a/one")
    assert (found["holding"], found["waiting"]) == (1, 0)
    assert found["holders"][0]["session"] == session_of(second)
    steps.leave(second)


def test_readers_share_until_a_writer_comes(node: Node, client: KazooClient) -> None:
    second = steps.client(node)
    readers = [client.ReadLock("/locks-b/rw"), second.ReadLock("/locks-b/rw")]
    for reader in readers:
        reader.acquire()
    writer = second.WriteLock("/locks-b/rw")
    thread = threading.Thread(target=writer.acquire)
    thread.start()
    while len(writer.contenders() or ()) < 1 or len(client.get_children("/locks-b/rw")) < 3:
        pass
    found = lock_at(node, "/locks-b/rw")
    assert found["kind"] == "kazoo read-write lock"
    assert (found["holding"], found["waiting"]) == (2, 1)
    assert all(one["reads"] for one in found["holders"])
    for reader in readers:
        reader.release()
    thread.join(20)
    steps.leave(second)


def test_a_semaphore_says_how_many_leases_there_are(node: Node, client: KazooClient) -> None:
    client.Semaphore("/locks-c/sem", max_leases=3).acquire()
    client.Semaphore("/locks-c/sem", max_leases=3).acquire()
    found = lock_at(node, "/locks-c/sem")
    assert (found["kind"], found["holding"], found["leases"]) == ("kazoo semaphore", 2, 3)


def test_curators_elections_are_known_by_their_names(node: Node, client: KazooClient) -> None:
    client.ensure_path("/locks-d/latch")
    for _ in range(3):
        client.create(f"/locks-d/latch/_c_{uuid.uuid4()}-latch-", ephemeral=True, sequence=True)
    found = lock_at(node, "/locks-d/latch")
    assert (found["kind"], found["holding"], found["waiting"]) == ("curator latch", 1, 2)


# Slow requests


def test_a_slow_request_says_where_its_time_went(node: Node, client: KazooClient) -> None:
    path = f"/slow-{uuid.uuid4().hex[:8]}"
    client.create(path, b"a value that is nobody's business")
    client.get(path)
    client.add_auth("digest", "who:password-of-who")
    found = steps.command(node, "slow", limit=1_000)
    mine = [one for one in found["requests"] if one.get("session") == session_of(client)]
    by_op = {one["op"]: one for one in mine}
    created = by_op["create"]
    assert created["path"] == path
    assert created["zxid"].startswith("0x")
    parts = created["queue_ms"] + created["commit_ms"] + created["reply_ms"]
    assert abs(parts - created["total_ms"]) < 0.01
    assert created["commit_ms"] > 0, "the log was synced meanwhile"
    assert by_op["getData"]["path"] == path
    assert by_op["auth"]["path"] == ""
    assert "password-of-who" not in str(found)
    assert "business" not in str(found)


def test_slow_requests_are_paged_from_the_newest_on(node: Node, client: KazooClient) -> None:
    for _ in range(20):
        client.exists("/")
    first = steps.command(node, "slow", limit=5)["requests"]
    numbers = [one["number"] for one in first]
    assert numbers == sorted(numbers, reverse=True)
    second = steps.command(node, "slow", limit=5, after=numbers[-1])["requests"]
    assert [one["number"] for one in second] == [numbers[-1] - n for n in range(1, 6)]


def test_only_so_many_slow_requests_are_kept(node: Node, client: KazooClient) -> None:
    for _ in range(600):
        client.exists("/")
    found = steps.command(node, "slow", limit=1_000)
    assert len(found["requests"]) == found["kept_max"] == 500
    assert found["total"] > 600


def test_slow_requests_of_a_tenant_are_its_own(node: Node) -> None:
    client = steps.tenant_client(node, "search")
    client.exists("/")
    client.create("/n", ephemeral=True)
    found = steps.command(node, "slow", tenant="search", limit=1_000)["requests"]
    assert {one["tenant"] for one in found} == {"search"}
    assert {one["principal"] for one in found} <= {"app@search", ""}
    asked = {one["path"] for one in found if one["op"] in ("exists", "create")}
    assert asked == {"/tenants/search", "/tenants/search/n"}, "the tree's own"
    steps.leave(client)


# Bad input


@pytest.mark.parametrize(
    ("name", "query", "what"),
    [
        ("sessions", {"limit": 0}, "limit=0 is outside of 1 to 1000"),
        ("sessions", {"limit": "-1"}, "outside"),
        ("sessions", {"after": "here"}, "is no session id"),
        ("sessions", {"after": "0x" + "f" * 17}, "more than 64 bits"),
        ("sessions", {"tenant": "nobody"}, "there is no such tenant"),
        ("session_watches", {}, "is no session id"),
        ("session_watches", {"session": "0xg"}, "is no session id"),
        ("watched_paths", {"table": "both"}, "data or child"),
        ("watched_paths", {"tenant": "nobody"}, "there is no such tenant"),
        ("ephemerals", {"session": ""}, "is no session id"),
        ("ephemerals", {"tenant": "x" * 200}, "there is no such tenant"),
        ("locks", {"tenant": ""}, "there is no such tenant"),
        ("locks", {"limit": "1e3"}, "is no number"),
        ("slow", {"after": "x"}, "is no number"),
        ("slow", {"tenant": "nobody"}, "there is no such tenant"),
    ],
)
def test_bad_queries_are_refused_with_what_is_expected(
    node: Node, name: str, query: dict[str, object], what: str
) -> None:
    status, answer = steps.asked(node, name, **query)
    assert status == 400
    assert what in answer["error"]


def test_hostile_paths_come_out_as_they_are(node: Node, client: KazooClient) -> None:
    path = '/"}<script>\u202eü-' + uuid.uuid4().hex[:6]
    client.create(path, ephemeral=True)
    found = steps.command(node, "ephemerals", session=session_of(client))["ephemerals"]
    assert [one["path"] for one in found] == [path]
    again = steps.command(node, "ephemerals", session=session_of(client), after=path)
    assert again["ephemerals"] == []
