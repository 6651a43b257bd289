"""The leader's turns: whose write is ordered next when more than one tenant has writes under way.

Up to a window of proposals is under way at a time. A flow (one tenant, or everybody who has none)
that has less than its part of it under way goes on at once; the rest of the window is for whoever
wants it, and when it is full requests wait here and take turns by weight (`tenancy.fairness`). So
a quiet tenant's write stands behind a window's worth of proposals at most, and one that is alone
is held up by nothing but a wide window.

The order within a session holds: while one of its requests waits, all that follow join it, syncs,
closes and moves of identity included. What opens or ends a session that has nothing here never
waits. Learners that cannot tell answers apart by session (Apache's) are served in the order of
their links: nothing of them waits.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.fairness import Flow, Scheduler
from ensemble.tree.prepare import WriteRequest
from ensemble.wire import codes
from ensemble.wire.records import Id

WINDOW: Final = 256  # proposals under way while more than one flow has work
WINDOW_ALONE: Final = 1_024  # while one has
WAITING_MAX: Final = 65_536  # requests that wait; above it, or above so many bytes of them,
WAITING_BYTES_MAX: Final = 256 << 20  # turns are taken whether the window is full or not
COST: Final = 25  # of a proposal, about its microseconds on the leader
COST_BYTES: Final = 256  # so many bytes of a request cost one more
TENANT: Final = "tenant"  # the scheme of the identity that says whose session it is
FLOWS_SPARE: Final = 64  # flows of tenants that are gone, before they are looked for


@final
class Waiting:
    """A request that waits for its turn. `life` is that of its learner's link when it came."""

    __slots__ = ("flow", "life", "request", "sid", "size")

    def __init__(self, request: WriteRequest, sid: i64, flow: Flow, life: i64, size: i64) -> None:
        self.request: Final = request
        self.sid: Final = sid
        self.flow: Final = flow
        self.life: Final = life
        self.size: Final = size


@final
class SessionQueue:
    """How many requests of a session wait, and in which flow."""

    __slots__ = ("count", "flow")

    def __init__(self, flow: Flow) -> None:
        self.flow: Final = flow
        self.count: i64 = 0


