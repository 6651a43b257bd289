"""Forms of a tenant's own people: making one, credentials, members, settings."""

from typing import Any, Final

from django import forms

from console.forms.base import DAYS_MAX, WORDS_MAX, PlaneForm, lines
from tenants.models import CredentialRole, Ensemble, MemberRole, Plan, Tenant
from tenants.models.ensembles import NAME
from tenants.objectives import BOUNDS, CLASSES, OBJECTIVE_WORDS, WHOLE, objectives_in_force

SUBJECTS_MAX: Final = 4_000
OVERLAPS: Final = (
    ("0", "none: the old secret is void at once"),
    ("1", "an hour"),
    ("24", "a day"),
    ("168", "a week"),
    ("720", "30 days"),
)
NONE: Final = (("", "does not expire"),)
EXPIRIES: Final = (*NONE, ("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year"))


class PlanChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # at run time it has none
    """Plans as cards; the template lays them out."""

    widget = forms.RadioSelect


class EnsembleChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.name)


class NewTenantForm(PlaneForm):
    """A namespace and its first credential. What the plan does not give at once becomes a wish."""

    slug = forms.CharField(
        label="Name",
        max_length=63,
        validators=[NAME],
        help_text="1 to 63 of a-z 0-9 -, a letter or digit at both ends. It stays for good: "
        "clients and the audit trail call the tenant so.",
    )
    title = forms.CharField(
        label="Title", max_length=100, required=False, help_text="for people; it can be changed"
    )
    plan = PlanChoice(Plan.objects.none(), empty_label=None, label="Plan")
    ensemble = EnsembleChoice(Ensemble.objects.none(), empty_label=None, label="Ensemble")
    credential = forms.RegexField(
        r"^[a-z0-9_.-]{1,63}$",
        label="First credential",
        initial="app",
        required=False,
        error_messages={"invalid": "1 to 63 of a-z 0-9 - _ ."},
        help_text="the name that your application signs in with; empty: none yet",
    )
    purpose = forms.CharField(
        label="What it is for",
        max_length=2_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="read by the operator who approves, where the plan needs it",
    )

    def __init__(self, *args: Any, plans: Any, ensembles: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["plan"].queryset = plans  # type: ignore[attr-defined]
        self.fields["ensemble"].queryset = ensembles  # type: ignore[attr-defined]
        if len(ensembles) == 1:
            self.fields["ensemble"].initial = ensembles[0].pk
            self.fields["ensemble"].widget = forms.HiddenInput()
        self.fields["slug"].widget.attrs |= {"autocapitalize": "none", "spellcheck": "false"}


class OperatorTenantForm(NewTenantForm):
    """What operators decide besides: whose it is, and whether a path is adopted."""

    owner = forms.CharField(
        label="Owner", max_length=150, required=False, help_text="an account; empty: nobody"
    )
    adopt = forms.BooleanField(
        label="Adopt a path that is there",
        required=False,
        help_text="the data stays where it is; the mode is observe at first",
    )
    root = forms.CharField(
        label="Path", max_length=1_000, required=False, help_text="/kafka; only for an adoption"
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("adopt") and not cleaned.get("root", "").startswith("/"):
            self.add_error("root", "An adoption needs the path, beginning with /.")
        if cleaned.get("root") and not cleaned.get("adopt"):
            self.add_error("root", "A path is for an adoption only: tick it, or leave this empty.")
        return cleaned


class ObjectiveForm(PlaneForm):
    """What a tenant is promised; empty: the plan's, or for a plan the defaults."""

    availability = forms.FloatField(label=OBJECTIVE_WORDS["availability"], required=False)
    latency = forms.FloatField(label=OBJECTIVE_WORDS["latency"], required=False)
    latency_of = forms.ChoiceField(label=OBJECTIVE_WORDS["latency_of"], required=False)
    latency_ms = forms.IntegerField(label=OBJECTIVE_WORDS["latency_ms"], required=False)
    days = forms.IntegerField(label=OBJECTIVE_WORDS["days"], required=False)

    def __init__(self, *args: Any, of: Tenant | Plan, **kwargs: Any) -> None:
        kwargs.setdefault("initial", of.objectives)
        kwargs.setdefault("auto_id", "objective-%s")
        super().__init__(*args, **kwargs)
        plan = of.plan.objectives if isinstance(of, Tenant) else {}
        whose = "plan" if isinstance(of, Tenant) else "default"
        for name, value in objectives_in_force(plan, {}).items():
            field = self.fields[name]
            if name == "latency_of":
                kinds = [(kind, f"{kind}s") for kind in CLASSES]
                field.choices = [("", f"{whose}: {value}s"), *kinds]  # type: ignore[attr-defined]
                continue
            low, high = BOUNDS[name]
            field.help_text = f"{whose}: {value:g}; {low:g} to {high:g}"
            field.widget.attrs |= {"step": "1" if name in WHOLE else "any"}

    @property
    def objectives(self) -> dict[str, Any]:
        """What was filled in."""
        return {k: v for k, v in self.cleaned_data.items() if v not in (None, "")}


class CredentialForm(PlaneForm):
    name = forms.RegexField(
        r"^[a-z0-9_.-]{1,63}$",
        label="Name",
        error_messages={"invalid": "1 to 63 of a-z 0-9 - _ ."},
        help_text="ACLs and the audit trail call it so, whatever its secret is",
    )
    role = forms.ChoiceField(
        label="Role",
        choices=CredentialRole.choices,
        initial=CredentialRole.WRITER,
        help_text="a reader reads and watches; an admin passes every ACL inside the tenant",
    )
    expires = forms.ChoiceField(label="Expires", choices=EXPIRIES, required=False)
    sasl = forms.BooleanField(
        label="SASL DIGEST-MD5, too",
        required=False,
        initial=True,
        help_text="for clients that sign in with user and password",
    )
    subjects = forms.CharField(
        label="TLS certificates",
        required=False,
        max_length=SUBJECTS_MAX,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "CN=app,OU=payments"}),
        help_text="subjects, one a line: who comes with such a certificate needs no secret",
    )

    def clean_subjects(self) -> list[str]:
        return lines(self.cleaned_data["subjects"])


