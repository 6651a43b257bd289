"""A subtree as it was at a time or a zxid: from the history and from what is there now.

What has not changed since is what it was, so the tree itself tells most of it; for the rest the
history has the last change before that moment, if it is kept. Where neither knows, it says so.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ensemble.client import Stat
from observability import acls
from observability.history import CLOSED, DELETES, HistoryError, born, place, policies_of
from observability.index.closed import closed_of
from observability.models import Revision
from observability.roots import inward
from observability.samples.table import ask
from tenants.bulk.steps import Kind
from tenants.models import Tenant

ROWS_AT_ONCE: Final = 2_000
VALUES_AT_ONCE: Final = 200
WHYS: Final = {
    Revision.Why.SECRET.value: "its value is secret and was not kept",
    Revision.Why.LARGE.value: "its value was larger than the history keeps",
    Revision.Why.BUDGET.value: "the tenant's history was full",
    Revision.Why.TOKEN.value: "the collector had no right to read values",
    Revision.Why.OWN.value: "ZooKeeper's own",
    CLOSED: "its ACL does not let everybody read it",
}
NOT_KEPT: Final = "the history does not reach back so far"


@dataclass(frozen=True, slots=True)
class Moment:
    """One of both: after this transaction, or at this time of the leader's clock."""

    zxid: int | None = None
    at_ms: int | None = None

    def is_after(self, zxid: int, at_ms: int) -> bool:
        """Whether it is not before a change."""
        if self.zxid is not None:
            return zxid <= self.zxid
        assert self.at_ms is not None
        return at_ms <= self.at_ms

    def where(self) -> tuple[str, int]:
        if self.zxid is not None:
            return "r.zxid <= %s", self.zxid
        assert self.at_ms is not None
        return "r.at <= %s", self.at_ms


@dataclass(frozen=True, slots=True)
class Past:
    """What the history knows of a znode at a moment. `there` False: it had been deleted.

    `value_id` None: its value is not kept, `why` says why.
    """

    path: str
    there: bool
    operation: str
    lives: str  # `ephemeral`, `container`, `ttl=<hexadecimal>`, empty: until it is deleted
    value_id: int | None
    size: int
    why: str
    acl: tuple[str, ...]  # `scheme:id:cdrwa`, digests as they are; empty: not known


def last_changes(
    path: str,
    moment: Moment,
    *,
    ensemble: str = "",
    tenant: Tenant | None = None,
    sees_closed: bool = False,
) -> Iterator[Past]:
    """Of each znode at and below a path, what its changes until a moment have left; by path.

    Raises:
        HistoryError: the path is none.
    """
    name, whole = place(path, ensemble, tenant)
    until, value = moment.where()
    secrets = policies_of(name, slugs_in(name, whole), tenant)
    first, end = below(whole)
    last: tuple[Any, ...] | None = None  # change of data
    lives = ""  # as the znode's creation has said
    acl: str | None = None  # that its creation gave it, or the last setACL
    at = ""
    closed: set[str] = set()
    position: tuple[Any, ...] = ("", -1, -1)
    while True:
        rows = ask(
            "SELECT r.path, r.zxid, r.part, r.operation, r.value_id, r.size, r.why, r.tenant, "
            "r.within, r.acl "
            "FROM observability_revision r WHERE r.ensemble = %s "
            "AND r.path >= %s AND r.path < %s AND (r.path, r.zxid, r.part) > (%s, %s, %s) "
            f"AND {until} AND r.at >= %s "
            "ORDER BY r.path, r.zxid, r.part LIMIT %s",
            (*(name, whole, end), *position, value, born(tenant), ROWS_AT_ONCE),
        )
        if not sees_closed:
            closed |= closed_of(name, {str(row[0]) for row in rows})
        for row in rows:
            if row[0] != whole and not row[0].startswith(first):
                continue  # /a-b lies between /a and /a/b
            if row[0] != at:
                if last is not None:
                    yield from past_of(last, lives, acl, tenant, secrets, closed)
                at, last, lives, acl = row[0], None, "", None
            if row[3] == "setACL":
                acl = row[9]
                continue
            if row[3].startswith("create"):
                lives, acl = lives_of(row[3], row[8]), row[9]
            last = row
        if len(rows) < ROWS_AT_ONCE:
            break
        position = rows[-1][:3]
    if last is not None:
        yield from past_of(last, lives, acl, tenant, secrets, closed)


def lives_of(operation: str, within: str) -> str:
    """How long a znode lives, by its creation."""
    if operation == "createContainer":
        return "container"
    word = within.rpartition(" ")[2]
    return word if word == "ephemeral" or word.startswith("ttl=") else ""


def below(whole: str) -> tuple[str, str]:
    """The range of all paths below one."""
    return ("/", "0") if whole == "/" else (f"{whole}/", f"{whole}0")


def slugs_in(ensemble: str, whole: str) -> set[str]:
    """Tenants that have a part of a subtree, or the whole of it."""
    found = Tenant.objects.filter(ensemble__name=ensemble).exclude(lifecycle="gone")
    under = "/" if whole == "/" else f"{whole}/"
    return {
        one.slug
        for one in found
        if f"{one.root}/".startswith(under) or under.startswith(f"{one.root}/")
    }


def past_of(
    row: tuple[Any, ...],
    lives: str,
    acl: str | None,
    tenant: Tenant | None,
    secrets: dict[str, Any],
    closed: set[str],
) -> Iterator[Past]:
    path, _, _, operation, value_id, size, why, slug = row[:8]
    shown = path if tenant is None else inward(tenant.root, path)
    if shown is None or (tenant is not None and slug != tenant.slug):
        return
    policy = secrets.get(slug)
    if policy is not None and policy.is_secret(path):
        value_id, why = None, Revision.Why.SECRET.value
    elif path in closed:
        value_id, why = None, CLOSED
    there = operation not in DELETES
    words = "" if value_id is not None or not there else WHYS.get(why, NOT_KEPT)
    entries = acls.read(acl) if there else ()
    yield Past(shown, there, operation, lives, value_id, size or 0, words, entries)


