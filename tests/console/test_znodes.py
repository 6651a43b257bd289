"""The znode browser's requests, against a real node."""

import gzip
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client as Browser
from kazoo.client import KazooClient

from console import formats, zk
from console.views.znode import changes
from ensemble.client import Acl, Client, NoNodeError, digest_id
from tenants import reach
from tenants.actions import bookmarks
from tenants.zk import CONNECT_TIMEOUT_S, UnreachableError
from tests.console.conftest import Do
from tests.harness import Node

HOSTILE = ["<script>alert(1)<", "' onload=x", "{{ 7*7 }}", "‮evil", "a?b#c", "%2e%2e", "ünï"]


@pytest.fixture
def base(do: Do[Any], request: pytest.FixtureRequest) -> str:
    """A znode of this test's own."""
    path = "/" + request.node.name.replace("/", "_")[:60]

    async def make(client: Client) -> None:
        await client.create(path, b'{"a": 1}')

    do(make)
    return path


def get(browser: Browser, name: str, /, **values: object) -> dict[str, Any]:
    answer = browser.get(f"/znodes/{name}", values, headers={"accept": "application/json"})
    return {"status": answer.status_code, **answer.json()}


def post(browser: Browser, name: str, /, **values: object) -> dict[str, Any]:
    answer = browser.post(f"/znodes/{name}", values, headers={"accept": "application/json"})
    return {"status": answer.status_code, **answer.json()}


def test_a_znode_is_shown_with_data_stat_and_acl(auditor: Browser, base: str) -> None:
    shown = get(auditor, "data", path=base)
    assert shown["status"] == 200
    assert (shown["text"], shown["format"], shown["version"]) == ('{"a": 1}', "json", 0)
    assert shown["acl"] == [["world", "anyone", "all", 31]]
    assert ["dataLength", "8", "bytes"] in shown["stat"]


def test_an_edit_is_saved_by_compare_and_set(operator: Browser, base: str, do: Do[Any]) -> None:
    shown = get(operator, "data", path=base)
    edit = {"path": base, "version": 0, "czxid": shown["czxid"], "format": "json"}
    saved = post(operator, "save", text='{"a": 2}', **edit)
    assert (saved["status"], saved["version"]) == (200, 1)

    async def read(client: Client) -> bytes:
        return (await client.get(base))[0]

    assert do(read) == b'{"a": 2}'
    late = post(operator, "save", text='{"a": 3}', **edit)
    assert late["status"] == 409
    assert (late["theirs"]["text"], late["theirs"]["version"]) == ('{"a": 2}', 1)
    assert do(read) == b'{"a": 2}', "the late edit has changed nothing"


def test_an_edit_of_a_znode_that_was_made_anew_is_a_conflict(
    operator: Browser, base: str, do: Do[Any]
) -> None:
    """Versions begin at 0 again, so they alone would let the edit through."""
    shown = get(operator, "data", path=base)

    async def again(client: Client) -> None:
        await client.delete(base)
        await client.create(base, b"another")

    do(again)
    edit = {"path": base, "version": 0, "czxid": shown["czxid"], "format": "json", "text": "mine"}
    late = post(operator, "save", **edit)
    assert (late["status"], late["theirs"]["text"]) == (409, "another")


