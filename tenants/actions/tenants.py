"""Tenants: made, described, given other limits, suspended, throttled. Their end is in `life`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.utils import timezone

from ensemble.tenancy.registry import ROOT_BYTES_MAX, default_root, is_slug
from tenants.actions.base import (
    action,
    changed,
    checked,
    clean,
    hold,
    person_of,
    publish_after_commit,
    rules,
)
from tenants.actions.life import delete, expire_due, purge, restore
from tenants.actions.plans import check_weight
from tenants.audit import Actor, record
from tenants.errors import ConflictError, ForbiddenError, InvalidError, LimitError
from tenants.models import Ensemble, MemberRole, Membership, Plan, Publication, Tenant

TENANTS_MAX: Final = 20_000  # of the plane
REASON_MAX: Final = 500
SECRET_PATHS_MAX: Final = 100
HISTORY_DAYS_MAX: Final = 3_650
HISTORY_BYTES_MAX: Final = 100_000_000_000
FOR_A_WHILE_MAX: Final = timedelta(days=365)  # a suspension or throttle that ends by itself

Overrides = Mapping[str, int | None]


@action
def create(
    actor: Actor,
    *,
    slug: str,
    title: str = "",
    plan: Plan,
    ensemble: Ensemble | None = None,
    owner: User | None,
    overrides: Overrides | None = None,
    weight: int | None = None,
    mode: str = Tenant.Mode.ENFORCE,
    root: str = "",
    adopt: bool = False,
) -> Tenant:
    """A new tenant. Who is no operator makes one for themselves, by a self-service plan.

    Args:
        owner: the first member; None: nobody but operators.
        overrides: limits in the plan's place; None as a value: no limit.
        root: its `/` in the ensemble's tree; `/tenants/<slug>` by default.
        adopt: the root is there already, and stays as it is.
    """
    check_slug(slug)
    if plan.retired:
        raise InvalidError(f"the plan {plan.name} is not given any more: choose another one")
    if not rules(actor):
        check_self_service(actor, plan, owner)
        if root or adopt or overrides or weight is not None:
            raise ForbiddenError("root, limits and weight are an operator's to set: ask for them")
    check_weight(weight)
    placed = place(ensemble)
    where = root_of(slug, root, adopt)
    check_free(actor, placed, where)
    if Tenant.objects.exclude(lifecycle=Tenant.Lifecycle.GONE).count() >= TENANTS_MAX:
        raise LimitError(f"there are {TENANTS_MAX} tenants, more are not kept")
    tenant = Tenant(
        slug=slug,
        title=title,
        ensemble=placed,
        plan=plan,
        root=where,
        adopted=adopt,
        overrides=dict(overrides or {}),
        weight=weight,
        mode=mode,
        created_by=person_of(actor),
    )
    clean(tenant)
    tenant.save(force_insert=True)
    checked(tenant)
    Publication.objects.create(tenant=tenant, next_try_at=timezone.now())
    if owner is not None:
        Membership.objects.create(tenant=tenant, user=owner, role=MemberRole.OWNER)
    detail: dict[str, object] = {
        "plan": plan.name,
        "root": where,
        "mode": str(mode),
        "adopted": adopt,
        "overrides": dict(overrides or {}),
        "owner": "" if owner is None else owner.get_username(),
    }
    record(actor, "tenant.created", tenant=tenant, detail=detail)
    publish_after_commit(tenant)
    return tenant


@action
def describe(
    actor: Actor,
    *,
    tenant: Tenant,
    title: str | None = None,
    audit_reads: bool | None = None,
    secret_paths: Sequence[str] | None = None,
    history_days: int | None = None,
    history_bytes: int | None = None,
) -> Tenant:
    """Change what does not limit anybody; what is None stays."""
    hold(tenant)
    before = described(tenant)
    if title is not None:
        tenant.title = title
    if audit_reads is not None:
        tenant.audit_reads = audit_reads
    if secret_paths is not None:
        tenant.secret_paths = check_paths(secret_paths)
    if history_days is not None:
        check_number("history_days", history_days, HISTORY_DAYS_MAX)
        tenant.history_days = history_days
    if history_bytes is not None:
        check_number("history_bytes", history_bytes, HISTORY_BYTES_MAX)
        tenant.history_bytes = history_bytes
    clean(tenant)
    after = described(tenant)
    if before == after:
        return tenant
    detail: dict[str, object] = {"before": before, "after": after}
    record(actor, "tenant.described", tenant=tenant, detail=detail)
    if before["audit_reads"] != after["audit_reads"]:
        changed(tenant)
    else:
        tenant.save()
    return tenant


@action
def set_mode(actor: Actor, *, tenant: Tenant, mode: str) -> Tenant:
    """observe, permissive or enforce."""
    hold(tenant)
    before = tenant.mode
    if mode == before:
        return tenant
    tenant.mode = mode
    clean(tenant)
    record(actor, "tenant.mode", tenant=tenant, detail={"before": before, "after": mode})
    changed(tenant)
    return tenant


@action
def set_plan(actor: Actor, *, tenant: Tenant, plan: Plan) -> Tenant:
    """Another plan. Who is no operator takes a self-service one; others are asked for."""
    hold(tenant)
    if plan.pk == tenant.plan_id:
        return tenant
    if plan.retired:
        raise InvalidError(f"the plan {plan.name} is not given any more: choose another one")
    if not rules(actor):
        check_self_service(actor, plan, person_of(actor))
    before = tenant.plan.name
    tenant.plan = plan
    clean(tenant)
    record(actor, "tenant.plan", tenant=tenant, detail={"before": before, "after": plan.name})
    changed(tenant)
    return tenant


@action
def set_limits(actor: Actor, *, tenant: Tenant, overrides: Overrides, weight: int | None) -> Tenant:
    """Limits and weight in the plan's place; `{}` and None: the plan's own."""
    hold(tenant)
    check_weight(weight)
    before: dict[str, object] = {"overrides": dict(tenant.overrides), "weight": tenant.weight}
    tenant.overrides, tenant.weight = dict(overrides), weight
    clean(tenant)
    after: dict[str, object] = {"overrides": dict(overrides), "weight": weight}
    if before == after:
        return tenant
    record(actor, "tenant.limits", tenant=tenant, detail={"before": before, "after": after})
    changed(tenant)
    return tenant


@action
def suspend(actor: Actor, *, tenant: Tenant, reason: str, until: datetime | None = None) -> Tenant:
    """Refuse its writes, until then or until `resume`."""
    return set_state(actor, tenant, Tenant.State.SUSPENDED, reason, until)


@action
def drain(
    actor: Actor, *, tenant: Tenant, reason: str = "", until: datetime | None = None
) -> Tenant:
    """Refuse new sessions; those that are there go on."""
    return set_state(actor, tenant, Tenant.State.DRAINING, reason, until)


@action
def resume(actor: Actor, *, tenant: Tenant) -> Tenant:
    """Active again, and at its full rates."""
    hold(tenant)
    if tenant.state == Tenant.State.ACTIVE and not tenant.throttle:
        return tenant
    before = str(tenant.state)
    tenant.state, tenant.state_until, tenant.state_reason = Tenant.State.ACTIVE, None, ""
    tenant.throttle, tenant.throttle_until, tenant.throttle_reason = {}, None, ""
    clean(tenant)
    record(actor, "tenant.resumed", tenant=tenant, detail={"before": before})
    changed(tenant)
    return tenant


@action
def throttle(
    actor: Actor, *, tenant: Tenant, limits: Mapping[str, int], until: datetime, reason: str
) -> Tenant:
    """Lower limits for a while; one that is not lower than the tenant's own changes nothing."""
    hold(tenant)
    check_for_a_while(until)
    check_reason(reason)
    if not limits:
        raise InvalidError("name at least one limit to lower", field="limits")
    tenant.throttle, tenant.throttle_until, tenant.throttle_reason = dict(limits), until, reason
    clean(tenant)
    detail: dict[str, object] = {
        "limits": dict(limits),
        "until": until.isoformat(),
        "reason": reason,
    }
    record(actor, "tenant.throttled", tenant=tenant, detail=detail)
    changed(tenant)
    return tenant


