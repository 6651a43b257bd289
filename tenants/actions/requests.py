"""Requests: somebody asks for a tenant, a larger plan or a path; an operator decides."""

from collections.abc import Mapping
from typing import Final

from django.utils import timezone

from tenants.actions import tenants as tenant_actions
from tenants.actions.base import action, clean, person_of
from tenants.actions.tenants import check_slug, place, root_of
from tenants.audit import Actor, record
from tenants.errors import ConflictError, ForbiddenError, InvalidError, LimitError
from tenants.models import Ensemble, Plan, Request, Tenant

PENDING_MAX: Final = 10  # of one person
ALL_PENDING_MAX: Final = 10_000
TEXT_MAX: Final = 2_000


@action
def ask(
    actor: Actor,
    *,
    kind: str,
    slug: str = "",
    title: str = "",
    plan: Plan,
    ensemble: Ensemble | None = None,
    purpose: str = "",
    root: str = "",
    overrides: Mapping[str, int | None] | None = None,
    tenant: Tenant | None = None,
) -> Request:
    """Ask for it. `tenant`: whose plan is to change (kind `plan`)."""
    person = person_of(actor)
    if person is None:
        raise ForbiddenError("sign in first: a request is a person's")
    check_text("purpose", purpose)
    if plan.retired:
        raise InvalidError(f"the plan {plan.name} is not given any more: choose another one")
    waiting = Request.objects.filter(status=Request.Status.PENDING)
    if waiting.filter(asked_by=person).count() >= PENDING_MAX:
        raise LimitError(f"{PENDING_MAX} requests of yours wait already: withdraw one first")
    if waiting.count() >= ALL_PENDING_MAX:
        raise LimitError(f"{ALL_PENDING_MAX} requests wait already: ask an operator directly")
    if kind == Request.Kind.PLAN:
        if tenant is None:
            raise InvalidError("tenant: say whose plan is to change", field="tenant")
        slug, title, placed, root = tenant.slug, tenant.title, tenant.ensemble, ""
        if plan.pk == tenant.plan_id and not overrides:
            raise ConflictError(f"{slug} has the plan {plan.name} already", field="plan")
    else:
        if tenant is not None:
            raise InvalidError("tenant: only a request for another plan has one", field="tenant")
        if kind == Request.Kind.CREATE and root:
            raise InvalidError("root: a path is adopted by a request of its kind", field="root")
        check_slug(slug)
        placed = place(ensemble)
        where = root_of(slug, root, kind == Request.Kind.ADOPT)
        root = where if kind == Request.Kind.ADOPT else ""
        # Whether it lies within another tenant's root, the approval shows: not to who asks.
    if waiting.filter(slug=slug, kind=kind).exists():
        raise ConflictError(f"a request for {slug} waits already", field="slug")
    request = Request(
        kind=kind,
        asked_by=person,
        purpose=purpose,
        slug=slug,
        title=title,
        ensemble=placed,
        plan=plan,
        root=root,
        overrides=dict(overrides or {}),
        tenant=tenant,
    )
    clean(request)
    request.save(force_insert=True)
    note(actor, request, "request.made", {"plan": plan.name, "kind": str(kind), "root": root})
    return request


@action
def approve(
    actor: Actor,
    *,
    request: Request,
    answer: str = "",
    plan: Plan | None = None,
    overrides: Mapping[str, int | None] | None = None,
) -> Tenant:
    """Do what was asked for, or with another plan and other limits."""
    check_text("answer", answer)
    hold(request)
    given = plan or request.plan
    limits = dict(request.overrides if overrides is None else overrides)
    if request.kind == Request.Kind.PLAN:
        tenant = request.tenant
        if tenant is None:
            raise ConflictError(f"{request.slug} is gone: reject the request")
        tenant_actions.set_plan(actor, tenant=tenant, plan=given)
        if limits:
            tenant_actions.set_limits(actor, tenant=tenant, overrides=limits, weight=tenant.weight)
    else:
        tenant = tenant_actions.create(
            actor,
            slug=request.slug,
            title=request.title,
            plan=given,
            ensemble=request.ensemble,
            owner=request.asked_by,
            overrides=limits,
            root=request.root,
            adopt=request.kind == Request.Kind.ADOPT,
            # Who adopts has clients without a credential of the tenant: they must not be shut out.
            mode=Tenant.Mode.OBSERVE if request.kind == Request.Kind.ADOPT else Tenant.Mode.ENFORCE,
        )
        request.tenant = tenant
    decide(actor, request, Request.Status.APPROVED, answer)
    note(actor, request, "request.approved", {"plan": given.name})
    return tenant


@action
def reject(actor: Actor, *, request: Request, answer: str) -> Request:
    """Say no, and why."""
    check_text("answer", answer)
    if not answer.strip():
        raise InvalidError("answer: say why, who asked will read it", field="answer")
    hold(request)
    decide(actor, request, Request.Status.REJECTED, answer)
    note(actor, request, "request.rejected", {})
    return request


@action
def withdraw(actor: Actor, *, request: Request) -> Request:
    """Who asked does not want it any more."""
    hold(request)
    if person_of(actor) != request.asked_by:
        raise ForbiddenError("a request is withdrawn by who has made it; operators reject it")
    decide(actor, request, Request.Status.WITHDRAWN, "")
    note(actor, request, "request.withdrawn", {})
    return request


def hold(request: Request) -> None:
    """Lock a request, as it is now. Raises ConflictError where it is decided."""
    Request.objects.select_for_update().filter(pk=request.pk).values_list("pk").first()
    request.refresh_from_db()
    if request.status != Request.Status.PENDING:
        raise ConflictError(f"the request for {request.slug} is {request.status} already")


def decide(actor: Actor, request: Request, status: str, answer: str) -> None:
    request.status = status
    request.answer = answer
    request.decided_by = person_of(actor)
    request.decided_at = timezone.now()
    clean(request)
    request.save()


def note(actor: Actor, request: Request, verb: str, detail: dict[str, object]) -> None:
    record(
        actor,
        verb,
        tenant=request.slug,
        ensemble=request.ensemble.name,
        target=str(request.pk),
        detail=detail,
    )


def check_text(name: str, text: str) -> None:
    if len(text) > TEXT_MAX:
        raise InvalidError(f"{name}: {len(text)} characters, at most {TEXT_MAX}", field=name)
