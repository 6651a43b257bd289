"""What the wall refuses is told to the audit, with the paths that were asked for."""

import pytest

from ensemble.server.connection import Connection, Pending
from ensemble.server.contracts import Audit
from ensemble.tenancy import access
from ensemble.tenancy.seat import Seat
from ensemble.tenancy.spec import ACTIVE, ENFORCE, READER
from ensemble.tree.apply import Applied
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id
from ensemble.wire.txns import TxnHeader
from tests.tenancy.test_wall import BODIES, built


class Notes(Audit):
    """Remembers what was refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[int, int, bytes]] = []

    def on_refused(self, conn: Connection, op: int, error: int, body: Reader | None) -> None:
        assert body is not None
        self.refused.append((int(op), int(error), body.rest()))

    def on_committed(
        self, conn: Connection, pending: Pending, header: TxnHeader, error: int, applied: Applied
    ) -> None:
        pass

    def on_read(
        self, conn: Connection, op: int, error: int, body: Reader, seat: Seat, ids: list[Id]
    ) -> None:
        pass


@pytest.mark.parametrize("op", [op for op in BODIES if op != codes.OP_MULTI_READ])
def test_every_refusal_is_told_once_with_what_was_asked(op: int) -> None:
    """A multiRead is not refused: each of its parts has an answer of its own."""
    hall, a = built(ENFORCE, ACTIVE)
    outsider, reader = hall.connect(), hall.connect(a.seat_of("r@a", READER))
    notes = hall.pipeline.audit = Notes()
    body = BODIES[op](b"/tenants/a/x")
    told = [(op, codes.NO_AUTH, body)]
    if op not in (codes.OP_WHO_AM_I, codes.OP_GET_EPHEMERALS, codes.OP_RECONFIG):
        outsider.ask(op, body)
        assert notes.refused == told
    notes.refused.clear()
    reader.ask(op, body)
    assert notes.refused == (told if access.need_of(op) != access.READ else [])
