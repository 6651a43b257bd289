"""A server in memory for tests of the wall: the real pipeline, gate and authority, no sockets.

What is written is committed when a test says so. `Guest` is a client: it gives requests as bytes
and gets replies and events as bytes.
"""

from librt.strings import BytesWriter

from ensemble.server.answers import Answers
from ensemble.server.auth.door import Door
from ensemble.server.auth.passwords import ApachePasswords
from ensemble.server.config import AuthOptions
from ensemble.server.connection import CLOSED, DRAINING, OPEN, Connection
from ensemble.server.contracts import SessionRules
from ensemble.server.gate import TenantGate
from ensemble.server.log_batch import LogBatch
from ensemble.server.log_port import LogPort
from ensemble.server.pipeline import Pipeline
from ensemble.server.slow import SlowLog
from ensemble.server.standalone import StandaloneAuthority
from ensemble.server.stats import ConnectionStats, ServerStats
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.seat import Seat, Tenant
from ensemble.tenancy.spec import ACTIVE, ADMIN, ENFORCE, WRITER, Limits, TenantSpec
from ensemble.tree.acl import AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import PrepareOptions, Preparer
from ensemble.tree.sessions import SessionTracker
from ensemble.tree.watches import WatchTable
from ensemble.wire import codes
from ensemble.wire.jute import Reader, reader_of
from ensemble.wire.records import Id
from ensemble.wire.requests import (
    ConnectRequest,
    write_connect_request,
)
from tests.tenancy.bodies import create_body, number, path_body

SUPER = Id("super", "")
FIRST_SESSION = 0x100000000000000
FRAME_MAX = 1 << 20
WALL_MS = 1_700_000_000_000


class Memory(LogPort):
    """A log that keeps nothing: what it is given counts as synced."""

    def __init__(self) -> None:
        super().__init__()
        self.last_zxid = 0

    def submit(self, batch: LogBatch) -> None:
        self.last_zxid = batch.last_zxid

    def take_synced(self) -> int:
        return self.last_zxid


