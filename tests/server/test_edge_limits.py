"""Limits held in front of a leader that knows none: no request of this server's passes one.

The leader in here is a preparer without budgets, as an Apache server is one. docs/tenancy.md,
"Behind an Apache leader"; trust.md I18.
"""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from librt.strings import BytesWriter

from ensemble.server.edge_limits import Claim, EdgeLimits, LimitReachedError, write_refusal
from ensemble.tree.apply import apply
from ensemble.tree.budget import BudgetLimits
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import PrepareOptions, WriteRequest
from ensemble.wire import codes
from ensemble.wire.jute import Reader, reader_of
from ensemble.wire.replies import read_reply_header
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    MultiItem,
    SetAclRequest,
    SetDataRequest,
    read_multi_header,
    write_create,
    write_delete,
    write_multi,
    write_set_acl,
    write_set_data,
)
from ensemble.wire.txns import read_txn
from tests.recount import recount, used
from tests.tree.workbench import (
    ADDRESS,
    ALICE,
    OPEN,
    SESSION,
    Bench,
    created,
    deleted,
    malformed_acl,
    written,
)

ROOT = b"/t/pay"
EMPTY = len(OPEN) + 2
WIDE_ACL = malformed_acl(
    (31, "world", "anyone"), *((31, "digest", f"user{i}:{i:028}") for i in range(5))
)


class Edge:
    """A server that forwards, its leader, and what is on its way between them."""

    def __init__(self, limits: BudgetLimits) -> None:
        self.leader = Bench(PrepareOptions(extended_types=True))
        for path in (b"/t", ROOT, b"/zookeeper/quota/t", b"/zookeeper/quota/t/pay"):
            self.leader.create(path)
        self.tree = DataTree(True)
        self.seen = 0
        self.edge = EdgeLimits(self.leader.schemes)
        self.asked: deque[tuple[int, bytes, Claim | None]] = deque()
        self.answers: deque[tuple[bytes, Claim | None]] = deque()
        for payload in self.leader.log:
            self.apply(payload)
        self.budget = self.tree.budgets.put("pay", ROOT, limits)

    def apply(self, payload: bytes) -> None:
        logged = read_txn(payload)
        apply(self.tree, logged.header, logged.txn)

    def limit(self, limits: BudgetLimits) -> None:
        self.tree.budgets.put("pay", ROOT, limits)

    def submit(self, op: int, body: bytes) -> int:
        """A client's request; the error that this server answers, 0 where it was forwarded."""
        request = WriteRequest(SESSION, 7, op, reader_of(body), [ADDRESS, ALICE])
        try:
            claim = self.edge.claim(self.tree, request)
        except LimitReachedError as error:
            return error.code
        assert request.body.at == 0, "it is forwarded as it came"
        self.asked.append((op, body, claim))
        return 0

    def lead(self) -> None:
        """The leader takes one request."""
        if self.asked:
            op, body, claim = self.asked.popleft()
            self.leader.submit(op, body, [ADDRESS, ALICE])
            self.answers.append((self.leader.log[-1], claim))

    def hear(self) -> None:
        """One answer comes back."""
        if self.answers:
            payload, claim = self.answers.popleft()
            self.apply(payload)
            if claim is not None:
                self.edge.release(claim)

    def settle(self) -> None:
        while self.asked:
            self.lead()
        while self.answers:
            self.hear()

    def create(self, path: bytes, data: bytes = b"", flags: int = 0, acl: bytes = OPEN) -> int:
        out = BytesWriter()
        write_create(out, CreateRequest(path, data, acl, flags, -1), codes.OP_CREATE)
        return self.submit(codes.OP_CREATE, out.getvalue())

    def set_data(self, path: bytes, data: bytes) -> int:
        out = BytesWriter()
        write_set_data(out, SetDataRequest(path, data, -1))
        return self.submit(codes.OP_SET_DATA, out.getvalue())

    def set_acl(self, path: bytes, acl: bytes) -> int:
        out = BytesWriter()
        write_set_acl(out, SetAclRequest(path, acl, -1))
        return self.submit(codes.OP_SET_ACL, out.getvalue())

    def delete(self, path: bytes) -> int:
        out = BytesWriter()
        write_delete(out, DeleteRequest(path, -1))
        return self.submit(codes.OP_DELETE, out.getvalue())

    def multi(self, items: list[MultiItem]) -> int:
        out = BytesWriter()
        write_multi(out, items)
        return self.submit(codes.OP_MULTI, out.getvalue())


REFUSED = codes.QUOTA_EXCEEDED


def test_pipelined_creates_end_exactly_at_the_limit() -> None:
    edge = Edge(BudgetLimits(znodes=6))
    assert [edge.create(ROOT + b"/n%d" % i) for i in range(6)] == [0, 0, 0, 0, REFUSED, REFUSED]
    edge.settle()
    assert used(edge.budget)[0] == 6
    assert edge.create(ROOT + b"/over") == REFUSED
    assert edge.delete(ROOT + b"/n0") == 0
    assert edge.create(ROOT + b"/n0") == REFUSED, "not before the delete has happened"
    edge.settle()
    assert edge.create(ROOT + b"/n0") == 0


