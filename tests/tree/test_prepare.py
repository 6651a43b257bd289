"""Requests become transactions: which check wins, and what is proposed (client.md 7, 11, 20)."""

from collections.abc import Callable

import pytest
from workbench import (
    ADDRESS,
    ALICE,
    NOW_MS,
    OPEN,
    SESSION,
    SUPER,
    Bench,
    audit,
    checked,
    create_request,
    created,
    deleted,
    malformed_acl,
    only,
    written,
)

from ensemble.tree.apply import apply
from ensemble.tree.prepare import PrepareOptions
from ensemble.tree.znode import OWNER_CONTAINER, TTL_MAX
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError
from ensemble.wire.records import Acl
from ensemble.wire.requests import MultiItem
from ensemble.wire.txns import CloseSessionTxn, CreateTxn, ErrorTxn, MultiTxn, read_txn

TTL_ON = PrepareOptions(extended_types=True)
SHUT = only(0)  # nobody may do anything
ELSEWHERE = 0x200000000000002


def furnished(options: PrepareOptions | None = None) -> Bench:
    """A tree with one node of each sort that a check can stumble over."""
    bench = Bench(options)
    bench.create(b"/open", b"data")
    bench.create(b"/open/child")
    bench.create(b"/shut", acl=SHUT)
    bench.create(b"/closed", acl=OPEN)
    bench.create(b"/closed/child")
    bench.set_acl(b"/closed", SHUT)
    bench.create(b"/ephemeral", flags=1)
    bench.create(b"/versioned", b"1")
    bench.set_data(b"/versioned", b"2")
    return bench


CREATE_ERRORS: list[tuple[str, Callable[[Bench], int], int]] = [
    ("flags beyond 6", lambda b: b.create(b"nowhere", flags=7, acl=b"\0\0\0\0").error, -8),
    ("negative flags", lambda b: b.create(b"nowhere", flags=-1).error, -8),
    ("a TTL mode while TTLs are off", lambda b: b.create(b"x", flags=5, ttl=-1, op=21).error, -6),
    ("no slash", lambda b: b.create(b"nowhere", acl=b"\0\0\0\0").error, -8),
    ("an empty path", lambda b: b.create(b"").error, -8),
    ("a NUL", lambda b: b.create(b"/none/\0", acl=b"\0\0\0\0").error, -8),
    ("no ACL", lambda b: b.create(b"/none/x", acl=b"\0\0\0\0").error, -114),
    ("a null ACL", lambda b: b.create(b"/none/x", acl=b"\xff\xff\xff\xff").error, -114),
    ("no parent", lambda b: b.create(b"/none/.").error, -101),
    ("no parent for a path without a leading slash", lambda b: b.create(b"a/b").error, -101),
    ("no permission", lambda b: b.create(b"/shut/.").error, -102),
    ("bad syntax", lambda b: b.create(b"/open/..").error, -8),
    ("an empty name", lambda b: b.create(b"/open/").error, -8),
    ("two slashes", lambda b: b.create(b"//a").error, -8),
    ("a control character", lambda b: b.create(b"/open/\x1f").error, -8),
    ("invalid UTF-8", lambda b: b.create(b"/open/\xff").error, -8),
    ("below an ephemeral, bad syntax", lambda b: b.create(b"/ephemeral/.").error, -8),
    ("the root", lambda b: b.create(b"/").error, -110),
    ("it exists", lambda b: b.create(b"/open/child").error, -110),
    ("below an ephemeral", lambda b: b.create(b"/ephemeral/x").error, -108),
]


@pytest.mark.parametrize(
    ("attempt", "error"), [c[1:] for c in CREATE_ERRORS], ids=[c[0] for c in CREATE_ERRORS]
)
def test_the_first_failing_check_of_a_create_decides(
    attempt: Callable[[Bench], int], error: int
) -> None:
    """client.md 7: steps 1 to 13, each attempt also breaks a later rule where one can."""
    bench = furnished()
    before = bench.tree.digest
    assert attempt(bench) == error
    assert bench.tree.digest == before
    assert bench.tree.last_zxid == bench.zxid, "a refused request takes its zxid too"


