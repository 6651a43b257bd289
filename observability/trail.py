"""Searching the trail: by tenant, person, path, operation, result, node and time, newest first.

No search looks at the whole table. What is asked for most narrowly leads (`plan`): where an index
says that few rows have it, these are sorted; else the rows are walked from the newest on, in the
order of an index, SCAN_MAX at most for a page. A page that has ended so is not full, says how far
it has looked, and its cursor goes on from there.

A tenant's people see the lines of their tenant, with paths as the tenant calls them. Of others who
did something in its root they see who and what, neither address nor session.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from django.db import connections

from observability.roots import inward, outward
from observability.store import ALIAS
from tenants.models import Tenant

CURSOR: Final = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})")
PAGE_MAX: Final = 1_000
FEW: Final = 10_000  # so many rows are sorted without a thought
SCAN_MAX: Final = 50_000  # rows that one page looks at
FACET_ROWS_MAX: Final = 4_000
FACET_VALUES_MAX: Final = 20
FIELDS: Final = (
    *("id", "at", "origin", "ensemble", "node", "chain", "seq", "part", "tenant", "is_foreign"),
    *("principal", "operation", "within", "path", "is_asked", "result", "zxid", "session"),
    *("address", "detail", "hash", "prev"),
)
FACETS: Final = ("operation", "result", "principal", "tenant", "node")
# Where indexes do not tell which of several filters is the narrowest.
PREFERENCE: Final = ("person", "result", "node", "operation", "tenant")


class QueryError(ValueError):
    """A value of a query is none. The text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for; all that is given must hold. `path`: it and what is below it."""

    ensemble: str = ""
    tenant: str = ""
    person: str = ""  # a principal, or an operator's bare name
    path: str = ""
    operation: str = ""
    result: str = ""
    failed: bool = False  # everything but Ok
    node: str = ""
    origin: str = ""
    zxid: int | None = None
    session: str = ""
    since_ms: int | None = None
    until_ms: int | None = None  # exclusive


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the trail, as its reader may see it."""

    id: int
    at: int
    origin: str
    ensemble: str
    node: str
    chain: int
    seq: int | None
    part: int
    tenant: str
    is_foreign: bool
    principal: str
    operation: str
    within: str
    path: str
    is_asked: bool
    result: str
    zxid: int | None
    session: str
    address: str
    detail: dict[str, Any]
    hash: str
    prev: str

    def fields(self) -> dict[str, Any]:
        """For JSON; the zxid as ZooKeeper's tools print it."""
        fields = asdict(self)
        fields["zxid"] = None if self.zxid is None else f"{self.zxid:#x}"
        return fields


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `cursor` empty: there is nothing behind it. `looked_back_to`: ms since 1970.

    `is_cut`: it is not full because it has looked at SCAN_MAX rows; ask again with the cursor.
    """

    lines: list[Line]
    cursor: str
    is_cut: bool = False
    looked_back_to: int | None = None


@dataclass(frozen=True, slots=True)
class Facets:
    """How often each value occurs among the newest `of` rows; `is_all`: there are no others."""

    of: int
    is_all: bool
    counts: dict[str, list[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition, and the index that finds what fulfils it; no index: checked row by row."""

    name: str
    where: str
    params: tuple[object, ...]
    index: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The filter that leads, none for time alone; whether it has few rows; the others."""

    leader: Filter | None
    is_few: bool
    others: tuple[Filter, ...]


def bound(query: Query, tenant: Tenant | None) -> Query:
    """The query as it may be asked: of a tenant's people, within the tenant."""
    if tenant is None:
        return query
    path = query.path
    if path and path != "/":
        path = outward(tenant.root, path)
    elif path:
        path = ""
    # A name that was given anew shows nothing of who had it before.
    since = max(query.since_ms or 0, born_ms(tenant))
    ensemble = tenant.ensemble.name
    return replace(query, tenant=tenant.slug, ensemble=ensemble, path=path, since_ms=since)


def born_ms(tenant: Tenant) -> int:
    return int(tenant.created_at.timestamp() * 1_000)


