"""Sessions and locks over the API, of a real node: what each may see, and the end of a session."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import TestCase
from kazoo.client import KazooClient

from ensemble.client import CreateMode
from tenants import inside, locks, sessions
from tenants.actions import credentials, plans, tenants
from tenants.audit import PLANE
from tenants.models import AuditEvent, Ensemble, MemberRole, Membership, Plan, Tenant
from tests.harness import Node as Server
from tests.harness import RawClient
from tests.server.feeds import CONTROL
from tests.tenants import operator
from tests.tenants_app.api.conftest import Login

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
ALL = "ensembles/one/sessions"
MINE = "tenants/shop/sessions"
LOCK = "ab" * 16 + "__lock__"
committed = partial(TestCase.captureOnCommitCallbacks, execute=True)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """What a test before has asked for is asked for again."""
    sessions.listings.clear()
    locks.scans.clear()


@pytest.fixture
def shop(people: dict[str, User], one: Ensemble) -> Tenant:
    """`shop` at the real node, with alice, dan and bob in it."""
    plans.create_defaults()
    small = Plan.objects.get(name="small")
    with committed():
        made = tenants.create(PLANE, slug="shop", title="", plan=small, owner=people["alice"])
    for name, role in (("dan", MemberRole.DEVELOPER), ("bob", MemberRole.VIEWER)):
        Membership.objects.create(tenant=made, user=people[name], role=role)
    return made


@pytest.fixture
def program(shop: Tenant, registry_node: Server) -> Iterator[KazooClient]:
    """A program of the tenant's, which holds a lock and watches a znode."""
    with committed():
        token = credentials.create(PLANE, tenant=shop, name="prog", role="writer").token
    client = KazooClient(registry_node.address, auth_data=[("tenant", token)])
    client.start(15)
    client.add_auth("tenant", token)
    client.create("/watched", b"x")
    client.get("/watched", watch=lambda event: None)
    client.create("/jobs", b"")
    client.create(f"/jobs/{LOCK}", b"worker <1>", ephemeral=True, sequence=True)
    yield client
    client.stop()
    client.close()


@pytest.fixture
def stranger(registry_node: Server) -> Iterator[RawClient]:
    """Somebody's session that is no tenant's."""
    raw = RawClient(registry_node.port)
    raw.connect()
    yield raw
    raw.close()


def id_of(client: KazooClient | RawClient) -> str:
    if isinstance(client, RawClient):
        return f"{client.session_id & (1 << 64) - 1:#x}"
    assert client.client_id is not None
    return f"{client.client_id[0] & (1 << 64) - 1:#x}"


def test_operators_and_auditors_see_who_is_connected(
    login: Login, program: KazooClient, stranger: RawClient
) -> None:
    for name in ("olga", "ada"):
        found = {one["id"]: one for one in login(name).get(ALL)["results"]}
        mine = found[id_of(program)]
        assert (mine["tenant"], mine["node"], mine["ephemerals"]) == ("shop", "node1", 1)
        assert found[id_of(stranger)]["tenant"] == ""
    olga = login("olga")
    only = olga.get(ALL, q="prog@shop", state="holding", sort="requests")
    assert [one["id"] for one in only["results"]] == [id_of(program)]
    (watcher,) = olga.get(ALL, path="/tenants/shop/watched")["results"]
    assert (watcher["id"], watcher["watching"]) == (
        id_of(program),
        {"of_data": ["once"], "of_children": []},
    )
    for query in ("state=nonsense", "sort=nonsense", "path=jobs", "limit=501", "after=7", "page=2"):
        assert olga("GET", f"{ALL}?{query}").status_code == 400, query
    assert olga("GET", "ensembles/nothing/sessions").status_code == 404


def test_pages_go_on_behind_a_session_and_say_when_it_has_gone(
    login: Login, one: Ensemble, stranger: RawClient, registry_node: Server
) -> None:
    second = RawClient(registry_node.port)
    second.connect()
    olga = login("olga")
    whole = olga.get(ALL)
    assert whole["total"] >= 2
    for sort in ("id", "requests"):
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = olga.get(ALL, limit=1, sort=sort, **after)
            seen += [one["id"] for one in page["results"]]
            if page["next_after"] is None:
                break
            after = {"after": page["next_after"]}
        assert sorted(seen) == sorted(one["id"] for one in whole["results"])
        assert len(set(seen)) == len(seen)
    second.close()
    assert olga.get(ALL, after="0x1")["total"] >= 1, "by id the place is known"
    gone = olga("GET", f"{ALL}?after=0x1&sort=age")
    assert (gone.status_code, gone.json()["errors"][0]["field"]) == (409, "after")


