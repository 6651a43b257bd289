"""Bookmarks: a person's own, seen by nobody else, so there is no line of the trail."""

from typing import Final

from django.contrib.auth.models import User

from tenants.actions.base import action
from tenants.errors import InvalidError, LimitError
from tenants.models import Bookmark

BOOKMARKS_MAX: Final = 200  # of a person, all trees together
PATH_MAX: Final = 1_000


@action
def put(user: User, *, ensemble: str, tenant: str, path: str) -> Bookmark:
    """Remember a path; once is enough.

    Raises:
        InvalidError, LimitError: with the value and the bound.
    """
    if not path.startswith("/") or len(path) > PATH_MAX:
        raise InvalidError(
            f"a bookmark is an absolute path of up to {PATH_MAX} characters, not {path[:60]!r}",
            field="path",
        )
    mine = Bookmark.objects.filter(user=user)
    found = mine.filter(ensemble=ensemble, tenant=tenant, path=path).first()
    if found is not None:
        return found
    if mine.count() >= BOOKMARKS_MAX:
        raise LimitError(f"you have {BOOKMARKS_MAX} bookmarks, no more are kept: remove some")
    return Bookmark.objects.create(user=user, ensemble=ensemble, tenant=tenant, path=path)


@action
def remove(user: User, *, ensemble: str, tenant: str, path: str) -> None:
    """Forget one; it need not be there."""
    Bookmark.objects.filter(user=user, ensemble=ensemble, tenant=tenant, path=path).delete()
