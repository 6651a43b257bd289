"""Who did what: the nodes' journals and the plane's own actions, as one trail.

The collector makes it. Where none has run yet, and where asked for (`of=plane`), the plane's own
rows are shown alone: they are there at once.
"""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from console import audit_parts
from console.views.tenants.common import access_to, person_of, query_without, tenant_page
from observability import health, trail
from observability.asked import PATH_MAX, SPANS, Asked, asked_of
from observability.models import Source
from observability.timeline import timeline
from observability.trail import Line, Page, Query, QueryError
from tenants import access
from tenants.access import tenant_for
from tenants.models import AuditEvent, SavedSearch, Tenant

__all__ = ["PATH_MAX", "line_of_plane", "line_of_tenant", "of_plane", "of_tenant", "when"]

EVENTS_A_PAGE: Final = 50
EMPTY: Final = Page([], "")


@require_GET
def of_tenant(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.audit")
    own = AuditEvent.objects.filter(tenant=slug, at__gte=tenant.created_at)
    return tenant_page(request, tenant, "audit", context_of(request, own, tenant))


@require_GET
def of_plane(request: HttpRequest) -> HttpResponse:
    context = {**context_of(request, AuditEvent.objects.all(), None), **chains()}
    return render(
        request, "console/pages/audit.html", context, status=422 if context["problem"] else 200
    )


def context_of(
    request: HttpRequest, own: QuerySet[AuditEvent], tenant: Tenant | None
) -> dict[str, Any]:
    """The trail's lines with all that stands around them, or the plane's rows alone."""
    asked = asked_of(request.GET, of_tenant=tenant is not None)
    base = reverse("plane-audit" if tenant is None else "tenant-audit", args=place_of(tenant))
    context: dict[str, Any] = {
        "values": request.GET,
        "asked": asked,
        "base": base,
        "spans": {key: words for key, (_, words) in SPANS.items()},
        "query": query_without(request, "before", "cursor"),
        "problem": "",
        "saved": saved_searches(request, tenant),
        "search_query": asked.address()[1:],
        "search_of": "" if tenant is None else tenant.slug,
    }
    lines, whole = EMPTY, request.GET.get("of") != "plane"
    if whole:
        try:
            query = asked.query()
            cursor = request.GET.get("cursor", "")
            lines = trail.search(query, tenant=tenant, limit=EVENTS_A_PAGE, cursor=cursor)
            nothing_yet = (
                not lines.lines and not trail.search(Query(), tenant=tenant, limit=1).lines
            )
        except QueryError as error:
            return {**context, "of": "all", "problem": str(error)}
        if not nothing_yet:
            around = around_of(query, asked, tenant)
            shown = [(audit_parts.at_of(line.at), when(line.at), line) for line in lines.lines]
            export = export_of(query)
            return {
                **context, **around, "of": "all", "lines": shown, "page": lines, "export": export,
            }  # fmt: skip
    try:
        events, older = page(request, events_of(own, asked.query()))
    except QueryError as error:
        return {**context, "of": "plane", "problem": str(error)}
    return {**context, "of": "plane", "events": events, "older": older, "is_alone": whole}


def events_of(own: QuerySet[AuditEvent], query: Query) -> QuerySet[AuditEvent]:
    """The plane's rows that fit; of nodes, sessions and transactions it has none."""
    if query.node or query.session or query.zxid is not None:
        return own.none()
    asked = {
        "tenant": query.tenant,
        "ensemble": query.ensemble,
        "actor": query.person.removeprefix("operator:"),
        "verb__startswith": query.operation,
        "target__startswith": query.path,
        "result__iexact": query.result,
    }
    own = own.filter(**{name: value for name, value in asked.items() if value})
    if query.failed:
        own = own.exclude(result="ok")
    if query.since_ms is not None:
        own = own.filter(at__gte=audit_parts.at_of(query.since_ms))
    if query.until_ms is not None:
        own = own.filter(at__lt=audit_parts.at_of(query.until_ms))
    return own


def around_of(query: Query, asked: Asked, tenant: Tenant | None) -> dict[str, Any]:
    """The timeline and the facets of a search."""
    counts = trail.facets(query, tenant=tenant)
    found = timeline(query, tenant=tenant)
    return {
        "facets": audit_parts.facets_of(counts, asked, of_tenant=tenant is not None),
        "counted": counts,
        "timeline": found,
        "bars": audit_parts.drawn(found, asked),
        "starts": audit_parts.at_of(found.since_ms),
        "ends": audit_parts.at_of(found.until_ms),
        "known_from": None if found.known_from is None else audit_parts.at_of(found.known_from),
    }


def export_of(query: Query) -> str:
    """The same search for the API's export."""
    asked: dict[str, str] = {
        name: str(getattr(query, name))
        for name in ("tenant", "ensemble", "person", "path", "operation", "result", "node")
        if getattr(query, name)
    }
    if query.origin:
        asked["origin"] = query.origin
    if query.failed:
        asked["failed"] = "true"
    if query.zxid is not None:
        asked["zxid"] = f"{query.zxid:#x}"
    for name in ("since_ms", "until_ms"):
        if getattr(query, name) is not None:
            asked[name] = str(getattr(query, name))
    return urlencode(asked)


def place_of(tenant: Tenant | None) -> list[str]:
    return [] if tenant is None else [tenant.slug]


def saved_searches(request: HttpRequest, tenant: Tenant | None) -> list[SavedSearch]:
    """One's own, of this page."""
    of = "" if tenant is None else tenant.slug
    return list(SavedSearch.objects.filter(user=person_of(request), tenant=of))


# One line


@require_GET
def line_of_tenant(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "tenant.audit")
    line = found_line(number, tenant)
    context = line_context(request, line, tenant, sees_values(request, tenant))
    if request.headers.get("HX-Request") == "true":
        return render(request, "console/parts/audit/line.html", context)
    return tenant_page(
        request, tenant, "audit", context, template="console/pages/tenants/audit-line.html"
    )


@require_GET
def line_of_plane(request: HttpRequest, number: int) -> HttpResponse:
    line = found_line(number, None)
    tenant = None
    if line.tenant and line.origin == "node":
        tenant = Tenant.objects.filter(slug=line.tenant).exclude(lifecycle="gone").first()
    # Paths in the tenant's own words lead into its pages; what is there keeps its own rights.
    within = None if tenant is None else trail.one(number, tenant=tenant)
    values = tenant is not None and sees_values(request, tenant)
    context = line_context(request, line, tenant if within is not None else None, values, within)
    if request.headers.get("HX-Request") == "true":
        return render(request, "console/parts/audit/line.html", context)
    return render(request, "console/pages/audit-line.html", context)


def sees_values(request: HttpRequest, tenant: Tenant) -> bool:
    return access_to(request, "znode.read", tenant)


def found_line(number: int, tenant: Tenant | None) -> Line:
    """Raises Http404."""
    line = trail.one(number, tenant=tenant) if number < 1 << 62 else None
    if line is None:
        raise Http404(f"there is no line {number} that you can see; it may be too old to be kept")
    return line


def line_context(
    request: HttpRequest,
    line: Line,
    tenant: Tenant | None,
    values: bool,
    within: Line | None = None,
) -> dict[str, Any]:
    """`within`: the line in the tenant's words, where the page is the plane's."""
    own = within or line
    of_plane = within is not None or tenant is None
    base = reverse("plane-audit") if of_plane else reverse("tenant-audit", args=place_of(tenant))
    who, did, what = audit_parts.sentence(line)
    person = line.principal.removeprefix("operator:")
    links = []
    if line.zxid is not None:
        links.append(("All of this transaction", f"{base}?zxid={line.zxid:#x}"))
    if line.session:
        links.append(("Its session", f"{base}?{urlencode({'session': line.session})}"))
    if person:
        links.append(("All that they did", f"{base}?{urlencode({'person': person})}"))
    if line.path.startswith("/"):
        links.append(("All at this path", f"{base}?{urlencode({'path': line.path})}"))
    if of_plane and line.tenant:
        links.append((f"Tenant {line.tenant}", reverse("tenant", args=[line.tenant])))
    diff = (
        audit_parts.diff_of(own, tenant, sees_closed=access.sees_closed(request.user, tenant))
        if tenant is not None and values
        else None
    )
    writes = tenant is not None and access_to(request, "znode.write", tenant)
    may_revert = writes and diff is not None and not diff.why
    links = [*audit_parts.znode_links(own, tenant, reads=values, may_revert=may_revert), *links]
    return {
        "line": line, "at": audit_parts.at_of(line.at), "stamp": when(line.at),
        "who": who, "did": did, "what": what, "fields": audit_parts.fields_of(line),
        "links": links, "diff": diff, "base": base,
        "hides_values": tenant is not None and not values,
    }  # fmt: skip


# Words


def chains() -> dict[str, Any]:
    """Whether the journals' lines hold each other, and whether all of them come."""
    verdicts = health.verdicts()
    late = [one for one in health.follows() if one.problem and one.kind != Source.Kind.INDEX]
    return {
        "verdicts": verdicts,
        "collector": health.collector(),
        "late": late,
        "is_whole": not late and all(one.is_sound for one in verdicts),
        "broken": sum(not one.is_sound for one in verdicts),
    }


def when(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def page(request: HttpRequest, found: QuerySet[AuditEvent]) -> tuple[list[AuditEvent], int | None]:
    """Events below the number that the address names, newest first, and where the next begin."""
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        found = found.filter(seq__lt=int(before))
    events = list(found.order_by("-seq")[: EVENTS_A_PAGE + 1])
    more = len(events) > EVENTS_A_PAGE
    events = events[:EVENTS_A_PAGE]
    return events, events[-1].seq if more else None
