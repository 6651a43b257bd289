"""What a znode was, who changed it and when: from the change feed, within each tenant's retention.

A tenant's people ask with their tenant and in its words; the caller has checked `tenant.history`.
Operators ask without one. Values below secret paths are never answered, also where they were kept
before the path was marked; nor, but to those whom `tenants.access.sees_closed` names, those of a
znode whose ACL does not let everybody read it.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Final

from observability import acls
from observability.changes import Policy
from observability.index.closed import closed_of
from observability.models import Revision
from observability.roots import inward, outward
from observability.rows import PATH_MAX
from observability.samples.table import ask
from observability.trail import born_ms, who_did
from tenants.models import Tenant

PAGE_MAX: Final = 500
CLOSED: Final = "acl"  # why there is no value, beside `Revision.Why`
WORDS: Final[dict[str, str]] = {
    Revision.Why.SECRET.value: "below a path that the tenant marks as secret: values are not kept",
    Revision.Why.LARGE.value: "larger than the history keeps",
    Revision.Why.BUDGET.value: "the tenant's history was full",
    Revision.Why.TOKEN.value: "the collector has no token that lets it read values",
    Revision.Why.OWN.value: "ZooKeeper's own znode",
    CLOSED: "its ACL does not let everybody read it: ask an owner",
}
DELETES: Final = ("delete", "deleteContainer")
CHANGED_ROWS_MAX: Final = 50_000  # that are looked at for the changed paths of a subtree
COLUMNS: Final = (
    *("r.id", "r.tenant", "r.path", "r.zxid", "r.part", "r.at", "r.operation", "r.within"),
    *("r.version", "r.principal", "r.session", "r.size", "r.why", "r.acl"),
)


class HistoryError(ValueError):
    """An argument is none. The text is for people."""


def words(why: str) -> str:
    """Why there is no value, for people; empty where there is no reason."""
    return WORDS.get(why, why)


@dataclass(frozen=True, slots=True)
class Change:
    """One revision. `value` None: it had none, or it is not kept and `why` says why not.

    `value` is also None in lists that are asked for without values; `has_value` says whether
    there is one.
    """

    id: int
    path: str
    zxid: int
    at: int
    operation: str
    within: str
    version: int | None
    principal: str
    session: str
    size: int | None
    why: str
    has_value: bool
    value: bytes | None = None
    acl: tuple[str, ...] = ()  # that a creation or a setACL gave it, digests hidden

    @property
    def is_delete(self) -> bool:
        return self.operation in DELETES


@dataclass(frozen=True, slots=True)
class Changes:
    """Newest first; `cursor` empty: there is nothing older."""

    changes: list[Change]
    cursor: str


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """What became of a znode between two times: how often it changed, and by what last."""

    path: str
    times: int
    first_at: int
    last_at: int
    last_operation: str
    last_zxid: int


@dataclass(frozen=True, slots=True)
class Changed:
    """By path. `is_all` False: more changed than CHANGED_ROWS_MAX rows tell; narrow the times."""

    paths: list[ChangedPath]
    is_all: bool


def policy(tenant: Tenant | None) -> Policy:
    if tenant is None:
        return Policy()
    return Policy(tuple(map(str, tenant.secret_paths)), root=tenant.root)


def born(tenant: Tenant | None) -> int:
    """A name that was given anew shows nothing of who had it before."""
    return 0 if tenant is None else born_ms(tenant)


def place(path: str, ensemble: str, tenant: Tenant | None) -> tuple[str, str]:
    """Ensemble and path of the tree."""
    if not path.startswith("/"):
        raise HistoryError(f"path is {path[:60]!r}; it begins with /")
    path = path.rstrip("/") or "/"
    if tenant is not None:
        return tenant.ensemble.name, outward(tenant.root, path)[:PATH_MAX]
    if not ensemble:
        raise HistoryError("name the ensemble")
    return ensemble, path[:PATH_MAX]


def revisions(
    path: str,
    *,
    ensemble: str = "",
    tenant: Tenant | None = None,
    limit: int = 50,
    cursor: str = "",
    values: bool = False,
    sees_closed: bool = False,
) -> Changes:
    """The changes of one znode, newest first.

    Raises:
        HistoryError: an argument is none.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise HistoryError(f"limit is {limit}; use 1 to {PAGE_MAX}")
    name, whole = place(path, ensemble, tenant)
    where = "r.ensemble = %s AND r.path = %s AND r.at >= %s"
    params: list[Any] = [name, whole, born(tenant)]
    if cursor:
        zxid, part = read_cursor(cursor)
        where += " AND r.zxid <= %s AND (r.zxid < %s OR r.part < %s)"
        params += [zxid, zxid, part]
    rows = select(where, (*params, limit), values, tenant, name, sees_closed)
    changes = [change for change, _ in rows]
    end = f"{changes[-1].zxid}.{rows[-1][1]}" if len(changes) == limit else ""
    return Changes(changes, end)


