"""Alerts for pages: which fire, for whom, who sees to them, what was before.

Operators and auditors see all. A tenant's people see those of their tenant that are theirs to
solve (`tenants.alerts.table.FOR_MEMBERS`), since it was made.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet

from observability.alerts import outbox
from observability.alerts.evaluate import EVALUATED
from observability.models import Alert, Delivery, Fact
from tenants.access import Standing, standing_of, visible_to
from tenants.alerts.rule import Rule, Severity
from tenants.alerts.table import FOR_MEMBERS, RULES
from tenants.models import AlertChannel, AlertNote, AlertSilence, Tenant

FIRING_MAX: Final = 500  # shown at once
TENANTS_MAX: Final = 500  # of one person, looked at for the count
TOLD_MAX: Final = 50  # messages about one alert
ASLEEP_S: Final = 30.0  # so long without a round: what is shown may not be so any more

User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert with all that a page says of it."""

    alert: Alert
    rule: Rule | None
    note: AlertNote | None  # who sees to it
    silence: AlertSilence | None

    @property
    def title(self) -> str:
        return self.alert.rule if self.rule is None else self.rule.title

    @property
    def since(self) -> datetime:
        return moment(self.alert.since)

    @property
    def fired_at(self) -> datetime:
        return moment(self.alert.fired_at or self.alert.since)

    @property
    def resolved_at(self) -> datetime | None:
        at = self.alert.resolved_at
        return None if at is None or self.alert.status == Alert.Status.FIRING else moment(at)

    @property
    def lasted_s(self) -> int:
        """From when it fired to its end, or to now."""
        until = self.resolved_at or datetime.now(UTC)
        return max(0, round((until - self.fired_at).total_seconds()))

    @property
    def is_quiet(self) -> bool:
        """Somebody has it in hand, or nobody wants to hear of it."""
        return self.note is not None or self.silence is not None


@dataclass(frozen=True, slots=True)
class Now:
    """Those that fire, how many of each severity nobody sees to, and whether that is so still."""

    found: list[Shown]
    counts: dict[str, int]
    asleep_s: float | None

    @property
    def is_asleep(self) -> bool:
        return self.asleep_s is None or self.asleep_s > ASLEEP_S


@dataclass(frozen=True, slots=True)
class Facts:
    """Figures of an alert at one time; `at_ms` None: there are none."""

    at_ms: int | None
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A message about an alert; `channel` None: it was removed."""

    message: Delivery
    channel: AlertChannel | None

    @property
    def at(self) -> datetime:
        return moment(self.message.done_at or self.message.made_at)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def asleep_s(now_s: float | None = None) -> float | None:
    """Since when no rule was looked at; None: never yet."""
    last = Fact.objects.filter(pk=EVALUATED).first()
    if last is None:
        return None
    return max(0.0, (time.time() if now_s is None else now_s) - last.at / 1_000)


def of_tenant(tenant: Tenant) -> QuerySet[Alert]:
    """What the tenant's own people may see."""
    born = int(tenant.created_at.timestamp() * 1_000)
    return Alert.objects.filter(
        tenant=tenant.slug, ensemble=tenant.ensemble.name, rule__in=FOR_MEMBERS, seen_at__gte=born
    )


def visible(user: User, tenant: Tenant | None = None) -> QuerySet[Alert]:
    """Alerts that somebody may see; `tenant`: of that one, which the caller has opened."""
    if standing_of(user) >= Standing.AUDITOR:
        every = Alert.objects.all()
        return every if tenant is None else every.filter(tenant=tenant.slug)
    return Alert.objects.none() if tenant is None else of_tenant(tenant)


def firing(
    user: User, *, ensemble: str = "", node: str = "", tenant: Tenant | None = None
) -> list[Shown]:
    """Those that fire now, the weightiest and newest first; those in somebody's hands last."""
    found = visible(user, tenant).filter(status=Alert.Status.FIRING)
    if ensemble:
        found = found.filter(ensemble=ensemble)
    if node:
        found = found.filter(node=node)
    own = standing_of(user) < Standing.AUDITOR
    return sort(shown(found.order_by("-fired_at")[:FIRING_MAX], for_own=own))


