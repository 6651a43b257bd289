"""Budgets: what counts, when it is refused, and every way round that has been thought of.

The rules are in docs/tenancy.md, "Limits"; trust.md I18 and its row "quota bypass".
"""

import pytest
from workbench import (
    OPEN,
    SESSION,
    Bench,
    audit,
    created,
    deleted,
    malformed_acl,
    written,
)

from ensemble.errors import KeeperError
from ensemble.tree.budget import STATS_BYTES_MAX, Budget, BudgetLimits
from ensemble.tree.prepare import PrepareOptions
from ensemble.wire import codes
from tests.recount import ahead, recount, used

ROOT = b"/t/pay"
EMPTY = len(OPEN) + 2  # what a znode `/x` without data weighs
WIDE_ACL = malformed_acl(
    (31, "world", "anyone"), *((31, "digest", f"user{i}:{i:028}") for i in range(20))
)
REFUSED = codes.QUOTA_EXCEEDED


def limited(limits: BudgetLimits, options: PrepareOptions | None = None) -> tuple[Bench, Budget]:
    """A tree with a budget on /t/pay, which exists, as does its place for quotas."""
    bench = Bench(options or PrepareOptions(extended_types=True))
    for path in (b"/t", ROOT, b"/zookeeper/quota/t", b"/zookeeper/quota/t/pay"):
        bench.create(path)
    return bench, bench.tree.budgets.put("pay", ROOT, limits)


def test_a_tree_without_budgets_asks_nobody() -> None:
    bench = Bench()
    assert bench.tree.budgets.is_empty
    budget = bench.tree.budgets.put("pay", ROOT, BudgetLimits())
    assert not bench.tree.budgets.is_empty
    assert used(budget) == (0, 0, 0)
    bench.tree.budgets.remove("pay")
    bench.tree.budgets.remove("pay")
    assert bench.tree.budgets.is_empty


def test_root_and_quota_place_count_and_neighbours_do_not() -> None:
    """The limited node counts itself, as in quotas.md 4."""
    bench, budget = limited(BudgetLimits())
    assert used(budget) == (2, 1 + len(b"/zookeeper/quota") + 2 * len(OPEN), 0)
    before = used(budget)
    for path in (b"/t/payroll", b"/t/pa", b"/t/payroll/x", b"/zookeeper/quota/t/payroll", b"/u"):
        bench.create(path)
    assert used(budget) == before
    bench.create(ROOT + b"/x", b"12345")
    assert used(budget) == (3, before[1] + EMPTY + 5, 0)
    bench.create(b"/zookeeper/quota/t/pay/x")
    assert used(budget) == (4, before[1] + EMPTY + 5 + len(b"/zookeeper/quota/x") + len(OPEN), 0)
    audit(bench.tree)


def test_a_budget_over_an_adopted_root_counts_what_is_there() -> None:
    bench = Bench()
    bench.create(b"/kafka", b"12")
    bench.create(b"/kafka/a", b"345")
    bench.create(b"/kafka/e", flags=1)
    budget = bench.tree.budgets.put("kafka", b"/kafka", BudgetLimits(znodes=3))
    assert used(budget) == (3, 1 + 2 + 2 + 3 + 2 + 3 * len(OPEN), 1)
    assert bench.create(b"/kafka/b").error == REFUSED
    audit(bench.tree)


def test_budgets_at_different_depths_are_told_apart() -> None:
    bench = Bench()
    for path in (b"/a", b"/a/b", b"/a/b/c", b"/k", b"/k/x"):
        bench.create(path)
    budgets = bench.tree.budgets
    deep = budgets.put("deep", b"/a/b/c", BudgetLimits())
    flat = budgets.put("flat", b"/k", BudgetLimits())
    assert budgets.owner_of(b"/a/b/c/d") is deep
    assert budgets.owner_of(b"/a/b/c") is deep
    assert budgets.owner_of(b"/zookeeper/quota/a/b/c/d") is deep
    assert budgets.owner_of(b"/a/b") is None
    assert budgets.owner_of(b"/k/x/y/z") is flat
    assert budgets.owner_of(b"/zookeeper/quota/k") is flat
    for path in (b"/", b"/kk", b"/zookeeper/quota", b"/zookeeper/quotak/k", b"/zookeeper/config"):
        assert budgets.owner_of(path) is None, path
    budgets.remove("deep")
    assert budgets.owner_of(b"/a/b/c/d") is None
    assert budgets.owner_of(b"/k") is flat


