"""Deficit round robin: shares by weight, nobody starves, order within a flow."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.tenancy.fairness import QUANTUM, RECENT_US, SWEEP_EVERY_US, Flow, Scheduler

WEIGHTS = st.integers(1, 10_000)
COSTS = st.integers(1, 400)


def served(scheduler: Scheduler, cost: int, now_us: int = 0) -> tuple[Flow, object]:
    """One turn of whoever is next."""
    flow = scheduler.next()
    assert flow is not None
    item = flow.queue.popleft()
    scheduler.settle(flow, cost, now_us)
    return flow, item


@given(
    weights=st.lists(WEIGHTS, min_size=2, max_size=6),
    costs=st.lists(COSTS, min_size=50, max_size=400),
)
def test_flows_that_always_have_work_get_their_weights_share(
    weights: list[int], costs: list[int]
) -> None:
    """At any time, per weight, two differ by a quantum and the dearest turn of each at most."""
    scheduler = Scheduler()
    flows = [Flow(weight) for weight in weights]
    for flow in flows:
        scheduler.put(flow, "first", 0)
    got = {id(flow): 0 for flow in flows}
    for cost in costs:
        flow = scheduler.next()
        assert flow is not None
        flow.queue.append(flow.queue.popleft())
        got[id(flow)] += cost
        scheduler.settle(flow, cost, 0)
        shares = [got[id(flow)] / flow.weight for flow in flows]
        slack = [(flow.quantum() + max(costs)) / flow.weight for flow in flows]
        rounding = max(got.values()) / min(int(flow.quantum()) for flow in flows)
        for one, one_slack in zip(shares, slack, strict=True):
            for other, other_slack in zip(shares, slack, strict=True):
                # A quantum is a whole number: weights below 100 may be off by half of one a round.
                assert one - other <= one_slack + other_slack + 2 * QUANTUM / 100 + rounding


@given(
    weights=st.lists(st.integers(1, 100).map(lambda n: n * 100), min_size=2, max_size=5),
    cost=COSTS,
)
def test_over_a_thousand_turns_each_is_within_one_quantum_of_its_share(
    weights: list[int], cost: int
) -> None:
    scheduler = Scheduler()
    flows = [Flow(weight) for weight in weights]
    for flow in flows:
        scheduler.put(flow, "work", 0)
    got = {id(flow): 0 for flow in flows}
    for _ in range(1_000):
        flow = scheduler.next()
        assert flow is not None
        got[id(flow)] += cost
        scheduler.settle(flow, cost, 0)
    rounds = [got[id(flow)] / flow.quantum() for flow in flows]
    turn = max(cost / flow.quantum() for flow in flows)
    assert max(rounds) - min(rounds) <= 1 + turn


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 2_000)), max_size=300)
)
def test_everything_is_served_once_and_in_order_within_its_flow(
    steps: list[tuple[bool, int, int]],
) -> None:
    scheduler = Scheduler()
    flows = [Flow(weight) for weight in (1, 10, 100, 1_000, 10_000)]
    put: dict[int, list[int]] = {id(flow): [] for flow in flows}
    taken: dict[int, list[object]] = {id(flow): [] for flow in flows}
    now_us = 0
    for number, (comes, which, gap_or_cost) in enumerate(steps):
        if comes:
            now_us += gap_or_cost
            scheduler.put(flows[which], number, now_us)
            put[id(flows[which])].append(number)
        elif scheduler.next() is not None:
            flow, item = served(scheduler, gap_or_cost, now_us)
            taken[id(flow)].append(item)
        scheduler.sweep(now_us)
    while scheduler.next() is not None:
        flow, item = served(scheduler, 1, now_us)
        taken[id(flow)].append(item)
    assert taken == put
    assert not scheduler.ring


@given(others=st.integers(1, 8), debt=st.integers(0, 10**9))
def test_nobody_starves_however_deep_in_debt(others: int, debt: int) -> None:
    """All the rounds in which nobody would be served are gone through at once."""
    scheduler = Scheduler()
    poor = Flow(1)
    poor.credit = -debt
    poor.left_us = 0
    scheduler.put(poor, "poor", 0)
    assert scheduler.next() is poor
    rich = [Flow(100) for _ in range(others)]
    for flow in rich:
        scheduler.put(flow, "rich", 0)
    turns = 0
    while scheduler.next() is not poor:
        flow, _ = served(scheduler, QUANTUM, 0)
        scheduler.put(flow, "rich", 0)
        turns += 1
        assert turns <= 3 * others, "more than three rounds"


def test_who_comes_back_after_an_absence_is_served_first() -> None:
    scheduler = Scheduler()
    busy, quiet = Flow(), Flow()
    for number in range(100):
        scheduler.put(busy, number, 0)
    served(scheduler, 10, 0)
    scheduler.put(quiet, "a request", 1_000)
    assert served(scheduler, 10, 1_000) == (quiet, "a request")
    assert scheduler.next() is busy


def test_going_and_coming_earns_no_more_than_the_share() -> None:
    """A flow that empties its queue after each turn does not get ahead of one that stays."""
    scheduler = Scheduler()
    stays, hops = Flow(), Flow()
    got = {id(stays): 0, id(hops): 0}
    now_us = 0
    scheduler.put(stays, "work", now_us)
    for _ in range(2_000):
        if not hops.queue:
            scheduler.put(hops, "work", now_us)
        flow = scheduler.next()
        assert flow is not None
        flow.queue.popleft()
        if flow is stays:
            stays.queue.append("work")
        now_us += 20
        got[id(flow)] += 20
        scheduler.settle(flow, 20, now_us)
    assert abs(got[id(stays)] - got[id(hops)]) <= 2 * (QUANTUM + 20)


def test_an_expensive_turn_is_paid_for_before_the_next() -> None:
    """0.3 s for the children of a huge parent: the other flow has as much before the next one."""
    scheduler = Scheduler()
    heavy, light = Flow(), Flow()
    scheduler.put(heavy, "a million children", 0)
    served(scheduler, 300_000, 300_000)
    scheduler.put(heavy, "again", 300_000)
    scheduler.put(light, "get", 300_000)
    got = 0
    now_us = 300_000
    while scheduler.next() is light:
        now_us += 10
        served(scheduler, 10, now_us)
        got += 10
        scheduler.put(light, "get", now_us)
    assert 300_000 - 3 * QUANTUM <= got <= 300_000 + 3 * QUANTUM


def test_contention_ends_a_second_after_the_other_had_work() -> None:
    scheduler = Scheduler()
    one, other = Flow(), Flow(300)
    scheduler.note(one, 0)
    assert not scheduler.contended()
    assert scheduler.share(one, 1_000) == 1_000
    scheduler.note(other, 0)
    assert scheduler.contended()
    assert (scheduler.share(one, 1_000), scheduler.share(other, 1_000)) == (250, 750)
    assert scheduler.share(one, 1) == 1
    scheduler.note(one, RECENT_US)
    scheduler.sweep(RECENT_US + SWEEP_EVERY_US)
    assert not scheduler.contended()
    assert scheduler.share(one, 1_000) == 1_000


def test_a_new_weight_holds_from_the_next_round_on() -> None:
    scheduler = Scheduler()
    one, other = Flow(100), Flow(100)
    for flow in (one, other):
        scheduler.put(flow, "work", 0)
    other.weight = 400
    got = {id(one): 0, id(other): 0}
    for _ in range(1_000):
        flow = scheduler.next()
        assert flow is not None
        got[id(flow)] += 10
        scheduler.settle(flow, 10, 0)
    assert 3.8 <= got[id(other)] / got[id(one)] <= 4.2


def test_a_flow_that_does_little_does_not_make_the_others_share() -> None:
    scheduler, busy, quiet = Scheduler(), Flow(), Flow(quiet_max=3)
    scheduler.note(busy, 0)
    for second in range(5):
        for part in range(3):
            scheduler.note(quiet, second * RECENT_US + part)
        assert not scheduler.contended()
    scheduler.note(quiet, 4 * RECENT_US + 10)
    assert scheduler.contended(), "one more within the same second"
    scheduler.note(busy, 5 * RECENT_US)
    scheduler.sweep(5 * RECENT_US + 11)
    assert not scheduler.contended(), "a second later it is quiet again"


def test_what_a_quiet_flow_asks_for_is_served_in_its_turn() -> None:
    scheduler, busy, quiet = Scheduler(), Flow(), Flow(quiet_max=3)
    for number in range(100):
        scheduler.put(busy, number, 0)
    scheduler.put(quiet, "mine", 0)
    served: list[object] = []
    while "mine" not in served:
        flow = scheduler.next()
        assert flow is not None
        served.append(flow.queue.popleft())
        scheduler.settle(flow, QUANTUM, 1)
    assert len(served) <= 2