def search(
    query: Query, *, tenant: Tenant | None = None, limit: int = 100, cursor: str = ""
) -> Page:
    """A page of the trail. `tenant`: for somebody who sees this tenant's lines alone.

    The caller has checked the right: `tenant.audit` with a tenant, `audit.read` without.

    Raises:
        QueryError: cursor or limit are none.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise QueryError(f"limit is {limit}; use 1 to {PAGE_MAX}")
    position = read_cursor(cursor)
    rows, end = fetch(bound(query, tenant), FIELDS, limit, position)
    lines = [shown(row, tenant) for row in rows]
    if len(rows) == limit:
        return Page(lines, f"{lines[-1].at}.{lines[-1].id}")
    if end is not None:
        return Page(lines, f"{end[0]}.{end[1]}", is_cut=True, looked_back_to=end[0])
    return Page(lines, "")


def one(number: int, *, tenant: Tenant | None = None) -> Line | None:
    """The line of this number, if its reader may see it."""
    where = "id = %s"
    params: list[Any] = [number]
    if tenant is not None:
        where += " AND tenant = %s AND ensemble = %s AND at >= %s"
        params += [tenant.slug, tenant.ensemble.name, born_ms(tenant)]
    rows = execute(
        f"SELECT {', '.join(FIELDS)} FROM observability_trail WHERE {where}", tuple(params)
    )
    return shown(rows[0], tenant) if rows else None


def facets(query: Query, *, tenant: Tenant | None = None) -> Facets:
    """Counts for the filters beside a search."""
    rows, end = fetch(bound(query, tenant), FACETS, FACET_ROWS_MAX, None)
    counts = {}
    for at, name in enumerate(FACETS):
        counted = Counter(str(row[at]) for row in rows if row[at])
        counts[name] = counted.most_common(FACET_VALUES_MAX)
    return Facets(len(rows), end is None and len(rows) < FACET_ROWS_MAX, counts)


def walk(query: Query, *, tenant: Tenant | None = None, most: int) -> Iterator[Line]:
    """Up to `most` lines, page by page: for exports. What is behind the last one is left out."""
    cursor = ""
    left = most
    while left > 0:
        page = search(query, tenant=tenant, limit=min(PAGE_MAX, left), cursor=cursor)
        yield from page.lines
        left -= len(page.lines)
        cursor = page.cursor
        if not cursor:
            return


def who_did(ensemble: str, zxids: list[int]) -> dict[int, str]:
    """The principals of transactions, as journals know them."""
    if not zxids:
        return {}
    marks = ", ".join(["%s"] * len(zxids))
    sql = (
        "SELECT zxid, principal FROM observability_trail "
        f"WHERE zxid IN ({marks}) AND ensemble = %s AND principal <> ''"
    )
    return dict(execute(sql, (*zxids, ensemble)))


def where_from(ensemble: str, zxids: list[int], tenant: Tenant | None = None) -> dict[int, str]:
    """The clients' addresses of transactions; to a tenant those of its own credentials alone."""
    if not zxids:
        return {}
    marks = ", ".join(["%s"] * len(zxids))
    sql = (
        "SELECT zxid, address, principal FROM observability_trail "
        f"WHERE zxid IN ({marks}) AND ensemble = %s AND address <> ''"
    )
    end = "" if tenant is None else f"@{tenant.slug}"
    found = execute(sql, (*zxids, ensemble))
    return {zxid: address for zxid, address, who in found if str(who).endswith(end)}


# Cursors and rows


