"""Whose turn it is: deficit round robin over flows, by weight.

A flow is the work of one tenant, or of everybody who has none. Each has a credit of cost (the
caller's unit; the client port counts microseconds). A flow that comes up to
the head of the ring gets a quantum, in proportion to its weight, is served while its credit lasts,
and goes to the end.
What a turn costs is known only afterwards, so credits go below zero, by one turn at most.

A flow that comes back after it had nothing to do has earned its share of the time meanwhile, up to
one quantum, and with credit it is served first: who asks for little does not wait. Nobody gains by
going and coming, since an absence earns no more than the share that presence would have had.

No clock: time is an argument, in microseconds.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.spec import WEIGHT_DEFAULT

QUANTUM: Final = 50  # cost that a flow of the default weight may cause before the next one
RECENT_US: Final = 1_000_000  # so long after its last work a flow counts as active
SWEEP_EVERY_US: Final = 100_000
COUNTED_US_MAX: Final = 1_000_000_000  # of an absence; more changes nothing
CREDIT_MIN: Final = -1_000_000_000  # what one turn may cost at most, as far as it is counted


@final
class Flow:
    """The work of one tenant at one place where work queues.

    `queue`: what waits for its turn, in order. `weight` may change at any time. The rest of the
    lists is for who owns the place: `held` waits for tokens, `blocked` for answers to what is
    `ahead` (a cost, too), `outgoing` has something to send. `quiet_max`: so many pieces of work
    within a second do not make the others share: a connection is opened, a session pings.
    """

    __slots__ = (
        "ahead",
        "blocked",
        "credit",
        "held",
        "in_ring",
        "is_recent",
        "left_us",
        "outgoing",
        "queue",
        "quiet_count",
        "quiet_max",
        "quiet_since_us",
        "seen_us",
        "speaks",
        "weight",
    )

    def __init__(self, weight: i64 = WEIGHT_DEFAULT, quiet_max: i64 = 0) -> None:
        self.weight: i64 = weight
        self.quiet_max: Final[i64] = quiet_max
        self.quiet_count: i64 = 0
        self.quiet_since_us: i64 = -COUNTED_US_MAX
        self.queue: Final[deque[object]] = deque()
        self.held: Final[deque[object]] = deque()
        self.blocked: Final[deque[object]] = deque()
        self.outgoing: Final[deque[object]] = deque()
        self.ahead: i64 = 0
        self.credit: i64 = 0
        self.in_ring = False
        self.left_us: i64 = -COUNTED_US_MAX  # a new flow has earned its quantum
        self.seen_us: i64 = 0
        self.is_recent = False
        self.speaks = False

    def is_quiet(self, now_us: i64) -> bool:
        """Count one more piece of work; whether there was little within the last second."""
        if now_us - self.quiet_since_us >= RECENT_US:
            self.quiet_since_us = now_us
            self.quiet_count = 0
        self.quiet_count += 1
        return self.quiet_count <= self.quiet_max

    def quantum(self) -> i64:
        """What it may cause before the others' turn comes; at least one."""
        quantum = self.weight * QUANTUM // WEIGHT_DEFAULT
        return quantum if quantum > 0 else 1


@final
class Scheduler:
    """Flows that take turns. `put` work, ask `next` whose turn it is, take its work, `settle`.

    Invariant: a flow with work is in `ring`; one without is there at most until it comes up.
    """

    __slots__ = ("recent", "recent_weight", "ring", "swept_us")

    def __init__(self) -> None:
        self.ring: Final[deque[Flow]] = deque()
        self.recent: list[Flow] = []  # with work within the last second
        self.recent_weight: i64 = 0
        self.swept_us: i64 = 0

    def contended(self) -> bool:
        """Whether more than one flow has work, or had within the last second."""
        return len(self.recent) > 1

    def note(self, flow: Flow, now_us: i64) -> None:
        """A flow has work."""
        flow.seen_us = now_us
        if not flow.is_recent:
            if flow.quiet_max > 0 and flow.is_quiet(now_us):
                return
            flow.is_recent = True
            self.recent.append(flow)
            self.recent_weight += flow.weight

    def put(self, flow: Flow, item: object, now_us: i64) -> None:
        """Something waits for a turn of this flow, behind what waits there already."""
        self.note(flow, now_us)
        self.enter(flow, item, now_us)

    def enter(self, flow: Flow, item: object, now_us: i64) -> None:
        """The same for a flow that does not make others share: a lane beside the flows."""
        flow.queue.append(item)
        if not flow.in_ring:
            self._join(flow, now_us)

    def next(self) -> Flow | None:
        """Whose turn it is: it has work and credit. None: nobody has work."""
        ring = self.ring
        passed: i64 = 0
        while ring:
            flow = ring[0]
            if not flow.queue:
                self._leave(ring.popleft(), flow.seen_us)
                continue
            if flow.credit > 0:
                return flow
            flow.credit += flow.quantum()  # it has just come up
            if flow.credit > 0:
                return flow
            ring.rotate(-1)
            passed += 1
            if passed > len(ring):
                self._skip_rounds()
                passed = 0
        return None

    def settle(self, flow: Flow, cost: i64, now_us: i64) -> None:
        """A turn of this flow is over; what it cost."""
        credit = flow.credit - cost
        flow.credit = credit if credit > CREDIT_MIN else CREDIT_MIN
        ring = self.ring
        if ring and ring[0] is flow:
            if not flow.queue:
                self._leave(ring.popleft(), now_us)
            elif flow.credit <= 0:
                ring.rotate(-1)

    def share(self, flow: Flow, total: i64) -> i64:
        """This flow's part of something that all active ones share, at least 1."""
        if len(self.recent) < 2 or self.recent_weight <= 0:
            return total
        part = total * flow.weight // self.recent_weight
        return part if part > 0 else 1

    def sweep(self, now_us: i64) -> None:
        """Forget who had no work for a second. Cheap to call: it looks ten times a second."""
        if now_us - self.swept_us < SWEEP_EVERY_US:
            return
        self.swept_us = now_us
        kept: list[Flow] = []
        weight: i64 = 0
        for flow in self.recent:
            if flow.in_ring or now_us - flow.seen_us < RECENT_US:
                kept.append(flow)
                weight += flow.weight
            else:
                flow.is_recent = False
        self.recent = kept
        self.recent_weight = weight

    def _join(self, flow: Flow, now_us: i64) -> None:
        """Into the ring: first, if its absence has earned it credit."""
        away_us = now_us - flow.left_us
        if away_us > COUNTED_US_MAX:
            away_us = COUNTED_US_MAX
        total = self.recent_weight
        quantum = flow.quantum()
        if away_us > 0:
            earned = away_us * flow.weight // total if total > flow.weight else away_us
            flow.credit += earned
            if flow.credit > quantum:
                flow.credit = quantum
        flow.in_ring = True
        if flow.credit > 0:
            self.ring.appendleft(flow)
        else:
            self.ring.append(flow)

    def _leave(self, flow: Flow, now_us: i64) -> None:
        flow.in_ring = False
        flow.left_us = now_us

    def _skip_rounds(self) -> None:
        """Everybody is in debt: all the rounds at once in which nobody would be served."""
        rounds: i64 = -1
        for flow in self.ring:
            if flow.queue:
                needed = -flow.credit // flow.quantum()
                if rounds < 0 or needed < rounds:
                    rounds = needed
        if rounds > 0:
            for flow in self.ring:
                if flow.queue:
                    flow.credit += rounds * flow.quantum()
