"""Searches of the trail that people keep for themselves."""

from typing import Final

from tenants.actions.base import action, clean, person_of
from tenants.audit import Actor, record
from tenants.errors import ForbiddenError, LimitError
from tenants.models import SavedSearch

SEARCHES_MAX: Final = 50  # of one person


@action
def save(actor: Actor, *, name: str, query: str, tenant: str = "") -> SavedSearch:
    """Keep a search under a name; one of this name is replaced.

    Raises:
        InvalidError, LimitError: with the value and the bound.
    """
    person = person_of(actor)
    if person is None:
        raise ForbiddenError("sign in first: a search is a person's")
    mine = SavedSearch.objects.filter(user=person)
    row = mine.filter(tenant=tenant, name=name.strip()).first()
    if row is None and mine.count() >= SEARCHES_MAX:
        raise LimitError(f"you keep {SEARCHES_MAX} searches, no more are kept: remove one first")
    row = row or SavedSearch(user=person, tenant=tenant, name=name.strip())
    row.query = query
    clean(row)
    row.save()
    record(actor, "search.saved", tenant=tenant, target=row.name, detail={"query": query})
    return row


@action
def remove(actor: Actor, *, search: SavedSearch) -> None:
    record(actor, "search.removed", tenant=search.tenant, target=search.name)
    search.delete()
