"""Searches the index: candidates by an index of the database, each looked at here once more.

What leads: trigrams of the words where the database has them, else a range of paths, else the time
of the last change, else all rows one after the other. A page looks at CANDIDATES_MAX rows and for
SEARCH_S at most; its cursor goes on from there. Where everything was found at once, the best stands
first: a name, then a path, then a value.
"""

import base64
import binascii
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connections

from observability.index import substrings
from observability.index.marks import Marked, marked, snippet
from observability.index.query import Query, QueryError, literals, matches
from observability.index.regexp import Span, fitting
from observability.index.rows import DIGEST
from observability.index.scope import Scope
from observability.roots import outward
from observability.rows import PATH_MAX
from observability.store import ALIAS
from observability.trail import who_did

PAGE_MAX: Final = 200
GATHER: Final = 500  # hits that are ranked and counted
CANDIDATES_MAX: Final = 20_000
REGEX_ROWS: Final = 5_000
REGEX_BYTES: Final = 8 << 20
SEARCH_S: Final = 1.5
FETCH: Final = 200
FACETS_MAX: Final = 12
COLUMNS: Final = (
    *("id", "path", "whole", "zxid", "at", "version", "size", "owner", "why", "principal"),
    "text",
)
ROWS: Final = substrings.ROWS
TOP: Final = "\U0010ffff"


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


@dataclass(frozen=True, slots=True)
class Lead:
    """How candidates come: from where, under which conditions, in which order."""

    kind: str  # of its cursor: i, p or t
    source: str
    where: list[str]
    params: list[Any]
    order: str
    root: str = ""  # which cursors do not tell: a tenant does not know it


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
        after = position(lead_of(query, scope), shown[-1]) if len(hits) > limit else found.end
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


# Candidates


def gather(
    query: Query, scope: Scope, cursor: str, *, most: int, within_s: float = SEARCH_S
) -> Gathered:
    """Hits in the order in which candidates come, up to `most`."""
    lead = lead_of(query, scope)
    deadline_s = time.monotonic() + within_s
    found = Gathered([])
    waiting: list[Hit] = []
    size = 0
    for row in candidates(lead, scope, cursor):
        found.looked_at += 1
        hit = hit_of(row, scope)
        if hit is not None and fits(hit, query, scope):
            (waiting if query.regex else found.hits).append(hit)
            size += len(hit.text)
        is_full = len(found.hits) >= most or found.looked_at >= CANDIDATES_MAX
        if query.regex:
            is_full = is_full or len(waiting) >= REGEX_ROWS or size >= REGEX_BYTES
        if is_full or (found.looked_at % FETCH == 0 and time.monotonic() > deadline_s):
            found.end = position_of(lead, row)
            break
    if query.regex:
        found.hits = by_regex(query, waiting)
    return found


def by_regex(query: Query, waiting: list[Hit]) -> list[Hit]:
    rows = [
        ("" if query.place == "value" else hit.path, "" if query.place == "path" else hit.text)
        for hit in waiting
    ]
    spans = fitting(query.regex, rows)
    hits = []
    for at, (path_span, text_span) in spans.items():
        hit = waiting[at]
        hit.path_span, hit.text_span = path_span, text_span
        hits.append(hit)
    return hits


def lead_of(query: Query, scope: Scope) -> Lead:
    where = ["z.ensemble = %s", "NOT z.is_gone", "z.fill >= %s"]
    params: list[Any] = [scope.ensemble, scope.least]
    path = "" if "*" in query.path or query.path == "/" else query.path
    prefixes = [scope.root, outward(scope.root, path) if scope.root and path else path]
    if query.tenant and scope.tenant is None:
        prefixes.append(root_of(scope, query.tenant))
    prefixes = [one for one in prefixes if one]
    for prefix in prefixes:
        condition, its = below(prefix)
        where.append(condition)
        params += its
    add_figures(query, where, params)
    words = [*query.words, *literals(query.regex)]
    if connections[ALIAS].vendor == "postgresql":
        for word in words:
            columns = ("path", "whole", "text") if scope.sees_values else ("path", "whole")
            where.append(f"({' OR '.join(f'z.{name} ILIKE %s' for name in columns)})")
            params += [f"%{escaped(word)}%"] * len(columns)
        words = []
    elif grams := substrings.matching(words) if substrings.are_there() else "":
        # The prefixes' grams, too: neighbours' rows with the same words are not even looked at.
        more = substrings.matching([one[: PATH_MAX - DIGEST] for one in prefixes])
        asked = f"{grams} AND {more}" if more else grams
        source = f"{substrings.TRIGRAMS} t CROSS JOIN {ROWS} z ON z.id = t.rowid"
        where = [f"t.{substrings.TRIGRAMS} MATCH %s", *where]
        return Lead("i", source, where, [asked, *params], "t.rowid")
    if prefixes:
        return Lead("p", f"{ROWS} z", where, params, "z.path", scope.root)
    if query.age_s is not None and query.age_s.high is not None:
        source = f"{ROWS} z {by('INDEXED BY znode_at')}"
        return Lead("t", source, where, params, "z.at DESC, z.id DESC")
    return Lead("i", f"{ROWS} z {by('NOT INDEXED')}", where, params, "z.id")


