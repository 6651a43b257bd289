"""Searches the index: candidates by an index of the database, each looked at here once more.

A page looks at CANDIDATES_MAX rows and for SEARCH_S at most; its cursor goes on from there. Where
everything was found at once, the best stands first: a name, then a path, then a value.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from observability.index.leads import (
    CANDIDATES_MAX,
    FETCH,
    Candidates,
    Row,
    lead_of,
    number,
    position_of,
    written,
)
from observability.index.marks import Marked, marked, snippet
from observability.index.query import Query, QueryError, matches
from observability.index.regexp import Span, fitting
from observability.index.scope import Scope
from observability.trail import who_did

PAGE_MAX: Final = 200
GATHER: Final = 500  # hits that are ranked and counted
REGEX_ROWS: Final = 5_000
REGEX_BYTES: Final = 8 << 20
SEARCH_S: Final = 1.5
FACETS_MAX: Final = 12


@dataclass(slots=True)
class Hit:
    """A znode that fits. `value` is empty where the hit is not in it, or it is not to be seen."""

    id: int
    key: str
    path: str  # as the scope calls it
    tenant: str
    zxid: int
    at: int
    version: int
    size: int
    owner: str
    why: str
    principal: str
    text: str = ""
    path_span: Span | None = None
    text_span: Span | None = None
    marks: list[Marked] = field(default_factory=list)
    value: list[Marked] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Facet:
    """Hits that share something; `add` is what narrows the search to them."""

    label: str
    count: int
    add: str


@dataclass(frozen=True, slots=True)
class Page:
    """`is_all`: `total` counts everything that fits; else it is how many were found by now."""

    hits: list[Hit]
    cursor: str
    is_all: bool
    total: int
    looked_at: int
    tenants: list[Facet]
    subtrees: list[Facet]


@dataclass(slots=True)
class Gathered:
    hits: list[Hit]
    end: str = ""  # the cursor behind the last candidate; empty: there are no more
    looked_at: int = 0


def search(
    query: Query, scope: Scope, *, limit: int = 50, cursor: str = "", within_s: float = SEARCH_S
) -> Page:
    """A page of what fits.

    Raises:
        QueryError: a part of the query is not for this scope, or the cursor is none.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise QueryError(f"limit is {limit}; use 1 to {PAGE_MAX}", -1)
    check(query, scope)
    offset = read_offset(cursor)
    found = gather(
        query, scope, "" if offset is not None else cursor, most=GATHER, within_s=within_s
    )
    hits = found.hits
    if offset is not None or (not cursor and not found.end):
        hits.sort(key=lambda hit: rank(hit, query))
        first = offset or 0
        shown = hits[first : first + limit]
        after = f"o.{first + limit}" if len(hits) > first + limit else found.end
    else:
        shown = hits[:limit]
        last = shown[-1] if len(hits) > limit else None
        lead = lead_of(query, scope)
        after = found.end if last is None else written(lead, last.id, last.key, last.at)
    dress(shown, query, scope)
    return Page(
        hits=shown,
        cursor=after,
        is_all=not found.end and (not cursor or offset is not None),
        total=len(hits),
        looked_at=found.looked_at,
        tenants=[] if scope.tenant is not None else by_tenant(hits),
        subtrees=by_subtree(hits),
    )


def check(query: Query, scope: Scope) -> None:
    if query.is_empty:
        raise QueryError("there is nothing to look for: write a word or a filter", -1)
    if query.place == "value" and not scope.sees_values:
        raise QueryError("in:value is for those who may read values; you may search paths", -1)
    if query.tenant and scope.tenant is not None and query.tenant != scope.tenant.slug:
        raise QueryError("tenant: is for searches of a whole ensemble", -1)


def gather(
    query: Query, scope: Scope, cursor: str, *, most: int, within_s: float = SEARCH_S
) -> Gathered:
    """Hits in the order in which candidates come, up to `most`."""
    lead = lead_of(query, scope)
    deadline_s = time.monotonic() + within_s
    found = Gathered([])
    waiting: list[Hit] = []
    size = 0
    rows = Candidates(lead, scope, cursor, deadline_s)
    for row in rows:
        found.looked_at += 1
        hit = hit_of(row, scope)
        if hit is not None and fits(hit, query):
            (waiting if query.regex else found.hits).append(hit)
            size += len(hit.text)
        is_full = len(found.hits) >= most or found.looked_at >= CANDIDATES_MAX
        if query.regex:
            is_full = is_full or len(waiting) >= REGEX_ROWS or size >= REGEX_BYTES
        if is_full or (found.looked_at % FETCH == 0 and time.monotonic() > deadline_s):
            found.end = position_of(lead, row)
            break
    found.end = found.end or rows.end
    if query.regex:
        found.hits = by_regex(query, scope, waiting)
    return found


