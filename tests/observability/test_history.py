"""Revisions: what is kept of lines of the feed, what is asked for, what goes."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from observability import history
from observability.changes import VALUE_BYTES_MAX, ChangeReader, Policy, Stretch
from observability.export import iso
from observability.history import HistoryError
from observability.models import Lease, Revision, Value, Znode
from observability.revisions import prune, stored_by_tenant, write
from observability.roots import Roots
from observability.store import LEASE, source_of
from observability.subtree import Moment, last_changes
from tenants import access
from tenants.models import MemberRole, Membership
from tests.console.cast import make_cast
from tests.observability.people import NOON_MS, add, entry, make_tenant

pytestmark = pytest.mark.django_db(databases=["default", "observed"])

Feed = Callable[..., ChangeReader]


def line(
    zxid: int, operation: str, path: str = "", value: bytes | None = None, **more: Any
) -> bytes:
    fields: dict[str, Any] = {"zxid": f"{zxid:#x}", "time": iso(NOON_MS + zxid * 1_000)}
    fields |= {"operation": operation, "session": "0x7", "principal": "app@payments"}
    if path:
        fields["path"] = path
    if value is not None:
        fields |= {"bytes": len(value), "value": base64.b64encode(value).decode()}
    if operation.startswith("create"):
        fields["acl"] = ["world:anyone:cdrwa"]
    return json.dumps({**fields, **more}).encode()


@pytest.fixture
def feed() -> Feed:
    """Take lines of the feed as the collector does."""
    Lease.objects.create(name=LEASE, holder="test", term=1)
    policies = {"payments": Policy(root="/tenants/payments")}

    def take(*lines: bytes, **policy: Any) -> ChangeReader:
        source = source_of("changes", "main", "")
        reader = ChangeReader(stored_by_tenant("main"))
        reader.roots = Roots({"/tenants/payments": "payments", "/tenants/orders": "orders"})
        reader.policies = {**policies, "payments": Policy(root="/tenants/payments", **policy)}
        stretch = Stretch()
        for raw in lines:
            reader.read(raw, stretch)
        write(1, source, stretch, reader.stored)
        return reader

    return take


ROOT = "/tenants/payments"


def test_revisions_say_what_it_was_who_and_when(feed: Feed) -> None:
    payments = make_tenant()
    feed(
        line(1, "create", f"{ROOT}/a", b"one", version=0),
        line(2, "setData", f"{ROOT}/a", b"two", version=1, principal=""),
        line(3, "setACL", f"{ROOT}/a", acl_version=1, acl=["world:anyone:r"]),
        line(4, "delete", f"{ROOT}/a"),
        line(5, "setData", "/tenants/orders/a", b"theirs", version=9),
    )
    add(entry(0, zxid=2, principal="operator:olga"))  # the journal knows who it was
    found = history.revisions("/a", tenant=payments, values=True).changes
    assert [(c.operation, c.value, c.principal) for c in found] == [
        ("delete", None, "app@payments"),
        ("setACL", None, "app@payments"),
        ("setData", b"two", "operator:olga"),
        ("create", b"one", "app@payments"),
    ]
    assert [c.session for c in found] == ["0x7", "0x7", "", "0x7"]
    assert found[2].at == NOON_MS + 2_000
    first = history.revisions("/a", tenant=payments, limit=3)
    rest = history.revisions("/a", tenant=payments, limit=3, cursor=first.cursor)
    assert [c.zxid for c in first.changes + rest.changes] == [4, 3, 2, 1]
    assert rest.cursor == ""
    assert first.changes[2].has_value
    assert first.changes[2].value is None


def test_a_znode_is_shown_as_it_was_at_a_zxid_or_a_time(feed: Feed) -> None:
    payments = make_tenant()
    feed(
        line(10, "create", f"{ROOT}/a", b"one"),
        line(20, "setData", f"{ROOT}/a", b"two"),
        line(30, "delete", f"{ROOT}/a"),
    )
    assert history.value_at("/a", tenant=payments, zxid=9) is None
    for zxid, value in ((10, b"one"), (19, b"one"), (20, b"two")):
        found = history.value_at("/a", tenant=payments, zxid=zxid)
        assert found is not None
        assert found.value == value
    gone = history.value_at("/a", tenant=payments, at_ms=NOON_MS + 40_000)
    assert gone is not None
    assert gone.is_delete
    whole = history.value_at(f"{ROOT}/a", ensemble="main", at_ms=NOON_MS + 15_000)
    assert whole is not None
    assert whole.value == b"one"
    with pytest.raises(HistoryError, match="either zxid or at_ms"):
        history.value_at("/a", tenant=payments)


def test_what_changed_below_a_path_between_two_times(feed: Feed) -> None:
    payments = make_tenant()
    parts = [
        {"operation": "create", "path": f"{ROOT}/a/x", "bytes": 0, "value": ""},
        {"operation": "check", "path": f"{ROOT}/a"},
        {"operation": "delete", "path": f"{ROOT}/a/y"},
    ]
    feed(
        line(1, "create", f"{ROOT}/a", b""),
        line(2, "multi", parts=parts),
        line(3, "setData", f"{ROOT}/a/x", b"1"),
        line(4, "setData", f"{ROOT}/ab", b"1"),
        line(5, "closeSession", paths=[f"{ROOT}/a/e", "/tenants/orders/e"]),
        line(6, "error", result="NoNode"),
    )
    found = history.changed("/a", tenant=payments, since_ms=NOON_MS, until_ms=NOON_MS + 99_000)
    assert found.is_all
    assert [(c.path, c.times, c.last_operation) for c in found.paths] == [
        ("/a", 1, "create"),
        ("/a/e", 1, "delete"),
        ("/a/x", 2, "setData"),
        ("/a/y", 1, "delete"),
    ]
    one = history.changed("/", tenant=payments, since_ms=NOON_MS + 3_000, until_ms=NOON_MS + 4_000)
    assert [c.path for c in one.paths] == ["/a/x"]
    every = history.changed("/", ensemble="main", since_ms=NOON_MS, until_ms=NOON_MS + 99_000)
    assert "/tenants/orders/e" in [c.path for c in every.paths]


def test_values_are_kept_once_and_not_shared_between_tenants(feed: Feed) -> None:
    feed(
        *(line(at, "setData", f"{ROOT}/n{at}", b"same" * 100) for at in range(1, 20)),
        line(20, "setData", "/tenants/orders/n", b"same" * 100),
    )
    assert Revision.objects.count() == 20
    kept = list(Value.objects.order_by("tenant").values_list("tenant", "size"))
    assert kept == [("orders", 400), ("payments", 400)]


def test_values_of_secret_paths_and_large_ones_are_not_kept(feed: Feed) -> None:
    feed(
        line(1, "setData", f"{ROOT}/keys/db", b"hunter2"),
        line(2, "setData", f"{ROOT}/keys", b"hunter2"),
        line(3, "setData", f"{ROOT}/keys2", b"open"),
        line(4, "setData", f"{ROOT}/large", b"x" * (VALUE_BYTES_MAX + 1)),
        secret_paths=("/keys/",),
    )
    found = Revision.objects.order_by("zxid").values_list("why", "size", "value__size")
    assert list(found) == [
        ("secret", 7, None),
        ("secret", 7, None),
        ("", 4, 4),
        ("large", VALUE_BYTES_MAX + 1, None),
    ]
    assert not any(b"hunter2" in bytes(value.data) for value in Value.objects.all())


def test_a_path_that_becomes_secret_is_neither_answered_nor_kept(feed: Feed) -> None:
    feed(line(1, "setData", f"{ROOT}/keys/db", b"hunter2"), line(2, "setData", f"{ROOT}/a", b"a"))
    payments = make_tenant(secret_paths=["/keys"])
    for found in (
        history.revisions("/keys/db", tenant=payments, values=True),
        history.revisions(f"{ROOT}/keys/db", ensemble="main", values=True),
    ):
        assert [(c.value, c.why, c.has_value) for c in found.changes] == [(None, "secret", False)]
    policy = Policy(("/keys",), 36_500, 10_000, ROOT)
    prune(1, "main", {"payments": policy}, stored_by_tenant("main"))
    assert [bytes(v.data) != b"" for v in Value.objects.all()] == [True]
    assert Revision.objects.get(zxid=1).why == "secret"


def test_the_registry_and_its_hashes_are_not_kept(feed: Feed) -> None:
    feed(
        line(1, "setData", "/zookeeper/tenants/payments", b'{"hash": "..."}'),
        line(2, "create", "/zookeeper/tenants/payments/0000000000000007", b"{}"),
        line(3, "setData", "/zookeeper/audit/1", b"{}"),
        line(4, "setData", f"/zookeeper/quota{ROOT}/zookeeper_limits", b"count=5"),
    )
    assert list(Revision.objects.values_list("zxid", "tenant")) == [(4, "payments")]


def test_a_history_stays_within_its_bytes_and_days(feed: Feed) -> None:
    payments = Policy(days=36_500, bytes_max=100_000, root=ROOT)
    reader = feed(*(line(at, "setData", f"{ROOT}/a", noise(at)) for at in range(1, 1_201)))
    assert reader.stored["payments"] > 100_000
    assert reader.stored == stored_by_tenant("main")
    left = prune(1, "main", {"payments": payments}, reader.stored)
    assert 0 < left["payments"] <= 100_000
    assert left == stored_by_tenant("main"), "what is counted on the way is what there is"
    kept = list(Revision.objects.order_by("zxid").values_list("zxid", flat=True))
    assert kept == list(range(1_201 - len(kept), 1_201)), "the newest stay"
    assert prune(1, "main", {"payments": Policy(days=0, root=ROOT)}, left) == {"payments": 0}
    assert Value.objects.count() == 0
    assert Revision.objects.count() == 0


def test_a_full_history_says_so_instead_of_growing(feed: Feed) -> None:
    feed(*(line(at, "setData", f"{ROOT}/a", noise(at)) for at in range(1, 20)))
    feed(line(50, "setData", f"{ROOT}/b", noise(50)), bytes_max=100)
    assert Revision.objects.get(zxid=50).why == "budget"


def noise(seed: int) -> bytes:
    """Bytes that do not compress."""
    import random

    return random.Random(seed).randbytes(200)


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"x" * 200, b'{"zxid": "y"}', b'{"zxid": "0x5", "operation": 7, "path": []}'],
)
def test_lines_that_are_none_break_nothing(feed: Feed, raw: bytes) -> None:
    feed(raw, line(9, "create", f"{ROOT}/a", b""))
    assert Revision.objects.count() == 1


@pytest.mark.parametrize("cursor", ["x", "1", "1.", "-1.2", "9" * 40 + ".1"])
def test_what_is_no_cursor_is_named(cursor: str) -> None:
    with pytest.raises(HistoryError, match="cursor is"):
        history.revisions("/a", ensemble="main", cursor=cursor)


def closed(path: str, is_closed: bool | None) -> None:
    """The index knows of a znode, and whether everybody may read it."""
    Znode.objects.create(
        ensemble="main",
        path=f"{ROOT}{path}",
        zxid=1,
        at=NOON_MS,
        version=0,
        size=1,
        owner="",
        principal="",
        fill=1,
        is_closed=is_closed,
    )


def test_what_an_acl_keeps_from_some_is_shown_to_owners_and_operators_only(
    feed: Feed,
) -> None:
    people = make_cast()
    payments = make_tenant()
    for name, role in (("alice", MemberRole.OWNER), ("dan", MemberRole.DEVELOPER)):
        Membership.objects.create(tenant=payments, user=people[name], role=role)
    for at, path in enumerate(("/open", "/shut", "/unknown", "/gone"), 1):
        feed(line(at, "create", f"{ROOT}{path}", path.encode(), version=0))
    shut = ["digest:ann:aGFzaA==:r", "world:anyone:cdwa"]
    feed(line(5, "create", f"{ROOT}/gone-shut", b"/gone-shut", version=0, acl=shut))
    feed(line(6, "create", f"{ROOT}/shut-later", b"/shut-later", version=0))
    feed(line(7, "setACL", f"{ROOT}/shut-later", acl_version=1, acl=shut))
    feed(line(8, "create", f"{ROOT}/gone-old", b"/gone-old", version=0, acl=None))
    feed(line(9, "create", f"{ROOT}/lost", b"/lost", version=0))
    feed(line(10, "setACL", f"{ROOT}/lost", acl_version=1, acl=["long" * 2_000]))
    hidden = {"/shut", "/unknown", "/gone-shut", "/shut-later", "/gone-old", "/lost"}
    closed("/open", False)
    closed("/shut", True)
    closed("/unknown", None)
    sees = {name: access.sees_closed(people[name], payments) for name in ("alice", "dan", "ada")}
    assert sees == {"alice": True, "dan": False, "ada": False}
    assert access.sees_closed(people["olga"], payments)
    assert [access.sees_closed(people[name], None) for name in ("olga", "ada")] == [True, False]
    for sees_closed, shown in ((True, hidden), (False, set[str]())):
        for path in ("/open", "/gone", *sorted(hidden)):
            there = path.encode() if path in {"/open", "/gone", *shown} else None
            newest = history.revisions(path, tenant=payments, sees_closed=sees_closed).changes[0]
            assert bool(newest.acl) == (there is not None and path not in ("/gone-old", "/lost"))
            one = history.revisions(
                path, tenant=payments, values=True, sees_closed=sees_closed
            ).changes[-1]
            assert (one.value, one.has_value) == (there, there is not None)
            assert history.words(one.why).startswith("" if there is not None else "its ACL")
            at = history.value_at(path, tenant=payments, zxid=10, sees_closed=sees_closed)
            assert at is not None
            assert at.value == there
        past = last_changes("/", Moment(zxid=10), tenant=payments, sees_closed=sees_closed)
        kept = {one.path for one in past if one.value_id is not None}
        assert kept == {"/open", "/gone", *shown}


def test_each_revision_says_which_acl_was_set_and_hides_digests(feed: Feed) -> None:
    payments = make_tenant()
    told = ["digest:ann:aGFzaA==:cdrwa", "world:anyone:r"]
    feed(
        line(1, "create", f"{ROOT}/a", b"1", version=0),
        line(2, "setACL", f"{ROOT}/a", acl_version=1, acl=told),
        line(3, "setData", f"{ROOT}/a", b"2", version=1),
        line(4, "setACL", f"{ROOT}/a", acl_version=2, acl=["x" * 5_000]),
        line(5, "create", f"{ROOT}/a/b", b"", version=0, acl="world:anyone:r"),
    )
    found = history.revisions("/a", tenant=payments, sees_closed=True).changes
    shown = ("digest:ann:x:cdrwa", "world:anyone:r")
    assert [one.acl for one in found] == [(), (), shown, ("world:anyone:cdrwa",)]
    (below,) = history.revisions("/a/b", tenant=payments, sees_closed=True).changes
    assert below.acl == (), "it is no list"
    past = {one.path: one for one in last_changes("/", Moment(zxid=2), tenant=payments)}
    assert past["/a"].acl == tuple(told), "the newest until then, for a restore"
    past = {one.path: one for one in last_changes("/", Moment(zxid=9), tenant=payments)}
    assert (past["/a"].acl, past["/a"].value_id is None) == ((), True), "too long: not known"
