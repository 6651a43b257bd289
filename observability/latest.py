"""What many tenants use and cost now, in a few queries: for lists."""

from collections.abc import Iterable, Sequence
from typing import Final

from observability import series
from observability.samples import table
from observability.samples.node import USAGE
from observability.samples.table import RESOLUTIONS

AT_ONCE_MAX: Final = 500  # names in one query


def usages(ensemble: str, slugs: Sequence[str]) -> dict[str, dict[str, int]]:
    """The newest usage of each tenant of one ensemble; those of whom nothing is known are missing.

    The finest samples first: a tenant that has done nothing for an hour is in the coarser ones.
    """
    found: dict[str, dict[str, int]] = {}
    columns = ", ".join(f"s.{name}" for name in USAGE)
    for resolution in RESOLUTIONS:
        missing = [slug for slug in slugs[:AT_ONCE_MAX] if slug not in found]
        if not missing:
            break
        name = table.table(resolution)
        marks = ", ".join(["%s"] * len(missing))
        rows = table.ask(
            f"SELECT n.name, {columns} FROM observability_series n JOIN {name} s "
            f"ON s.series = n.id AND s.at = (SELECT MAX(at) FROM {name} WHERE series = n.id) "
            f"WHERE n.ensemble = %s AND n.kind = 'tenant' AND n.name IN ({marks})",
            (ensemble, *missing),
        )
        found |= {str(row[0]): dict(zip(USAGE, row[1:], strict=True)) for row in rows}
    return found


def costs(ensembles: Iterable[str]) -> dict[str, float]:
    """Milliseconds of the nodes' threads a second, of each tenant that had any lately."""
    return {
        cost.tenant: cost.rates["busy_us"] / 1_000
        for ensemble in ensembles
        for cost in series.top(ensemble, "busy", series.TOP_MAX)
    }
