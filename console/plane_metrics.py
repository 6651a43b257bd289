"""Figures of the plane itself, for Prometheus: what waits, what is old, what failed.

Each scrape asks the database a fixed number of questions, whatever the number of tenants. Figures
of single tenants come from the nodes, which serve them themselves.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from observability.models import Lease, Source
from tenants.models import AuditEvent, CredentialSecret, Publication, Request, Tenant

SOURCES_MAX: Final = 1_000  # lines of the collectors' cursors
EXPIRES_SOON: Final = timedelta(days=7)


class PlaneCollector(Collector):
    """Asks the database when it is scraped."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = timezone.now()
        yield by_label(
            "ensemble_plane_tenants",
            "Tenants by lifecycle and state.",
            ["lifecycle", "state"],
            Tenant.objects.values_list("lifecycle", "state").annotate(Count("pk")).order_by(),
        )
        yield by_label(
            "ensemble_plane_publications",
            "Tenants by how far the ensemble knows what SQL wishes.",
            ["status"],
            Publication.objects.values_list("status").annotate(Count("pk")).order_by(),
        )
        oldest = Publication.objects.exclude(status=Publication.Status.APPLIED)
        since = oldest.aggregate(since=Min("changed_at"))["since"]
        yield GaugeMetricFamily(
            "ensemble_plane_publication_oldest_seconds",
            "Since when the one that waits for longest was last tried or changed.",
            value=0.0 if since is None else max(0.0, (now - since).total_seconds()),
        )
        yield GaugeMetricFamily(
            "ensemble_plane_requests_pending",
            "Requests that wait for an operator.",
            value=Request.objects.filter(status=Request.Status.PENDING).count(),
        )
        yield GaugeMetricFamily(
            "ensemble_plane_secrets_expiring",
            f"Secrets of credentials that end within {EXPIRES_SOON.days} days.",
            value=CredentialSecret.objects.filter(
                until__gt=now, until__lte=now + EXPIRES_SOON, credential__revoked_at=None
            ).count(),
        )
        yield from people()
        last = AuditEvent.objects.order_by("-seq").values_list("seq", flat=True).first()
        yield GaugeMetricFamily(
            "ensemble_plane_audit_rows", "Rows of the plane's own trail.", value=last or 0
        )
        yield from collectors()


def by_label(name: str, text: str, labels: list[str], rows: object) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *values, count in rows:  # type: ignore[attr-defined]
        family.add_metric([str(value) for value in values], count)
    return family


def people() -> Iterator[GaugeMetricFamily]:
    active = User.objects.filter(is_active=True)
    with_factor = Authenticator.objects.filter(type=Authenticator.Type.TOTP).values("user")
    operators = active.filter(is_staff=True)
    yield GaugeMetricFamily(
        "ensemble_plane_people", "Accounts that are switched on.", value=active.count()
    )
    yield GaugeMetricFamily(
        "ensemble_plane_operators", "Operators among them.", value=operators.count()
    )
    yield GaugeMetricFamily(
        "ensemble_plane_operators_without_second_factor",
        "Operators who sign in with a password alone.",
        value=operators.exclude(pk__in=with_factor).exclude(password__startswith="!").count(),
    )


def collectors() -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "ensemble_plane_collector_up", "1 while a collector holds the lease.", value=collector_up()
    )
    labels = ["ensemble", "node", "kind"]
    silent = GaugeMetricFamily(
        "ensemble_plane_source_silent_seconds",
        "Since when a node's metrics, journal or changes have not answered the collector.",
        labels=labels,
    )
    behind = GaugeMetricFamily(
        "ensemble_plane_source_behind_seconds",
        "Between an event and its row, lately.",
        labels=labels,
    )
    now_s = time.time()
    # An index is not asked: the changes keep it, and its own pages say what it lacks.
    asked = Source.objects.exclude(kind=Source.Kind.INDEX).order_by("ensemble", "node", "kind")
    for source in asked[:SOURCES_MAX]:
        names = [source.ensemble, source.node, source.kind]
        if source.looked_at is not None:
            silent.add_metric(names, max(0.0, now_s - source.looked_at.timestamp()))
        behind.add_metric(names, source.behind / 1_000)
    yield silent
    yield behind


def collector_up() -> bool:
    """Whether somebody holds the lease now."""
    return Lease.objects.filter(until__gt=time.time_ns() // 1_000_000).exists()


def exposition() -> bytes:
    """All of it, as Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(PlaneCollector())
    ProcessCollector(registry=registry)
    return generate_latest(registry)