OTHER_ERRORS: list[tuple[str, Callable[[Bench], int], int]] = [
    ("delete: no slash", lambda b: b.delete(b"x").error, -8),
    ("delete: NUL", lambda b: b.delete(b"/none/\0").error, -8),
    ("delete: the root", lambda b: b.delete(b"/").error, -8),
    ("delete: /zookeeper", lambda b: b.delete(b"/zookeeper").error, -8),
    ("delete: /zookeeper/quota", lambda b: b.delete(b"/zookeeper/quota").error, -8),
    ("delete: /zookeeper/config", lambda b: b.delete(b"/zookeeper/config", 9).error, -8),
    ("delete: no parent", lambda b: b.delete(b"/none/x").error, -101),
    ("delete: DELETE is asked of the parent", lambda b: b.delete(b"/closed/x").error, -102),
    ("delete: missing", lambda b: b.delete(b"/open/x", 9).error, -101),
    ("delete: a slash at the end is a missing node", lambda b: b.delete(b"/open/").error, -101),
    ("delete: two slashes", lambda b: b.delete(b"//").error, -101),
    ("delete: version before children", lambda b: b.delete(b"/open", 9).error, -103),
    ("delete: version -2 matches nothing", lambda b: b.delete(b"/open/child", -2).error, -103),
    ("delete: children", lambda b: b.delete(b"/open").error, -111),
    ("setData: syntax before existence", lambda b: b.set_data(b"/none/", b"", 9).error, -8),
    ("setData: an empty path", lambda b: b.set_data(b"", b"").error, -8),
    ("setData: missing", lambda b: b.set_data(b"/none", b"", 9).error, -101),
    ("setData: permission before version", lambda b: b.set_data(b"/shut", b"", 9).error, -102),
    ("setData: version", lambda b: b.set_data(b"/versioned", b"", 0).error, -103),
    (
        "setData: the config node is read-only",
        lambda b: b.set_data(b"/zookeeper/config", b"").error,
        -102,
    ),
    ("setACL: syntax before the ACL", lambda b: b.set_acl(b"/none/", b"\0\0\0\0").error, -8),
    ("setACL: the ACL before existence", lambda b: b.set_acl(b"/none", b"\0\0\0\0").error, -114),
    ("setACL: missing", lambda b: b.set_acl(b"/none", OPEN, 9).error, -101),
    ("setACL: permission before version", lambda b: b.set_acl(b"/shut", OPEN, 9).error, -102),
    ("setACL: version", lambda b: b.set_acl(b"/open", OPEN, 9).error, -103),
    ("reconfig: disabled", lambda b: b.reconfig().error, -123),
]


@pytest.mark.parametrize(
    ("attempt", "error"), [c[1:] for c in OTHER_ERRORS], ids=[c[0] for c in OTHER_ERRORS]
)
def test_the_first_failing_check_decides(attempt: Callable[[Bench], int], error: int) -> None:
    """client.md 7, and [05] of the captures."""
    bench = furnished()
    assert attempt(bench) == error
    audit(bench.tree)


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (checked(b"/open/"), -8),
        (checked(b"/none", 9), -101),
        (checked(b"/shut", 9), -102),
        (checked(b"/versioned", 0), -103),
        (checked(b"/versioned", 1), 0),
        (checked(b"/"), 0),
    ],
)
def test_check_fails_in_the_order_of_the_protocol(item: MultiItem, error: int) -> None:
    """client.md 7, check: syntax, existence, READ, version."""
    assert furnished().multi_errors([item]) == [error]


def test_reconfig_on_a_standalone_server_is_unimplemented_once_it_is_enabled() -> None:
    """client.md 7, [23]."""
    assert Bench(PrepareOptions(reconfig_enabled=True)).reconfig().error == codes.UNIMPLEMENTED


def test_the_super_user_passes_every_permission_check() -> None:
    """auth.md 2."""
    bench = furnished()
    assert bench.create(b"/shut/x", ids=[SUPER]).error == 0
    assert bench.set_data(b"/shut", b"x", ids=[SUPER]).error == 0
    assert bench.set_acl(b"/shut", OPEN, ids=[SUPER]).error == 0