def set_state(
    actor: Actor, tenant: Tenant, state: Tenant.State, reason: str, until: datetime | None
) -> Tenant:
    hold(tenant)
    check_reason(reason)
    if until is not None:
        check_for_a_while(until)
    tenant.state, tenant.state_until, tenant.state_reason = state, until, reason
    clean(tenant)
    detail: dict[str, object] = {
        "reason": reason,
        "until": None if until is None else until.isoformat(),
    }
    record(actor, f"tenant.{state.value}", tenant=tenant, detail=detail)
    changed(tenant)
    return tenant


# Checks


def check_slug(slug: str) -> None:
    """Raises InvalidError, ConflictError."""
    if not is_slug(slug):
        raise InvalidError(
            f"slug: {slug[:70]!r} cannot be a tenant's name: 1 to 63 of a-z 0-9 -, a letter or "
            "digit at both ends",
            field="slug",
        )
    if Tenant.objects.filter(slug=slug).exclude(lifecycle=Tenant.Lifecycle.GONE).exists():
        raise ConflictError(f"the name {slug} is taken: choose another one", field="slug")
    leaving = Publication.objects.filter(
        tenant__slug=slug, tenant__lifecycle=Tenant.Lifecycle.GONE
    ).exclude(status=Publication.Status.APPLIED)
    if leaving.exists():
        raise ConflictError(
            f"what had the name {slug} is still being removed: try again in a minute", field="slug"
        )


