"""What people do about alerts: change rules, silence, acknowledge."""

import math
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from tenants.access import Standing, standing_of
from tenants.actions.base import action, clean
from tenants.alerts.rule import HOLD_MAX_S, Rule, Severity
from tenants.alerts.table import FOR_MEMBERS, RULES
from tenants.audit import Actor, instant, record
from tenants.errors import ConflictError, ForbiddenError, InvalidError, LimitError
from tenants.models import AlertNote, AlertRule, AlertSilence, Tenant

SILENCE_MAX: Final = timedelta(days=30)
SILENCES_MAX: Final = 500  # that have not ended
WORDS_MAX: Final = 500
NOTES_MAX: Final = 100  # of one alert


@action
def set_rule(
    actor: Actor,
    *,
    name: str,
    is_on: bool,
    threshold: float | None,
    hold_s: int | None,
    severity: str = "",
) -> AlertRule:
    """Set what differs from the table; None and empty: as it stands there.

    Raises:
        InvalidError: no such rule, or a value out of its bounds.
    """
    rule = rule_of(name)
    check_values(rule, threshold, hold_s, severity)
    known = AlertRule.objects.filter(pk=name).first()
    before = says(known)
    row = known or AlertRule(name=name)
    row.is_on, row.threshold, row.hold_s = is_on, threshold, hold_s
    row.severity, row.changed_by = severity, actor.name
    clean(row) if known is None else None
    row.save()
    record(actor, "alert.rule", target=name, detail={"before": before, "after": says(row)})
    return row


def rule_of(name: str) -> Rule:
    rule = RULES.get(name)
    if rule is None:
        raise InvalidError(f"there is no rule {name[:40]!r}: see the page Rules", field="name")
    return rule


def check_values(rule: Rule, threshold: float | None, hold_s: int | None, severity: str) -> None:
    bound = rule.bound
    if threshold is not None:
        if bound is None:
            raise InvalidError(f"{rule.name} has no threshold: leave it empty", field="threshold")
        if not math.isfinite(threshold) or not bound.low <= threshold <= bound.high:
            raise InvalidError(
                f"{rule.name}: {threshold:g} is out of bounds; use {bound.low:g} to "
                f"{bound.high:g} ({bound.unit})",
                field="threshold",
            )
    if hold_s is not None and not 0 <= hold_s <= HOLD_MAX_S:
        raise InvalidError(f"hold for 0 to {HOLD_MAX_S} s, not {hold_s}", field="hold_s")
    if severity and severity not in list(Severity):
        raise InvalidError(f"severity is {severity[:20]!r}; page, ticket or note", field="severity")


def says(row: AlertRule | None) -> dict[str, object]:
    if row is None:
        return {}
    fields = {"threshold": row.threshold, "hold_s": row.hold_s, "severity": row.severity}
    return {"on": row.is_on, **{name: value for name, value in fields.items() if value}}


@action
def silence(
    actor: Actor,
    *,
    rule: str = "",
    ensemble: str = "",
    node: str = "",
    tenant: Tenant | str = "",
    reason: str,
    ends_at: datetime,
) -> AlertSilence:
    """Tell nobody of alerts that fit, until it ends.

    Raises:
        InvalidError, LimitError: with the value and the bound.
        ForbiddenError: a tenant's people silence rules of their own tenant.
    """
    now = timezone.now()
    if not now < ends_at <= now + SILENCE_MAX:
        raise InvalidError(
            f"a silence ends within {SILENCE_MAX.days} days and not in the past", field="ends_at"
        )
    check_words("reason", reason)
    if rule:
        rule_of(rule)
    own = isinstance(tenant, Tenant)
    slug = tenant.slug if isinstance(tenant, Tenant) else tenant
    if not own and actor.user is not None and standing_of(actor.user) < Standing.OPERATOR:
        raise ForbiddenError("this is for operators: silence alerts of a tenant of yours")
    if own and rule and rule not in FOR_MEMBERS:
        raise ForbiddenError(f"{rule} is for operators: choose a rule that you see", field="rule")
    if not (rule or ensemble or node or slug):
        raise InvalidError("say what is silenced: a rule, a tenant, an ensemble or a node")
    if AlertSilence.objects.filter(ends_at__gt=now).count() >= SILENCES_MAX:
        raise LimitError(f"{SILENCES_MAX} silences are at work, no more are kept: end one first")
    row = AlertSilence(
        rule=rule,
        ensemble=ensemble,
        node=node,
        tenant=slug,
        is_own=own,
        reason=reason.strip(),
        made_by=actor.name or "plane",
        ends_at=ends_at,
    )
    clean(row)
    row.save(force_insert=True)
    detail: dict[str, object] = {
        "rule": rule, "ensemble": ensemble, "node": node,
        "until": instant(ends_at), "reason": row.reason,
    }  # fmt: skip
    record(actor, "alert.silenced", tenant=tenant, target=str(row.pk), detail=detail)
    return row


@action
def end_silence(actor: Actor, *, silence: AlertSilence) -> None:
    """It ends now. Once more changes nothing."""
    now = timezone.now()
    ended = AlertSilence.objects.filter(pk=silence.pk, ends_at__gt=now).update(ends_at=now)
    if ended:
        record(actor, "alert.silence_ended", tenant=silence.tenant, target=str(silence.pk))


@action
def acknowledge(
    actor: Actor, *, alert: int, rule: str, tenant: str = "", note: str, take_back: bool = False
) -> AlertNote:
    """Say that somebody sees to an alert, and how; or that nobody does any more.

    Raises:
        InvalidError, ConflictError: with the value and the bound.
    """
    if not take_back or note:
        check_words("note", note)
    notes = AlertNote.objects.filter(alert=alert)
    if notes.count() >= NOTES_MAX:
        raise ConflictError(f"this alert has {NOTES_MAX} notes, no more are kept")
    row = AlertNote(
        alert=alert, person=actor.name or "plane", note=note.strip(), is_taken_back=take_back
    )
    row.save(force_insert=True)
    verb = "alert.taken_back" if take_back else "alert.acknowledged"
    detail: dict[str, object] = {"rule": rule, "note": row.note}
    record(actor, verb, tenant=tenant, target=str(alert), detail=detail)
    return row


def check_words(field: str, text: str) -> None:
    if not text.strip():
        raise InvalidError(f"{field}: say why, for those who come after you", field=field)
    if len(text) > WORDS_MAX:
        raise InvalidError(
            f"{field} has {len(text)} characters; use at most {WORDS_MAX}", field=field
        )
