"""Plans: made, changed with all tenants that have them, retired."""

from typing import Final

from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from tenants.actions.base import (
    PUBLISHED_AT_ONCE_MAX,
    action,
    clean,
    publish_after_commit,
    waiting,
)
from tenants.audit import PLANE, Actor, record
from tenants.errors import ConflictError, InvalidError, LimitError
from tenants.limits import LIMIT_WORDS
from tenants.models import Plan, Publication, Tenant

PLANS_MAX: Final = 200
WEIGHT_MAX: Final = 10_000

MIB: Final = 1 << 20

# name, title, description, who may have it, weight, limits in the order of LIMIT_NAMES
DEFAULTS: Final[tuple[tuple[str, str, str, str, int, tuple[int, ...]], ...]] = (
    (
        "small",
        "Small",
        "For one application or a try. At once, for everybody who is signed in.",
        Plan.Entry.SELF_SERVICE,
        100,
        (10_000, 20 * MIB, MIB, 1_000, 10_000, 100, 100, 1_000, 200, 5 * MIB),
    ),
    (
        "medium",
        "Medium",
        "For several applications. After an operator has approved.",
        Plan.Entry.APPROVAL,
        200,
        (100_000, 200 * MIB, MIB, 10_000, 100_000, 1_000, 1_000, 5_000, 1_000, 20 * MIB),
    ),
    (
        "large",
        "Large",
        "For what a whole company depends on. Operators give it.",
        Plan.Entry.OPERATORS,
        400,
        (
            1_000_000,
            2_000 * MIB,
            MIB,
            100_000,
            1_000_000,
            10_000,
            10_000,
            50_000,
            10_000,
            100 * MIB,
        ),
    ),
)


@action
def create(
    actor: Actor,
    *,
    name: str,
    title: str,
    description: str = "",
    entry: str = Plan.Entry.APPROVAL,
    limits: dict[str, int] | None = None,
    weight: int = 100,
    tenants_per_person_max: int = 3,
    position: int = 100,
) -> Plan:
    """A new plan."""
    if Plan.objects.filter(name=name).exists():
        raise ConflictError(f"there is a plan {name[:70]} already", field="name")
    if Plan.objects.count() >= PLANS_MAX:
        raise LimitError(f"there are {PLANS_MAX} plans, more are not kept")
    check_weight(weight)
    plan = Plan(
        name=name,
        title=title,
        description=description,
        entry=entry,
        limits=limits or {},
        weight=weight,
        tenants_per_person_max=tenants_per_person_max,
        position=position,
    )
    clean(plan)
    plan.save(force_insert=True)
    record(actor, "plan.created", target=name, detail=says(plan))
    return plan


@action
def change(
    actor: Actor,
    *,
    plan: Plan,
    title: str | None = None,
    description: str | None = None,
    entry: str | None = None,
    limits: dict[str, int] | None = None,
    weight: int | None = None,
    tenants_per_person_max: int | None = None,
    position: int | None = None,
) -> Plan:
    """Change a plan; what is None stays. Tenants that have it follow at once."""
    Plan.objects.select_for_update().filter(pk=plan.pk).values_list("pk").first()
    plan.refresh_from_db()
    before = says(plan)
    given = {
        "title": title,
        "description": description,
        "entry": entry,
        "limits": limits,
        "weight": weight,
        "tenants_per_person_max": tenants_per_person_max,
        "position": position,
    }
    for name, value in given.items():
        if value is not None:
            setattr(plan, name, value)
    check_weight(plan.weight)
    clean(plan)
    plan.save()
    after = says(plan)
    if before == after:
        return plan
    record(actor, "plan.changed", target=plan.name, detail={"before": before, "after": after})
    if (before["limits"], before["weight"]) != (after["limits"], after["weight"]):
        republish(plan)
    return plan


@action
def retire(actor: Actor, *, plan: Plan, retired: bool = True) -> Plan:
    """Give it to nobody any more (or again); who has it keeps it."""
    plan.refresh_from_db()
    if plan.retired != retired:
        plan.retired = retired
        plan.save(update_fields=["retired"])
        record(actor, "plan.retired" if retired else "plan.offered", target=plan.name)
    return plan


@action
def create_defaults() -> list[Plan]:
    """Three plans, where there is none at all: at the first start."""
    if Plan.objects.exists():
        return []
    return [
        create(
            PLANE,
            name=name,
            title=title,
            description=description,
            entry=entry,
            limits=dict(zip(LIMIT_WORDS, limits, strict=True)),
            weight=weight,
            position=(at + 1) * 10,
        )
        for at, (name, title, description, entry, weight, limits) in enumerate(DEFAULTS)
    ]


def republish(plan: Plan) -> None:
    """All tenants of a plan have other limits: a few hear of it at once, the others in turn.

    In three statements, however many there are: meanwhile nobody else writes on SQLite.
    """
    tenants = Tenant.objects.filter(plan=plan).exclude(lifecycle=Tenant.Lifecycle.GONE)
    tenants.update(revision=F("revision") + 1)
    revision = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("revision")
    Publication.objects.filter(tenant__in=tenants).update(
        wanted=Subquery(revision), **waiting(timezone.now())
    )
    for tenant in tenants.order_by("slug")[:PUBLISHED_AT_ONCE_MAX]:
        publish_after_commit(tenant)


def check_weight(weight: int | None) -> None:
    """Raises InvalidError for one that servers would not take."""
    if weight is not None and (type(weight) is not int or not 1 <= weight <= WEIGHT_MAX):
        raise InvalidError(
            f"weight is {str(weight)[:40]}, a number from 1 to {WEIGHT_MAX} is wanted",
            field="weight",
        )


def says(plan: Plan) -> dict[str, object]:
    """What the trail tells of a plan."""
    return {
        "title": plan.title,
        "entry": str(plan.entry),
        "limits": dict(plan.limits),
        "weight": plan.weight,
        "tenants_per_person_max": plan.tenants_per_person_max,
    }
