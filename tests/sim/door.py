"""The client port of a simulated server: connections of the world's network, no sockets.

It does with the pipeline what `server/client_port.py` does, in the same order: frames as far as
back-pressure lets them, one write for each connection at the end of a turn.
"""

from collections.abc import Callable

from ensemble.errors import ProtocolError
from ensemble.server.connection import CLOSED, DRAINING, Connection
from ensemble.server.pipeline import Pipeline
from ensemble.server.stats import ConnectionStats
from ensemble.wire.records import Id
from tests.sim.machine import Machine
from tests.sim.network import End

FRAMES_PER_TURN_MAX = 200
FRAME_BYTES_MAX = 0xFFFFF


class Caller:
    """A client's connection and its end of the network."""

    def __init__(self, end: End, conn: Connection) -> None:
        self.end = end
        self.conn = conn


class ClientDoor:
    """Where clients come in. `accept` and all callbacks run in turns of the machine."""

    def __init__(
        self, machine: Machine, pipeline: Callable[[], Pipeline], tenants: int = 0
    ) -> None:
        self.machine = machine
        self.tenants = tenants
        self.pipeline = pipeline  # asked each time: a role's end may bring another
        self.callers: dict[int, Caller] = {}
        self.next_id = 1
        self.life = machine.life
        # Whether there is room for a client's connection, which has its seat then
        self.admits: Callable[[Connection, str], bool] = lambda conn, client: True

    def open(self) -> None:
        self.machine.network.listen(self.machine.sid, "client", self.accept)

    def accept(self, end: End) -> None:
        early: list[bytes] = []
        end.on_bytes = early.append

        def admit() -> None:
            self.admit(end)
            if early:
                self.receive(end, b"".join(early))

        self.machine.put(admit)

    def admit(self, end: End) -> None:
        pipeline = self.pipeline()
        conn = Connection(
            self.next_id,
            str(end.there),
            1,
            False,
            self.ids_of(str(end.there)),
            FRAME_BYTES_MAX,
            ConnectionStats(0),
            pipeline.now_ms,
        )
        self.next_id += 1
        caller = self.callers[int(conn.id)] = Caller(end, conn)
        pipeline.add(conn)
        if not self.admits(conn, str(end.there)):
            self.close(caller, "no room for one more connection")
            return
        end.on_bytes = lambda data: self.machine.put(self.receive, end, data)
        end.on_closed = lambda reason: self.machine.put(self.gone, end)

    def ids_of(self, client: str) -> list[Id]:
        """Who a client is: the first one belongs to no tenant, the others to one each, in turn."""
        ids = [Id("ip", "127.0.0.1"), Id("super", "")]
        number = int(client[1:]) if client[1:].isdigit() else 0
        if self.tenants > 0 and number > 0:
            ids.append(Id("tenant", f"app@t{number % self.tenants}"))
        return ids

    def caller_of(self, end: End) -> Caller | None:
        for caller in self.callers.values():
            if caller.end is end:
                return caller
        return None

    def receive(self, end: End, data: bytes) -> None:
        caller = self.caller_of(end)
        if caller is not None:
            caller.conn.frames.feed(data)
            self.take_frames(caller)

    def gone(self, end: End) -> None:
        caller = self.caller_of(end)
        if caller is not None:
            self.close(caller, "")

    def take_frames(self, caller: Caller) -> None:
        conn = caller.conn
        frames = conn.frames
        pipeline = self.pipeline()
        try:
            for _ in range(FRAMES_PER_TURN_MAX):
                if not pipeline.may_read(conn) or not frames.next_frame():
                    return
                pipeline.on_frame(conn, frames.buf, frames.start, frames.end)
        except ProtocolError as error:
            self.close(caller, str(error))

    def flush(self) -> None:
        pipeline = self.pipeline()
        while pipeline.dirty:
            dirty = pipeline.dirty
            pipeline.dirty = []
            for conn in dirty:
                conn.dirty = False
                caller = self.callers.get(int(conn.id))
                if caller is not None:
                    self.flush_one(caller)

    def flush_one(self, caller: Caller) -> None:
        conn = caller.conn
        if len(conn.out) > 0:
            data = conn.out.getvalue()
            conn.out.truncate(0)
            caller.end.send(data)
        if conn.state == CLOSED:
            return
        if conn.state == DRAINING and conn.pending.count == 0:
            self.close(caller, conn.close_reason)
        elif conn.frames.pending() > 0:
            self.take_frames(caller)

    def close(self, caller: Caller, reason: str) -> None:
        if reason:
            self.machine.world.tell(
                lambda: f"server {self.machine.sid} closes {caller.end.there}: {reason}"
            )
        self.pipeline().remove(caller.conn)
        self.callers.pop(int(caller.conn.id), None)
        caller.end.close()

    def close_all(self, reason: str) -> None:
        for caller in list(self.callers.values()):
            self.close(caller, reason)
