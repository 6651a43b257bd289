"""Transactions become state: effects, events in order, and nothing that can fail (storage.md 6)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workbench import (
    ANYONE,
    NOW_MS,
    SESSION,
    Bench,
    audit,
    contents,
    created,
    deleted,
    only,
    written,
)

from ensemble.tree.apply import Applied, apply
from ensemble.tree.budget import BudgetLimits
from ensemble.tree.datatree import DataTree
from ensemble.tree.znode import OWNER_CONTAINER
from ensemble.wire import codes
from ensemble.wire.records import Acl
from ensemble.wire.txns import (
    CheckTxn,
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetAclTxn,
    SetDataTxn,
    SubTxn,
    Txn,
    TxnHeader,
)

CREATED = codes.EVENT_NODE_CREATED
DELETED = codes.EVENT_NODE_DELETED
DATA = codes.EVENT_NODE_DATA_CHANGED
CHILDREN = codes.EVENT_NODE_CHILDREN_CHANGED
OPEN_LIST = [Acl(codes.PERM_ALL, ANYONE)]
READ_LIST = [Acl(codes.PERM_READ, ANYONE)]


def header(zxid: int, type: int, session_id: int = SESSION) -> TxnHeader:
    return TxnHeader(session_id, 0, zxid, NOW_MS, type)


def create(
    tree: DataTree, zxid: int, path: bytes, parent_cversion: int = -1, type: int = 1, ttl: int = 0
) -> Applied:
    txn = CreateTxn(path, b"", OPEN_LIST, False, parent_cversion, ttl)
    return apply(tree, header(zxid, type), txn)


# Effects and events


def test_a_create_fires_the_node_then_the_parent() -> None:
    """client.md 13.3."""
    bench = Bench()
    bench.create(b"/a")
    assert bench.events() == [(CREATED, b"/a"), (CHILDREN, b"/")]
    bench.create(b"/a/b")
    assert bench.events() == [(CREATED, b"/a/b"), (CHILDREN, b"/a")]


def test_a_delete_fires_the_node_then_the_parent() -> None:
    """client.md 13.3."""
    bench = Bench()
    bench.create(b"/a")
    bench.delete(b"/a")
    assert bench.events() == [(DELETED, b"/a"), (CHILDREN, b"/")]


def test_set_data_fires_once_and_set_acl_not_at_all() -> None:
    """client.md 13.3."""
    bench = Bench()
    bench.create(b"/a")
    bench.set_data(b"/a", b"x")
    assert bench.events() == [(DATA, b"/a")]
    bench.set_acl(b"/a", only(codes.PERM_ALL))
    assert bench.events() == []


def test_a_multi_fires_for_each_part_in_order() -> None:
    """client.md 13.3."""
    bench = Bench()
    bench.multi([created(b"/a"), written(b"/a", b"x"), deleted(b"/a")])
    assert bench.events() == [
        (CREATED, b"/a"),
        (CHILDREN, b"/"),
        (DATA, b"/a"),
        (DELETED, b"/a"),
        (CHILDREN, b"/"),
    ]


def test_the_end_of_a_session_fires_for_each_of_its_nodes() -> None:
    """client.md 13.3: the delete steps for each ephemeral."""
    bench = Bench()
    bench.create(b"/p")
    bench.create(b"/p/e1", flags=1)
    bench.create(b"/p/e2", flags=1)
    bench.close_session()
    events = bench.events()
    assert events[0::2] == [(DELETED, b"/p/e1"), (DELETED, b"/p/e2")]
    assert events[1::2] == [(CHILDREN, b"/p")] * 2
    stat = bench.tree.stat_of(bench.tree.nodes[b"/p"])
    assert (stat.cversion, stat.num_children, stat.pzxid) == (4, 0, bench.zxid)


def test_an_event_is_filtered_by_the_acl_of_its_node_and_of_its_parent() -> None:
    """client.md 13.4, E1: for child events the parent's, for a deletion the deleted node's."""
    bench = Bench()
    bench.create(b"/p")
    acl = only(codes.PERM_WRITE)
    for operation in (
        lambda: bench.create(b"/p/a", acl=acl),
        lambda: bench.delete(b"/p/a"),
    ):
        operation()
        perms = [change.acl.entries[0].perms for change in bench.applied.changes]
        assert perms == [codes.PERM_WRITE, codes.PERM_ALL]


def test_the_stat_follows_the_table_of_the_protocol() -> None:
    """client.md 9."""
    bench = Bench()
    bench.create(b"/n", b"12345")
    z0 = bench.zxid
    bench.now_ms += 5
    bench.set_data(b"/n", None)
    z1 = bench.zxid
    bench.set_acl(b"/n", only(codes.PERM_ALL))
    bench.create(b"/n/a")
    bench.create(b"/n/b")
    bench.delete(b"/n/a")
    z2 = bench.zxid
    bench.create(b"/n/b/c")
    stat = bench.tree.stat_of(bench.tree.nodes[b"/n"])
    assert stat.as_tuple() == (z0, z1, NOW_MS, NOW_MS + 5, 1, 3, 1, 0, 0, 1, z2)


def test_the_last_zxid_never_goes_back() -> None:
    """storage.md 6.1."""
    tree = DataTree()
    create(tree, 5, b"/a")
    create(tree, 3, b"/b")
    assert tree.last_zxid == 5


# Idempotence over a fuzzy snapshot (storage.md 6.2, B7)


@pytest.mark.parametrize(
    "type", [codes.OP_CREATE, codes.OP_CREATE2, codes.OP_CREATE_CONTAINER, codes.OP_CREATE_TTL]
)
def test_a_create_over_an_existing_node_mends_the_parent_for_every_type(type: int) -> None:
    """storage.md 6.2, MUST: the Java server does so for type 1 alone."""
    tree = DataTree(extended_types=True)
    create(tree, 1, b"/p")
    create(tree, 2, b"/p/a", type=type, ttl=5)
    parent = tree.nodes[b"/p"]
    parent.cversion, parent.pzxid = 0, 1  # as a dump has it that wrote the parent first
    tree.refresh(b"/p", parent)
    applied = create(tree, 2, b"/p/a", parent_cversion=1, type=type, ttl=5)
    assert applied.error == codes.NODE_EXISTS
    assert (parent.cversion, parent.pzxid) == (1, 2)
    audit(tree)


def test_the_fix_up_inside_a_multi_too() -> None:
    """storage.md 6.2, MUST."""
    tree = DataTree()
    create(tree, 1, b"/p")
    create(tree, 2, b"/p/a")
    parent = tree.nodes[b"/p"]
    parent.cversion, parent.pzxid = 0, 1
    tree.refresh(b"/p", parent)
    part = CreateTxn(b"/p/a", b"", OPEN_LIST, False, 1, 0)
    apply(tree, header(2, codes.OP_MULTI), MultiTxn([15], [part]))
    assert (parent.cversion, parent.pzxid) == (1, 2)


def test_a_create_over_an_existing_node_keeps_its_data_and_mends_its_acl() -> None:
    """storage.md 6.2, B8: the dump may have had a number that its table lacks."""
    tree = DataTree()
    create(tree, 1, b"/a")
    apply(tree, header(2, codes.OP_SET_DATA), SetDataTxn(b"/a", b"kept", 1))
    txn = CreateTxn(b"/a", b"", READ_LIST, False, 1, 0)
    apply(tree, header(1, codes.OP_CREATE), txn)
    assert (tree.nodes[b"/a"].data, tree.nodes[b"/a"].acl.entries) == (b"kept", READ_LIST)
    audit(tree)


def test_a_delete_of_a_missing_node_still_marks_its_parent() -> None:
    """storage.md 6.2."""
    tree = DataTree()
    create(tree, 1, b"/p")
    applied = apply(tree, header(9, codes.OP_DELETE), DeleteTxn(b"/p/gone"))
    assert (applied.error, tree.nodes[b"/p"].pzxid) == (codes.NO_NODE, 9)
    assert applied.changes == []
    audit(tree)


def test_an_old_delete_does_not_lower_the_parents_pzxid() -> None:
    """storage.md 6.1."""
    tree = DataTree()
    create(tree, 1, b"/p")
    create(tree, 7, b"/p/a")
    apply(tree, header(3, codes.OP_DELETE), DeleteTxn(b"/p/gone"))
    assert tree.nodes[b"/p"].pzxid == 7


def test_a_delete_takes_what_a_later_incarnation_put_below() -> None:
    """B7: the dump has /a/b/c of the second /a; the log deletes the first, then makes both."""
    tree = DataTree()
    for zxid, path in ((5, b"/a"), (6, b"/a/b"), (7, b"/a/b/c")):
        create(tree, zxid, path)
    apply(tree, header(4, codes.OP_DELETE), DeleteTxn(b"/a"))
    audit(tree)
    assert len(tree.nodes) == 4
    for zxid, path in ((5, b"/a"), (6, b"/a/b"), (7, b"/a/b/c")):
        assert create(tree, zxid, path).error == 0
    audit(tree)


def test_close_session_deletes_its_list_and_whatever_else_it_owns() -> None:
    """storage.md 6.1, 3.4."""
    bench = Bench()
    for path in (b"/e1", b"/e2"):
        bench.create(path, flags=1)
    apply(bench.tree, header(9, codes.OP_CLOSE_SESSION), CloseSessionTxn([b"/e1", b"/none", b"x"]))
    assert (len(bench.tree.nodes), bench.tree.sessions, bench.tree.ephemerals) == (4, {}, {})
    audit(bench.tree)


def test_session_transactions_repeat_without_harm() -> None:
    """storage.md 6.2."""
    tree = DataTree()
    for timeout_ms in (1_000, 2_000):
        apply(tree, header(1, codes.OP_CREATE_SESSION), CreateSessionTxn(timeout_ms))
    assert tree.sessions == {SESSION: 2_000}
    for _ in range(2):
        apply(tree, header(2, codes.OP_CLOSE_SESSION), CloseSessionTxn(None))
    assert tree.sessions == {}


def test_one_error_makes_a_multi_a_no_op() -> None:
    """storage.md 6.3."""
    tree = DataTree()
    parts: list[SubTxn] = [
        CreateTxn(b"/a", b"", OPEN_LIST, False, 1, 0),
        ErrorTxn(codes.BAD_VERSION),
        DeleteTxn(b"/zookeeper"),
        ErrorTxn(codes.RUNTIME_INCONSISTENCY),
    ]
    applied = apply(tree, header(1, codes.OP_MULTI), MultiTxn([1, -1, 2, -1], parts))
    assert [result.error for result in applied.results] == [0, -103, -2, -2]
    assert (applied.error, applied.changes, len(tree.nodes), tree.last_zxid) == (-103, [], 4, 1)


# Whatever can be decoded can be applied

HOSTILE = [b"", b"/", b"//", b"//a", b"a", b"a/b", b"/a", b"/a/", b"/a/b", b"/a/b/c", b"/\xff"]
HOSTILE += [b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/quota/a", b"/zookeeper/config"]
HOSTILE += [b"/zookeeper/quota/a/zookeeper_limits", b"/zookeeper/quota/a/zookeeper_stats"]
HOSTILE += [b"/zookeeper/quota/zookeeper_limits", b"/zookeeper/quota/zookeeper_stats"]
HOSTILE += [b"/zookeeper/quota/a/b", b"/zookeeper/quota/a/b/zookeeper_limits"]
paths = st.sampled_from(HOSTILE)
ints = st.sampled_from([-(1 << 31), -3, -2, -1, 0, 1, 2, 5, (1 << 31) - 1])
longs = st.sampled_from([-(1 << 63), -(1 << 56), -1, 0, 1, 1 << 40, (1 << 63) - 1, SESSION])
datas = st.sampled_from(
    [None, b"", b"x", b"count=1,bytes=2", b"countHardLimit=1", b"count=\xff,;=="]
)
acls = st.sampled_from([[], OPEN_LIST, READ_LIST])
parts = st.one_of(
    st.builds(CreateTxn, paths, datas, acls, st.booleans(), ints, longs),
    st.builds(DeleteTxn, paths),
    st.builds(SetDataTxn, paths, datas, ints),
    st.builds(CheckTxn, paths, ints),
    st.builds(ErrorTxn, ints),
)
creates = st.sampled_from([1, 15, 19, 21])
multis = st.lists(st.tuples(creates, parts), max_size=4).map(
    lambda pairs: MultiTxn([pair[0] for pair in pairs], [pair[1] for pair in pairs])
)
txns = st.one_of(
    parts,
    parts,
    st.builds(SetAclTxn, paths, acls, ints),
    st.builds(CreateSessionTxn, ints),
    st.builds(CloseSessionTxn, st.none() | st.lists(paths, max_size=3)),
    multis,
)


@settings(deadline=None)
@given(st.lists(st.tuples(longs, longs, creates, txns), max_size=25), st.booleans())
def test_no_transaction_can_fail_or_break_an_invariant(
    log: list[tuple[int, int, int, Txn]], extended_types: bool
) -> None:
    """storage.md 6, quotas.md 7: a failure while applying would repeat at every replay."""
    tree = DataTree(extended_types)
    tree.budgets.put("a", b"/a", BudgetLimits())
    for session_id, zxid, type, txn in log:
        apply(tree, TxnHeader(session_id, 0, zxid, NOW_MS, type), txn)
        audit(tree)


def test_a_ttl_out_of_bounds_in_a_log_is_no_ttl() -> None:
    """storage.md 5.3: the prepared request was refused, the log may come from elsewhere."""
    tree = DataTree(extended_types=True)
    create(tree, 1, b"/a", type=codes.OP_CREATE_TTL, ttl=1 << 60)
    assert tree.nodes[b"/a"].owner == 0


def test_a_ttl_node_without_extended_types_looks_like_a_strange_sessions() -> None:
    """client.md 11 (source only)."""
    tree = DataTree(extended_types=False)
    create(tree, 1, b"/a", type=codes.OP_CREATE_TTL, ttl=5)
    owner = tree.nodes[b"/a"].owner
    assert (tree.ttls, tree.ephemerals) == (set(), {owner: {b"/a"}})
    assert tree.visible_owner(owner) == owner
    assert tree.visible_owner(OWNER_CONTAINER) == 0


def test_a_million_siblings_cost_no_more_than_ten() -> None:
    """Deleting a child does not look at its siblings: 20 000 of them go in a moment."""
    tree = DataTree()
    create(tree, 1, b"/p")
    count = 20_000
    for i in range(count):
        create(tree, 2 + i, b"/p/%d" % i)
    for i in range(count):
        apply(tree, header(2 + count + i, codes.OP_DELETE), DeleteTxn(b"/p/%d" % i))
    assert tree.nodes[b"/p"].children is None
    audit(tree)


def test_the_whole_log_replayed_gives_the_same_tree() -> None:
    """B7: what was logged is what was done."""
    bench = Bench()
    bench.create(b"/a", b"1")
    bench.multi([created(b"/a/b"), written(b"/a", b"2"), deleted(b"/a/b")])
    bench.create(b"/a/s", flags=3)
    bench.set_acl(b"/a", only(codes.PERM_READ))
    bench.delete(b"/none")
    bench.close_session()
    assert contents(bench.replayed()) == contents(bench.tree)