def test_children_come_sorted_and_a_page_at_a_time(
    auditor: Browser, base: str, do: Do[Any], zookeeper: Node
) -> None:
    async def make(client: Client) -> None:
        for number in range(12):
            await client.create(f"{base}/c{number:02}")
        await client.create(f"{base}/c03/x")

    do(make)
    session = KazooClient(zookeeper.address)
    session.start()
    session.create(f"{base}/e", ephemeral=True)
    page = get(auditor, "children", path=base, offset=2, count=3)
    assert page["total"] == 13
    assert page["rows"] == [["c02", 0, 0], ["c03", 1, 0], ["c04", 0, 0]]
    assert get(auditor, "children", path=base, offset=12)["rows"] == [["e", 0, 1]]
    around = get(auditor, "children", path=base, count=5, around="c07")
    assert (around["offset"], around["rows"][2][0]) == (5, "c07")
    assert get(auditor, "children", path=base, offset=99)["rows"] == []
    session.stop()
    session.close()
    assert get(auditor, "children", path=base)["total"] == 12, "the ephemeral is gone"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_data_of_others_are_never_markup(
    name: str, auditor: Browser, zookeeper: Node, do: Do[Any]
) -> None:
    """D-XSS: what is in a znode reaches the page as data only."""

    async def make(client: Client) -> None:
        await client.create(f"/{name}", b"</script><script>alert(2)</script>")

    do(make)
    from urllib.parse import quote

    answer = auditor.get("/znodes/at/" + quote(name, safe=""))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "<script>alert" not in page
    block = page.split('<script id="first" type="application/json">')[1].split("</script>")[0]
    assert json.loads(block)["znode"]["path"] == f"/{name}"
    assert json.loads(block)["znode"]["text"] == "</script><script>alert(2)</script>"


def test_raw_data_is_a_download_and_never_a_page(auditor: Browser, base: str, do: Do[Any]) -> None:
    async def make(client: Client) -> None:
        await client.set(base, b"<script>alert(1)</script>\x00")

    do(make)
    answer = auditor.get("/znodes/raw", {"path": base})
    assert answer.content == b"<script>alert(1)</script>\x00"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_download_has_the_znodes_name_and_nothing_that_a_file_system_minds(
    auditor: Browser, base: str, do: Do[Any]
) -> None:
    async def make(client: Client) -> None:
        await client.create(f'{base}/a"b;\u202e.json', b"{}")

    do(make)
    answer = auditor.get("/znodes/raw", {"path": f'{base}/a"b;\u202e.json'})
    assert answer["Content-Disposition"] == 'attachment; filename="a_b_.json"'
    assert (
        'filename="znode.bin"' in auditor.get("/znodes/raw", {"path": "/"})["Content-Disposition"]
    )


def test_paths_are_completed_level_by_level(auditor: Browser, base: str, do: Do[Any]) -> None:
    async def make(client: Client) -> None:
        for name in ("alpha", "alps", "beta"):
            await client.create(f"{base}/{name}")

    do(make)
    found = get(auditor, "complete", path=f"{base}/al")["paths"]
    assert found == [f"{base}/alpha", f"{base}/alps"]
    assert len(get(auditor, "complete", path=f"{base}/")["paths"]) == 3
    assert get(auditor, "complete", path="/nowhere/x")["paths"] == []


def test_what_was_packed_by_others_stays_as_it_is_while_its_text_does(
    operator: Browser, base: str, do: Do[Any]
) -> None:
    """Another program packs in another way; what the console packs has no time in it."""
    theirs = gzip.compress(b"a: 1\nb: 2\n", 1, mtime=7)

    async def make(client: Client) -> None:
        await client.set(base, theirs)

    async def read(client: Client) -> bytes:
        return (await client.get(base))[0]

    do(make)
    shown = get(operator, "data", path=base)
    assert (shown["format"], shown["language"]) == ("gzip", "yaml")
    edit = {"path": base, "czxid": shown["czxid"], "format": "gzip"}
    assert post(operator, "save", version=1, text=shown["text"], **edit)["status"] == 200
    assert do(read) == theirs
    saved = post(operator, "save", version=2, text="a: 2\n", **edit)
    assert (saved["format"], saved["text"]) == ("gzip", "a: 2\n")
    assert do(read) == formats.packed("a: 2\n")


def test_a_text_is_checked_where_it_is_typed_and_put_in_order(operator: Browser) -> None:
    wrong = post(operator, "check", text='{"a": 1,}', format="json")
    assert (wrong["problem"]["line"], wrong["problem"]["column"]) == (1, 9)
    assert post(operator, "check", text="{}", format="json")["problem"] is None
    laid = post(operator, "check", text='{"a":1.50}', format="json", layout="1")
    assert laid["text"] == '{\n  "a": 1.50\n}'
    assert post(operator, "check", text="{", format="json", layout="1")["status"] == 400


