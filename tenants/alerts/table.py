"""All rules by name, the weightiest first on pages."""

from typing import Final

from tenants.alerts import of_nodes, of_plane, of_tenants
from tenants.alerts.rule import Rule

RULES: Final[dict[str, Rule]] = {
    rule.name: rule for rule in (*of_nodes.RULES, *of_plane.RULES, *of_tenants.RULES)
}
FOR_MEMBERS: Final = frozenset(name for name, rule in RULES.items() if rule.for_members)
