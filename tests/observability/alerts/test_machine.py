"""Pending, firing, resolved: what a look means for each alert. No database is asked."""

from observability.alerts.checks import Finding, Found, Subject
from observability.alerts.machine import (
    CLEAR_MAX_S,
    OPEN_MAX,
    Setting,
    Status,
    Steps,
    clear_ms,
    step,
)
from observability.models import Alert
from tenants.alerts.table import RULES

RULE = RULES["node-gone"]
NODE = Subject("main", "node1")
MINUTE = 60_000


def setting(hold_s: int = 60, is_on: bool = True) -> Setting:
    return Setting(RULE, is_on, 0.0, hold_s, "ticket")


def holds(subject: Subject = NODE, since_s: float | None = None) -> Found:
    return Found([Finding(subject, f"{subject.node} is gone", {"problem": "x"}, since_s)])


class Life:
    """One rule's alerts from look to look, as the database would keep them."""

    def __init__(self, **options: object) -> None:
        self.setting = setting(**options)  # type: ignore[arg-type]
        self.kept: list[Alert] = []

    def look(self, found: Found, now_ms: int) -> Steps:
        steps = step(self.setting, self.kept, found, now_ms)
        self.kept += [one for one in steps.changed if one not in self.kept]
        self.kept = [one for one in self.kept if one not in steps.dropped]
        for number, alert in enumerate(self.kept, 1):
            alert.pk = number
        return steps

    @property
    def alert(self) -> Alert:
        (only,) = self.kept
        return only


def test_it_fires_when_the_rule_has_held_for_long_enough_and_not_before() -> None:
    life = Life(hold_s=60)
    assert not life.look(holds(), 0).fired
    assert life.alert.status == Status.PENDING
    assert not life.look(holds(), 59_999).fired
    assert life.look(holds(), 60_000).fired == [life.alert]
    assert (life.alert.status, life.alert.since, life.alert.fired_at) == (Status.FIRING, 0, 60_000)
    assert not life.look(holds(), 65_000).fired, "told once"


def test_what_held_before_anybody_looked_counts() -> None:
    life = Life(hold_s=60)
    assert life.look(holds(since_s=40.0), 100_000).fired
    assert life.alert.since == 40_000


def test_what_went_before_it_fired_leaves_nothing() -> None:
    life = Life(hold_s=60)
    life.look(holds(), 0)
    life.look(Found(), 5_000)
    assert life.kept == []


def test_it_is_resolved_when_it_has_been_clear_for_a_while() -> None:
    life = Life(hold_s=0)
    life.look(holds(), 0)
    assert not life.look(Found(), 10_000).resolved
    assert not life.look(holds(), 20_000).resolved, "a moment of rest does not count"
    assert not life.look(Found(), 30_000).resolved
    assert life.look(Found(), 60_000).resolved == [life.alert]
    assert (life.alert.status, life.alert.resolved_at) == (Status.RESOLVED, 60_000)


def test_missing_figures_are_no_good_news() -> None:
    life = Life(hold_s=0)
    life.look(holds(), 0)
    blind = Found(blind={NODE})
    for now in range(5_000, 10 * MINUTE, 5_000):
        assert not life.look(blind, now).resolved
    assert life.alert.status == Status.FIRING
    assert life.alert.is_blind
    life.look(Found(blind={Subject("main")}), 11 * MINUTE)
    assert life.alert.is_blind, "an ensemble of which nothing is known stands for its nodes"
    life.look(Found(), 12 * MINUTE)
    assert life.look(Found(), 13 * MINUTE).resolved


def test_what_comes_back_is_the_same_alert_and_says_how_often() -> None:
    life = Life(hold_s=0)
    now = 0
    told = 0
    for _ in range(200):  # two looks in three hold, for an hour and a half
        told += len(life.look(holds(), now).fired)
        life.look(holds(), now + 9_000)
        life.look(Found(), now + 18_000)
        now += 27_000
    assert told == 1, "what flaps faster than it is resolved is told once"
    assert life.alert.times == 1
    fired = 1
    for _ in range(40):  # a minute of each
        now += MINUTE
        life.look(Found(), now)
        life.look(Found(), now + 50_000)
        now += MINUTE
        fired += len(life.look(holds(), now).fired)
    assert life.alert.times == fired
    assert 2 <= fired <= 4, "each time it has to be quiet for twice as long"


def test_the_rest_that_ends_it_is_bounded() -> None:
    assert clear_ms(1) == 30_000
    assert clear_ms(2) == 60_000
    assert clear_ms(1_000) == CLEAR_MAX_S * 1_000


def test_a_rule_that_is_switched_off_resolves_what_fires_at_once() -> None:
    life = Life(hold_s=0)
    life.look(holds(), 0)
    life.setting = setting(is_on=False)
    assert life.look(holds(), 5_000).resolved == [life.alert]


def test_figures_of_one_that_goes_on_are_written_now_and_then() -> None:
    life = Life(hold_s=0)
    life.look(holds(), 0)
    assert not life.look(holds(), 5_000).changed
    assert life.look(holds(), 10_000).changed
    assert life.alert.evidence["first"]["at"] == 0
    assert life.alert.evidence["now"]["at"] == 10_000


def test_alerts_of_one_rule_are_bounded_and_those_that_are_there_stay() -> None:
    life = Life(hold_s=0)
    many = [Finding(Subject("main", f"n{n:04}"), "gone") for n in range(OPEN_MAX + 20)]
    assert len(life.look(Found(many), 0).fired) == OPEN_MAX
    steps = life.look(Found(list(reversed(many))), 5_000)
    assert not steps.fired
    assert not steps.resolved
    assert len(life.kept) == OPEN_MAX


def test_names_that_are_too_long_for_their_columns_are_one_alert_all_the_same() -> None:
    life = Life(hold_s=0)
    long = holds(Subject("e" * 80, "n" * 300))
    life.look(long, 0)
    assert not life.look(long, 5_000).fired
    assert len(life.kept) == 1