def test_a_budget_moves_with_its_root() -> None:
    bench, _ = limited(BudgetLimits(znodes=10))
    bench.create(b"/other")
    budget = bench.tree.budgets.put("pay", b"/other", BudgetLimits(znodes=1))
    assert used(budget) == (1, 1 + len(OPEN), 0)
    assert bench.tree.budgets.owner_of(ROOT) is None
    assert bench.create(b"/other/x").error == REFUSED
    assert bench.create(ROOT + b"/x").error == 0


# Limits


def test_the_number_of_znodes_ends_exactly_at_its_limit() -> None:
    """I18: with everything still in the pipeline."""
    bench, budget = limited(BudgetLimits(znodes=7))
    bench.hold = True
    errors = [bench.create(ROOT + b"/n%d" % i).error for i in range(9)]
    assert errors == [0] * 5 + [REFUSED] * 4
    assert used(budget)[0] == 2
    assert ahead(budget)[0] == 7
    bench.delete(ROOT + b"/n0")
    assert bench.create(ROOT + b"/again").error == 0, "a proposed delete makes room"
    assert bench.create(ROOT + b"/more").error == REFUSED
    bench.commit()
    assert used(budget) == ahead(budget)
    assert used(budget)[0] == 7
    audit(bench.tree)


def test_the_sum_of_bytes_ends_exactly_at_its_limit() -> None:
    """I18: path, data and ACL."""
    bench, budget = limited(BudgetLimits())
    base = budget.used_bytes
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(bytes=base + EMPTY + 100))
    bench.hold = True
    assert bench.create(ROOT + b"/x", b"1" * 101).error == REFUSED
    assert bench.create(ROOT + b"/x", b"1" * 60).error == 0
    assert bench.set_data(ROOT + b"/x", b"1" * 101).error == REFUSED
    assert bench.set_data(ROOT + b"/x", b"1" * 100).error == 0
    assert bench.create(ROOT + b"/y").error == REFUSED
    assert bench.set_data(ROOT + b"/x", b"2" * 100).error == 0, "it does not grow"
    assert bench.set_data(ROOT, b"1").error == REFUSED, "the root counts, too"
    bench.commit()
    assert used(budget)[1] == base + EMPTY + 100
    audit(bench.tree)


def test_one_znode_may_not_be_larger_than_its_limit() -> None:
    bench, _ = limited(BudgetLimits(znode_bytes=EMPTY + 10))
    assert bench.create(ROOT + b"/x", b"1" * 11).error == REFUSED
    assert bench.create(ROOT + b"/x", b"1" * 10).error == 0
    assert bench.set_data(ROOT + b"/x", b"1" * 11).error == REFUSED
    assert bench.set_acl(ROOT + b"/x", WIDE_ACL).error == REFUSED


def test_ephemerals_have_a_limit_of_their_own() -> None:
    bench, budget = limited(BudgetLimits(ephemerals=2))
    bench.open_session(8)
    bench.hold = True
    assert bench.create(ROOT + b"/e", flags=1).error == 0
    assert bench.create(ROOT + b"/e", flags=3, session_id=8).error == 0
    assert bench.create(ROOT + b"/f", flags=1, session_id=8).error == REFUSED
    assert bench.create(ROOT + b"/f", flags=3).error == REFUSED
    assert bench.create(ROOT + b"/f").error == 0
    bench.close_session(8)
    assert bench.create(ROOT + b"/g", flags=1).error == 0, "a close that is proposed makes room"
    bench.commit()
    assert used(budget) == ahead(budget) == recount(bench.tree, budget)
    assert budget.used_ephemerals == 2


@pytest.mark.parametrize(
    "limits",
    [
        BudgetLimits(znodes=0),
        BudgetLimits(bytes=0),
        BudgetLimits(znode_bytes=0),
    ],
)
def test_zero_is_a_limit(limits: BudgetLimits) -> None:
    bench, _ = limited(limits)
    assert bench.create(ROOT + b"/x").error == REFUSED


def test_what_takes_nothing_more_passes_above_every_limit() -> None:
    """A limit that was lowered below what is there: deletes, closes and smaller data pass."""
    bench, budget = limited(BudgetLimits())
    bench.create(ROOT + b"/x", b"1" * 50, acl=WIDE_ACL)
    bench.create(ROOT + b"/y")
    bench.create(ROOT + b"/e", flags=1)
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(0, 0, 0, 0))
    assert bench.set_data(ROOT + b"/x", b"1" * 50).error == 0
    assert bench.set_data(ROOT + b"/x", b"1" * 51).error == REFUSED
    assert bench.set_data(ROOT + b"/x", b"1" * 20).error == 0
    assert bench.set_acl(ROOT + b"/y", WIDE_ACL).error == REFUSED
    assert bench.set_acl(ROOT + b"/y", OPEN).error == 0
    assert bench.delete(ROOT + b"/y").error == 0
    assert bench.close_session().error == 0
    assert used(budget)[0] == 3
    assert used(budget)[2] == 0
    audit(bench.tree)


