"""What the wall refuses is told to the audit, with the paths that were asked for."""

import pytest

from ensemble.server.audit_paths import failed_parts, read_parts
from ensemble.server.audit_records import ASKED, read_message
from ensemble.server.audit_tap import AuditTap
from ensemble.server.operations import is_write
from ensemble.tenancy import access
from ensemble.tenancy.spec import ACTIVE, ENFORCE, READER
from ensemble.wire import codes
from ensemble.wire.jute import reader_of
from tests.tenancy.test_wall import BODIES, END, built, part

WITHOUT_PATHS = (
    codes.OP_WHO_AM_I,
    codes.OP_RECONFIG,
    codes.OP_SET_WATCHES,
    codes.OP_SET_WATCHES2,
)
Told = list[tuple[int, int, list[tuple[int, bytes]]]]


def refusals(tap: AuditTap) -> Told:
    """Operation, error and paths of what was refused since."""
    tap.end_turn(1)
    found: Told = []
    while tap.messages:
        for record in read_message(tap.messages[0]):
            if record.flags & ASKED:
                parts = [(int(part.op), part.path) for part in record.parts]
                found.append((int(record.op), int(record.error), parts))
        tap.take_message()
    return found


@pytest.mark.parametrize("op", [op for op in BODIES if op != codes.OP_MULTI_READ])
def test_every_refusal_is_told_once_with_what_was_asked(op: int) -> None:
    """A multiRead is not refused: each of its parts has an answer of its own."""
    hall, a = built(ENFORCE, ACTIVE)
    outsider, reader = hall.connect(), hall.connect(a.seat_of("r@a", READER))
    tap = hall.pipeline.audit = AuditTap()
    tap.authority = hall.authority
    body = BODIES[op](b"/tenants/a/x")
    if op == codes.OP_MULTI:  # a check is no change, and has no path in the journal
        body = part(codes.OP_DELETE, BODIES[codes.OP_DELETE](b"/tenants/a/x")) + END
    parts = (failed_parts if is_write(op) else read_parts)(op, reader_of(body))
    told = [(op, codes.NO_AUTH, [(int(each), path) for each, path in parts])]
    assert parts or op in WITHOUT_PATHS
    if op not in (codes.OP_WHO_AM_I, codes.OP_GET_EPHEMERALS, codes.OP_RECONFIG):
        outsider.ask(op, body)
        assert refusals(tap) == told
    refusals(tap)
    reader.ask(op, body)
    assert refusals(tap) == (told if access.need_of(op) != access.READ else [])
