"""The document: written from SQL, read from YAML or JSON, each key known and each value checked."""

from typing import IO, Any, Final

import yaml
from rest_framework import serializers

from tenants.api.fields import ROLES
from tenants.api.views.base import Strict
from tenants.errors import InvalidError
from tenants.models import CredentialRole, MemberRole, Plan, Tenant

VERSION: Final = 1
BYTES_MAX: Final = 8 << 20
TENANTS_MAX: Final = 20_000
PLAN_KEYS: Final = (
    *("title", "description", "entry", "limits", "weight", "tenants_per_person_max", "position"),
    "retired",
)
DESCRIBED: Final = ("title", "audit_reads", "secret_paths", "history_days", "history_bytes")
FIXED: Final = ("ensemble", "root", "adopted")
"""What a tenant is made with, and keeps."""


class PlanPolicy(Strict):
    title = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=2_000, allow_blank=True, required=False)
    entry = serializers.ChoiceField(choices=Plan.Entry.values, required=False)
    limits = serializers.DictField(child=serializers.IntegerField(min_value=0), required=False)
    weight = serializers.IntegerField(min_value=1, max_value=10_000, required=False)
    tenants_per_person_max = serializers.IntegerField(min_value=0, max_value=10_000, required=False)
    position = serializers.IntegerField(min_value=0, max_value=1_000_000, required=False)
    retired = serializers.BooleanField(required=False)


class CredentialPolicy(Strict):
    role = serializers.ChoiceField(choices=CredentialRole.values)
    sasl = serializers.BooleanField(default=True)
    subjects = serializers.ListField(
        child=serializers.CharField(max_length=1_000), max_length=100, default=list
    )


class TenantPolicy(Strict):
    title = serializers.CharField(max_length=100, allow_blank=True, required=False)
    ensemble = serializers.CharField(max_length=63, required=False)
    root = serializers.CharField(max_length=1_000, required=False)  # type: ignore[assignment]
    adopted = serializers.BooleanField(required=False)
    plan = serializers.CharField(max_length=63, required=False)
    mode = serializers.ChoiceField(choices=Tenant.Mode.values, required=False)
    overrides = serializers.DictField(
        child=serializers.IntegerField(min_value=0, allow_null=True), required=False
    )
    weight = serializers.IntegerField(
        min_value=1, max_value=10_000, allow_null=True, required=False
    )
    audit_reads = serializers.BooleanField(required=False)
    secret_paths = serializers.ListField(
        child=serializers.CharField(max_length=1_000), max_length=100, required=False
    )
    history_days = serializers.IntegerField(min_value=0, max_value=3_650, required=False)
    history_bytes = serializers.IntegerField(min_value=0, max_value=10**11, required=False)
    members = serializers.DictField(
        child=serializers.ChoiceField(choices=list(ROLES)), required=False
    )
    credentials = serializers.DictField(child=CredentialPolicy(), required=False)


class Policy(Strict):
    """The whole document."""

    policy = serializers.IntegerField(
        min_value=VERSION, max_value=VERSION, help_text="of this format"
    )
    plans = serializers.DictField(child=PlanPolicy(), required=False)
    tenants = serializers.DictField(child=TenantPolicy(), required=False)


def export() -> dict[str, Any]:
    """All plans and living tenants as they are wished to be. Without secrets."""
    tenants = (
        Tenant.objects.alive()
        .select_related("plan", "ensemble")
        .prefetch_related("memberships__user", "credentials")
    )
    return {
        "policy": VERSION,
        "plans": {plan.name: of_plan(plan) for plan in Plan.objects.order_by("name")},
        "tenants": {tenant.slug: of_tenant(tenant) for tenant in tenants.order_by("slug")},
    }


def of_plan(plan: Plan) -> dict[str, Any]:
    return {key: getattr(plan, key) for key in PLAN_KEYS}


def of_tenant(tenant: Tenant) -> dict[str, Any]:
    """Members that single sign-on gave are not in it: it takes them away again, too."""
    members = [m for m in tenant.memberships.all() if not m.from_group]
    credentials = [c for c in tenant.credentials.all() if c.revoked_at is None]
    return {
        "title": tenant.title,
        "ensemble": tenant.ensemble.name,
        "root": tenant.root,
        "adopted": tenant.adopted,
        "plan": tenant.plan.name,
        "mode": str(tenant.mode),
        "overrides": dict(tenant.overrides),
        "weight": tenant.weight,
        "audit_reads": tenant.audit_reads,
        "secret_paths": list(tenant.secret_paths),
        "history_days": tenant.history_days,
        "history_bytes": tenant.history_bytes,
        "members": {
            m.user.get_username(): MemberRole(m.role).label
            for m in sorted(members, key=lambda m: m.user.get_username())
        },
        "credentials": {
            c.name: {"role": str(c.role), "sasl": c.sasl, "subjects": list(c.subjects)}
            for c in sorted(credentials, key=lambda c: c.name)
        },
    }


# YAML


class Loader(yaml.SafeLoader):
    """Plain YAML: no key twice, and no aliases, which make a small text a huge document."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "an alias (*name): write it out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for at, name in enumerate(names):
            if isinstance(name, dict | list):
                raise yaml.MarkedYAMLError(None, None, "a key that is no name", node.start_mark)
            if name in names[:at]:
                text = f"the key {str(name)[:60]!r} stands twice"
                raise yaml.MarkedYAMLError(None, None, text, node.value[at][0].start_mark)
        return super().construct_mapping(node, deep)


def read(source: IO[bytes] | IO[str]) -> Any:
    """A YAML text's value.

    Raises:
        InvalidError: with line and column.
    """
    raw = source.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise InvalidError(f"the document has more than {BYTES_MAX} bytes: apply it in parts")
    try:
        return yaml.load(raw, Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidError(f"the document is no YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        raise InvalidError(f"the document is no YAML: {type(error).__name__}") from None


def write(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def checked(value: Any) -> dict[str, Any]:
    """The document, each key known and each value within its bounds.

    Raises:
        ValidationError: names each key at fault, as tenants.orders.mode.
    """
    policy = Policy(data=value)
    policy.is_valid(raise_exception=True)
    return dict(policy.validated_data)
