"""Budgets, burn rates, forecasts and hints of noisy neighbours, from samples that are known."""

import time

import pytest
from django.core.exceptions import ValidationError

from ensemble.tenancy.accounting import READ, Account
from observability import neighbours, objectives
from observability.forecast import forecast_of, forecasts
from observability.samples import table
from tenants.actions.objectives import set_objectives, set_plan_objectives
from tenants.audit import PLANE
from tenants.models import AuditEvent, Tenant
from tenants.objectives import DEFAULTS, check_objectives
from tests.observability.people import make_tenant
from tests.observability.test_totals import totals

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
HOUR = 3_600


def reads(fast: int, slow: int = 0, failed: int = 0, refused: int = 0) -> Account:
    """Reads of 1 ms and of 100 ms; so many failed by the server, and by their own fault."""
    made = Account()
    figures = made.figures(READ)
    figures.count += fast + slow
    figures.latency.add(1_000, fast)
    figures.latency.add(100_000, slow)
    made.requests += fast + slow
    for _ in range(failed):
        figures.on_error(-4)
    for _ in range(refused):
        figures.on_error(-101)
    return made


def keep(resolution: int, one: int, at: int, made: Account, **usage: int) -> None:
    table.write(resolution, [table.row_of(one, at, resolution, totals(made), usage)])


@pytest.fixture
def shop() -> tuple[Tenant, int, int]:
    """A tenant, its series, and a moment shortly after the hour."""
    tenant = make_tenant()
    one = table.make_series("main", "tenant", ["payments"])["payments"]
    return tenant, one, int(time.time()) // HOUR * HOUR + 600


def test_a_budget_is_what_the_objective_leaves(shop: tuple[Tenant, int, int]) -> None:
    tenant, one, now = shop
    keep(HOUR, one, now - 600 - 48 * HOUR - 1, reads(90_000, failed=45, refused=900))
    keep(60, one, now - 120, reads(10_000, slow=200, failed=5))
    whole, latency = objectives.budgets(tenant, now)
    assert whole.total == 100_200
    assert whole.total - whole.good == 50, "what is no fault of the server's is good"
    assert whole.left == pytest.approx(1 - 50 / 100.2)
    assert whole.burn_1h == pytest.approx(5 / 10_200 / 0.001)
    assert whole.burn_6h == whole.burn_1h
    assert whole.burn_3d == pytest.approx(50 / 100_200 / 0.001)
    assert latency.total - latency.good == 200
    assert latency.left == pytest.approx(1 - 200 / 1_002)
    assert (whole.kind, latency.kind) == ("good", "warn"), "it burns faster than it may"
    assert latency.objective.words == "99 % of reads within 10 ms"


def test_a_missed_objective_has_less_than_nothing_left(shop: tuple[Tenant, int, int]) -> None:
    tenant, one, now = shop
    keep(60, one, now - 60, reads(100, failed=50))
    found = objectives.budget(tenant, now)
    assert found.left == pytest.approx(1 - 0.5 / 0.001)
    assert (found.kind, found.left_percent, found.percent) == ("bad", 0, 50.0)
    old = objectives.budget(tenant, now + 3 * HOUR)
    assert old.burn_1h is None
    assert old.burn_6h is not None


def test_without_requests_nothing_is_spent_and_no_burn_is_known() -> None:
    tenant = make_tenant()
    found = objectives.budget(tenant, int(time.time()), "latency")
    assert (found.total, found.left, found.burn_1h, found.percent) == (0, 1.0, None, None)