class RotateForm(PlaneForm):
    overlap = forms.ChoiceField(
        label="The old secret stays valid for",
        choices=OVERLAPS,
        initial="24",
        help_text="so that running clients can change over",
    )


class SubjectsForm(PlaneForm):
    subjects = CredentialForm.base_fields["subjects"]

    def clean_subjects(self) -> list[str]:
        return lines(self.cleaned_data["subjects"])


class MemberForm(PlaneForm):
    username = forms.CharField(label="Account", max_length=150, help_text="the name to sign in")
    role = forms.TypedChoiceField(
        label="Role", choices=MemberRole.choices, coerce=int, initial=MemberRole.DEVELOPER
    )


class RoleForm(PlaneForm):
    role = forms.TypedChoiceField(label="Role", choices=MemberRole.choices, coerce=int)


class InviteForm(PlaneForm):
    note = forms.CharField(label="For whom", max_length=200, required=False)
    role = forms.TypedChoiceField(
        label="Role", choices=MemberRole.choices, coerce=int, initial=MemberRole.DEVELOPER
    )
    days = forms.IntegerField(label="Valid for, days", min_value=1, max_value=30, initial=7)


class DescribeForm(PlaneForm):
    """What an owner says of a tenant."""

    title = forms.CharField(label="Title", max_length=100, required=False)
    audit_reads = forms.BooleanField(
        label="Reads go into the audit trail, too",
        required=False,
        help_text="writes and refusals always do; reads of a busy tenant are many",
    )
    secret_paths = forms.CharField(
        label="Secret paths",
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "/passwords"}),
        help_text="beginnings of paths, one a line: the history never keeps values from there",
    )
    history_days = forms.IntegerField(
        label="History, days", min_value=0, max_value=DAYS_MAX, help_text="0 keeps none"
    )
    history_bytes = forms.IntegerField(
        label="History, bytes", min_value=0, max_value=1 << 40, help_text="the oldest go first"
    )

    def clean_secret_paths(self) -> list[str]:
        found = lines(self.cleaned_data["secret_paths"])
        for path in found:
            if not path.startswith("/"):
                raise forms.ValidationError(f"{path[:100]} does not begin with /.")
        return found

    @classmethod
    def of(cls, tenant: Tenant) -> "DescribeForm":
        return cls(
            initial={
                "title": tenant.title,
                "audit_reads": tenant.audit_reads,
                "secret_paths": "\n".join(tenant.secret_paths),
                "history_days": tenant.history_days,
                "history_bytes": tenant.history_bytes,
            }
        )


class ModeForm(PlaneForm):
    mode = forms.ChoiceField(label="Mode", choices=Tenant.Mode.choices, widget=forms.RadioSelect)


class PlanChangeForm(PlaneForm):
    plan = PlanChoice(Plan.objects.none(), empty_label=None, label="Plan")
    purpose = forms.CharField(
        label="Why",
        max_length=2_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="for the operator, where the plan needs an approval",
    )

    def __init__(self, *args: Any, plans: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["plan"].queryset = plans  # type: ignore[attr-defined]


class ConfirmForm(PlaneForm):
    """The name, typed once more, so that it is the one that was meant."""

    confirm = forms.CharField(label="Type its name to confirm", max_length=150)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["confirm"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_confirm(self) -> str:
        typed = str(self.cleaned_data["confirm"])
        if typed != self.name:
            raise forms.ValidationError(f"That is not {self.name}: nothing was done.")
        return typed


class TryForm(PlaneForm):
    """A credential to be tried, as the page that shows it once sends it back."""

    token = forms.RegexField(r"^[a-z0-9-]{1,63}:[A-Za-z0-9_-]{1,200}$", label="Credential")
    name = forms.CharField(max_length=63)


class ReasonForm(PlaneForm):
    """Why, and for how long; told to the tenant's people."""

    reason = forms.CharField(label="Reason", max_length=WORDS_MAX)
    hours = forms.IntegerField(
        label="For, hours",
        min_value=1,
        max_value=24 * 365,
        required=False,
        help_text="it ends by itself; empty: until somebody ends it",
    )
