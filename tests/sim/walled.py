"""Runs in which the clients are two tenants' behind the wall, with trees of the same names.

A tenant's client asks for its own paths and hears its own paths; its trail keeps them with the
tenant's root in front, so that every checker judges what it saw against the log as it is. A path,
a child, a stat or an event of the other tenant would be one that nothing in the log explains. The
first client is an operator, who makes both trees and sees all of it.

The tenants' documents are on every disk before the run begins. In half of the seeds they limit
connections and watches over all servers: see `shared.py`.
"""

import json
import random
from dataclasses import dataclass

from ensemble.server.connection import Connection
from ensemble.server.gate import TenantGate
from ensemble.server.pipeline import Pipeline
from ensemble.server.slow import SlowLog
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.registry import TENANTS, document_path
from ensemble.tenancy.seat import Seat, Tenant
from ensemble.tenancy.spec import ADMIN, WRITER
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.wire import codes
from ensemble.wire.txns import CreateTxn, TxnHeader

COUNT = 2
OPERATOR = Seat(None, None, ADMIN, "keeper", True)
NEVER_US = 1 << 62


@dataclass(frozen=True)
class Room:
    """What each tenant may have over all servers; -1: as much as it likes."""

    connections: int = -1
    watches: int = -1


def rooms_of(seed: int, clients: int) -> list[Room]:
    """One for each tenant, so small that it is met, and never too small for its clients."""
    rng = random.Random(f"{seed}/rooms")
    if rng.random() < 0.5:
        return [Room()] * COUNT
    most = -(-clients // COUNT)
    return [
        Room(rng.choice((most, most + 1, 2 * most)), rng.choice((-1, 2, 5, 12)))
        for _ in range(COUNT)
    ]


def number_of(client: str) -> int:
    return int(client[1:]) if client[1:].isdigit() else 0


def root_of(number: int) -> bytes:
    """What stands in front of a client's paths."""
    return b"/t%d" % (number % COUNT) if number > 0 else b""


def register(tree: DataTree, rooms: list[Room]) -> None:
    """The tenants' documents into a tree of which no server has written anything yet."""
    documents = [(TENANTS, b"")]
    for number, room in enumerate(rooms):
        limits = {"connections": room.connections, "watches": room.watches}
        document = {
            "schema": 1,
            "slug": f"t{number}",
            "root": f"/t{number}",
            "mode": "enforce",
            "limits": {name: limit for name, limit in limits.items() if limit >= 0},
        }
        documents.append((document_path(f"t{number}"), json.dumps(document).encode()))
    for path, data in documents:
        zxid = tree.last_zxid + 1
        header = TxnHeader(0, 0, zxid, 0, codes.OP_CREATE)
        apply(tree, header, CreateTxn(path, data, [], False, -1, 0))


class Gatehouse:
    """One server's gate, and who its clients are: that is known by their names."""

    def __init__(self, pipeline: Pipeline, directory: Directory) -> None:
        self.pipeline = pipeline
        self.directory = directory
        directory.load(pipeline.tree)
        self.gate = TenantGate(pipeline, directory, SlowLog(NEVER_US, 0))
        pipeline.gate = self.gate

    def tenant_of(self, client: str) -> Tenant | None:
        number = number_of(client)
        return self.directory.by_slug[f"t{number % COUNT}"] if number > 0 else None

    def admit(self, conn: Connection, client: str) -> bool:
        """Seat a connection, as if it had proved its credential; False: there is no room."""
        tenant = self.tenant_of(client)
        if tenant is None:
            conn.seat = OPERATOR
        elif not self.pipeline.serving:
            return False  # nobody has proved a credential before a session is open
        elif not tenant.may_connect():
            return False
        else:
            seat = tenant.seat_of(f"app@{tenant.spec.slug}", WRITER)
            self.gate.bindings.move(conn, seat)
        return True
