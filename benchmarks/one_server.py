"""A whole server in this process, driven turn by turn over real sockets: see `benchmarks.turns`.

Every batch is the same: so many requests on so many connections, all there before the turn begins.
So two states of the code do exactly the same work, and what the server's thread used for it can be
compared, in seconds or, under valgrind, in instructions. Runs with other checkouts, too: it uses
nothing of this one but itself.

Reads lines `<operation> <batches>`, answers each with the nanoseconds that a request took.
"""

import argparse
import asyncio
import contextlib
import json
import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Final

from ensemble.server.config import load_config
from ensemble.server.node import Node
from ensemble.wire.records import Id

if TYPE_CHECKING:
    from ensemble.tenancy.seat import Tenant

CONNECTIONS: Final = 60
REQUESTS: Final = 16  # on each, in one batch: together below globalOutstandingLimit
KEYS: Final = 1_000
PAYLOAD: Final = b"x" * 100
SLUG: Final = "bench"
FAR_AWAY: Final = 1_000_000_000  # limits that are looked at, and do not hold anything up
OPERATIONS: Final = ("get", "set", "create", "multi")
MULTI_PARTS: Final = 10
ANYONE: Final = struct.pack(">ii", 1, 31) + b"\0\0\0\5world" + b"\0\0\0\6anyone"
WAIT_S: Final = 10.0
ALONE_S: Final = 1.2


