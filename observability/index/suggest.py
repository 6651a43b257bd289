"""Paths while somebody types: what begins so, level by level; then what has it somewhere."""

from typing import Final

from observability.index import search
from observability.index.query import Query, QueryError
from observability.index.scope import Scope
from observability.rows import PATH_MAX
from observability.samples.table import ask

ROWS: Final = 12
WITHIN_S: Final = 0.03
STEPS_MAX: Final = 3  # questions for each path that is found
TEXT_MAX: Final = 300


def paths(text: str, scope: Scope, most: int = ROWS) -> list[str]:
    """Up to so many paths, as the scope calls them."""
    text = text.strip()[:TEXT_MAX]
    found: dict[str, None] = {}
    if text.startswith("/"):
        found |= dict.fromkeys(beginning(text, scope, most))
    if len(found) < most and len(text.strip("/")) >= 2:
        query = Query(words=(text,), place="path")
        try:
            hits = search.gather(query, scope, "", most=4 * most, within_s=WITHIN_S).hits
        except QueryError:
            hits = []
        hits.sort(key=lambda hit: search.rank(hit, query))
        found |= dict.fromkeys(hit.path for hit in hits)
    return list(found)[:most]


def beginning(text: str, scope: Scope, most: int) -> list[str]:
    """What begins so, one level deep: what is below each of them is stepped over."""
    prefix = scope.root + text
    if len(prefix) > PATH_MAX:
        return []
    at, level = prefix, prefix.count("/")
    found: dict[str, None] = {}
    for _ in range(STEPS_MAX * most):
        row = next_row(at, scope)
        if row is None or not row.startswith(prefix) or len(found) >= most:
            break
        parts = row.split("/")
        path = "/".join(parts[: level + 1])
        shown = scope.shown(path)
        if shown is not None:
            found[shown] = None
        # Behind /a comes /a-b, then /a/x, which is below /a, then /a0.
        at = f"{path}\x01" if len(parts) == level + 1 else f"{path}0"
    return list(found)


def next_row(at: str, scope: Scope) -> str | None:
    rows = ask(
        "SELECT path FROM observability_znode WHERE ensemble = %s AND path >= %s "
        "AND fill >= %s AND NOT is_gone ORDER BY path LIMIT 1",
        (scope.ensemble, at, scope.least),
    )
    return str(rows[0][0]) if rows else None