def test_new_limits_keep_what_was_counted_and_removed_ones_refuse_nothing() -> None:
    bench, budget = limited(BudgetLimits(znodes=2))
    assert bench.create(ROOT + b"/x").error == REFUSED
    assert bench.tree.budgets.put("pay", ROOT, BudgetLimits(znodes=3)) is budget
    assert bench.create(ROOT + b"/x").error == 0
    assert bench.create(ROOT + b"/y").error == REFUSED
    bench.tree.budgets.put("pay", ROOT, BudgetLimits())
    assert bench.create(ROOT + b"/y").error == 0
    assert used(budget)[0] == 4
    bench.tree.budgets.remove("pay")
    assert bench.create(ROOT + b"/z", b"1" * 1000).error == 0


def test_a_budget_that_comes_while_requests_are_proposed_knows_them() -> None:
    """I18: exact from its first transaction on, whatever is in the pipeline."""
    bench, budget = limited(BudgetLimits())
    bench.create(ROOT + b"/old", b"123")
    bench.create(ROOT + b"/gone", b"123")
    bench.tree.budgets.remove("pay")
    bench.hold = True
    bench.create(ROOT + b"/new", b"12345", flags=1)
    bench.set_data(ROOT + b"/old", b"1234567")
    bench.delete(ROOT + b"/gone")
    bench.create(ROOT + b"/brief")
    bench.delete(ROOT + b"/brief")
    bench.create(b"/elsewhere")
    budget = bench.tree.budgets.put("pay", ROOT, BudgetLimits(znodes=5))
    assert used(budget)[0] == 4
    assert bench.create(ROOT + b"/last").error == 0
    assert bench.create(ROOT + b"/over").error == REFUSED
    bench.commit()
    assert used(budget) == ahead(budget)
    assert used(budget)[0] == 5
    assert used(budget)[2] == 1
    audit(bench.tree)


def test_what_is_discarded_is_not_counted() -> None:
    bench, budget = limited(BudgetLimits(znodes=3))
    bench.hold = True
    bench.create(ROOT + b"/x")
    assert bench.create(ROOT + b"/y").error == REFUSED
    bench.held = []
    bench.preparer.discard()
    bench.hold = False
    assert bench.create(ROOT + b"/y").error == 0
    assert used(budget) == ahead(budget)


def test_an_error_names_root_usage_and_limit() -> None:
    bench, budget = limited(BudgetLimits(znodes=2, bytes=200, znode_bytes=150, ephemerals=0))
    spend = bench.tree.budgets.spend_create
    with pytest.raises(KeeperError, match="pay at /t/pay: 2 znodes, the limit is 2"):
        spend(ROOT + b"/x", b"", 31, False, ROOT, 0)
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(-1, 200, 150, 0))
    with pytest.raises(KeeperError, match="a znode of 233 bytes, the limit is 150"):
        spend(ROOT + b"/x", b"1" * 200, 31, False, ROOT, 0)
    size = budget.used_bytes
    with pytest.raises(KeeperError, match=f"{size} bytes and 133 more, the limit is 200"):
        spend(ROOT + b"/x", b"1" * 100, 31, False, ROOT, 0)
    with pytest.raises(KeeperError, match="0 ephemerals, the limit is 0"):
        spend(ROOT + b"/x", b"", 31, True, ROOT, 0)


# Ways round


def test_a_wide_acl_is_no_way_round() -> None:
    """E8 of trust.md's kind: the ACL of a create, and a later one."""
    bench, budget = limited(BudgetLimits())
    room = 500
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(bytes=budget.used_bytes + room))
    assert len(WIDE_ACL) > room
    assert bench.create(ROOT + b"/x", acl=WIDE_ACL).error == REFUSED
    assert bench.create(ROOT + b"/x").error == 0
    assert bench.set_acl(ROOT + b"/x", WIDE_ACL).error == REFUSED
    audit(bench.tree)


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_names_with_a_number_count_with_it(flags: int) -> None:
    bench, budget = limited(BudgetLimits())
    size = EMPTY + (10 if flags >= 2 else 0)
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(bytes=budget.used_bytes + size - 1))
    assert bench.create(ROOT + b"/x", flags=flags).error == REFUSED
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(bytes=budget.used_bytes + size))
    assert bench.create(ROOT + b"/x", flags=flags).error == 0
    assert bench.set_data(ROOT, b"1").error == REFUSED