def test_bytes_of_path_data_and_acl_end_at_the_limit() -> None:
    edge = Edge(BudgetLimits())
    edge.limit(BudgetLimits(bytes=edge.budget.used_bytes + EMPTY + 10))
    assert edge.create(ROOT + b"/x", b"1" * 11) == REFUSED
    assert edge.create(ROOT + b"/x", b"1" * 5) == 0
    assert edge.set_data(ROOT + b"/x", b"1" * 11) == REFUSED, "of a znode that is on its way"
    edge.settle()
    assert edge.set_data(ROOT + b"/x", b"1" * 11) == REFUSED
    assert edge.set_acl(ROOT + b"/x", WIDE_ACL) == REFUSED
    assert edge.set_data(ROOT + b"/x", b"1" * 10) == 0
    assert edge.set_data(ROOT, b"1") == REFUSED
    edge.settle()
    assert edge.set_data(ROOT + b"/x", b"2" * 10) == 0, "it does not grow"
    assert edge.set_data(ROOT + b"/x", b"3" * 10) == 0, "nor does another one behind it"
    assert edge.create(ROOT + b"/a:", acl=OPEN) == REFUSED


def test_a_znode_that_shrinks_first_claims_what_it_regains() -> None:
    """Between the two somebody else must not take its place."""
    edge = Edge(BudgetLimits())
    edge.create(ROOT + b"/x", b"1" * 100)
    edge.create(ROOT + b"/y")
    edge.settle()
    edge.limit(BudgetLimits(bytes=edge.budget.used_bytes + 95))
    assert edge.set_data(ROOT + b"/x", b"") == 0
    assert edge.set_data(ROOT + b"/x", b"1" * 95) == 0
    edge.lead()
    edge.hear()
    assert edge.set_data(ROOT + b"/y", b"1" * 101) == REFUSED
    edge.settle()


def test_ephemerals_and_large_znodes_are_refused() -> None:
    edge = Edge(BudgetLimits(ephemerals=1, znode_bytes=EMPTY + 10))
    assert edge.create(ROOT + b"/x", b"1" * 11) == REFUSED
    assert edge.create(ROOT + b"/e", flags=1) == 0
    assert edge.create(ROOT + b"/f", flags=3) == REFUSED
    assert edge.create(ROOT + b"/f") == 0


def test_a_multi_is_taken_or_refused_as_a_whole() -> None:
    edge = Edge(BudgetLimits(znodes=4))
    x, y, z = ROOT + b"/x", ROOT + b"/y", ROOT + b"/z"
    assert edge.multi([created(x), created(y), created(z)]) == REFUSED
    assert edge.multi([created(x), created(y)]) == 0
    edge.settle()
    assert edge.multi([deleted(x), created(z)]) == 0, "net zero passes at the limit"
    assert edge.create(x) == REFUSED
    edge.settle()
    assert used(edge.budget)[0] == 4
    assert not edge.edge.flights
    assert edge.multi([written(z, b"12"), deleted(y), created(x), deleted(b"/none")]) == 0
    edge.settle()
    assert used(edge.budget) == recount(edge.tree, edge.budget)
    assert edge.create(x) == REFUSED, "what failed has left no claim and made no room"


def test_the_refusal_of_a_multi_names_the_part() -> None:
    """client.md 12: the parts before it 0, those behind it -2, the reply itself no error."""
    edge = Edge(BudgetLimits(znodes=3))
    out = BytesWriter()
    items = [created(ROOT + b"/x"), created(ROOT + b"/y"), deleted(ROOT + b"/x")]
    write_multi(out, items)
    request = WriteRequest(SESSION, 7, codes.OP_MULTI, reader_of(out.getvalue()), [ADDRESS])
    with pytest.raises(LimitReachedError, match="3 znodes, the limit is 3") as caught:
        edge.edge.claim(edge.tree, request)
    raw = write_refusal(7, 99, caught.value)
    reader = Reader(raw, 4, len(raw))
    header = read_reply_header(reader)
    assert (header.xid, header.zxid, header.err) == (7, 99, 0)
    found = []
    while read_multi_header(reader) is not None:
        found.append(reader.read_int())
    assert found == [0, REFUSED, codes.RUNTIME_INCONSISTENCY]
    assert reader.remaining() == 0


def test_a_refusal_is_a_header_for_a_single_operation() -> None:
    edge = Edge(BudgetLimits(znodes=2))
    out = BytesWriter()
    write_create(out, CreateRequest(ROOT + b"/x", b"", OPEN, 0, -1), codes.OP_CREATE)
    request = WriteRequest(SESSION, 7, codes.OP_CREATE, reader_of(out.getvalue()), [ADDRESS])
    with pytest.raises(LimitReachedError) as caught:
        edge.edge.claim(edge.tree, request)
    raw = write_refusal(7, 99, caught.value)
    header = read_reply_header(Reader(raw, 4, len(raw)))
    assert (header.xid, header.zxid, header.err) == (7, 99, REFUSED)
    assert len(raw) == 4 + 16


