"""The leader's turns: who waits for whom (trust.md 5.3, noisy neighbour; I15, order)."""

import pytest

from ensemble.server import turns
from ensemble.server.turns import LeaderTurns, Waiting
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.spec import ACTIVE, ENFORCE, Limits, TenantSpec
from ensemble.tree.prepare import WriteRequest
from ensemble.wire import codes
from ensemble.wire.jute import reader_of
from ensemble.wire.records import Id

NOISY, QUIET = 10, 20  # sessions
HERE, THERE = 1, 2  # servers


def spec(slug: str, weight: int = 100) -> TenantSpec:
    root = f"/tenants/{slug}".encode()
    return TenantSpec(slug, root, ACTIVE, ENFORCE, weight, Limits(), [], {}, False, 0)


class Scene:
    """A leader that orders what it is let; `ordered` are (session, cxid) in the order of zxids."""

    def __init__(self, window: int = 4, weights: tuple[int, int] = (100, 100)) -> None:
        directory = Directory()
        directory.put(spec("noisy", weights[0]))
        directory.put(spec("quiet", weights[1]))
        self.turns = LeaderTurns(directory)
        self.turns.window = self.turns.window_alone = window
        self.ordered: list[tuple[int, int]] = []
        self.committed = 0
        self.now_us = 1_000_000

    def ask(
        self,
        session: int,
        cxid: int,
        op: int = codes.OP_SET_DATA,
        sid: int = HERE,
        in_order: bool = False,
        size: int = 10,
    ) -> bool:
        """Whether it was ordered at once."""
        slug = "noisy" if session == NOISY else "quiet"
        ids = [Id("ip", "1.2.3.4"), Id("tenant", f"app@{slug}")]
        request = WriteRequest(session, cxid, op, reader_of(bytes(size)), ids)
        flow = self.turns.admit(request, sid, in_order, self.now_us)
        if flow is None:
            return False
        self.order(request, flow)
        return True

    def order(self, request: WriteRequest, flow: turns.Flow) -> None:
        self.ordered.append((int(request.session_id), int(request.cxid)))
        if request.op != codes.OP_SYNC:
            self.turns.on_ordered(flow, len(self.ordered))

    def commit(self, count: int) -> None:
        for _ in range(count):
            self.committed += 1
            self.turns.on_committed(self.committed)

    def drain(self) -> list[tuple[int, int]]:
        """The end of a turn: who is ordered in it."""
        before = len(self.ordered)
        while (waiting := self.turns.next(self.now_us)) is not None:
            assert isinstance(waiting, Waiting)
            self.order(waiting.request, waiting.flow)
        return self.ordered[before:]


def test_a_quiet_tenants_write_does_not_wait_behind_a_flood() -> None:
    """Noisy neighbour: 1,000 writes wait, the quiet one's goes at once, into its part of the room.

    What is under way before it is bounded by the window, however deep the flood is.
    """
    scene = Scene(window=8)
    scene.ask(QUIET, 1)
    for cxid in range(1, 1_001):
        scene.ask(NOISY, cxid)
    assert scene.turns.waiting > 990
    assert len(scene.turns.flying) <= 8
    for cxid in range(2, 5):
        assert scene.ask(QUIET, cxid), "a quarter of the window"
    assert len(scene.turns.flying) <= 8 + 4


def test_a_tenant_that_is_alone_waits_only_for_the_wide_window() -> None:
    scene = Scene()
    scene.turns.window_alone = 1_000
    assert all(scene.ask(NOISY, cxid) for cxid in range(1_000))
    assert not scene.ask(NOISY, 1_000)


def test_without_tenants_nothing_is_asked() -> None:
    """Nothing waiting: no cost worth measuring."""
    assert LeaderTurns(Directory()).is_idle()
    assert not Scene().turns.is_idle()


@pytest.mark.parametrize(("weights", "share"), [((100, 100), 0.5), ((300, 100), 0.75)])
def test_who_waits_takes_turns_by_weight(weights: tuple[int, int], share: float) -> None:
    """Deficit round robin: over time each gets what its weight says, whoever asks for more."""
    scene = Scene(window=4, weights=weights)
    for cxid in range(2_000):
        scene.ask(NOISY, cxid)
    for cxid in range(2_000):
        scene.ask(QUIET, cxid)
    before = len(scene.ordered)
    while len(scene.ordered) < before + 1_000:
        scene.commit(1)
        scene.drain()
    served = scene.ordered[before:]
    part = sum(session == NOISY for session, _ in served) / len(served)
    assert part == pytest.approx(share, abs=0.03)


def test_large_requests_take_longer_turns() -> None:
    """Who sends 100 KB at a time is not served as often as who sends 10 bytes."""
    scene = Scene(window=1)
    for cxid in range(600):
        scene.ask(NOISY, cxid, size=100_000)
        scene.ask(QUIET, cxid)
    before = len(scene.ordered)
    while len(scene.ordered) < before + 500:
        scene.commit(1)
        scene.drain()
    served = scene.ordered[before:]
    large = sum(session == NOISY for session, _ in served)
    cost = turns.COST + 100_000 // turns.COST_BYTES
    assert large <= len(served) * turns.COST / cost + 4


