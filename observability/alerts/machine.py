"""What a look means for each alert: pending, firing, resolved. No database and no clock here.

- It fires when the rule has held for `hold_s` without a break, and is resolved when it has not
  held for a while: CLEAR_S at first, twice as long each time that it came back, CLEAR_MAX_S at
  most. So what flaps is one alert that says how often, and tells people ever less often.
- One that comes back within REOPEN_S goes on as the same alert.
- Where nothing can be said (`blind`), it stays what it was.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from observability.alerts.checks import Finding, Found, Subject
from observability.models import Alert
from tenants.alerts.rule import Rule

CLEAR_S: Final = 30
CLEAR_MAX_S: Final = 1_800
REOPEN_S: Final = 900
OPEN_MAX: Final = 500  # alerts of one rule; further subjects have to wait
WRITE_EVERY_MS: Final = 10_000  # figures of one that goes on
SUMMARY_MAX: Final = 500

Status = Alert.Status


@dataclass(frozen=True, slots=True)
class Setting:
    """A rule as it is in force."""

    rule: Rule
    is_on: bool
    value: float
    hold_s: int
    severity: str


@dataclass(slots=True)
class Steps:
    """What is to be written: new and changed rows, rows that never fired, and what to tell."""

    changed: list[Alert]
    dropped: list[Alert]
    fired: list[Alert]
    resolved: list[Alert]


def subject_of(alert: Alert) -> Subject:
    return Subject(alert.ensemble, alert.node, alert.tenant, alert.of)


def step(setting: Setting, known: Iterable[Alert], found: Found, now_ms: int) -> Steps:
    """One rule's look. `known`: its alerts that are open, and those resolved within REOPEN_S."""
    steps = Steps([], [], [], [])
    by_subject: dict[Subject, Alert] = {}
    for alert in sorted(known, key=lambda one: one.since):
        by_subject[subject_of(alert)] = alert
    # What was cut off when it was written is compared as it was cut.
    holds = {cut(one.subject): one for one in found.findings} if setting.is_on else {}
    opened = sum(1 for one in by_subject.values() if one.status != Status.RESOLVED)
    for subject, finding in holds.items():
        alert_or_none = by_subject.get(subject)
        if alert_or_none is None or alert_or_none.status == Status.RESOLVED:
            if opened >= OPEN_MAX:
                continue
            opened += 1
        hold(steps, setting, alert_or_none, finding, now_ms)
    for subject, alert in by_subject.items():
        if subject in holds or alert.status == Status.RESOLVED:
            continue
        if setting.is_on and found.is_blind_for(subject):
            stay(steps, alert)
        else:
            clear(steps, setting, alert, now_ms)
    return steps


def cut(subject: Subject) -> Subject:
    """Within the columns."""
    return Subject(subject.ensemble[:63], subject.node[:100], subject.tenant[:63], subject.of[:100])


def hold(
    steps: Steps, setting: Setting, alert: Alert | None, finding: Finding, now_ms: int
) -> None:
    """The rule holds there."""
    since = now_ms if finding.since_s is None else min(now_ms, round(finding.since_s * 1_000))
    is_news = alert is None
    if alert is None:
        alert = begin(setting, finding, since, now_ms)
    elif alert.status == Status.RESOLVED:
        is_news = True
        alert.status, alert.since = Status.PENDING, since
    last = alert.seen_at
    was_clear = alert.clear_since is not None or alert.is_blind
    alert.clear_since, alert.is_blind = None, False
    alert.severity = setting.severity
    alert.summary = finding.summary[:SUMMARY_MAX]
    alert.evidence = {**alert.evidence, "now": {**finding.evidence, "at": now_ms}}
    alert.seen_at = now_ms
    if alert.status == Status.PENDING and now_ms - alert.since >= setting.hold_s * 1_000:
        fire(alert, now_ms)
        steps.fired.append(alert)
        is_news = True
    if is_news or was_clear or now_ms - last >= WRITE_EVERY_MS:
        steps.changed.append(alert)
    else:
        alert.seen_at = last  # so that the next one is written


def begin(setting: Setting, finding: Finding, since: int, now_ms: int) -> Alert:
    where = cut(finding.subject)
    return Alert(
        rule=setting.rule.name,
        ensemble=where.ensemble,
        node=where.node,
        tenant=where.tenant,
        of=where.of,
        status=Status.PENDING,
        evidence={"first": {**finding.evidence, "at": now_ms}},
        since=since,
        seen_at=now_ms,
    )


def fire(alert: Alert, now_ms: int) -> None:
    if alert.resolved_at is not None:  # it was resolved a moment ago, and is back
        alert.times += 1
        alert.resolved_at = None
    else:
        alert.fired_at = now_ms
    alert.status = Status.FIRING
    alert.told_at = alert.told_own_at = None


def stay(steps: Steps, alert: Alert) -> None:
    """No figures: neither good news nor bad ones."""
    if not alert.is_blind or alert.clear_since is not None:
        alert.is_blind, alert.clear_since = True, None
        steps.changed.append(alert)


def clear(steps: Steps, setting: Setting, alert: Alert, now_ms: int) -> None:
    """The rule does not hold there any more."""
    if alert.status == Status.PENDING:
        if alert.resolved_at is None:
            steps.dropped.append(alert)
        else:
            alert.status = Status.RESOLVED
            steps.changed.append(alert)
        return
    if alert.clear_since is None:
        alert.clear_since, alert.is_blind = now_ms, False
        steps.changed.append(alert)
    if not setting.is_on or now_ms - alert.clear_since >= clear_ms(alert.times):
        alert.status, alert.resolved_at = Status.RESOLVED, now_ms
        if alert not in steps.changed:
            steps.changed.append(alert)
        steps.resolved.append(alert)


def clear_ms(times: int) -> int:
    """How long it must not hold before it is resolved."""
    return min(CLEAR_MAX_S, CLEAR_S << min(times - 1, 10)) * 1_000
