"""Znodes over the API, on a real server: read, compare-and-set, subtrees, ACLs, and the wall."""

import base64
from typing import Any

import pytest

from tenants import znodes
from tenants.models import AuditEvent, Ensemble, Tenant
from tests.harness import Node
from tests.tenants_app.api.conftest import Login

AT = "tenants/orders/znodes"
WHOLE = "ensembles/main/znodes"
pytestmark = pytest.mark.django_db(databases=["default"])


@pytest.fixture(autouse=True)
def clean(served: Node, login: Login) -> None:
    """An empty tenant."""
    alice = login("alice")
    for row in alice.get(f"{AT}/children", path="/")["results"]:
        if row["name"] == "zookeeper":
            continue  # each tenant has its own, made by the server
        path = f"{AT}?path=/{row['name']}&recursive=true"
        assert alice("DELETE", path, If_Match="*").status_code == 200


def make(caller: Any, path: str, data: str = "", **more: object) -> Any:
    answer = caller("POST", AT, {"path": path, "data": data, **more})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_znode_is_made_read_written_and_deleted(login: Login, served: Node) -> None:
    dan = login("dan")
    made = make(dan, "/app", "one")
    read = dan("GET", f"{AT}?path=/app")
    body = read.json()
    assert (body["data"], body["encoding"]) == ("one", "text")
    assert body["etag"] == made["etag"] == read["ETag"]
    assert body["stat"]["version"] == 0
    assert body["stat"]["czxid"].startswith("0x")
    written = dan("PUT", f"{AT}?path=/app", {"data": "two"}, If_Match=body["etag"])
    assert written.status_code == 200
    assert written.json()["stat"]["version"] == 1
    late = dan("PUT", f"{AT}?path=/app", {"data": "three"}, If_Match=body["etag"])
    assert (late.status_code, late.json()["code"]) == (412, "precondition-failed")
    assert dan.get(AT, path="/app")["data"] == "two"
    gone = dan("DELETE", f"{AT}?path=/app", If_Match=body["etag"])
    assert gone.status_code == 412
    gone = dan("DELETE", f"{AT}?path=/app", If_Match=written.json()["etag"])
    assert gone.status_code == 200
    missing = dan("GET", f"{AT}?path=/app")
    assert (missing.status_code, missing.json()["code"]) == (404, "no-node")


def test_a_znode_made_again_is_another_one(login: Login) -> None:
    dan = login("dan")
    old = make(dan, "/app")
    assert dan("DELETE", f"{AT}?path=/app", If_Match=old["etag"]).status_code == 200
    make(dan, "/app")
    for method, body in (("PUT", {"data": "x"}), ("DELETE", None)):
        assert dan(method, f"{AT}?path=/app", body, If_Match=old["etag"]).status_code == 412


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 428), ("x", 400), ('"0x1-99999999999"', 400), ("W/*", 400), ('"0x1-4294967295"', 400)],
)
def test_a_write_says_which_version_it_means(login: Login, header: str | None, status: int) -> None:
    dan = login("dan")
    make(dan, "/app")
    headers = {} if header is None else {"If_Match": header}
    assert dan("PUT", f"{AT}?path=/app", {"data": "x"}, **headers).status_code == status
    assert dan("DELETE", f"{AT}?path=/app", **headers).status_code == status


def test_bytes_that_are_no_text_come_as_base64_and_back(login: Login) -> None:
    dan = login("dan")
    raw = bytes(range(256))
    make(dan, "/raw", base64.b64encode(raw).decode(), encoding="base64")
    body = dan.get(AT, path="/raw")
    assert body["encoding"] == "base64"
    assert base64.b64decode(body["data"]) == raw
    assert dan("GET", f"{AT}?path=/raw&encoding=text").status_code == 400
    text = dan("POST", AT, {"path": "/no", "data": "*", "encoding": "base64"})
    assert text.status_code == 400
    make(dan, "/spaces", "  a\n ")
    assert dan.get(AT, path="/spaces")["data"] == "  a\n "
    nul = dan("POST", AT, {"path": "/nul", "data": "a\x00"})
    assert (nul.status_code, nul.json()["errors"][0]["field"]) == (400, "data")
    make(dan, "/nul", base64.b64encode(b"a\x00").decode(), encoding="base64")
    assert dan.get(AT, path="/nul")["encoding"] == "base64", "what is read can be written back"