def test_a_body_that_is_cut_off_takes_no_zxid() -> None:
    """client.md 4: the reply carries the highest zxid allocated so far; multi is the exception."""
    bench = Bench()
    ops = [1, 2, 5, 7, 15, 16, 19, 20, 21]
    for op in ops:
        with pytest.raises(MarshallingError):
            bench.submit(op, b"\0\0\0\2/")
    assert bench.zxid == 1
    prepared = bench.submit(codes.OP_MULTI, b"\0\0\0\1\0\xff\xff\xff\xff\0\0")
    assert (prepared.error, bench.zxid) == (codes.MARSHALLING_ERROR, 2)
    assert isinstance(prepared.txn, ErrorTxn)


# Create modes


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4])
def test_create_container_makes_a_container_whatever_the_flags(flags: int) -> None:
    """client.md 11: 2 and 3 add a number, 1 does not make it ephemeral."""
    bench = Bench()
    assert bench.create(b"/c", flags=flags, op=codes.OP_CREATE_CONTAINER).error == 0
    path = b"/c0000000000" if flags in (2, 3) else b"/c"
    node = bench.tree.nodes[path]
    assert node.owner == OWNER_CONTAINER
    assert bench.tree.visible_owner(node.owner) == 0
    assert bench.tree.containers == {path}
    audit(bench.tree)


@pytest.mark.parametrize("op", [codes.OP_CREATE, codes.OP_CREATE2])
def test_create_with_the_container_flag_makes_a_container(op: int) -> None:
    """client.md 20: where the Java server makes a persistent node and spoils its digest."""
    bench = Bench()
    prepared = bench.create(b"/c", flags=4, op=op)
    assert prepared.header.type == codes.OP_CREATE_CONTAINER
    assert bench.tree.containers == {b"/c"}
    assert prepared.digest == bench.tree.digest


@pytest.mark.parametrize("ttl", [1, 1_000, TTL_MAX])
def test_a_ttl_in_bounds_is_kept_in_the_owner(ttl: int) -> None:
    """storage.md 5.3."""
    bench = Bench(TTL_ON)
    assert bench.create(b"/t", flags=5, ttl=ttl, op=codes.OP_CREATE_TTL).error == 0
    node = bench.tree.nodes[b"/t"]
    assert node.owner & 0xFFFFFFFFFFFFFFFF == 0xFF00000000000000 | ttl
    assert bench.tree.visible_owner(node.owner) == 0
    assert bench.tree.ttls == {b"/t"}


@pytest.mark.parametrize("ttl", [0, -1, TTL_MAX + 1, -(1 << 63), (1 << 63) - 1])
@pytest.mark.parametrize("flags", [5, 6])
def test_a_ttl_out_of_bounds_is_refused(ttl: int, flags: int) -> None:
    """client.md 7, step 4."""
    bench = Bench(TTL_ON)
    assert bench.create(b"/t", flags=flags, ttl=ttl, op=codes.OP_CREATE_TTL).error == -8


@pytest.mark.parametrize("ttl", [-1, -5, 0, 1_000])
@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4])
def test_create_ttl_with_a_mode_without_ttl_is_refused_for_every_ttl(flags: int, ttl: int) -> None:
    """client.md 20: the Java server logs negative ones and fails to apply them."""
    bench = Bench(TTL_ON)
    assert bench.create(b"/t", flags=flags, ttl=ttl, op=codes.OP_CREATE_TTL).error == -8


@pytest.mark.parametrize("op", [1, 15, 19])
def test_a_ttl_mode_without_a_ttl_is_refused(op: int) -> None:
    """client.md 7, step 4: these requests have no ttl."""
    assert Bench(TTL_ON).create(b"/t", flags=5, op=op).error == codes.BAD_ARGUMENTS
    assert Bench().create(b"/t", flags=5, op=op).error == codes.UNIMPLEMENTED


def test_sequence_numbers_count_every_create_and_no_delete() -> None:
    """client.md 11."""
    bench = Bench()
    bench.create(b"/s")
    bench.create(b"/s/other")
    bench.delete(b"/s/other")
    bench.create(b"/s/n-", flags=2)
    bench.create(b"/s/", flags=2)
    assert bench.create(b"/s/n-0000000001").error == codes.NODE_EXISTS
    bench.create(b"/s/e-", flags=3)
    assert bench.tree.nodes[b"/s"].children == {
        b"/s/n-0000000001",
        b"/s/0000000002",
        b"/s/e-0000000003",
    }
    assert bench.tree.nodes[b"/s/e-0000000003"].owner == SESSION


