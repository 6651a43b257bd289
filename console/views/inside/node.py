"""One node: what it is, its disks, its elections, its configuration, and everything it measures."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from console.overview import as_known, node_row, problems_of
from console.views.inside.common import of_ensemble
from observability import health, nodes
from observability.models import Source
from observability.nodes import NodeNow
from observability.samples import table
from tenants import inside, sessions
from tenants.models import Ensemble, Node

GROWTH_OF_S: Final = 6 * 3_600  # is told from figures as old as that, at most,
GROWTH_LEAST_S: Final = 3_600  # and at least
CONNECTED_MAX: Final = 8
ENVIRONMENT: Final = (
    ("host.name", "Host"),
    ("os.name", "System"),
    ("java.version", "Runtime"),
    ("user.name", "Runs as"),
    ("user.dir", "Folder"),
)


@dataclass(frozen=True, slots=True)
class Disk:
    """One of its two folders; growth in bytes a day, None where too little is known."""

    title: str
    files: int | None
    free: int | None
    share: int | None
    growth: int | None
    days: int | None


@require_GET
def node(request: HttpRequest, ensemble: str, node: str) -> HttpResponse:
    place = of_ensemble(ensemble)
    found = place.ensemble.nodes.filter(name=node).first()
    if found is None:
        raise Http404(f"{ensemble} has no node {node[:100]}")
    now = nodes.now([ensemble]).get((ensemble, node)) or NodeNow(ensemble, node, 0, is_fresh=False)
    is_known = health.collector().is_alive
    source = source_of(place.ensemble, found)
    now = as_known(now, source)
    problems = problems_of(now, source) if is_known else []
    context = {
        "node": found,
        "row": node_row(now, problems, is_known=is_known),
        "now": now,
        "problems": problems,
        "disks": disks_of(now),
        "certificate_end": from_s(now.number("client_certificate_end")),
        "metrics": sorted(now.own.items()),
        "here": request.get_full_path(),
        "nodes": list(place.ensemble.nodes.values_list("name", flat=True)),
        **told(place.ensemble, found),
    }
    return place.page(request, "node", context)


def from_s(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def source_of(ensemble: Ensemble, node: Node) -> Source | None:
    return Source.objects.filter(
        kind=Source.Kind.METRICS, ensemble=ensemble.name, node=node.name
    ).first()


def told(ensemble: Ensemble, node: Node) -> dict[str, Any]:
    """What it says over its admin port; and what it does not say."""
    if not node.admin_url:
        text = "Its admin port is not registered: name it on the ensemble's page to see more."
        return {"silent": [text]}
    silent = []
    said: dict[str, dict[str, Any]] = {}
    for command in (
        *("initial_configuration", "environment", "elections", "last_snapshot", "zabstate"),
        "voting_view",
    ):
        answer = inside.ask_one(ensemble, node, command)
        if answer.problem:
            silent.append(f"{command}: {answer.problem}")
            if answer.status == 0:
                break  # it will not answer the others either
        else:
            said[command] = answer.said
    listing = sessions.of_ensemble(ensemble)
    mine = [one for one in listing.sessions if one.node == node.name]
    mine.sort(key=lambda one: (-one.requests, one.number))
    environment = said.get("environment", {})
    return {
        "silent": silent,
        "configuration": str(
            said.get("initial_configuration", {}).get("initial_configuration", "")
        ),
        "environment": [(words, environment[k]) for k, words in ENVIRONMENT if k in environment],
        "roles": sessions.entries(said.get("elections", {}), "roles"),
        "elections": said.get("elections", {}).get("total"),
        "snapshot": said.get("last_snapshot", {}),
        "connected": mine[:CONNECTED_MAX],
        "connections": len(mine),
    }


def disks_of(now: NodeNow) -> list[Disk]:
    """Its folders; one line where log and snapshots lie together."""
    if not now.at:
        return []
    before = at_before(now)
    found = []
    for title, name in (("Snapshots", "datadir"), ("Transaction log", "logdir")):
        files, free = now.number(f"{name}_files_bytes"), now.number(f"{name}_free_bytes")
        size = now.number(f"{name}_disk_bytes")
        if free is None or not size:
            continue
        growth = None if before is None else growth_of(before, now, f"{name}_files_bytes")
        days = free // growth if growth is not None and growth > 0 else None
        found.append(Disk(title, files, free, round(100 * free / size), growth, days))
    return found


def at_before(now: NodeNow) -> tuple[int, dict[str, Any]] | None:
    """The oldest of its figures of the last hours, and when they were."""
    one = table.series_ids(now.ensemble, "node").get(now.node)
    if one is None:
        return None
    rows = table.ask(
        "SELECT at, own FROM observability_sample_60 "
        "WHERE series = %s AND at > %s AND at <= %s ORDER BY at LIMIT 1",
        (one, now.at - GROWTH_OF_S, now.at - GROWTH_LEAST_S),
    )
    return (int(rows[0][0]), json.loads(rows[0][1])) if rows and rows[0][1] else None


def growth_of(before: tuple[int, dict[str, Any]], now: NodeNow, name: str) -> int | None:
    """Bytes a day."""
    then = before[1].get(name)
    today = now.number(name)
    seconds = now.at - before[0]
    if not isinstance(then, int) or today is None or seconds <= 0:
        return None
    return (today - then) * 86_400 // seconds
