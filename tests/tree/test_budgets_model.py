"""Budgets under random operations against a recount, applied at once and pipelined (trust.md I18).

A request that is refused for its size must not have fitted, one that passes must have fitted: the
machine knows by replaying what is proposed on a tree of its own, one request at a time.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from workbench import (
    ANYONE,
    Bench,
    acl_bytes,
    audit,
    created,
    deleted,
    written,
)

from ensemble.tree.apply import apply
from ensemble.tree.budget import Budget, BudgetLimits
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import Prepared, PrepareOptions
from ensemble.wire import codes
from ensemble.wire.records import Acl, Id
from ensemble.wire.requests import MultiItem
from ensemble.wire.txns import MultiTxn, read_txn
from tests.recount import ahead, recount, used

ROOT = b"/t/pay"
QUOTA = b"/zookeeper/quota/t/pay"
SESSIONS = [11, 12]
NAMES = [b"/a", b"/b", b"/a/x", b"/a/y", b"/b/x"]
PATHS = [
    *(ROOT + name for name in NAMES),
    *(ROOT + name for name in NAMES),
    ROOT,
    b"/t/payroll",
    b"/u",
    QUOTA + b"/a",
    QUOTA + b"/a/zookeeper_limits",
    QUOTA + b"/a/zookeeper_stats",
]
ACLS = [
    acl_bytes([Acl(31, ANYONE)]),
    acl_bytes([Acl(31, ANYONE), Acl(31, Id("digest", "bob:" + "x" * 28))]),
]
paths = st.sampled_from(PATHS)
datas = st.sampled_from([None, b"", b"x", b"x" * 30, b"countHardLimit=3", b"count=1"])
sessions = st.sampled_from(SESSIONS)
parts = st.one_of(
    st.tuples(st.just("create"), paths, datas, st.integers(0, 4)),
    st.tuples(st.just("delete"), paths),
    st.tuples(st.just("set"), paths, datas),
)


class BudgetMachine(RuleBasedStateMachine):
    """A tree with a budget; `shadow` is what the tree will be when all is applied."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(PrepareOptions(extended_types=True))
        self.shadow = DataTree(True)
        self.shadowed = 0
        for path in (b"/t", ROOT, b"/zookeeper/quota/t", QUOTA):
            self.bench.create(path)
        self.limits = BudgetLimits()
        self.budget: Budget = self.bench.tree.budgets.put("pay", ROOT, self.limits)

    @initialize(
        znodes=st.integers(-1, 7),
        size=st.integers(-1, 400),
        one=st.sampled_from([-1, 40, 70]),
        ephemerals=st.integers(-1, 2),
    )
    def begin(self, znodes: int, size: int, one: int, ephemerals: int) -> None:
        for session in SESSIONS:
            self.bench.open_session(session)
        self.limit(znodes, size, one, ephemerals)

    def limit(self, znodes: int, size: int, one: int, ephemerals: int) -> None:
        self.limits = BudgetLimits(znodes, size, one, ephemerals)
        self.budget = self.bench.tree.budgets.put("pay", ROOT, self.limits)
        self.before = self.foreseen()

    def foreseen(self) -> tuple[int, int, int]:
        """Usage once everything is applied, on the shadow."""
        for payload in self.bench.log[self.shadowed :]:
            logged = read_txn(payload)
            apply(self.shadow, logged.header, logged.txn)
        self.shadowed = len(self.bench.log)
        return recount(self.shadow, self.budget)

    def judge(self, prepared: Prepared) -> None:
        """What has grown is within its limit; what was refused has changed nothing."""
        after = self.foreseen()
        limits = (self.limits.znodes, self.limits.bytes, self.limits.ephemerals)
        single = not isinstance(prepared.txn, MultiTxn)
        for now, old, limit in zip(after, self.before, limits, strict=True):
            # Parts of a multi may grow and shrink in turn; none of them ends above a limit.
            if now > old or (single and prepared.error == 0 and now > limit):
                assert limit < 0 or now <= limit or now <= old, (after, self.before, limits)
        if prepared.error == codes.QUOTA_EXCEEDED:
            assert after == self.before
            assert max(limits) >= 0 or self.limits.znode_bytes >= 0
        self.before = after

    @rule()
    def hold(self) -> None:
        self.bench.hold = True

    @rule()
    def commit(self) -> None:
        self.bench.commit()
        self.bench.hold = False

    @rule()
    def discard(self) -> None:
        """Leadership is lost and won: what was proposed is not there."""
        count = len(self.bench.held)
        self.bench.held = []
        if count:
            del self.bench.log[-count:]
        self.bench.preparer.discard()
        self.shadow = self.bench.replayed()
        self.shadowed = len(self.bench.log)
        self.before = self.foreseen()

    @rule(path=paths, data=datas, flags=st.integers(0, 3), acl=st.sampled_from(ACLS), who=sessions)
    def create(self, path: bytes, data: bytes | None, flags: int, acl: bytes, who: int) -> None:
        self.judge(self.bench.create(path, data, flags, acl, session_id=who))

    @rule(path=paths, who=sessions)
    def create_container(self, path: bytes, who: int) -> None:
        op = codes.OP_CREATE_CONTAINER
        self.judge(self.bench.create(path, op=op, flags=4, session_id=who))

    @rule(path=paths, data=datas, who=sessions)
    def set_data(self, path: bytes, data: bytes | None, who: int) -> None:
        self.judge(self.bench.set_data(path, data, session_id=who))

    @rule(path=paths, acl=st.sampled_from(ACLS), who=sessions)
    def set_acl(self, path: bytes, acl: bytes, who: int) -> None:
        self.judge(self.bench.set_acl(path, acl, session_id=who))

    @rule(path=paths, who=sessions)
    def delete(self, path: bytes, who: int) -> None:
        prepared = self.bench.delete(path, session_id=who)
        assert prepared.error != codes.QUOTA_EXCEEDED
        self.judge(prepared)

    @rule(who=sessions)
    def close(self, who: int) -> None:
        prepared = self.bench.close_session(who)
        assert prepared.error in (0, codes.SESSION_EXPIRED)
        self.bench.open_session(who)
        self.judge(prepared)

    @rule(chosen=st.lists(parts, min_size=1, max_size=5), who=sessions)
    def multi(self, chosen: list[tuple[object, ...]], who: int) -> None:
        items: list[MultiItem] = []
        for part in chosen:
            path, data = part[1], part[2] if len(part) > 2 else None
            assert isinstance(path, bytes)
            assert data is None or isinstance(data, bytes)
            if part[0] == "create":
                flags = part[3]
                assert isinstance(flags, int)
                items.append(created(path, data, flags))
            elif part[0] == "delete":
                items.append(deleted(path))
            else:
                items.append(written(path, data))
        self.judge(self.bench.multi(items, session_id=who))

    @rule(znodes=st.integers(-1, 7), size=st.integers(-1, 400))
    def new_limits(self, znodes: int, size: int) -> None:
        self.limit(znodes, size, -1, -1)

    @rule()
    def remove_and_put(self) -> None:
        """A tenant goes and comes again while requests are on their way."""
        self.bench.tree.budgets.remove("pay")
        self.limit(5, 300, -1, 1)

    @invariant()
    def usage_is_what_a_recount_finds(self) -> None:
        budget = self.budget
        assert used(budget) == recount(self.bench.tree, budget)
        if not self.bench.tree.budgets.fresh:
            assert ahead(budget) == self.foreseen()
        if not self.bench.held:
            audit(self.bench.tree)


BudgetMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBudgets = BudgetMachine.TestCase
