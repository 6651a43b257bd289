"""Slow requests, as the nodes remember them: each keeps its last ones in memory.

They are asked of every node of the ensemble at its admin port, a tenant's own by its name there.
Who looks as a tenant's people sees paths as the tenant calls them, and no addresses.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.stretch import Stretch, StretchError, stretch_of, text_of
from console.usage import ASKING_MAX, ask
from console.views.tenants.common import tenant_page
from tenants import keys
from tenants.access import ensemble_named, tenant_for
from tenants.models import Ensemble, Node, Tenant

SHOWN_MAX: Final = 200
TEXT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Slow:
    """One slow request; times in ms."""

    at: datetime
    node: str
    operation: str
    path: str
    tenant: str
    principal: str
    error: int
    total: float
    queue: float
    commit: float
    reply: float
    session: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What the nodes said. `silent`: those that did not."""

    requests: list[Slow]
    silent: list[str]
    threshold_ms: float | None
    is_cut: bool  # there are more than are shown


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.usage")
    context, status = context_of(request, tenant.ensemble, tenant)
    return tenant_page(request, tenant, "slow", context, status)


@require_GET
def of_ensemble(request: HttpRequest, ensemble: str) -> HttpResponse:
    found = ensemble_named(ensemble)
    context, status = context_of(request, found, None)
    context["ensemble"] = found
    response = render(request, "console/pages/ensemble-slow.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def context_of(
    request: HttpRequest, ensemble: Ensemble, tenant: Tenant | None
) -> tuple[dict[str, Any], int]:
    problem = ""
    try:
        stretch = stretch_of(request.GET.dict())
    except StretchError as error:
        problem, stretch = str(error), stretch_of({})
    found = slow_requests(ensemble, tenant, stretch)
    return {
        "problem": problem,
        "found": found,
        "stretch": stretch,
        "since_text": text_of(stretch.since),
        "until_text": text_of(stretch.until),
        "shown_max": SHOWN_MAX,
    }, 422 if problem else 200


def slow_requests(ensemble: Ensemble, tenant: Tenant | None, stretch: Stretch) -> Answers:
    """Those within the stretch that the nodes still remember, newest first."""
    nodes = list(Node.objects.filter(ensemble=ensemble).exclude(admin_url=""))
    if not nodes:
        return Answers([], [], None, False)
    token = keys.keys_of(ensemble).token()
    query = {"limit": "1000"} | ({} if tenant is None else {"tenant": tenant.slug})
    path = f"/commands/slow?{urlencode(query)}"
    with ThreadPoolExecutor(min(ASKING_MAX, len(nodes))) as pool:
        answers = list(pool.map(lambda node: ask(node, path, token), nodes))
    found: list[Slow] = []
    silent: list[str] = []
    threshold: float | None = None
    for node, answer in zip(nodes, answers, strict=True):
        entries = answer.get("requests")
        if not isinstance(entries, list):
            silent.append(node.name)
            continue
        if isinstance(answer.get("threshold_ms"), int | float):
            threshold = float(answer["threshold_ms"])
        found += [
            one for entry in entries if (one := slow_of(entry, node.name, tenant)) is not None
        ]
    born = 0.0 if tenant is None else tenant.created_at.timestamp()
    since = max(float(stretch.since), born)
    found = [one for one in found if since <= one.at.timestamp() <= stretch.until + 1]
    found.sort(key=lambda one: one.at, reverse=True)
    return Answers(found[:SHOWN_MAX], silent, threshold, len(found) > SHOWN_MAX)


def slow_of(entry: Any, node: str, tenant: Tenant | None) -> Slow | None:
    """One entry of a node's answer; None where it is none, or not this tenant's."""
    if not isinstance(entry, dict):
        return None
    whose = text(entry.get("tenant"))
    if tenant is not None and whose != tenant.slug:
        return None  # what the node was asked for; it is looked at twice because it is the wall
    try:
        return Slow(
            at=datetime.fromtimestamp(entry["time_ms"] / 1_000, UTC),
            node=node,
            operation=text(entry.get("op")),
            path=inside(text(entry.get("path")), tenant),
            tenant=whose,
            principal=text(entry.get("principal")),
            error=int(entry.get("error") or 0),
            total=float(entry["total_ms"]),
            queue=float(entry.get("queue_ms") or 0.0),
            commit=float(entry.get("commit_ms") or 0.0),
            reply=float(entry.get("reply_ms") or 0.0),
            session=text(entry.get("session")),
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def text(value: object) -> str:
    return value[:TEXT_MAX] if isinstance(value, str) else ""


def inside(path: str, tenant: Tenant | None) -> str:
    """A path as the tenant's programs call it."""
    if tenant is None:
        return path
    if path != tenant.root and not path.startswith(f"{tenant.root}/"):
        return ""  # nobody within the wall learns what is outside
    return path[len(tenant.root) :] or "/"
