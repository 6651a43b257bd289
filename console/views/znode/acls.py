"""A znode's ACL: changed by compare-and-set, and tried out before it matters."""

import json
from dataclasses import asdict
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from console import acl_rules, actions
from console.acl_rules import Ground, Identity
from console.http import RequestError, advice, answering, number_of, path_of
from console.scopes import Scope, scope_of
from console.views.znode.changes import VERSION_MAX, ZXID_MAX, actor
from console.znodes import as_json, read_acl, read_znode
from ensemble.client import Acl, BadVersionError, Id, digest_id
from tenants import access, reach
from tenants.models import Credential, Tenant

ENTRIES_MAX: Final = 100  # of an ACL that is saved here
ID_MAX: Final = 1_000
SECRET_MAX: Final = 1_000


@require_POST
@answering
def change(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """Replace the ACL. What locks people out is said first, and done when `sure` says so."""
    scope = scope_of(request.user, slug, ensemble, acl=True)
    values = request.POST.dict()
    path = path_of(values)
    aversion = number_of(values, "aversion", None, 0, VERSION_MAX)
    czxid = number_of(values, "czxid", None, 0, ZXID_MAX)
    entries = entries_of(values.get("acl", ""))
    found = acl_rules.warnings(entries, myself(request, scope))
    if found and values.get("sure", "") != "1":
        return JsonResponse({"error": " ".join(found), "warnings": found}, status=409)
    try:
        actions.save_acl(scope.bridge, actor(request, scope), path, entries, aversion, czxid)
    except BadVersionError as error:
        theirs = scope.bridge.run(lambda client: read_znode(client, path))
        return JsonResponse({"error": advice(error)[1], "theirs": as_json(theirs)}, status=409)
    view = scope.bridge.run(lambda client: read_znode(client, path))
    return JsonResponse(as_json(view))


def entries_of(text: str) -> list[Acl]:
    """`[[scheme, id, permissions], ...]`; a digest may carry user and password, `digest-plain`.

    Raises:
        RequestError: it is none, with the entry at fault.
    """
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not 1 <= len(rows) <= ENTRIES_MAX:
        raise RequestError(f"An ACL has 1 to {ENTRIES_MAX} entries.")
    found = []
    for number, row in enumerate(rows, 1):
        match row:
            case [str(scheme), str(id), int(perms)] if len(id) <= ID_MAX and 0 <= perms <= 31:
                found.append(Acl(perms, hashed(id, number) if scheme == PLAIN else Id(scheme, id)))
            case _:
                raise RequestError(
                    f"Entry {number} is none: scheme, an id of up to {ID_MAX} characters, and the "
                    "permissions as a number from 0 to 31."
                )
    return found


PLAIN: Final = "digest-plain"


def hashed(text: str, number: int) -> Id:
    """`user:password` as ACLs carry it. It is in no log: the action notes how many entries."""
    user, colon, password = text.partition(":")
    if not user or not colon or not password:
        raise RequestError(f"Entry {number}: give a user and a password, user:password.")
    return digest_id(user, password)


@require_POST
@answering
def try_out(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """What an identity may do with a znode, and which rule decides. A form's post, as an identity
    may be a user with a password."""
    scope = scope_of(request.user, slug, ensemble)
    values = request.POST.dict()
    path = path_of(values)
    who = identity_of(request, scope, values.get("who", ""))
    view = scope.bridge.run(lambda client: read_znode(client, path))
    parent = path[: path.rfind("/")] or "/"
    parent_acl = None
    if path != "/":
        parent_acl = scope.bridge.run(lambda client: read_acl(client, parent))
    tenant = tenant_at(scope, path)
    ground = Ground(
        acl=view.acl,
        parent_acl=parent_acl,
        tenant=tenant.slug if tenant else "",
        mode=tenant.mode if tenant else "",
        state=tenant.state if tenant else "",
        is_ephemeral=view.stat.ephemeral_owner != 0,
    )
    found = acl_rules.verdicts(who, ground)
    if path == "/":
        found = [one for one in found if one.what != "Delete it"]
    return JsonResponse({"who": who.words, "verdicts": [asdict(one) for one in found]})


def tenant_at(scope: Scope, path: str) -> Tenant | None:
    """Whose root a path lies in."""
    if scope.tenant is not None:
        return scope.tenant
    name = settings.MAIN_ENSEMBLE if scope.ensemble is None else scope.ensemble.name
    above = [path[:at] for at in range(1, len(path) + 1) if at == len(path) or path[at] == "/"]
    found = Tenant.objects.filter(ensemble__name=name, root__in=above)
    return found.exclude(lifecycle=Tenant.Lifecycle.GONE).first()


def identity_of(request: HttpRequest, scope: Scope, text: str) -> Identity:
    """`me`, `credential:name` of the tenant, `digest-plain:user:password`, or an id as in ACLs."""
    if text == "me":
        return myself(request, scope)
    kind, _, rest = text.partition(":")
    if kind == "credential" and scope.tenant is not None:
        return of_credential(scope.tenant, rest)
    if kind == "tenant":
        name, _, slug = rest.partition("@")
        found = tenant_of_principal(scope, slug)
        if found is None:
            raise RequestError(f"{rest[:80]!r} is no credential here: use name@tenant.")
        return of_credential(found, name)
    if kind == PLAIN:
        id = hashed(rest[:SECRET_MAX], 1)
        return Identity(f"digest:{rest.partition(':')[0]}", (id,))
    try:
        return acl_rules.identity(text)
    except ValueError as error:
        raise RequestError(f"{error}.") from None


def tenant_of_principal(scope: Scope, slug: str) -> Tenant | None:
    """Within a tenant it knows its own credentials alone; of others it learns nothing."""
    if scope.tenant is not None:
        return scope.tenant if scope.tenant.slug == slug else None
    name = settings.MAIN_ENSEMBLE if scope.ensemble is None else scope.ensemble.name
    return Tenant.objects.alive().filter(ensemble__name=name, slug=slug).first()


def of_credential(tenant: Tenant, name: str) -> Identity:
    found = Credential.objects.filter(tenant=tenant, name=name, revoked_at=None).first()
    if found is None:
        raise RequestError(f"{tenant.slug} has no credential {name[:63]!r} that is valid.")
    principal = f"{name}@{tenant.slug}"
    return Identity(principal, (Id("tenant", principal),), found.role, tenant.slug)


def myself(request: HttpRequest, scope: Scope) -> Identity:
    """As what the console comes to this tree in this person's name."""
    if scope.tenant is not None:
        role = reach.NODE_ROLES[access.acting_role(request.user, scope.tenant)]
        return Identity("you", (), role, scope.tenant.slug)
    if scope.is_shared:  # with a credential of the console's own, about which we know nothing
        return Identity("the console", (Id("super", ""),))
    return Identity("you", (), "admin" if scope.may_write else "reader", "", is_operator=True)