def by(hint: str) -> str:
    """SQLite has no statistics of its own to choose by; PostgreSQL chooses better than we do."""
    return hint if connections[ALIAS].vendor == "sqlite" else ""


def root_of(scope: Scope, slug: str) -> str:
    """A tenant's root; a path that nobody has where there is no such tenant."""
    roots = {its: root for root, its in scope.roots.by_root.items()}
    return roots.get(slug, "\0")


def below(path: str) -> tuple[str, list[str]]:
    """A path and what is below it, as a condition; longer ones than a key are looked at again."""
    cut = path[: PATH_MAX - DIGEST]
    if cut != path:
        return "z.path >= %s AND z.path < %s", [cut, cut + TOP]
    # From /a up to /a0, the first behind all of /a/...; /a-b and /a.b lie between and are not.
    where = "z.path >= %s AND z.path < %s AND (z.path = %s OR z.path >= %s)"
    return where, [path, f"{path}0", path, f"{path}/"]


def add_figures(query: Query, where: list[str], params: list[Any]) -> None:
    """Size, age and kind, which the database compares."""
    if query.size is not None:
        for sign, bound in ((">=", query.size.low), ("<=", query.size.high)):
            if bound is not None:
                where.append(f"z.size {sign} %s")
                params.append(bound)
    if query.age_s is not None:
        now_ms = time.time_ns() // 1_000_000
        for sign, bound in (("<=", query.age_s.low), (">=", query.age_s.high)):
            if bound is not None:
                where.append(f"z.at {sign} %s")
                params.append(max(0, now_ms - bound * 1_000))
    if query.ephemeral is not None:
        where.append("z.owner <> ''" if query.ephemeral else "z.owner = ''")


def escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def candidates(lead: Lead, scope: Scope, cursor: str) -> Iterator[tuple[Any, ...]]:
    where, params = list(lead.where), list(lead.params)
    if cursor:
        condition, its = read_cursor(lead, cursor)
        where.append(condition)
        params += its
    names = [f"z.{name}" for name in COLUMNS[:-1]]
    text = "z.text" if scope.sees_values else "''"
    sql = (
        f"SELECT {', '.join(names)}, {text} FROM {lead.source} "
        f"WHERE {' AND '.join(where)} ORDER BY {lead.order} LIMIT %s"
    )
    with connections[ALIAS].cursor() as run:
        run.execute(sql, [*params, CANDIDATES_MAX])
        while rows := run.fetchmany(FETCH):
            yield from rows


# Cursors: behind the last candidate, in the order of the lead


def position_of(lead: Lead, row: tuple[Any, ...]) -> str:
    return written(lead, int(row[0]), str(row[1]), int(row[4]))


def position(lead: Lead, hit: Hit) -> str:
    return written(lead, hit.id, hit.key, hit.at)


def written(lead: Lead, row: int, path: str, at: int) -> str:
    if lead.kind == "p":
        path = path.removeprefix(lead.root)
        return f"p.{base64.urlsafe_b64encode(path.encode()).decode()}"
    return f"t.{at}.{row}" if lead.kind == "t" else f"i.{row}"


def read_cursor(lead: Lead, cursor: str) -> tuple[str, list[Any]]:
    kind, _, rest = cursor.partition(".")
    try:
        if kind == lead.kind == "p" and len(rest) < 8 * PATH_MAX:
            return "z.path > %s", [lead.root + base64.urlsafe_b64decode(rest).decode()]
        if kind == lead.kind == "t":
            at, row = map(number, rest.split(".", 1))
            return "z.at <= %s AND (z.at < %s OR z.id < %s)", [at, at, row]
        if kind == lead.kind == "i":
            return ("t.rowid > %s" if " CROSS JOIN " in lead.source else "z.id > %s"), [
                number(rest)
            ]
    except (ValueError, binascii.Error):
        pass
    raise QueryError(f"cursor is {cursor[:40]!r}; use the one of the page before", -1)


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


def number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(text)
    return int(text)


# Whether a candidate fits


def hit_of(row: tuple[Any, ...], scope: Scope) -> Hit | None:
    """A candidate as the scope may see it; None: it is not of this scope."""
    ident, key, whole, zxid, at, version, size, owner, why, principal, text = row
    inner = whole or key
    path = scope.shown(inner)
    if path is None:
        return None
    if scope.is_secret(inner):
        text, why = "", "secret"
    tenant = scope.roots.tenant_of(inner)
    return Hit(*(ident, key, path, tenant, zxid, at, version, size, owner, why, principal, text))


def fits(hit: Hit, query: Query, scope: Scope) -> bool:
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
