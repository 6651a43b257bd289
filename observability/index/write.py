"""Writes the index: what the change feed brings, what a fill finds, and what a fill takes away.

A fill walks a tree while it changes. What it read is older than what the feed has said meanwhile,
or newer: the later zxid wins. So that nothing comes back that was deleted behind a walk's back,
deletes leave a row with `is_gone` until the walk is over. Rows carry the number of the fill that
was at work when they were last seen: at its end, what has an older number is not there any more.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from django.conf import settings
from django.db import connections, transaction

from observability.changes import Change, Policy
from observability.index.rows import Found, is_indexed, key_of, whole_of
from observability.models import Source, Znode
from observability.roots import outward
from observability.samples.table import ask
from observability.store import ALIAS, fence, now

ROWS_MAX: Final = 5_000_000  # of one ensemble; what is more is not indexed, and pages say so
AT_ONCE: Final = 400  # paths in one question
SWEEP_IDS: Final = 20_000  # looked at in one transaction
HIDE_ROWS: Final = 2_000
COLUMNS: Final = (
    *("ensemble", "path", "zxid", "at", "version", "size", "owner", "why", "principal", "fill"),
    *("is_gone", "is_closed", "whole", "text"),
)
DELETES: Final = frozenset(("delete", "deleteContainer"))
CREATES: Final = frozenset(("create", "create2", "createContainer", "createTTL", "createTtl"))


def upsert(by_walk: bool) -> str:
    """A row, unless the one that is there is of a later zxid and was seen by this fill."""
    changes = {name: f"excluded.{name}" for name in COLUMNS[2:]}
    changes["owner"] = (
        "CASE WHEN excluded.owner = '?' THEN observability_znode.owner ELSE excluded.owner END"
    )
    changes["principal"] = (
        "CASE WHEN excluded.principal = '' AND excluded.zxid = observability_znode.zxid "
        "THEN observability_znode.principal ELSE excluded.principal END"
    )
    # What the feed has closed while a walk was under way stays so, whatever the walk read before.
    kept = "WHEN excluded.is_closed IS NULL THEN observability_znode.is_closed"
    if by_walk:
        kept += (
            " WHEN observability_znode.is_closed AND NOT observability_znode.is_gone "
            "AND observability_znode.fill = excluded.fill THEN observability_znode.is_closed"
        )
    changes["is_closed"] = f"CASE {kept} ELSE excluded.is_closed END"
    sets = ", ".join(f"{name} = {value}" for name, value in changes.items())
    return (
        f"INSERT INTO observability_znode ({', '.join(COLUMNS)}) "
        f"VALUES ({', '.join(['%s'] * len(COLUMNS))}) "
        f"ON CONFLICT (ensemble, path) DO UPDATE SET {sets} "
        "WHERE observability_znode.fill < excluded.fill "
        "OR observability_znode.zxid <= excluded.zxid"
    )


UPSERT: Final = upsert(by_walk=False)
UPSERT_BY_WALK: Final = upsert(by_walk=True)
UNKNOWN: Final = "?"  # the owner of a row whose creation was not seen
CLOSE: Final = (
    "UPDATE observability_znode SET is_closed = %s "
    "WHERE ensemble = %s AND path = %s AND NOT is_gone"
)
REMOVE: Final = (
    "DELETE FROM observability_znode WHERE ensemble = %s AND path = %s "
    "AND (zxid <= %s OR fill < %s)"
)


class Phase:
    """How far a fill is."""

    IDLE: Final = "idle"
    WALK: Final = "walk"
    SWEEP: Final = "sweep"


@dataclass(slots=True)
class State:
    """What is known of one ensemble's index besides its rows; JSON in its source's row.

    `least`: rows of fills before this one are not shown, as they are another tree's. `place` and
    `name`: the walk has written the children of `place` up to `name`. `wanted`: why the next fill
    is due, empty: it is not.
    """

    fill: int = 0
    phase: str = Phase.IDLE
    least: int = 0
    began: int = 0  # ms since 1970
    ended: int = 0
    place: str = ""
    name: str = ""
    seen: int = 0  # znodes in this fill
    swept: int = 0  # up to which row
    rows: int = 0
    wanted: str = ""
    anew: bool = False
    is_full: bool = False
    unread: int = 0  # znodes that this fill was not allowed to read

    @classmethod
    def read(cls, text: str) -> "State":
        known = json.loads(text)
        return cls(**{name: known[name] for name in cls.__slots__ if name in known})

    def text(self) -> str:
        return json.dumps(asdict(self))


def rows_max() -> int:
    """The setting OBSERVED_INDEX_ROWS; 0: nothing is indexed."""
    return int(getattr(settings, "OBSERVED_INDEX_ROWS", ROWS_MAX))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def state_of(ensemble: str) -> State | None:
    """None: this ensemble has no index."""
    found = Source.objects.filter(kind=Source.Kind.INDEX, ensemble=ensemble).values_list("state")
    row = found.first()
    return None if row is None else State.read(row[0])


def save(ensemble: str, state: State, **more: Any) -> None:
    Source.objects.filter(kind=Source.Kind.INDEX, ensemble=ensemble, node="").update(
        state=state.text(), **more
    )


# What the feed brings


def apply(ensemble: str, changes: Sequence[Change], gap: str, *, anew: bool) -> None:
    """A stretch of the feed, within the transaction of its cursor.

    `gap`: something is missing before or in it; then what lives there is found by a new fill.
    """
    state = state_of(ensemble)
    if state is None or not (gap or changes):
        return
    final: dict[str, Found] = {}
    acls: dict[str, bool] = {}
    for change in changes:
        path = change.whole or change.path
        if is_indexed(path):
            found = found_of(change, path, final.get(path))
            if found is None:
                acls[path] = change.is_closed
                continue
            final[path] = found
            if found.is_closed is not None:
                acls.pop(path, None)
    put(ensemble, state, final.values())
    close(ensemble, state, acls)
    if gap:
        state.wanted = gap[:300]
        state.anew = state.anew or anew
    if anew:
        state.least = state.fill + 1  # nothing of the tree before is shown from now on
    save(ensemble, state)


def close(ensemble: str, state: State, acls: dict[str, bool]) -> None:
    """ACLs that have changed. Where the walk has not come to a znode, it is noted for it."""
    early = []
    with connections[ALIAS].cursor() as cursor:
        for path, is_closed in acls.items():
            cursor.execute(CLOSE, (is_closed, ensemble, key_of(path)))
            if is_closed and cursor.rowcount == 0 and state.phase == Phase.WALK:
                early.append(Found(path, 0, 0, is_closed=True))
    put(ensemble, state, early)


def found_of(change: Change, path: str, before: Found | None) -> Found | None:
    """What a change makes of a znode; `before`: what the same stretch has made of it already."""
    if change.operation in DELETES:
        return Found(path, change.zxid, change.at, is_gone=True, is_closed=False)
    if change.size is None:
        return None  # an ACL
    owner: str | None = change.owner
    is_closed: bool | None = change.is_closed
    if change.operation not in CREATES:
        is_closed = before.is_closed if before is not None and not before.is_gone else None
        owner = before.owner if before is not None and not before.is_gone else None
    return Found(
        path=path,
        zxid=change.zxid,
        at=change.at,
        version=change.version or 0,
        size=change.size,
        text=change.text,
        why=change.text_why,
        owner=owner,
        principal=change.principal,
        is_closed=is_closed,
    )


def put(ensemble: str, state: State, found: Iterable[Found], *, by_walk: bool = False) -> int:
    """Write rows; how many of them are new. `state.rows` counts with it."""
    rows, gone = [], []
    wanted = list(found)
    known = known_keys(ensemble, [key_of(one.path) for one in wanted])
    room = rows_max() - state.rows
    new = 0
    for one in wanted:
        key = key_of(one.path)
        if one.is_gone and state.phase != Phase.WALK:
            gone.append((ensemble, key, one.zxid, state.fill))
            continue
        if key not in known:
            if new >= room:
                state.is_full = True
                continue
            new += 1
        owner = UNKNOWN if one.owner is None else one.owner
        if one.owner is None and key not in known:
            owner = ""
        rows.append(
            (
                *(ensemble, key, one.zxid, one.at, one.version, one.size, owner, one.why),
                *(one.principal, state.fill, one.is_gone, one.is_closed, whole_of(one.path)),
                one.text,
            )
        )
    with connections[ALIAS].cursor() as cursor:
        sql = UPSERT_BY_WALK if by_walk else UPSERT
        cursor.executemany(sql, cast("list[tuple[str, ...]]", rows))
        for params in gone:
            cursor.execute(REMOVE, params)
            state.rows -= cursor.rowcount
    state.rows += new
    return new


def known_keys(ensemble: str, keys: list[str]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(keys), AT_ONCE):
        some = keys[at : at + AT_ONCE]
        rows = ask(
            "SELECT path FROM observability_znode WHERE ensemble = %s "
            f"AND path IN ({', '.join(['%s'] * len(some))})",
            (ensemble, *some),
        )
        found.update(str(row[0]) for row in rows)
    return found


# Fills


def begin(term: int, source: Source, why: str) -> State:
    """A new fill, from the root on.

    Raises:
        LeaseLostError: nothing was written.
    """
    with transaction.atomic(using=ALIAS):
        fence(term)
        state = state_of(source.ensemble) or State()
        state.fill += 1
        if state.anew or not state.ended:
            state.least = state.fill
        state.phase, state.place, state.name = Phase.WALK, "", ""
        state.began, state.seen, state.swept, state.unread = now_ms(), 0, 0, 0
        state.wanted, state.anew, state.is_full = "", False, False
        save(source.ensemble, state, cursor=f"{state.fill}: {why}"[:60])
    return state


def add(term: int, source: Source, found: Sequence[Found], place: str, name: str) -> State:
    """What a walk has read: children of `place` up to `name`.

    Raises:
        LeaseLostError: nothing was written.
    """
    with transaction.atomic(using=ALIAS):
        fence(term)
        state = state_of(source.ensemble)
        assert state is not None, "a walk begins with `begin`"
        put(source.ensemble, state, found, by_walk=True)
        state.place, state.name = place, name
        state.seen += len(found)
        state.unread += sum(one.why == Znode.Why.ACL for one in found)
        save(source.ensemble, state, looked_at=now(), problem="")
    return state


def walked(term: int, source: Source) -> State:
    """The walk is over; what it has not seen goes next."""
    with transaction.atomic(using=ALIAS):
        fence(term)
        state = state_of(source.ensemble)
        assert state is not None
        state.phase = Phase.SWEEP
        save(source.ensemble, state)
    return state


def sweep(term: int, source: Source) -> State:
    """Take away some of what is gone; at the end the fill is over."""
    name = source.ensemble
    with transaction.atomic(using=ALIAS):
        fence(term)
        state = state_of(name)
        assert state is not None
        first, last = ask("SELECT min(id), max(id) FROM observability_znode")[0]
        state.swept = max(state.swept, (first or 1) - 1)
        until = state.swept + SWEEP_IDS
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "DELETE FROM observability_znode WHERE id > %s AND id <= %s AND ensemble = %s "
                "AND (is_gone OR fill < %s)",
                (state.swept, until, name, state.fill),
            )
        state.swept = until
        if last is None or until >= last:
            count = ask("SELECT count(*) FROM observability_znode WHERE ensemble = %s", (name,))
            state.rows, state.swept = int(count[0][0]), 0
            state.phase, state.ended = Phase.IDLE, now_ms()
        save(name, state, taken_at=now())
    return state


def forget(term: int, ensembles: set[str]) -> None:
    """Some rows of ensembles that are not registered any more; all of them in a while."""
    with transaction.atomic(using=ALIAS):
        fence(term)
        indexed = set(
            Source.objects.filter(kind=Source.Kind.INDEX).values_list("ensemble", flat=True)
        )
        for name in indexed - ensembles:
            some = Znode.objects.filter(ensemble=name).values_list("pk", flat=True)[:HIDE_ROWS]
            if not Znode.objects.filter(pk__in=list(some)).delete()[0]:
                Source.objects.filter(kind=Source.Kind.INDEX, ensemble=name).delete()


def hide(term: int, ensemble: str, policies: dict[str, Policy]) -> int:
    """Take away texts below what has become a secret path since; how many."""
    count = 0
    for policy in policies.values():
        for secret in policy.secret_paths:
            path = secret.rstrip("/")
            # Tenants write them as they call them, or as the tree does.
            for name in {path, outward(policy.root, path or "/") if policy.root else path}:
                count += hide_below(term, ensemble, name, policy)
    return count


def hide_below(term: int, ensemble: str, path: str, policy: Policy) -> int:
    """At and below one path, as far as it is the tenant's."""
    rows = Znode.objects.filter(ensemble=ensemble).exclude(why=Znode.Why.SECRET)
    begin = max(path, policy.root)
    if policy.root:
        rows = rows.filter(path__lt=f"{policy.root}0")
    count = 0
    while True:
        # A range, as in the trail: from /a up to /a0 lies all of /a/...
        below = rows.filter(path__gte=begin, path__lt=f"{path}0").order_by("path")
        some = list(below.values_list("pk", "path", "whole")[:HIDE_ROWS])
        secret = [pk for pk, key, whole in some if is_secret(policy, whole or key)]
        if secret:
            with transaction.atomic(using=ALIAS):
                fence(term)
                Znode.objects.filter(pk__in=secret).update(text="", why=Znode.Why.SECRET)
            count += len(secret)
        if len(some) < HIDE_ROWS:
            return count
        begin = str(some[-1][1])


def is_secret(policy: Policy, path: str) -> bool:
    is_own = not policy.root or path == policy.root or path.startswith(f"{policy.root}/")
    return is_own and policy.is_secret(path)
