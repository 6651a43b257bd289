"""A client on the wire: session, requests in a window, watches, pings, reconnects.

No library of ours is in it. It does what Apache's client does as far as servers can tell (client.md
3 and 13): it comes back to another server with its session and the last zxid that it has seen, asks
for its watches again, and begins a new session where the old one has expired. Everything it sees
goes into its trail.
"""

from collections import deque

from librt.strings import BytesWriter

from ensemble.wire import codes
from ensemble.wire.framing import FrameBuffer, begin_frame, end_frame
from ensemble.wire.jute import Reader
from ensemble.wire.replies import (
    read_connect_response,
    read_reply_header,
    read_watcher_event,
)
from ensemble.wire.requests import (
    ConnectRequest,
    SetWatchesRequest,
    write_connect_request,
    write_request_header,
    write_set_watches,
)
from tests.sim.history import Connected, Event, Expired, History, Lost, Op, Pong
from tests.sim.network import End, Network
from tests.sim.requests import OPCODES, read_answer, write_body

BACKOFF_US = 30_000
WATCH_LISTS = ("data", "exist", "child")
CONNECT_ANSWER_US = 1_500_000


class Client:
    """See the module. The workload calls `send`; `is_ready` says whether it may."""

    def __init__(
        self, number: int, network: Network, history: History, servers: list[int], timeout_ms: int
    ) -> None:
        self.number = number
        self.name = f"c{number}"
        self.network = network
        self.world = network.world
        self.history = history
        self.trail = history.trail(number)
        self.servers = servers
        self.timeout_ms = timeout_ms
        self.root = b""  # in front of its paths wherever they are written down
        self.rng = self.world.random(f"client {number}")
        self.session = 0
        self.password = bytes(16)
        self.negotiated_ms = timeout_ms
        self.xid = 0
        self.last_zxid = 0
        self.server = 0
        self.end: End | None = None
        self.is_ready = False
        self.outstanding: deque[Op] = deque()
        self.frames = FrameBuffer()
        self.heard_us = 0
        self.sent_us = 0
        self.life = 0  # counts connections, so that old timers find that they are old
        self.stopped = False
        self.watching: dict[str, set[bytes]] = {"data": set(), "exist": set(), "child": set()}

    # Connections

    def connect(self) -> None:
        if self.stopped:
            return
        self.life += 1
        self.server = self.rng.choice(self.servers)
        life = self.life

        def on_open(end: End) -> None:
            if life != self.life:
                end.close()
                return
            self.opened(end)

        def on_failed(reason: str) -> None:
            if life == self.life:
                self.reconnect()

        self.network.connect(self.name, self.server, "client", on_open, on_failed)

    def reconnect(self, back_us: int = 0) -> None:
        self.life += 1
        life = self.life
        delay = back_us or int(BACKOFF_US * (0.5 + self.rng.random()))
        self.world.after(delay, self.again, life)

    def again(self, life: int) -> None:
        if life == self.life:
            self.connect()

    def opened(self, end: End) -> None:
        self.end = end
        self.frames = FrameBuffer()
        self.is_ready = False
        end.on_bytes = self.on_bytes
        end.on_closed = self.on_closed
        out = BytesWriter()
        start = begin_frame(out)
        request = ConnectRequest(
            0, self.last_zxid, self.timeout_ms, self.session, self.password, False
        )
        write_connect_request(out, request)
        end_frame(out, start)
        end.send(out.getvalue())
        self.heard_us = self.world.now_us
        self.world.after(CONNECT_ANSWER_US, self.no_answer, self.life)

    def no_answer(self, life: int) -> None:
        if life == self.life and not self.is_ready:
            self.drop("no answer to the ConnectRequest")

    def drop(self, reason: str, back_us: int = 0) -> None:
        """Give up on a connection; the next attempt after that time, or the usual one."""
        if self.end is not None:
            self.end.close()
        self.on_closed(reason, back_us)

    def on_closed(self, reason: str, back_us: int = 0) -> None:
        self.world.note(f"client {self.number} lost server {self.server}: {reason}")
        if self.is_ready:
            self.trail.entries.append(Lost(self.world.now_us))
        self.end = None
        self.is_ready = False
        self.outstanding.clear()  # what was not answered stays so
        self.reconnect(back_us)

    def vanish(self) -> None:
        """Gone without a word: nothing is sent any more, the connection ends nowhere."""
        self.stopped = True
        self.life += 1
        self.is_ready = False
        if self.end is not None:
            self.end.vanish()
            self.end = None

    # What comes

    def on_bytes(self, data: bytes) -> None:
        self.heard_us = self.world.now_us
        frames = self.frames
        frames.feed(data)
        end = self.end
        while self.end is end and frames.next_frame():
            reader = Reader(frames.buf, frames.start, frames.end)
            if self.is_ready:
                self.on_reply(reader)
            else:
                self.on_connected(reader)

    def on_connected(self, reader: Reader) -> None:
        response = read_connect_response(reader)
        now_us = self.world.now_us
        if response.session_id == 0:
            self.world.note(f"client {self.number}: session {self.session:#x} has expired")
            self.trail.entries.append(Expired(self.session, now_us))
            self.forget_session()
            self.drop("the session has expired")
            return
        resumed = response.session_id == self.session
        if not resumed:
            self.xid = 0
        self.session = int(response.session_id)
        self.password = response.password
        self.negotiated_ms = int(response.timeout_ms)
        self.trail.entries.append(Connected(self.session, self.server, resumed, now_us))
        self.world.note(f"client {self.number} has session {self.session:#x} at {self.server}")
        self.is_ready = True
        if any(self.watching.values()):
            self.ask_for_watches()
        self.world.after(self.negotiated_ms * 1_000 // 3, self.keep_alive, self.life)

    def forget_session(self) -> None:
        self.session = 0
        self.password = bytes(16)
        self.last_zxid = 0  # a new session may begin at any server
        for paths in self.watching.values():
            paths.clear()

    def keep_alive(self, life: int) -> None:
        """A ping where nothing was sent, an end where nothing is heard."""
        if life != self.life or self.end is None or self.stopped:
            return
        third_us = self.negotiated_ms * 1_000 // 3
        if self.world.now_us - self.heard_us > 2 * third_us:
            self.drop("nothing heard")
            return
        self.transmit(codes.XID_PING, codes.OP_PING, b"")
        self.world.after(third_us, self.keep_alive, life)

    def on_reply(self, reader: Reader) -> None:
        header = read_reply_header(reader)
        xid, zxid = int(header.xid), int(header.zxid)
        self.last_zxid = max(self.last_zxid, zxid)
        now_us = self.world.now_us
        if xid == codes.XID_NOTIFICATION:
            event = read_watcher_event(reader)
            path = self.root + event.path
            self.used(int(event.type), path)
            self.trail.entries.append(Event(zxid, int(event.type), path, now_us))
            return
        if xid == codes.XID_PING:
            self.trail.entries.append(Pong(zxid, now_us))
            return
        assert self.outstanding, f"I15: a reply to xid {xid}, and nothing is asked"
        op = self.outstanding.popleft()
        assert op.xid == xid, f"I15: a reply to xid {xid}, due is that to {op.xid}"
        op.done_us, op.zxid, op.error = now_us, zxid, int(header.err)
        read_answer(op, reader)
        self.name_created(op)
        self.trail.entries.append(op)
        if op.watch:
            self.watch(op)
        if op.kind == "close" and op.error == 0:
            self.forget_session()

    def watch(self, op: Op) -> None:
        if op.kind == "children" and op.error == 0:
            self.watching["child"].add(op.path)
        elif op.kind in ("get", "exists") and op.error == 0:
            self.watching["data"].add(op.path)
        elif op.kind == "exists" and op.error == codes.NO_NODE:
            self.watching["exist"].add(op.path)

    def used(self, type: int, path: bytes) -> None:
        """An event takes its registrations away, in the lists as Apache's client keeps them."""
        if type != codes.EVENT_NODE_CHILDREN_CHANGED:
            self.watching["data"].discard(path)
            self.watching["exist"].discard(path)
        if type in (codes.EVENT_NODE_CHILDREN_CHANGED, codes.EVENT_NODE_DELETED):
            self.watching["child"].discard(path)

    # What goes

    def new_op(self, kind: str, path: bytes) -> Op:
        self.xid += 1
        return Op(kind, self.number, self.session, self.server, self.xid, path, self.world.now_us)

    def send(self, op: Op) -> None:
        out = BytesWriter()
        write_body(out, op)
        self.name_fully(op)
        self.history.ops.append(op)
        self.outstanding.append(op)
        self.transmit(op.xid, OPCODES[op.kind], out.getvalue())

    def name_fully(self, op: Op) -> None:
        """Paths are written down as the servers' log has them."""
        if op.path:
            op.path = self.root + op.path
        for part in op.parts:
            part.path = self.root + part.path

    def name_created(self, op: Op) -> None:
        for made in (op, *op.parts):
            if made.created:
                made.created = self.root + made.created

    def ask_for_watches(self) -> None:
        op = self.new_op("set_watches", b"")
        self.xid -= 1
        op.xid = codes.XID_SET_WATCHES
        op.relative_zxid = self.last_zxid
        op.lists = {name: sorted(paths) for name, paths in self.watching.items()}
        out = BytesWriter()
        lists = op.lists
        request = SetWatchesRequest(
            op.relative_zxid,
            *([path[len(self.root) :] for path in lists[name]] for name in WATCH_LISTS),
            [],
            [],
        )
        write_set_watches(out, request, codes.OP_SET_WATCHES)
        self.outstanding.append(op)
        self.transmit(op.xid, codes.OP_SET_WATCHES, out.getvalue())

    def transmit(self, xid: int, opcode: int, body: bytes) -> None:
        assert self.end is not None
        out = BytesWriter()
        start = begin_frame(out)
        write_request_header(out, xid, opcode)
        out.write(body)
        end_frame(out, start)
        self.sent_us = self.world.now_us
        self.end.send(out.getvalue())