def test_E10_a_tenants_people_see_their_own_sessions_and_no_others(
    login: Login, program: KazooClient, stranger: RawClient
) -> None:
    for name in ("bob", "dan", "alice", "ada"):
        caller = login(name)
        assert [one["id"] for one in caller.get(MINE)["results"]] == [id_of(program)]
        others = caller("GET", f"{MINE}/{id_of(stranger)}")
        absent = caller("GET", f"{MINE}/0x123")
        assert (others.status_code, absent.status_code) == (404, 404)
        assert others.json()["detail"].replace(id_of(stranger), "0x123") == absent.json()["detail"]
    for where in (MINE, f"{MINE}/{id_of(program)}", "tenants/shop/locks"):
        assert login("carol")("GET", where).status_code == 404
        inside_of_all = where.replace("tenants/shop", "ensembles/one")
        assert login("alice")("GET", inside_of_all).status_code == 403


def test_a_session_tells_what_its_end_would_do_in_the_tenants_own_words(
    login: Login, program: KazooClient
) -> None:
    mine = login("bob").get(f"{MINE}/{id_of(program)}")
    assert [one["path"] for one in mine["watched"]] == ["/watched"]
    (held,) = mine["held"]
    assert held["path"].startswith(f"/jobs/{LOCK}")
    assert mine["held_all"]
    assert mine["operations"][0]["op"]
    (change,) = mine["at_its_end"]["changes"]
    assert (change["path"], change["moves"]) == ("/jobs", True)
    assert "nobody waits: it becomes free" in change["text"]
    assert mine["at_its_end"]["problem"] == ""
    whole = login("olga").get(f"{ALL}/{id_of(program)}")
    assert [one["path"] for one in whole["watched"]] == ["/tenants/shop/watched"]
    assert login("olga")("GET", f"{ALL}/nonsense").status_code == 404


def test_an_owner_closes_a_session_by_repeating_its_id(
    login: Login, home: Path, program: KazooClient, stranger: RawClient
) -> None:
    (home / "ensembles" / "one" / "admin.control").write_text(CONTROL)
    id, other = id_of(program), id_of(stranger)
    where = f"{MINE}/{id}"
    for name, status in (("bob", 403), ("dan", 403), ("ada", 403), ("carol", 404)):
        assert login(name)("DELETE", f"{where}?confirm={id}").status_code == status
    alice = login("alice")
    for query in ("", "?confirm=0x1", "?confirm=", f"?confirm={id}&confirm={id}"):
        refused = alice("DELETE", where + query)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "confirm")
    assert alice("DELETE", f"{MINE}/{other}?confirm={other}").status_code == 409
    stranger.request(1, 3, b"\0\0\0\1/\0")
    assert stranger.reply()[2] == 0, "it is still there"
    assert alice("DELETE", f"{where}?confirm={id}").json() == {"id": id, "ephemerals": 1}
    line = AuditEvent.objects.get(verb="session.close")
    assert (line.actor, line.tenant, line.ensemble, line.target) == ("alice", "shop", "one", id)
    assert alice("GET", where).status_code == 404
    olga = login("olga")
    assert olga("DELETE", f"{ALL}/{other}?confirm={other}").json()["ephemerals"] == 0
    again = olga("DELETE", f"{ALL}/{other}?confirm={other}")
    assert (again.status_code, "ended" in again.json()["detail"]) == (409, True)


