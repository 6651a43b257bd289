"""The pages of searches and what each needs; `routes.PLANE_ROUTES` takes them in."""

from typing import Final

from tenants.access import Standing

SEARCH_ROUTES: Final[dict[str, Standing | str]] = {
    "search": Standing.PERSON,  # whatever somebody may see, each by its own right
    "search-suggest": Standing.PERSON,
    "tenant-search": "tenant.history",  # values only with znode.read: `observability.index.scope`
    "ensemble-search": "tree.read",
}
