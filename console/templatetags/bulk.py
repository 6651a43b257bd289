"""Links to work on a subtree, for menus, and the words of jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from django import template
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.routes_bulk import OPERATIONS, READS
from tenants import access
from tenants.models import Tenant

register = template.Library()

LABELS: Final = {
    "duplicate": "Duplicate",
    "move": "Move",
    "export": "Export",
    "import": "Import",
    "acl-tree": "ACLs below",
    "at-time": "As it was",
    "restore": "Bring back",
    "delete-tree": "Delete with all below",
}
WORDS: Final = {
    "create": "created",
    "set": "set",
    "delete": "deleted",
    "acl": "given another ACL",
    "same": "the same already",
    "kept": "kept as they are",
    "left": "left out",
}
ROW_WORDS: Final = {
    "create": "create",
    "set": "set",
    "delete": "delete",
    "acl": "ACL",
    "same": "same",
    "kept": "keep",
    "left": "leave out",
}
KINDS: Final = {"create": "good", "set": "warn", "acl": "warn", "delete": "bad"}
STATES: Final = {
    "done": "good",
    "failed": "bad",
    "cancelled": "warn",
    "interrupted": "warn",
    "ready": "warn",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of a menu. `at`: its address without the path."""

    name: str
    label: str
    at: str
    path: str
    is_danger: bool

    @property
    def url(self) -> str:
        return f"{self.at}?path={quote(self.path, safe='')}"


def links_of(
    user: AbstractBaseUser | AnonymousUser,
    prefix: str,
    args: Mapping[str, str],
    path: str,
    tenant: Tenant | None,
) -> list[Link]:
    """What this person may do with a subtree."""
    standing = access.standing_of(user)
    role = access.role_in(user, tenant) if tenant is not None else None
    bounds = access.bounds_of(user)
    found = []
    for name, label in LABELS.items():
        if tenant is not None:
            may = access.allows(OPERATIONS[name], standing, role, bounds)
        else:
            may = standing >= access.PLANE["tree.read" if name in READS else "tree.change"]
        if may:
            at = reverse(f"{prefix}znode-{name}", kwargs=dict(args))
            found.append(Link(name, label, at, path, name == "delete-tree"))
    return found


@register.simple_tag(takes_context=True)
def bulk_links(context: template.Context, scope: Any, path: str) -> list[Link]:
    """The same, for a `scopes.Scope`."""
    user = context["request"].user
    return links_of(user, scope.prefix, scope.where, path, scope.tenant)


@register.filter
def counted(counts: Mapping[str, int]) -> list[tuple[str, str, int, str]]:
    """Name, words, number and kind of what a dry run has counted, in its order."""
    return [(n, words, counts[n], KINDS.get(n, "")) for n, words in WORDS.items() if n in counts]


@register.filter
def row_word(what: str) -> str:
    return ROW_WORDS.get(what, what)


@register.filter
def row_kind(what: str) -> str:
    return KINDS.get(what, "")


@register.filter
def state_kind(state: str) -> str:
    return STATES.get(state, "")


@register.filter
def instant(at: datetime | int | None) -> SafeString | str:
    """A time that the page's script turns into the viewer's zone; of milliseconds, too."""
    if at is None:
        return ""
    if isinstance(at, int):
        at = datetime.fromtimestamp(at / 1_000, timezone.get_default_timezone())
    utc = at.astimezone(timezone.get_default_timezone())
    return format_html(
        '<time datetime="{}" title="{} UTC">{} UTC</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
    )
