"""Ensembles: registered with their nodes, changed, removed; the one that `ensemble up` runs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from ensemble.client import ClientError
from ensemble.client.hosts import parse_hosts
from tenants.actions.base import action, clean
from tenants.audit import PLANE, Actor, record
from tenants.errors import ConflictError, InvalidError, LimitError
from tenants.models import Ensemble, Node, Tenant

ENSEMBLES_MAX: Final = 200
NODES_MAX: Final = 64
NODES_ENV: Final = "ENSEMBLE_NODES"  # name=host:port=admin url, separated by commas or lines
NODES_FILE_ENV: Final = "ENSEMBLE_NODES_FILE"  # or the file that holds them, and may change
NODES_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A server. `client`: host:port; `admin_url`: http://host:port of its admin port, or empty."""

    name: str
    client: str
    admin_url: str = ""


@action
def register(
    actor: Actor,
    *,
    name: str,
    title: str = "",
    kind: str = Ensemble.Kind.OURS,
    hosts: str,
    nodes: Sequence[NodeSpec] = (),
    takes_tenants: bool = True,
) -> Ensemble:
    """Have the plane know an ensemble. It need not answer at present."""
    if Ensemble.objects.filter(name=name).exists():
        raise ConflictError(f"there is an ensemble {name[:70]} already", field="name")
    if Ensemble.objects.count() >= ENSEMBLES_MAX:
        raise LimitError(f"there are {ENSEMBLES_MAX} ensembles, more are not kept")
    ensemble = Ensemble(name=name, title=title, kind=kind, hosts=hosts, takes_tenants=takes_tenants)
    check(ensemble)
    ensemble.save(force_insert=True)
    put_nodes(ensemble, nodes)
    record(actor, "ensemble.registered", ensemble=name, detail=says(ensemble))
    return ensemble


@action
def change(
    actor: Actor,
    *,
    ensemble: Ensemble,
    title: str | None = None,
    hosts: str | None = None,
    nodes: Sequence[NodeSpec] | None = None,
    takes_tenants: bool | None = None,
) -> Ensemble:
    """Change what is known of one; what is None stays. Its name and kind cannot change."""
    Ensemble.objects.select_for_update().filter(pk=ensemble.pk).values_list("pk").first()
    ensemble.refresh_from_db()
    before = says(ensemble)
    if title is not None:
        ensemble.title = title
    if hosts is not None:
        ensemble.hosts = hosts
    if takes_tenants is not None:
        ensemble.takes_tenants = takes_tenants
    check(ensemble)
    ensemble.save()
    if nodes is not None:
        put_nodes(ensemble, nodes)
    after = says(ensemble)
    if before != after:
        detail: dict[str, object] = {"before": before, "after": after}
        record(actor, "ensemble.changed", ensemble=ensemble.name, detail=detail)
    return ensemble


@action
def remove(actor: Actor, *, ensemble: Ensemble) -> None:
    """Forget an ensemble; it is not touched itself.

    Raises:
        ConflictError: tenants live there, or their rows are kept for the trail.
    """
    alive = ensemble.tenants.exclude(lifecycle=Tenant.Lifecycle.GONE).count()
    if alive:
        raise ConflictError(f"{alive} tenants live on {ensemble.name}: delete and purge them first")
    detail = says(ensemble)
    ensemble.tenants.all().delete()
    record(actor, "ensemble.removed", ensemble=ensemble.name, detail=detail)
    ensemble.delete()


def register_main() -> Ensemble | None:
    """What `ensemble up` runs, by what it says in the environment; at each start of the console.

    Raises:
        ValueError: what is said is nothing that `ensemble up` says, with name and value.
    """
    text = main_text()
    if not text:
        return None
    nodes = [node_of(part) for part in text.replace("\n", ",").split(",") if part.strip()]
    hosts = settings.ZOOKEEPER_HOSTS
    known = Ensemble.objects.filter(name=settings.MAIN_ENSEMBLE).first()
    if known is None:
        return register(
            PLANE, name=settings.MAIN_ENSEMBLE, title="This ensemble", hosts=hosts, nodes=nodes
        )
    return change(PLANE, ensemble=known, hosts=hosts, nodes=nodes)


