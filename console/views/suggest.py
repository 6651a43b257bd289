"""What somebody may mean while they type: znodes, tenants, ensembles, people, pages."""

from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from console import navigation
from console.access import ROUTES
from console.templatetags.plane import plain
from console.views.search import znode_url
from console.views.tenants.common import person_of
from observability.index import scope as scopes
from observability.index import suggest as index
from observability.index.scope import Scope
from tenants import access
from tenants.access import PLANE, Standing, standing_of, tenant_for
from tenants.models import Ensemble

ROWS: Final = 12
EACH: Final = 5  # of one kind, where there are several
TEXT_MAX: Final = 300
PLACES_MAX: Final = 3  # trees that are looked into where none is named
Row = dict[str, str]


@require_GET
def suggest(request: HttpRequest) -> HttpResponse:
    """`q`; `scope`: `tenant:<slug>`, `ensemble:<name>` or nothing; `pages=1`: these, too.

    With a scope its paths alone. The palette has the pages already.
    """
    text = request.GET.get("q", "").strip()[:TEXT_MAX]
    named = request.GET.get("scope", "")
    person = person_of(request)
    rows: list[Row] = []
    if text:
        if named:
            rows = znodes(text, scope_of(person, named), ROWS)
        else:
            rows = pages(text, person) if request.GET.get("pages") else []
            rows += names(text, person)
            for scope in places(person):
                rows += znodes(text, scope, EACH)
            rows = rows[: ROWS - 1]
            whole = f"{reverse('search')}?{urlencode({'q': text})}"
            rows.append(row("search", text, "in paths and values", whole))
    answer = JsonResponse({"rows": rows[:ROWS]})
    answer["Cache-Control"] = "no-store"
    return answer


def scope_of(person: User, named: str) -> Scope:
    """The tree that a scope names.

    Raises:
        Http404: there is none that this person may know of.
        PermissionDenied: it is there, but not for this.
    """
    kind, _, name = named.partition(":")
    if kind == "tenant":
        return scopes.of_tenant(person, tenant_for(person, name, "tenant.history"))
    if kind == "ensemble":
        access.require(person, "tree.read")
        found = Ensemble.objects.filter(name=name).first()
        if found is not None:
            return scopes.of_ensemble(person, found)
    raise Http404(f"there is no {named[:70]}: use tenant:<name> or ensemble:<name>")


def places(person: User) -> list[Scope]:
    if standing_of(person) >= Standing.AUDITOR:
        found = Ensemble.objects.order_by("name")[:PLACES_MAX]
        return [scopes.of_ensemble(person, one) for one in found]
    tenants = access.visible_to(person).select_related("ensemble").order_by("slug")[:PLACES_MAX]
    return [scopes.of_tenant(person, one) for one in tenants]


def znodes(text: str, scope: Scope, most: int) -> list[Row]:
    """Paths; only where this person can open them."""
    if not scope.sees_values:
        return []
    if scope.tenant is not None:
        route, where = "tenant-znode", {"slug": scope.tenant.slug}
        hint = scope.tenant.slug
    else:
        route, where, hint = "ensemble-znode", {"ensemble": scope.ensemble}, scope.ensemble
    return [
        row("znode", path, hint, znode_url(route, path, **where))
        for path in index.paths(text, scope, most)
    ]


def pages(text: str, person: User) -> list[Row]:
    """Those of the rail and the account."""
    text = text.lower()
    found = [
        row("page", link.entry.label, section.label, link.url)
        for section in navigation.sections_for(standing_of(person), ROUTES, [])
        for link in section.links
        if text in link.entry.label.lower() or text in link.entry.words.split()
    ]
    return sorted(found, key=lambda one: not one["label"].lower().startswith(text))[:EACH]


def names(text: str, person: User) -> list[Row]:
    """Tenants, ensembles and people, each only for those who see them."""
    rows: list[Row] = []
    mine = access.visible_to(person).filter(slug__icontains=text).order_by("slug")
    for slug, title in mine.exclude(lifecycle="gone").values_list("slug", "title")[:EACH]:
        rows.append(row("tenant", slug, title, reverse("tenant", args=[slug])))
    if standing_of(person) >= PLANE["ensemble.read"]:
        ensembles: Any = Ensemble.objects.filter(name__icontains=text).order_by("name")
        for name, title in ensembles.values_list("name", "title")[:EACH]:
            rows.append(row("ensemble", name, title, reverse("ensemble", args=[name])))
    if standing_of(person) >= PLANE["people.read"]:
        people = User.objects.filter(username__icontains=text).order_by("username")
        for pk, name in people.values_list("pk", "username")[:EACH]:
            rows.append(row("person", name, "", reverse("person", args=[pk])))
    return rows


def row(kind: str, label: str, hint: str, url: str) -> Row:
    """What could deceive in a name is written out."""
    return {"kind": kind, "label": plain(label), "hint": plain(hint), "url": url}
