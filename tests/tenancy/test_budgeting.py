"""What a document's limits become in the tree (docs/tenancy.md, "Limits")."""

import pytest

from ensemble.tenancy.budgeting import apply_limits, drop_limits
from ensemble.tenancy.spec import ACTIVE, ENFORCE, OBSERVE, PERMISSIVE, Limits, TenantSpec
from ensemble.tree.datatree import DataTree


def document(mode: int, limits: Limits, root: bytes = b"/kafka") -> TenantSpec:
    return TenantSpec("kafka", root, ACTIVE, mode, 100, limits, [], {}, False, 1)


ALL = Limits(znodes=1, bytes=2, znode_bytes=3, ephemerals=4, sessions=5)
SESSIONS = b"/zookeeper/tenants/kafka"


@pytest.mark.parametrize("mode", [PERMISSIVE, ENFORCE])
def test_size_limits_hold_in_both_modes_that_limit(mode: int) -> None:
    budgets = DataTree().budgets
    limits = apply_limits(budgets, document(mode, ALL)).limits
    found = (limits.znodes, limits.bytes, limits.znode_bytes, limits.ephemerals)
    assert found == (1, 2, 3, 4)
    assert limits.with_quotas
    assert budgets.children_max == {SESSIONS: 5}


def test_nothing_is_limited_while_a_tenant_is_observed_and_all_is_counted() -> None:
    budgets = DataTree().budgets
    apply_limits(budgets, document(ENFORCE, ALL))
    limits = apply_limits(budgets, document(OBSERVE, ALL)).limits
    assert (limits.znodes, limits.bytes, limits.znode_bytes, limits.ephemerals) == (-1, -1, -1, -1)
    assert not limits.with_quotas
    assert budgets.children_max == {}
    assert budgets.owner_of(b"/kafka/x") is not None


def test_a_tenant_without_limits_is_counted() -> None:
    budgets = DataTree().budgets
    budget = apply_limits(budgets, document(ENFORCE, Limits()))
    assert (budget.limits.znodes, budget.limits.bytes) == (-1, -1)
    assert budgets.children_max == {}
    assert budgets.owner_of(b"/zookeeper/quota/kafka/x") is budget


def test_a_tenant_that_goes_leaves_no_limit() -> None:
    budgets = DataTree().budgets
    apply_limits(budgets, document(ENFORCE, ALL))
    drop_limits(budgets, "kafka")
    drop_limits(budgets, "nobody")
    assert budgets.is_empty
    assert budgets.owner_of(b"/kafka/x") is None


def test_another_root_takes_the_place_of_the_old_one() -> None:
    budgets = DataTree().budgets
    apply_limits(budgets, document(ENFORCE, ALL))
    apply_limits(budgets, document(ENFORCE, ALL, b"/streams"))
    assert budgets.owner_of(b"/kafka/x") is None
    assert budgets.owner_of(b"/streams/x") is not None
