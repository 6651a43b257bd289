"""Who is served next at the client port, and for how long: the bounds, the flows, what is held.

`tenancy/fairness` has the rule, `tenancy/rates` the buckets; this file applies them to sockets. No
socket is touched here: `client_port` does what is decided.
"""

from collections import deque
from typing import Final, final

from librt.strings import read_i32_be
from mypy_extensions import i64

from ensemble.server.client_socket import BLOCKED, HELD, NOWHERE, QUEUED, ClientSocket
from ensemble.server.connection import CLOSED, Connection, Pending
from ensemble.server.operations import is_write
from ensemble.tenancy.fairness import Flow, Scheduler
from ensemble.tenancy.seat import Tenant
from ensemble.wire import codes

# One flow has work: it is served in long turns, which is where the throughput comes from.
TURN_ALONE_US: Final = 4_000
VISITS_UNTIMED: Final = 7  # a mask: the clock is read every eighth visit
FRAMES_ALONE_MAX: Final = 1_024  # of one connection: a deep pipeline does not starve the others
# Every connection is opened, and signs in, as one without a tenant: so much of that within a second
# does not put the tenants into short turns. Who has no tenant may wait for a long one instead.
OTHERS_QUIET_MAX: Final = 16
# Several have: then a turn is what a request that has just come may have to wait.
TURN_SHARED_US: Final = 100
FLUSH_SHARED_US: Final = 60
VISITS_QUIET: Final = 4  # connections of a flow that wait: with more it is no quiet one
FRAMES_SHARED_MAX: Final = 8
OUT_BYTES_SHARED_MAX: Final = 8_192  # replies of one visit
FRAME_BYTES_SHARED: Final = 2_048  # the visit ends behind a request larger than that
ACCEPTS_ALONE_MAX: Final = 64
ACCEPTS_SHARED_MAX: Final = 2
SENDS_AT_ONCE: Final = 2  # connections of one flow that are written to before the next flow's

# What is not answered yet, in the unit of credits: microseconds that it will still take.
# Of all flows together: a quarter of the time that a commit takes, so that a slow disk or a quorum
# far away is worth larger batches. What waits behind that notices little of it.
AHEAD_PER_COMMIT: Final = 4
AHEAD_SHARED_LEAST: Final = 128
AHEAD_SHARED_MAX: Final = 2_048
AHEAD_LEAST: Final = 32  # of one
READ_AHEAD: Final = 1
WRITE_AHEAD: Final = 4
BYTES_PER_AHEAD: Final = 1_024
MULTI_BYTES_PER_AHEAD: Final = 16
SESSION_AHEAD: Final = 10  # a ConnectRequest

SWEEP_HELD_US: Final = 10_000
SWEEP_HELD_MAX: Final = 256  # of one flow
ADMITTED_AT_ONCE: Final = 8


def is_heavy(op: i64, size: i64) -> bool:
    """What may take long, whatever its answer's size: the visit ends behind it."""
    return (
        size > FRAME_BYTES_SHARED
        or op == codes.OP_GET_ALL_CHILDREN_NUMBER
        or op == codes.OP_GET_EPHEMERALS
        or op == codes.OP_SET_WATCHES
        or op == codes.OP_SET_WATCHES2
    )


def cost_ahead(op: i64, size: i64) -> i64:
    """What a request that waits for its answer will still cost."""
    if not is_write(op):
        return READ_AHEAD
    if op == codes.OP_MULTI:
        return WRITE_AHEAD + size // MULTI_BYTES_PER_AHEAD
    return WRITE_AHEAD + size // BYTES_PER_AHEAD


