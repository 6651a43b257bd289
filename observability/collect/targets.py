"""What is to be collected: the ensembles and nodes that the plane knows, with their tokens."""

from dataclasses import dataclass
from typing import Final

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


def load() -> tuple[dict[str, Wanted], dict[str, Roots]]:
    """All ensembles by name, and whose root is where in each."""
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
    alive = Tenant.objects.exclude(lifecycle=Tenant.Lifecycle.GONE)
    for name, root, slug in alive.values_list("ensemble__name", "root", "slug"):
        roots[name][root] = slug
    return wanted, {name: Roots(found) for name, found in roots.items()}