def test_bookmarks_are_a_persons_own_and_bounded(
    operator: Browser, auditor: Browser, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(operator, "bookmark", path=base)["bookmarks"] == [base]
    assert post(operator, "bookmark", path=base)["bookmarks"] == [base]
    assert post(auditor, "bookmark", path="/")["bookmarks"] == ["/"]
    assert f'"bookmarks": ["{base}"]' in operator.get("/znodes/at/").content.decode()
    monkeypatch.setattr(bookmarks, "BOOKMARKS_MAX", 1)
    assert "remove some" in post(operator, "bookmark", path="/other")["error"]
    assert "absolute path" in post(auditor, "bookmark", path="/" + "x" * 1_000)["error"]
    assert post(operator, "bookmark", path=base, remove="1")["bookmarks"] == []


def test_large_data_is_offered_as_a_download(
    auditor: Browser, base: str, do: Do[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "SHOWN_BYTES_MAX", 1_000)
    for size, too_large in ((1_000, False), (1_001, True)):

        async def make(client: Client) -> None:
            await client.set(base, b"x" * size)  # noqa: B023  # called at once

        do(make)
        shown = get(auditor, "data", path=base)
        assert (shown["too_large"], shown["bytes"]) == (too_large, size)
        assert len(shown["text"]) == (0 if too_large else size)


def test_a_child_of_each_kind_is_created(operator: Browser, base: str, do: Do[Any]) -> None:
    assert post(operator, "create", parent=base, name="p", mode="persistent")["status"] == 201
    made = post(operator, "create", parent=base, name="s-", mode="sequential", text="é")
    assert made["path"] == f"{base}/s-0000000001"
    assert post(operator, "create", parent=base, name="c", mode="container")["status"] == 201
    made = post(operator, "create", parent=base, name="t", mode="ttl", ttl_ms=60_000)
    assert made["status"] == 201
    made = post(operator, "create", parent=base, name="t-", mode="ttl_sequential", ttl_ms=60_000)
    assert made["path"] == f"{base}/t-0000000004"
    made = post(operator, "create", parent=base, name="e-", mode="ephemeral_sequential")
    shown = get(operator, "data", path=made["path"])
    assert shown["ephemeral"], "it belongs to the console's session"
    below = post(operator, "create", parent=made["path"], name="x", mode="persistent")
    assert (below["status"], "ephemeral" in below["error"]) == (409, True)

    async def read(client: Client) -> bytes:
        return (await client.get(f"{base}/s-0000000001"))[0]

    assert do(read) == "é".encode()


def test_parents_are_made_on_demand_and_an_acl_is_chosen(
    operator: Browser, base: str, do: Do[Any]
) -> None:
    made = {"parent": base, "mode": "persistent", "acl": "read"}
    deep = post(operator, "create", name="a/b/c", parents="1", **made)
    assert (deep["status"], deep["path"]) == (201, f"{base}/a/b/c")
    assert get(operator, "data", path=deep["path"])["acl"] == [["world", "anyone", "read", 1]]
    assert get(operator, "data", path=f"{base}/a/b")["acl"] == [["world", "anyone", "all", 31]]
    as_parent = post(operator, "create", **{**made, "name": "d", "acl": "parent"})
    assert get(operator, "data", path=as_parent["path"])["acl"][0][3] == 31
    many = "/".join("x" * (changes.LEVELS_MAX + 1))
    assert "levels" in post(operator, "create", name=many, parents="1", **made)["error"]


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"name": ""}, 400, "needs a name"),
        ({"name": "a/b"}, 400, "has a slash"),
        ({"name": "a", "mode": "round"}, 400, "mode is 'round'"),
        ({"name": "a", "mode": "ttl"}, 400, "ttl_ms is ''"),
        ({"name": "a", "mode": "ttl", "ttl_ms": 0}, 400, "between 1 and"),
        ({"name": "a", "format": "hex", "text": "0"}, 400, "takes two"),
        ({"name": "a", "acl": "mine"}, 400, "acl is 'mine'; use open"),
        ({"name": "a", "parent": "nowhere"}, 400, "must begin with a slash"),
        ({"name": "a", "parent": "/nowhere"}, 404, "no znode"),
        ({"name": "\x01"}, 400, "Not possible"),
        ({"name": "a", "parent": "/", "mode": "persistent", "text": "x" * 1_100_000}, 400, "byte"),
    ],
)
def test_a_create_that_cannot_be_says_why(
    values: dict[str, object], status: int, words: str, operator: Browser, zookeeper: Node
) -> None:
    given = {"parent": "/", "mode": "persistent", **values}
    answer = post(operator, "create", **given)
    assert answer["status"] == status
    assert words in answer["error"]


