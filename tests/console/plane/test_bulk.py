"""Pages of work on subtrees and of jobs: forms, dry runs, who sees what."""

import asyncio
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from observability.collect.runner import new_runner
from tenants.bulk import places
from tenants.models import Job, Membership, Tenant
from tests.console.plane.conftest import Go, text_of
from tests.harness import Node
from tests.tenants import operator

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
BASE = "/tenants/shop/znodes"
HOSTILE = "/a/<script>alert(1)</script>"


@pytest.fixture
def tree(shop: Tenant, registry_node: Node) -> Tenant:
    async def fill() -> None:
        async with operator(registry_node.address) as client:
            for path, data in (
                ("/a", b"1"),
                ("/a/b", b"2"),
                (HOSTILE[: HOSTILE.rindex("/")], b""),
                (HOSTILE, b""),
            ):
                await client.create(shop.root + path, data)

    asyncio.run(fill())
    return shop


def asked(answer: Any) -> str:
    """The address of the job that a form has made."""
    assert answer.status_code == 302, text_of(answer)
    assert answer.url.startswith("/jobs/")
    return str(answer.url)


def test_a_subtree_is_duplicated_by_form_after_a_dry_run(go: Go, tree: Tenant) -> None:
    form = text_of(go("dan", f"{BASE}/duplicate?path=/a"))
    assert 'value="/a-copy"' in form
    values = {"path": "/a", "to": "/copy", "ephemerals": "leave"}
    job = asked(go("dan", f"{BASE}/duplicate", values))
    waiting = text_of(go("dan", job))
    assert "waits for its dry run" in waiting
    assert "Nobody runs jobs" in waiting, "no collector runs here"
    new_runner().run_one()
    ready = text_of(go("dan", job))
    assert "<b>4</b> created" in ready
    assert "<script>alert" not in ready
    assert "&lt;script&gt;alert" in ready
    assert 'name="confirm"' not in ready, "nothing that is there changes"
    assert go("dan", f"{job}/confirm", {}).status_code == 302
    new_runner().run_one()
    assert "4 of 4 steps are done." in text_of(go("dan", job))
    assert "/copy" in text_of(go("dan", "/jobs")) or "Duplicate" in text_of(go("dan", "/jobs"))


def test_deleting_wants_the_name_and_is_undone(go: Go, tree: Tenant) -> None:
    job = asked(go("dan", f"{BASE}/delete-tree", {"path": "/a"}))
    new_runner().run_one()
    for wrong in ("", "b", "/a"):
        answer = go("dan", f"{job}/confirm", {"confirm": wrong})
        assert answer.status_code == 422
        assert "Type a to confirm" in text_of(answer)
    assert go("dan", f"{job}/confirm", {"confirm": "a"}).status_code == 302
    new_runner().run_one()
    assert "4 of 4 steps are done" in text_of(go("dan", job))
    undo = asked(go("dan", f"{job}/undo", {}))
    new_runner().run_one()
    assert "<b>4</b> created" in text_of(go("dan", undo))


def test_an_export_is_a_download_and_comes_back_by_import(go: Go, tree: Tenant) -> None:
    job = asked(go("bob", f"{BASE}/export", {"path": "/a", "form": "json"}))
    new_runner().run_one()
    answer = go("bob", f"{job}/file")
    raw = b"".join(answer.streaming_content)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert re.fullmatch(
        r'attachment; filename="shop-a-[0-9a-f]{6}\.json"', answer.headers["Content-Disposition"]
    )
    sent = {
        "path": "/back",
        "file": SimpleUploadedFile("x.json", raw),
        "mode": "skip",
        "acl": "file",
        "ephemerals": "leave",
    }
    job = asked(go("dan", f"{BASE}/import", sent))
    new_runner().run_one()
    assert "<b>4</b> created" in text_of(go("dan", job))
    made = Job.objects.get(kind="import")
    assert go("dan", f"{job}/cancel", {}).status_code == 302
    assert go("dan", f"{job}/remove", {}).status_code == 302
    assert not places.file(made, places.UPLOAD).exists()


def test_what_is_wrong_in_a_form_stands_at_its_field(go: Go, tree: Tenant) -> None:
    for name, values, said in (
        ("duplicate", {"path": "a", "to": "/b", "ephemerals": "leave"}, "must start with /"),
        ("acl-tree", {"path": "/a", "how": "set", "acl": "world"}, "scheme:id:cdrwa"),
        ("restore", {"path": "/a", "at": "soon", "what": ["set"]}, "neither a time"),
        ("import", {"path": "/a", "mode": "skip", "acl": "file"}, "required"),
    ):
        answer = go("alice", f"{BASE}/{name}", values)
        assert answer.status_code == 422, name
        assert said in text_of(answer), name


def test_jobs_are_seen_by_who_asked_and_by_operators_alone(
    go: Go, tree: Tenant, cast: dict[str, Any]
) -> None:
    job = asked(go("dan", f"{BASE}/export", {"path": "/a", "form": "zip"}))
    new_runner().run_one()
    for name in ("alice", "bob", "carol", "ada"):
        assert go(name, job).status_code == 404, name
        assert go(name, f"{job}/file").status_code == 404, name
        assert go(name, f"{job}/remove", {}).status_code == 404, name
    assert go("olga", job).status_code == 200
    assert "Everybody" in text_of(go("olga", "/jobs?of=all"))
    assert go("olga", f"{job}/file").status_code == 404, "values are for who exported them"
    assert go("olga", f"{job}/undo", {}).status_code == 404
    Membership.objects.get(user=cast["dan"]).delete()
    assert go("dan", f"{job}/file").status_code == 404, "dan is no member any more"


def test_viewers_export_and_look_back_but_change_nothing(go: Go, tree: Tenant) -> None:
    assert go("bob", f"{BASE}/export?path=/a").status_code == 200
    page = text_of(go("bob", f"{BASE}/at-time?path=/a&at=2026-11-21 10:00"))
    assert "Nothing has changed since" in page
    assert "Nothing is known of it at that moment" in page, "it was made later"
    page = text_of(go("bob", f"{BASE}/at-time?path=/a&at=2100-01-01 00:00"))
    assert "As it was: 4 znodes" in page
    assert "&lt;script&gt;alert" in page
    assert "Bring it back" not in page
    for name in ("duplicate", "move", "delete-tree", "import", "restore", "acl-tree"):
        assert go("bob", f"{BASE}/{name}?path=/a").status_code == 403, name
        assert go("carol", f"{BASE}/{name}?path=/a").status_code == 404, name
    assert go("dan", f"{BASE}/acl-tree?path=/a").status_code == 403, "ACLs are the owners'"


def test_the_whole_tree_is_for_operators_and_a_tenants_root_is_left_alone(
    go: Go, tree: Tenant
) -> None:
    where = "/ensembles/one/znodes"
    job = asked(go("olga", f"{where}/delete-tree", {"path": "/tenants"}))
    new_runner().run_one()
    page = text_of(go("olga", job))
    assert "The root of tenant shop lies there" in page
    assert go("olga", f"{job}/confirm", {"confirm": "tenants"}).status_code == 422
    assert go("alice", f"{where}/delete-tree?path=/tenants").status_code == 403
    assert go("ada", "/znodes/export?path=/").status_code == 200
    assert go("ada", "/znodes/delete-tree?path=/x").status_code == 403
