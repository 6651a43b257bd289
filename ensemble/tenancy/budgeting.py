"""A tenant's size limits as budgets of the tree: a document's words in the terms of the tree."""

from typing import Final

from ensemble.tenancy.spec import OBSERVE, TenantSpec
from ensemble.tree.budget import NO_LIMIT, Budget, BudgetLimits
from ensemble.tree.budgets import Budgets

# Below a tenant's document each of its sessions has a znode (docs/tenancy.md, "The registry").
DOCUMENTS: Final = b"/zookeeper/tenants/"


def apply_limits(budgets: Budgets, spec: TenantSpec) -> Budget:
    """The limits of a document are in force from the next request on; usage is counted from now on.

    In mode observe nothing is limited, and everything is counted.
    """
    limits = spec.limits
    sessions = limits.sessions
    held = BudgetLimits(
        limits.znodes, limits.bytes, limits.znode_bytes, limits.ephemerals, with_quotas=True
    )
    if spec.mode == OBSERVE:
        sessions = NO_LIMIT
        held = BudgetLimits()
    budgets.limit_children(DOCUMENTS + spec.slug.encode(), sessions)
    return budgets.put(spec.slug, spec.root, held)


def drop_limits(budgets: Budgets, slug: str) -> None:
    """The tenant has no document any more; unknown names are ignored."""
    budgets.limit_children(DOCUMENTS + slug.encode(), NO_LIMIT)
    budgets.remove(slug)
