"""What a tenant is promised: set by its owners, by operators in plans."""

from collections.abc import Mapping

from tenants.actions.base import action, clean, hold
from tenants.audit import Actor, record
from tenants.models import Plan, Tenant

Objectives = Mapping[str, float | int | str]


@action
def set_objectives(actor: Actor, *, tenant: Tenant, objectives: Objectives) -> Tenant:
    """A tenant's own; what is not named is the plan's. The nodes need not know."""
    hold(tenant)
    before = dict(tenant.objectives)
    if before == dict(objectives):
        return tenant
    tenant.objectives = dict(objectives)
    clean(tenant)
    detail: dict[str, object] = {"before": before, "after": tenant.objectives}
    record(actor, "tenant.objectives", tenant=tenant, detail=detail)
    tenant.save(update_fields=["objectives"])
    return tenant


@action
def set_plan_objectives(actor: Actor, *, plan: Plan, objectives: Objectives) -> Plan:
    """A plan's, for all of its tenants that have none of their own."""
    before = dict(plan.objectives)
    if before == dict(objectives):
        return plan
    plan.objectives = dict(objectives)
    clean(plan)
    detail: dict[str, object] = {"before": before, "after": plan.objectives}
    record(actor, "plan.objectives", target=plan.name, detail=detail)
    plan.save(update_fields=["objectives"])
    return plan
