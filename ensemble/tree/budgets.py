"""All budgets over one tree: in which one a znode counts, and how they follow what happens.

Whatever is at or below a budget's root counts, and so does what is at or below `/zookeeper/quota`
plus that root: otherwise quotas would be a way round. Roots do not lie within one another. Usage is
counted where the tree changes, on every server; what is proposed is counted ahead where
transactions are prepared, so that limits are exact however deep the pipeline is.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import KeeperError
from ensemble.tree.budget import (
    Budget,
    BudgetLimits,
    check_stats,
    counted_data,
    is_quota_path,
    shown_root,
)
from ensemble.tree.paths import QUOTA
from ensemble.tree.roots import Roots
from ensemble.tree.znode import EPHEMERAL, Znode, kind_of_owner
from ensemble.wire import codes

QUOTA_BYTES: Final[i64] = 16


@final
class Spending:
    """What a part of a multi has spent, to give it back when a later part fails."""

    __slots__ = ("budget", "bytes", "ephemerals", "znodes")

    def __init__(self, budget: Budget, znodes: i64, bytes: i64, ephemerals: i64) -> None:
        self.budget: Final = budget
        self.znodes: Final = znodes
        self.bytes: Final = bytes
        self.ephemerals: Final = ephemerals


@final
class Budgets:
    """Every budget over one tree; and znodes that may have only so many children.

    `is_empty` is what the hot path asks first. `fresh`: budgets whose `ahead_*` nobody has computed
    yet; whoever prepares does so before the next transaction.
    """

    __slots__ = (
        "by_name",
        "by_root",
        "children_max",
        "extended_types",
        "fresh",
        "is_empty",
        "journal",
        "journaling",
        "nodes",
        "roots",
    )

    def __init__(self, nodes: dict[bytes, Znode], extended_types: bool) -> None:
        self.nodes: Final = nodes
        self.extended_types: Final = extended_types
        self.by_name: Final[dict[str, Budget]] = {}
        self.roots: Final[Roots[Budget]] = Roots()
        self.by_root: Final[dict[bytes, Budget]] = self.roots.by_path
        self.children_max: Final[dict[bytes, int]] = {}
        self.fresh: list[Budget] = []
        self.is_empty = True
        self.journaling = False
        self.journal: list[Spending] = []

    # Which there are

    def put(self, name: str, root: bytes, limits: BudgetLimits) -> Budget:
        """Limit a subtree, or change its limits; what is there already is counted.

        A known root costs nothing, another one a walk over what is below it.
        """
        budget = self.by_name.get(name)
        if budget is not None:
            if budget.root == root:
                budget.limits = limits
                return budget
            self.remove(name)
        assert len(root) > 1, f"{name}: a budget over the whole tree"
        assert root not in self.by_root, f"{name}: {root!r} has a budget"
        budget = Budget(name, root, limits)
        self.measure(budget)
        budget.look_back()
        self.by_name[name] = budget
        self.roots.put(root, budget)
        self.fresh.append(budget)
        self._refresh()
        return budget

    def remove(self, name: str) -> None:
        """Nothing is limited there any more; unknown names are ignored."""
        budget = self.by_name.pop(name, None)
        if budget is None:
            return
        self.roots.remove(budget.root)
        if budget in self.fresh:
            self.fresh.remove(budget)
        self._refresh()

    def limit_children(self, path: bytes, count: i64) -> None:
        """A znode may have so many children; NO_LIMIT: as many as it likes."""
        if count < 0:
            self.children_max.pop(path, None)
        else:
            self.children_max[path] = count
        self._refresh()

    def clear(self) -> None:
        self.by_name.clear()
        self.roots.clear()
        self.children_max.clear()
        self.fresh = []
        self._refresh()

    def _refresh(self) -> None:
        self.is_empty = not self.by_root and not self.children_max

    def owner_of(self, path: bytes) -> Budget | None:
        """The budget that a znode counts in; that of a quota is its root's."""
        return self.roots.owner_of(path, QUOTA_BYTES if is_quota_path(path) else 0)

    # What is in the tree

    def count(
        self, path: bytes, data: bytes | None, acl_bytes: i64, ephemeral: bool, sign: i64
    ) -> None:
        """A znode has come (`sign` 1) or gone (-1)."""
        budget = self.owner_of(path)
        if budget is not None:
            weight = budget.weight(path, counted_data(path, data), acl_bytes)
            budget.count(sign, sign * weight, sign if ephemeral else 0)

    def count_growth(self, path: bytes, growth: i64) -> None:
        """A znode has grown, or shrunk."""
        if growth == 0:
            return
        budget = self.owner_of(path)
        if budget is not None:
            budget.used_bytes += growth

    def measure(self, budget: Budget) -> None:
        """Count everything anew, in a walk over the subtree: 0.6 s for a million znodes."""
        budget.used_znodes = 0
        budget.used_bytes = 0
        budget.used_ephemerals = 0
        self._measure(budget, budget.root, False)
        self._measure(budget, QUOTA + budget.root, True)

    def _measure(self, budget: Budget, top: bytes, of_quotas: bool) -> None:
        nodes = self.nodes
        if top not in nodes:
            return
        root_bytes: i64 = len(budget.root)
        znodes: i64 = 0
        size: i64 = 0
        waiting = [top]
        while waiting:
            path = waiting.pop()
            node = nodes[path]
            znodes += 1
            size += len(path) - root_bytes + node.acl.wire_bytes
            data = node.data
            if of_quotas:
                size += counted_data(path, data)
            elif data is not None:
                size += len(data)
            if node.owner != 0 and kind_of_owner(node.owner, self.extended_types) == EPHEMERAL:
                budget.used_ephemerals += 1
            children = node.children
            if children is not None:
                waiting.extend(children)
        if not of_quotas:
            size += 1  # the root's own path is `/`
        budget.used_znodes += znodes
        budget.used_bytes += size

    # What is proposed. Each method is the last check of its operation, and spends at once.

    def spend_create(
        self,
        path: bytes,
        data: bytes | None,
        acl_bytes: i64,
        ephemeral: bool,
        parent: bytes,
        num_children: i64,
    ) -> None:
        """A znode is to be created below `parent`, which has `num_children`.

        Raises:
            KeeperError: QUOTA_EXCEEDED; nothing is spent.
        """
        if self.children_max:
            self.check_children(parent, num_children)
        budget = self.owner_of(path)
        if budget is None:
            return
        check_stats(budget, path, data)
        weight = budget.weight(path, counted_data(path, data), acl_bytes)
        ephemerals: i64 = 1 if ephemeral else 0
        budget.check_create(weight, ephemerals)
        self._spend(budget, 1, weight, ephemerals)

    def check_children(self, parent: bytes, num_children: i64) -> None:
        """Refuse one child more below `parent`, where there is no room."""
        limit = self.children_max.get(parent)
        if limit is not None and num_children >= limit:
            raise KeeperError(
                codes.QUOTA_EXCEEDED,
                f"{shown_root(parent)} has {num_children} children, the limit is {limit}",
            )

    def spend_data(self, path: bytes, old: bytes | None, new: bytes | None, acl_bytes: i64) -> None:
        """Data is to be replaced; see `spend_create`."""
        size: i64 = 0 if new is None else len(new)
        growth = size - (0 if old is None else len(old))
        if growth == 0:
            return
        budget = self.owner_of(path)
        if budget is None:
            return
        if is_quota_path(path):
            check_stats(budget, path, new)
            size = counted_data(path, new)
            growth = size - counted_data(path, old)
        budget.check_bytes(growth, budget.weight(path, size, acl_bytes))
        self._spend(budget, 0, growth, 0)

    def spend_acl(self, path: bytes, data: bytes | None, old_bytes: i64, new_bytes: i64) -> None:
        """An ACL is to be replaced; see `spend_create`."""
        growth = new_bytes - old_bytes
        if growth == 0:
            return
        budget = self.owner_of(path)
        if budget is not None:
            weight = budget.weight(path, counted_data(path, data), new_bytes)
            budget.check_bytes(growth, weight)
            self._spend(budget, 0, growth, 0)

    def give_back(self, path: bytes, data: bytes | None, acl_bytes: i64, ephemeral: bool) -> None:
        """A znode is to go: always possible."""
        budget = self.owner_of(path)
        if budget is not None:
            weight = budget.weight(path, counted_data(path, data), acl_bytes)
            self._spend(budget, -1, -weight, -1 if ephemeral else 0)

    def _spend(self, budget: Budget, znodes: i64, bytes: i64, ephemerals: i64) -> None:
        budget.spend(znodes, bytes, ephemerals)
        if self.journaling:
            self.journal.append(Spending(budget, znodes, bytes, ephemerals))

    def begin_multi(self) -> None:
        self.journaling = True

    def end_multi(self) -> None:
        self.journaling = False
        if self.journal:
            self.journal = []

    def roll_back(self) -> None:
        """Give back what the multi has spent."""
        for spending in self.journal:
            spending.budget.spend(-spending.znodes, -spending.bytes, -spending.ephemerals)
        self.end_multi()

    def discard(self) -> None:
        """Nothing that was proposed will be applied."""
        self.journal = []
        self.journaling = False
        for budget in self.by_root.values():
            budget.look_back()
