"""What helps while somebody edits: the check of a text, its layout, bookmarks."""

from dataclasses import asdict

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from console import checks
from console.http import RequestError, answering, path_of
from console.scopes import Scope, scope_of
from console.views.tenants.common import person_of
from tenants.actions import bookmarks
from tenants.errors import ActionError
from tenants.models import Bookmark


@require_POST
@answering
def check(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Whether a text is right in its language; with `layout` the same text put in order."""
    text, format = request.POST.get("text", ""), request.POST.get("format", "")
    if request.POST.get("layout", "") == "1":
        return JsonResponse({"text": checks.laid_out(text, format)})
    problem = checks.problem_of(text, format)
    is_checked = len(text) <= checks.CHECKED_CHARACTERS_MAX
    return JsonResponse({"problem": asdict(problem) if problem else None, "checked": is_checked})


@require_POST
@answering
def bookmark(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Put a bookmark, or with `remove` take it away; all of this tree are the answer."""
    scope = scope_of(request.user, slug, ensemble)
    values = request.POST.dict()
    change = bookmarks.remove if values.get("remove", "") == "1" else bookmarks.put
    where, tenant = tree_of(scope)
    try:
        change(person_of(request), ensemble=where, tenant=tenant, path=path_of(values))
    except ActionError as error:
        raise RequestError(f"{error}.") from None
    return JsonResponse({"bookmarks": bookmarks_of(request, scope)})


def bookmarks_of(request: HttpRequest, scope: Scope) -> list[str]:
    """This person's, in this tree."""
    where, tenant = tree_of(scope)
    found = Bookmark.objects.filter(user=person_of(request), ensemble=where, tenant=tenant)
    return list(found.values_list("path", flat=True))


def tree_of(scope: Scope) -> tuple[str, str]:
    """Ensemble and tenant by name."""
    if scope.tenant is not None:
        return scope.tenant.ensemble.name, scope.tenant.slug
    return (settings.MAIN_ENSEMBLE if scope.ensemble is None else scope.ensemble.name), ""
