"""Which tenants' error budgets burn, over several windows: minutes say that it goes on, hours that
it matters.

Most tenants have no error in an hour, and of those that have most are their own. So an hour's
minutes are counted for the CANDIDATES_MAX with most errors; who burns at all is looked at over six.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from observability.objectives import HOUR_S, RECENT_S, Objective, burn, objective_of
from observability.samples import table
from observability.samples.table import Sample
from tenants.models import Tenant

CANDIDATES_MAX: Final = 200  # of one ensemble
SHORT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Burning:
    """1 spends exactly the budget; None: no request in that time."""

    objective: Objective
    burn_5m: float | None
    burn_1h: float | None
    burn_6h: float | None = None


def burning_of(tenants: Mapping[str, Tenant], now: int) -> dict[str, Burning]:
    """Those that had errors in the last hour and spend more than they may."""
    by_ensemble: dict[str, list[Tenant]] = {}
    for tenant in tenants.values():
        by_ensemble.setdefault(tenant.ensemble.name, []).append(tenant)
    found: dict[str, Burning] = {}
    for ensemble, mine in by_ensemble.items():
        candidates = with_errors(ensemble, now)
        for tenant in mine:
            one = candidates.get(tenant.slug)
            if one is None:
                continue
            objective = objective_of(tenant, "availability")
            samples = table.read(60, one, now - HOUR_S, now)
            hour = burn_of(objective, samples, now - HOUR_S)
            if hour is None or hour <= 1:
                continue
            longer = table.read(60, one, now - RECENT_S, now)
            found[tenant.slug] = Burning(
                objective,
                burn_of(objective, samples, now - SHORT_S),
                hour,
                burn_of(objective, longer, now - RECENT_S),
            )
    return found


def burn_of(objective: Objective, samples: Iterable[Sample], since: int) -> float | None:
    good = total = 0
    for sample in samples:
        if sample.at > since:
            some, every = objective.count(sample.totals)
            good += some
            total += every
    return burn(objective, good, total)


def with_errors(ensemble: str, now: int) -> dict[str, int]:
    """The series of tenants with errors in the last hour, those with most."""
    rows = table.ask(
        "SELECT n.name, n.id, SUM(s.errors) FROM observability_series n "
        "JOIN observability_sample_60 s ON s.series = n.id AND s.at > %s AND s.at <= %s "
        "WHERE n.ensemble = %s AND n.kind = 'tenant' GROUP BY n.name, n.id "
        "HAVING SUM(s.errors) > 0 ORDER BY SUM(s.errors) DESC LIMIT %s",
        (now - HOUR_S, now, ensemble, CANDIDATES_MAX),
    )
    return {str(name): int(one) for name, one, _ in rows}