@final
class LeaderTurns:
    """See the module. `admit` each request; `on_ordered` what got a zxid; `next` in each turn.

    Invariants: `ahead` of all flows together is the length of `flying`; `by_session` holds exactly
    the sessions of which something waits.
    """

    __slots__ = (
        "by_session",
        "directory",
        "flows",
        "flows_spare",
        "flying",
        "is_on",
        "lives",
        "longest",
        "outside",
        "scheduler",
        "waited",
        "waiting",
        "waiting_bytes",
        "waiting_bytes_max",
        "waiting_max",
        "window",
        "window_alone",
    )

    def __init__(self, directory: Directory) -> None:
        self.directory: Directory = directory
        self.is_on = True
        self.window: i64 = WINDOW
        self.window_alone: i64 = WINDOW_ALONE
        self.waiting_max: i64 = WAITING_MAX
        self.waiting_bytes_max: i64 = WAITING_BYTES_MAX
        self.flows_spare: i64 = FLOWS_SPARE
        self.scheduler = Scheduler()
        self.flows: Final[dict[str, Flow]] = {}
        self.outside = Flow()
        self.by_session: Final[dict[int, SessionQueue]] = {}
        # Who asked for each proposal that is not committed.
        self.flying: Final[dict[int, Flow]] = {}
        self.lives: Final[dict[int, int]] = {}  # of each server's link: counts those that ended
        self.waiting: i64 = 0
        self.waiting_bytes: i64 = 0
        self.waited: i64 = 0  # requests that had to wait, since the start
        self.longest: i64 = 0  # the most that waited at a time

    def is_idle(self) -> bool:
        """Whether nobody needs turns: no tenant is known and nothing waits."""
        return self.waiting == 0 and (self.directory.is_empty or not self.is_on)

    def admit(self, request: WriteRequest, sid: i64, in_order: bool, now_us: i64) -> Flow | None:
        """The flow of a request that may be ordered now; None: it waits and comes out of `next`.

        Args:
            in_order: its learner takes answers in the order of its questions only.
        """
        session = self.by_session.get(int(request.session_id))
        op = request.op
        if session is None:
            flow = self.flow_of(request.ids)
            if in_order or op == codes.OP_CREATE_SESSION or op == codes.OP_CLOSE_SESSION:
                return flow
            self.scheduler.note(flow, now_us)
            if op == codes.OP_SYNC or self.may_fly(flow):
                return flow
            session = SessionQueue(flow)
            self.by_session[int(request.session_id)] = session
        elif in_order:
            return session.flow  # what waits came over another link
        flow = session.flow
        size = request.body.end - request.body.at
        life = i64(self.lives.get(int(sid), 0))
        session.count += 1
        self.waiting += 1
        self.waiting_bytes += size
        self.waited += 1
        if self.waiting > self.longest:
            self.longest = self.waiting
        self.scheduler.put(flow, Waiting(request, sid, flow, life, size), now_us)
        return None

    def may_fly(self, flow: Flow) -> bool:
        """Whether one more proposal of this flow may be under way now, nothing of it waiting."""
        if flow.queue:
            return False
        flying = len(self.flying)
        if not self.scheduler.contended():
            return flying < self.window_alone
        if flow.ahead < self.scheduler.share(flow, self.window):
            return True
        return self.waiting == 0 and flying < self.window

    def on_ordered(self, flow: Flow, zxid: i64) -> None:
        """A request of this flow is proposed."""
        flow.ahead += 1
        self.flying[int(zxid)] = flow

    def on_committed(self, zxid: i64) -> None:
        flow = self.flying.pop(int(zxid), None)
        if flow is not None:
            flow.ahead -= 1

    def next(self, now_us: i64) -> Waiting | None:
        """Whose turn it is, as far as the window is open. The caller orders it."""
        scheduler = self.scheduler
        while self.waiting > 0:
            if (
                len(self.flying) >= (self.window if scheduler.contended() else self.window_alone)
                and self.waiting <= self.waiting_max
                and self.waiting_bytes <= self.waiting_bytes_max
            ):
                return None
            flow = scheduler.next()
            assert flow is not None, "something waits, so some flow has work"
            waiting = self._pop(flow)
            scheduler.settle(flow, COST + waiting.size // COST_BYTES, now_us)
            if waiting.life == self.lives.get(int(waiting.sid), 0):
                return waiting
        return None

    def next_before(self, session_id: i64) -> Waiting | None:
        """What comes before a session's last waiting request, or is it; None: nothing is left.

        A session that moves takes nothing along: what came before its move is ordered before it.
        """
        while True:
            session = self.by_session.get(int(session_id))
            if session is None:
                return None
            waiting = self._pop(session.flow)
            if waiting.life == self.lives.get(int(waiting.sid), 0):
                return waiting

    def _pop(self, flow: Flow) -> Waiting:
        waiting = flow.queue.popleft()
        assert isinstance(waiting, Waiting)
        self.waiting -= 1
        self.waiting_bytes -= waiting.size
        session_id = int(waiting.request.session_id)
        session = self.by_session[session_id]
        session.count -= 1
        if session.count == 0:
            del self.by_session[session_id]
        return waiting

    def end_turn(self, now_us: i64) -> None:
        self.scheduler.sweep(now_us)

    def forget(self, sid: i64) -> None:
        """A learner's link has ended: what came over it and waits is not ordered any more.

        Its clients are cut, and the next link's requests must not be taken for these.
        """
        self.lives[int(sid)] = self.lives.get(int(sid), 0) + 1

    def clear(self) -> None:
        """This server's role is over."""
        self.scheduler = Scheduler()
        self.outside = Flow()
        self.flows.clear()
        self.by_session.clear()
        self.flying.clear()
        self.lives.clear()
        self.waiting = 0
        self.waiting_bytes = 0

    def flow_of(self, ids: list[Id]) -> Flow:
        """Whose request it is; one flow for all that belong to no tenant."""
        for id in ids:
            name = id.id
            if id.scheme == TENANT and name is not None:
                slug = name[name.rfind("@") + 1 :]
                tenant = self.directory.by_slug.get(slug)
                if tenant is not None:
                    flow = self.flows.get(slug)
                    if flow is None:
                        self.drop_gone()
                        flow = Flow()
                        self.flows[slug] = flow
                    flow.weight = tenant.spec.weight
                    return flow
        return self.outside

    def drop_gone(self) -> None:
        """Forget flows of tenants that are gone, before they are too many."""
        if len(self.flows) > len(self.directory.by_slug) + self.flows_spare:
            for slug, flow in list(self.flows.items()):
                if slug not in self.directory.by_slug and not flow.queue and flow.ahead == 0:
                    del self.flows[slug]