def now(user: User, tenant: Tenant | None = None) -> Now:
    found = firing(user, tenant=tenant)
    loud = [one.alert.severity for one in found if not one.is_quiet]
    return Now(found, {str(name): loud.count(str(name)) for name in Severity}, asleep_s())


def one(user: User, pk: int, tenant: Tenant | None = None) -> Shown | None:
    """One alert that somebody may see; None: there is none."""
    found = visible(user, tenant).exclude(status=Alert.Status.PENDING)
    own = standing_of(user) < Standing.AUDITOR
    return next(iter(shown(found.filter(pk=pk), for_own=own)), None)


def facts(alert: Alert, name: str) -> Facts:
    """What was seen then; `name`: first, now."""
    kept = alert.evidence.get(name)
    if not isinstance(kept, dict):
        return Facts(None, {})
    at = kept.get("at")
    figures = {key: value for key, value in kept.items() if key != "at"}
    return Facts(at if isinstance(at, int) else None, figures)


def told(alert: Alert, tenant: Tenant | None = None) -> list[Told]:
    """The last messages about an alert. A tenant's people are told where their own channels led,
    not where operators' did.
    """
    sent = list(Delivery.objects.filter(alert=alert.pk).order_by("-pk")[:TOLD_MAX])
    channels = AlertChannel.objects.in_bulk({one.channel for one in sent})
    found = [Told(one, channels.get(one.channel)) for one in sent]
    if tenant is None:
        return found
    return [one for one in found if one.channel and one.channel.tenant_id == tenant.pk]


def sort(found: Iterable[Shown]) -> list[Shown]:
    return sorted(
        found,
        key=lambda one: (
            one.is_quiet,
            Severity(one.alert.severity).rank,
            -(one.alert.fired_at or 0),
        ),
    )


def shown(alerts: Iterable[Alert], *, for_own: bool = False) -> list[Shown]:
    """With notes and silences, in two queries. `for_own`: as a tenant's own people see them."""
    rows = list(alerts)
    notes = notes_of([row.pk for row in rows])
    silences = list(AlertSilence.objects.filter(ends_at__gt=datetime.now(UTC)))
    return [
        Shown(
            row,
            RULES.get(row.rule),
            notes.get(row.pk),
            outbox.silence_of(row, silences, for_own=for_own)
            if row.status == Alert.Status.FIRING
            else None,
        )
        for row in rows
    ]


def notes_of(alerts: Sequence[int]) -> dict[int, AlertNote]:
    """The newest note of each, unless it was taken back."""
    newest: dict[int, AlertNote] = {}
    for row in AlertNote.objects.filter(alert__in=alerts).order_by("pk"):
        newest[row.alert] = row
    return {pk: row for pk, row in newest.items() if not row.is_taken_back}


def firing_counts(user: User) -> dict[str, int]:
    """How many fire that nobody sees to, by severity: for the mark beside the word Alerts.

    Where nobody looks at the rules, that counts as one that wakes somebody up.
    """
    counts = dict.fromkeys(Severity, 0)
    fire = Alert.objects.filter(status=Alert.Status.FIRING)
    own = standing_of(user) < Standing.AUDITOR
    if not own:
        asleep = asleep_s()
        counts[Severity.PAGE] += asleep is not None and asleep > ASLEEP_S
    else:
        mine = list(visible_to(user).values_list("slug", flat=True)[:TENANTS_MAX])
        fire = fire.filter(tenant__in=mine, rule__in=FOR_MEMBERS)
    for one in shown(fire.order_by("-fired_at")[:FIRING_MAX], for_own=own):
        if not one.is_quiet:
            counts[Severity(one.alert.severity)] += 1
    return {str(name): count for name, count in counts.items()}


def history(found: QuerySet[Alert], limit: int, before: int | None = None) -> list[Shown]:
    """Those that were resolved, the last first; `before`: a number of the page before."""
    past = found.filter(status=Alert.Status.RESOLVED)
    if before is not None:
        past = past.filter(pk__lt=before)
    return shown(past.order_by("-pk")[:limit])
