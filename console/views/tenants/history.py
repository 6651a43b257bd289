"""What a znode of a tenant was, who changed it and when; without a path: what changed lately."""

import difflib
import time
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from console import formats
from console.views.tenants.common import query_without, tenant_page
from console.views.tenants.trail import PATH_MAX, when
from observability import history
from observability.history import Change, HistoryError
from tenants import access
from tenants.access import tenant_for
from tenants.models import Tenant

REVISIONS_A_PAGE: Final = 20
SHOWN_CHARACTERS_MAX: Final = 20_000  # of one value; the rest is left out, and it says so
DIFF_LINES_MAX: Final = 500
PATHS_SHOWN_MAX: Final = 200
SPANS: Final = {"1": "the last hour", "24": "the last day", "168": "the last week"}
HOUR_MS: Final = 3_600_000
KINDS: Final = {"-": "gone", "+": "new", " ": ""}


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision as the page shows it. `lines`: its value, beside the one before it."""

    change: Change
    at: str
    lines: list[tuple[str, str]]
    is_cut: bool

    @property
    def why(self) -> str:
        return history.words(self.change.why)


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.history")
    path = request.GET.get("path", "").strip()[:PATH_MAX]
    context: dict[str, Any] = {
        "path": path,
        "spans": SPANS,
        "query": query_without(request, "cursor"),
    }
    try:
        context |= one_path(request, tenant, path) if path else lately(request, tenant)
    except HistoryError as error:
        return tenant_page(request, tenant, "history", {**context, "problem": str(error)}, 422)
    return tenant_page(request, tenant, "history", context)


def one_path(request: HttpRequest, tenant: Tenant, path: str) -> dict[str, Any]:
    """A page of a znode's revisions; whoever may see them reads znodes, too."""
    found = history.revisions(
        path,
        tenant=tenant,
        limit=REVISIONS_A_PAGE,
        cursor=request.GET.get("cursor", ""),
        values=True,
        sees_closed=access.sees_closed(request.user, tenant),
    )
    return {"entries": entries_of(found.changes), "cursor": found.cursor}


def entries_of(changes: list[Change]) -> list[Entry]:
    """Newest first, each beside the value that was there before it."""
    entries = []
    for at, change in enumerate(changes):
        older = next((one.value for one in changes[at + 1 :] if one.value is not None), None)
        lines, is_cut = lines_of(change.value, older)
        entries.append(Entry(change, when(change.at), lines, is_cut))
    return entries


def lines_of(value: bytes | None, older: bytes | None) -> tuple[list[tuple[str, str]], bool]:
    """A value's lines, marked where they differ from an older one's."""
    if value is None:
        return [], False
    text, is_cut = text_of(value)
    if older is None:
        return [("", line) for line in text.splitlines()[:DIFF_LINES_MAX]], is_cut
    before, _ = text_of(older)
    compared = difflib.ndiff(before.splitlines(), text.splitlines())
    lines = [(KINDS[line[0]], line[2:]) for line in compared if line[0] in KINDS]
    return lines[:DIFF_LINES_MAX], is_cut or len(lines) > DIFF_LINES_MAX


def text_of(value: bytes) -> tuple[str, bool]:
    text = formats.show(value[:SHOWN_CHARACTERS_MAX]).text
    return text, len(value) > SHOWN_CHARACTERS_MAX


def lately(request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
    """The paths that changed within the chosen time, the last change first."""
    hours = request.GET.get("hours", "24")
    hours = hours if hours in SPANS else "24"
    now_ms = int(time.time() * 1_000)
    since_ms = now_ms - int(hours) * HOUR_MS
    found = history.changed("/", tenant=tenant, since_ms=since_ms, until_ms=now_ms + HOUR_MS)
    paths = sorted(found.paths, key=lambda one: -one.last_at)
    shown = [(when(one.last_at), one) for one in paths[:PATHS_SHOWN_MAX]]
    is_all = found.is_all and len(paths) <= PATHS_SHOWN_MAX
    return {"paths": shown, "hours": hours, "is_all": is_all, "count": len(paths)}
