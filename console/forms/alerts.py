"""Forms about alerts: notes, silences, rules, channels; and the name of a saved search."""

from typing import Any, Final

from django import forms

from console.forms.base import WORDS_MAX, PlaneForm
from tenants.actions.channels import URL_MAX
from tenants.alerts.rule import HOLD_MAX_S, Rule, Severity
from tenants.alerts.table import FOR_MEMBERS, RULES
from tenants.models import AlertChannel

HOURS: Final = (
    ("1", "an hour"),
    ("4", "4 hours"),
    ("12", "12 hours"),
    ("24", "a day"),
    ("72", "3 days"),
    ("168", "a week"),
    ("720", "30 days"),
)
SEVERITIES: Final = (
    ("page", "page: what wakes somebody up, alone"),
    ("ticket", "ticket: these and what waits for the morning"),
    ("note", "note: everything"),
)


class NoteForm(PlaneForm):
    note = forms.CharField(
        label="Note", max_length=WORDS_MAX, help_text="what you see, and what you do about it"
    )


class SilenceForm(PlaneForm):
    """Nobody is told for a while. Operators say of what; a tenant's people of which rule."""

    rule = forms.ChoiceField(label="Rule", required=False)
    ensemble = forms.CharField(label="Ensemble", max_length=63, required=False)
    node = forms.CharField(label="Node", max_length=100, required=False)
    tenant = forms.CharField(label="Tenant", max_length=63, required=False)
    hours = forms.ChoiceField(label="For", choices=HOURS, initial="1")
    reason = forms.CharField(
        label="Reason", max_length=WORDS_MAX, help_text="read by those who come after you"
    )

    def __init__(self, *args: Any, of_tenant: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = FOR_MEMBERS if of_tenant else RULES
        choices = [(name, rule.title) for name, rule in RULES.items() if name in names]
        self.fields["rule"].choices = [("", "every rule"), *choices]  # type: ignore[attr-defined]
        if of_tenant:
            for name in ("ensemble", "node", "tenant"):
                del self.fields[name]
        else:
            self.fields["tenant"].help_text = "what is left empty fits everything"


class RuleForm(PlaneForm):
    is_on = forms.BooleanField(label="Look at it", required=False)
    threshold = forms.FloatField(label="Threshold", required=False)
    hold_s = forms.IntegerField(
        label="For at least", min_value=0, max_value=HOLD_MAX_S, required=False
    )
    severity = forms.ChoiceField(label="Severity", required=False)

    def __init__(self, *args: Any, rule: Rule, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if rule.bound is None:
            del self.fields["threshold"]
        else:
            bound = rule.bound
            field = self.fields["threshold"]
            way = "below" if bound.is_least else "above"
            field.help_text = (
                f"{way} so many {bound.unit}; {bound.low:,g} to {bound.high:,g}, "
                f"empty: {bound.value:,g}"
            )
            field.widget.attrs |= {"step": "any", "min": bound.low, "max": bound.high}
        self.fields["hold_s"].help_text = f"seconds, 0 to {HOLD_MAX_S:,}; empty: {rule.hold_s}"
        self.fields["severity"].choices = [  # type: ignore[attr-defined]
            ("", f"{rule.severity}, as it comes"),
            *((str(one), str(one)) for one in Severity),
        ]


class ChannelForm(PlaneForm):
    name = forms.CharField(label="Name", max_length=100)
    kind = forms.ChoiceField(label="Kind", choices=AlertChannel.Kind.choices)
    url = forms.CharField(
        label="Address of the webhook",
        max_length=URL_MAX,
        required=False,
        help_text="https://hooks.example.com/path; for a webhook",
    )
    addresses = forms.CharField(
        label="Mail addresses",
        max_length=4_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="one a line; for mail",
    )
    severity = forms.ChoiceField(label="Send", choices=SEVERITIES, initial="ticket")
    of_tenant = forms.CharField(
        label="Of one tenant alone", max_length=63, required=False, help_text="empty: of all"
    )

    def __init__(self, *args: Any, of_tenant: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if of_tenant:
            del self.fields["of_tenant"]


class SearchForm(PlaneForm):
    """A saved search: what it is called, and the address's query."""

    name = forms.CharField(label="Name", max_length=100)
    query = forms.CharField(max_length=2_000, required=False, widget=forms.HiddenInput())
