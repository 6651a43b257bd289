"""What each tenant costs: counts, errors, bytes and latencies by class of operation.

Latency is what this server adds: from the arrival of a request's last byte to the end of the turn
in which its reply was written, whatever it queued for meanwhile. The hot path is `Meter`; the
figures are cumulative, and readers take differences.
"""

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from ensemble.tenancy.histogram import Histogram
from ensemble.wire import codes

# Classes of operations
READ: Final = 0
WRITE: Final = 1
MULTI: Final = 2
WATCH: Final = 3  # setting and removing, not delivery
SYNC: Final = 4
SESSION: Final = 5  # closing; opening is counted by `Account.opened`
AUTH: Final = 6
PING: Final = 7
OTHER: Final = 8
CLASSES: Final = 9
CLASS_NAMES: Final = (
    "read",
    "write",
    "multi",
    "watch",
    "sync",
    "session",
    "auth",
    "ping",
    "other",
)

ERROR_CODES_MAX: Final = 32  # by class; codes beyond are counted as OTHER_CODE
OTHER_CODE: Final = 1

OP_LEAST: Final = -11
OP_MOST: Final = 107


def _classes() -> list[int]:
    table = [OTHER] * (OP_MOST - OP_LEAST + 1)
    for op in (
        codes.OP_GET_DATA,
        codes.OP_EXISTS,
        codes.OP_GET_CHILDREN,
        codes.OP_GET_CHILDREN2,
        codes.OP_GET_ACL,
        codes.OP_MULTI_READ,
        codes.OP_GET_EPHEMERALS,
        codes.OP_GET_ALL_CHILDREN_NUMBER,
        codes.OP_WHO_AM_I,
    ):
        table[op - OP_LEAST] = READ
    for op in (
        codes.OP_CREATE,
        codes.OP_CREATE2,
        codes.OP_CREATE_CONTAINER,
        codes.OP_CREATE_TTL,
        codes.OP_DELETE,
        codes.OP_SET_DATA,
        codes.OP_SET_ACL,
        codes.OP_RECONFIG,
    ):
        table[op - OP_LEAST] = WRITE
    for op in (
        codes.OP_SET_WATCHES,
        codes.OP_SET_WATCHES2,
        codes.OP_ADD_WATCH,
        codes.OP_CHECK_WATCHES,
        codes.OP_REMOVE_WATCHES,
    ):
        table[op - OP_LEAST] = WATCH
    table[codes.OP_MULTI - OP_LEAST] = MULTI
    table[codes.OP_SYNC - OP_LEAST] = SYNC
    table[codes.OP_CLOSE_SESSION - OP_LEAST] = SESSION
    table[codes.OP_AUTH - OP_LEAST] = AUTH
    table[codes.OP_SASL - OP_LEAST] = AUTH
    table[codes.OP_PING - OP_LEAST] = PING
    return table


CLASS_OF: Final = _classes()


def class_of(op: i64) -> i64:
    """The class of an opcode; of unknown ones OTHER."""
    if op < OP_LEAST or op > OP_MOST:
        return OTHER
    return i64(CLASS_OF[op - OP_LEAST])


