"""The whole tree against a slow model, applied at once and pipelined (trust.md B7, I16).

Whatever is proposed and not yet applied, a request must fare as if everything before it had been
done; the digest of each transaction must be that of the tree once it is applied; and the log,
replayed from the start, must give the same tree. Replays over fuzzy snapshots are in test_replay.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from model import Model
from workbench import ANYONE, Bench, acl_bytes, audit, checked, contents, deleted, written

from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import Prepared
from ensemble.tree.znode import OWNER_CONTAINER
from ensemble.wire import codes
from ensemble.wire.records import Acl
from ensemble.wire.requests import CreateRequest, MultiItem
from ensemble.wire.txns import read_txn

SESSIONS = [11, 12, 13]
PATHS = ["/a", "/b", "/a/x", "/a/y", "/a/x/m", "/b/x", "/b/x/m"]
PERMS = [31, 31, 31, 31, 31 & ~1, 31 & ~2, 31 & ~4, 31 & ~8, 31 & ~16]

sessions = st.sampled_from(SESSIONS)
paths = st.sampled_from(PATHS)
datas = st.sampled_from([None, b"", b"x", b"yy"])
versions = st.sampled_from([-1, -1, -1, 0, 1])
perms = st.sampled_from(PERMS)
creates = st.tuples(st.just("create"), paths, datas, st.integers(0, 4), perms)
deletes = st.tuples(st.just("delete"), paths, versions)
writes = st.tuples(st.just("set_data"), paths, datas, versions)
parts = st.one_of(creates, creates, deletes, writes, st.tuples(st.just("check"), paths, versions))
singles = st.one_of(
    creates, creates, deletes, writes, st.tuples(st.just("set_acl"), paths, perms, versions)
)
Operation = tuple[Any, ...]


def acl_of(perms: int) -> bytes:
    return acl_bytes([Acl(perms, ANYONE)])


def as_item(operation: Operation) -> MultiItem:
    name, path = operation[0], operation[1].encode()
    if name == "create":
        _, _, data, mode, perms = operation
        return MultiItem(codes.OP_CREATE, CreateRequest(path, data, acl_of(perms), mode, -1))
    if name == "delete":
        return deleted(path, operation[2])
    if name == "check":
        return checked(path, operation[2])
    return written(path, operation[2], operation[3])


def submit(bench: Bench, session: int, operation: Operation) -> Prepared:
    name, path = operation[0], operation[1].encode()
    if name == "create":
        _, _, data, mode, perms = operation
        return bench.create(path, data, mode, acl_of(perms), session_id=session)
    if name == "delete":
        return bench.delete(path, operation[2], session_id=session)
    if name == "set_data":
        return bench.set_data(path, operation[2], operation[3], session_id=session)
    assert name == "set_acl"
    return bench.set_acl(path, acl_of(operation[2]), operation[3], session_id=session)


def assert_equal(tree: DataTree, model: Model) -> None:
    """Every field of every node."""
    ours = {path: node for path, node in tree.nodes.items() if not path.startswith(b"/zookeeper")}
    assert {path.decode() for path in ours} == set(model.nodes)
    for path, node in ours.items():
        wanted = model.nodes[path.decode()]
        children = {child.decode() for child in node.children or ()} - {"/zookeeper"}
        assert children == model.children(path.decode())
        owner = wanted["owner"]
        found = {
            "data": node.data,
            "perms": node.acl.entries[0].perms,
            "czxid": node.czxid,
            "mzxid": node.mzxid,
            "pzxid": node.pzxid,
            "ctime": node.ctime,
            "mtime": node.mtime,
            "version": node.version,
            "creates": node.cversion,
            "aversion": node.aversion,
            "owner": {0: None, OWNER_CONTAINER: "container"}.get(node.owner, node.owner),
        }
        assert found == wanted, (path, owner)
    assert set(tree.sessions) == model.sessions


class TreeMachine(RuleBasedStateMachine):
    """Requests go to both; `hold` lets them pile up as they do during a sync."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.model = Model()
        self.bench.close_session()
        self.model.zxid = self.bench.zxid

    @initialize()
    def begin(self) -> None:
        for session in SESSIONS[:2]:
            self.open(session)

    def step(self) -> None:
        self.bench.now_ms += 1
        self.model.time = self.bench.now_ms

    @rule()
    def hold(self) -> None:
        self.bench.hold = True

    @rule()
    def commit(self) -> None:
        self.bench.hold = False
        self.bench.commit()

    @rule(count=st.integers(1, 3))
    def commit_some(self, count: int) -> None:
        """A batch comes back from the disk while the next one gathers."""
        for prepared in self.bench.held[:count]:
            apply(self.bench.tree, prepared.header, prepared.txn, prepared.sums)
            self.bench.preparer.on_applied(prepared)
            if prepared.header.type != codes.OP_ERROR:
                assert prepared.digest == self.bench.tree.digest
        del self.bench.held[:count]

    @rule(session=sessions)
    def open(self, session: int) -> None:
        self.step()
        self.bench.open_session(session)
        self.model.open_session(session)

    @rule(session=sessions)
    def close(self, session: int) -> None:
        self.step()
        self.bench.close_session(session)
        self.model.close_session(session)

    @rule(session=sessions, operation=singles)
    def single(self, session: int, operation: Operation) -> None:
        self.step()
        prepared = submit(self.bench, session, operation)
        assert prepared.error == self.model.run(session, operation)

    @rule(session=sessions, operations=st.lists(parts, max_size=5))
    def several(self, session: int, operations: list[Operation]) -> None:
        self.step()
        prepared = self.bench.multi([as_item(part) for part in operations], session_id=session)
        wanted = self.model.multi(session, operations)
        logged = read_txn(prepared.payload)
        copy = DataTree()
        failed = [result.error for result in apply(copy, logged.header, logged.txn).results]
        if any(wanted):
            assert failed == wanted
        else:
            assert all(part != -1 for part in getattr(prepared.txn, "types", []))

    @invariant()
    def the_tree_is_that_of_the_model(self) -> None:
        assert self.bench.preparer.pending.digest == self.bench.tree.digest or self.bench.held
        if not self.bench.held:
            audit(self.bench.tree)
            assert_equal(self.bench.tree, self.model)
            assert self.bench.preparer.pending.by_path == {}

    def teardown(self) -> None:
        self.bench.commit()
        assert_equal(self.bench.tree, self.model)
        assert contents(self.bench.replayed()) == contents(self.bench.tree)


TreeMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestTreeAgainstModel = TreeMachine.TestCase
