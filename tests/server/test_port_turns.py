"""Turns at the client port: flows take theirs, order stays, what waits is bounded, pings pass."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ensemble.server.operations import is_exempt
from ensemble.server.port_turns import (
    AHEAD_SHARED_LEAST,
    FRAMES_SHARED_MAX,
    SWEEP_HELD_US,
    WRITE_AHEAD,
    cost_ahead,
)
from ensemble.tenancy.spec import Limits
from ensemble.wire import codes
from tests.harness import create_body
from tests.server.turn_world import CLOSE, CREATE, PING_XID, Caller, World

THROTTLED = -127
Make = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[World] = []

    def make(**config: object) -> World:
        settings = {name.replace("__", "."): value for name, value in config.items()}
        made.append(World(tmp_path, monkeypatch, settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def create(world: World, caller: Caller, path: str) -> None:
    before = len(caller.take())
    caller.send(caller.frame(CREATE, create_body(path, b"x")))
    world.until(lambda: len(caller.take()) == before + 1)
    assert caller.replies[-1][1] == 0


def test_a_quiet_tenant_is_answered_while_a_flood_waits(world: Make) -> None:
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    quiet = here.caller(b)
    create(here, quiet, "/k")
    noisy = [here.caller(a) for _ in range(20)]
    create(here, noisy[0], "/k")
    for caller in noisy:
        caller.send(b"".join(caller.get("/k") for _ in range(1_000)))
    quiet.send(quiet.get("/k"))
    before = len(quiet.take())
    turns = 0
    while len(quiet.take()) == before:
        here.turn()
        turns += 1
    assert turns <= 3
    answered = sum(len(caller.take()) for caller in noisy)
    assert answered < 20_000 / 2, "the flood was not served first"
    here.until(lambda: sum(len(caller.take()) for caller in noisy) == 20_001)


def test_without_fairness_the_same_flood_goes_first(world: Make) -> None:
    """The contrast: this is what the test above would find if turns were not taken."""
    here = world(ensemble__tenancy__fairness="off")
    a, b = here.tenant("a"), here.tenant("b")
    quiet = here.caller(b)
    create(here, quiet, "/k")
    noisy = [here.caller(a) for _ in range(20)]
    create(here, noisy[0], "/k")
    for caller in noisy:
        caller.send(b"".join(caller.get("/k") for _ in range(1_000)))
    quiet.send(quiet.get("/k"))
    before = len(quiet.take())
    while len(quiet.take()) == before:
        here.turn()
    assert sum(len(caller.take()) for caller in noisy) > 20_000 / 2


@pytest.mark.parametrize("seed", range(6))
def test_replies_of_a_session_come_in_the_order_of_its_requests(world: Make, seed: int) -> None:
    """Reads, writes and pings of three tenants and of nobody, in pieces cut anywhere."""
    chance = random.Random(seed)
    here = world()
    tenants = [here.tenant("a", 1), here.tenant("b", 10_000), here.tenant("c"), None]
    callers = [here.caller(tenant) for tenant in tenants for _ in range(3)]
    expected: dict[int, list[int]] = {}
    unsent: list[bytes] = []
    for caller in callers:
        create(here, caller, f"/k{id(caller)}")
        caller.replies.clear()
        xids: list[int] = []
        sent = b""
        for _ in range(chance.randrange(100, 400)):
            kind = chance.randrange(10)
            xids.append(PING_XID if kind == 0 else caller.next_xid)
            if kind == 0:
                sent += caller.ping()
            elif kind < 5:
                sent += caller.set(f"/k{id(caller)}")
            else:
                sent += caller.get(f"/k{id(caller)}")
        expected[id(caller)] = xids
        unsent.append(sent)
    while any(unsent):
        number = chance.randrange(len(callers))
        size = chance.randrange(1, 3_000)
        callers[number].send(unsent[number][:size])
        unsent[number] = unsent[number][size:]
        if chance.random() < 0.3:
            here.turn()
    here.until(lambda: all(len(c.take()) == len(expected[id(c)]) for c in callers))
    for caller in callers:
        assert [xid for xid, _ in caller.replies] == expected[id(caller)]
        assert {error for _, error in caller.replies} == {0}


def test_a_read_sees_its_sessions_own_writes_under_a_flood(world: Make) -> None:
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    caller, other = here.caller(b), here.caller(a)
    create(here, caller, "/k")
    create(here, other, "/k")
    other.send(b"".join(other.set("/k") for _ in range(500)))
    sent = b""
    for value in range(200):
        sent += caller.set("/k", struct.pack(">i", value)) + caller.get("/k")
    caller.replies.clear()
    caller.bodies.clear()
    caller.send(sent)
    here.until(lambda: len(caller.take()) == 400)
    seen = [struct.unpack_from(">ii", body)[1] for body in caller.bodies[1::2]]
    assert seen == list(range(200))


def test_the_writes_of_a_flow_that_are_ahead_are_bounded(world: Make) -> None:
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    quiet = here.caller(b)
    create(here, quiet, "/k")
    noisy = [here.caller(a) for _ in range(30)]
    create(here, noisy[0], "/k")
    for caller in noisy:
        caller.send(b"".join(caller.set("/k") for _ in range(60)))
    most = 0
    while sum(len(caller.take()) for caller in noisy) < 30 * 60 + 1:
        here.scheduler_note(b)
        here.turn()
        most = max(most, int(a.flow.ahead))
    assert 0 < most <= AHEAD_SHARED_LEAST + FRAMES_SHARED_MAX * WRITE_AHEAD
    assert a.flow.ahead == 0
    assert not a.flow.blocked


def test_a_connection_that_closes_gives_its_place_ahead_back(world: Make) -> None:
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    create(here, here.caller(b), "/k")
    noisy = [here.caller(a) for _ in range(5)]
    create(here, noisy[0], "/k")
    for caller in noisy:
        here.scheduler_note(b)
        caller.send(b"".join(caller.set("/k") for _ in range(200)))
    here.turn()
    for caller in noisy:
        caller.sock.close()
    here.settle()
    assert a.flow.ahead == 0


def test_F11_input_that_cannot_be_taken_stays_with_the_client(world: Make) -> None:
    """Behind back-pressure nothing is received: what one connection holds here is bounded."""
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    create(here, here.caller(b), "/k")
    caller = here.caller(a)
    create(here, caller, "/k")
    sent = b"".join(caller.set("/k", bytes(100)) for _ in range(20_000))
    most = 0
    while sent:
        try:
            sent = sent[caller.sock.send(sent) :]
        except BlockingIOError:
            pass
        here.scheduler_note(b)
        here.turn()
        conn = here.node.pipeline.session_connections[caller.session_id]
        most = max(most, conn.frames.pending())
        caller.take()
    assert 0 < most < 2 * 65_536
    here.until(lambda: len(caller.take()) == 20_001)


def test_sessions_are_renewed_by_bytes_that_wait(world: Make) -> None:
    """A tenant that is starved or held keeps its sessions: what has come counts, not what ran."""
    here = world()
    limited = here.tenant("a", limits=Limits(requests_per_second=0))
    caller = here.caller(limited)
    for _ in range(5):
        here.serve_ms(20_000)
        caller.send(caller.get("/k"))
        here.turn()
        here.node.pipeline.expire_sessions()
    here.settle()
    assert caller.session_id in here.node.tree.sessions
    here.serve_ms(60_000)
    assert here.node.pipeline.expire_sessions() >= 1, "the clock that the test moves is the one"


def test_above_the_rate_requests_wait_and_then_are_refused(world: Make) -> None:
    here = world(ensemble__tenancy__throttleWaitMs=200)
    tenant = here.tenant("a", limits=Limits(requests_per_second=100))
    caller = here.caller(tenant)
    caller.send(b"".join(caller.get("/k") for _ in range(60)))
    here.settle()
    assert len(caller.take()) == 11, "a burst: a tenth of a second's worth, and one"
    for _ in range(19):
        here.pass_ms(10)
        here.settle()
    assert len(caller.take()) == 11 + 19
    assert THROTTLED not in {error for _, error in caller.replies}
    here.pass_ms(20)
    here.settle()
    errors = [error for _, error in caller.take()]
    assert len(errors) == 60
    assert errors[-20:] == [THROTTLED] * 20
    assert [xid for xid, _ in caller.replies] == list(range(1, 61))


def test_pings_pass_whatever_the_rate_and_behind_requests_within_the_wait(world: Make) -> None:
    here = world(ensemble__tenancy__throttleWaitMs=200)
    tenant = here.tenant("a", limits=Limits(requests_per_second=0, writes_per_second=0))
    idle, busy = here.caller(tenant), here.caller(tenant)
    idle.send(idle.ping())
    busy.send(busy.get("/k") + busy.ping())
    here.settle()
    assert idle.take() == [(PING_XID, 0)]
    assert busy.take() == []
    here.pass_ms(201)
    here.settle()
    assert busy.take() == [(1, THROTTLED), (PING_XID, 0)]
    idle.send(idle.frame(CLOSE))
    here.until(lambda: idle.hears() and idle.ended)
    assert idle.replies[-1][1] == 0


def test_writes_that_wait_for_tokens_do_not_hold_reads_of_other_connections(world: Make) -> None:
    here = world()
    tenant = here.tenant("a", limits=Limits(writes_per_second=1))
    writer, reader = here.caller(tenant), here.caller(tenant)
    create(here, writer, "/k")
    writer.send(writer.set("/k") + writer.get("/k"))
    reader.send(reader.get("/k"))
    here.settle()
    assert len(writer.take()) == 1
    assert reader.take() == [(1, 0)]
    here.pass_ms(1_000)
    here.until(lambda: len(writer.take()) == 3)


def test_a_multi_counts_as_many_writes(world: Make) -> None:
    here = world(ensemble__tenancy__throttleWaitMs=5_000)
    tenant = here.tenant("a", limits=Limits(writes_per_second=100))
    caller = here.caller(tenant)
    create(here, caller, "/k")
    one = struct.pack(">ibi", codes.OP_SET_DATA, 0, -1) + b"\0\0\0\x02/k\0\0\0\1x\xff\xff\xff\xff"
    multi = one * 110 + struct.pack(">ibi", -1, 1, -1)
    caller.send(caller.frame(codes.OP_MULTI, multi) + caller.set("/k"))
    here.until(lambda: len(caller.take()) == 2)
    here.pass_ms(990)
    here.settle()
    assert len(caller.take()) == 2, "110 of 100 a second: the next one waits for it"
    here.pass_ms(20)
    here.until(lambda: len(caller.take()) == 3)


def test_who_waits_for_tokens_is_looked_at_again_by_time_alone(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world()
    asked: list[float] = []
    tenant = here.tenant("a", limits=Limits(requests_per_second=10))
    caller = here.caller(tenant)
    monkeypatch.setattr(here.node.loop, "call_later", lambda after_s, _: asked.append(after_s))
    caller.send(b"".join(caller.get("/k") for _ in range(4)))
    here.settle()
    assert asked
    assert set(asked) == {SWEEP_HELD_US / 1e6}


def test_a_timer_that_comes_early_does_not_leave_anybody_waiting(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop's clock is not the server's: its timers come before their time now and then."""
    here = world()
    asked: list[Callable[[], None]] = []
    tenant = here.tenant("a", limits=Limits(requests_per_second=10))
    caller = here.caller(tenant)
    monkeypatch.setattr(here.node.loop, "call_later", lambda _, callback: asked.append(callback))
    caller.send(b"".join(caller.get("/k") for _ in range(4)))
    here.settle()
    before = len(caller.take())
    for count in range(1, 31):
        assert len(asked) == count, "nobody looks at what waits any more"
        here.now_us += SWEEP_HELD_US - 1_000
        asked[-1]()
        here.settle()
        if len(caller.take()) > before:
            return
    raise AssertionError("no token has come in so much time")