def test_a_delete_wants_the_name_and_no_children(operator: Browser, base: str, do: Do[Any]) -> None:
    async def make(client: Client) -> None:
        await client.create(f"{base}/child")

    do(make)
    name = base[1:]
    assert "to confirm" in post(operator, "delete", path=base, version=0)["error"]
    full = post(operator, "delete", path=base, version=0, confirm=name)
    assert (full["status"], "has children" in full["error"]) == (409, True)
    done = post(operator, "delete", path=f"{base}/child", version=0, confirm="child")
    assert done["status"] == 200
    for late in ({"version": 7}, {"version": 0, "czxid": 1}):  # the second: made anew
        answer = post(operator, "delete", path=base, confirm=name, **late)
        assert (answer["status"], "changed by somebody" in answer["error"]) == (409, True)
    assert post(operator, "delete", path=base, version=0, confirm=name)["status"] == 200

    async def gone(client: Client) -> None:
        with pytest.raises(NoNodeError):
            await client.get(base)

    do(gone)


def test_what_the_console_may_not_read_is_said_so(auditor: Browser, base: str, do: Do[Any]) -> None:
    async def make(client: Client) -> None:
        await client.create(f"{base}/secret", b"x", acl=[Acl(31, digest_id("a", "b"))])

    do(make)
    shown = get(auditor, "data", path=f"{base}/secret")
    assert (shown["status"], "ACL" in shown["error"]) == (403, True)
    assert get(auditor, "children", path=base)["rows"] == [["secret", 0, 0]]


def test_every_change_is_in_the_audit_log_without_its_data(
    operator: Browser, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    shown = get(operator, "data", path=base)
    with caplog.at_level(logging.INFO, "console.audit"):
        edit = {"path": base, "czxid": shown["czxid"], "format": "text", "text": "hunter2"}
        post(operator, "save", version=0, **edit)
        post(operator, "save", version=0, **edit)
    audit = [record for record in caplog.records if record.name == "console.audit"]
    lines = [json.loads(record.message) for record in audit]
    assert [line["result"] for line in lines] == ["ok", "BadVersionError"]
    assert lines[0]["actor"] == "olga"
    assert lines[0]["path"] == base
    assert "hunter2" not in caplog.text


def test_without_a_server_the_pages_say_so_and_come_back_with_it(
    auditor: Browser, zookeeper: Node, base: str
) -> None:
    assert get(auditor, "data", path=base)["status"] == 200
    zookeeper.kill9()
    try:
        down = get(auditor, "data", path=base)
        assert down["status"] == 503
        assert zookeeper.address in down["error"]
        page = auditor.get("/")
        assert b"does not answer" in page.content
        assert auditor.get(f"/znodes/at{base}").status_code == 503
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(zk.bridge().run, lambda client: client.get(base)) for _ in "x" * 8]
            assert all(isinstance(one.exception(), UnreachableError) for one in asked)
        assert time.monotonic() - began < 2 * CONNECT_TIMEOUT_S, "they wait together"
    finally:
        zookeeper.start()
    assert get(auditor, "data", path=base)["status"] == 200
    assert b"standalone" in auditor.get("/").content
    reach.stop()