def test_containers_and_nodes_with_a_ttl_count_until_they_are_reaped() -> None:
    bench, budget = limited(BudgetLimits(znodes=5))
    bench.create(ROOT + b"/c", op=codes.OP_CREATE_CONTAINER, flags=4)
    bench.create(ROOT + b"/c/x")
    bench.create(ROOT + b"/t", op=codes.OP_CREATE_TTL, flags=5, ttl=10)
    create = bench.create
    assert create(ROOT + b"/d", op=codes.OP_CREATE_CONTAINER, flags=4).error == REFUSED
    assert create(ROOT + b"/d", op=codes.OP_CREATE_TTL, flags=5, ttl=10).error == REFUSED
    bench.delete(ROOT + b"/c/x")
    assert bench.reap(ROOT + b"/c").error == 0
    bench.now_ms += 100
    assert bench.reap(ROOT + b"/t").error == 0
    assert used(budget)[0] == 2
    assert used(budget)[2] == 0
    audit(bench.tree)


def test_quotas_of_the_tenant_count_against_its_budget() -> None:
    """A subtree that only holds text, beside the root: it would be a second namespace."""
    bench, budget = limited(BudgetLimits(znodes=5))
    assert bench.create(b"/zookeeper/quota/t/pay/x").error == 0
    assert bench.create(b"/zookeeper/quota/t/pay/x/zookeeper_limits").error == 0
    assert bench.create(b"/zookeeper/quota/t/pay/x/zookeeper_stats").error == 0
    assert bench.create(b"/zookeeper/quota/t/pay/y").error == REFUSED
    assert bench.create(b"/zookeeper/quota/t/other").error == 0
    bench.tree.budgets.put("pay", ROOT, BudgetLimits(bytes=budget.used_bytes))
    assert bench.set_data(b"/zookeeper/quota/t/pay/x", b"1").error == REFUSED
    audit(bench.tree)


def test_a_usage_text_counts_the_same_whoever_writes_it() -> None:
    """Servers rewrite it without a transaction: so its size is fixed, and a client's is bounded."""
    bench, budget = limited(BudgetLimits())
    stats = b"/zookeeper/quota/t/pay/x/zookeeper_stats"
    bench.create(ROOT + b"/x")
    bench.create(b"/zookeeper/quota/t/pay/x")
    bench.create(b"/zookeeper/quota/t/pay/x/zookeeper_limits", b"count=5")
    assert bench.create(stats, b"1" * (STATS_BYTES_MAX + 1)).error == REFUSED
    bench.hold = True
    assert bench.create(stats, b"1" * STATS_BYTES_MAX).error == 0
    assert bench.set_data(stats, b"1").error == 0
    assert bench.set_data(stats, b"1" * (STATS_BYTES_MAX + 1)).error == REFUSED
    for i in range(12):
        bench.create(ROOT + b"/x/%d" % i, b"12345")
    bench.commit()
    assert used(budget) == ahead(budget)
    audit(bench.tree)


def test_a_multi_is_charged_part_by_part_and_gives_back_when_it_fails() -> None:
    bench, budget = limited(BudgetLimits(znodes=4))
    x, y, z = ROOT + b"/x", ROOT + b"/y", ROOT + b"/z"
    assert bench.multi_errors([created(x), created(y), created(z)]) == [0, 0, REFUSED]
    assert used(budget) == ahead(budget)
    assert used(budget)[0] == 2
    assert bench.multi_errors([created(x), written(x, b"12"), created(y)]) == [0, 0, 0]
    full = used(budget)
    swap = [deleted(x), created(z), written(z, b"12")]
    assert bench.multi_errors(swap) == [0, 0, 0], "net zero passes at the limit"
    assert used(budget) == full
    assert bench.multi_errors([created(x), deleted(z)])[0] == REFUSED, "parts count in their order"
    assert bench.multi_errors([deleted(z), created(x), deleted(b"/none")]) == [0, 0, -101]
    assert used(budget) == ahead(budget) == full
    audit(bench.tree)


