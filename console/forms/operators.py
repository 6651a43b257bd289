"""Forms of operators: limits and throttles, plans, ensembles, answers; and everybody's tokens."""

from typing import Any, Final

from django import forms

from console.forms.base import WORDS_MAX, PlaneForm, limit_fields, limits_of
from tenants.limits import LIMIT_MAX, LIMIT_WORDS
from tenants.models import Ensemble, MemberRole, Plan, Tenant
from tenants.models.ensembles import NAME

RATES: Final = ("requests_per_second", "writes_per_second", "bytes_per_second")
NODES_MAX: Final = 50
NODE_PARTS: Final = 3
UNLIMITED: Final = "none"


class LimitField(forms.CharField):
    """A number; empty for the plan's; `none` for no limit at all."""

    def clean(self, value: Any) -> Any:
        text = str(value or "").strip().replace(",", "").replace("_", "")
        if not text:
            return ""
        if text == UNLIMITED:
            return None
        if not text.isascii() or not text.isdigit() or int(text) > LIMIT_MAX:
            raise forms.ValidationError(
                f"{text[:40]} is no limit: a number from 0 to {LIMIT_MAX}, {UNLIMITED}, or empty."
            )
        return int(text)


class LimitsForm(PlaneForm):
    """A tenant's own limits in the plan's place."""

    weight = forms.IntegerField(
        label="Weight", min_value=1, max_value=10_000, required=False, help_text="empty: the plan's"
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, words in LIMIT_WORDS.items():
            of_plan = tenant.plan.limits.get(name)
            said = UNLIMITED if of_plan is None else f"{of_plan:,}"
            self.fields[f"limit_{name}"] = LimitField(
                label=words, required=False, help_text=f"plan: {said}"
            )
            if name in tenant.overrides:
                own = tenant.overrides[name]
                self.fields[f"limit_{name}"].initial = UNLIMITED if own is None else own
        self.fields["weight"].initial = tenant.weight
        self.fields["weight"].help_text = f"plan: {tenant.plan.weight}"

    @property
    def overrides(self) -> dict[str, int | None]:
        found = {name: self.cleaned_data[f"limit_{name}"] for name in LIMIT_WORDS}
        return {name: value for name, value in found.items() if value != ""}


class ThrottleForm(PlaneForm):
    """Lower rates for a while."""

    reason = forms.CharField(label="Reason", max_length=WORDS_MAX)
    hours = forms.IntegerField(label="For, hours", min_value=1, max_value=24 * 365, initial=1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in RATES:
            self.fields[f"limit_{name}"] = limit_fields()[f"limit_{name}"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors and not limits_of(cleaned):
            raise forms.ValidationError("Say at least one rate.")
        return cleaned


class PlanForm(PlaneForm):
    title = forms.CharField(label="Title", max_length=100)
    description = forms.CharField(
        label="Description",
        max_length=2_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    entry = forms.ChoiceField(label="Who gets it", choices=Plan.Entry.choices)
    tenants_per_person_max = forms.IntegerField(
        label="Tenants a person",
        min_value=0,
        max_value=10_000,
        initial=3,
        help_text="for self-service",
    )
    weight = forms.IntegerField(
        label="Weight",
        min_value=1,
        max_value=10_000,
        initial=100,
        help_text="share when work queues",
    )
    position = forms.IntegerField(
        label="Place in lists", min_value=0, max_value=10_000, initial=100
    )

    def __init__(self, *args: Any, plan: Plan | None = None, **kwargs: Any) -> None:
        if plan is not None:
            names = ("title", "description", "entry", "tenants_per_person_max", "weight")
            initial = {name: getattr(plan, name) for name in (*names, "position")}
            initial |= {f"limit_{name}": value for name, value in plan.limits.items()}
            kwargs["initial"] = initial
        super().__init__(*args, **kwargs)
        self.fields.update(limit_fields())

    @property
    def values(self) -> dict[str, Any]:
        """What the actions on plans take."""
        found = {k: v for k, v in self.cleaned_data.items() if not k.startswith("limit_")}
        return {**found, "limits": limits_of(self.cleaned_data)}


class NewPlanForm(PlanForm):
    name = forms.CharField(label="Name", max_length=63, validators=[NAME], help_text="stays")
    field_order = ("name",)


class EnsembleForm(PlaneForm):
    """An ensemble and its servers."""

    title = forms.CharField(label="Title", max_length=100, required=False)
    hosts = forms.CharField(
        label="Connection string",
        max_length=2_000,
        help_text="host:port of every server, separated by commas",
    )
    nodes = forms.CharField(
        label="Servers",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(
            attrs={"rows": 4, "placeholder": "node1 10.0.0.1:2181 http://10.0.0.1:8080"}
        ),
        help_text="one a line: name, client port, and the admin port's address if there is one",
    )
    takes_tenants = forms.BooleanField(
        label="New tenants may be placed here", required=False, initial=True
    )

    def clean_nodes(self) -> list[tuple[str, str, str]]:
        rows = [line.split() for line in self.cleaned_data["nodes"].splitlines() if line.strip()]
        if len(rows) > NODES_MAX:
            raise forms.ValidationError(f"{len(rows)} servers, at most {NODES_MAX}.")
        for row in rows:
            if not 2 <= len(row) <= NODE_PARTS:
                raise forms.ValidationError(
                    f"{' '.join(row)[:100]}: name, host:port and, if there is one, http://host:port"
                )
        return [(row[0], row[1], row[2] if len(row) == NODE_PARTS else "") for row in rows]

    @classmethod
    def of(cls, ensemble: Ensemble) -> "EnsembleForm":
        nodes = (f"{n.name} {n.client} {n.admin_url}".strip() for n in ensemble.nodes.all())
        return cls(
            initial={
                "title": ensemble.title,
                "hosts": ensemble.hosts,
                "nodes": "\n".join(nodes),
                "takes_tenants": ensemble.takes_tenants,
            }
        )


class NewEnsembleForm(EnsembleForm):
    name = forms.CharField(
        label="Name", max_length=63, validators=[NAME], help_text="its keys' folder; it stays"
    )
    kind = forms.ChoiceField(
        label="Kind",
        choices=Ensemble.Kind.choices,
        help_text="an Apache ensemble is browsed, edited and watched as it is; tenants need ours",
    )
    field_order = ("name", "kind")


class AnswerForm(PlaneForm):
    answer = forms.CharField(
        label="Answer",
        max_length=2_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class TenantChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # at run time it has none
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.slug)


class TokenForm(PlaneForm):
    """A key for programs that act for this person."""

    name = forms.CharField(label="Name", max_length=100, help_text="what uses it")
    tenant = TenantChoice(
        Tenant.objects.none(), required=False, empty_label="all that I reach", label="Tenant"
    )
    role = forms.TypedChoiceField(
        label="At most", choices=MemberRole.choices, coerce=int, initial=MemberRole.DEVELOPER
    )
    days = forms.IntegerField(label="Valid for, days", min_value=1, max_value=365, initial=90)
    as_operator = forms.BooleanField(
        label="With my rights on the whole plane",
        required=False,
        help_text="without it the token is a member like others",
    )

    def __init__(self, *args: Any, tenants: Any, may_operate: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tenant"].queryset = tenants  # type: ignore[attr-defined]
        if not may_operate:
            del self.fields["as_operator"]