def value_at(
    path: str,
    *,
    ensemble: str = "",
    tenant: Tenant | None = None,
    zxid: int | None = None,
    at_ms: int | None = None,
    sees_closed: bool = False,
) -> Change | None:
    """What the znode was at a zxid or a time: the last change of its data until then.

    A delete says that it was not there; None: nothing is known of that time.

    Raises:
        HistoryError: the path is none, or neither zxid nor time is given.
    """
    if (zxid is None) == (at_ms is None):
        raise HistoryError("give either zxid or at_ms")
    name, whole = place(path, ensemble, tenant)
    until = "r.zxid <= %s" if zxid is not None else "r.at <= %s"
    where = "r.ensemble = %s AND r.path = %s AND r.at >= %s AND NOT r.operation = 'setACL'"
    params = (name, whole, born(tenant), zxid if zxid is not None else at_ms, 1)
    rows = select(f"{where} AND {until}", params, True, tenant, name, sees_closed)
    return rows[0][0] if rows else None


def changed(
    path: str,
    *,
    since_ms: int,
    until_ms: int,
    ensemble: str = "",
    tenant: Tenant | None = None,
) -> Changed:
    """The znodes at and below a path that changed from `since_ms` on and before `until_ms`.

    Raises:
        HistoryError: the path is none.
    """
    name, whole = place(path, ensemble, tenant)
    where = "ensemble = %s AND at >= %s AND at < %s"
    params: list[Any] = [name, max(since_ms, born(tenant)), until_ms]
    if tenant is not None:
        where += " AND tenant = %s"
        params.append(tenant.slug)
    if whole != "/":
        where += " AND (path = %s OR (path >= %s AND path < %s))"
        params += [whole, f"{whole}/", f"{whole}0"]
    rows = ask(
        f"SELECT path, at, operation, zxid FROM observability_revision WHERE {where} "
        "ORDER BY at, id LIMIT %s",
        (*params, CHANGED_ROWS_MAX + 1),
    )
    found: dict[str, ChangedPath] = {}
    for row_path, at, operation, zxid in rows[:CHANGED_ROWS_MAX]:
        shown = row_path if tenant is None else inward(tenant.root, row_path)
        if shown is None:
            continue
        before = found.get(shown)
        times, first = (before.times + 1, before.first_at) if before is not None else (1, at)
        found[shown] = ChangedPath(shown, times, first, at, operation, zxid)
    return Changed([found[key] for key in sorted(found)], len(rows) <= CHANGED_ROWS_MAX)


def read_cursor(cursor: str) -> tuple[int, int]:
    zxid, _, part = cursor.partition(".")
    if not (zxid.isascii() and zxid.isdigit() and part.isascii() and part.isdigit()):
        raise HistoryError(f"cursor is {cursor[:60]!r}; use the one of the page before")
    if len(cursor) > 30:
        raise HistoryError(f"cursor is {cursor[:60]!r}; use the one of the page before")
    return int(zxid), int(part)


def select(
    where: str,
    params: tuple[Any, ...],
    values: bool,
    tenant: Tenant | None,
    ensemble: str,
    sees_closed: bool,
) -> list[tuple[Change, int]]:
    """Revisions newest first, each with its part; the last of `params` is how many."""
    data = "v.data" if values else "v.id"
    rows = ask(
        f"SELECT {', '.join(COLUMNS)}, {data} FROM observability_revision r "
        f"LEFT JOIN observability_value v ON v.id = r.value_id WHERE {where} "
        "ORDER BY r.zxid DESC, r.part DESC LIMIT %s",
        params,
    )
    unknown = sorted({int(row[3]) for row in rows if not row[9]})
    journal = who_did(ensemble, unknown)
    secrets = policies_of(ensemble, {str(row[1]) for row in rows}, tenant)
    closed = set() if sees_closed else closed_of(ensemble, {str(row[2]) for row in rows})
    return [(change_of(row, values, tenant, journal, secrets, closed), int(row[4])) for row in rows]


def policies_of(ensemble: str, slugs: set[str], tenant: Tenant | None) -> dict[str, Policy]:
    if tenant is not None:
        return {tenant.slug: policy(tenant)}
    found = Tenant.objects.filter(ensemble__name=ensemble, slug__in=slugs - {""})
    return {one.slug: policy(one) for one in found.exclude(lifecycle=Tenant.Lifecycle.GONE)}


def change_of(
    row: tuple[Any, ...],
    values: bool,
    tenant: Tenant | None,
    journal: dict[int, str],
    secrets: dict[str, Policy],
    closed: set[str],
) -> Change:
    ident, slug, path, zxid, _, at, operation, within, version, principal, session, size = row[:12]
    why, data = row[12], row[14]
    if slug in secrets and secrets[slug].is_secret(path) and size is not None:
        why, data = Revision.Why.SECRET.value, None
    elif path in closed and size is not None:
        why, data = CLOSED, None
    principal = principal or journal.get(zxid, "")
    shown = path
    if tenant is not None:
        shown = inward(tenant.root, path) or path
        if not principal.endswith(f"@{tenant.slug}"):
            session = ""  # somebody else's
    value = zlib.decompress(bytes(data)) if values and data is not None else None
    has_value = data is not None
    return Change(
        *(ident, shown, zxid, at, operation, within, version, principal, session, size, why),
        has_value,
        value,
        () if path in closed else acls.hidden(acls.read(row[13])),  # as getACL has it
    )