def test_events_for_many_of_one_tenant_do_not_hold_the_others_up(world: Make) -> None:
    """One change, a crowd of watchers: the other tenant's reply leaves first; every event leaves
    before any later reply of its connection."""
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    quiet, writer = here.caller(b), here.caller(a)
    create(here, quiet, "/k")
    create(here, writer, "/k")
    crowd = [here.caller(a) for _ in range(100)]
    for watcher in crowd:
        watcher.send(watcher.frame(codes.OP_GET_DATA, b"\0\0\0\x02/k\1"))
    here.until(lambda: all(len(watcher.take()) == 1 for watcher in crowd))
    last = here.node.tree.last_zxid
    writer.send(writer.set("/k"))
    here.until(lambda: here.node.tree.last_zxid > last)  # or the reads are answered before it
    assert any(flow is a.flow for flow in here.port.turns.speaking)
    for watcher in crowd:
        watcher.send(watcher.get("/k"))
    quiet.send(quiet.get("/k"))
    before = len(quiet.take())
    here.until(lambda: len(quiet.take()) > before)
    assert sum(len(watcher.take()) for watcher in crowd) < 3 * len(crowd)
    here.until(lambda: all(len(watcher.take()) == 3 for watcher in crowd))
    for watcher in crowd:
        assert [xid for xid, _ in watcher.replies] == [1, -1, 2]


