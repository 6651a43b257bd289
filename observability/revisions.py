"""Writes the history, and removes what is too old, too much or secret by now."""

import time
from typing import Final, cast

from django.db import connections, transaction
from django.db.models import Sum

from observability.changes import NOBODYS, Policy, Stretch
from observability.models import Revision, Source, Value
from observability.roots import outward
from observability.rows import Row, of_gap
from observability.store import ALIAS, Batch, fence, take

COLUMNS: Final = (
    *("ensemble", "tenant", "path", "zxid", "part", "at", "operation", "within", "version"),
    *("principal", "session", "size", "why", "value_id"),
)
INSERT: Final = (
    f"INSERT INTO observability_revision ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(COLUMNS))})"
)
KEEP: Final = (
    "INSERT INTO observability_value (ensemble, tenant, digest, size, stored, data) "
    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (ensemble, tenant, digest) DO NOTHING"
)
PRUNE_ROWS: Final = 500  # removed at once where a tenant's history is too large
PRUNE_ROUNDS: Final = 40
DAY_MS: Final = 86_400_000


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
                        *(one.size, one.why, value_id),
                    )
                )
            cursor.executemany(INSERT, cast("list[tuple[str, ...]]", rows))
    for tenant, size in added.items():
        stored[tenant] = stored.get(tenant, 0) + size


def stored_by_tenant(ensemble: str) -> dict[str, int]:
    """Bytes that the values of each tenant take."""
    found = Value.objects.filter(ensemble=ensemble).values_list("tenant")
    return {str(tenant): int(size) for tenant, size in found.annotate(Sum("stored"))}


def prune(term: int, ensemble: str, policies: dict[str, Policy]) -> dict[str, int]:
    """Hold every tenant's history within its days and bytes; the bytes that are left."""
    now_ms = time.time_ns() // 1_000_000
    known = Revision.objects.filter(ensemble=ensemble).values_list("tenant", flat=True).distinct()
    for tenant in list(known):
        policy = policies.get(tenant, NOBODYS)
        with transaction.atomic(using=ALIAS):
            fence(term)
            mine = Revision.objects.filter(ensemble=ensemble, tenant=tenant)
            gone = mine.filter(at__lt=now_ms - policy.days * DAY_MS).delete()[0]
            gone += hide(ensemble, tenant, policy)
            if gone:
                drop_orphans(ensemble, tenant)
        for _ in range(PRUNE_ROUNDS):
            if size_of(ensemble, tenant) <= policy.bytes_max:
                break
            with transaction.atomic(using=ALIAS):
                fence(term)
                if not drop_oldest(ensemble, tenant):
                    break
    return stored_by_tenant(ensemble)


def size_of(ensemble: str, tenant: str) -> int:
    found = Value.objects.filter(ensemble=ensemble, tenant=tenant).aggregate(size=Sum("stored"))
    return int(found["size"] or 0)


def hide(ensemble: str, tenant: str, policy: Policy) -> int:
    """Values below what has become a secret path since; how many."""
    hidden = 0
    for secret in policy.secret_paths:
        path = secret.rstrip("/")
        names = {path, outward(policy.root, path or "/") if policy.root else path}
        for name in names:
            below = Revision.objects.filter(ensemble=ensemble, tenant=tenant, value__isnull=False)
            if name:
                # A range, as in the trail: from /a up to /a0 lies all of /a/...
                below = below.filter(path__gte=name, path__lt=f"{name}0")
            hidden += sum(
                Revision.objects.filter(pk=pk).update(value=None, why=Revision.Why.SECRET)
                for pk, its in list(below.values_list("pk", "path"))
                if policy.is_secret(its)
            )
    return hidden


def drop_oldest(ensemble: str, tenant: str) -> int:
    """The oldest revisions of a tenant, and the values that nobody has any more."""
    mine = Revision.objects.filter(ensemble=ensemble, tenant=tenant).order_by("at", "pk")
    oldest = list(mine.values_list("pk", flat=True)[:PRUNE_ROWS])
    Revision.objects.filter(pk__in=oldest).delete()
    drop_orphans(ensemble, tenant)
    return len(oldest)


def drop_orphans(ensemble: str, tenant: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "DELETE FROM observability_value WHERE ensemble = %s AND tenant = %s AND NOT EXISTS "
            "(SELECT 1 FROM observability_revision r WHERE r.value_id = observability_value.id)",
            (ensemble, tenant),
        )
