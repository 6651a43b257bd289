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
from ensemble.tenancy import budgeting
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.spec import TenantSpec
from ensemble.tree.apply import Applied
from ensemble.wire.jute import Reader
from ensemble.wire.txns import TxnHeader


@final
class TenantGate(Gate):
    """The gate of one server; see `contracts.Gate`."""

    __slots__ = ("bindings", "directory", "pipeline")

    def __init__(self, pipeline: Pipeline, directory: Directory) -> None:
        self.pipeline: Final = pipeline
        self.directory: Final = directory
        self.bindings: Final = TenantBindings(pipeline, directory)
        pipeline.bindings = self.bindings

    def enter(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> bool:
        return True

    def event_frame(
        self, conn: Connection, event: int, path: bytes, zxid: i64, encoded: bytes
    ) -> bytes | None:
        return encoded

    def on_applied(self, header: TxnHeader, applied: Applied) -> None:
        directory = self.directory
        if directory.on_applied(self.pipeline.tree, applied):
            self.bindings.on_documents()
        if directory.newly_bound:
            self.bindings.on_newly_bound()

    def on_sent(
        self, conn: Connection, pending: Pending | None, op: i64, error: i64, size: i64
    ) -> None:
        pass

    def on_opened(self, conn: Connection) -> None:
        self.bindings.on_opened(conn)

    def on_removed(self, conn: Connection) -> None:
        self.bindings.on_removed(conn)

    def on_serving(self) -> None:
        self.directory.load(self.pipeline.tree)
        self.bindings.on_serving()

    def on_tick(self, wall_ms: i64) -> None:
        """Time has passed: what is valid until some instant may have ended."""
        self.bindings.on_tick(wall_ms)

    def end_turn(self, now_us: i64) -> None:
        pass

    def apply_limits(self, spec: TenantSpec) -> None:
        """A document is in force, or in force again over another tree: so are its size limits."""
        budgeting.apply_limits(self.pipeline.tree.budgets, spec)

    def drop_limits(self, slug: str) -> None:
        """A tenant is gone."""
        budgeting.drop_limits(self.pipeline.tree.budgets, slug)