@pytest.mark.parametrize(
    "op",
    [codes.OP_SET_DATA, codes.OP_SYNC, codes.OP_CLOSE_SESSION, codes.OP_CREATE_SESSION, 9_999],
)
def test_a_session_that_waits_keeps_its_order_whatever_it_asks_for(op: int) -> None:
    """I15: a sync, a close, an upgrade and nonsense join the writes that wait."""
    scene = Scene(window=1)
    assert scene.ask(QUIET, 1)
    scene.ask(NOISY, 1)
    assert not scene.ask(NOISY, 2)
    assert not scene.ask(NOISY, 3, op)
    assert not scene.ask(NOISY, 4)
    while scene.turns.waiting > 0:
        scene.commit(1)
        scene.drain()
    cxids = [cxid for session, cxid in scene.ordered if session == NOISY]
    assert cxids == [1, 2, 3, 4]
    assert not scene.turns.by_session


def test_a_session_that_becomes_another_tenants_keeps_its_order() -> None:
    """Requests from before its credential was taken are not overtaken by those behind it."""
    scene = Scene(window=1)
    scene.ask(QUIET, 1)
    outside = WriteRequest(NOISY, 1, codes.OP_SET_DATA, reader_of(b""), [])
    for _ in range(2):
        flow = scene.turns.admit(outside, HERE, False, scene.now_us)
        if flow is not None:
            scene.order(outside, flow)
    assert scene.turns.waiting == 1
    assert not scene.ask(NOISY, 2)


@pytest.mark.parametrize("op", [codes.OP_CREATE_SESSION, codes.OP_CLOSE_SESSION])
def test_sessions_begin_and_end_in_a_lane_of_their_own(op: int) -> None:
    """A busy neighbour delays nobody's session, nor the end of one that has nothing waiting."""
    scene = Scene(window=1)
    for cxid in range(100):
        scene.ask(NOISY, cxid)
    assert scene.ask(30, 0, op)
    assert scene.ask(30, 0, op)


def test_learners_that_need_their_links_order_never_wait() -> None:
    """Apache's servers take the answers of a link in the order of its questions."""
    scene = Scene(window=1)
    scene.ask(QUIET, 1)
    for cxid in range(50):
        assert scene.ask(NOISY, cxid, sid=THERE, in_order=True)


def test_what_a_lost_link_brought_is_not_ordered() -> None:
    """Its learner has forgotten it; the next link's requests may carry the same numbers."""
    scene = Scene(window=1)
    scene.ask(QUIET, 1)
    for cxid in range(5):
        scene.ask(NOISY, cxid, sid=THERE)
    first = [each for each in scene.ordered if each[0] == NOISY]
    scene.turns.forget(THERE)
    scene.ask(NOISY, 100, sid=THERE)
    scene.commit(len(scene.ordered))
    scene.drain()
    scene.commit(10)
    scene.drain()
    assert [each for each in scene.ordered if each[0] == NOISY] == [*first, (NOISY, 100)]
    assert scene.turns.waiting == scene.turns.waiting_bytes == 0


def test_a_session_that_moves_takes_nothing_along() -> None:
    """What came before the move is ordered before it; others' requests wait on."""
    scene = Scene(window=1)
    scene.ask(QUIET, 1)
    for cxid in range(1, 6):
        scene.ask(NOISY, cxid)
        scene.ask(QUIET, 1 + cxid)
    while (waiting := scene.turns.next_before(NOISY)) is not None:
        scene.order(waiting.request, waiting.flow)
    assert [cxid for session, cxid in scene.ordered if session == NOISY] == [1, 2, 3, 4, 5]
    assert NOISY not in scene.turns.by_session
    assert scene.turns.waiting == 5
    scene.commit(10)
    assert len(scene.drain()) == 1, "the window is one"
    assert scene.turns.next_before(NOISY) is None


@pytest.mark.parametrize("bound", ["waiting_max", "waiting_bytes_max"])
def test_what_waits_has_a_bound(bound: str) -> None:
    """Above it turns are taken though the window is full: nothing grows, nothing is refused."""
    scene = Scene(window=1)
    setattr(scene.turns, bound, 10 if bound == "waiting_max" else 100)
    scene.ask(QUIET, 1)
    for cxid in range(1_000):
        scene.ask(NOISY, cxid)
        scene.drain()
    assert scene.turns.waiting <= 10
    assert scene.turns.waiting_bytes <= 100


def test_a_role_that_ends_leaves_nothing() -> None:
    scene = Scene(window=1)
    for cxid in range(10):
        scene.ask(NOISY, cxid)
        scene.ask(QUIET, cxid)
    scene.turns.clear()
    assert scene.turns.waiting == 0
    assert scene.turns.next(scene.now_us) is None
    assert not scene.turns.flying
    assert scene.ask(QUIET, 11)


def test_flows_of_tenants_that_are_gone_are_forgotten() -> None:
    scene = Scene()
    scene.turns.flows_spare = 0
    for number in range(50):
        slug = f"t{number}"
        scene.turns.directory.put(spec(slug))
        scene.turns.flow_of([Id("tenant", f"app@{slug}")])
        scene.turns.directory.remove(slug)
    assert len(scene.turns.flows) <= 4
