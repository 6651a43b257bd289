"""A subtree as it was: made again, set back, deleted; and what nobody knows any more."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from ensemble.client import OPEN_ACL, Acl, Client, CreateMode, digest_id, parse_acl
from observability import subtree
from observability.changes import ChangeReader, Policy, Stretch
from observability.export import iso
from observability.models import Lease, Revision
from observability.revisions import stored_by_tenant, write
from observability.roots import Roots
from observability.store import LEASE, source_of
from observability.subtree import Moment
from tenants import reach
from tenants.bulk import places
from tenants.bulk.steps import acl_text
from tenants.models import MemberRole, Membership, Tenant
from tests.tenants_app.bulk.conftest import Desk, Do, Tree

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
Now = Callable[[], Tree]


class Story:
    """Changes the tree, and tells the history of it, as the collector would."""

    def __init__(self, shop: Tenant, do: Do) -> None:
        Lease.objects.create(name=LEASE, holder="test", term=1)
        self.shop, self.do = shop, do
        self.heard = True
        self.zxid = 0

    def create(
        self,
        path: str,
        data: bytes = b"",
        mode: CreateMode = CreateMode.PERSISTENT,
        acl: tuple[Acl, ...] = OPEN_ACL,
    ) -> int:
        whole = self.shop.root + path
        _, stat = self.do(lambda client: client.create_with_stat(whole, data, acl=acl, mode=mode))
        operation = "createContainer" if mode is CreateMode.CONTAINER else "create"
        return self.tell(stat.czxid, operation, path, data, acl=[acl_text(one) for one in acl])

    def set(self, path: str, data: bytes) -> int:
        stat = self.do(lambda client: client.set(self.shop.root + path, data))
        return self.tell(stat.mzxid, "setData", path, data)

    def delete(self, path: str) -> int:
        whole = self.shop.root + path

        async def work(client: Client) -> int:
            await client.delete(whole)
            stat = await client.exists(whole.rsplit("/", 1)[0])
            assert stat is not None
            return int(stat.pzxid)

        return self.tell(self.do(work), "delete", path, None)

    def tell(self, zxid: int, operation: str, path: str, data: bytes | None, **more: Any) -> int:
        self.zxid = zxid
        if not self.heard:
            return zxid
        fields: dict[str, Any] = {"zxid": f"{zxid:#x}", "time": iso(int(time.time() * 1_000))}
        fields |= {"operation": operation, "path": self.shop.root + path, **more}
        if data is not None:
            fields |= {"bytes": len(data), "value": base64.b64encode(data).decode()}
        name = self.shop.ensemble.name
        reader = ChangeReader(stored_by_tenant(name))
        reader.roots = Roots({self.shop.root: self.shop.slug})
        reader.policies = {
            self.shop.slug: Policy(tuple(self.shop.secret_paths), root=self.shop.root)
        }
        stretch = Stretch()
        reader.read(json.dumps(fields).encode(), stretch)
        write(1, source_of("changes", name, ""), stretch, reader.stored)
        return zxid


@pytest.fixture
def story(shop: Tenant, do: Do) -> Story:
    return Story(shop, do)


def test_what_was_deleted_changed_and_made_since_is_brought_back(
    dan: Desk, story: Story, tree: Now, do: Do, shop: Tenant
) -> None:
    story.create("/a", b"1")
    story.create("/a/gone", b"\xff")
    own = (Acl(1, digest_id("ann", "secret")), parse_acl("world:anyone:cdrw"))
    story.create("/a/gone/deep", b"d", acl=own)
    story.create("/a/same", b"s")
    then = story.create("/a/box", b"x", CreateMode.CONTAINER)
    was = tree()
    do(lambda client: client.set_acl(f"{shop.root}/a", [parse_acl("world:anyone:cdrw")]))
    story.set("/a", b"2")
    story.delete("/a/gone/deep")
    story.delete("/a/gone")
    story.delete("/a/box")
    story.create("/a/new", b"n")
    last = story.create("/a/new/below", b"")
    broken = tree()
    job = dan.look("restore", "/a", zxid=then)
    assert job.preview["counts"] == {"same": 1, "set": 1, "delete": 2, "create": 3, "kept": 1}
    job = dan.confirm(job)
    assert job.refused == 0
    assert tree() == was

    def acl_of(path: str) -> tuple[Acl, ...]:
        return tuple(do(lambda client: client.get_acl(f"{shop.root}{path}"))[0])

    assert acl_of("/a") == (parse_acl("world:anyone:cdrw"),), "he may not change ACLs"
    assert acl_of("/a/gone/deep") == own, "what is made again has its own"
    assert dan.undo(job).state == "done"
    assert tree() == broken
    assert last > then


def test_acls_are_set_back_by_those_who_may(
    alice: Desk, story: Story, do: Do, shop: Tenant
) -> None:
    def acl_of(path: str) -> tuple[Acl, ...]:
        return tuple(do(lambda client: client.get_acl(f"{shop.root}{path}"))[0])

    own = (Acl(31, digest_id("ann", "secret")), parse_acl("world:anyone:r"))
    story.create("/a", b"1", acl=own)
    story.create("/a/same", b"s")
    story.create("/a/again", b"s", acl=own)
    then = story.create("/a/open", b"o")
    for path in ("/a", "/a/open"):
        do(lambda client, at=path: client.set_acl(shop.root + at, [parse_acl("world:anyone:r")]))
    story.delete("/a/again")
    story.create("/a/again", b"s")
    assert alice.look("restore", "/a", zxid=then, without=["acl"]).preview["counts"] == {"same": 4}
    job = alice.have_done("restore", "/a", zxid=then, without=[])
    assert job.preview["counts"] == {"same": 4, "acl": 3}
    assert (acl_of("/a"), acl_of("/a/again"), acl_of("/a/open")) == (own, own, OPEN_ACL)
    assert alice.undo(job).state == "done"
    assert acl_of("/a") == (parse_acl("world:anyone:r"),)
    assert acl_of("/a/again") == OPEN_ACL


def test_who_may_not_change_acls_any_more_does_not_set_them_back(
    alice: Desk, story: Story, do: Do, shop: Tenant
) -> None:
    story.create("/a", b"1")
    then = story.create("/a/open", b"o")
    do(lambda client: client.set_acl(f"{shop.root}/a/open", [parse_acl("world:anyone:r")]))
    job = alice.look("restore", "/a", zxid=then)
    assert job.preview["counts"] == {"same": 2, "acl": 1}
    Membership.objects.filter(user__username="alice").update(role=MemberRole.DEVELOPER)
    job = alice.confirm(job)
    assert job.state == "failed"
    assert "may not" in job.said
    acl, _ = do(lambda client: client.get_acl(f"{shop.root}/a/open"))
    assert acl == [parse_acl("world:anyone:r")]


def test_each_kind_of_change_can_be_left_out(dan: Desk, story: Story, tree: Now) -> None:
    story.create("/a", b"1")
    then = story.create("/a/gone", b"g")
    story.set("/a", b"2")
    story.delete("/a/gone")
    story.create("/a/new", b"n")
    without = ["delete", "set"]
    dan.have_done("restore", "/a", zxid=then, without=without)
    assert tree() == {"/a": b"2", "/a/gone": b"g", "/a/new": b"n"}
    dan.have_done("restore", "/a", zxid=then, without=["delete"])
    assert tree() == {"/a": b"1", "/a/gone": b"g", "/a/new": b"n"}
    dan.have_done("restore", "/a", zxid=then, without=[])
    assert tree() == {"/a": b"1", "/a/gone": b"g"}


def test_what_cannot_be_brought_back_is_named_with_the_reason(
    dan: Desk, story: Story, tree: Now, shop: Tenant
) -> None:
    shop.secret_paths = ["/a/key"]
    shop.save()
    story.heard = False
    story.create("/a", b"before the history")
    story.create("/a/unknown", b"before the history")
    story.heard = True
    story.create("/a/key", b"hush")
    story.create("/a/large", b"L")
    then = story.create("/a/child", b"c")
    Revision.objects.filter(path=f"{shop.root}/a/large").update(value=None, why="large")
    zxid = story.zxid
    story.tell(zxid, "create", "/a/live", b"", ephemeral=True)
    story.set("/a", b"after")
    story.set("/a/key", b"other")
    story.delete("/a/large")
    story.delete("/a/unknown")
    job = dan.look("restore", "/a", zxid=then)
    assert dict(job.preview["in_the_way"]) == {
        "/a": "the history does not reach back so far",
        "/a/key": "its value is secret and was not kept",
        "/a/large": "its value was larger than the history keeps",
        "/a/live": "it was ephemeral: only a session can make it again",
        "/a/unknown": "it was there, perhaps: the history does not reach back so far",
    }
    assert job.preview["counts"] == {"same": 1}
    assert tree()["/a"] == b"after"


def test_ephemerals_that_live_now_are_left_alone(
    dan: Desk, story: Story, tree: Now, shop: Tenant
) -> None:
    story.create("/a-beside", b"sorts between /a and what is below it")
    then = story.create("/a", b"1")
    bridge = reach.as_plane(shop.ensemble)
    path = f"{shop.root}/a/live"
    bridge.run(lambda client: client.create(path, b"", mode=CreateMode.EPHEMERAL))
    job = dan.look("restore", "/a", zxid=then)
    assert job.preview["counts"] == {"same": 1, "left": 1}
    assert sorted(tree()) == ["/a", "/a-beside", "/a/live"]


def test_a_znode_that_was_made_anew_since_is_set_back(dan: Desk, story: Story, tree: Now) -> None:
    story.create("/a", b"")
    then = story.create("/a/b", b"first")
    story.delete("/a/b")
    story.create("/a/b", b"second")
    dan.have_done("restore", "/a", zxid=then)
    assert tree()["/a/b"] == b"first"


def test_a_whole_subtree_that_is_gone_comes_back(dan: Desk, story: Story, tree: Now) -> None:
    story.create("/a", b"1")
    then = story.create("/a/b", b"2")
    story.delete("/a/b")
    story.delete("/a")
    job = dan.have_done("restore", "/a", zxid=then)
    assert job.state == "done", job.said
    assert tree() == {"/a": b"1", "/a/b": b"2"}


def test_nothing_of_another_tenants_history_is_seen(dan: Desk, story: Story, shop: Tenant) -> None:
    story.create("/a", b"1")
    Revision.objects.create(
        ensemble=shop.ensemble.name,
        tenant="other",
        path=f"{shop.root}/a/theirs",
        zxid=1,
        at=int(time.time() * 1_000),
        operation="create",
    )
    found = list(subtree.last_changes("/", Moment(zxid=1 << 60), tenant=shop))
    assert [one.path for one in found] == ["/a"]


def test_containers_and_times_to_live_are_known_by_the_history(story: Story, shop: Tenant) -> None:
    box = story.create("/box", b"", CreateMode.CONTAINER)
    story.tell(box, "createTTL", "/brief", b"", ttl=60_000)
    made = [("/box", box), ("/brief", box), ("/none", box)]
    found = subtree.kinds(made, tenant=shop)
    assert {path: (kind.mode, kind.ttl_ms) for path, kind in found.items()} == {
        "/box": ("container", None),
        "/brief": ("ttl", 60_000),
    }
    assert subtree.kinds([("/box", box + 1)], tenant=shop) == {}, "another znode of this path"


def test_a_moment_that_is_none_is_refused(dan: Desk, story: Story) -> None:
    story.create("/a", b"")
    assert "either a time or a zxid" in dan.look("restore", "/a").said


def test_a_subtree_is_exported_as_it_was(dan: Desk, story: Story, shop: Tenant) -> None:
    shop.secret_paths = ["/a/key"]
    shop.save()
    story.create("/a", b"1")
    story.create("/a/gone", b"\xff")
    story.create("/a/key", b"hush")
    then = story.create("/a/same", b"s")
    story.set("/a", b"2")
    story.delete("/a/gone")
    story.create("/a/new", b"n")
    job = dan.look("export", "/a", form="json", zxid=then)
    assert job.state == "done", job.said
    found = json.loads(places.file(job, places.DOWNLOAD).read_bytes())
    assert found["zxid"] == then
    assert [(one["path"], one.get("text", one.get("base64"))) for one in found["znodes"]] == [
        ("/", "1"),
        ("/gone", "/w=="),
        ("/key", None),
        ("/same", "s"),
    ]
    assert found["znodes"][2]["left_out"] == "secret"
    nothing = dan.look("export", "/a", form="json", zxid=1)
    assert nothing.state == "failed"
    assert "nothing is known" in nothing.said


def test_what_stood_is_told_from_the_tree_and_the_history(story: Story, shop: Tenant) -> None:
    story.heard = False
    story.create("/a", b"unheard")
    story.heard = True
    then = story.create("/a/b", b"22")
    story.set("/a", b"later")
    story.delete("/a/b")
    story.create("/a/c", b"")
    moment = Moment(zxid=then)
    past = {one.path: one for one in subtree.last_changes("/a", moment, tenant=shop)}
    bridge = reach.as_plane(shop.ensemble)
    now = {
        path[len(shop.root) :]: stat
        for path in (f"{shop.root}/a", f"{shop.root}/a/c")
        if (stat := bridge.run(lambda client, path=path: client.exists(path))) is not None
    }
    assert [(w.path, w.how, w.size, w.why) for w in subtree.was(now, past, moment)] == [
        ("/a", "changed", 0, "the history does not reach back so far"),
        ("/a/b", "gone", 2, ""),
    ]
