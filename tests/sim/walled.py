"""Runs in which the clients are two tenants' behind the wall, with trees of the same names.

A tenant's client asks for its own paths and hears its own paths; its trail keeps them with the
tenant's root in front, so that every checker judges what it saw against the log as it is. A path,
a child, a stat or an event of the other tenant would be one that nothing in the log explains. The
first client is an operator, who makes both trees and sees all of it.
"""

from ensemble.server.connection import Connection, Pending
from ensemble.server.contracts import Gate
from ensemble.server.pipeline import Pipeline
from ensemble.server.wall import Wall
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.seat import Seat
from ensemble.tenancy.spec import ACTIVE, ADMIN, ENFORCE, WRITER, Limits, TenantSpec
from ensemble.tree.apply import Applied
from ensemble.wire.jute import Reader
from ensemble.wire.txns import TxnHeader

TENANTS = 2
OPERATOR = Seat(None, None, ADMIN, "keeper", True)


def number_of(client: str) -> int:
    return int(client[1:]) if client[1:].isdigit() else 0


def root_of(number: int) -> bytes:
    """What stands in front of a client's paths."""
    return b"/t%d" % (number % TENANTS) if number > 0 else b""


class Seats:
    """Who the clients are: that is known by their names."""

    def __init__(self) -> None:
        self.directory = Directory()
        for number in range(TENANTS):
            root = root_of(number or TENANTS)
            self.directory.put(
                TenantSpec(f"t{number}", root, ACTIVE, ENFORCE, 100, Limits(), [], {}, False, 0)
            )

    def seat_of(self, client: str) -> Seat:
        number = number_of(client)
        if number == 0:
            return OPERATOR
        tenant = self.directory.by_slug[f"t{number % TENANTS}"]
        return tenant.seat_of(f"app@{tenant.spec.slug}", WRITER)


def wall_off(pipeline: Pipeline) -> Seats:
    """Give a server the wall, and nothing else of a gate. Not where its modules are compiled."""
    seats = Seats()

    # In here, since a compiled trait has no interpreted subclasses: importing must not fail.
    class WallGate(Gate):
        def __init__(self) -> None:
            self.wall = Wall(pipeline, seats.directory)

        def enter(self, conn: Connection, xid: int, op: int, reader: Reader) -> bool:
            return self.wall.enter(conn, xid, op, reader)

        def event_frame(
            self, conn: Connection, event: int, path: bytes, zxid: int, encoded: bytes
        ) -> bytes | None:
            return self.wall.event_frame(conn, event, path, zxid, encoded)

        def on_applied(self, header: TxnHeader, applied: Applied) -> None:
            pass

        def on_sent(
            self, conn: Connection, pending: Pending | None, op: int, error: int, size: int
        ) -> None:
            pass

        def on_opened(self, conn: Connection) -> None:
            pass

        def on_removed(self, conn: Connection) -> None:
            pass

        def on_serving(self) -> None:
            pass

        def end_turn(self, now_us: int) -> None:
            pass

    pipeline.gate = WallGate()
    return seats