def check_self_service(actor: Actor, plan: Plan, owner: User | None) -> None:
    """Raises ForbiddenError, LimitError."""
    if plan.entry != Plan.Entry.SELF_SERVICE:
        raise ForbiddenError(
            f"the plan {plan.name} is not self-service: ask for it, and an operator decides",
            field="plan",
        )
    person = person_of(actor)
    if person is None or owner != person:
        raise ForbiddenError("a tenant by a self-service plan is made by its owner")
    owned = (
        Membership.objects.filter(user=person, role=MemberRole.OWNER, tenant__plan=plan)
        .exclude(tenant__lifecycle=Tenant.Lifecycle.GONE)
        .count()
    )
    if owned >= plan.tenants_per_person_max:
        raise LimitError(
            f"you own {owned} tenants of the plan {plan.name}, at most "
            f"{plan.tenants_per_person_max}: delete one, or ask an operator",
            field="plan",
        )


def place(ensemble: Ensemble | None) -> Ensemble:
    """Where a new tenant lives: as wished, else where the fewest are."""
    if ensemble is not None:
        if not ensemble.takes_tenants:
            raise ConflictError(
                f"{ensemble.name} takes no new tenants: choose another ensemble", field="ensemble"
            )
        return ensemble
    free = Ensemble.objects.filter(takes_tenants=True)
    if not free:
        raise ConflictError(
            "no ensemble takes tenants: an operator has to register one", field="ensemble"
        )
    return min(
        free, key=lambda e: (e.tenants.exclude(lifecycle=Tenant.Lifecycle.GONE).count(), e.name)
    )


def root_of(slug: str, root: str, adopt: bool) -> str:
    """The root of a new tenant. Whether servers take it, its document shows.

    Raises:
        InvalidError: adoption without a path, or too long a one.
    """
    if adopt and not root:
        raise InvalidError("root: name the path to adopt, as /kafka", field="root")
    where = root or default_root(slug).decode()
    size = len(where.encode(errors="replace"))
    if size > ROOT_BYTES_MAX:
        raise InvalidError(f"root: {size} bytes, at most {ROOT_BYTES_MAX}", field="root")
    return where


def check_free(actor: Actor, ensemble: Ensemble, where: str) -> None:
    """No tenant's root lies within another one's.

    Raises:
        ConflictError: it would. Whose the other is, operators alone learn.
    """
    others = ensemble.tenants.exclude(lifecycle=Tenant.Lifecycle.GONE)
    for slug, there in others.values_list("slug", "root"):
        if where == there or where.startswith(there + "/") or there.startswith(where + "/"):
            if not rules(actor):
                raise ConflictError("this name cannot be had: choose another one", field="slug")
            raise ConflictError(
                f"root: {where[:100]} and {there[:100]}, the root of {slug}, are within one "
                "another: choose another path",
                field="root",
            )


def check_reason(reason: str) -> None:
    if len(reason) > REASON_MAX:
        raise InvalidError(
            f"reason: {len(reason)} characters, at most {REASON_MAX}", field="reason"
        )


def check_for_a_while(until: datetime) -> None:
    now = timezone.now()
    if not now < until <= now + FOR_A_WHILE_MAX:
        raise InvalidError(
            f"until: {until.isoformat()} is not within the next {FOR_A_WHILE_MAX.days} days",
            field="until",
        )


def check_number(name: str, value: int, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidError(
            f"{name}: {str(value)[:40]}, a number from 0 to {most} is wanted", field=name
        )


def check_paths(paths: Sequence[str]) -> list[str]:
    """Prefixes as the tenant calls them. Raises InvalidError."""
    if len(paths) > SECRET_PATHS_MAX:
        raise InvalidError(
            f"secret_paths: {len(paths)}, at most {SECRET_PATHS_MAX}", field="secret_paths"
        )
    for path in paths:
        if not isinstance(path, str) or not path.startswith("/") or len(path) > ROOT_BYTES_MAX:
            raise InvalidError(
                f"secret_paths: {str(path)[:100]!r} is no path: it begins with / and has at most "
                f"{ROOT_BYTES_MAX} characters",
                field="secret_paths",
            )
    return sorted({path if path == "/" else path.rstrip("/") for path in paths})


def described(tenant: Tenant) -> dict[str, object]:
    return {
        "title": tenant.title,
        "audit_reads": tenant.audit_reads,
        "secret_paths": list(tenant.secret_paths),
        "history_days": tenant.history_days,
        "history_bytes": tenant.history_bytes,
    }


__all__ = [
    "create",
    "delete",
    "describe",
    "drain",
    "expire_due",
    "purge",
    "restore",
    "resume",
    "set_limits",
    "set_mode",
    "set_plan",
    "suspend",
    "throttle",
]
