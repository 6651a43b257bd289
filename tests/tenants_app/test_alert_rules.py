"""The table of rules: whole, within its own bounds, and alike with the rules for Prometheus."""

import re

import pytest
import yaml

from console.plane_metrics import EXPIRES_SOON
from tenants.alerts.rule import HOLD_MAX_S, Scope
from tenants.alerts.table import FOR_MEMBERS, RULES
from tests.harness import ROOT

ALIKE = sorted(name for name, rule in RULES.items() if rule.prometheus)
UNITS = {"s": 1, "m": 60, "h": 3_600}


def in_prometheus() -> dict[str, dict[str, object]]:
    document = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    listed = [rule for group in document["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in listed if "alert" in rule}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_why_and_what_to_do_and_keeps_its_own_bounds(name: str) -> None:
    rule = RULES[name]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert len(name) <= 40
    assert rule.why.endswith(".")
    assert rule.steps
    assert 0 <= rule.hold_s <= HOLD_MAX_S
    assert 1 <= rule.every_s <= 60
    if rule.bound is not None:
        assert rule.bound.low <= rule.bound.value <= rule.bound.high
    if name in FOR_MEMBERS:
        assert rule.scope is Scope.TENANT


def test_names_are_one_rule_each() -> None:
    assert len(RULES) > 25
    assert len({rule.title for rule in RULES.values()}) == len(RULES)
    assert len(ALIKE) > 15
    assert len({RULES[name].prometheus for name in ALIKE}) == len(ALIKE)


@pytest.mark.parametrize("name", ALIKE)
def test_where_prometheus_has_the_same_rule_it_has_the_same_bounds(name: str) -> None:
    rule, other = RULES[name], in_prometheus()[RULES[name].prometheus]
    assert other["labels"] == {"severity": str(rule.severity)}
    hold = str(other.get("for", "0s"))
    held = int(hold[:-1]) * UNITS[hold[-1]]
    if name == "collector-stopped":  # who stands still measures the time, and does not hold it
        assert rule.bound is not None
        assert rule.bound.value == held
        return
    assert rule.hold_s == held
    if name == "secret-ends":
        assert rule.bound is not None
        assert EXPIRES_SOON.days == rule.bound.value
    elif rule.bound is not None:
        numbers = [float(text) for text in re.findall(r"> ([\d.]+)", str(other["expr"]))]
        scale = 100 if rule.bound.unit.startswith("%") else 1
        assert rule.bound.value in [scale * number for number in numbers]
