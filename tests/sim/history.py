"""What the clients of one run saw: requests with their answers, events, connections, in order.

The checkers read this and the transactions that the servers logged; they know nothing else. Times
are microseconds of the world's clock, which no server and no client can read.
"""

from dataclasses import dataclass, field

UNKNOWN = -1  # no answer came: the request may have been carried out or not

WRITES = frozenset(["create", "delete", "set", "multi", "close", "reconfig"])
READS = frozenset(["get", "exists", "children"])
StatTuple = tuple[int, int, int, int, int, int, int, int, int, int, int]


@dataclass(slots=True)
class Part:
    """One operation of a multi, and what it gave."""

    kind: str  # create, delete, set, check
    path: bytes
    data: bytes | None = None
    version: int = -1
    error: int = 0
    created: bytes = b""
    stat: StatTuple | None = None


@dataclass(slots=True)
class Op:
    """One request. `done_us` UNKNOWN: its answer never came."""

    kind: str
    client: int
    session: int
    server: int
    xid: int
    path: bytes
    sent_us: int
    data: bytes | None = None
    version: int = -1
    ephemeral: bool = False
    sequential: bool = False
    watch: bool = False
    parts: list[Part] = field(default_factory=list)
    # Of set_watches: what was asked for, list by list, and from which zxid on
    relative_zxid: int = 0
    lists: dict[str, list[bytes]] = field(default_factory=dict)
    # The answer
    done_us: int = UNKNOWN
    zxid: int = 0
    error: int = 0
    created: bytes = b""
    stat: StatTuple | None = None
    value: bytes | None = None
    children: frozenset[bytes] | None = None

    @property
    def is_done(self) -> bool:
        return self.done_us != UNKNOWN

    def __str__(self) -> str:
        asked = f"{self.kind} {self.path.decode()}"
        if not self.is_done:
            return f"{asked} of client {self.client} at {self.sent_us} us, never answered"
        return (
            f"{asked} of client {self.client} session {self.session & (1 << 64) - 1:#x} "
            f"xid {self.xid} at server {self.server}, {self.sent_us}..{self.done_us} us, "
            f"zxid {self.zxid:#x}, error {self.error}"
        )


@dataclass(slots=True)
class Connected:
    """A ConnectResponse with a session: a new one, or the one that it had before."""

    session: int
    server: int
    resumed: bool
    at_us: int


@dataclass(slots=True)
class Lost:
    """The connection is gone; the session may live on."""

    at_us: int


@dataclass(slots=True)
class Expired:
    """The server says that the session is no more."""

    session: int
    at_us: int


@dataclass(slots=True)
class Event:
    """A watch event. `zxid` -1: caught up with by setWatches."""

    zxid: int
    type: int
    path: bytes
    at_us: int


@dataclass(slots=True)
class Pong:
    zxid: int
    at_us: int


Entry = Op | Connected | Lost | Expired | Event | Pong


@dataclass(slots=True)
class Trail:
    """Everything that reached one client, in the order in which it came."""

    client: int
    entries: list[Entry] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """All clients' trails, and every request that was sent, in the order of sending."""

    trails: list[Trail] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    def trail(self, client: int) -> Trail:
        while len(self.trails) <= client:
            self.trails.append(Trail(len(self.trails)))
        return self.trails[client]