def test_leaving_a_flood_to_itself_is_no_longer_bounded(world: Make) -> None:
    """A second after the other's last request a flow has the server for itself again."""
    here = world()
    a, b = here.tenant("a"), here.tenant("b")
    quiet, noisy = here.caller(b), here.caller(a)
    create(here, noisy, "/k")
    create(here, quiet, "/k")
    here.turn()
    assert here.port.turns.shared
    for _ in range(12):
        here.pass_ms(110)
        noisy.send(noisy.get("/k"))
        here.turn()
    assert not here.port.turns.shared


def test_what_keeps_sessions_alive_is_exempt_and_nothing_else_is() -> None:
    exempt = {op for op in range(-20, 120) if is_exempt(op)}
    assert exempt == {
        codes.OP_PING,
        codes.OP_AUTH,
        codes.OP_SASL,
        codes.OP_CLOSE_SESSION,
        codes.OP_SET_WATCHES,
        codes.OP_SET_WATCHES2,
    }


def test_a_multi_is_ahead_by_what_it_holds() -> None:
    assert cost_ahead(codes.OP_GET_DATA, 50) < cost_ahead(codes.OP_SET_DATA, 150)
    assert cost_ahead(codes.OP_MULTI, 15_000) > 50 * cost_ahead(codes.OP_SET_DATA, 150)