def test_a_number_that_is_taken_fails_until_something_else_counts() -> None:
    """client.md 11: a failed create does not advance the counter."""
    bench = Bench()
    bench.create(b"/s")
    bench.create(b"/s/n-0000000001")
    for _ in range(2):
        assert bench.create(b"/s/n-", flags=2).error == codes.NODE_EXISTS
    bench.create(b"/s/other")
    assert bench.create(b"/s/n-", flags=2).error == 0


def test_the_counter_sticks_at_its_maximum_but_runs_on_inside_a_multi() -> None:
    """client.md 11: ...2147483647 again and again; within one multi -2147483648 follows."""
    bench = Bench()
    bench.create(b"/s")
    node = bench.tree.nodes[b"/s"]
    node.cversion = 0x7FFFFFFF
    bench.tree.refresh(b"/s", node)
    bench.create(b"/s/a", flags=2)
    bench.create(b"/s/b", flags=2)
    assert node.cversion == 0x7FFFFFFF
    assert bench.create(b"/s/a", flags=2).error == codes.NODE_EXISTS
    prepared = bench.multi([created(b"/s/c", flags=2), created(b"/s/d", flags=2)])
    assert node.children == {
        b"/s/a2147483647",
        b"/s/b2147483647",
        b"/s/c2147483647",
        b"/s/d-2147483648",
    }
    assert prepared.digest == bench.tree.digest
    audit(bench.tree)


def test_a_negative_counter_formats_as_in_java() -> None:
    """client.md 11: `-000000003`."""
    bench = Bench()
    bench.create(b"/s")
    node = bench.tree.nodes[b"/s"]
    node.cversion = -3
    bench.tree.refresh(b"/s", node)
    names = [b"/s/n-000000003", b"/s/n-000000002", b"/s/n-000000001", b"/s/n0000000000"]
    for name in names:
        prepared = bench.create(b"/s/n", flags=2)
        assert prepared.digest == bench.tree.digest
        assert name in bench.tree.nodes


def test_versions_wrap_at_32_bits() -> None:
    """client.md 7: new value = old + 1, wraps silently."""
    bench = Bench()
    bench.create(b"/a")
    node = bench.tree.nodes[b"/a"]
    node.version = node.aversion = 0x7FFFFFFF
    bench.tree.refresh(b"/a", node)
    assert bench.set_data(b"/a", b"x", 0x7FFFFFFF).error == 0
    prepared = bench.set_acl(b"/a", OPEN, 0x7FFFFFFF)
    assert (node.version, node.aversion) == (-0x80000000, -0x80000000)
    assert prepared.digest == bench.tree.digest
    assert read_txn(prepared.payload).digest == bench.tree.digest


# Sessions


def test_requests_of_a_session_that_is_closing_are_refused() -> None:
    """client.md 15: a close that is only proposed counts already."""
    bench = Bench()
    bench.create(b"/a")
    bench.hold = True
    bench.close_session()
    refused = [
        bench.create(b"/b"),
        bench.set_data(b"/a", b""),
        bench.delete(b"/a"),
        bench.set_acl(b"/a", OPEN),
        bench.create(b"nonsense"),
        bench.close_session(),
    ]
    assert [prepared.error for prepared in refused] == [codes.SESSION_EXPIRED] * 6
    bench.commit()
    assert bench.set_data(b"/a", b"").error == codes.SESSION_EXPIRED
    assert bench.tree.sessions == {}


def test_a_multi_of_a_closing_session_fails_at_its_first_operation() -> None:
    """client.md 12: the outcome of a multi is in its results."""
    bench = Bench()
    bench.close_session()
    assert bench.multi_errors([created(b"/a"), created(b"/b")]) == [-112, -2]


def test_a_session_that_is_only_proposed_may_write() -> None:
    """Its createSession is ahead in the order."""
    bench = Bench()
    bench.hold = True
    bench.open_session(ELSEWHERE)
    assert bench.create(b"/e", flags=1, session_id=ELSEWHERE).error == 0
    bench.commit()
    assert bench.tree.ephemerals == {ELSEWHERE: {b"/e"}}


