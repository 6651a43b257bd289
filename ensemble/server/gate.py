"""Where tenants meet the pipeline: every request passes here, and every watch event.

The rules are `ensemble.tenancy`'s; this file applies them to connections. Without a tenant a
request costs one question.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.server.bindings import TenantBindings
from ensemble.server.connection import Connection, Pending
from ensemble.server.contracts import Gate
from ensemble.server.pipeline import Pipeline
from ensemble.server.slow import SlowLog, first_path
from ensemble.server.wall import Wall
from ensemble.tenancy import budgeting
from ensemble.tenancy.accounting import Account, Meter
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.seat import Seat
from ensemble.tree.apply import Applied
from ensemble.wire import codes
from ensemble.wire.framing import LENGTH_BYTES
from ensemble.wire.jute import Reader
from ensemble.wire.requests import HEADER_BYTES
from ensemble.wire.txns import TxnHeader

OVERHEAD_BYTES: Final = HEADER_BYTES + LENGTH_BYTES  # of a request, beside its body


@final
class TenantGate(Gate):
    """The gate of one server; see `contracts.Gate`."""

    __slots__ = ("bindings", "directory", "meter", "noted", "pipeline", "slow", "slow_us", "wall")

    def __init__(self, pipeline: Pipeline, directory: Directory, slow: SlowLog) -> None:
        self.pipeline: Final = pipeline
        self.directory: Final = directory
        self.bindings: Final = TenantBindings(pipeline, directory)
        pipeline.bindings = self.bindings
        self.wall: Final = Wall(pipeline, directory)
        self.meter: Final = Meter()
        self.slow: Final = slow
        self.slow_us: Final[i64] = slow.threshold_us
        self.noted = False  # a slow request in this turn

    def enter(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> bool:
        size = reader.end - reader.at + OVERHEAD_BYTES
        # Refused or not; and a request from outside is its tenant's from here on.
        entered = self.wall.enter(conn, xid, op, reader)
        self.meter.on_request(self.account_of(conn.seat), op, size)
        return entered

    def account_of(self, seat: Seat) -> Account:
        """Whose figures a request of this seat counts among."""
        tenant = seat.tenant
        return self.meter.outside if tenant is None else tenant.account

    def event_frame(
        self, conn: Connection, event: int, path: bytes, zxid: i64, encoded: bytes
    ) -> bytes | None:
        shown = self.wall.event_frame(conn, event, path, zxid, encoded)
        if shown is not None:
            self.meter.on_event(self.account_of(conn.seat), len(shown))
        return shown

    def on_applied(self, header: TxnHeader, applied: Applied) -> None:
        self.pipeline.answers.namespaces.on_applied(applied)
        directory = self.directory
        if directory.on_applied(self.pipeline.tree, applied):
            self.apply_limits(list(directory.moved))
            self.bindings.on_documents()
        if directory.newly_bound:
            self.bindings.on_newly_bound()

    def on_sent(
        self, conn: Connection, pending: Pending | None, op: i64, error: i64, size: i64
    ) -> None:
        turn_us = self.pipeline.now_us
        if pending is None:
            arrived_us = conn.frames.arrived_us
            if arrived_us == 0:
                arrived_us = turn_us
            account = self.account_of(conn.seat)
        else:
            arrived_us = pending.arrived_us
            account = self.account_of(pending.seat)
        self.meter.on_reply(account, op, error, size, arrived_us, turn_us)
        if error == codes.QUOTA_EXCEEDED and pending is not None and pending.reader is not None:
            body = Reader(pending.reader.buf, pending.body_at, pending.reader.end)
            self.pipeline.answers.namespaces.exceeded.add(first_path(body, op), 1)
        if op != codes.OP_PING:
            conn.remember(op, error, self.pipeline.now_ms)
            if turn_us - arrived_us >= self.slow_us:
                self.slow.note(conn, pending, op, error, size, turn_us)
                self.noted = True

    def on_opened(self, conn: Connection) -> None:
        self.bindings.on_opened(conn)
        self.account_of(conn.seat).opened += 1

    def on_removed(self, conn: Connection) -> None:
        self.bindings.on_removed(conn)

    def on_serving(self) -> None:
        self.directory.load(self.pipeline.tree)
        budgets = self.pipeline.tree.budgets
        self.apply_limits([*self.directory.by_slug, *budgets.by_name])  # the tree is another one
        self.bindings.on_serving()

    def on_tick(self, wall_ms: i64) -> None:
        """Time has passed: what is valid until some instant may have ended."""
        self.bindings.on_tick(wall_ms)

    def end_turn(self, now_us: i64) -> None:
        turn_us = self.pipeline.now_us
        if self.noted or 0 < self.slow_us <= now_us - turn_us:
            self.noted = False
            self.slow.end_turn(turn_us, now_us, self.meter.units)
        self.meter.end_turn(turn_us, now_us)

    def apply_limits(self, slugs: list[str]) -> None:
        """The documents of these have changed: so are the size limits."""
        budgets = self.pipeline.tree.budgets
        tenants = self.directory.by_slug
        for slug in slugs:  # all of them first: two may have changed places
            known = tenants.get(slug)
            budget = budgets.by_name.get(slug)
            if known is None or (budget is not None and known.spec.root != budget.root):
                budgeting.drop_limits(budgets, slug)
        for slug in slugs:
            known = tenants.get(slug)
            if known is not None:
                budgeting.apply_limits(budgets, known.spec)
        self.directory.moved.clear()
