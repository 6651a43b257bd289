"""I17: a tenant beside others sees what it would see alone on a server without tenants.

The same random requests go to a server without tenancy and to a tenant's view of one on which
another tenant, with a tree of the same names, an outsider and the keeper are busy. Every reply and
every event must be the same, but for zxids, times and session ids, and those in the same order.
`DIFFERENCE_SEEDS` says how many seeds; one that fails is run alone with `DIFFERENCE_SEED`.
"""

import os
import random

import pytest

from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.spec import ENFORCE, OBSERVE, PERMISSIVE, WRITER
from ensemble.wire import codes
from tests.tenancy.bodies import number, path_body
from tests.tenancy.hall import Guest, Hall, Reply
from tests.tenancy.scripts import CLIENTS, Shown, Step, ranked, script

SEEDS = int(os.environ.get("DIFFERENCE_SEEDS", "120"))
CHUNK = 20
STEPS = 70
START_MS = 1_700_000_000_000
ROOTS = [b"/tenants/own", b"/kafka", b"/a", b"/a/b/c"]
MODES = [OBSERVE, PERMISSIVE, ENFORCE]
COUNT_OF_ALL = path_body(b"/")


class World:
    """One server with the clients that are compared: of a tenant, or of a server without any."""

    def __init__(self, mode: int | None, root: bytes) -> None:
        self.hall = Hall(walled=mode is not None)
        self.tenant: Tenant | None = None
        if mode is not None:
            self.tenant = self.hall.tenant("own", root, mode)
        self.sessions: dict[int, int] = {}
        self.clients = [self.client() for _ in range(CLIENTS)]
        self.asked: list[dict[int, Step]] = [{} for _ in range(CLIENTS)]
        self.zxids = [int(self.hall.tree.last_zxid)]
        self.shown = Shown(self.sessions, self.zxids[0], START_MS)
        self.history: list[object] = []

    def client(self) -> Guest:
        tenant = self.tenant
        guest = self.hall.connect(None if tenant is None else tenant.seat_of("app@own", WRITER))
        self.sessions[int(guest.conn.session_id)] = len(self.sessions)
        return guest

    def run(self, step: Step, at_ms: int) -> None:
        self.hall.authority.wall_ms = at_ms
        xid = self.clients[step.client].send(step.op, step.body(self.zxids))
        self.asked[step.client][xid] = step

    def settle(self, step: Step) -> None:
        """What each client has heard; whoever has closed its session comes back with a new one."""
        if step.commits:
            self.hall.commit()
        for index, guest in enumerate(self.clients):
            guest.replies()
            for heard in guest.heard:
                if isinstance(heard, Reply):
                    self.note(index, heard)
                elif not heard[1].startswith(b"/zookeeper/"):
                    self.history.append((index, "event", *heard))
            guest.heard = []
            if not guest.is_open():
                self.history.append((index, "closed"))
                self.hall.pipeline.remove(guest.conn)
                self.clients[index] = self.client()
                self.asked[index] = {}
        self.zxids.append(int(self.hall.tree.last_zxid))

    def note(self, index: int, reply: Reply) -> None:
        step = self.asked[index].pop(reply.xid)
        body = step.body(self.zxids)
        if (
            step.op == codes.OP_GET_ALL_CHILDREN_NUMBER
            and self.tenant is None
            and body in (COUNT_OF_ALL, path_body(b""))
            and reply.error == 0
        ):  # a tenant has no /zookeeper/config
            reply.body = number(int.from_bytes(reply.body) - 1)
        self.history.append((index, codes.name_of_op(step.op), *self.shown.reply(step.op, reply)))


class Bustle:
    """Everybody else: a tenant with the same names in its tree, an outsider, the keeper."""

    def __init__(self, world: World, rng: random.Random) -> None:
        hall = self.hall = world.hall
        self.rng = rng
        self.other = hall.tenant("other", b"/tenants/other", rng.choice(MODES))
        hall.make(b"/outside")
        seat = self.other.seat_of("app@other", WRITER)
        self.guests = [hall.connect(seat) for _ in range(CLIENTS)]
        self.outsider = hall.connect()
        self.outsider.send(codes.OP_ADD_WATCH, path_body(b"/", number(1)))

    def stir(self) -> None:
        rng = self.rng
        for step in script(rng, rng.randrange(3))[-2:]:
            self.guests[step.client].send(step.op, step.body([0]))
        body = path_body(rng.choice([b"/outside", b"/tenants"]), number(0), number(-1))
        self.outsider.send(codes.OP_SET_DATA, body)
        for guest in (*self.guests, self.outsider):
            guest.replies()
            guest.heard = []

    def renew(self) -> None:
        """Whoever has gone comes back. A new session commits what waits: it must be nothing."""
        for index, guest in enumerate(self.guests):
            if not guest.is_open() and self.hall.authority.is_idle():
                self.hall.pipeline.remove(guest.conn)
                self.guests[index] = self.hall.connect(self.other.seat_of("app@other", WRITER))


def compare(seed: int) -> int:
    """One seed; how many replies and events were compared."""
    rng = random.Random(f"{seed}/difference")
    steps = script(rng, STEPS)
    alone = World(None, b"")
    beside = World(rng.choice(MODES), rng.choice(ROOTS))
    bustle = Bustle(beside, rng)
    beside.zxids[0] = int(beside.hall.tree.last_zxid)
    for at, step in enumerate(steps):
        now_ms = START_MS + (at + 1) * 10
        for world in (alone, beside):
            world.run(step, now_ms)
        bustle.stir()
        for world in (alone, beside):
            world.settle(step)
        bustle.renew()
    wanted, found = ranked(alone.history), ranked(beside.history)
    for place, (one, two) in enumerate(zip(wanted, found, strict=False)):
        assert one == two, f"seed {seed}, at {place} of {len(wanted)}: {one} and {two}"
    assert len(wanted) == len(found), f"seed {seed}"
    return len(wanted)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_I17_a_tenant_sees_what_it_would_see_alone(first: int) -> None:
    one = os.environ.get("DIFFERENCE_SEED")
    seeds = [int(one)] if one else range(first, first + CHUNK)
    for seed in seeds:
        assert compare(seed) > STEPS // 2