def test_an_unknown_session_is_expired() -> None:
    """client.md 8."""
    assert Bench().create(b"/a", session_id=ELSEWHERE).error == codes.SESSION_EXPIRED


def test_closing_a_session_names_what_is_proposed_for_it() -> None:
    """C1: an ephemeral whose create is still on its way goes too; one that was deleted does not."""
    bench = Bench()
    bench.create(b"/applied", flags=1)
    bench.create(b"/going", flags=1)
    bench.create(b"/again", flags=1)
    bench.hold = True
    bench.create(b"/pending", flags=1)
    bench.set_data(b"/pending", b"x")
    bench.delete(b"/going")
    bench.delete(b"/again")
    bench.create(b"/again", flags=1)
    prepared = bench.close_session()
    assert isinstance(prepared.txn, CloseSessionTxn)
    assert prepared.txn.paths == [b"/again", b"/applied", b"/pending"], "in order"
    bench.commit()
    assert prepared.digest == bench.tree.digest
    assert len(bench.tree.nodes) == 4
    audit(bench.tree)


def test_a_session_loses_what_another_one_has_taken_over() -> None:
    """C1: the path was deleted and belongs to somebody else by the time the session is closed."""
    bench = Bench()
    bench.open_session(ELSEWHERE)
    bench.create(b"/e", flags=1)
    bench.hold = True
    bench.delete(b"/e")
    bench.create(b"/e", flags=1, session_id=ELSEWHERE)
    prepared = bench.close_session()
    assert isinstance(prepared.txn, CloseSessionTxn)
    assert prepared.txn.paths == []
    bench.commit()
    assert bench.tree.ephemerals == {ELSEWHERE: {b"/e"}}


def test_a_failed_multi_does_not_lose_track_of_an_earlier_ephemeral() -> None:
    """C1: the multi deleted and re-created it, and was undone."""
    bench = Bench()
    bench.hold = True
    bench.create(b"/e", flags=1)
    bench.multi([deleted(b"/e"), created(b"/e", flags=1), checked(b"/none")])
    prepared = bench.close_session()
    assert isinstance(prepared.txn, CloseSessionTxn)
    assert prepared.txn.paths == [b"/e"]
    bench.commit()
    assert prepared.digest == bench.tree.digest


def test_the_paths_of_a_session_are_bounded() -> None:
    """C2: checked at the create, counting what is proposed; a delete makes room again."""
    bench = Bench(PrepareOptions(ephemeral_bytes_max=3 * (4 + 4)))
    bench.hold = True
    assert [bench.create(b"/e-%d" % i, flags=1).error for i in range(4)] == [0, 0, 0, -125]
    bench.commit()
    bench.hold = False
    assert bench.create(b"/e-4", flags=1).error == codes.QUOTA_EXCEEDED
    bench.delete(b"/e-0")
    assert bench.create(b"/e-4", flags=1).error == 0
    assert bench.create(b"/not ephemeral", flags=0).error == 0


def test_a_list_that_no_record_can_hold_is_left_out() -> None:
    """C2: an ephemeral limit that was larger before a restart must not make a record unreadable."""
    bench = Bench(PrepareOptions(txn_bytes_max=300))
    for i in range(50):
        bench.create(b"/e-%03d" % i, flags=1)
    prepared = bench.close_session()
    assert isinstance(prepared.txn, CloseSessionTxn)
    assert prepared.txn.paths is None
    assert len(prepared.payload) <= 300
    assert prepared.digest == bench.tree.digest
    assert len(bench.tree.nodes) == 4


def test_close_session_without_a_body_where_the_operator_says_so() -> None:
    """storage.md 3.4: zookeeper.closeSessionTxn.enabled=false."""
    bench = Bench(PrepareOptions(close_session_txn=False))
    bench.create(b"/e", flags=1)
    prepared = bench.close_session()
    assert isinstance(prepared.txn, CloseSessionTxn)
    assert prepared.txn.paths is None
    assert b"/e" not in bench.tree.nodes