def test_every_mode_that_outlives_a_request_can_be_made(login: Login) -> None:
    dan = login("dan")
    make(dan, "/s")
    assert make(dan, "/s/n-", mode="sequential")["path"] == "/s/n-0000000000"
    assert make(dan, "/s/", mode="sequential")["path"] == "/s/0000000001"
    make(dan, "/c", mode="container")
    make(dan, "/t", mode="ttl", ttl_ms=60_000)
    assert make(dan, "/t-", mode="ttl-sequential", ttl_ms=60_000)["path"].startswith("/t-0")
    make(dan, "/deep/er/still", parents=True)
    for body, word in (
        ({"path": "/e", "mode": "ephemeral"}, "as long as the session"),
        ({"path": "/e", "mode": "king"}, "none of persistent"),
        ({"path": "/e", "mode": "ttl"}, "needed for a TTL mode"),
        ({"path": "/e", "ttl_ms": 5}, "for the TTL modes alone"),
        ({"path": "e"}, "path"),
        ({"path": "/e//f"}, "path"),
        ({"path": "/e", "acl": ["everybody"]}, "scheme:id:cdrwa"),
    ):
        answer = dan("POST", AT, body)
        assert answer.status_code == 400, body
        assert word in answer.json()["detail"]
    again = dan("POST", AT, {"path": "/c"})
    assert (again.status_code, again.json()["code"]) == (409, "node-exists")


def test_children_come_in_pages_by_name_with_counts(login: Login) -> None:
    dan = login("dan")
    make(dan, "/p")
    for number in range(7):
        make(dan, f"/p/{number}", "x" * number)
    make(dan, "/p/3/below")
    seen: list[dict[str, Any]] = []
    after = ""
    while True:
        page = dan.get(f"{AT}/children", path="/p", limit=3, after=after)
        assert page["total"] == 7
        seen += page["results"]
        if page["next_after"] is None:
            break
        after = page["next_after"]
    assert [row["name"] for row in seen] == list("0123456")
    assert [row["data_bytes"] for row in seen] == list(range(7))
    assert seen[3]["children"] == 1
    assert dan.get(AT, path="/p", count_below="true")["below"] == 8


