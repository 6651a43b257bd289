"""Whose figures a word names: `tenant:<slug>`, `ensemble:<name>`, `node:<ensemble>:<name>`."""

from console.routes_figures import SUBJECT_RIGHTS
from observability import dashboards
from observability.dashboards import Subject
from tenants.access import User, ensemble_named, require, tenant_for


def is_subject(word: str) -> bool:
    """Whether a word names anything at all."""
    kind, *names = word.split(":", 2)
    return kind in SUBJECT_RIGHTS and len(names) == (2 if kind == "node" else 1)


def subject_of(user: User, word: str) -> Subject:
    """Whose figures a page asks for, for somebody who may see them.

    Raises:
        Http404: there is none that this person may know of.
        PermissionDenied: it is there, but not for this person.
    """
    kind, *names = word.split(":", 2)
    right = SUBJECT_RIGHTS[kind]
    if kind == "tenant":
        return dashboards.of_tenant(tenant_for(user, names[0], right))
    require(user, right)
    return Subject(kind, ensemble_named(names[0]).name, names[1] if kind == "node" else "")