def test_a_local_session_writes_but_owns_nothing() -> None:
    """client.md 15: -120 alone, -112 inside a multi; containers and TTL nodes are fine."""
    bench = Bench()
    local = {"session_id": ELSEWHERE, "may_ephemeral": False}
    assert bench.create(b"/a", **local).error == 0
    assert bench.create(b"/b", flags=1, **local).error == codes.EPHEMERAL_ON_LOCAL_SESSION
    assert bench.create(b"/c", flags=1, op=codes.OP_CREATE_CONTAINER, **local).error == 0
    bench.multi([created(b"/d", flags=3)], **local)
    assert bench.applied.results[0].error == codes.SESSION_EXPIRED


# ACLs (auth.md 3)


@pytest.mark.parametrize(
    ("acl", "error"),
    [
        (malformed_acl((31, None, "anyone")), -114),
        (malformed_acl((31, "world", "somebody")), -114),
        (malformed_acl((31, "world", None)), -5),
        (malformed_acl((31, "digest", None)), -5),
        (malformed_acl((31, "ip", None)), -5),
        (malformed_acl((31, "digest", "u")), -114),
        (malformed_acl((31, "digest", "u:")), -114),
        (malformed_acl((31, "digest", "")), -114),
        (malformed_acl((31, "digest", "a:b:c")), -114),
        (malformed_acl((31, "digest", ":h")), 0),
        (malformed_acl((31, "digest", "u:h:")), 0),
        (malformed_acl((31, "ip", "10.0.0.1")), 0),
        (malformed_acl((31, "ip", "10.0.0.0/8")), 0),
        (malformed_acl((31, "ip", "::1")), 0),
        (malformed_acl((31, "ip", "fe80::/10")), 0),
        (malformed_acl((31, "ip", "10.0.0")), -114),
        (malformed_acl((31, "ip", "10.0.0.1/33")), -114),
        (malformed_acl((31, "ip", "10.0.0.1/-1")), -114),
        (malformed_acl((31, "ip", "10.0.0.256")), -114),
        (malformed_acl((31, "ip", "::1/129")), -114),
        (malformed_acl((31, "ip", "1::2::3")), -114),
        (malformed_acl((31, "ip", "localhost")), -114),
        (malformed_acl((31, "super", "")), -114),
        (malformed_acl((31, "sasl", "bob")), -114),
        (malformed_acl((31, "auth", None)), -114),
        (malformed_acl((0, "world", "anyone")), 0),
        (malformed_acl((-1, "world", "anyone")), 0),
        (malformed_acl((0x7FFFFFFF, "world", "anyone")), 0),
    ],
)
def test_which_acls_are_valid(acl: bytes, error: int) -> None:
    """auth.md 3; IPv6 as since 3.9.4."""
    bench = Bench()
    assert bench.create(b"/a", acl=acl).error == error
    assert (b"/a" in bench.tree.nodes) == (error == 0)


def test_auth_stands_for_each_authenticated_id() -> None:
    """auth.md 3: not for addresses, not for super; kazoo sends a null id."""
    bench = Bench()
    bench.create(b"/a", acl=malformed_acl((3, "auth", None)), ids=[ADDRESS, ALICE, SUPER])
    assert bench.tree.nodes[b"/a"].acl.entries == [Acl(3, ALICE)]
    assert bench.create(b"/b", acl=malformed_acl((3, "auth", None))).error == codes.INVALID_ACL


def test_duplicates_are_dropped_and_the_order_stays() -> None:
    """auth.md 3, step 1; the sixty thousandth duplicate costs no more than the first."""
    bench = Bench()
    entries = [(2, "ip", "10.0.0.1"), (1, "world", "anyone")] * 20_000
    bench.create(b"/a", acl=malformed_acl(*entries))
    assert [entry.perms for entry in bench.tree.nodes[b"/a"].acl.entries] == [2, 1]


def test_an_acl_list_leaves_the_table_with_its_last_node() -> None:
    """A client that sets a thousand different ACLs leaves nothing behind."""
    bench = Bench()
    bench.create(b"/a")
    size = len(bench.tree.acls.by_id)
    for i in range(1_000):
        bench.set_acl(b"/a", malformed_acl((31, "world", "anyone"), (1, "digest", f"u{i}:h")))
        assert len(bench.tree.acls.by_id) == size + 1
    bench.delete(b"/a")
    assert len(bench.tree.acls.by_id) == len(bench.tree.acls.by_entries) + 0 == size
    assert len(bench.tree.acls.by_object) == size
    audit(bench.tree)