_followed = ""


def follow_main(now: datetime | None = None) -> int:
    """Register it again where its nodes have changed, observers above all. Every second."""
    global _followed
    text = main_text()
    if not text or text == _followed:
        return 0
    register_main()
    _followed = text
    return 1


def main_text() -> str:
    """The nodes as `ensemble up` says them; empty where it has not started this process."""
    if not (path := os.environ.get(NODES_FILE_ENV, "")):
        return os.environ.get(NODES_ENV, "")
    try:
        with Path(path).open("rb") as file:
            return file.read(NODES_BYTES_MAX).decode()
    except OSError as error:
        raise ValueError(f"{NODES_FILE_ENV} is {path!r}: {error.strerror}") from None


def node_of(text: str) -> NodeSpec:
    parts = text.strip().split("=", 2)
    if len(parts) < 2 or not all(parts[:2]):
        raise ValueError(f"{NODES_ENV} says {text[:100]!r}; use name=host:port=http://host:port")
    return NodeSpec(parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def check(ensemble: Ensemble) -> None:
    """Raises InvalidError."""
    if ensemble.kind == Ensemble.Kind.APACHE and ensemble.takes_tenants:
        raise InvalidError(
            "Apache's servers do not keep tenants apart: leave takes_tenants off",
            field="takes_tenants",
        )
    clean(ensemble)
    check_hosts(ensemble.hosts, "hosts")


def check_hosts(text: str, field: str) -> None:
    """Raises InvalidError for what is no connect string."""
    try:
        _, chroot = parse_hosts(text)
    except (ClientError, ValueError) as error:
        raise InvalidError(f"{field}: {error}; use host:port,host:port", field=field) from None
    if chroot.prefix:
        raise InvalidError(
            f"{field}: {text[:100]!r} ends in a path; use host:port,host:port", field=field
        )


def put_nodes(ensemble: Ensemble, nodes: Sequence[NodeSpec]) -> None:
    """Have an ensemble know exactly these nodes. A node that stays keeps its row."""
    if len(nodes) > NODES_MAX:
        raise LimitError(f"{len(nodes)} nodes, at most {NODES_MAX} are kept", field="nodes")
    names = [node.name for node in nodes]
    for values, what in ((names, "name"), ([node.client for node in nodes], "client port")):
        for value in values:
            if values.count(value) > 1:
                raise InvalidError(f"nodes: two have the {what} {value[:100]!r}", field="nodes")
    ensemble.nodes.exclude(name__in=names).delete()
    kept = {node.name: node for node in ensemble.nodes.all()}
    moved = [n for n in nodes if n.name in kept and kept[n.name].client != n.client]
    ensemble.nodes.filter(name__in=[node.name for node in moved]).delete()  # two may have swapped
    for spec in nodes:
        check_hosts(spec.client, "nodes")
        check_admin_url(spec)
        row = ensemble.nodes.filter(name=spec.name).first() or Node(
            ensemble=ensemble, name=spec.name
        )
        row.client, row.admin_url = spec.client, spec.admin_url
        clean(row)
        row.save()


def check_admin_url(spec: NodeSpec) -> None:
    if not spec.admin_url:
        return
    try:
        parts = urlsplit(spec.admin_url)
        is_right = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not parts.username
            and not parts.query
            and not parts.fragment
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise InvalidError(
            f"nodes: {spec.admin_url[:100]!r} of {spec.name[:70]} is no address of an admin port; "
            "use http://host:port",
            field="nodes",
        )


def says(ensemble: Ensemble) -> dict[str, object]:
    """What the trail tells of an ensemble."""
    return {
        "title": ensemble.title,
        "kind": str(ensemble.kind),
        "hosts": ensemble.hosts,
        "takes_tenants": ensemble.takes_tenants,
        "nodes": [
            [node.name, node.client, node.admin_url] for node in ensemble.nodes.order_by("name")
        ],
    }
