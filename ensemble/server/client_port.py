"""The client port: receives, frames, flushes. All client sockets hang in one epoll.

The event loop of the process sees a single descriptor, that epoll's. When it is readable,
`on_ready` takes a turn: what has come in goes through the pipeline, then the log gets its batch,
then each connection with replies is written to once. While one flow alone has work (one tenant, or
nobody has any) a turn serves all connections that are ready, which is where the throughput comes
from (docs/performance.md). Where several have, turns are short and flows take their share of each
(`port_turns`, docs/tenancy.md).

A visit to a connection receives, unless whole frames wait in its buffer, and gives the pipeline
some frames. What is left waits for the flow's next visit; order within a connection stays.
"""

import ssl
import time
from collections.abc import Callable
from typing import Final, final

from librt.strings import read_i32_be
from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.server.client_socket import (
    BLOCKED,
    EPOLL_GONE,
    EPOLL_OUT,
    NOWHERE,
    ClientSocket,
)
from ensemble.server.connection import CLOSED, DRAINING, NEW, Connection
from ensemble.server.operations import is_exempt, is_write
from ensemble.server.pipeline import Pipeline
from ensemble.server.port_limits import PortLimits
from ensemble.server.port_turns import (
    ACCEPTS_ALONE_MAX,
    ACCEPTS_SHARED_MAX,
    FLUSH_SHARED_US,
    FRAMES_ALONE_MAX,
    FRAMES_SHARED_MAX,
    OUT_BYTES_SHARED_MAX,
    SENDS_AT_ONCE,
    SESSION_AHEAD,
    SWEEP_HELD_US,
    TURN_ALONE_US,
    TURN_SHARED_US,
    VISITS_QUIET,
    VISITS_UNTIMED,
    Turns,
    is_heavy,
)
from ensemble.server.socket_table import RECV_BYTES, SocketTable
from ensemble.tenancy.fairness import Flow
from ensemble.tenancy.rates import operations_in
from ensemble.wire.codes import OP_MULTI
from ensemble.wire.records import Id
from ensemble.wire.requests import HEADER_BYTES

POLL_EVENTS_MAX: Final = 1_024
OUT_BYTES_HARD: Final = 256 << 20  # a client that reads nothing while events pile up is cut here
WORD_BYTES: Final = 4

# What a tenant's rates say of a request
RUNS: Final = 0
HOLD: Final = 1
REFUSED: Final = 2


