"""The page, and what it reads.

The same views serve the whole tree, another ensemble's and a tenant's: `scopes` says which.
"""

import re
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console import formats
from console.http import advice, answering, number_of, path_of, unreachable_text
from console.scopes import scope_of
from console.views import errors
from console.views.znode.changes import ACLS, MODES
from console.views.znode.tools import bookmarks_of
from console.znodes import CHILDREN_PAGE_MAX, as_json, read_children, read_names, read_znode
from ensemble.client import ClientError
from tenants.keys import NoKeyError
from tenants.models import Credential
from tenants.reach import BusyError
from tenants.zk import UnreachableError

OFFSET_MAX: Final = 1 << 31
COMPLETIONS_MAX: Final = 20
CREDENTIALS_SHOWN_MAX: Final = 200


# What `znodes.js` imports, at any depth: asked for at once, not one after the other.
MODULES: Final = (
    *("app", "counts", "drafts", "editor", "files", "http", "line", "lines", "live", "palette"),
    *("sides", "times", "tree", "tree-rows", "words", "znode-acl", "znode-bar", "znode-copy"),
    *("znode-dialogs", "znode-past", "znode-review"),
)


@require_GET
def znode(request: HttpRequest, name: str, slug: str = "", ensemble: str = "") -> HttpResponse:
    """The page. What it shows first is in it already; everything else its script fetches."""
    path = "/" + name
    status = 200
    try:
        scope = scope_of(request.user, slug, ensemble)
    except (NoKeyError, BusyError) as error:
        return errors.page(request, 503, "Not reachable", f"{error}.")
    first: dict[str, Any] = {"path": path, "may_write": scope.may_write, "may_acl": scope.may_acl}
    try:
        view = scope.bridge.run(lambda client: read_znode(client, path))
        first["znode"] = as_json(view)
    except UnreachableError as error:
        status, first["error"] = 503, unreachable_text(error)
    except ClientError as error:
        status, first["error"] = advice(error)
    context = {
        "first": first | {"bookmarks": bookmarks_of(request, scope)},
        "path": path,
        "modules": [f"console/{name}.js" for name in MODULES],
        "modes": MODES,
        "acls": ACLS,
        "formats": formats.NAMES,
        "scope": scope,
        "urls": scope.urls(),
        "may_write": scope.may_write,
        "credentials": credentials(scope.where.get("slug", "")),
    }
    return render(request, "console/pages/znodes.html", context, status=status)


def credentials(slug: str) -> list[str]:
    """A tenant's, for the tester of ACLs."""
    if not slug:
        return []
    found = Credential.objects.filter(tenant__slug=slug, revoked_at=None)
    found = found.exclude(tenant__lifecycle="gone").order_by("name")
    return list(found.values_list("name", flat=True)[:CREDENTIALS_SHOWN_MAX])


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
def complete(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Paths that begin as somebody has typed, level by level."""
    scope = scope_of(request.user, slug, ensemble)
    typed = path_of(request.GET.dict())
    parent, _, start = typed.rpartition("/")
    try:
        names = scope.bridge.run(
            lambda client: read_names(client, parent or "/", start, COMPLETIONS_MAX)
        )
    except ClientError:
        names = []  # what is typed leads nowhere yet
    return JsonResponse({"paths": [f"{parent}/{name}" for name in names]})


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
    response["Content-Disposition"] = f'attachment; filename="{file_name(path)}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "no-store"
    return response


def file_name(path: str) -> str:
    """The znode's own name, as far as any system takes it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", path.rsplit("/", 1)[1])[:80].lstrip(".")
    return name or "znode.bin"