def test_a_tenants_objectives_stand_before_the_plans_and_those_before_the_defaults() -> None:
    tenant = make_tenant()
    tenant.plan.title = "Small"
    assert tenant.objectives_in_force == DEFAULTS
    set_plan_objectives(PLANE, plan=tenant.plan, objectives={"latency_ms": 50, "days": 7})
    set_objectives(PLANE, tenant=tenant, objectives={"days": 14, "latency_of": "write"})
    tenant = Tenant.objects.get()
    in_force = tenant.objectives_in_force
    assert (in_force["latency_ms"], in_force["days"], in_force["latency_of"]) == (50, 14, "write")
    assert objectives.objective_of(tenant, "latency").words == "99 % of writes within 50 ms"
    assert tenant.revision == 1, "the nodes need not know"
    verbs = list(AuditEvent.objects.order_by("seq").values_list("verb", flat=True))
    assert verbs == ["plan.objectives", "tenant.objectives"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "are an object"),
        ({"speed": 1}, "there is no objective 'speed'"),
        ({"availability": 100}, "availability is 100; a number from 50 to 99.999"),
        ({"availability": True}, "availability is True"),
        ({"availability": float("nan")}, "availability is nan"),
        ({"latency_ms": 1.5}, "latency_ms is 1.5; a whole number from 1 to 60000"),
        ({"days": 91}, "days is 91"),
        ({"latency_of": "ping"}, "latency_of is 'ping'; use one of read"),
    ],
)
def test_what_is_no_objective_is_named(value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        check_objectives(value)


# Forecasts


def minutes(per_minute: float, noise: int = 0, count: int = 600) -> list[tuple[int, int]]:
    return [(n * 60, int(1_000 + n * per_minute + noise * (n % 7 - 3))) for n in range(count)]


def test_what_grows_steadily_is_full_when_the_line_says() -> None:
    found = forecast_of("znodes", 10_000, minutes(2.0))
    assert found is not None
    assert found.per_day == pytest.approx(2 * 1_440, rel=0.01)
    assert found.full_in_s == pytest.approx((10_000 - 2_198) / 2 * 60, rel=0.01)
    assert found.words == "full in 2 days at the rate of the last 10 h"


@pytest.mark.parametrize(
    "points",
    [
        minutes(0.0),
        minutes(-2.0),
        minutes(0.0, noise=200),
        minutes(0.2, noise=200),  # more noise than growth
        minutes(0.05),  # a thousandth of the limit in ten hours
        minutes(2.0, count=20),
        minutes(2.0, count=110),  # not two hours
        minutes(100.0),  # full already
        [],
    ],
)
def test_where_a_line_says_nothing_nothing_is_said(points: list[tuple[int, int]]) -> None:
    assert forecast_of("znodes", 10_000, points) is None


def test_forecasts_are_of_the_limits_that_a_tenant_has(shop: tuple[Tenant, int, int]) -> None:
    tenant, one, now = shop
    assert forecasts(tenant, now) == {}
    tenant.overrides = {"znodes": 1_000}
    rows = [
        table.row_of(one, now - 60 * n, 60, totals(reads(1)), {"znodes": 900 - n, "bytes": 900 - n})
        for n in range(200)
    ]
    table.write(60, rows)
    found = forecasts(tenant, now)
    assert set(found) == {"znodes"}
    assert found["znodes"].full_in_s == pytest.approx(100 * 60, rel=0.01)


# Neighbours


def busy(name: str, now: int, busy_ms: int, before: Account, lately: Account) -> None:
    """Minutes like `before`, and a last one of `lately` in tens, that took so much a second."""
    one = table.make_series("main", "tenant", [name])[name]
    for minute in range(2, 40):
        keep(60, one, now - 60 * minute, before)
    for ten in range(6):
        made = totals(lately)
        made.counts[7] = busy_ms * 1_000 * 10
        table.write(10, [table.row_of(one, now - 1 - 10 * ten, 10, made, {})])


def test_who_is_noisy_is_named_with_whom_it_hurts() -> None:
    now = 1_795_000_000
    busy("loud", now, 700, reads(50), reads(5_000))
    busy("hurt", now, 20, reads(100), reads(50, slow=10))
    busy("calm", now, 20, reads(100), reads(100))
    busy("tiny", now, 1, reads(1), reads(1, slow=1))  # too little to tell
    (found,) = neighbours.neighbours("main", now)
    assert found.tenant == "loud"
    assert found.percent == 94
    assert found.busy == pytest.approx(0.7)
    (victim,) = found.victims
    assert (victim.tenant, victim.kind) == ("hurt", "read")
    assert victim.usual_ms < 1.2
    assert victim.now_ms > 90
    assert neighbours.neighbours("other", now) == []
    assert neighbours.neighbours("main", now + 200) == []


@pytest.mark.parametrize(
    ("busy_ms", "hurt"),
    [
        (100, reads(50, slow=10)),  # a tenth of a thread is no noise
        (700, reads(60)),  # nobody is hurt
    ],
)
def test_nobody_is_named_without_both_sides_of_the_evidence(busy_ms: int, hurt: Account) -> None:
    now = 1_795_000_000
    busy("loud", now, busy_ms, reads(50), reads(5_000))
    busy("other", now, 20, reads(100), hurt)
    assert neighbours.neighbours("main", now) == []


def test_what_belongs_to_nobody_is_nobodys_neighbour() -> None:
    now = 1_795_000_000
    busy("_none", now, 700, reads(50), reads(5_000))
    busy("hurt", now, 20, reads(100), reads(50, slow=10))
    assert neighbours.neighbours("main", now) == []
