"""What the clients do: a mix of requests drawn afresh for each seed, on few znodes.

Families of znodes, so that each checker finds what it can judge: `/k/…` single registers (checker
B), `/e/…` ephemerals, `/s/…` sequences, `/m/…` pairs that only multis write.
"""

from collections.abc import Callable

from tests.sim.client import Client
from tests.sim.history import Op, Part

TOPS = (b"/k", b"/e", b"/s", b"/m")
REGISTERS = 3
PAIRS = 2


class Workload:
    """Drives clients until `stop`; each has its own pace and its own window."""

    def __init__(self, clients: list[Client], think_us: int, ops_max: int) -> None:
        self.clients = clients
        self.world = clients[0].world
        self.think_us = think_us
        self.ops_left = ops_max
        # What is there for all: in each tenant's tree, too, where clients have one.
        roots = sorted({client.root for client in clients})
        self.tops = [*(root for root in roots if root), *(r + top for r in roots for top in TOPS)]
        self.stopped = False
        rng = self.world.random("workload")
        kinds: dict[Callable[[Client], None], int] = {
            self.register_write: rng.randint(4, 10),
            self.register_read: rng.randint(2, 6),
            self.synced_read: rng.randint(1, 4),
            self.ephemeral: rng.randint(1, 4),
            self.sequence: rng.randint(0, 3),
            self.pair: rng.randint(1, 4),
            self.look: rng.randint(1, 4),
            self.close: rng.choice((0, 0, 1)),
            self.wander: rng.choice((0, 1, 2)),
        }
        self.kinds = list(kinds)
        self.weights = list(kinds.values())
        self.windows = {client.number: rng.choice((1, 2, 4, 8)) for client in clients}
        self.values = 0

    def start(self) -> None:
        for client in self.clients:
            client.connect()
            self.world.after(client.rng.randrange(20_000), self.turn, client)

    def stop(self) -> None:
        """No new requests; connections and sessions stay."""
        self.stopped = True

    def turn(self, client: Client) -> None:
        if self.stopped or self.ops_left <= 0:
            return
        if client.is_ready and len(client.outstanding) < self.windows[client.number]:
            if client.xid < len(self.tops) and client.number == 0:
                self.create(client, self.tops[client.xid])
            else:
                client.rng.choices(self.kinds, self.weights)[0](client)
        pause = int(client.rng.expovariate(1 / self.think_us)) + 1
        self.world.after(pause, self.turn, client)

    def send(self, client: Client, op: Op) -> None:
        self.ops_left -= 1
        client.send(op)

    def value(self, client: Client) -> bytes:
        self.values += 1
        return b"%d of %d" % (self.values, client.number)

    def create(self, client: Client, path: bytes) -> None:
        op = client.new_op("create", path)
        op.data = self.value(client)
        self.send(client, op)

    # Kinds

    def register_write(self, client: Client) -> None:
        rng = client.rng
        path = b"/k/%d" % rng.randrange(REGISTERS)
        kind = rng.choices(("create", "set", "delete"), (3, 6, 1))[0]
        op = client.new_op(kind, path)
        if kind != "delete":
            op.data = self.value(client)
        if kind != "create":
            op.version = rng.choice((-1, -1, -1, 0, rng.randrange(6)))
        self.send(client, op)

    def register_read(self, client: Client) -> None:
        op = client.new_op("get", b"/k/%d" % client.rng.randrange(REGISTERS))
        op.watch = client.rng.random() < 0.4
        self.send(client, op)

    def synced_read(self, client: Client) -> None:
        if client.outstanding:
            return
        self.send(client, client.new_op("sync", b"/"))
        self.send(client, client.new_op("get", b"/k/%d" % client.rng.randrange(REGISTERS)))

    def ephemeral(self, client: Client) -> None:
        rng = client.rng
        kind = rng.choice(("create", "create", "create", "delete"))
        op = client.new_op(kind, b"/e/%d" % rng.randrange(4))
        op.ephemeral = kind == "create"
        self.send(client, op)

    def sequence(self, client: Client) -> None:
        op = client.new_op("create", b"/s/n")
        op.sequential = True
        op.ephemeral = client.rng.random() < 0.5
        op.data = self.value(client)
        self.send(client, op)

    def pair(self, client: Client) -> None:
        """Both of a pair are written, on a condition now and then, or neither."""
        rng = client.rng
        number = rng.randrange(PAIRS)
        first, second = b"/m/a%d" % number, b"/m/b%d" % number
        op = client.new_op("multi", b"")
        data = self.value(client)
        if rng.random() < 0.3:
            op.parts = [Part("create", first, data), Part("create", second, data)]
        elif rng.random() < 0.15:
            op.parts = [Part("delete", first), Part("delete", second)]
        else:
            version = rng.choice((-1, -1, rng.randrange(6)))
            op.parts = [Part("set", first, data, version), Part("set", second, data)]
        self.send(client, op)

    def look(self, client: Client) -> None:
        rng = client.rng
        kind = rng.choice(("exists", "children", "get"))
        paths = [b"/e", b"/s", b"/m"] if kind == "children" else [b"/e/%d" % rng.randrange(4)]
        if kind != "children":
            paths.append(b"/%s%d" % (rng.choice((b"m/a", b"m/b")), rng.randrange(PAIRS)))
        op = client.new_op(kind, rng.choice(paths))
        op.watch = rng.random() < 0.5
        self.send(client, op)

    def wander(self, client: Client) -> None:
        """To another server at once, which may be behind, or not know the session yet."""
        if client.rng.random() < 0.3:
            client.drop("moves on", client.rng.randrange(1, 2_000))

    def close(self, client: Client) -> None:
        if client.rng.random() < 0.3:
            self.send(client, client.new_op("close", b""))
