"""Pages, data and live streams of figures, and what each needs; `routes` takes the pages in."""

from typing import Final

from tenants.access import Standing

FIGURE_ROUTES: Final[dict[str, Standing | str]] = {
    "tenant-dashboard": "tenant.usage",
    "tenant-figures": "tenant.usage",
    "tenant-slow": "tenant.usage",
    "tenant-objective": "tenant.describe",
    "plan-objective": "plan.change",
    "ensemble-dashboard": "ensemble.read",
    "ensemble-figures": "ensemble.read",
    "ensemble-slow": "ensemble.read",
}

FIGURE_ACTIONS: Final = {"follow": Standing.PERSON, "seen": Standing.PERSON}
"""What a message on the websocket of figures may ask for."""

SUBJECT_RIGHTS: Final = {
    "tenant": "tenant.usage",
    "ensemble": "ensemble.read",
    "node": "ensemble.read",
}
"""Whose figures may be followed live, by the first word of what is asked for."""