# Sizes


def test_a_transaction_beyond_the_limit_is_refused_and_never_logged() -> None:
    """D2: nothing changes, and the error transaction is small."""
    bench = Bench(PrepareOptions(txn_bytes_max=1_000))
    bench.create(b"/a", b"x" * 800)
    digest = bench.tree.digest
    refused = [
        bench.create(b"/b", b"x" * 1_000),
        bench.set_data(b"/a", b"x" * 1_000),
        bench.multi([written(b"/a", b"x" * 500), written(b"/a", b"y" * 500)]),
        bench.multi([written(b"/a", b"x" * 500), checked(b"/none"), written(b"/a", b"y" * 5_000)]),
    ]
    assert [prepared.error for prepared in refused[:3]] == [codes.BAD_ARGUMENTS] * 3
    assert bench.tree.digest == digest
    assert all(len(prepared.payload) <= 1_000 for prepared in refused)
    audit(bench.tree)


# Multis


def test_the_parts_of_a_multi_see_the_ones_before_them() -> None:
    """client.md 12."""
    bench = Bench()
    errors = bench.multi_errors(
        [
            created(b"/m"),
            created(b"/m/a", b"1"),
            written(b"/m/a", b"2", 0),
            checked(b"/m/a", 1),
            deleted(b"/m/a", 1),
            created(b"/m/s-", flags=2),
            created(b"/m/s-", flags=2),
        ]
    )
    assert errors == [0] * 7
    assert bench.tree.nodes[b"/m"].children == {b"/m/s-0000000001", b"/m/s-0000000002"}
    audit(bench.tree)


def test_each_result_of_a_multi_has_the_stat_of_its_moment() -> None:
    """client.md 12: the Stat of a create2 does not show what a later part did."""
    bench = Bench()
    bench.multi([created(b"/m", b"1", op=15), written(b"/m", b"22"), created(b"/m/a", op=15)])
    stats = [result.stat for result in bench.applied.results]
    assert stats[0] is not None
    assert stats[1] is not None
    assert (stats[0].version, stats[0].data_bytes, stats[0].num_children) == (0, 1, 0)
    assert (stats[1].version, stats[1].data_bytes) == (1, 2)


def test_a_failed_multi_changes_nothing_and_says_where_it_failed() -> None:
    """client.md 12, storage.md 3.3: the log keeps the parts before the failure as they were."""
    bench = Bench()
    bench.create(b"/a", b"0")
    before = bench.tree.digest
    prepared = bench.multi(
        [written(b"/a", b"1"), created(b"/b"), checked(b"/none"), deleted(b"/a"), created(b"/c")]
    )
    assert prepared.error == 0
    assert [result.error for result in bench.applied.results] == [0, 0, -101, -2, -2]
    assert {result.op for result in bench.applied.results} == {codes.OP_ERROR}
    assert bench.events() == []
    assert isinstance(prepared.txn, MultiTxn)
    assert prepared.txn.types == [5, 1, -1, -1, -1]
    assert isinstance(prepared.txn.txns[1], CreateTxn)
    logged = read_txn(prepared.payload)
    assert logged.digest == bench.tree.digest == before
    assert bench.create(b"/b").error == 0
    audit(bench.tree)


def test_an_empty_multi_is_legal() -> None:
    """client.md 12: it takes a zxid and answers with the terminator alone."""
    bench = Bench()
    prepared = bench.multi([])
    assert (prepared.error, prepared.header.type) == (0, codes.OP_MULTI)
    assert (bench.applied.multi, bench.applied.results) == (True, [])


@pytest.mark.parametrize(
    "item",
    [
        MultiItem(codes.OP_CREATE, create_request(b"/a", flags=7)),
        MultiItem(codes.OP_CREATE, create_request(b"/a", flags=-1)),
        MultiItem(codes.OP_CREATE, create_request(b"/a", flags=5)),
        MultiItem(codes.OP_CREATE2, create_request(b"/a", flags=6)),
        MultiItem(codes.OP_CREATE_TTL, create_request(b"/a", flags=7, ttl=1)),
    ],
)
def test_create_flags_that_refuse_a_multi_as_a_whole(item: MultiItem) -> None:
    """client.md 12, [07]."""
    bench = Bench(TTL_ON)
    assert bench.multi([created(b"/b"), item]).error == codes.MARSHALLING_ERROR
    assert b"/b" not in bench.tree.nodes


