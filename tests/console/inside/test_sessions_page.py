"""Sessions on a real node: who is connected, what they hold and watch, and the end of one."""

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from tenants import inside, sessions
from tenants.actions import credentials
from tenants.audit import PLANE
from tenants.models import AuditEvent, Ensemble, Tenant
from tests.console.plane.conftest import Go, committed, text_of
from tests.harness import Node as Server
from tests.harness import RawClient

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
ALL = "/ensembles/one/sessions"
MINE = "/tenants/shop/sessions"


@pytest.fixture
def token(shop: Tenant) -> str:
    with committed():
        return credentials.create(PLANE, tenant=shop, name="prog", role="writer").token


@pytest.fixture
def program(token: str, registry_node: Server) -> Iterator[KazooClient]:
    """A program of the tenant's, which holds a lock and watches a znode."""
    client = KazooClient(registry_node.address, auth_data=[("tenant", token)])
    client.start(15)
    client.add_auth("tenant", token)
    client.create("/watched", b"x")
    client.get("/watched", watch=lambda event: None)
    client.create("/jobs", b"")
    client.create("/jobs/" + "ab" * 16 + "__lock__", b"worker <1>", ephemeral=True, sequence=True)
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
    go: Go, shop: Tenant, program: KazooClient, stranger: RawClient
) -> None:
    for name in ("olga", "ada"):
        page = text_of(go(name, ALL))
        for words in (id_of(program), id_of(stranger), "prog@shop", "node1", "/tenants/shop/"):
            assert words in page, words
    found = text_of(go("olga", f"{ALL}?q=prog@shop&sort=requests&state=holding"))
    assert id_of(program) in found
    assert id_of(stranger) not in found
    assert "No session fits" in text_of(go("olga", f"{ALL}?q=nothing-like-that"))
    assert id_of(stranger) in text_of(go("olga", f"{ALL}?page=99999&sort=nonsense&state=nonsense"))


def test_E10_a_tenants_people_see_their_own_sessions_and_no_others(
    go: Go, program: KazooClient, stranger: RawClient
) -> None:
    for name in ("bob", "dan", "alice", "ada"):
        page = text_of(go(name, MINE))
        assert id_of(program) in page
        assert id_of(stranger) not in page
        assert go(name, f"{MINE}/{id_of(program)}").status_code == 200
        others = go(name, f"{MINE}/{id_of(stranger)}")
        absent = go(name, f"{MINE}/0x123")
        assert (others.status_code, absent.status_code) == (404, 404)
        said = [text_of(one).split("<main")[1] for one in (others, absent)]
        assert said[0].replace(id_of(stranger), "0x123") == said[1]
    for where in (MINE, f"{MINE}/{id_of(program)}", "/tenants/shop/locks"):
        assert go("carol", where).status_code == 404
        assert go("alice", where.replace("/tenants/shop", "/ensembles/one")).status_code == 403


def test_a_session_shows_what_it_holds_and_watches_in_the_tenants_own_words(
    go: Go, program: KazooClient
) -> None:
    mine = text_of(go("bob", f"{MINE}/{id_of(program)}"))
    assert "<bdi>/watched</bdi>" in mine
    assert "data once" in mine
    assert "<bdi>/jobs/abab" in mine
    assert "1 ephemeral<" in mine
    assert "/tenants/shop/jobs" not in mine, "the root is not the tenant's matter"
    assert "/zookeeper/" not in mine
    assert "It holds this, and nobody waits: it becomes free." in mine
    assert "Owners of the tenant and operators may close it." in mine
    whole = text_of(go("olga", f"{ALL}/{id_of(program)}"))
    assert "<bdi>/tenants/shop/watched</bdi>" in whole


def test_who_watches_a_path_is_found_from_its_address(
    go: Go, program: KazooClient, stranger: RawClient
) -> None:
    for name, where in (
        ("bob", f"{MINE}?path=/watched"),
        ("olga", f"{ALL}?path=/tenants/shop/watched"),
    ):
        page = text_of(go(name, where))
        assert id_of(program) in page
        assert "data once" in page
        assert id_of(stranger) not in page
    assert "Nobody watches this path" in text_of(go("bob", f"{MINE}?path=/jobs"))
    assert "must begin with a slash" in text_of(go("bob", f"{MINE}?path=jobs"))
    # A path that would lead out of the root leads nowhere.
    assert id_of(program) not in text_of(go("bob", f"{MINE}?path=/../shop/watched"))


