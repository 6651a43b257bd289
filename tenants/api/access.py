"""Which right every route and method of the API needs: deny by default, in one table.

`View` asks it before any method runs, the console's middleware before any view; a test walks all
routes against it. A right of `access.RIGHTS` is one in the tenant that the address names, so such
routes have a `slug`; one of `access.PLANE` is on the plane as a whole.
"""

from typing import Final

NAMESPACE: Final = "api"
SIGNED_IN: Final = "signed in"  # the view bounds what is shown to what somebody may see

ROUTES: Final[dict[str, dict[str, str]]] = {
    "me": {"GET": SIGNED_IN},
    "schema": {"GET": SIGNED_IN},
    "tokens": {"GET": SIGNED_IN, "POST": "token.own"},
    "token": {"GET": SIGNED_IN, "DELETE": "token.own"},
}


def right_of(view_name: str, method: str) -> str | None:
    """The right that a route needs, as the resolver names it: `api:tenants`. None: it is closed."""
    namespace, _, name = view_name.rpartition(":")
    if namespace != NAMESPACE:
        return None
    return ROUTES.get(name, {}).get("GET" if method == "HEAD" else method)


def is_open(view_name: str) -> bool:
    """Whether the table knows the route: its methods and people are then the view's matter."""
    namespace, _, name = view_name.rpartition(":")
    return namespace == NAMESPACE and name in ROUTES
