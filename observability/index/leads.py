"""How candidates of a search come out of the database, and the cursors behind them.

What leads: trigrams of the words where the database has them, else a range of paths, else the time
of the last change, else all rows one after the other, in windows of numbers.
"""

import base64
import binascii
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import connections

from observability.index import substrings
from observability.index.query import Query, QueryError, literals
from observability.index.rows import DIGEST
from observability.index.scope import Scope
from observability.roots import outward
from observability.rows import PATH_MAX
from observability.samples.table import ask
from observability.store import ALIAS

CANDIDATES_MAX: Final = 20_000
SCAN_IDS: Final = 50_000  # rows that a scan looks at between two looks at the clock
FETCH: Final = 200
COLUMNS: Final = (
    *("id", "path", "whole", "zxid", "at", "version", "size", "owner", "why", "principal"),
    *("is_closed", "text"),
)
ROWS: Final = substrings.ROWS
TOP: Final = "\U0010ffff"
ESCAPE: Final = "ESCAPE '\\'"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Lead:
    """How candidates come: from where, under which conditions, in which order."""

    kind: str  # of its cursor: i, p or t
    source: str
    where: list[str]
    params: list[Any]
    order: str
    root: str = ""  # which cursors do not tell: a tenant does not know it
    is_scan: bool = False  # all rows are looked at, in windows of numbers


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
    columns = ("path", "whole", "text") if scope.sees_values else ("path", "whole")
    words = [*query.words, *literals(query.regex)]
    words += [part for text in (query.name, query.path) if "*" in text for part in text.split("*")]
    if query.name and "*" not in query.name:
        words.append(query.name)
    words = [word for word in words if word]
    if connections[ALIAS].vendor == "postgresql":
        for word in words:
            where.append(f"({' OR '.join(f'z.{name} ILIKE %s' for name in columns)})")
            params += [f"%{escaped(word)}%"] * len(columns)
    elif grams := substrings.matching(words) if substrings.are_there() else "":
        # The prefixes' grams, too: neighbours' rows with the same words are not even looked at. Of
        # each the last part tells most; what all paths have would only be gone through.
        more = substrings.matching([last_of(one) for one in prefixes])
        asked = f"{grams} AND {more}" if more else grams
        source = f"{substrings.TRIGRAMS} t CROSS JOIN {ROWS} z ON z.id = t.rowid"
        where = [f"t.{substrings.TRIGRAMS} MATCH %s", *where]
        add_figures(query, where, params)
        return Lead("i", source, where, [asked, *params], "t.rowid")
    if prefixes:
        return Lead("p", f"{ROWS} z", where, params, "z.path", scope.root)
    if query.age_s is not None and query.age_s.high is not None:
        add_figures(Query(age_s=query.age_s), where, params)
        source = f"{ROWS} z {by('INDEXED BY znode_at')}"
        return Lead("t", source, where, params, "z.at DESC, z.id DESC")
    add_figures(query, where, params)
    if connections[ALIAS].vendor == "sqlite":
        add_words(query, columns, where, params)
        return Lead("i", f"{ROWS} z NOT INDEXED", where, params, "z.id", is_scan=True)
    return Lead("i", f"{ROWS} z", where, params, "z.id", is_scan=not words)


def add_words(query: Query, columns: tuple[str, ...], where: list[str], params: list[Any]) -> None:
    """SQLite looks at all rows faster than we do; but of letters it knows the case of ASCII's."""
    for word in query.words:
        if word.isascii():
            where.append(f"({' OR '.join(f'z.{name} LIKE %s {ESCAPE}' for name in columns)})")
            params += [f"%{escaped(word)}%"] * len(columns)


def by(hint: str) -> str:
    """SQLite has no statistics of its own to choose by; PostgreSQL chooses better than we do."""
    return hint if connections[ALIAS].vendor == "sqlite" else ""


def last_of(path: str) -> str:
    path = path[: PATH_MAX - DIGEST]
    return path[path.rindex("/") :] if "/" in path else path


def root_of(scope: Scope, slug: str) -> str:
    """A tenant's root; a path that nobody has where there is no such tenant."""
    roots = {its: root for root, its in scope.roots.by_root.items()}
    return roots.get(slug, "//")


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


class Candidates:
    """Rows, up to CANDIDATES_MAX. `end`: where a scan ended that ran out of time."""

    def __init__(self, lead: Lead, scope: Scope, cursor: str, deadline_s: float) -> None:
        self.lead: Final = lead
        self.deadline_s: Final = deadline_s
        self.params: Final = list(lead.params)
        self.first = 0
        self.end = ""
        where = list(lead.where)
        if cursor:
            condition, its = read_cursor(lead, cursor)
            where.append(condition)
            self.params.extend(its)
            self.first = its[-1] if lead.is_scan else 0
        names = [f"z.{name}" for name in COLUMNS[:-1]]
        text = "z.text" if scope.sees_values else "''"
        self.sql: Final = (
            f"SELECT {', '.join(names)}, {text} FROM {lead.source} WHERE {' AND '.join(where)}"
        )
        self.order: Final = f" ORDER BY {lead.order} LIMIT {CANDIDATES_MAX}"

    def __iter__(self) -> Iterator[Row]:
        if not self.lead.is_scan:
            yield from fetched(self.sql + self.order, self.params)
            return
        low, high = ask(f"SELECT min(id), max(id) FROM {ROWS}")[0]
        first = max(self.first, (low or 1) - 1)
        sql = f"{self.sql} AND z.id > %s AND z.id <= %s{self.order}"
        while first < (high or 0):
            until = first + SCAN_IDS
            yield from fetched(sql, [*self.params, first, until])
            first = until
            if time.monotonic() > self.deadline_s and first < high:
                self.end = f"i.{first}"
                return


def fetched(sql: str, params: list[Any]) -> Iterator[Row]:
    with connections[ALIAS].cursor() as run:
        run.execute(sql, params)
        while rows := run.fetchmany(FETCH):
            yield from rows


# Cursors: behind the last candidate, in the order of the lead


def position_of(lead: Lead, row: Row) -> str:
    return written(lead, int(row[0]), str(row[1]), int(row[4]))


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


def number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(text)
    return int(text)
