"""Writes the history, and removes what is too old, too much or secret by now."""

import time
from typing import Final, cast

from django.db import connections, transaction
from django.db.models import Exists, OuterRef

from observability.changes import NOBODYS, Policy, Stretch
from observability.index import write as index
from observability.models import Revision, Source, Value
from observability.roots import outward
from observability.rows import Row, of_gap
from observability.store import ALIAS, Batch, fence, take

COLUMNS: Final = (
    *("ensemble", "tenant", "path", "zxid", "part", "at", "operation", "within", "version"),
    *("principal", "session", "size", "why", "value_id", "acl"),
)
INSERT: Final = (
    f"INSERT INTO observability_revision ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(COLUMNS))})"
)
KEEP: Final = (
    "INSERT INTO observability_value (ensemble, tenant, digest, size, stored, data) "
    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (ensemble, tenant, digest) DO NOTHING"
)
BEGINNING: Final = "0x0"  # where a tree is collected from that is another one
ROW_BYTES: Final = 200  # that a revision counts besides its value: about what it takes
PRUNE_ROWS: Final = 500  # removed at once
HIDE_ROWS: Final = 5_000  # looked at at once
PRUNE_ROUNDS: Final = 40
DAY_MS: Final = 86_400_000
NEVER_MS: Final = (1 << 63) - 1


def write(term: int, source: Source, stretch: Stretch, stored: dict[str, int]) -> None:
    """A stretch of the feed and its cursor, together.

    Raises:
        LeaseLostError, MovedError: nothing was written.
    """
    now_ms = time.time_ns() // 1_000_000
    added: dict[str, int] = {}
    with transaction.atomic(using=ALIAS):
        gaps = [of_gap(source.ensemble, "", 1, said, now_ms).row() for said in stretch.gaps]
        after = stretch.restart_at or stretch.cursor or source.cursor
        batch = Batch(source.cursor, after, rows=gaps, newest_ms=stretch.newest_ms)
        take(term, source, batch)
        with connections[ALIAS].cursor() as cursor:
            rows: list[Row] = []
            for one in stretch.changes:
                added[one.tenant] = added.get(one.tenant, 0) + ROW_BYTES
                value_id = None
                if one.data is not None:
                    keep = (source.ensemble, one.tenant, one.digest, one.size, len(one.data))
                    cursor.execute(KEEP, (*keep, one.data))
                    if cursor.rowcount == 1:
                        added[one.tenant] = added.get(one.tenant, 0) + len(one.data)
                    cursor.execute(
                        "SELECT id FROM observability_value "
                        "WHERE ensemble = %s AND tenant = %s AND digest = %s",
                        keep[:3],
                    )
                    value_id = cursor.fetchone()[0]
                rows.append(
                    (
                        *(source.ensemble, one.tenant, one.path, one.zxid, one.part, one.at),
                        *(one.operation, one.within, one.version, one.principal, one.session),
                        *(one.size, one.why, value_id, one.acl or None),
                    )
                )
            cursor.executemany(INSERT, cast("list[tuple[str, ...]]", rows))
        gap = stretch.gaps[0] if stretch.gaps else ""
        index.apply(source.ensemble, stretch.changes, gap, anew=stretch.restart_at == BEGINNING)
    for tenant, size in added.items():
        stored[tenant] = stored.get(tenant, 0) + size


def stored_by_tenant(ensemble: str) -> dict[str, int]:
    """Bytes that each tenant's history takes: its values, and so much for each of its rows."""
    with connections[ALIAS].cursor() as cursor:
        found: dict[str, int] = {}
        for sql in (
            "SELECT tenant, sum(stored) FROM observability_value "
            "WHERE ensemble = %s GROUP BY tenant",
            f"SELECT tenant, {ROW_BYTES} * count(*) FROM observability_revision "
            "WHERE ensemble = %s GROUP BY tenant",
        ):
            cursor.execute(sql, (ensemble,))
            for tenant, size in cursor.fetchall():
                found[tenant] = found.get(tenant, 0) + int(size)
    return found


def prune(
    term: int, ensemble: str, policies: dict[str, Policy], stored: dict[str, int]
) -> dict[str, int]:
    """Hold every tenant's history within its days and bytes; the bytes that are left.

    `stored` is what there was; counting it anew each time would take longer than the rest.
    """
    now_ms = time.time_ns() // 1_000_000
    left = dict(stored)
    for tenant in stored:
        policy = policies.get(tenant, NOBODYS)
        if policy.secret_paths:
            with transaction.atomic(using=ALIAS):
                fence(term)
                left[tenant] -= hide(ensemble, tenant, policy)
        for _ in range(PRUNE_ROUNDS):
            until_ms = now_ms - policy.days * DAY_MS
            if left[tenant] > policy.bytes_max:
                until_ms = NEVER_MS
            with transaction.atomic(using=ALIAS):
                fence(term)
                freed = drop_oldest(ensemble, tenant, until_ms)
            left[tenant] -= freed
            if not freed:
                break
    return left


def hide(ensemble: str, tenant: str, policy: Policy) -> int:
    """Take away values below what has become a secret path since; the bytes that this frees."""
    values: set[int] = set()
    for secret in policy.secret_paths:
        path = secret.rstrip("/")
        for name in {path, outward(policy.root, path or "/") if policy.root else path}:
            below = Revision.objects.filter(ensemble=ensemble, tenant=tenant, value__isnull=False)
            if name:
                # A range, as in the trail: from /a up to /a0 lies all of /a/...
                below = below.filter(path__gte=name, path__lt=f"{name}0")
            for pk, its, value in list(below.values_list("pk", "path", "value_id")[:HIDE_ROWS]):
                if policy.is_secret(its):
                    values.add(value)
                    Revision.objects.filter(pk=pk).update(value=None, why=Revision.Why.SECRET)
    return drop_unused(values)


def drop_oldest(ensemble: str, tenant: str, until_ms: int) -> int:
    """Some of the oldest revisions before a time, with the values that nobody has then; bytes."""
    mine = Revision.objects.filter(ensemble=ensemble, tenant=tenant, at__lt=until_ms)
    oldest = list(mine.order_by("at", "pk").values_list("pk", "value_id")[:PRUNE_ROWS])
    Revision.objects.filter(pk__in=[pk for pk, _ in oldest]).delete()
    values = {value for _, value in oldest if value is not None}
    return ROW_BYTES * len(oldest) + drop_unused(values)


def drop_unused(values: set[int]) -> int:
    """Those of the values that no revision has any more; their bytes."""
    used = Revision.objects.filter(value_id=OuterRef("pk"))
    unused = Value.objects.filter(~Exists(used), pk__in=values)
    found = dict(unused.values_list("pk", "stored"))
    Value.objects.filter(pk__in=found).delete()
    return sum(found.values())
