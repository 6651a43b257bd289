"""What the znode browser changes: data, new znodes, deletes. Each is one action of `actions`."""

from collections.abc import Sequence
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from console import actions, formats
from console.http import RequestError, advice, answering, number_of, path_of
from console.scopes import Scope, scope_of
from console.znodes import as_json, child_path, read_znode
from ensemble.client import OPEN_ACL, READ_ACL, Acl, BadVersionError, CreateMode
from tenants.zk import Bridge

VERSION_MAX: Final = (1 << 31) - 1
ZXID_MAX: Final = (1 << 63) - 1
TTL_MS_MAX: Final = (1 << 40) - 1
LEVELS_MAX: Final = 20  # that one create makes

MODES: Final = [
    ("persistent", "Persistent", "stays until somebody deletes it"),
    (
        "ephemeral",
        "Ephemeral",
        "goes with a session, here with the one that the console holds for you: some minutes after "
        "your last page, or when the console restarts. It has no children",
    ),
    ("container", "Container", "goes by itself some time after its last child"),
    ("ttl", "TTL", "goes when it has no children and was not changed for a time"),
]
MODE_OF: Final = {
    "persistent": CreateMode.PERSISTENT,
    "sequential": CreateMode.PERSISTENT_SEQUENTIAL,
    "ephemeral": CreateMode.EPHEMERAL,
    "ephemeral_sequential": CreateMode.EPHEMERAL_SEQUENTIAL,
    "container": CreateMode.CONTAINER,
    "ttl": CreateMode.PERSISTENT_WITH_TTL,
    "ttl_sequential": CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL,
}
ACLS: Final = [
    ("open", "Open to anyone, as clients do by default"),
    ("parent", "As its parent has it"),
    ("read", "Anyone reads, superusers and admins change"),
]


@require_POST
@answering
def save(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Save an edit by compare-and-set. Where somebody was faster: 409, and what is there now."""
    scope = scope_of(request.user, slug, ensemble, writes=True)
    values = request.POST.dict()
    path = path_of(values)
    version = number_of(values, "version", None, 0, VERSION_MAX)
    czxid = number_of(values, "czxid", None, 0, ZXID_MAX)
    format = values.get("format", "")
    original = packed_before(scope.bridge, path) if format == "gzip" else b""
    written = formats.from_text(values.get("text", ""), format, original)
    try:
        actions.save_data(scope.bridge, actor(request, scope), path, written, version, czxid)
    except BadVersionError as error:
        theirs = scope.bridge.run(lambda client: read_znode(client, path))
        text = advice(error)[1]
        return JsonResponse({"error": text, "theirs": as_json(theirs, format)}, status=409)
    view = scope.bridge.run(lambda client: read_znode(client, path))
    return JsonResponse(as_json(view, format))


def packed_before(bridge: Bridge, path: str) -> bytes:
    """What is there: packed by another program, it stays as it is while its text does."""
    return bridge.run(lambda client: read_znode(client, path)).data


@require_POST
@answering
def create(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Create a child; with `parents` also what is missing on the way to it."""
    scope = scope_of(request.user, slug, ensemble, writes=True)
    values = request.POST.dict()
    parent = path_of(values, "parent")
    name = values.get("name", "")
    mode = MODE_OF.get(values.get("mode", ""))
    if mode is None:
        raise RequestError(f"mode is {values.get('mode', '')[:40]!r}; use {', '.join(MODE_OF)}.")
    makes_parents = values.get("parents", "") == "1"
    if "/" in name and not makes_parents:
        raise RequestError(
            f"{name[:100]!r} has a slash: have what is missing on the way made, too, or create one "
            "level after the other."
        )
    if name.count("/") >= LEVELS_MAX:
        raise RequestError(f"{name[:60]!r} has more than {LEVELS_MAX} levels; create some first.")
    if not name and not mode.is_sequential:
        raise RequestError("The new znode needs a name.")
    ttl_ms = number_of(values, "ttl_ms", None, 1, TTL_MS_MAX) if mode.has_ttl else None
    written = formats.from_text(values.get("text", ""), values.get("format", "text"))
    acl = first_acl(scope.bridge, parent, values.get("acl", "open"))
    # What is made on the way is as the znode that it is made below: a closed one in between would
    # keep its own child out.
    between = first_acl(scope.bridge, parent, "parent") if "/" in name else None
    who, wanted = actor(request, scope), child_path(parent, name)
    path = actions.create_znode(
        scope.bridge, who, wanted, written, mode, ttl_ms, acl=acl, parents_acl=between
    )
    return JsonResponse({"path": path}, status=201)


def first_acl(bridge: Bridge, parent: str, choice: str) -> Sequence[Acl]:
    """The ACL that a new znode begins with."""
    if choice == "open":
        return OPEN_ACL
    if choice == "read":
        return READ_ACL
    if choice == "parent":
        found = bridge.run(lambda client: read_znode(client, parent)).acl
        if found is None:
            raise RequestError(f"The ACL of {parent} cannot be read; choose another one.")
        return found
    raise RequestError(f"acl is {choice[:40]!r}; use {', '.join(key for key, _ in ACLS)}.")


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
    czxid = number_of(values, "czxid", 0, 0, ZXID_MAX) or None
    actions.delete_znode(scope.bridge, actor(request, scope), path, version, czxid)
    return JsonResponse({"path": path})


def actor(request: HttpRequest, scope: Scope) -> actions.Who:
    return actions.Who(request.user.get_username(), scope.where)
