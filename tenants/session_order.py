"""Which sessions of a listing somebody wants to see, and in which order."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from tenants.sessions import Session

QUERY_MAX: Final = 100
STATES: Final[dict[str, tuple[str, Callable[[Session], bool]]]] = {
    "holding": ("hold ephemerals", lambda one: one.ephemerals > 0),
    "watching": ("watch something", lambda one: one.watches > 0),
    "waiting": ("have requests that wait", lambda one: one.queue > 0),
    "gone": ("are connected nowhere", lambda one: not one.node),
}
SORTS: Final[dict[str, tuple[str, Callable[[Session], Any], bool]]] = {
    "id": ("by id", lambda one: one.number, False),
    "requests": ("most requests first", lambda one: one.requests, True),
    "queue": ("longest queue first", lambda one: (one.queue, one.queue_oldest_ms), True),
    "latency": ("slowest first", lambda one: (one.avg_ms, one.max_ms), True),
    "ephemerals": ("most ephemerals first", lambda one: one.ephemerals, True),
    "watches": ("most watches first", lambda one: one.watches, True),
    "age": ("oldest connection first", lambda one: one.age_ms, True),
    "idle": ("longest idle first", lambda one: one.idle_ms or 0, True),
    "client": ("by client", lambda one: (one.who, one.address), False),
}


def ordered(
    sessions: Iterable[Session],
    *,
    text: str = "",
    node: str = "",
    state: str = "",
    sort: str = "id",
    watching: Collection[int] | None = None,
) -> list[Session]:
    """Those that fit all of it. `watching`: the numbers of those that are wanted at most."""
    found = list(sessions)
    text = text.strip().lower()[:QUERY_MAX]
    if text:
        found = [
            one
            for one in found
            if text in f"{one.id} {one.address} {one.who} {one.tenant} {one.last_op}".lower()
        ]
    if node:
        found = [one for one in found if one.node == node]
    if state in STATES:
        wanted = STATES[state][1]
        found = [one for one in found if wanted(one)]
    if watching is not None:
        found = [one for one in found if one.number in watching]
    _, key, backwards = SORTS.get(sort, SORTS["id"])
    found.sort(key=lambda one: one.number)
    found.sort(key=key, reverse=backwards)
    return found
