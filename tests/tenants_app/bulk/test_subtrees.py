"""Duplicate, move, delete, ACLs, and undoing them: on a real node, in the person's name."""

from collections.abc import Callable

import pytest

from ensemble.client import Client, CreateMode, parse_acl
from tenants import reach
from tenants.bulk import places
from tenants.bulk.steps import read_plan
from tenants.models import Tenant
from tests.tenants_app.bulk.conftest import Desk, Do, Tree

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
SMALL: Tree = {"/a": b"1", "/a/b": b"\xff\x00", "/a/b/c": b"", "/a/box": b"x", "/z": b"apart"}
Fill = Callable[[Tree], None]
Now = Callable[[], Tree]


def test_a_copy_has_values_kinds_and_acls_and_the_source_stays(
    dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    fill(SMALL)
    do(lambda client: client.set_acl(f"{shop.root}/a/b", [parse_acl("world:anyone:cdrw")]))
    job = dan.look("duplicate", "/a", to="/new/copy")
    assert job.state == "ready"
    kinds = [step.kind.mode for step in read_plan(places.file(job, places.PLAN))]
    assert kinds.count("container") == 1, "which a stat does not show"
    assert job.preview["counts"] == {"create": 5}, "one of them is the missing parent"
    assert job.preview["rows"][0] == ["create", "/new", "missing parent"]
    assert tree() == SMALL, "a dry run changes nothing"
    job = dan.confirm(job)
    assert (job.state, job.done, job.refused) == ("done", 5, 0), job.said
    copied = {path.replace("/a", "/new/copy", 1): v for path, v in SMALL.items() if path < "/z"}
    assert tree() == {**SMALL, "/new": b"", **copied}
    acl, _ = do(lambda client: client.get_acl(f"{shop.root}/new/copy/b"))
    assert acl == [parse_acl("world:anyone:cdrw")]


def test_a_move_is_one_transaction_and_is_undone(
    dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    fill(SMALL)
    job = dan.have_done("move", "/a", to="/m")
    assert job.state == "done"
    assert sorted(tree()) == ["/m", "/m/b", "/m/b/c", "/m/box", "/z"]
    new = do(lambda client: client.exists(f"{shop.root}/m"))
    parent = do(lambda client: client.exists(shop.root))
    assert parent.pzxid == new.czxid, "made and deleted at one zxid"
    assert dan.undo(job).state == "done"
    assert tree() == SMALL


def test_what_is_deleted_is_undone_byte_by_byte(dan: Desk, fill: Fill, tree: Now) -> None:
    fill(SMALL)
    job = dan.have_done("delete", "/a")
    assert tree() == {"/z": b"apart"}
    undone = dan.undo(job)
    assert undone.state == "done", undone.said
    assert tree() == SMALL
    redone = dan.undo(undone)
    assert redone.state == "done"
    assert tree() == {"/z": b"apart"}


def test_what_somebody_changes_between_dry_run_and_confirmation_stays(
    dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    fill(SMALL)
    job = dan.look("delete", "/a")
    do(lambda client: client.set(f"{shop.root}/a/b/c", b"news"))
    do(lambda client: client.create(f"{shop.root}/a/late", b""))
    job = dan.confirm(job)
    assert job.state == "done"
    assert (job.done, job.refused) == (4, 3)
    assert sorted(tree()) == ["/a", "/a/b", "/a/b/c", "/a/late", "/z"]
    reasons = dict(job.errors)
    assert "since the dry run" in reasons["/a/b/c"]
    assert "has children" in reasons["/a"]


def test_a_znode_that_was_deleted_and_made_again_is_another_one(
    dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    fill({"/a": b"1"})
    job = dan.look("delete", "/a")

    async def again(client: Client) -> None:
        await client.delete(f"{shop.root}/a")
        await client.create(f"{shop.root}/a", b"1")

    do(again)
    assert dan.confirm(job).refused == 1
    assert tree() == {"/a": b"1"}


def test_ephemerals_and_secrets_are_named_for_what_they_become(
    dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    shop.secret_paths = ["/a/key"]
    shop.save()
    fill({"/a": b"", "/a/key": b"hush"})

    live = f"{shop.root}/a/live"
    reach.as_plane(shop.ensemble).run(
        lambda client: client.create(live, b"", mode=CreateMode.EPHEMERAL)
    )
    left = dan.look("duplicate", "/a", to="/left")
    assert left.preview["counts"] == {"create": 2, "left": 1}
    kept = dan.look("duplicate", "/a", to="/kept", ephemerals="persist")
    assert ["create", "/kept/live", "ephemeral, becomes persistent"] in kept.preview["rows"]
    gone = dan.look("delete", "/a")
    notes = {path: note for _, path, note in gone.preview["rows"]}
    assert notes["/a/live"].startswith("ephemeral, of session 0x")
    assert notes["/a/key"].startswith("secret")
    assert "sessions that live hold them" in gone.preview["notes"][0]
    gone = dan.confirm(gone)
    assert gone.refused == 0
    undone = dan.undo(gone)
    assert undone.preview["in_the_way"] == [["/a/key", "its value is secret and was not kept"]]
    assert sorted(tree()) == ["/a", "/a/live"]


def test_acls_are_set_widened_and_narrowed_below_a_path(
    alice: Desk, fill: Fill, do: Do, shop: Tenant
) -> None:
    fill({"/a": b"", "/a/b": b""})

    def acl() -> list[str]:
        found, _ = do(lambda client: client.get_acl(f"{shop.root}/a/b"))
        return sorted(f"{e.id.scheme}:{e.id.id}:{e.perms}" for e in found)

    job = alice.have_done("acl", "/a", how="set", acl=["world:anyone:rw"])
    assert job.state == "done"
    assert acl() == ["world:anyone:3"]
    alice.have_done("acl", "/a", how="add", acl=["world:anyone:a", "ip:10.0.0.1:r"])
    assert acl() == ["ip:10.0.0.1:1", "world:anyone:19"]
    narrowed = alice.have_done("acl", "/a", how="remove", acl=["ip:10.0.0.1:cdrwa"])
    assert acl() == ["world:anyone:19"]
    alice.undo(narrowed)
    assert acl() == ["ip:10.0.0.1:1", "world:anyone:19"]
    nobody = alice.look("acl", "/a/b", how="remove", acl=["ip:10.0.0.1:r", "world:anyone:cdrwa"])
    assert nobody.preview["blocked"] == 1


@pytest.mark.parametrize(
    ("kind", "path", "more", "said"),
    [
        ("delete", "/none", {}, "no znode /none"),
        ("duplicate", "/a", {"to": "/a/b"}, "lies within /a"),
        ("move", "/a", {"to": "/zookeeper/x"}, "ZooKeeper's own"),
        ("delete", "/zookeeper", {}, "ZooKeeper's own"),
    ],
)
def test_what_cannot_be_is_said_with_the_reason(
    kind: str, path: str, more: dict[str, str], said: str, dan: Desk, fill: Fill
) -> None:
    fill({"/a": b""})
    job = dan.look(kind, path, **more)
    assert job.state == "failed"
    assert said in job.said


def test_a_target_that_is_taken_stops_it(dan: Desk, fill: Fill) -> None:
    fill({"/a": b"", "/b": b""})
    job = dan.look("duplicate", "/a", to="/b")
    assert "is there already" in job.preview["stops"][0]
