"""Dashboards of a tenant, an ensemble, a node: the page, and the figures that its charts draw."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from console import charts
from console.figure_subjects import is_subject, subject_of
from console.stretch import (
    EARLIER_WORDS,
    RANGE_WORDS,
    RANGES,
    Stretch,
    StretchError,
    stretch_of,
    text_of,
)
from console.views.tenants.common import tenant_page
from observability import dashboards, neighbours, series
from observability.dashboards import POINTS, Columns, Subject
from observability.forecast import forecasts
from observability.objectives import budgets
from observability.series import resolution_for
from tenants import access
from tenants.access import ensemble_named, tenant_for
from tenants.models import Ensemble, Tenant

PLAIN_ROWS: Final = 24
COMPARED_MAX: Final = 200  # names that are offered to compare with
WORD_MAX: Final = 240
COSTLY_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Page:
    """What a dashboard is of, and where its parts are."""

    subject: Subject
    word: str  # as the websocket calls it
    own: str  # the page's address
    data: str
    slow: str
    audit: str  # empty: there are no lines of it
    groups: tuple[charts.Group, ...]
    others: list[tuple[str, str]]  # what it can be compared with: (value, words)


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.usage")
    context, status = context_of(request, page_of_tenant(request, tenant))
    now = int(time.time())
    context["budgets"] = budgets(tenant, now)
    context["forecasts"] = list(forecasts(tenant, now).values())
    return tenant_page(request, tenant, "dashboard", context, status)


@require_GET
def tenant_figures(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.usage")
    return figures(request, dashboards.of_tenant(tenant))


@require_GET
def of_ensemble(request: HttpRequest, ensemble: str) -> HttpResponse:
    found = ensemble_named(ensemble)
    subject = subject_in(found, request.GET.get("node", ""))
    context, status = context_of(request, page_of_ensemble(found, subject))
    context |= {
        "ensemble": found,
        "node": subject.name,
        "nodes": dashboards.subjects_of(ensemble)[1:],
    }
    if not subject.name:
        context["noisy"] = neighbours.neighbours(ensemble, int(time.time()))
        context["rule"] = neighbours.RULE
        context["costly"] = series.top(ensemble, "busy", COSTLY_MAX)
    response = render(request, "console/pages/ensemble-dashboard.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_GET
def ensemble_figures(request: HttpRequest, ensemble: str) -> HttpResponse:
    found = ensemble_named(ensemble)
    return figures(request, subject_in(found, request.GET.get("node", "")))


def page_of_tenant(request: HttpRequest, tenant: Tenant) -> Page:
    slug = tenant.slug
    others = access.visible_to(request.user).alive().exclude(pk=tenant.pk).order_by("slug")
    return Page(
        subject=dashboards.of_tenant(tenant),
        word=f"tenant:{slug}",
        own=reverse("tenant-dashboard", args=[slug]),
        data=reverse("tenant-figures", args=[slug]),
        slow=reverse("tenant-slow", args=[slug]),
        audit=reverse("tenant-audit", args=[slug]),
        groups=charts.TENANTS,
        others=[
            (f"tenant:{name}", name)
            for name in others.values_list("slug", flat=True)[:COMPARED_MAX]
        ],
    )


def page_of_ensemble(found: Ensemble, subject: Subject) -> Page:
    node = f"?node={subject.name}" if subject.name else ""
    nodes = [one for one in dashboards.subjects_of(found.name) if one != subject]
    return Page(
        subject=subject,
        word=subject.key.rstrip(":"),
        own=reverse("ensemble-dashboard", args=[found.name]),
        data=reverse("ensemble-figures", args=[found.name]) + node,
        slow=reverse("ensemble-slow", args=[found.name]),
        audit=reverse("plane-audit"),
        groups=charts.ENSEMBLES,
        others=[(one.key.rstrip(":"), one.name or "all nodes") for one in nodes],
    )


def subject_in(found: Ensemble, node: str) -> Subject:
    """The ensemble, or the one of its nodes that is named."""
    if not node:
        return Subject("ensemble", found.name)
    if not any(node == one.name for one in dashboards.subjects_of(found.name)[1:]):
        raise Http404(f"no figures of a node {node[:70]} were collected")
    return Subject("node", found.name, node)


def context_of(request: HttpRequest, page: Page) -> tuple[dict[str, Any], int]:
    """What the dashboard's template shows, and the answer's status."""
    problem = ""
    asked = request.GET.dict()
    try:
        stretch = stretch_of(asked)
    except StretchError as error:
        problem = str(error)
        stretch = nearest(asked)
    other = request.GET.get("with", "")[:WORD_MAX]
    if other and other not in {value for value, _ in page.others}:
        other = ""  # gone meanwhile, or never there
    plain = dashboards.columns(page.subject, stretch.since, stretch.until, PLAIN_ROWS)
    return {
        "stretch_problem": problem,
        "page": page,
        "stretch": stretch,
        "other": other,
        "ranges": RANGE_WORDS,
        "earlier_words": EARLIER_WORDS,
        "since_text": text_of(stretch.since),
        "until_text": text_of(stretch.until),
        "units": charts.UNITS,
        "plain_heads": [words for _, words in charts.PLAIN],
        "plain": plain_rows(plain),
        "config": config_of(page, stretch, other),
    }, 422 if problem else 200


def nearest(asked: dict[str, str]) -> Stretch:
    """The times that were asked for without what they are compared with; else the usual ones."""
    try:
        return stretch_of({**asked, "earlier": ""})
    except StretchError:
        return stretch_of({})


def config_of(page: Page, stretch: Stretch, other: str) -> dict[str, Any]:
    """What the page's script needs to know."""
    return {
        "subject": page.word,
        "other": other,
        "own": page.own,
        "data": page.data,
        "slow": page.slow,
        "audit": page.audit,
        "range": stretch.name,
        "since": stretch.since,
        "until": stretch.until,
        "earlier": stretch.earlier,
        "spans": RANGES,
        "points": POINTS,
        "charts": [chart.fields() for group in page.groups for chart in group.charts],
    }


