"""The znode browser: one page, and what its script asks for.

The same views serve the whole tree, another ensemble's and a tenant's: `scopes` says which.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from console import actions, formats
from console.http import (
    RequestError,
    advice,
    answering,
    number_of,
    path_of,
    unreachable_text,
)
from console.scopes import Scope, scope_of
from console.views import errors
from console.znodes import CHILDREN_PAGE_MAX, as_json, child_path, read_children, read_znode
from ensemble.client import BadVersionError, ClientError, CreateMode
from tenants.keys import NoKeyError
from tenants.reach import BusyError
from tenants.zk import UnreachableError

OFFSET_MAX = 1 << 31
VERSION_MAX = (1 << 31) - 1
ZXID_MAX = (1 << 63) - 1
TTL_MS_MAX = (1 << 40) - 1


@require_GET
def znode(request: HttpRequest, name: str, slug: str = "", ensemble: str = "") -> HttpResponse:
    """The page. What it shows first is in it already; everything else its script fetches."""
    path = "/" + name
    status = 200
    try:
        scope = scope_of(request.user, slug, ensemble)
    except (NoKeyError, BusyError) as error:
        return errors.page(request, 503, "Not reachable", f"{error}.")
    first: dict[str, Any] = {"path": path, "may_write": scope.may_write}
    try:
        view = scope.bridge.run(lambda client: read_znode(client, path))
        first["znode"] = as_json(view)
    except UnreachableError as error:
        status, first["error"] = 503, unreachable_text(error)
    except ClientError as error:
        status, first["error"] = advice(error)
    context = {
        "first": first,
        "path": path,
        "modes": MODES,
        "formats": formats.NAMES,
        "scope": scope,
        "urls": scope.urls(),
        "may_write": scope.may_write,
    }
    return render(request, "console/pages/znodes.html", context, status=status)


@require_GET
@answering
def children(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Some of the children of a znode, sorted by name."""
    scope = scope_of(request.user, slug, ensemble)
    values = request.GET.dict()
    path = path_of(values)
    offset = number_of(values, "offset", 0, 0, OFFSET_MAX)
    count = number_of(values, "count", CHILDREN_PAGE_MAX, 1, CHILDREN_PAGE_MAX)
    around = values.get("around", "")
    page = scope.bridge.run(lambda client: read_children(client, path, offset, count, around))
    rows = [[row.name, row.children, int(row.ephemeral)] for row in page.rows]
    return JsonResponse({"total": page.total, "offset": page.offset, "rows": rows})


@require_GET
@answering
def data(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Data, stat and ACL of a znode, in a wanted format or the one that suits."""
    scope = scope_of(request.user, slug, ensemble)
    values = request.GET.dict()
    path = path_of(values)
    view = scope.bridge.run(lambda client: read_znode(client, path))
    return JsonResponse(as_json(view, values.get("format", "")))


@require_GET
@answering
def raw(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """The data as a download; never as a page, whatever is in it."""
    scope = scope_of(request.user, slug, ensemble)
    path = path_of(request.GET.dict())
    view = scope.bridge.run(lambda client: read_znode(client, path))
    response = HttpResponse(view.data, content_type="application/octet-stream")
    response["Content-Disposition"] = 'attachment; filename="znode.bin"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@answering
def save(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Save an edit by compare-and-set. Where somebody was faster: 409, and what is there now."""
    scope = scope_of(request.user, slug, ensemble, writes=True)
    values = request.POST.dict()
    path = path_of(values)
    version = number_of(values, "version", None, 0, VERSION_MAX)
    czxid = number_of(values, "czxid", None, 0, ZXID_MAX)
    written = formats.from_text(values.get("text", ""), values.get("format", ""))
    try:
        actions.save_data(scope.bridge, actor(request, scope), path, written, version, czxid)
    except BadVersionError as error:
        theirs = scope.bridge.run(lambda client: read_znode(client, path))
        text = advice(error)[1]
        return JsonResponse({"error": text, "theirs": as_json(theirs)}, status=409)
    view = scope.bridge.run(lambda client: read_znode(client, path))
    return JsonResponse(as_json(view, values["format"]))


@require_POST
@answering
def create(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Create a child."""
    scope = scope_of(request.user, slug, ensemble, writes=True)
    values = request.POST.dict()
    parent = path_of(values, "parent")
    name = values.get("name", "")
    mode = MODE_OF.get(values.get("mode", ""))
    if mode is None:
        raise RequestError(f"mode is {values.get('mode', '')[:40]!r}; use {', '.join(MODE_OF)}.")
    if "/" in name:
        raise RequestError(f"{name[:100]!r} has a slash: create one level after the other.")
    if not name and not mode.is_sequential:
        raise RequestError("The new znode needs a name.")
    ttl_ms = number_of(values, "ttl_ms", None, 1, TTL_MS_MAX) if mode.has_ttl else None
    written = formats.from_text(values.get("text", ""), values.get("format", "text"))
    who, wanted = actor(request, scope), child_path(parent, name)
    path = actions.create_znode(scope.bridge, who, wanted, written, mode, ttl_ms)
    return JsonResponse({"path": path}, status=201)


@require_POST
@answering
def delete(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Delete a znode; its name was typed once more, so that it is the one that was meant."""
    scope = scope_of(request.user, slug, ensemble, writes=True)
    values = request.POST.dict()
    path = path_of(values)
    version = number_of(values, "version", None, 0, VERSION_MAX)
    name = path.rsplit("/", 1)[1]
    if values.get("confirm", "") != name:
        raise RequestError(f"Type {name!r} to confirm that {path} is meant.")
    actions.delete_znode(scope.bridge, actor(request, scope), path, version)
    return JsonResponse({"path": path})


def actor(request: HttpRequest, scope: Scope) -> actions.Who:
    return actions.Who(request.user.get_username(), scope.where)


MODES = [
    ("persistent", "Persistent", "stays until somebody deletes it"),
    ("sequential", "Sequential", "persistent; the server adds a ten-digit number to the name"),
    ("container", "Container", "goes by itself some time after its last child"),
    ("ttl", "TTL", "goes when it has no children and was not changed for a time"),
]
MODE_OF = {
    "persistent": CreateMode.PERSISTENT,
    "sequential": CreateMode.PERSISTENT_SEQUENTIAL,
    "container": CreateMode.CONTAINER,
    "ttl": CreateMode.PERSISTENT_WITH_TTL,
}