@final
class Figures:
    """One class of operations of one account. `throttled` are among the errors, too."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "count",
        "errors",
        "errors_by_code",
        "latency",
        "now_count",
        "throttled",
    )

    def __init__(self) -> None:
        self.count: i64 = 0
        self.errors: i64 = 0
        self.throttled: i64 = 0
        self.bytes_in: i64 = 0
        self.bytes_out: i64 = 0
        self.errors_by_code: Final[dict[int, int]] = {}
        self.latency: Final = Histogram()
        self.now_count: i64 = 0  # replies of this turn to requests of this turn

    def on_error(self, error: i64) -> None:
        self.errors += 1
        if error == codes.THROTTLED_OP:
            self.throttled += 1
        known = self.errors_by_code.get(error)
        if known is None and len(self.errors_by_code) >= ERROR_CODES_MAX:
            error = OTHER_CODE
            known = self.errors_by_code.get(error)
        self.errors_by_code[error] = 1 if known is None else known + 1

    def merge(self, other: "Figures") -> None:
        self.count += other.count
        self.errors += other.errors
        self.throttled += other.throttled
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        for code, times in other.errors_by_code.items():
            self.errors_by_code[code] = self.errors_by_code.get(code, 0) + times
        self.latency.merge(other.latency)


@final
class Account:
    """One tenant's figures at this server.

    `busy_us`: the time of the server's thread, each turn's shared out by replies and events.
    `held`, `held_us`: requests that a rate made wait, and for how long.
    """

    __slots__ = (
        "busy_us",
        "by_class",
        "delivery",
        "event_bytes",
        "held",
        "held_us",
        "is_touched",
        "now_events",
        "now_units",
        "opened",
        "requests",
    )

    def __init__(self) -> None:
        self.by_class: Final[list[Figures | None]] = [None] * CLASSES
        self.requests: i64 = 0
        self.opened: i64 = 0  # connections that got a session here, new or not
        self.busy_us: i64 = 0
        self.held: i64 = 0
        self.held_us: i64 = 0
        self.delivery: Final = Histogram()  # from a commit to the end of its event's turn
        self.event_bytes: i64 = 0
        # Of the turn under way:
        self.is_touched = False
        self.now_units: i64 = 0
        self.now_events: i64 = 0

    def figures(self, kind: i64) -> Figures:
        found = self.by_class[kind]
        if found is None:
            found = Figures()
            self.by_class[kind] = found
        return found

    def on_held(self, us: i64) -> None:
        """A rate has made a request wait."""
        self.held += 1
        self.held_us += us

    def errors(self) -> int:
        return sum([int(f.errors) for f in self.by_class if f is not None])

    def throttled(self) -> int:
        return sum([int(f.throttled) for f in self.by_class if f is not None])

    def bytes_in(self) -> int:
        return sum([int(f.bytes_in) for f in self.by_class if f is not None])

    def bytes_out(self) -> int:
        """Replies and events."""
        replies = sum([int(f.bytes_out) for f in self.by_class if f is not None])
        return replies + int(self.event_bytes)

    def merge(self, other: "Account") -> None:
        """Add what another one holds; for sums over tenants."""
        self.requests += other.requests
        self.opened += other.opened
        self.busy_us += other.busy_us
        self.held += other.held
        self.held_us += other.held_us
        self.event_bytes += other.event_bytes
        self.delivery.merge(other.delivery)
        for kind in range(CLASSES):
            theirs = other.by_class[kind]
            if theirs is not None:
                self.figures(kind).merge(theirs)


@final
class Meter:
    """Counts while a turn runs; `end_turn` knows how long everything in it has taken.

    Most requests are answered in the turn that received them, all with one latency: these cost an
    increment. Those that came earlier are listed until the turn ends; a turn bounds the list.
    """

    __slots__ = (
        "last_account",
        "last_figures",
        "last_op",
        "late",
        "late_us",
        "outside",
        "touched",
        "units",
    )

    def __init__(self) -> None:
        self.outside: Final = Account()  # of requests that belong to no tenant
        self.touched: list[Account] = []
        self.late: list[Figures] = []
        self.late_us = vec[i64]()
        self.units: i64 = 0
        # Of the request before this one: mostly the next one is of the same kind.
        self.last_account = self.outside
        self.last_op: i64 = codes.OP_PING
        self.last_figures = self.outside.figures(PING)

    def figures_of(self, account: Account, op: i64) -> Figures:
        """The figures that a request of this account counts among."""
        if op != self.last_op or account is not self.last_account:
            self.last_figures = account.figures(class_of(op))
            self.last_op = op
            self.last_account = account
        return self.last_figures

    def on_request(self, account: Account, op: i64, size: i64) -> None:
        """A request of `size` bytes, its length's four included, is taken up."""
        self.figures_of(account, op).bytes_in += size

    def on_reply(
        self, account: Account, op: i64, error: i64, size: i64, arrived_us: i64, turn_us: i64
    ) -> None:
        """A reply of `size` bytes stands. `turn_us`: when this turn began."""
        figures = self.figures_of(account, op)
        figures.count += 1
        figures.bytes_out += size
        account.requests += 1
        if error != 0:
            figures.on_error(error)
        if not account.is_touched:
            account.is_touched = True
            self.touched.append(account)
        account.now_units += 1
        self.units += 1
        if arrived_us >= turn_us:
            figures.now_count += 1
        else:
            self.late.append(figures)
            self.late_us = append(self.late_us, arrived_us)

    def on_event(self, account: Account, size: i64) -> None:
        """A watch event of `size` bytes stands in a connection's buffer."""
        account.event_bytes += size
        account.now_events += 1
        if not account.is_touched:
            account.is_touched = True
            self.touched.append(account)
        account.now_units += 1
        self.units += 1

    def end_turn(self, turn_us: i64, now_us: i64) -> None:
        """The turn that began at `turn_us` is over, and what stood has been sent."""
        if self.units == 0:
            return
        spent_us = now_us - turn_us
        for account in self.touched:
            account.is_touched = False
            account.busy_us += spent_us * account.now_units // self.units
            account.now_units = 0
            if account.now_events > 0:
                account.delivery.add(spent_us, account.now_events)
                account.now_events = 0
            for figures in account.by_class:
                if figures is not None and figures.now_count > 0:
                    figures.latency.add(spent_us, figures.now_count)
                    figures.now_count = 0
        self.touched.clear()
        self.units = 0
        if self.late:
            for at in range(len(self.late)):
                self.late[at].latency.add(now_us - self.late_us[at], 1)
            self.late.clear()
            self.late_us = vec[i64]()
