"""What is to be collected: the ensembles and nodes that the plane knows, with their tokens."""

from dataclasses import dataclass
from typing import Final

from observability.changes import Policy
from observability.collect.admin import Target
from observability.roots import Roots
from tenants.keys import keys_of
from tenants.models import Ensemble, Tenant

LOAD_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """An ensemble as it is to be collected now."""

    name: str
    is_ours: bool
    hosts: str
    nodes: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the plane knows of an ensemble's tenants: their roots, and what is kept of each."""

    roots: Roots
    policies: dict[str, Policy]


NOTHING: Final = Known(Roots({}), {})


def load() -> tuple[dict[str, Wanted], dict[str, Known]]:
    """All ensembles by name, and the tenants of each."""
    wanted: dict[str, Wanted] = {}
    for ensemble in Ensemble.objects.prefetch_related("nodes"):
        keys = keys_of(ensemble)
        read, control = keys.token(), keys.token(control=True)
        nodes = tuple(
            Target(ensemble.name, node.name, node.admin_url, node.client, read, control)
            for node in ensemble.nodes.all()
        )
        is_ours = ensemble.kind == Ensemble.Kind.OURS
        wanted[ensemble.name] = Wanted(ensemble.name, is_ours, ensemble.hosts, nodes)
    roots: dict[str, dict[str, str]] = {name: {} for name in wanted}
    policies: dict[str, dict[str, Policy]] = {name: {} for name in wanted}
    for tenant in Tenant.objects.exclude(lifecycle=Tenant.Lifecycle.GONE).select_related(
        "ensemble"
    ):
        name = tenant.ensemble.name
        if name in wanted:  # else made since
            roots[name][tenant.root] = tenant.slug
            policies[name][tenant.slug] = policy_of(tenant)
    return wanted, {name: Known(Roots(roots[name]), policies[name]) for name in wanted}


def policy_of(tenant: Tenant) -> Policy:
    """What the history keeps of a tenant."""
    secret = tuple(str(path) for path in tenant.secret_paths)
    return Policy(secret, tenant.history_days, tenant.history_bytes, tenant.root)