def test_what_the_leader_refuses_claims_nothing_for_long() -> None:
    edge = Edge(BudgetLimits(znodes=3))
    assert edge.create(ROOT + b"/none/x") == 0
    assert edge.create(ROOT + b"/x") == REFUSED, "it might have been created"
    edge.settle()
    assert edge.create(ROOT + b"/x") == 0
    edge.settle()
    assert edge.create(ROOT + b"/x") == 0, "it exists: the leader says so"
    assert edge.set_data(ROOT + b"/none", b"1") == 0
    assert edge.delete(ROOT + b"/none") == 0
    assert edge.set_acl(ROOT + b"/x", b"\0\0\0\0") == 0
    edge.settle()
    assert not edge.edge.flights


@pytest.mark.parametrize("op", [codes.OP_CREATE, codes.OP_SET_DATA, codes.OP_MULTI])
def test_what_cannot_be_decoded_is_the_leaders_to_refuse(op: int) -> None:
    edge = Edge(BudgetLimits(znodes=0))
    request = WriteRequest(SESSION, 7, op, reader_of(b"\0\0\0\1"), [ADDRESS])
    assert edge.edge.claim(edge.tree, request) is None


def test_a_multi_that_ends_in_the_middle_leaves_no_claim() -> None:
    edge = Edge(BudgetLimits(znodes=9))
    out = BytesWriter()
    write_multi(out, [created(ROOT + b"/x"), deleted(ROOT)])
    request = WriteRequest(SESSION, 7, codes.OP_MULTI, reader_of(out.getvalue()[:-9]), [ADDRESS])
    assert edge.edge.claim(edge.tree, request) is None
    assert not edge.edge.flights


def test_children_of_a_registry_node_have_a_limit() -> None:
    """Sessions of a tenant: their znodes are created by the server, in front of any leader."""
    edge = Edge(BudgetLimits())
    edge.tree.budgets.limit_children(ROOT, 2)
    assert [edge.create(ROOT + b"/%d" % i, flags=1) for i in range(3)] == [0, 0, REFUSED]
    edge.settle()
    assert edge.create(ROOT + b"/3") == REFUSED
    assert edge.delete(ROOT + b"/0") == 0
    edge.settle()
    assert edge.create(ROOT + b"/3") == 0
    assert edge.edge.children == {ROOT: 1}
    edge.settle()
    assert edge.edge.children == {}


def test_when_the_leader_is_lost_nothing_is_under_way() -> None:
    edge = Edge(BudgetLimits(znodes=3))
    edge.create(ROOT + b"/x")
    edge.asked.clear()
    edge.edge.clear()
    assert edge.create(ROOT + b"/y") == 0


NAMES = [ROOT, ROOT + b"/a", ROOT + b"/b", ROOT + b"/a/x", b"/elsewhere"]
names = st.sampled_from(NAMES)
datas = st.sampled_from([b"", b"1" * 20, b"1" * 45])


class EdgeMachine(RuleBasedStateMachine):
    """Everything comes through one server: so its limits are never passed."""

    @initialize(
        znodes=st.integers(-1, 6), size=st.integers(140, 400), ephemerals=st.integers(-1, 2)
    )
    def begin(self, znodes: int, size: int, ephemerals: int) -> None:
        self.limits = (max(znodes, 2) if znodes >= 0 else -1, size, ephemerals)
        self.edge = Edge(BudgetLimits(self.limits[0], size, -1, ephemerals))
        assert used(self.edge.budget)[1] <= size

    @rule(path=names, data=datas, flags=st.integers(0, 3), wide=st.booleans())
    def create(self, path: bytes, data: bytes, flags: int, wide: bool) -> None:
        self.edge.create(path, data, flags, WIDE_ACL if wide else OPEN)

    @rule(path=names, data=datas)
    def set_data(self, path: bytes, data: bytes) -> None:
        self.edge.set_data(path, data)

    @rule(path=names, wide=st.booleans())
    def set_acl(self, path: bytes, wide: bool) -> None:
        self.edge.set_acl(path, WIDE_ACL if wide else OPEN)

    @rule(path=names)
    def delete(self, path: bytes) -> None:
        assert self.edge.delete(path) == 0

    @rule(chosen=st.lists(st.tuples(st.integers(0, 2), names, datas), min_size=1, max_size=4))
    def multi(self, chosen: list[tuple[int, bytes, bytes]]) -> None:
        items = []
        for kind, path, data in chosen:
            if kind == 0:
                items.append(created(path, data))
            else:
                items.append(deleted(path) if kind == 1 else written(path, data))
        self.edge.multi(items)

    @rule()
    def lead(self) -> None:
        self.edge.lead()

    @rule()
    def hear(self) -> None:
        self.edge.hear()

    @rule()
    def settle(self) -> None:
        self.edge.settle()
        assert not self.edge.edge.flights
        for share in self.edge.edge.by_budget.values():
            assert (share.znodes, share.bytes, share.ephemerals) == (0, 0, 0)

    @invariant()
    def no_limit_is_passed(self) -> None:
        for have, limit in zip(used(self.edge.budget), self.limits, strict=True):
            assert limit < 0 or have <= limit


EdgeMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEdge = EdgeMachine.TestCase
