"""Limits over all servers: what the checker sees, and that runs come up against them (I18)."""

import pytest

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.shares import CONNECTIONS, UNSURE, WATCHES, WHOLE
from ensemble.tree.datatree import DataTree
from tests.sim.faults import plan_of_walled
from tests.sim.machine import Clock, Habits, Machine
from tests.sim.network import Network, Pace
from tests.sim.runner import outcomes
from tests.sim.shared import SharedLimits
from tests.sim.tap import Violation
from tests.sim.walled import Room, register, rooms_of
from tests.sim.world import World

TICK_MS = 100
SYNC_LIMIT = 5
LIMIT = 6


class Servers:
    """Three that serve and share six connections and six watches; nobody moves but by hand."""

    def __init__(self) -> None:
        self.world = World(0)
        network = Network(self.world, Pace())
        tree = DataTree(True, True)
        register(tree, [Room(LIMIT, LIMIT), Room()])
        self.machines: dict[int, Machine] = {}
        self.directories: dict[int, Directory | None] = {}
        for sid in (1, 2, 3):
            clock = Clock(self.world, 0, 0.0)
            self.machines[sid] = Machine(sid, self.world, network, clock, Habits())
            directory = Directory()
            directory.load(tree)
            directory.split.use(3, sid - 1, WHOLE)
            for tenant in directory.by_slug.values():
                tenant.settle()
            self.directories[sid] = directory
        self.shared = SharedLimits(self.machines, TICK_MS, SYNC_LIMIT, self.directories.__getitem__)

    def directory(self, sid: int) -> Directory:
        found = self.directories[sid]
        assert found is not None
        return found

    def grant(self, sid: int, connections: int, watches: int) -> None:
        tenant = self.directory(sid).by_slug["t0"]
        tenant.share.granted[CONNECTIONS : WATCHES + 1] = [connections, watches]
        tenant.share.is_granted = True
        tenant.settle()


def test_even_parts_are_the_limit_and_no_limit_is_none_i18() -> None:
    servers = Servers()
    servers.shared.check("t0")
    servers.shared.check("t1")


@pytest.mark.parametrize(("connections", "watches"), [(3, 2), (2, 3)])
def test_one_more_than_the_limit_is_found_i18(connections: int, watches: int) -> None:
    servers = Servers()
    servers.grant(2, connections, watches)
    with pytest.raises(Violation, match=r"I18: t0 may have 6 .*2: 0 of 3"):
        servers.shared.check("t0")
    servers.grant(1, 1, 1)
    servers.shared.check("t0")


def test_connections_that_are_there_count_whatever_is_allowed_i18() -> None:
    servers = Servers()
    servers.grant(1, 0, 0)
    servers.grant(2, 4, 4)
    servers.shared.check("t0")
    tenant = servers.directory(1).by_slug["t0"]
    tenant.watching.count = 1  # registered again: that always passes
    servers.shared.check("t0")
    tenant.connections = 1
    with pytest.raises(Violation, match="1: 1 of 0"):
        servers.shared.check("t0")


def test_watches_that_are_registered_again_are_excused_until_all_is_well_i18() -> None:
    servers = Servers()
    servers.shared.check("t0")
    tenant = servers.directory(1).by_slug["t0"]
    tenant.watching.count = 4
    servers.grant(1, 2, 4)  # in one turn, as where the leader is the one
    servers.shared.check("t0")
    servers.grant(2, 2, 3)
    with pytest.raises(Violation, match="watches, and has 1: 4 of 4"):
        servers.shared.check("t0")
    servers.grant(2, 2, 1)
    servers.grant(3, 2, 1)
    servers.shared.check("t0")
    servers.grant(3, 2, 2)
    servers.shared.check("t0")
    servers.grant(3, 2, 1)
    tenant.watching.count = 2
    servers.world.now_us += servers.shared.wait_us
    servers.shared.check("t0")
    servers.grant(3, 2, 2)
    with pytest.raises(Violation, match="I18"):
        servers.shared.check("t0")


def test_who_does_not_know_what_others_go_by_has_a_tenth_more_i18() -> None:
    servers = Servers()
    servers.grant(1, 6, 6)
    for sid in (2, 3):
        servers.directory(sid).split.use(30, sid, UNSURE)
        servers.directory(sid).by_slug["t0"].settle()
    servers.shared.check("t0")
    servers.directory(3).split.use(3, 0, WHOLE)
    servers.directory(3).by_slug["t0"].settle()
    with pytest.raises(Violation, match="3: 0 of 2"):
        servers.shared.check("t0")


def test_who_does_not_serve_or_stands_still_for_long_does_not_count_i18() -> None:
    servers = Servers()
    servers.grant(3, 4, 4)
    kept, servers.directories[1] = servers.directories[1], None
    servers.shared.check("t0")
    servers.directories[1] = kept
    servers.machines[1].pause()
    servers.world.run(servers.shared.wait_us - 1)
    with pytest.raises(Violation, match="I18"):
        servers.shared.check("t0")
    servers.world.run(servers.shared.wait_us + 1)
    servers.shared.check("t0")
    servers.machines[1].resume()
    servers.shared.check("t0")
    servers.world.run(servers.world.now_us + servers.shared.notices_us)
    with pytest.raises(Violation, match="I18"):
        servers.shared.check("t0")


def test_half_of_the_seeds_limit_something_and_all_clients_have_room() -> None:
    for seed in range(200):
        plan = plan_of_walled(seed)
        for number, room in enumerate(rooms_of(seed, plan.clients - 1)):
            clients = sum(client % 2 == number for client in range(1, plan.clients))
            assert room.connections < 0 or room.connections >= clients
    limited = [any(room != Room() for room in plan_of_walled(seed).rooms) for seed in range(200)]
    assert 60 < sum(limited) < 140


@pytest.mark.timeout(600)
def test_two_tenants_behind_the_wall_never_see_each_other_nor_pass_their_limits_i17_i18() -> None:
    found = list(outcomes("walled", 0, 12, 1))
    assert [outcome["wrong"] for outcome in found if outcome["wrong"]] == []
    for what in ("no room for a connection", "no room for a watch"):
        total = 0
        for outcome in found:
            counts = outcome["counts"]
            assert isinstance(counts, dict)
            total += counts.get(what, 0)
        assert total > 0, what