def plain_rows(found: Columns) -> list[tuple[datetime, list[float | None]]]:
    """The table without script: newest first, each bin a line."""
    rows = []
    for place in reversed(range(len(found.at))):
        values = [
            found.values[name][place] if name in found.values else None for name, _ in charts.PLAIN
        ]
        rows.append((datetime.fromtimestamp(found.at[place], UTC), values))
    return rows


def figures(request: HttpRequest, subject: Subject) -> HttpResponse:
    """The columns of a stretch, and of what they are compared with."""
    try:
        stretch = stretch_of(request.GET.dict())
        # Old times are known less finely: both are drawn from samples of one kind.
        earliest = max(0, stretch.since - stretch.shift)
        least = resolution_for(earliest, earliest + stretch.until - stretch.since, POINTS)
        found = dashboards.columns(subject, stretch.since, stretch.until, least=least)
    except ValueError as error:
        return JsonResponse({"error": str(error)}, status=422)
    other = request.GET.get("with", "")[:WORD_MAX]
    compared = None
    if stretch.shift:
        last = earliest + stretch.until - stretch.since
        compared = dashboards.columns(subject, earliest, last, least=least)
    elif other:
        whose = compared_with(request, other)
        compared = dashboards.columns(whose, stretch.since, stretch.until)
    answer = JsonResponse(
        {
            **dashboards.as_fields(found),
            "other": None if compared is None else dashboards.as_fields(compared),
            "shift": stretch.shift,
        }
    )
    answer["Cache-Control"] = "no-store"
    return answer


def compared_with(request: HttpRequest, word: str) -> Subject:
    """Another tenant, ensemble or node, for somebody who may see its figures.

    Raises:
        Http404: there is none that this person may see.
    """
    if not is_subject(word):
        raise Http404(f"{word[:70]} names nothing that has figures")
    return subject_of(request.user, word)