def test_the_servers_own_session_is_not_closed(
    login: Login, one: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = sessions.Session("0x5", address=":0")
    monkeypatch.setattr(sessions, "find", lambda *_: own)
    refused = login("olga")("DELETE", f"{ALL}/0x5?confirm=0x5")
    assert (refused.status_code, "the server's own" in refused.json()["detail"]) == (400, True)


def test_a_node_that_does_not_answer_is_a_503_and_not_a_session_that_has_ended(
    login: Login, one: Ensemble, stranger: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    olga = login("olga")
    refused = olga("DELETE", f"{ALL}/{id_of(stranger)}?confirm={id_of(stranger)}")
    assert (refused.status_code, "admin.control" in refused.json()["detail"]) == (503, True)
    silent = [inside.Answer("node1", problem="does not answer", status=0)]
    monkeypatch.setattr(inside, "ask_all", lambda *_: silent)
    sessions.listings.clear()
    answer = olga("GET", f"{ALL}/{id_of(stranger)}")
    assert (answer.status_code, answer.json()["detail"]) == (503, "node1: does not answer")
    assert olga.get(ALL)["problems"] == ["node1: does not answer"]
    one.nodes.all().delete()
    monkeypatch.undo()
    answer = olga("GET", f"{ALL}/0x7")
    assert (answer.status_code, "no admin port" in answer.json()["detail"]) == (503, True)


# Locks


def test_a_lock_tells_who_holds_and_who_waits(login: Login, program: KazooClient) -> None:
    program.create(f"/jobs/{LOCK}", b"next\xe2\x80\xaeone", ephemeral=True, sequence=True)
    for name, where, path in (
        ("bob", "tenants/shop/locks", "/jobs"),
        ("olga", "ensembles/one/locks", "/tenants/shop/jobs"),
    ):
        found = login(name).get(where)
        (lock,) = [one for one in found["results"] if one["path"] == path]
        assert (lock["kind"], lock["made_by"], lock["count"]) == ("lock", "kazoo", 2)
        (holder,), (waiter,) = lock["holders"], lock["waiters"]
        assert (holder["says"], holder["state"]) == ("worker <1>", "holds")
        assert (holder["session"], holder["node"]) == (id_of(program), "node1")
        assert (waiter["says"], waiter["state"]) == ("next\u202eone", "waits")
        assert found["scan"]["is_all"]
        whole = login(name).get(where, path=path)
        assert [one["path"] for one in whole["results"]] == [path]
        assert (whole["scan"], whole["total"]) == (None, 1)


def test_an_auditor_is_told_that_a_scan_ended_at_a_closed_znode(
    login: Login, program: KazooClient
) -> None:
    """The znode above all tenants is closed to readers: what is below is found from there."""
    ada = login("ada")
    assert ada.get("ensembles/one/locks")["scan"]["closed"] == 1
    for query in ({"below": "/tenants/shop"}, {"path": "/tenants/shop/jobs"}):
        (lock,) = ada.get("ensembles/one/locks", **query)["results"]
        assert lock["holders"][0]["principal"] == "prog@shop"


def test_pages_of_locks_go_on_behind_a_path(login: Login, program: KazooClient) -> None:
    for n in range(3):
        program.create(f"/jobs{n}", b"")
        program.create(f"/jobs{n}/{LOCK}", b"", ephemeral=True, sequence=True)
    bob = login("bob")
    seen: list[str] = []
    after: dict[str, object] = {"again": "true"}
    while after:
        page = bob.get("tenants/shop/locks", limit=2, **after)
        seen += [one["path"] for one in page["results"]]
        after = {"after": page["next_after"]} if page["next_after"] else {}
        assert page["total"] == 4
    assert sorted(seen) == ["/jobs", "/jobs0", "/jobs1", "/jobs2"]
    assert bob.get("tenants/shop/locks", below="/jobs1")["total"] == 1
    for query in ("path=jobs", "limit=51", "path=/jobs&below=/", "page=2"):
        assert bob("GET", f"tenants/shop/locks?{query}").status_code == 400, query
    assert bob("GET", "tenants/shop/locks?below=/nothing").status_code == 404


def test_E10_a_tenant_reaches_no_lock_outside_of_its_root(
    login: Login, shop: Tenant, registry_node: Server
) -> None:
    async def fill() -> None:
        async with operator(registry_node.address) as client:
            if await client.exists("/elsewhere") is None:
                await client.create("/elsewhere", b"")
            mode = CreateMode.PERSISTENT_SEQUENTIAL
            await client.create(f"/elsewhere/{LOCK}", b"outsider", mode=mode)

    asyncio.run(fill())
    alice = login("alice")
    assert alice.get("tenants/shop/locks")["results"] == []
    for path in ("/elsewhere", "/../../elsewhere", "elsewhere", "/tenants/shop"):
        for name in ("path", "below"):
            answer = alice("GET", f"tenants/shop/locks?{name}={path}")
            assert "outsider" not in answer.content.decode(), path
    assert login("olga").get("ensembles/one/locks", path="/elsewhere")["total"] == 1


def test_an_ensemble_that_does_not_answer_says_so(login: Login, nowhere: Ensemble) -> None:
    answer = login("olga")("GET", "ensembles/nowhere/locks")
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
