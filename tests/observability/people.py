"""Rows for tests of what reads the database."""

from datetime import UTC, datetime
from typing import Any

from observability.rows import Entry
from observability.store import insert
from tenants.models import Ensemble, Plan, Tenant

NOON_MS = round(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1_000)


def make_tenant(slug: str = "payments", **more: Any) -> Tenant:
    ensemble, _ = Ensemble.objects.get_or_create(name="main", defaults={"hosts": "127.0.0.1:2181"})
    plan, _ = Plan.objects.get_or_create(name="small")
    root = more.pop("root", f"/tenants/{slug}")
    born = more.pop("born", datetime(2026, 1, 1, tzinfo=UTC))
    made = Tenant.objects.create(slug=slug, ensemble=ensemble, plan=plan, root=root, **more)
    made.created_at = born
    made.save(update_fields=["created_at"])
    return made


def add(*entries: Entry) -> None:
    insert([entry.row() for entry in entries])


def entry(at: int = 0, **more: Any) -> Entry:
    """A create by payments' application, `at` seconds after noon."""
    fields: dict[str, Any] = {
        "origin": "node",
        "ensemble": "main",
        "node": "node1",
        "seq": at + 1,
        "tenant": "payments",
        "principal": "app@payments",
        "operation": "create",
        "path": f"/tenants/payments/n{at}",
        "result": "Ok",
        "zxid": at + 1,
        "session": "0x1",
        "address": "10.0.0.9",
        "hash": "a" * 64,
        "prev": "b" * 64,
        **more,
    }
    return Entry(at=NOON_MS + at * 1_000, **fields)
