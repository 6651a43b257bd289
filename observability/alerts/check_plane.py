"""Looks at the plane itself: what comes, whether it holds together, what people did."""

from datetime import UTC, datetime, timedelta
from typing import Final

from observability.alerts.checks import Found, Subject, check
from observability.alerts.picture import Picture
from observability.models import Source
from tenants.alerts.rule import Rule
from tenants.models import AuditEvent

FOLLOWED: Final = (Source.Kind.JOURNAL, Source.Kind.CHANGES)
WEIGHTY: Final = (
    *("tenant.deleted", "tenant.purged", "ensemble.removed", "person.created", "person.changed"),
    *("person.mfa_reset", "policy.applied"),
)
ACTIONS_MAX: Final = 100  # in one round, the newest


@check("collector-stopped")
def collector_stopped(rule: Rule, value: float, picture: Picture) -> Found:
    """Told afterwards: who stands still evaluates nothing (`read.asleep` says so meanwhile)."""
    found = Found()
    if picture.asleep_s > value:
        since = picture.now_s - picture.asleep_s
        say = f"For {picture.asleep_s:,.0f} s no collector was at work"
        found.add(Subject(), say, since, seconds=int(picture.asleep_s))
    return found


@check("source-silent")
def source_silent(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for source in picture.sources:
        if source.kind not in FOLLOWED or source.ensemble not in picture.kinds:
            continue
        if not source.problem or source.problem_since is None:
            continue
        silent = picture.now_s - source.problem_since.timestamp()
        if silent > value:
            where = f"{source.ensemble}/{source.node}" if source.node else source.ensemble
            say = f"The {source.get_kind_display()} ({where}) has not come for {silent:,.0f} s"
            subject = Subject(source.ensemble, source.node, of=source.kind)
            since = source.problem_since.timestamp()
            found.add(subject, say, since, problem=source.problem)
    return found


@check("collector-behind")
def collector_behind(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for source in picture.sources:
        if source.kind not in FOLLOWED:
            continue
        subject = Subject(source.ensemble, source.node, of=source.kind)
        if source.problem:
            found.blind.add(subject)
        elif source.behind > value * 1_000:
            behind = source.behind / 1_000
            say = f"{source}: {behind:,.1f} s behind"
            found.add(subject, say, None, behind_s=round(behind, 1))
    return found


@check("chain-broken")
def chain_broken(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for one in picture.segments:
        journal = f"{one.ensemble}/{one.node}" if one.node else "the console's own trail"
        of = f"{one.chain}/{one.segment}"
        say = f"{journal}: line {one.first_problem_seq}: {one.first_problem}"
        since = one.first_problem_at
        found.add(
            Subject(one.ensemble, one.node, of=of), say,
            None if since is None else since.timestamp(),
            line=one.first_problem_seq, segment=one.segment, problems=one.problems,
        )  # fmt: skip
    return found


@check("weighty-action")
def weighty_action(rule: Rule, value: float, picture: Picture) -> Found:
    """Each for so many minutes; after a sleep also those that were done meanwhile."""
    found = Found()
    back = timedelta(minutes=value) + timedelta(seconds=picture.asleep_s)
    since = datetime.fromtimestamp(picture.now_s, UTC) - back
    done = AuditEvent.objects.filter(at__gte=since, verb__in=WEIGHTY).order_by("-seq")
    for event in done[:ACTIONS_MAX]:
        if event.verb in ("person.created", "person.changed") and not event.detail.get("operator"):
            continue
        who = event.actor or "the plane"
        what = event.target if event.verb.startswith("person.") else event.tenant or event.target
        say = f"{who}: {event.verb} {what or event.ensemble}"
        found.add(
            Subject(event.ensemble, tenant=event.tenant, of=f"action {event.seq}"), say,
            event.at.timestamp(), who=who, verb=event.verb, seq=event.seq,
        )  # fmt: skip
    return found