def read_cursor(cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    found = CURSOR.fullmatch(cursor)
    if found is None:
        raise QueryError(f"cursor is {cursor[:60]!r}; use the one of the page before")
    return int(found[1]), int(found[2])


def shown(row: tuple[Any, ...], tenant: Tenant | None) -> Line:
    values = dict(zip(FIELDS, row, strict=True))
    values["is_foreign"] = bool(values["is_foreign"])
    values["is_asked"] = bool(values["is_asked"])
    values["detail"] = read_detail(values["detail"])
    line = Line(**values)
    return line if tenant is None else masked(line, tenant)


def read_detail(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:  # one that was too long for its column
        return {"text": text}
    return found if isinstance(found, dict) else {"text": text}


def masked(line: Line, tenant: Tenant) -> Line:
    """As the tenant's own people see it."""
    if line.origin == "node" and not line.is_asked and line.path:
        line = replace(line, path=inward(tenant.root, line.path) or "")
    detail = {k: v for k, v in line.detail.items() if k not in ("run", "path", "more")}
    line = replace(line, detail=detail)
    if line.is_foreign or line.origin != "node":
        line = replace(line, address="", session="")
    return line


# How a search goes


def filters_of(query: Query) -> tuple[Filter, ...]:
    found = []
    if query.tenant:
        found.append(Filter("tenant", "tenant = %s", (query.tenant,), "trail_tenant"))
    if query.person:
        person = query.person.removeprefix("operator:")
        found.append(Filter("person", "person = %s", (person,), "trail_person"))
    if query.operation:
        found.append(Filter("operation", "operation = %s", (query.operation,), "trail_operation"))
    if query.node:
        found.append(Filter("node", "node = %s", (query.node,), "trail_node"))
    if query.zxid is not None:
        found.append(Filter("zxid", "zxid = %s", (query.zxid,), "trail_zxid"))
    if query.result == "Ok":
        found.append(Filter("result", "result = %s", ("Ok",)))
    elif query.result:
        # The second condition is the index's own: without it SQLite does not use it.
        where = "result = %s AND NOT result = 'Ok'"
        found.append(Filter("result", where, (query.result,), "trail_result"))
    elif query.failed:
        found.append(Filter("failed", "NOT result = 'Ok'", ()))
    if query.path and query.path != "/":
        path = query.path.rstrip("/")
        # From /a up to /a0, the first behind all of /a/...; /a-b and /a.b lie between and are not.
        where = "path >= %s AND path < %s AND (path = %s OR path >= %s)"
        found.append(Filter("path", where, (path, f"{path}0", path, f"{path}/"), "trail_path"))
    if query.session:
        found.append(Filter("session", "session = %s", (query.session,)))
    if query.ensemble:
        found.append(Filter("ensemble", "ensemble = %s", (query.ensemble,)))
    if query.origin:
        found.append(Filter("origin", "origin = %s", (query.origin,)))
    return tuple(found)


def times_of(query: Query) -> Filter | None:
    where, params = [], []
    if query.since_ms is not None:
        where.append("at >= %s")
        params.append(query.since_ms)
    if query.until_ms is not None:
        where.append("at < %s")
        params.append(query.until_ms)
    return Filter("time", " AND ".join(where), tuple(params), "trail_at") if where else None


def plan(query: Query) -> Plan:
    """Who leads; see the module."""
    filters = filters_of(query)
    times = times_of(query)
    best: Filter | None = None
    fewest = FEW + 1
    for one in (*filters, *((times,) if times else ())):
        if not one.index:
            continue
        # A range of paths is not narrowed by time in its index: counting would walk all of it.
        narrowed = times if times is not None and one.name not in ("time", "path") else None
        count = count_up_to(one, narrowed, fewest)
        if count < fewest:
            best, fewest = one, count
    if best is None:
        known = {one.name: one for one in filters if one.index}
        best = next((known[name] for name in PREFERENCE if name in known), None)
    others = tuple(one for one in filters if one is not best)
    return Plan(best, fewest <= FEW, others)


def count_up_to(one: Filter, times: Filter | None, most: int) -> int:
    where, params = one.where, one.params
    if times is not None:
        where, params = f"{where} AND {times.where}", (*params, *times.params)
    sql = (
        f"SELECT count(*) FROM (SELECT 1 FROM observability_trail {by(one.index)} "
        f"WHERE {where} LIMIT %s) AS found"
    )
    return int(execute(sql, (*params, most))[0][0])


def fetch(
    query: Query, fields: tuple[str, ...], limit: int, position: tuple[int, int] | None
) -> tuple[list[tuple[Any, ...]], tuple[int, int] | None]:
    """Rows, newest first; and where it has stopped to look, None where it came to the end."""
    chosen = plan(query)
    leader, times = chosen.leader, times_of(query)
    conditions = [one for one in (leader, times) if one is not None]
    if position is not None:
        at, row = position
        conditions.append(Filter("cursor", "at <= %s AND (at < %s OR id < %s)", (at, at, row)))
    index = leader.index if leader is not None else "trail_at"
    first = " AND ".join(f"({one.where})" for one in conditions) or "1 = 1"
    params = tuple(param for one in conditions for param in one.params)
    then = " AND ".join(f"({one.where})" for one in chosen.others)
    rest = tuple(param for one in chosen.others for param in one.params)
    columns = ", ".join(fields)
    order = "ORDER BY at DESC, id DESC"
    head = f"FROM observability_trail {by(index)} WHERE {first}"
    if chosen.is_few:
        both = f"{head} AND {then}" if then else head
        sql = f"SELECT {columns} {both} {order} LIMIT %s"
        return execute(sql, (*params, *rest, limit)), None
    inner = f"SELECT * {head} {order} LIMIT %s"
    outer = f"WHERE {then} " if then else ""
    # SQLite would go through all of them to sort what is sorted; PostgreSQL sees that it is.
    again = "" if connections[ALIAS].vendor == "sqlite" else order
    sql = f"SELECT {columns} FROM ({inner}) AS newest {outer}{again} LIMIT %s"
    rows = execute(sql, (*params, SCAN_MAX, *rest, limit))
    if len(rows) == limit:
        return rows, None
    sql = f"SELECT at, id {head} {order} LIMIT 1 OFFSET %s"
    last = execute(sql, (*params, SCAN_MAX - 1))
    return rows, (int(last[0][0]), int(last[0][1])) if last else None


def by(index: str) -> str:
    """SQLite has no statistics of its own to choose by; PostgreSQL chooses better than we do."""
    return f"INDEXED BY {index}" if connections[ALIAS].vendor == "sqlite" else ""


def execute(sql: str, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
