"""Error budgets that burn: over several windows, by the servers' fault alone."""

import time

import pytest

from observability.alerts.burning import Burning, burning_of
from observability.alerts.checks import Subject
from observability.objectives import Objective
from observability.samples import table
from tests.observability.alerts.pictures import picture, says, see
from tests.observability.people import make_tenant
from tests.observability.test_objectives import keep, reads

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
MINUTE = 60
PROMISED = Objective("availability", 99.9, 30)


def test_only_who_fails_by_the_servers_fault_burns() -> None:
    now = int(time.time())
    tenants = {slug: make_tenant(slug, root=f"/tenants/{slug}") for slug in ("a", "b", "c")}
    ids = table.make_series("main", "tenant", list(tenants))
    for ago in range(1, 50):
        at = now - ago * MINUTE
        keep(60, ids["a"], at, reads(98, failed=2))
        keep(60, ids["b"], at, reads(50, refused=50))
        keep(60, ids["c"], at, reads(100))
    keep(60, ids["c"], now - 2 * 3_600, reads(100, failed=90))
    found = burning_of(tenants, now)
    assert set(found) == {"a"}, "own errors burn nothing, and what is long over does not, either"
    assert found["a"].burn_1h == found["a"].burn_5m == pytest.approx(2 / 98 / 0.001, rel=0.01)
    assert found["a"].burn_6h == pytest.approx(found["a"].burn_1h)


@pytest.mark.parametrize(
    ("five", "hour", "six", "burns", "leaks"),
    [
        (20.0, 20.0, 20.0, True, True),
        (1.0, 20.0, 20.0, False, True),  # it is over, and the hour still shows it
        (20.0, 10.0, 2.0, False, False),  # not for long enough to matter
        (7.0, 7.0, 7.0, False, True),
        (14.4, 14.4, 6.0, False, False),
        (None, 20.0, 2.0, False, False),
    ],
)
def test_a_budget_burns_where_long_and_short_windows_agree(
    five: float | None, hour: float, six: float, burns: bool, leaks: bool
) -> None:
    tenants = {"payments": make_tenant()}
    painted = picture(tenants=tenants, burning={"payments": Burning(PROMISED, five, hour, six)})
    assert bool(says("budget-burns", painted)) is burns
    assert bool(says("budget-leaks", painted)) is leaks
    blind = see("budget-burns", painted).blind
    assert blind == ({Subject("main", tenant="payments")} if five is None else set())
    assert see("budget-burns", picture(tenants=tenants, rates={"main": None})).blind