def test_a_container_in_a_multi_by_its_flag() -> None:
    """client.md 11: inside multi, create with flags 4 is a container create."""
    bench = Bench()
    bench.multi([created(b"/c", flags=4)])
    assert bench.tree.containers == {b"/c"}
    assert bench.applied.results[0].op == codes.OP_CREATE_CONTAINER


def test_every_part_of_a_multi_needs_its_own_permission() -> None:
    """E8."""
    for item in (created(b"/shut/x"), written(b"/shut", b""), checked(b"/shut")):
        assert furnished().multi_errors([created(b"/fine"), item]) == [0, -102]
    assert furnished().multi_errors([created(b"/fine"), deleted(b"/closed/child")]) == [0, -102]


# Containers and TTL nodes


def test_the_sweep_deletes_only_what_is_still_due() -> None:
    """client.md 11: a candidate may have changed between the sweep and its turn."""
    bench = Bench(TTL_ON)
    bench.create(b"/c", op=codes.OP_CREATE_CONTAINER)
    bench.create(b"/c/x")
    bench.create(b"/t", flags=5, ttl=1_000, op=codes.OP_CREATE_TTL)
    bench.create(b"/e", flags=1)
    bench.create(b"/p")
    bench.now_ms = NOW_MS + 1_000
    reaped = [bench.reap(path).error for path in (b"/c", b"/t", b"/e", b"/p", b"/none", b"/", b"x")]
    assert reaped == [-111, -103, -103, -103, -101, -8, -8]
    bench.now_ms = NOW_MS + 1_001
    bench.delete(b"/c/x")
    assert bench.reap(b"/c").error == 0
    assert bench.events() == [
        (codes.EVENT_NODE_DELETED, b"/c"),
        (codes.EVENT_NODE_CHILDREN_CHANGED, b"/"),
    ]
    prepared = bench.reap(b"/t")
    assert (prepared.error, prepared.header.session_id) == (0, 0)
    assert prepared.digest == bench.tree.digest
    audit(bench.tree)


# Pipelines


def test_pipelined_requests_see_each_other() -> None:
    """ARCHITECTURE, contracts: checked against the tree plus everything proposed."""
    bench = Bench()
    bench.hold = True
    errors = [
        bench.create(b"/a").error,
        bench.create(b"/a").error,
        bench.create(b"/a/b").error,
        bench.delete(b"/a").error,
        bench.set_data(b"/a/b", b"x", 0).error,
        bench.set_data(b"/a/b", b"y", 0).error,
        bench.set_acl(b"/a", only(codes.PERM_READ)).error,
        bench.create(b"/a/c").error,
        bench.delete(b"/a/b").error,
        bench.delete(b"/a").error,
    ]
    assert errors == [0, -110, 0, -111, 0, -103, 0, -102, -102, -111]
    bench.commit()
    audit(bench.tree)


def test_what_was_discarded_never_happened() -> None:
    """Leadership is lost: the same zxid is given out again later, to something else."""
    bench = Bench()
    bench.hold = True
    bench.create(b"/a")
    bench.close_session()
    bench.preparer.discard()
    bench.held.clear()
    bench.zxid = bench.tree.last_zxid
    bench.hold = False
    assert bench.create(b"/a").error == 0
    audit(bench.tree)


def test_a_long_pipeline_is_forgotten_as_it_is_applied() -> None:
    """The overlay is bounded by what is proposed and not applied."""
    bench = Bench()
    bench.hold = True
    for i in range(200):
        bench.create(b"/n%d" % i, flags=i % 2)
        bench.set_data(b"/n%d" % i, b"x")
    for prepared in bench.held:
        apply(bench.tree, prepared.header, prepared.txn)
        bench.preparer.on_applied(prepared)
        assert prepared.digest == bench.tree.digest
    pending = bench.preparer.pending
    assert (pending.by_path, pending.ephemerals) == ({}, {})
    assert (pending.ephemeral_bytes, pending.usage, pending.opening) == ({}, {}, {})
    audit(bench.tree)
