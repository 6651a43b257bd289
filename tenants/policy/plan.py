"""What a document would change: a list of steps, each shown first and then done by its action."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib.auth.models import User

from tenants.actions import credentials, members, plans, tenants
from tenants.actions.credentials import NewSecret
from tenants.api.fields import ROLES
from tenants.audit import Actor
from tenants.errors import ActionError, InvalidError
from tenants.models import Credential, Ensemble, Membership, Plan, Tenant
from tenants.policy.document import DESCRIBED, FIXED, of_plan, of_tenant

PROBLEMS_MAX: Final = 50
SIGNS: Final = {"create": "+", "change": "~", "remove": "-"}

Fields = dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `fields`: before and after, of a change."""

    action: str  # create, change, remove
    kind: str  # plan, tenant, member, credential
    name: str
    fields: Fields
    do: Callable[[Actor], NewSecret | None]

    @property
    def line(self) -> str:
        """As a diff shows it."""
        changes = "; ".join(f"{n}: {b!r} -> {a!r}" for n, (b, a) in self.fields.items())
        return f"{SIGNS[self.action]} {self.kind} {self.name}" + (f": {changes}" if changes else "")


class Comparison:
    """A document beside SQL: `steps` in the order in which they work, or `problems`."""

    def __init__(self, document: Mapping[str, Any], *, prune: bool) -> None:
        self.steps: list[Step] = []
        self.problems: list[tuple[str, str]] = []
        self._late: list[Step] = []  # what takes away comes last
        self._plans = {plan.name: plan for plan in Plan.objects.all()}
        self._new_plans: set[str] = set()
        for name, wished in document.get("plans", {}).items():
            self.compare_plan(name, wished)
        if prune and "plans" in document:
            for name in sorted(self._plans.keys() - document["plans"].keys()):
                self.retire(self._plans[name], retired=True)
        rows = Tenant.objects.exclude(lifecycle=Tenant.Lifecycle.GONE)
        rows = rows.select_related("plan", "ensemble").prefetch_related(
            "memberships__user", "credentials"
        )
        known = {tenant.slug: tenant for tenant in rows}
        for slug, wished in document.get("tenants", {}).items():
            self.compare_tenant(slug, known.get(slug), wished)
        if prune and "tenants" in document:
            for slug in sorted(known.keys() - document["tenants"].keys()):
                if known[slug].lifecycle == Tenant.Lifecycle.ALIVE:
                    self._late.append(Step("remove", "tenant", slug, {}, partial(delete, slug)))
        self.steps += self._late

    def problem(self, at: str, text: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append((at, text))

    # Plans

    def compare_plan(self, name: str, wished: dict[str, Any]) -> None:
        plan = self._plans.get(name)
        values = {key: value for key, value in wished.items() if key != "retired"}
        if plan is None:
            if "title" not in wished:
                self.problem(f"plans.{name}.title", "a new plan needs a title")
            self._new_plans.add(name)
            self.steps.append(Step("create", "plan", name, {}, partial(make_plan, name, values)))
            if wished.get("retired"):
                self.steps.append(
                    Step("change", "plan", name, {"retired": (False, True)}, retire_by(name, True))
                )
            return
        fields = differences(of_plan(plan), values)
        if fields:
            changed = {key: values[key] for key in fields}
            do = partial(change_plan, name, changed)
            self.steps.append(Step("change", "plan", name, fields, do))
        if "retired" in wished:
            self.retire(plan, retired=wished["retired"])

    def retire(self, plan: Plan, *, retired: bool) -> None:
        if plan.retired != retired:
            fields: Fields = {"retired": (plan.retired, retired)}
            self.steps.append(
                Step("change", "plan", plan.name, fields, retire_by(plan.name, retired))
            )

    # Tenants

    def compare_tenant(self, slug: str, tenant: Tenant | None, wished: dict[str, Any]) -> None:
        at = f"tenants.{slug}"
        if "plan" in wished and wished["plan"] not in self._plans.keys() | self._new_plans:
            self.problem(f"{at}.plan", f"there is no plan {wished['plan']}")
        if tenant is None:
            self.new_tenant(slug, wished)
            self.compare_people(slug, {}, wished)
            self.compare_credentials(slug, {}, wished)
            return
        if tenant.lifecycle != Tenant.Lifecycle.ALIVE:
            self.problem(at, f"{slug} is deleted: restore it, or leave it out")
            return
        now = of_tenant(tenant)
        for key in FIXED:
            if key in wished and wished[key] != now[key]:
                text = f"{slug} has {now[key]!r}, which stays: it cannot become {wished[key]!r}"
                self.problem(f"{at}.{key}", text)
        self.change_tenant(slug, now, wished)
        self.compare_people(slug, now["members"], wished)
        self.compare_credentials(slug, now["credentials"], wished)

    def new_tenant(self, slug: str, wished: dict[str, Any]) -> None:
        if "plan" not in wished:
            self.problem(f"tenants.{slug}.plan", "a new tenant needs a plan")
        name = wished.get("ensemble")
        if name is not None and not Ensemble.objects.filter(name=name).exists():
            self.problem(f"tenants.{slug}.ensemble", f"there is no ensemble {name}")
        self.steps.append(Step("create", "tenant", slug, {}, partial(make_tenant, slug, wished)))

    def change_tenant(self, slug: str, now: dict[str, Any], wished: dict[str, Any]) -> None:
        groups: list[tuple[tuple[str, ...], Callable[..., None]]] = [
            (("plan",), set_plan),
            (("overrides", "weight"), set_limits),
            (("mode",), set_mode),
            (DESCRIBED, describe),
        ]
        for keys, do in groups:
            fields = differences(now, {key: wished[key] for key in keys if key in wished})
            if fields:
                values = {key: wished.get(key, now[key]) for key in keys}
                self.steps.append(Step("change", "tenant", slug, fields, partial(do, slug, values)))

    def compare_people(self, slug: str, now: dict[str, str], wished: dict[str, Any]) -> None:
        if "members" not in wished:
            return
        for name, role in wished["members"].items():
            label = f"{slug}/{name}"
            if now.get(name) == role:
                continue
            if name in now:
                fields: Fields = {"role": (now[name], role)}
                step = Step("change", "member", label, fields, partial(set_role, slug, name, role))
                # Somebody else has to be an owner before one is none any more.
                (self.steps if ROLES[role] > ROLES[now[name]] else self._late).append(step)
                continue
            if not User.objects.filter(username=name, is_active=True).exists():
                self.problem(f"tenants.{slug}.members.{name}", f"there is nobody called {name}")
            do = partial(add_member, slug, name, role)
            self.steps.append(Step("create", "member", label, {}, do))
        for name in sorted(now.keys() - wished["members"].keys()):
            do = partial(remove_member, slug, name)
            self._late.append(Step("remove", "member", f"{slug}/{name}", {}, do))

    def compare_credentials(
        self, slug: str, now: dict[str, dict[str, Any]], wished: dict[str, Any]
    ) -> None:
        if "credentials" not in wished:
            return
        for name, want in wished["credentials"].items():
            label, at = f"{slug}/{name}", f"tenants.{slug}.credentials.{name}"
            if name not in now:
                do = partial(make_credential, slug, name, want)
                self.steps.append(Step("create", "credential", label, {}, do))
                continue
            for key in ("role", "sasl"):
                if want[key] != now[name][key]:
                    self.problem(
                        f"{at}.{key}",
                        f"{now[name][key]!r} cannot become {want[key]!r}: revoke it, or choose "
                        "another name",
                    )
            if want["subjects"] != now[name]["subjects"]:
                fields: Fields = {"subjects": (now[name]["subjects"], want["subjects"])}
                do_it = partial(set_subjects, slug, name, want["subjects"])
                self.steps.append(Step("change", "credential", label, fields, do_it))
        for name in sorted(now.keys() - wished["credentials"].keys()):
            do_off = partial(revoke, slug, name)
            self._late.append(Step("remove", "credential", f"{slug}/{name}", {}, do_off))


def differences(now: Mapping[str, Any], wished: Mapping[str, Any]) -> Fields:
    return {key: (now[key], value) for key, value in wished.items() if now[key] != value}


# What steps do. Each looks its rows up when its turn has come.


def tenant_of(slug: str) -> Tenant:
    found = Tenant.objects.alive().select_related("plan", "ensemble").filter(slug=slug).first()
    if found is None:
        raise InvalidError(f"tenant {slug} has gone meanwhile")
    return found


def plan_of(name: str) -> Plan:
    found = Plan.objects.filter(name=name).first()
    if found is None:
        raise InvalidError(f"plan {name} has gone meanwhile")
    return found


def make_plan(name: str, values: dict[str, Any], actor: Actor) -> None:
    plans.create(actor, name=name, **values)


def change_plan(name: str, values: dict[str, Any], actor: Actor) -> None:
    plans.change(actor, plan=plan_of(name), **values)


def retire_by(name: str, retired: bool) -> Callable[[Actor], None]:
    def do(actor: Actor) -> None:
        plans.retire(actor, plan=plan_of(name), retired=retired)

    return do


def make_tenant(slug: str, wished: dict[str, Any], actor: Actor) -> None:
    ensemble = Ensemble.objects.filter(name=wished.get("ensemble", "")).first()
    tenant = tenants.create(
        actor,
        slug=slug,
        title=wished.get("title", ""),
        plan=plan_of(wished["plan"]),
        ensemble=ensemble,
        owner=None,
        overrides=wished.get("overrides"),
        weight=wished.get("weight"),
        mode=wished.get("mode", Tenant.Mode.ENFORCE),
        root=wished.get("root", ""),
        adopt=wished.get("adopted", False),
    )
    rest = {key: wished[key] for key in DESCRIBED if key in wished and key != "title"}
    if rest:
        tenants.describe(actor, tenant=tenant, **rest)


def set_plan(slug: str, values: dict[str, Any], actor: Actor) -> None:
    tenants.set_plan(actor, tenant=tenant_of(slug), plan=plan_of(values["plan"]))


def set_limits(slug: str, values: dict[str, Any], actor: Actor) -> None:
    tenants.set_limits(actor, tenant=tenant_of(slug), **values)


def set_mode(slug: str, values: dict[str, Any], actor: Actor) -> None:
    tenants.set_mode(actor, tenant=tenant_of(slug), mode=values["mode"])


def describe(slug: str, values: dict[str, Any], actor: Actor) -> None:
    tenants.describe(actor, tenant=tenant_of(slug), **values)


def delete(slug: str, actor: Actor) -> None:
    tenants.delete(actor, tenant=tenant_of(slug), confirm=slug)


def member_of(slug: str, name: str) -> Membership:
    rows = Membership.objects.select_related("user", "tenant", "tenant__ensemble", "tenant__plan")
    found = rows.filter(tenant=tenant_of(slug), user__username=name).first()
    if found is None:
        raise InvalidError(f"{name} is no member of {slug} any more")
    return found


def add_member(slug: str, name: str, role: str, actor: Actor) -> None:
    user = User.objects.get(username=name)
    members.add(actor, tenant=tenant_of(slug), user=user, role=ROLES[role])


def set_role(slug: str, name: str, role: str, actor: Actor) -> None:
    members.set_role(actor, membership=member_of(slug, name), role=ROLES[role])


def remove_member(slug: str, name: str, actor: Actor) -> None:
    members.remove(actor, membership=member_of(slug, name))


def credential_of(slug: str, name: str) -> Credential:
    rows = Credential.objects.select_related("tenant", "tenant__ensemble", "tenant__plan")
    found = rows.filter(tenant=tenant_of(slug), name=name, revoked_at=None).first()
    if found is None:
        raise InvalidError(f"{slug} has no credential {name} any more")
    return found


def make_credential(slug: str, name: str, want: dict[str, Any], actor: Actor) -> NewSecret:
    return credentials.create(actor, tenant=tenant_of(slug), name=name, **want)


def set_subjects(slug: str, name: str, subjects: list[str], actor: Actor) -> None:
    credentials.set_subjects(actor, credential=credential_of(slug, name), subjects=subjects)


def revoke(slug: str, name: str, actor: Actor) -> None:
    credentials.revoke(actor, credential=credential_of(slug, name))


@dataclass(slots=True)
class Outcome:
    """How far it came. `secrets` are given here, and nowhere again."""

    done: list[Step]
    secrets: list[NewSecret]
    failed: Step | None = None
    error: ActionError | None = None


def apply(actor: Actor, steps: list[Step]) -> Outcome:
    """Do the steps until one fails. What was done stays: the same document does the rest."""
    outcome = Outcome([], [])
    for step in steps:
        try:
            made = step.do(actor)
        except ActionError as error:
            outcome.failed, outcome.error = step, error
            break
        outcome.done.append(step)
        if made is not None:
            outcome.secrets.append(made)
    return outcome
