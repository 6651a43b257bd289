"""A process with peers: links, dialling and election messages over the world's network.

It stands where `server/peering.py` stands, for `core.CoreNode` and `member.Member` alike.
"""

from collections.abc import Callable

from ensemble.wire.sealing import seal
from ensemble.zab.host import Link
from ensemble.zab.peer import Peer
from tests.sim.machine import Machine, Program
from tests.sim.network import ElectionHost, End

CONNECT_ATTEMPTS = 5


class SimLink(Link):
    """A link over the world's network; `out` leaves at the end of a turn."""

    def __init__(self, node: "Peered", id: int, end: End) -> None:
        super().__init__(id)
        self.node = node
        self.end = end
        self.sealed = False

    def seal(self) -> None:
        self.flush()
        self.sealed = True

    def close(self, reason: str) -> None:
        self.node.links.pop(self.end, None)
        # What was written in this turn goes out first, as with a socket.
        self.flush()
        self.end.close()

    def flush(self) -> None:
        if len(self.out):
            data = self.out.getvalue()
            self.out.truncate(0)
            self.end.send(seal(data) if self.sealed else data)


class Peered(Program, ElectionHost):
    """The network's side of a peer. Every callback runs in a turn of the machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world = machine.world
        self.links: dict[End, SimLink] = {}
        self.next_link = 1
        self.connecting = 0

    def get_peer(self) -> Peer:
        raise NotImplementedError

    def set_clocks(self) -> None:
        raise NotImplementedError

    def flush_links(self) -> None:
        for link in list(self.links.values()):
            link.flush()

    # The network

    def on_notification(self, sid: int, frame: bytes) -> None:
        self.machine.put(self.call, lambda: self.get_peer().on_notification(sid, frame[4:]))

    def on_unreachable(self, sid: int) -> None:
        self.machine.put(self.call, lambda: self.get_peer().on_unreachable(sid))

    def on_reachable(self, sid: int) -> None:
        self.machine.put(self.call, lambda: self.get_peer().on_reachable(sid))

    def call(self, what: Callable[[], None]) -> None:
        self.set_clocks()
        what()

    def send_notification(self, sid: int, frame: bytes) -> None:
        self.machine.network.elections.send(self.machine.sid, int(sid), frame)

    def connect(self, sid: int) -> None:
        self.connecting += 1
        self.dial(int(sid), self.connecting, 1)

    def dial(self, sid: int, number: int, attempt: int) -> None:
        life = self.machine.life

        def failed(reason: str) -> None:
            if life != self.machine.life:
                return
            if attempt < CONNECT_ATTEMPTS:
                self.world.after(100_000, self.dial_again, life, sid, number, attempt + 1)
            else:
                self.machine.put(self.call, lambda: self.connect_failed(sid, number, reason))

        def opened(end: End) -> None:
            if life != self.machine.life or number != self.connecting:
                end.close()
                return
            link = self.take(end)
            self.machine.put(self.call, lambda: self.get_peer().on_connected(link))

        self.machine.network.connect(self.machine.sid, sid, "quorum", opened, failed)

    def dial_again(self, life: int, sid: int, number: int, attempt: int) -> None:
        if life == self.machine.life and number == self.connecting:
            self.dial(sid, number, attempt)

    def connect_failed(self, sid: int, number: int, reason: str) -> None:
        if number == self.connecting:
            self.get_peer().on_connect_failed(sid, reason)

    def take(self, end: End) -> SimLink:
        link = SimLink(self, self.next_link, end)
        self.next_link += 1
        self.links[end] = link
        end.on_bytes = lambda data: self.machine.put(self.received, link, data)
        end.on_closed = lambda reason: self.machine.put(self.closed, link, reason)
        return link

    def received(self, link: SimLink, data: bytes) -> None:
        if link.end in self.links:
            self.set_clocks()
            self.get_peer().on_bytes(link, data)

    def closed(self, link: SimLink, reason: str) -> None:
        if self.links.pop(link.end, None) is not None:
            self.set_clocks()
            self.get_peer().on_link_closed(link, reason)

    def listen(self) -> None:
        self.machine.network.listen(self.machine.sid, "quorum", self.accept)

    def accept(self, end: End) -> None:
        link = self.take(end)
        self.machine.put(self.call, lambda: self.get_peer().on_accepted(link))

    def stop_listening(self) -> None:
        self.machine.network.stop_listening(self.machine.sid, "quorum")