def known_before(
    path: str, moment: Moment, *, ensemble: str = "", tenant: Tenant | None = None
) -> set[str]:
    """Znodes whose first change that is kept says that they were there before it.

    A delete or a change of data after the moment, with nothing before it: the znode was there at
    that moment, or came later; what it was is not known.
    """
    name, whole = place(path, ensemble, tenant)
    until, value = moment.where()
    rows = ask(
        "SELECT DISTINCT r.path FROM observability_revision r WHERE r.ensemble = %s "
        "AND (r.path = %s OR (r.path >= %s AND r.path < %s)) AND r.at >= %s "
        f"AND NOT ({until}) AND r.operation IN ('delete', 'deleteContainer') LIMIT %s",
        (name, whole, *below(whole), born(tenant), value, 100_001),
    )
    if len(rows) > 100_000:
        raise HistoryError("more than 100,000 znodes have gone since: go by parts of the subtree")
    found = (row[0] if tenant is None else inward(tenant.root, row[0]) for row in rows)
    return {one for one in found if one is not None}


def made_since(
    path: str, moment: Moment, paths: set[str], *, ensemble: str = "", tenant: Tenant | None = None
) -> set[str]:
    """Of these paths, those whose first kept change after the moment is their creation."""
    name, whole = place(path, ensemble, tenant)
    until, value = moment.where()
    first: dict[str, str] = {}
    rows = ask(
        "SELECT r.path, r.operation FROM observability_revision r WHERE r.ensemble = %s "
        "AND (r.path = %s OR (r.path >= %s AND r.path < %s)) AND r.at >= %s "
        f"AND NOT ({until}) AND NOT r.operation = 'setACL' ORDER BY r.zxid, r.part LIMIT %s",
        (name, whole, *below(whole), born(tenant), value, 500_000),
    )
    for row_path, operation in rows:
        shown = row_path if tenant is None else inward(tenant.root, row_path)
        if shown is not None and shown in paths:
            first.setdefault(shown, operation)
    return {one for one, operation in first.items() if operation.startswith("create")}


def values(ids: list[int]) -> dict[int, bytes]:
    """Kept values by their numbers; those that have gone meanwhile are missing."""
    found: dict[int, bytes] = {}
    for start in range(0, len(ids), VALUES_AT_ONCE):
        part = ids[start : start + VALUES_AT_ONCE]
        marks = ", ".join(["%s"] * len(part))
        sql = f"SELECT id, data FROM observability_value WHERE id IN ({marks})"
        found |= {int(row[0]): zlib.decompress(bytes(row[1])) for row in ask(sql, tuple(part))}
    return found


def kinds(
    made: Sequence[tuple[str, int]], *, ensemble: str = "", tenant: Tenant | None = None
) -> dict[str, Kind]:
    """Which of the znodes, by path and creating zxid, are containers or have a time to live."""
    if not made:
        return {}
    wanted = {place(path, ensemble, tenant)[1]: (path, zxid) for path, zxid in made}
    name = ensemble if tenant is None else tenant.ensemble.name
    marks = ", ".join(["%s"] * len(wanted))
    rows = ask(
        "SELECT r.path, r.zxid, r.operation, r.within FROM observability_revision r "
        f"WHERE r.ensemble = %s AND r.path IN ({marks}) "
        "AND (r.operation = 'createContainer' OR r.within LIKE '%%ttl=%%')",
        (name, *wanted),
    )
    found: dict[str, Kind] = {}
    for row_path, zxid, operation, within in rows:
        path, czxid = wanted[row_path]
        if zxid == czxid:
            found[path] = kind_then(lives_of(operation, within))
    return found


def kind_then(lives: str) -> Kind:
    """How long a znode was to live, as its creation has said."""
    if lives.startswith("ttl="):
        return Kind("ttl", int(lives[4:], 16))
    return Kind("container") if lives == "container" else Kind()


def is_unchanged(stat: Stat, moment: Moment) -> bool:
    """Whether a znode of now was the same at a moment."""
    return moment.is_after(int(stat.mzxid), int(stat.mtime))


def was_there(stat: Stat, moment: Moment) -> bool:
    """Whether a znode of now was made before a moment."""
    return moment.is_after(int(stat.czxid), int(stat.ctime))


@dataclass(frozen=True, slots=True)
class Was:
    """A znode as it was at a moment. `how`: what became of it; `why`: its value is not known."""

    path: str
    size: int
    how: str  # same, changed, gone
    lives: str
    value_id: int | None
    why: str
    acl: tuple[str, ...] = ()


def was(now: Mapping[str, Stat], past: Mapping[str, Past], moment: Moment) -> list[Was]:
    """What stood in a subtree at a moment, by path: from what is there and what the history has."""
    found = []
    for path in sorted({*now, *past}, key=lambda one: one.split("/")):
        stat, then = now.get(path), past.get(path)
        if stat is not None and is_unchanged(stat, moment):
            lives = "ephemeral" if stat.ephemeral_owner else ""
            found.append(Was(path, int(stat.data_bytes), "same", lives, None, ""))
        elif then is not None and then.there:
            how = "gone" if stat is None else "changed"
            found.append(Was(path, then.size, how, then.lives, then.value_id, then.why, then.acl))
        elif stat is not None and was_there(stat, moment):
            found.append(Was(path, 0, "changed", "", None, NOT_KEPT))
    return found