@final
class Turns:
    """The flows of a client port.

    `shared`: more than one of them has work, or had within the last second. `others`: the flow of
    connections without a tenant. `lane`: connections of flows that have a backlog, on which
    something has come while nothing waited: pings are answered from here, whatever waits elsewhere.
    """

    __slots__ = (
        "ahead_max",
        "blocked_flows",
        "held_flows",
        "is_fair",
        "lane",
        "now_us",
        "others",
        "outstanding_max",
        "scheduler",
        "shared",
        "speaking",
        "swept_us",
        "wait_us_max",
    )

    def __init__(self, is_fair: bool, outstanding_max: i64, wait_ms_max: i64) -> None:
        self.is_fair: Final = is_fair
        self.outstanding_max: Final[i64] = outstanding_max
        self.wait_us_max: Final[i64] = wait_ms_max * 1_000
        self.scheduler: Final = Scheduler()
        self.others: Final = Flow(quiet_max=OTHERS_QUIET_MAX)
        self.lane: Final = Flow()
        self.held_flows: list[Flow] = []
        self.blocked_flows: list[Flow] = []
        self.speaking: Final[deque[Flow]] = deque()
        self.shared = False
        self.now_us: i64 = 0
        self.swept_us: i64 = 0
        self.ahead_max: i64 = AHEAD_SHARED_LEAST

    def begin(self, now_us: i64, commit_us: i64) -> None:
        """A turn begins; how long commits take at present."""
        self.now_us = now_us
        ahead = commit_us // AHEAD_PER_COMMIT
        if ahead < AHEAD_SHARED_LEAST:
            ahead = AHEAD_SHARED_LEAST
        self.ahead_max = ahead if ahead < AHEAD_SHARED_MAX else AHEAD_SHARED_MAX
        scheduler = self.scheduler
        scheduler.sweep(now_us)
        self.shared = self.is_fair and scheduler.contended()

    def flow_of(self, conn: Connection) -> Flow:
        """Whose work a connection's requests are."""
        tenant = conn.seat.tenant
        return self.others if tenant is None or not self.is_fair else tenant.flow

    # Waiting for a turn

    def queue(self, client: ClientSocket) -> None:
        """Have a connection visited, unless it stands in a queue already."""
        if client.place == NOWHERE:
            client.place = QUEUED
            self.scheduler.put(self.flow_of(client.conn), client, self.now_us)

    def queue_new(self, client: ClientSocket) -> None:
        """The same where something has just come in."""
        if client.place == NOWHERE:
            client.place = QUEUED
            flow = self.flow_of(client.conn)
            if self.shared and flow.queue:
                self.scheduler.note(flow, self.now_us)
                self.scheduler.enter(self.lane, client, self.now_us)
            else:
                self.scheduler.put(flow, client, self.now_us)

    def is_due(self) -> bool:
        """Whether somebody waits for a turn, or for what it has to say to be sent."""
        return len(self.scheduler.ring) > 0 or len(self.speaking) > 0

    # Answers that are awaited

    def is_over(self, flow: Flow, outstanding: i64) -> bool:
        """Whether so much of a flow is unanswered that its next request has to wait."""
        if not self.shared:
            return outstanding > self.outstanding_max
        if flow.ahead <= 0:
            return False
        most = self.scheduler.share(flow, self.ahead_max)
        if most < AHEAD_LEAST:
            most = AHEAD_LEAST
        return flow.ahead >= most

    def charge(self, flow: Flow, pending: Pending, op: i64, size: i64) -> i64:
        """A request's answer is awaited: it counts until it is there. What it will still cost."""
        cost = cost_ahead(op, size)
        pending.flow = flow
        pending.cost = cost
        flow.ahead += cost
        return cost

    def block(self, flow: Flow, client: ClientSocket) -> None:
        """Wait for answers in the order of coming: else some would wait many times longer."""
        client.place = BLOCKED
        if not client.in_blocked:
            client.in_blocked = True
            if not flow.blocked:
                self.blocked_flows.append(flow)
            flow.blocked.append(client)

    def admit_blocked(self, outstanding: i64) -> bool:
        """Have visited who waited for answers that have come. Whether there was somebody."""
        if not self.blocked_flows:
            return False
        admitted = False
        kept: list[Flow] = []
        for flow in self.blocked_flows:
            if not self.is_over(flow, outstanding):
                for _ in range(ADMITTED_AT_ONCE):
                    if not flow.blocked:
                        break
                    client = flow.blocked.popleft()
                    assert isinstance(client, ClientSocket)
                    client.in_blocked = False
                    if client.place == BLOCKED and client.conn.state != CLOSED:
                        client.place = QUEUED
                        self.scheduler.put(flow, client, self.now_us)
                        admitted = True
            if flow.blocked:
                kept.append(flow)
        self.blocked_flows = kept
        return admitted

    # Waiting for tokens

    def release(self, tenant: Tenant, client: ClientSocket) -> None:
        """A request that was held runs, or is refused: its tenant's account says for how long."""
        if client.held_us != 0:
            tenant.account.on_held(self.now_us - client.held_us)
            client.held_us = 0

    def hold(self, flow: Flow, client: ClientSocket) -> None:
        client.place = HELD
        if client.held_us == 0:
            client.held_us = self.now_us
        if not flow.held:
            self.held_flows.append(flow)
        flow.held.append(client)

    def is_late(self, client: ClientSocket) -> bool:
        """Whether what waits in a connection's buffer has waited for as long as it may."""
        return self.now_us - client.conn.frames.arrived_us > self.wait_us_max

    def sweep_held(self) -> None:
        """Look again at who waits for tokens: a flow's connections in turn, some at a time."""
        if not self.held_flows or self.now_us - self.swept_us < SWEEP_HELD_US:
            return
        self.swept_us = self.now_us
        kept: list[Flow] = []
        for flow in self.held_flows:
            count = len(flow.held)
            if count > SWEEP_HELD_MAX:
                count = SWEEP_HELD_MAX
            for _ in range(count):
                client = flow.held.popleft()
                assert isinstance(client, ClientSocket)
                if client.conn.state == CLOSED or client.place != HELD:
                    continue
                tenant = client.conn.seat.tenant
                frames = client.conn.frames
                if (
                    tenant is None
                    or self.is_late(client)
                    or tenant.rates.may_admit(self.now_us, is_write_at(frames.buf, frames.at))
                ):
                    client.place = QUEUED
                    self.scheduler.put(flow, client, self.now_us)
                else:
                    flow.held.append(client)
            if flow.held:
                kept.append(flow)
        self.held_flows = kept

    # Sending

    def speak(self, client: ClientSocket) -> None:
        """It has something to send: in its flow's turn."""
        flow = self.flow_of(client.conn)
        flow.outgoing.append(client)
        if not flow.speaks:
            flow.speaks = True
            self.speaking.append(flow)


def is_write_at(buf: bytes, at: i64) -> bool:
    """Whether the whole frame that begins at its length there asks for a transaction."""
    return is_write(i64(read_i32_be(buf, at + 8)))
