"""When a limit will be reached if it goes on as in the last day.

A straight line through the minutes of the last 24 hours (least squares). It is said only where it
says something: enough minutes over enough hours, growth that is more than noise, a line that fits,
and an end within a year.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from observability.samples import table
from observability.samples.node import USAGE
from tenants.models import Tenant

BACK_S: Final = 86_400
MINUTES_MIN: Final = 30
SPAN_MIN_S: Final = 2 * 3_600
FIT_MIN: Final = 0.6  # of 1: the share of what moves that the line explains
GROWTH_MIN: Final = 0.005  # of the limit, over what was looked at
AHEAD_MAX_S: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Forecast:
    """A limit that will be reached. `per_day`: how much it grows; `fit`: of 1."""

    name: str
    used: int
    limit: int
    per_day: float
    full_in_s: int
    fit: float
    looked_back_s: int

    @property
    def words(self) -> str:
        hours = max(1, round(self.looked_back_s / 3_600))
        return f"full in {span(self.full_in_s)} at the rate of the last {hours} h"


def span(seconds: float) -> str:
    """3 days, 5 hours, 20 minutes."""
    for step, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= step:
            count = int(seconds // step)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def forecasts(tenant: Tenant, now: int) -> dict[str, Forecast]:
    """By the limit's name; those that say nothing are missing."""
    one = table.ids_of(tenant.ensemble.name, "tenant", [tenant.slug]).get(tenant.slug)
    limits = tenant.limits
    if one is None or not limits:
        return {}
    first = max(now - BACK_S, int(tenant.created_at.timestamp()))
    columns = ", ".join(USAGE)
    rows = table.ask(
        f"SELECT at, {columns} FROM {table.table(60)} WHERE series = %s AND at >= %s AND at <= %s "
        "ORDER BY at",
        (one, first, now),
    )
    found = {}
    for place, name in enumerate(USAGE, 1):
        if name in limits:
            points = [(int(row[0]), int(row[place])) for row in rows]
            forecast = forecast_of(name, limits[name], points)
            if forecast is not None:
                found[name] = forecast
    return found


def forecast_of(name: str, limit: int, points: Iterable[tuple[int, int]]) -> Forecast | None:
    """From (second, amount), ascending; None where a line says nothing."""
    known = list(points)
    if len(known) < MINUTES_MIN or known[-1][0] - known[0][0] < SPAN_MIN_S:
        return None
    slope, fit = line_through(known)
    looked_back = known[-1][0] - known[0][0]
    used = known[-1][1]
    if used >= limit or fit < FIT_MIN or slope * looked_back < GROWTH_MIN * limit:
        return None
    full_in_s = (limit - used) / slope
    if full_in_s > AHEAD_MAX_S:
        return None
    return Forecast(name, used, limit, slope * 86_400, int(full_in_s), fit, looked_back)


def line_through(points: list[tuple[int, int]]) -> tuple[float, float]:
    """Slope of the line of least squares, and how much of the movement it explains (0 to 1)."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    square_x = sum((x - mean_x) ** 2 for x, _ in points)
    square_y = sum((y - mean_y) ** 2 for _, y in points)
    both = sum((x - mean_x) * (y - mean_y) for x, y in points)
    if not square_x or not square_y:
        return 0.0, 0.0
    return both / square_x, both * both / (square_x * square_y)
