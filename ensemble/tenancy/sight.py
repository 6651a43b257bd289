"""What of the tree somebody may see: where the tree's own names and numbers are not the answer.

A tenant's root has a child more than the tree knows, its `/zookeeper`. To somebody from outside a
root in mode enforce is not there: no name in a listing, no count, no event, NoAuth whatever is
asked below it. So are the registry, and the quotas of such a root and of what is above it.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.registry import TENANTS
from ensemble.tenancy.seat import Seat, Tenant
from ensemble.tenancy.spec import ENFORCE
from ensemble.tree.acl import SUPER
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import QUOTA, ROOT, ZOOKEEPER_PREFIX, is_within
from ensemble.tree.quota import LIMITS_SUFFIX, STATS_SUFFIX
from ensemble.wire.records import Id


def sees_all(seat: Seat, ids: list[Id]) -> bool:
    """Whether no wall stands in the way: an operator, a super user who is in no tenant's seat."""
    if seat.view is not None:
        return False
    if seat.is_operator:
        return True
    for held in ids:  # noqa: SIM110 - a generator is slow when compiled
        if held.scheme == SUPER:
            return True
    return False


@final
class Sight:
    """Answers for one server; see the module."""

    __slots__ = ("directory",)

    def __init__(self, directory: Directory) -> None:
        self.directory: Final = directory

    def walled(self, path: bytes) -> Tenant | None:
        """The tenant in mode enforce that a path belongs to; its quotas do, too."""
        directory = self.directory
        if directory.enforcing == 0:
            return None
        if is_within(path, QUOTA):
            path = path[len(QUOTA) :]
        tenant = directory.tenant_at(path)
        return None if tenant is None or tenant.spec.mode != ENFORCE else tenant

    def is_closed(self, path: bytes) -> bool:
        """Whether a path is closed to everybody from outside."""
        if self.directory.is_empty:
            return False
        if path.startswith(ZOOKEEPER_PREFIX):
            if is_within(path, TENANTS):
                return True
            if path.endswith(LIMITS_SUFFIX):
                return self.is_above(path[len(QUOTA) : -len(LIMITS_SUFFIX)])
            if path.endswith(STATS_SUFFIX):
                return self.is_above(path[len(QUOTA) : -len(STATS_SUFFIX)])
        return self.walled(path) is not None

    def blocks(self, seat: Seat, ids: list[Id], path: bytes) -> bool:
        """Whether a path is closed to who asks. A tenant's paths have been translated before."""
        if seat.view is not None or not self.is_closed(path):
            return False
        return not sees_all(seat, ids)

    def is_above(self, path: bytes) -> bool:
        """Whether a walled root is at, above or below `path`."""
        if self.directory.enforcing == 0:
            return False
        if self.walled(path) is not None:
            return True
        top = path or ROOT
        for root, tenant in self.directory.by_root.items():
            if tenant.spec.mode == ENFORCE and is_within(root, top):
                return True
        return False

    def hidden_children(self, seat: Seat, ids: list[Id], path: bytes) -> list[bytes] | None:
        """The walled roots that are children of `path`, for who does not see them."""
        directory = self.directory
        if directory.enforcing == 0 or seat.view is not None:
            return None
        hidden = directory.walled_below.get(path or ROOT)
        return None if hidden is None or sees_all(seat, ids) else hidden

    def more_children(self, tree: DataTree, seat: Seat, ids: list[Id], path: bytes) -> i64:
        """By how many the children that are shown of `path` are more than the tree's, or less."""
        view = seat.view
        if view is not None:
            return view.more_children(tree) if path == view.root else 0
        if self.directory.enforcing == 0:
            return 0
        hidden = self.hidden_children(seat, ids, path)
        less: i64 = 0
        if hidden is not None:
            for root in hidden:
                if root in tree.nodes:
                    less += 1
        return -less