def test_failed_multis_in_a_pipeline_leave_nothing_behind() -> None:
    bench, budget = limited(BudgetLimits(znodes=4))
    bench.hold = True
    for _ in range(3):
        bench.multi([created(ROOT + b"/x", b"123", 1), deleted(b"/none")])
        bench.multi([deleted(ROOT), created(ROOT + b"/x")])
    assert ahead(budget) == used(budget)
    assert bench.create(ROOT + b"/x").error == 0
    bench.commit()
    audit(bench.tree)


def test_a_refused_create_costs_nothing() -> None:
    bench, budget = limited(BudgetLimits(znodes=3))
    bench.create(ROOT + b"/x")
    before = ahead(budget)
    assert bench.create(ROOT + b"/x").error == codes.NODE_EXISTS
    assert bench.create(ROOT + b"/none/x").error == codes.NO_NODE
    assert bench.set_data(ROOT + b"/x", b"12", 7).error == codes.BAD_VERSION
    assert bench.create(ROOT + b"/y", b"1" * 3_000_000).error == codes.BAD_ARGUMENTS
    assert ahead(budget) == used(budget) == before


# Children, and quotas inside


def test_a_znode_takes_so_many_children_and_no_more() -> None:
    """Sessions of a tenant: exact over all servers, since each is a znode."""
    bench = Bench()
    bench.create(b"/r")
    bench.create(b"/r/pay")
    bench.tree.budgets.limit_children(b"/r/pay", 2)
    bench.open_session(8)
    bench.hold = True
    assert bench.create(b"/r/pay/1", flags=1).error == 0
    assert bench.create(b"/r/pay/8", flags=1, session_id=8).error == 0
    assert bench.create(b"/r/pay/9", flags=1).error == REFUSED
    assert bench.create(b"/r/pay/1", flags=1).error == codes.NODE_EXISTS
    assert bench.create(b"/r/pay/8/x").error == codes.NO_CHILDREN_FOR_EPHEMERALS
    assert bench.create(b"/r/other").error == 0
    bench.close_session(8)
    assert bench.create(b"/r/pay/9", flags=1).error == 0
    assert bench.multi([created(b"/r/pay/10")]).error == 0
    applied = bench.commit()
    assert [result.error for result in applied.results] == [REFUSED]
    bench.hold = False
    bench.tree.budgets.limit_children(b"/r/pay", -1)
    assert bench.tree.budgets.is_empty
    assert bench.create(b"/r/pay/10").error == 0


def quota_inside(with_quotas: bool, enforce: bool) -> Bench:
    options = PrepareOptions(enforce_quota=enforce)
    bench, _ = limited(BudgetLimits(znodes=8, with_quotas=with_quotas), options)
    bench.create(ROOT + b"/x")
    bench.create(b"/zookeeper/quota/t/pay/x")
    bench.create(
        b"/zookeeper/quota/t/pay/x/zookeeper_limits", b"count=-1,bytes=-1=;countHardLimit=2"
    )
    bench.create(b"/zookeeper/quota/t/pay/x/zookeeper_stats")
    return bench


@pytest.mark.parametrize("enforce", [False, True])
def test_budget_and_quota_inside_it_both_hold(enforce: bool) -> None:
    """Inside a root that says so, quotas hold whatever `enforceQuota` is."""
    bench = quota_inside(True, enforce)
    bench.hold = True
    assert bench.create(ROOT + b"/x/1").error == 0
    assert bench.create(ROOT + b"/x/2").error == REFUSED, "the quota"
    assert bench.delete(ROOT + b"/x/1").error == 0
    assert bench.create(ROOT + b"/x/3").error == 0, "a delete makes room in it"
    assert bench.create(ROOT + b"/y").error == 0
    assert bench.create(ROOT + b"/z").error == REFUSED, "the budget"
    bench.commit()
    audit(bench.tree)


def test_a_quota_does_not_hold_where_nobody_says_so() -> None:
    """quotas.md 5: `enforceQuota` is off, and so it is outside of roots."""
    bench = quota_inside(False, False)
    assert bench.create(ROOT + b"/x/1").error == 0
    assert bench.create(ROOT + b"/x/2").error == 0


def test_usage_is_the_same_after_a_replay() -> None:
    """Recovery: the log makes the same usage, and so does a walk over what it made."""
    bench, budget = limited(BudgetLimits())
    for i in range(20):
        bench.create(ROOT + b"/n%d" % i, b"1" * i, flags=i % 2)
    bench.set_acl(ROOT + b"/n4", WIDE_ACL)
    bench.delete(ROOT + b"/n2")
    bench.close_session()
    bench.open_session(SESSION)
    tree = bench.replayed()
    assert used(tree.budgets.put("pay", ROOT, BudgetLimits())) == used(budget)