def test_an_owner_closes_a_session_after_a_preview_and_the_trail_says_so(
    go: Go, may_end: None, program: KazooClient, stranger: RawClient
) -> None:
    id = id_of(program)
    where = f"{MINE}/{id}/close"
    for name, status in (("bob", 403), ("dan", 403), ("ada", 403), ("carol", 404)):
        assert go(name, where, {"confirm": id}).status_code == status
    unlike = go("alice", where, {"confirm": "0x1"})
    assert unlike.status_code == 422
    assert f"Type {id}, not" in text_of(unlike)
    other = id_of(stranger)
    assert go("alice", f"{MINE}/{other}/close", {"confirm": other}).status_code == 422
    stranger.request(1, 3, b"\0\0\0\1/\0")
    assert stranger.reply()[2] == 0, "it is still there"
    done = go("alice", where, {"confirm": id}, follow=True)
    assert f"{id} is closed; one ephemeral went with it." in text_of(done)
    line = AuditEvent.objects.get(verb="session.close")
    assert (line.actor, line.tenant, line.ensemble, line.target) == ("alice", "shop", "one", id)
    assert line.detail["ephemerals"] == 1
    assert go("alice", f"{MINE}/{id}").status_code == 404


def test_an_operator_closes_anybodys_and_hears_that_it_is_gone_already(
    go: Go, one: Ensemble, may_end: None, stranger: RawClient
) -> None:
    id = id_of(stranger)
    done = go("olga", f"{ALL}/{id}/close", {"confirm": id.upper().replace("X", "x")}, follow=True)
    assert "nothing else went with it" in text_of(done)
    again = go("olga", f"{ALL}/{id}/close", {"confirm": id})
    assert again.status_code == 422
    assert "has ended" in text_of(again)
    assert go("olga", f"{ALL}/nonsense/close", {"confirm": "nonsense"}).status_code == 404
    assert AuditEvent.objects.filter(verb="session.close").count() == 1


def test_without_the_token_that_may_change_it_says_which_file_is_missing(
    go: Go, one: Ensemble, stranger: RawClient
) -> None:
    id = id_of(stranger)
    refused = go("olga", f"{ALL}/{id}/close", {"confirm": id})
    assert refused.status_code == 503
    assert "admin.control" in text_of(refused)


def test_an_ensemble_that_does_not_answer_says_what_to_do(go: Go, nowhere: Ensemble) -> None:
    page = text_of(go("olga", "/ensembles/nowhere/sessions"))
    assert "no admin port of nowhere is registered" in page
    assert go("olga", "/ensembles/nowhere/sessions/0x1").status_code == 404
    assert go("olga", "/ensembles/nothing/sessions").status_code == 404


# What nodes say, put together


def answer(node: str, *entries: dict[str, object]) -> inside.Answer:
    return inside.Answer(node, {"sessions": list(entries)})


def test_who_is_connected_is_best_known_there_whatever_comes_first() -> None:
    far = {"session": "0xa", "connected_here": False, "timeout_ms": 9, "ephemerals": 1}
    near = {**far, "connected_here": True, "address": "10.0.0.1:5", "watches": 3}
    leads = {**far, "expires_in_ms": 700}
    for order in ([far, near, leads], [near, leads, far], [leads, near, far]):
        found: dict[str, dict[str, object]] = {}
        for n, entry in enumerate(order):
            sessions.add(found, answer(f"node{n}", dict(entry)))
        (one,) = [sessions.session_of(entry) for entry in found.values()]
        assert (one.address, one.watches, one.node) == ("10.0.0.1:5", 3, f"node{order.index(near)}")
        if order[-1] is not near:
            assert one.expires_in_ms == 700


@pytest.mark.parametrize("raw", ["", "[]", "null", "{", '{"sessions": 5}', '{"sessions": [7]}'])
def test_answers_that_are_none_are_no_sessions(raw: str) -> None:
    found: dict[str, dict[str, object]] = {}
    sessions.add(found, inside.understood("node1", raw.encode(), 200))
    assert found == {}


def test_a_lister_is_bounded_and_says_that_there_are_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = Ensemble(pk=1, name="one")
    asked: list[str] = []

    def pages(*args: object) -> Iterator[inside.Answer]:
        asked.append("")
        after = f"{len(asked):#x}"
        yield inside.Answer("node1", {"sessions": [{"session": after}], "next": after})

    class One:
        name = "node1"

    monkeypatch.setattr(sessions, "pages", pages)
    monkeypatch.setattr(inside, "nodes_of", lambda ensemble: [One()])
    found = sessions.ask_all(ensemble, "")
    assert len(found.sessions) == len(asked) == sessions.PAGES_MAX
    assert not found.is_all
    assert found.is_fresh
    assert not sessions.Listing((), True, (), found.at - sessions.FRESH_S - 0.1, 0.01).is_fresh
    assert sessions.Listing((), True, (), found.at - sessions.FRESH_S - 0.1, 1.0).is_fresh
    assert not sessions.Listing((), True, (), found.at - sessions.FRESH_MAX_S, 99.0).is_fresh
    assert found.sessions[0].id == "0x1"