class Reply:
    """A reply or an event, decoded as far as its header."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        reader = reader_of(raw)
        self.xid = int(reader.read_int())
        self.zxid = int(reader.read_long())
        self.error = int(reader.read_int())
        self.body = reader.rest()

    def reader(self) -> Reader:
        return reader_of(self.body)


class Guest:
    """One client, on a connection of its own."""

    def __init__(self, hall: "Hall", conn: Connection) -> None:
        self.hall = hall
        self.conn = conn
        self.xid = 0
        self.unread = b""
        self.events: list[tuple[int, bytes]] = []
        self.heard: list[Reply | tuple[int, bytes]] = []  # both kinds, as they came

    def send(self, op: int, body: bytes = b"", xid: int | None = None) -> int:
        if xid is None:
            self.xid += 1
            xid = self.xid
        raw = number(xid) + number(op) + body
        self.hall.pipeline.on_frame(self.conn, raw, 0, len(raw))
        return xid

    def replies(self) -> list[Reply]:
        """Everything that has come since; events go to `events`."""
        self.unread += self.conn.out.getvalue()
        self.conn.out.truncate(0)
        found: list[Reply] = []
        while self.unread:
            size = int.from_bytes(self.unread[:4])
            reply = Reply(self.unread[4 : 4 + size])
            self.unread = self.unread[4 + size :]
            if reply.xid == codes.XID_NOTIFICATION:
                reader = reply.reader()
                kind = int(reader.read_int())
                reader.read_int()
                self.events.append((kind, reader.read_path()))
                self.heard.append(self.events[-1])
            else:
                found.append(reply)
                self.heard.append(reply)
        return found

    def ask(self, op: int, body: bytes = b"") -> Reply:
        """One request, and what comes of it."""
        self.send(op, body)
        self.hall.commit()
        replies = self.replies()
        assert len(replies) == 1, f"{codes.name_of_op(op)}: {len(replies)} replies"
        return replies[0]

    def error(self, op: int, body: bytes = b"") -> int:
        return self.ask(op, body).error

    def take_events(self) -> list[tuple[int, bytes]]:
        self.replies()
        events, self.events = self.events, []
        return events

    def is_open(self) -> bool:
        return self.conn.state not in (DRAINING, CLOSED)

    def create(self, path: bytes, data: bytes = b"", flags: int = 0) -> int:
        return self.error(codes.OP_CREATE, create_body(path, data, flags))

    def children(self, path: bytes) -> list[bytes]:
        reply = self.ask(codes.OP_GET_CHILDREN, path_body(path, b"\0"))
        assert reply.error == 0, reply.error
        return sorted(reply.reader().read_paths())


class Hall:
    """The server. `walled`: with a gate; without one it serves one tree to everybody."""

    def __init__(self, walled: bool = True, extended_types: bool = True) -> None:
        self.directory = Directory()
        stats = ServerStats()
        door = Door(AuthOptions(), ApachePasswords(), stats, False, self.directory)
        self.schemes = AclSchemes(door.schemes, False)
        self.tree = DataTree(extended_types)
        options = PrepareOptions(
            extended_types=extended_types, enforce_quota=True, reconfig_enabled=True
        )
        self.preparer = Preparer(self.tree, self.schemes, options)
        self.authority = StandaloneAuthority(self.tree, self.preparer, Memory())
        self.authority.wall_ms = WALL_MS
        watches = WatchTable()
        self.pipeline = Pipeline(
            self.tree,
            self.schemes,
            SessionTracker(1_000),
            watches,
            Answers(self.tree, self.schemes, watches, 1_000),
            self.authority,
            door,
            False,
            SessionRules(FIRST_SESSION, 4_000, 40_000),
            stats,
        )
        self.authority.pipeline = self.pipeline
        self.gate: TenantGate | None = None
        if walled:
            self.gate = TenantGate(self.pipeline, self.directory, SlowLog(0, 0))
            self.pipeline.gate = self.gate
        self.next_id = 1
        self.guests: list[Guest] = []
        self.keeper = self.connect()
        self.keeper.conn.ids = [*self.keeper.conn.ids, SUPER]

    def connect(self, seat: Seat | None = None) -> Guest:
        """A client with a session; in the seat of a tenant or operator, if one is given."""
        conn = Connection(
            self.next_id, "127.0.0.1", 5_000, False, [], FRAME_MAX, ConnectionStats(0), 0
        )
        conn.ids = [Id("ip", "127.0.0.1")]
        self.next_id += 1
        self.pipeline.add(conn)
        out = BytesWriter()
        write_connect_request(out, ConnectRequest(0, 0, 10_000, 0, bytes(16), False))
        raw = out.getvalue()
        self.pipeline.on_frame(conn, raw, 0, len(raw))
        self.commit()
        assert conn.state == OPEN
        conn.out.truncate(0)
        guest = Guest(self, conn)
        self.guests.append(guest)
        if seat is not None:
            self.seat(guest, seat)
        return guest

    def commit(self) -> None:
        """Log and apply everything that was asked for, and what comes of it."""
        while not self.authority.is_idle():
            self.authority.end_turn()
            self.authority.on_log_synced()

    def seat(self, guest: Guest, seat: Seat) -> None:
        """What proving a credential does to a connection (`server.bindings`)."""
        conn = guest.conn
        conn.seat = seat
        if seat.is_operator:
            conn.ids = [*conn.ids, Id("operator", seat.principal)]
        elif seat.principal:
            conn.ids = [*conn.ids, Id("tenant", seat.principal)]
        if seat.role == ADMIN:
            conn.ids = [*conn.ids, SUPER]

    def tenant(
        self, slug: str, root: bytes = b"", mode: int = ENFORCE, state: int = ACTIVE
    ) -> Tenant:
        """A tenant with its root and its place for quotas; known by a document, not by the tree."""
        root = root or b"/tenants/" + slug.encode()
        tenant = self.directory.put(spec(slug, root, mode, state))
        self.make(root)
        self.make(tenant.view.quota)
        return tenant

    def make(self, path: bytes) -> None:
        """A znode and what is above it, by the keeper."""
        at = path.find(b"/", 1)
        while at > 0:
            self.keeper.create(path[:at])
            at = path.find(b"/", at + 1)
        self.keeper.create(path)
        assert path in self.tree.nodes

    def member(self, tenant: Tenant, role: int = WRITER, name: str = "app") -> Guest:
        return self.connect(tenant.seat_of(f"{name}{role}@{tenant.spec.slug}", role))

    def operator(self, role: int = ADMIN) -> Guest:
        return self.connect(Seat(None, None, role, "alice", True))


def spec(slug: str, root: bytes, mode: int = ENFORCE, state: int = ACTIVE) -> TenantSpec:
    return TenantSpec(slug, root, state, mode, 100, Limits(), [], {}, False, 0)