@final
class ClientPort(SocketTable):
    """Every client socket of this server, plain and TLS.

    Callbacks: `answer_word` gives the reply to a four-letter word or None where the bytes are none,
    `identify` the ids that a new connection holds, `on_refused` is told of what was closed and why.
    `wake` is asked for another turn after so many seconds, where requests wait for time to pass;
    `woken` is to be called ahead of it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        limits: PortLimits,
        end_turn: Callable[[], None],
        answer_word: Callable[[bytes, Connection], bytes | None],
        identify: Callable[[str, ssl.SSLSocket | None], list[Id]],
        wall_ms: Callable[[], int],
        on_refused: Callable[[str, str], None],
        wake: Callable[[float], None],
    ) -> None:
        super().__init__(pipeline, limits, identify, wall_ms, on_refused)
        self.end_turn: Final = end_turn
        self.answer_word: Final = answer_word
        self.wake: Final = wake
        self.turns: Final = Turns(limits.is_fair, limits.outstanding_max, limits.rate_wait_ms)
        self.ahead_cost: i64 = 0  # of a visit: what it has left to be done when answers come
        self.has_writes = False  # of flows that have nothing more to ask in this turn
        # Of a turn that one flow has alone
        self.visits: i64 = 0
        self.until_us: i64 = 0
        self.is_over = False
        self.wakes = False  # a turn was asked for and has not come yet

    def close(self) -> None:
        """Cut every connection and close all descriptors."""
        self.stop_listening()
        for client in list(self.sockets.values()):
            self.close_socket(client, "")
        self.poll.close()

    # A turn

    def on_ready(self) -> bool:
        """One turn. True where another is due at once, because work is left."""
        accepts = False
        pipeline = self.pipeline
        turns = self.turns
        turns.begin(pipeline.now_us, pipeline.commit_us)
        others: list[tuple[int, int]] = []
        if not turns.shared:
            self.serve_alone()  # those that had to wait come before new input
        for fd, event in self.epoll.poll(0, POLL_EVENTS_MAX):
            client = self.sockets.get(fd)
            if client is not None:
                if event & EPOLL_OUT:
                    self.on_writable(client)
                if event & ~EPOLL_OUT:
                    self.on_input(client, event)
            elif fd in self.extra:
                if turns.shared:
                    others.append((fd, event))
                else:
                    self.extra[fd](event)
            elif fd in self.listeners:
                accepts = True
        if turns.shared:
            # Reads of quiet flows come before commits, which may take a while.
            self.serve_shared(0)
            for fd, event in others:
                callback = self.extra.get(fd)
                if callback is not None:
                    callback(event)
            self.serve_shared(TURN_SHARED_US)
            if accepts:
                self.accept_shared()
        elif accepts:
            self.accept(ACCEPTS_ALONE_MAX)
        self.end_turn()
        if turns.shared:
            self.flush_shared()
        else:
            self.flush()
        gate = pipeline.gate
        if gate is not None:
            gate.end_turn(time.monotonic_ns() // 1_000)
        if turns.held_flows:
            self.wake_later()
        return turns.is_due() or (
            len(turns.blocked_flows) > 0 and turns.admit_blocked(pipeline.outstanding)
        )

    def wake_later(self) -> None:
        """Somebody waits for tokens: have a turn when some have come.

        Timers come a little early as well as late, by another clock: `woken` alone says that one
        has come.
        """
        if not self.wakes:
            self.wakes = True
            self.wake(SWEEP_HELD_US / 1e6)

    def woken(self) -> None:
        """The turn that was asked for is about to come."""
        self.wakes = False

    def on_input(self, client: ClientSocket, event: i64) -> None:
        """Bytes have come, or the end: looked at now, or in a turn of its flow."""
        client.readable = True
        if event & EPOLL_GONE:
            client.is_gone = True
        # The session is renewed now, whenever its requests run.
        session = client.conn.session
        if session is not None and not session.closing and not session.is_local:
            self.pipeline.tracker.touch(session, self.pipeline.now_ms)
        turns = self.turns
        if client.place == NOWHERE and not turns.shared and not self.is_turn_over():
            flow = turns.flow_of(client.conn)
            turns.scheduler.note(flow, turns.now_us)
            self.visit(flow, client, FRAMES_ALONE_MAX)
        else:
            turns.queue_new(client)

    def is_turn_over(self) -> bool:
        """Whether a turn of one flow alone has taken its time: another flow may come."""
        self.visits += 1
        if self.visits & VISITS_UNTIMED == 0 and self.turns.is_fair:
            self.is_over = time.monotonic_ns() // 1_000 > self.until_us
        return self.is_over

    def serve_alone(self) -> None:
        """Visit who had to wait. The rest of the turn is for what has come since."""
        turns = self.turns
        scheduler = turns.scheduler
        self.visits = 0
        self.is_over = False
        self.until_us = time.monotonic_ns() // 1_000 + TURN_ALONE_US
        turns.admit_blocked(self.pipeline.outstanding)
        turns.sweep_held()
        flow = scheduler.next()
        if flow is None:
            return
        queue = flow.queue
        left: i64 = len(queue)  # who has more in its buffer waits for what else has come
        while left > 0 and not self.is_turn_over():
            left -= 1
            client = queue.popleft()
            assert isinstance(client, ClientSocket)
            own = flow if flow is not turns.lane else turns.flow_of(client.conn)
            self.visit(own, client, FRAMES_ALONE_MAX)
        scheduler.settle(flow, flow.quantum(), turns.now_us)

    def serve_shared(self, time_us: i64) -> None:
        """Flows take turns for so long; 0: only those with credit that have little to ask."""
        turns = self.turns
        scheduler = turns.scheduler
        if self.pipeline.dirty:
            self.flush_shared(True)  # what commits have brought for those who ask for little
        self.has_writes = False
        if time_us > 0:
            turns.admit_blocked(self.pipeline.outstanding)
            turns.sweep_held()
        at_us = i64(time.monotonic_ns() // 1_000)
        until_us = at_us + (time_us if time_us > 0 else TURN_SHARED_US)
        while True:
            flow = scheduler.next()
            if flow is None:
                break
            if len(flow.queue) > VISITS_QUIET:
                if self.has_writes:
                    self.has_writes = False
                    self.end_turn()  # quiet flows' writes do not wait for what comes now
                if time_us == 0:
                    break
            client = flow.queue.popleft()
            assert isinstance(client, ClientSocket)
            self.ahead_cost = 0
            own = flow
            if flow is turns.lane:
                own = turns.flow_of(client.conn)
                self.visit(own, client, FRAMES_SHARED_MAX, True)
            else:
                self.visit(flow, client, FRAMES_SHARED_MAX)
            if not own.queue:  # it has nothing more to ask: it is not held up by who has
                if client.conn.pending.count > 0:
                    self.has_writes = True
                elif client.conn.dirty:
                    self.flush_one(client)
            now_us = i64(time.monotonic_ns() // 1_000)
            cost = now_us - at_us
            at_us = now_us
            scheduler.settle(flow, cost + self.ahead_cost, now_us)
            if own is not flow:
                own.credit -= cost + self.ahead_cost
            if now_us >= until_us:
                break

    def accept_shared(self) -> None:
        """A few that have connected: they are work of those without a tenant."""
        at_us = time.monotonic_ns() // 1_000
        self.accept(ACCEPTS_SHARED_MAX)
        turns = self.turns
        turns.scheduler.note(turns.others, turns.now_us)
        turns.others.credit -= time.monotonic_ns() // 1_000 - at_us

    # A visit

    def visit(
        self, flow: Flow, client: ClientSocket, frames_max: i64, in_lane: bool = False
    ) -> None:
        """Give the pipeline whole frames of a connection, as far as bounds let it.

        `in_lane`: only those that nothing may delay; the others wait for their flow's turn.
        """
        client.place = NOWHERE
        conn = client.conn
        if conn.state >= DRAINING:
            self.drop_input(client)
            return
        frames = conn.frames
        pipeline = self.pipeline
        turns = self.turns
        shared = turns.shared
        outstanding_max = self.limits.outstanding_max
        out_max = len(conn.out) + OUT_BYTES_SHARED_MAX
        received = False
        count: i64 = 0
        op: i64 = 0
        try:
            if conn.state == NEW and frames.pending() >= WORD_BYTES and self.take_word(client):
                return
            while count < frames_max:
                count += 1
                if not pipeline.may_read(conn):
                    self.pause(client)
                    return
                if not shared and conn.pending.count > 0 and pipeline.outstanding > outstanding_max:
                    self.pause(client)
                    turns.block(flow, client)
                    return
                if not frames.next_frame():
                    if client.readable and not received:
                        received = True
                        if not self.receive(client):
                            return
                        if conn.state == NEW and self.take_word(client):
                            if client.readable:
                                turns.queue(client)  # less than a word, and perhaps the end
                            return
                        continue
                    client.paused_ms = 0
                    if client.readable:
                        turns.queue(client)
                    return
                if (
                    client.paused_ms != 0
                    and 0 < self.limits.throttled_wait_ms < pipeline.now_ms - client.paused_ms
                    and pipeline.refuse_late(conn, frames.buf, frames.start, frames.end)
                ):
                    continue
                tenant = conn.seat.tenant
                if not shared:
                    if tenant is not None and tenant.rates.is_limited:
                        verdict = self.ask_rates(flow, client)
                        if verdict == HOLD:
                            return
                        if verdict == REFUSED:
                            continue
                    pipeline.on_frame(conn, frames.buf, frames.start, frames.end)
                    continue
                size = frames.end - frames.start
                op = 0
                if size >= HEADER_BYTES and conn.state != NEW:
                    op = i64(read_i32_be(frames.buf, frames.start + 4))
                    if not is_exempt(op):
                        if in_lane:
                            frames.put_back()
                            break
                        if (conn.pending.count > 0 or is_write(op)) and turns.is_over(flow, 0):
                            frames.put_back()
                            self.pause(client)
                            turns.block(flow, client)
                            return
                        if tenant is not None and tenant.rates.is_limited:
                            verdict = self.ask_rates(flow, client)
                            if verdict == HOLD:
                                return
                            if verdict == REFUSED:
                                continue
                before = conn.pending.last
                pipeline.on_frame(conn, frames.buf, frames.start, frames.end)
                pending = conn.pending.last
                if pending is not None and pending is not before:
                    self.ahead_cost += turns.charge(flow, pending, op, size)
                elif op == 0:
                    self.ahead_cost += SESSION_AHEAD
                if len(conn.out) > out_max or is_heavy(op, size):
                    break
        except ProtocolError as error:
            pipeline.stats.protocol_errors += 1
            self.close_socket(client, str(error))
            return
        turns.queue(client)

    def ask_rates(self, flow: Flow, client: ClientSocket) -> i64:
        """Whether the frame that comes next runs now, by its tenant's rates."""
        conn = client.conn
        frames = conn.frames
        size = frames.end - frames.start
        tenant = conn.seat.tenant
        if tenant is None or size < HEADER_BYTES or conn.state == NEW:
            return RUNS
        op = i64(read_i32_be(frames.buf, frames.start + 4))
        if is_exempt(op):
            return RUNS
        turns = self.turns
        writes: i64 = 0
        if is_write(op):
            writes = operations_in(frames.buf, frames.start, frames.end) if op == OP_MULTI else 1
        if tenant.rates.admits(turns.now_us, writes, size):
            if client.held_us != 0:
                turns.release(tenant, client)
            return RUNS
        if turns.is_late(client) and self.pipeline.refuse_late(
            conn, frames.buf, frames.start, frames.end
        ):
            turns.release(tenant, client)
            return REFUSED
        frames.put_back()
        turns.hold(flow, client)
        return HOLD

    def drop_input(self, client: ClientSocket) -> None:
        """Nothing more is looked at on this connection, but that it ends."""
        if client.conn.state == CLOSED or not client.readable:
            return
        try:
            data = client.sock.recv(RECV_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            client.readable = False
            return
        except OSError as error:
            self.close_socket(client, client.conn.close_reason or error.strerror or str(error))
            return
        if not data:
            self.close_socket(client, client.conn.close_reason if client.parting_ms != 0 else "")
        else:
            self.turns.queue(client)

    def take_word(self, client: ClientSocket) -> bool:
        """Whether the first bytes of a connection are a four-letter word; if so it is answered."""
        conn = client.conn
        frames = conn.frames
        held = frames.pending()
        if held < WORD_BYTES:
            return held > 0  # too little to tell: wait for more
        first = frames.buf[frames.at : frames.at + WORD_BYTES * 3]
        if not first:
            return False
        reply = self.answer_word(first, conn)
        if reply is None:
            return False
        conn.out.write(reply)
        self.pipeline.drain(conn, "")
        return True

    def pause(self, client: ClientSocket) -> None:
        """What has come waits in the buffer until replies have gone out."""
        if client.conn.state < DRAINING and client.paused_ms == 0:
            client.paused_ms = self.pipeline.now_ms

    # Writing

    def flush(self) -> None:
        """One write for each connection that has something to say."""
        pipeline = self.pipeline
        speaking = self.turns.speaking
        while speaking:
            self.send_some(speaking.popleft(), 1 << 30)
        while pipeline.dirty:
            dirty = pipeline.dirty
            pipeline.dirty = []
            for conn in dirty:
                client = self.by_connection.get(conn.id)
                if client is not None:
                    self.flush_one(client)
                else:
                    conn.dirty = False

    def flush_shared(self, only_quiet: bool = False) -> None:
        """The same as far as this turn has time: first for flows that have little to say."""
        turns = self.turns
        pipeline = self.pipeline
        dirty = pipeline.dirty
        pipeline.dirty = []
        for conn in dirty:
            client = self.by_connection.get(conn.id)
            if client is not None:
                turns.speak(client)
            else:
                conn.dirty = False
        speaking = turns.speaking
        at_us = i64(time.monotonic_ns() // 1_000)
        until_us = at_us + FLUSH_SHARED_US
        unseen: i64 = len(speaking)  # in the first round only those that have little
        while speaking:
            flow = speaking.popleft()
            unseen -= 1
            if unseen < 0 and only_quiet:
                speaking.append(flow)
                return
            if unseen >= 0 and len(flow.outgoing) > SENDS_AT_ONCE:
                speaking.append(flow)
                continue
            self.send_some(flow, SENDS_AT_ONCE)
            now_us = i64(time.monotonic_ns() // 1_000)
            flow.credit -= now_us - at_us
            at_us = now_us
            if flow.outgoing:
                flow.speaks = True
                speaking.append(flow)
            if now_us >= until_us:
                return

    def send_some(self, flow: Flow, count_max: i64) -> None:
        """Write to connections of a flow that has been taken out of those that speak."""
        flow.speaks = False
        outgoing = flow.outgoing
        while outgoing and count_max > 0:
            count_max -= 1
            client = outgoing.popleft()
            assert isinstance(client, ClientSocket)
            self.flush_one(client)

    def flush_one(self, client: ClientSocket) -> None:
        conn = client.conn
        conn.dirty = False
        if conn.state == CLOSED:
            return
        out = conn.out
        if len(out) > 0:
            data = out.getvalue()
            out.truncate(0)
            if client.unsent:
                data = client.unsent + data
            self.send(client, data)
        if conn.state == CLOSED:
            return
        if client.unsent:
            if len(client.unsent) > OUT_BYTES_HARD:
                self.close_socket(client, f"{len(client.unsent)} bytes unread by the client")
            return
        if conn.state == DRAINING and conn.pending.count == 0:
            if not conn.is_refused or not self.part(client):
                self.close_socket(client, conn.close_reason)
        elif client.place == BLOCKED:
            if conn.pending.count == 0 and not self.turns.shared:
                client.place = NOWHERE
                self.turns.queue(client)
        elif client.paused_ms != 0 or conn.frames.pending() > 0:
            self.turns.queue(client)

    def send(self, client: ClientSocket, data: bytes) -> None:
        """Give the kernel what it takes; keep the rest and wait until it takes more."""
        try:
            count = client.sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            count = 0
        except OSError as error:
            self.close_socket(client, error.strerror or str(error))
            return
        self.pipeline.stats.bytes_sent += count
        if count == len(data):
            if client.unsent:
                client.unsent = b""
                client.conn.unsent_bytes = 0
                self.set_interest(client, client.interest & ~EPOLL_OUT)
            return
        client.unsent = data[count:]
        client.conn.unsent_bytes = len(client.unsent)
        self.set_interest(client, client.interest | EPOLL_OUT)

    def on_writable(self, client: ClientSocket) -> None:
        if client.handshaking:
            client.readable = True
            self.turns.queue(client)
            return
        if client.unsent:
            self.send(client, client.unsent)
        elif client.interest & EPOLL_OUT:  # TLS had to write before it could read
            self.set_interest(client, client.interest & ~EPOLL_OUT)
            self.turns.queue(client)
        if client.conn.state != CLOSED:
            self.pipeline.touch_dirty(client.conn)
