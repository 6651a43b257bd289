"""Every rule with its look: who asks here has all of them."""

from typing import Final

from observability.alerts import check_nodes, check_plane, check_tenants
from observability.alerts.checks import CHECKS, Found
from observability.alerts.picture import Picture
from tenants.alerts.rule import Rule
from tenants.alerts.table import RULES

MODULES: Final = (check_nodes, check_plane, check_tenants)  # imported for their checks


def look(rule: Rule, threshold: float, picture: Picture) -> Found:
    """One rule against the picture."""
    return CHECKS[rule.name](rule, threshold, picture)


assert CHECKS.keys() == RULES.keys(), f"without a look, or a rule: {CHECKS.keys() ^ RULES.keys()}"
