"""One round: look at everything that is due, write what changed and what is to be told of it.

Looks are read outside of a transaction; what follows from them is one transaction, which names the
collector's lease: so there is one evaluator, and nothing is told that was not written.
"""

import logging
import time
from collections.abc import Iterable
from typing import Final

from django.db import transaction
from django.db.models import Q

from observability.alerts import outbox
from observability.alerts.checks import Found
from observability.alerts.look import look
from observability.alerts.machine import REOPEN_S, Setting, Steps, step
from observability.alerts.picture import Painter, Picture
from observability.models import Alert, Delivery, Fact
from observability.store import ALIAS, fence
from tenants.alerts.rule import Rule
from tenants.alerts.table import RULES
from tenants.models import AlertRule

log = logging.getLogger("observability.alerts")

EVALUATED: Final = "evaluated"  # the fact that says when the last round was
ASLEEP_S: Final = 60  # longer ago: what was pending has to hold anew
KEEP_MS: Final = 90 * 86_400_000
PRUNE_EVERY_MS: Final = 600_000
PRUNE_ROWS: Final = 2_000


class Evaluator:
    """One term's. `round` every few seconds, from one thread."""

    def __init__(self, term: int) -> None:
        self.term: Final = term
        self.painter: Final = Painter()
        self.looked_ms: dict[str, int] = {}
        self.pruned_ms = 0

    def round(self, now_ms: int | None = None) -> int:
        """How many alerts changed.

        Raises:
            LeaseLostError: another collector does it now; nothing was written.
        """
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        began = time.perf_counter()
        settings = settings_now()
        picture = self.painter.paint(now / 1_000)
        picture.values = {one.rule.name: one.value for one in settings if one.is_on}
        last = picture.facts.get(EVALUATED)
        picture.asleep_s = 0.0 if last is None else max(0.0, (now - last.at) / 1_000)
        due = [one for one in settings if self.is_due(one.rule, now)]
        found = {one.rule.name: judge(one, picture) for one in due}
        spent_ms = round((time.perf_counter() - began) * 1_000)
        with transaction.atomic(using=ALIAS):
            fence(self.term)
            count = self.write(due, found, picture, now)
            value = {"looked_ms": spent_ms, "rules": len(due)}
            Fact.objects.update_or_create(name=EVALUATED, defaults={"at": now, "value": value})
            if now - self.pruned_ms > PRUNE_EVERY_MS:
                prune(now)
                self.pruned_ms = now
        for one in due:
            self.looked_ms[one.rule.name] = now
        return count

    def is_due(self, rule: Rule, now: int) -> bool:
        last = self.looked_ms.get(rule.name)
        return last is None or now < last or now - last >= rule.every_s * 1_000 - 500

    def write(
        self, due: list[Setting], found: dict[str, Found | None], picture: Picture, now: int
    ) -> int:
        known = known_alerts(now)
        people = outbox.people()
        count = 0
        for setting in due:
            name = setting.rule.name
            seen = found[name]
            if seen is None:
                continue  # it failed, and has said so: nothing is known
            mine = known.get(name, [])
            if picture.asleep_s > ASLEEP_S:
                wake(mine, now)
            steps = step(setting, mine, seen, now)
            save(steps)
            count += len(steps.changed) + len(steps.dropped)
            for alert in steps.resolved:
                outbox.tell_resolved(alert, people, now)
        waiting = Alert.objects.filter(status=Alert.Status.FIRING).filter(
            Q(told_at=None) | Q(told_own_at=None)
        )
        for alert in waiting.order_by("pk")[: outbox.TOLD_AT_ONCE_MAX]:
            outbox.tell_firing(alert, people, now)
        return count


def judge(setting: Setting, picture: Picture) -> Found | None:
    """None: the look itself failed. That is no good news either, and the others go on."""
    if not setting.is_on:
        return Found()
    try:
        return look(setting.rule, setting.value, picture)
    except Exception:
        log.exception("the rule %s could not be looked at", setting.rule.name)
        return None


def settings_now() -> list[Setting]:
    """All rules as they are in force."""
    changed = {row.name: row for row in AlertRule.objects.all()}
    return [setting_of(rule, changed.get(rule.name)) for rule in RULES.values()]


def setting_of(rule: Rule, row: AlertRule | None) -> Setting:
    value = 0.0 if rule.bound is None else rule.bound.value
    if row is None:
        return Setting(rule, True, value, rule.hold_s, rule.severity)
    return Setting(
        rule,
        row.is_on,
        value if row.threshold is None else row.threshold,
        rule.hold_s if row.hold_s is None else row.hold_s,
        row.severity or rule.severity,
    )


def known_alerts(now: int) -> dict[str, list[Alert]]:
    """Those that are open, and those that may come back."""
    found: dict[str, list[Alert]] = {}
    opened = Alert.objects.exclude(status=Alert.Status.RESOLVED)
    lately = Alert.objects.filter(
        status=Alert.Status.RESOLVED, resolved_at__gte=now - REOPEN_S * 1_000
    )
    for alert in (*lately, *opened):
        found.setdefault(alert.rule, []).append(alert)
    return found


def wake(alerts: Iterable[Alert], now: int) -> None:
    """Nobody looked for a while: whether it held all the time is not known."""
    for alert in alerts:
        if alert.status == Alert.Status.PENDING:
            alert.since = now


def save(steps: Steps) -> None:
    for alert in steps.changed:
        alert.save()
    if steps.dropped:
        Alert.objects.filter(pk__in=[alert.pk for alert in steps.dropped]).delete()


def prune(now: int) -> None:
    """What is older than KEEP_MS, a portion at a time."""
    old = Alert.objects.filter(
        status=Alert.Status.RESOLVED, resolved_at__lt=now - KEEP_MS
    ).values_list("pk", flat=True)
    Alert.objects.filter(pk__in=list(old[:PRUNE_ROWS])).delete()
    sent = Delivery.objects.exclude(status=Delivery.Status.WAITING).filter(
        made_at__lt=now - KEEP_MS
    )
    Delivery.objects.filter(pk__in=list(sent.values_list("pk", flat=True)[:PRUNE_ROWS])).delete()