def test_a_subtree_is_deleted_when_it_was_looked_at(login: Login) -> None:
    dan = login("dan")
    top = make(dan, "/a")
    for path in ("/a/b", "/a/b/c", "/a/d"):
        make(dan, path)
    whole = f"{AT}?path=/a&recursive=true"
    refused = dan("DELETE", f"{AT}?path=/a", If_Match=top["etag"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not-empty")
    plan = dan("DELETE", f"{whole}&dry_run=true").json()
    assert plan["dry_run"]
    assert (plan["total"], plan["done"]) == (4, 0)
    assert plan["paths"] == ["/a", "/a/b", "/a/d", "/a/b/c"]
    assert dan("DELETE", whole).status_code == 428
    assert dan("PUT", f"{AT}?path=/a", {"data": "x"}, If_Match="*").status_code == 200
    assert dan("DELETE", whole, If_Match=top["etag"]).status_code == 412
    done = dan("DELETE", whole, If_Match="*").json()
    assert (done["total"], done["done"]) == (4, 4)
    assert dan("GET", f"{AT}?path=/a").status_code == 404


def test_a_subtree_beyond_the_bound_is_refused_whole(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(znodes, "SUBTREE_MAX", 3)
    dan = login("dan")
    make(dan, "/a")
    for name in "bcd":
        make(dan, f"/a/{name}")
    for more in ("", "&dry_run=true"):
        answer = dan("DELETE", f"{AT}?path=/a&recursive=true{more}", If_Match="*")
        assert (answer.status_code, answer.json()["code"]) == (409, "limit")
        assert "more than 3" in answer.json()["detail"]
    assert dan.get(f"{AT}/children", path="/a")["total"] == 3


def test_what_is_done_in_part_says_how_far_it_came(login: Login) -> None:
    alice, dan = login("alice"), login("dan")
    for path in ("/a", "/a/keep", "/a/keep/under", "/a/other"):
        make(dan, path)
    locked = {"acl": ["world:anyone:r"]}
    assert alice("PUT", f"{AT}/acl?path=/a/keep", locked, If_Match="*").status_code == 200
    answer = dan("DELETE", f"{AT}?path=/a&recursive=true", If_Match="*")
    assert (answer.status_code, answer.json()["code"]) == (409, "partly")
    assert answer.json()["detail"].startswith("1 of 4 znodes were done, then:")
    assert alice.get(f"{AT}/children", path="/a")["total"] == 1
    assert AuditEvent.objects.get(verb="znode.delete-all", actor="dan").result == "refused"
    assert alice("DELETE", f"{AT}?path=/a&recursive=true", If_Match="*").json()["done"] == 3


def test_the_root_of_a_tree_stays(login: Login) -> None:
    answer = login("alice")("DELETE", f"{AT}?path=/&recursive=true", If_Match="*")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-arguments")
    answer = login("olga")("DELETE", f"{WHOLE}?path=/&recursive=true", If_Match="*")
    assert answer.status_code == 400


def test_acls_are_read_and_set_one_by_one_and_below(login: Login) -> None:
    alice = login("alice")
    make(alice, "/a")
    make(alice, "/a/b")
    read = alice("GET", f"{AT}/acl?path=/a")
    assert read.json()["acl"] == ["world:anyone:cdrwa"]
    wish = {"acl": ["world:anyone:r", "digest:ann:abc=:cdrwa"]}
    assert alice("PUT", f"{AT}/acl?path=/a", wish).status_code == 428
    assert alice("PUT", f"{AT}/acl?path=/a", wish, If_Match=read["ETag"]).status_code == 200
    assert alice("PUT", f"{AT}/acl?path=/a", wish, If_Match=read["ETag"]).status_code == 412
    assert alice.get(f"{AT}/acl", path="/a")["acl"][0] == "world:anyone:r"
    assert alice.get(f"{AT}/acl", path="/a/b")["acl"] == ["world:anyone:cdrwa"]
    below = f"{AT}/acl?path=/a&recursive=true"
    plan = alice("PUT", f"{below}&dry_run=true", wish).json()
    assert (plan["total"], plan["done"]) == (2, 0)
    assert alice("PUT", below, wish, If_Match="*").json()["done"] == 2
    assert alice.get(f"{AT}/acl", path="/a/b")["acl"][0] == "world:anyone:r"
    open_again = {"acl": ["world:anyone:cdrwa"]}
    assert alice("PUT", below, open_again, If_Match="*").json()["done"] == 2


def test_nobody_gets_out_of_the_tenant(login: Login) -> None:
    alice, olga = login("alice"), login("olga")
    make(alice, "/mine")
    assert olga.get(WHOLE, path="/tenants/orders/mine")["path"] == "/tenants/orders/mine"
    for path in ("/zookeeper/tenants/orders", "/tenants/orders/mine"):
        assert alice("GET", f"{AT}?path={path}").status_code == 404
    for path in ("/..", "/../x", "/./x", "//", "/a/", "", "x", "/a%00"):
        assert alice("GET", f"{AT}?path={path}").status_code == 400


def test_roles_hold_on_the_node_too(login: Login) -> None:
    dan, bob = login("dan"), login("bob")
    make(dan, "/app", "x")
    assert bob.get(AT, path="/app")["data"] == "x"
    assert bob("POST", AT, {"path": "/b"}).status_code == 403
    assert bob("PUT", f"{AT}?path=/app", {"data": ""}, If_Match="*").status_code == 403
    assert bob("DELETE", f"{AT}?path=/app&dry_run=true").status_code == 403
    assert dan("PUT", f"{AT}/acl?path=/app", {"acl": ["world:anyone:r"]}).status_code == 403
    ada, carol = login("ada"), login("carol")
    assert ada.get(AT, path="/app")["data"] == "x", "auditors read what they audit"
    assert ada("POST", AT, {"path": "/b"}).status_code == 403
    assert carol("GET", f"{AT}?path=/app").status_code == 404


def test_an_operators_token_that_only_reads_only_reads(login: Login) -> None:
    from tenants.models import MemberRole

    reading = login("olga", role=MemberRole.VIEWER)
    assert reading("GET", f"{AT}?path=/").status_code == 200
    assert reading("POST", AT, {"path": "/x"}).status_code == 403
    assert reading("POST", WHOLE, {"path": "/x"}).status_code == 403


def test_changes_stand_in_the_trail_and_their_data_does_not(login: Login) -> None:
    dan = login("dan")
    make(dan, "/app", "a secret")
    assert dan("POST", AT, {"path": "/app", "data": "a secret"}).status_code == 409
    rows = AuditEvent.objects.filter(verb="znode.create").order_by("seq")
    assert [(r.result, r.tenant, r.target, r.actor) for r in rows] == [
        ("ok", "orders", "/app", "dan"),
        ("refused", "orders", "/app", "dan"),
    ]
    assert "a secret" not in str([row.detail for row in rows])


def test_an_ensemble_that_is_away_or_has_no_key_says_so(
    login: Login, tenant: Tenant, settings: object
) -> None:
    Ensemble.objects.create(name="away", hosts="127.0.0.1:1", kind="apache", takes_tenants=False)
    Ensemble.objects.create(name="keyless", hosts="127.0.0.1:1")
    olga = login("olga")
    answer = olga("GET", "ensembles/away/znodes?path=/")
    assert (answer.status_code, answer.json()["code"]) == (503, "unreachable")
    answer = olga("GET", "ensembles/keyless/znodes?path=/")
    assert (answer.status_code, answer.json()["code"]) == (503, "no-key")
    assert "docs/admin-plane.md" in answer.json()["detail"]
    assert olga("GET", "ensembles/nowhere/znodes?path=/").status_code == 404