def text(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def request(xid: int, op: int, body: bytes) -> bytes:
    return struct.pack(">iii", len(body) + 8, xid, op) + body


def create(path: bytes) -> bytes:
    return text(path) + text(PAYLOAD) + ANYONE + struct.pack(">i", 0)


def change(path: bytes) -> bytes:
    return text(path) + text(PAYLOAD) + struct.pack(">i", -1)


def multi(paths: list[bytes]) -> bytes:
    parts = b"".join(struct.pack(">i?i", 5, False, -1) + change(path) for path in paths)
    return parts + struct.pack(">i?i", -1, True, -1)


class OneServer:
    """The server and its clients."""

    def __init__(self, folder: str, tenants: int, limited: bool) -> None:
        config = f"{folder}/zoo.cfg"
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"dataDir={folder}/data\nclientPort=0\nadmin.enableServer=false\n")
            file.write("maxClientCnxns=0\nforceSync=no\nsnapCount=1000000000\n")
            file.write("snapshot.sizeLimitInKb=-1\n")
        self.node: Final = Node(load_config([config], {}))
        self.tenants: Final = tenants
        self.limited: Final = limited
        self.clients: list[socket.socket] = []
        self.ready: dict[str, list[bytes]] = {}  # what each client sends in a batch
        self.sizes: dict[str, list[int]] = {}  # how many bytes of replies it gets

    def start(self) -> None:
        node = self.node
        node.loop = asyncio.get_running_loop()
        node.recover()
        node.port.poll.watch(node.log_writer.notify_fd, node.on_log_synced)
        node.begin_sessions()
        node.serving = True
        number = node.port.listen("127.0.0.1", 0, None)
        for _ in range(CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", number))
            client.sendall(text(struct.pack(">iqiqi", 0, 0, 30_000, 0, 16) + bytes(16)))
            self.clients.append(client)
            self.turns_until(client)
        root = f"/tenants/{SLUG}".encode()
        for path in (b"/tenants", root):  # there in every case, so that paths are as long
            self.ask(1, create(path))
        prefix = root
        if self.tenants:
            self.enter_tenants(root)
            prefix = b""
        self.paths: Final = [b"%s/k%d" % (prefix, at) for at in range(KEYS)]
        self.prefix: Final = prefix
        for path in self.paths:
            self.ask(1, create(path))
        time.sleep(ALONE_S)  # the last requests of anybody but the tenant are forgotten

    def enter_tenants(self, root: bytes) -> None:
        """Tenants are in force, and every connection is of the first one."""
        from ensemble.tenancy import budgeting, spec

        node = self.node
        for number in range(self.tenants):
            slug = SLUG if number == 0 else f"other-{number}"
            limits = spec.Limits(*[FAR_AWAY] * 10) if self.limited else spec.Limits()
            document = spec.TenantSpec(
                slug,
                root if number == 0 else f"/tenants/{slug}".encode(),
                spec.ACTIVE,
                spec.ENFORCE,
                100,
                limits,
                [],
                {},
                False,
                0,
            )
            node.directory.put(document)
            budgeting.apply_limits(node.tree.budgets, document)
        tenant: Tenant = node.directory.by_slug[SLUG]
        for conn in node.pipeline.connections.values():
            conn.ids = [*conn.ids, Id("tenant", f"load@{SLUG}")]
            node.gate.bindings.move(conn, tenant.seat_of(f"load@{SLUG}", spec.WRITER))

    def turns_until(self, client: socket.socket) -> bytes:
        """Take turns until something can be received."""
        client.setblocking(False)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            self.node.set_clocks()
            self.node.port.on_ready()
            with contextlib.suppress(BlockingIOError):
                return client.recv(1 << 20)
            self.wait(0.01)
        raise RuntimeError("no answer")

    def wait(self, seconds: float) -> None:
        """Until there is something to do. Asking the port's epoll itself would take it away."""
        select.select([self.node.port.epoll], [], [], seconds)

    def ask(self, op: int, body: bytes) -> None:
        """One request, which has to succeed."""
        self.clients[0].sendall(request(1, op, body))
        reply = self.turns_until(self.clients[0])
        if struct.unpack_from(">i", reply, 16)[0]:
            raise RuntimeError(f"operation {op} was refused: {reply!r}")

    def body(self, operation: str, at: int) -> tuple[int, bytes]:
        """Opcode and body of a batch's request at this place."""
        if operation == "get":
            return 4, text(self.paths[at % KEYS]) + b"\0"
        if operation == "set":
            return 5, change(self.paths[at % KEYS])
        if operation == "multi":
            at *= MULTI_PARTS
            return 14, multi([self.paths[(at + i) % KEYS] for i in range(MULTI_PARTS)])
        name = b"%s/c%d" % (self.prefix, at // 2)
        return (2, text(name) + struct.pack(">i", -1)) if at % 2 else (1, create(name))

    def frames(self, operation: str, number: int) -> bytes:
        """A batch's requests of one client."""
        begin = number * REQUESTS
        bodies = [self.body(operation, begin + at) for at in range(REQUESTS)]
        return b"".join(request(at, *bodies[at]) for at in range(REQUESTS))

    def batch(self, operation: str) -> int:
        """One batch; the nanoseconds of this thread in turns."""
        node = self.node
        port = node.port
        ready = self.ready.get(operation)
        if ready is None:
            ready = [self.frames(operation, number) for number in range(CONNECTIONS)]
            self.ready[operation] = ready
        for client, frames in zip(self.clients, ready, strict=True):
            client.sendall(frames)
        due = node.stats.sent + CONNECTIONS * REQUESTS
        spent = 0
        deadline = time.monotonic() + WAIT_S
        more = True
        while more or node.stats.sent < due:
            began = time.thread_time_ns()
            node.set_clocks()
            more = port.on_ready()
            spent += time.thread_time_ns() - began
            if not more and node.stats.sent < due:
                self.wait(WAIT_S)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{due - node.stats.sent} requests were not answered")
        sizes = self.sizes.get(operation)
        if sizes is None:
            self.sizes[operation] = [self.check_replies(client) for client in self.clients]
        else:
            for client, size in zip(self.clients, sizes, strict=True):
                client.setblocking(True)
                if len(client.recv(size + 1, socket.MSG_WAITALL | socket.MSG_DONTWAIT)) != size:
                    raise RuntimeError("replies of another size than before")
        return spent

    def check_replies(self, client: socket.socket) -> int:
        """A batch's replies of one client: all there, no error among them; their size."""
        client.setblocking(True)
        data = b""
        at = 0
        for _ in range(REQUESTS):
            while len(data) < at + 4 or len(data) < at + 4 + struct.unpack_from(">i", data, at)[0]:
                data += client.recv(1 << 20)
            if error := struct.unpack_from(">i", data, at + 16)[0]:
                raise RuntimeError(f"a request failed: {error}")
            at += 4 + struct.unpack_from(">i", data, at)[0]
        if len(data) > at:
            raise RuntimeError(f"{len(data) - at} bytes more than replies")
        return at

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.node.port.close()
        self.node.log_writer.stop()


def slow_down_clock(factor: int) -> None:
    """Turns end by the clock: where everything takes so much longer they shall do as much."""
    real = time.monotonic_ns
    began = real()
    time.monotonic_ns = lambda: began + (real() - began) // factor


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--tenants", type=int, default=0)
    parser.add_argument("--limited", action="store_true", help="with every limit, far away")
    parser.add_argument("--slow-clock", type=int, default=1, help="divides time: for valgrind")
    options = parser.parse_args()
    server = OneServer(options.folder, options.tenants, options.limited)
    server.start()
    if options.slow_clock > 1:
        slow_down_clock(options.slow_clock)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        operation, batches = line.split()
        spent = sum(server.batch(operation) for _ in range(int(batches)))
        requests = int(batches) * CONNECTIONS * REQUESTS
        print(json.dumps({"ns": spent / requests}), flush=True)
    server.stop()


if __name__ == "__main__":
    asyncio.run(main())
