"""Writes the plane's own trail: one row an action, in the action's transaction, chained by hashes.

A row's hash is SHA-256 over the hash before it and the row as canonical JSON. Who edits, drops or
swaps a row breaks the chain there (`verify`); triggers keep the ORM from trying. Values and secrets
are never written.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import transaction
from django.utils import timezone

from tenants.models import AuditEvent, Tenant

BEGINNING: Final = "0" * 64
TARGET_MAX: Final = 1_000
VERIFY_AT_ONCE: Final = 2_000
CHAIN_LOCK: Final = 0x656E7361  # any number that nobody else locks in this database


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, through what, from where. Every action takes one."""

    user: AbstractBaseUser | AnonymousUser | None
    via: str  # form, api:<prefix of the token>, command, plane
    address: str = ""

    @property
    def name(self) -> str:
        if self.user is None or not self.user.is_authenticated:
            return ""
        return self.user.get_username()


PLANE: Final = Actor(None, "plane")
"""The plane itself: what happens because its time has come."""


def record(
    actor: Actor,
    verb: str,
    *,
    tenant: Tenant | str = "",
    ensemble: str = "",
    target: str = "",
    result: str = "ok",
    detail: dict[str, object] | None = None,
) -> AuditEvent:
    """Add a row to the chain. Must run inside the transaction of the change that it tells of.

    Two writers do not get the same place: SQLite has one writer at a time, and on PostgreSQL one
    holds CHAIN_LOCK until its commit. (A lock on the last row would not do: who has waited for it
    still finds that row the last one; and at first there is none.)
    """
    connection = transaction.get_connection()
    assert connection.in_atomic_block, "an audit row belongs to a transaction"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])
    last = AuditEvent.objects.order_by("-seq").first()
    if isinstance(tenant, Tenant):
        ensemble, tenant = ensemble or tenant.ensemble.name, tenant.slug
    event = AuditEvent(
        seq=1 if last is None else last.seq + 1,
        at=timezone.now(),
        actor=actor.name,
        via=actor.via,
        address=actor.address,
        verb=verb,
        ensemble=ensemble,
        tenant=tenant,
        target=target[:TARGET_MAX],
        result=result,
        detail=detail or {},
        previous=BEGINNING if last is None else last.hash,
    )
    event.hash = hash_of(event)
    event.save(force_insert=True)
    return event


def hash_of(event: AuditEvent) -> str:
    """SHA-256 over the hash before and everything that the row says."""
    fields = {
        "seq": event.seq,
        "at": instant(event.at),
        "actor": event.actor,
        "via": event.via,
        "address": event.address,
        "verb": event.verb,
        "ensemble": event.ensemble,
        "tenant": event.tenant,
        "target": event.target,
        "result": event.result,
        "detail": event.detail,
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{event.previous}{text}".encode()).hexdigest()


def instant(at: datetime) -> str:
    """Microseconds in UTC: what both databases keep."""
    return at.astimezone(timezone.get_default_timezone()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the chain breaks."""

    seq: int
    reason: str


def verify(first: int = 1) -> Iterator[Fault]:
    """Go through the chain from a row on; every row that does not fit to the one before it."""
    before = AuditEvent.objects.filter(seq=first - 1).first()
    expected, previous = first, BEGINNING if before is None else before.hash
    if first > 1 and before is None:
        yield Fault(first - 1, "is missing: the chain cannot be checked from here")
        return
    rows = AuditEvent.objects.filter(seq__gte=first).order_by("seq")
    for event in rows.iterator(chunk_size=VERIFY_AT_ONCE):
        if event.seq != expected:
            yield Fault(expected, f"is missing, as are all before {event.seq}")
        elif event.previous != previous:
            yield Fault(event.seq, "does not continue the row before it")
        if event.hash != hash_of(event):
            yield Fault(event.seq, "was changed: its hash is another one")
        expected, previous = event.seq + 1, event.hash
