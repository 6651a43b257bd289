"""Where somebody searches: a tenant from within, or a whole ensemble; and what they see of values.

Who reads znodes finds their values, too; what an ACL keeps from some is found only by those whom
`access.sees_closed` names.
"""

from dataclasses import dataclass

from observability.changes import NOBODYS, Policy
from observability.index import write
from observability.roots import Roots, inward
from tenants import access
from tenants.models import Ensemble, Tenant


@dataclass(frozen=True, slots=True)
class Scope:
    """`tenant` None: the whole tree of the ensemble."""

    ensemble: str
    tenant: Tenant | None
    sees_values: bool
    sees_closed: bool  # also what ACLs keep from others: who acts as a tenant's owner
    roots: Roots
    policies: dict[str, Policy]
    least: int  # the oldest fill whose rows count

    @property
    def root(self) -> str:
        return "" if self.tenant is None else self.tenant.root

    def shown(self, path: str) -> str | None:
        """A path as it is called here; None: it is not of this scope."""
        return path if self.tenant is None else inward(self.tenant.root, path)

    def is_secret(self, path: str) -> bool:
        """Whether a path of the tree is marked so now, whatever the index has."""
        return self.policies.get(self.roots.tenant_of(path), NOBODYS).is_secret(path)


def of_tenant(user: access.User, tenant: Tenant) -> Scope:
    """The caller has checked that this person may know of it."""
    policy = Policy(tuple(map(str, tenant.secret_paths)), root=tenant.root)
    return Scope(
        ensemble=tenant.ensemble.name,
        tenant=tenant,
        sees_values=access.may(user, "znode.read", tenant),
        sees_closed=access.sees_closed(user, tenant),
        roots=Roots({tenant.root: tenant.slug}),
        policies={tenant.slug: policy},
        least=least_of(tenant.ensemble.name),
    )


def of_ensemble(user: access.User, ensemble: Ensemble) -> Scope:
    """The caller has checked `tree.read`."""
    roots, policies = {}, {}
    mine = ensemble.tenants.exclude(lifecycle=Tenant.Lifecycle.GONE)
    for slug, root, secret in mine.values_list("slug", "root", "secret_paths"):
        roots[root] = slug
        if secret:
            policies[slug] = Policy(tuple(map(str, secret)), root=root)
    return Scope(
        ensemble=ensemble.name,
        tenant=None,
        sees_values=access.standing_of(user) >= access.PLANE["tree.read"],
        sees_closed=access.sees_closed(user, None),
        roots=Roots(roots),
        policies=policies,
        least=least_of(ensemble.name),
    )


def least_of(ensemble: str) -> int:
    state = write.state_of(ensemble)
    return 0 if state is None else state.least
