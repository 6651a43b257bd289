"""What is to be told to whom: rows of the outbox, made in the transaction of the change itself.

Nobody is told of what is silenced, until the silence has ended; a message is made once, has an id,
and is sent until the other end has taken it or the tries are over (`deliver`).
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from observability.export import iso
from observability.models import Alert, Delivery
from tenants.alerts.rule import Severity
from tenants.alerts.table import FOR_MEMBERS, RULES
from tenants.errors import LimitError
from tenants.models import AlertChannel, AlertSilence, Tenant

TOLD_AT_ONCE_MAX: Final = 200  # alerts in one round; the rest in the next one
WAITING_MAX: Final = 2_000  # messages of one channel; what is more is written down as given up
TESTS_A_MINUTE_MAX: Final = 5  # of one channel
VERSION: Final = 1

Event = Delivery.Event


@dataclass(frozen=True, slots=True)
class People:
    """Who wants to know, and what is silenced now."""

    channels: Sequence[AlertChannel]
    silences: Sequence[AlertSilence]


def people() -> People:
    now = datetime.now(UTC)
    channels = AlertChannel.objects.filter(is_on=True).select_related("tenant")
    silences = AlertSilence.objects.filter(ends_at__gt=now)
    gone = Tenant.Lifecycle.GONE
    listed = [one for one in channels if one.tenant is None or one.tenant.lifecycle != gone]
    return People(listed, list(silences))


def silence_of(
    alert: Alert, silences: Sequence[AlertSilence], *, for_own: bool
) -> AlertSilence | None:
    """The silence that lasts longest of those that fit; `for_own`: for the tenant's own people."""
    fitting = [
        one
        for one in silences
        if (for_own or not one.is_own)
        and one.fits(alert.rule, alert.ensemble, alert.node, alert.tenant)
    ]
    return max(fitting, key=lambda one: one.ends_at, default=None)


def wants(channel: AlertChannel, alert: Alert) -> bool:
    """Whether a channel is to be told of an alert."""
    if Severity(alert.severity).rank > Severity(channel.severity).rank:
        return False
    if channel.tenant is not None:
        return channel.tenant.slug == alert.tenant and alert.rule in FOR_MEMBERS
    return not channel.of_tenant or channel.of_tenant == alert.tenant


def tell_firing(alert: Alert, people: People, now: int) -> None:
    """Operators' channels and the tenant's own: those that were not told, and have no silence."""
    for own, name in ((False, "told_at"), (True, "told_own_at")):
        silence = silence_of(alert, people.silences, for_own=own)
        if silence is None and getattr(alert, name) is None:
            tell(alert, Event.FIRING, people, now, own=own)
            Alert.objects.filter(pk=alert.pk).update(**{name: now})


def tell_resolved(alert: Alert, people: People, now: int) -> None:
    """Told to those who were told that it fires."""
    for own, told in ((False, alert.told_at), (True, alert.told_own_at)):
        if told is not None:
            tell(alert, Event.RESOLVED, people, now, own=own)


def tell(alert: Alert, event: str, people: People, now: int, *, own: bool) -> None:
    for channel in people.channels:
        if (channel.tenant is not None) is own and wants(channel, alert):
            put(channel, event, body_of(alert, event), now, alert.pk)


def ask_for_test(channel: AlertChannel) -> Delivery:
    """A test, for somebody at the page.

    Raises:
        LimitError: too many, for what has to be a look whether it works.
    """
    since = time.time_ns() // 1_000_000 - 60_000
    lately = Delivery.objects.filter(channel=channel.pk, event=Event.TEST, made_at__gte=since)
    if lately.count() >= TESTS_A_MINUTE_MAX:
        raise LimitError(f"{TESTS_A_MINUTE_MAX} tests in a minute are enough: wait for the answers")
    return test(channel)


def test(channel: AlertChannel) -> Delivery:
    """A message that says that it is a test."""
    now = time.time_ns() // 1_000_000
    body = {
        "rule": "test",
        "title": "A test",
        "severity": "note",
        "summary": f"This is a test of the channel {channel.name}. Nothing is wrong.",
        "tenant": "" if channel.tenant is None else channel.tenant.slug,
    }
    return put(channel, Event.TEST, body, now, None)


def put(
    channel: AlertChannel, event: str, body: dict[str, Any], now: int, alert: int | None
) -> Delivery:
    message = str(uuid.uuid4())
    waiting = Delivery.objects.filter(channel=channel.pk, status=Delivery.Status.WAITING).count()
    is_full = waiting >= WAITING_MAX
    return Delivery.objects.create(
        message=message,
        channel=channel.pk,
        alert=alert,
        event=event,
        body={"version": VERSION, "id": message, "event": event, "at": iso(now), **body},
        made_at=now,
        next_try_at=now,
        status=Delivery.Status.GIVEN_UP if is_full else Delivery.Status.WAITING,
        done_at=now if is_full else None,
        answer=f"{WAITING_MAX} messages wait already" if is_full else "",
    )


def body_of(alert: Alert, event: str) -> dict[str, Any]:
    """What a message says of an alert; docs/console.md names each member."""
    rule = RULES.get(alert.rule)
    return {
        "alert": alert.pk,
        "rule": alert.rule,
        "title": alert.rule if rule is None else rule.title,
        "severity": alert.severity,
        "summary": alert.summary,
        "ensemble": alert.ensemble,
        "node": alert.node,
        "tenant": alert.tenant,
        "of": alert.of,
        "times": alert.times,
        "since": iso(alert.since),
        "fired_at": None if alert.fired_at is None else iso(alert.fired_at),
        "resolved_at": iso(alert.resolved_at or 0) if event == Event.RESOLVED else None,
        "evidence": alert.evidence.get("now", {}),
        "why": "" if rule is None else rule.why,
        "steps": [] if rule is None else list(rule.steps),
    }
