"""The rules as they are in force, with how many alerts of each fire."""

from dataclasses import dataclass

from observability.alerts.evaluate import setting_of
from observability.alerts.machine import Setting
from observability.models import Alert
from tenants.alerts.table import RULES
from tenants.models import AlertRule


@dataclass(frozen=True, slots=True)
class Line:
    """A rule in the list. `row`: what people have changed of it."""

    setting: Setting
    row: AlertRule | None
    firing: int

    @property
    def is_changed(self) -> bool:
        return self.row is not None


def lines() -> list[Line]:
    changed = {row.name: row for row in AlertRule.objects.all()}
    fire = list(Alert.objects.filter(status=Alert.Status.FIRING).values_list("rule", flat=True))
    return [
        Line(setting_of(rule, changed.get(name)), changed.get(name), fire.count(name))
        for name, rule in RULES.items()
    ]


def line(name: str) -> Line | None:
    """None: there is no such rule."""
    return next((one for one in lines() if one.setting.rule.name == name), None)
