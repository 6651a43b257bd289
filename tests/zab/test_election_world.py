"""Elections in a tiny world of delays, breaks, cuts and crashes, thousands of them by seed."""

import random

import pytest
from electorate import World
from voting import majority, weighted

from ensemble.wire.peers import LOOKING

SETTLED_MS = 8_000  # after the last fault; a leader is there and everybody knows it


def settle(world: World) -> None:
    """Go on until all agree, as long as is allowed for it."""
    until_ms = world.now_ms + SETTLED_MS
    while world.now_ms < until_ms and not all_agree(world):
        world.run(world.now_ms + 100)


def all_agree(world: World) -> bool:
    followed = world.followed()
    return (
        len(world.leaders()) == 1
        and set(followed) == set(world.running())
        and (set(followed.values()) == world.leaders())
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_among_those_that_run_the_best_one_leads(size: int) -> None:
    """A14, A11: everybody starts within 50 ms and hears within 30: the best is elected at once."""
    for seed in range(250):
        chance = random.Random(seed)
        world = World(majority(*range(1, size + 1)), seed, delay_ms=30)
        running = chance.sample(range(1, size + 1), chance.randint(size // 2 + 1, size))
        for sid in running:
            world.run(world.now_ms + chance.randint(0, 50 // size))
            world.start(sid)
        started_ms = world.now_ms
        servers = [world.servers[sid] for sid in running]
        best = max((server.epoch, server.zxid, server.sid) for server in servers)
        world.run(started_ms + 1_200)
        assert world.leaders() == {best[2]}, f"seed {seed}"
        assert all_agree(world), f"seed {seed}"
        assert world.delivered < 12 * size * size, f"seed {seed}"


@pytest.mark.parametrize("size", [3, 5, 7])
def test_after_any_faults_all_agree_on_one_leader_in_bounded_time(size: int) -> None:
    """A14, A15: connectivity returns, a quorum runs, so there is a leader, and it stays."""
    for seed in range(400):
        world = World(majority(*range(1, size + 1)), seed, delay_ms=40)
        trouble(world, size)
        settle(world)
        assert all_agree(world), f"seed {seed}: {world.followed()}"
        leaders = world.leaders()
        world.run(world.now_ms + 1_000)
        assert world.leaders() == leaders, f"seed {seed}: a leader was left without a fault"


def test_groups_and_weights_elect_as_well() -> None:
    members = weighted({1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2}, {1: 2, 2: 1, 3: 1, 4: 1, 5: 1, 6: 0})
    for seed in range(200):
        world = World(members, seed, delay_ms=40)
        trouble(world, 6, down_max=0)
        settle(world)
        assert all_agree(world), f"seed {seed}"
        assert world.leaders() != {6}, f"seed {seed}"


def test_observers_find_the_leader_and_disturb_nobody() -> None:
    members = majority(1, 2, 3, observers=(4, 5))
    for seed in range(200):
        world = World(members, seed, delay_ms=40)
        trouble(world, 5, down_max=0)
        settle(world)
        assert all_agree(world), f"seed {seed}"
        assert world.leaders() <= members.voters, f"seed {seed}"


@pytest.mark.parametrize("size", [3, 5])
def test_one_deaf_direction_makes_no_livelock(size: int) -> None:
    """F13, A15: b does not hear a. A quorum around them keeps one leader; later all agree."""
    for seed in range(300):
        chance = random.Random(seed)
        world = World(majority(*range(1, size + 1)), seed, delay_ms=40)
        a, b = chance.sample(range(1, size + 1), 2)
        world.cut(a, b)
        for sid in range(1, size + 1):
            world.start(sid)
        world.run(3_000)
        leaders = world.leaders()
        assert len(leaders) == 1, f"seed {seed}: {world.followed()}"
        assert world.members.is_quorum(set(world.followed())), f"seed {seed}"
        world.run(world.now_ms + 2_000)
        assert world.leaders() == leaders, f"seed {seed}: the leader changed"
        world.heal(a, b)
        # The deaf one's leader may have been given up; who was never heard sends once a minute.
        for _ in range(70):
            if not all_agree(world):
                world.run(world.now_ms + 1_000)
        assert all_agree(world), f"seed {seed}: {world.followed()}"


def test_without_a_quorum_nobody_leads() -> None:
    for seed in range(50):
        world = World(majority(1, 2, 3, 4, 5), seed, delay_ms=40)
        world.start(1)
        world.start(4)
        world.run(20_000)
        assert not world.leaders()
        election = world.servers[1].election
        assert election is not None
        assert election.state == LOOKING
        world.start(3)
        settle(world)
        assert all_agree(world), f"seed {seed}"


def test_a_round_has_no_two_leaders_with_quorums_apart() -> None:
    """Two leaders of one round share a supporter, who cannot promise two epochs to both."""
    seen = 0
    for seed in range(400):
        world = World(majority(1, 2, 3, 4, 5), seed, delay_ms=400)
        trouble(world, 5)
        settle(world)
        by_round: dict[int, list[tuple[int, frozenset[int]]]] = {}
        for round, leader, supporters in world.decisions:
            assert world.members.is_quorum(set(supporters)), f"seed {seed}"
            by_round.setdefault(round, []).append((leader, supporters))
        for found in by_round.values():
            for one, those in found:
                for other, these in found:
                    seen += one != other
                    assert those & these, f"seed {seed}: {one} and {other}"
    assert seen, "with such delays two leaders in one round must have come up"


def trouble(world: World, size: int, down_max: int = -1) -> None:
    """Three seconds of faults; then all that run are connected, and a quorum runs."""
    chance = world.random
    sids = list(range(1, size + 1))
    for sid in sids:
        world.start(sid)
    for _ in range(chance.randint(0, 40)):
        world.run(world.now_ms + chance.randint(0, 150))
        a, b = chance.sample(sids, 2)
        what = chance.randrange(7)
        if what == 0:
            world.crash(a)
        elif what in (1, 2):
            if a not in world.running():
                world.start(a)
        elif what == 3:
            world.disconnect(a, b)
        elif what == 4:
            world.connect(a, b)
        elif what == 5:
            world.cut(a, b)
        else:
            world.heal(a, b)
    most = (size - 1) // 2 if down_max < 0 else down_max
    down = chance.sample(sids, chance.randint(0, most))
    for sid in sids:
        if sid in down and sid in world.running():
            world.crash(sid)
        elif sid not in down and sid not in world.running():
            world.start(sid)
    for a in sids:
        for b in sids:
            if a != b:
                world.heal(a, b)
                world.connect(a, b)
