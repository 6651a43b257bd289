"""The tenants that are known here: by name, by root, by the path of a request."""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.spec import ENFORCE, TenantSpec
from ensemble.tree.paths import parent_of


@final
class Directory:
    """Every tenant in force. Roots do not lie within one another.

    `is_empty` is what the hot path asks first. `enforcing`: tenants in mode enforce; `walled_below`:
    their roots by parent.
    """

    __slots__ = ("by_root", "by_slug", "depths", "enforcing", "is_empty", "walled_below")

    def __init__(self) -> None:
        self.by_slug: Final[dict[str, Tenant]] = {}
        self.by_root: Final[dict[bytes, Tenant]] = {}
        self.depths: list[int] = []  # the numbers of names that roots have, ascending
        self.enforcing: i64 = 0
        self.is_empty = True
        self.walled_below: dict[bytes, list[bytes]] = {}

    def put(self, spec: TenantSpec) -> Tenant:
        """A new document of a tenant, known or not; what was counted goes on being counted."""
        tenant = self.by_slug.get(spec.slug)
        if tenant is None:
            tenant = Tenant(spec)
            self.by_slug[spec.slug] = tenant
        elif tenant.spec.root != spec.root:
            del self.by_root[tenant.spec.root]
            tenant.use(spec)
        else:
            tenant.use(spec)
        self.by_root[spec.root] = tenant
        self._count()
        return tenant

    def remove(self, slug: str) -> None:
        """A tenant that has no document any more; unknown names are ignored."""
        tenant = self.by_slug.pop(slug, None)
        if tenant is not None:
            del self.by_root[tenant.spec.root]
            self._count()

    def clear(self) -> None:
        self.by_slug.clear()
        self.by_root.clear()
        self._count()

    def tenant_at(self, path: bytes) -> Tenant | None:
        """Whose root is `path`, or is above it; one look-up per depth that roots have."""
        at: i64 = 0
        depth = 0
        for wanted in self.depths:
            while depth < wanted:
                at = path.find(b"/", at + 1)
                depth += 1
                if at < 0:
                    return self.by_root.get(path) if depth == wanted else None
            found = self.by_root.get(path[:at])
            if found is not None:
                return found
        return None

    def _count(self) -> None:
        self.is_empty = not self.by_slug
        self.enforcing = 0
        self.walled_below = {}
        depths: set[int] = set()
        for tenant in self.by_slug.values():
            root = tenant.spec.root
            depths.add(root.count(b"/"))
            if tenant.spec.mode == ENFORCE:
                self.enforcing += 1
                self.walled_below.setdefault(parent_of(root), []).append(root)
        self.depths = sorted(depths)