def by_regex(query: Query, scope: Scope, waiting: list[Hit]) -> list[Hit]:
    rows = [
        ("" if query.place == "value" else hit.path, "" if query.place == "path" else hit.text)
        for hit in waiting
    ]
    whose = f"{scope.ensemble} {scope.tenant.slug if scope.tenant is not None else ''}"
    spans = fitting(query.regex, rows, whose)
    hits = []
    for at, (path_span, text_span) in spans.items():
        hit = waiting[at]
        hit.path_span, hit.text_span = path_span, text_span
        hits.append(hit)
    return hits


def read_offset(cursor: str) -> int | None:
    if not cursor.startswith("o."):
        return None
    try:
        offset = number(cursor[2:])
    except ValueError:
        offset = GATHER + 1
    if offset > GATHER:
        raise QueryError(f"cursor is {cursor[:40]!r}; use the one of the page before", -1)
    return offset


# Whether a candidate fits


def hit_of(row: Row, scope: Scope) -> Hit | None:
    """A candidate as the scope may see it; None: it is not of this scope."""
    ident, key, whole, zxid, at, version, size, owner, why, principal, is_closed, text = row
    inner = whole or key
    path = scope.shown(inner)
    if path is None:
        return None
    if scope.is_secret(inner):
        text, why = "", "secret"
    elif not scope.sees_closed and (is_closed or is_closed is None):
        text, why = "", "acl"
    tenant = scope.roots.tenant_of(inner)
    return Hit(*(ident, key, path, tenant, zxid, at, version, size, owner, why, principal, text))


def fits(hit: Hit, query: Query) -> bool:
    if query.size is not None and not query.size.holds(hit.size):
        return False
    if query.ephemeral is not None and query.ephemeral is not bool(hit.owner):
        return False
    if query.age_s is not None:
        age_s = (time.time_ns() // 1_000_000 - hit.at) // 1_000
        if not query.age_s.holds(age_s):
            return False
    return has_words(hit, query) and has_path(hit, query)


def has_words(hit: Hit, query: Query) -> bool:
    path = hit.path.lower() if query.words else ""
    text = ""
    for word in query.words:
        word = word.lower()
        if query.place != "value" and word in path:
            continue
        if query.place == "path":
            return False
        text = text or hit.text.lower()
        if word not in text:
            return False
    return True


def has_path(hit: Hit, query: Query) -> bool:
    if query.name and not matches(query.name, hit.name):
        return False
    if not query.path or query.path == "/":
        return True
    if "*" in query.path:
        return matches(query.path, hit.path)
    return hit.path == query.path or hit.path.startswith(f"{query.path}/")


def rank(hit: Hit, query: Query) -> tuple[int, int, str]:
    """The best first: a name as it was written, a name, a path, a value."""
    name, path = hit.name.lower(), hit.path.lower()
    words = [word.lower() for word in query.words]
    if not words:
        return (0, 0, hit.path)
    if name in words:
        level = 0
    elif all(word in name for word in words):
        level = 1
    elif all(word in path for word in words):
        level = 2
    else:
        level = 3
    return (level, hit.path.count("/"), hit.path)


# What is shown


def dress(hits: list[Hit], query: Query, scope: Scope) -> None:
    """Marks, and who changed it, of the hits that are shown."""
    unknown = sorted({hit.zxid for hit in hits if not hit.principal})
    names = who_did(scope.ensemble, unknown)
    for hit in hits:
        hit.principal = hit.principal or names.get(hit.zxid, "")
        in_path = query.words if query.place != "value" else ()
        hit.marks = marked(hit.path, in_path, hit.path_span)
        if query.place != "path":
            hit.value = snippet(hit.text, query.words, hit.text_span)


def by_tenant(hits: list[Hit]) -> list[Facet]:
    counted = Counter(hit.tenant for hit in hits if hit.tenant)
    return [Facet(slug, n, f"tenant:{slug}") for slug, n in counted.most_common(FACETS_MAX)]


def by_subtree(hits: list[Hit]) -> list[Facet]:
    counted = Counter("/" + hit.path[1:].partition("/")[0] for hit in hits)
    return [Facet(path, n, f"path:{quoted(path)}") for path, n in counted.most_common(FACETS_MAX)]


def quoted(value: str) -> str:
    if not any(sign.isspace() or sign in '"*' for sign in value):
        return value
    return '"' + value.replace('"', '""') + '"'
