"""The links of this server to the others: dialling, listening, deadlines. Never blocks.

Each attempt stands for itself: a peer that refuses, hangs or cannot be resolved costs nobody else
anything (trust.md A15). Source: election.md 1.3 and 4, zab.md 2.
"""

import ssl
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from ensemble.server.names import Address, Names, Resolve, resolve
from ensemble.server.peer_dial import Dial, printed
from ensemble.server.peer_listener import Listener, bind
from ensemble.server.peer_socket import CONNECTING, NEVER_MS, PeerHandler, PeerKeeper, PeerSocket
from ensemble.server.poll import Poll

CHECK_EVERY_MS: Final = 10


@final
class PeerNet(PeerKeeper):
    """All links. Call `on_time` each turn and at `deadline_ms`, after the poll was served."""

    def __init__(self, poll: Poll, now_ms: int, resolver: Resolve = resolve) -> None:
        super().__init__(poll)
        self.now_ms = now_ms
        self.names: Final = Names(poll, self.on_names, resolver)
        self.sockets: Final[set[PeerSocket]] = set()
        self.dials: Final[dict[PeerSocket, Dial]] = {}
        self.listeners: Final[set[Listener]] = set()
        self.failing: list[tuple[PeerSocket, str]] = []
        self.timers: Final[list[tuple[int, int, Callable[[], None]]]] = []
        self.timer_count = 0
        self.deadline_ms: i64 = NEVER_MS
        self.checked_ms: i64 = 0

    def dial(
        self,
        addresses: list[Address],
        handler: PeerHandler,
        tls: ssl.SSLContext | None,
        timeout_ms: int,
    ) -> PeerSocket:
        """Begin to connect to whichever of a peer's addresses answers first.

        The time covers names, connecting and TLS. `on_open` or `on_closed` follows, never from
        within this call.
        """
        name = "|".join(printed(host, port) for host, port in addresses)
        sock = PeerSocket(self, handler, name)
        self.dials[sock] = Dial(
            self, self.names, self.end_dial, sock, addresses, tls, self.now_ms + timeout_ms
        )
        self.note(self.now_ms)
        self.names.wake()
        return sock

    def listen(
        self,
        addresses: list[Address],
        accept: Callable[[PeerSocket], PeerHandler],
        tls: ssl.SSLContext | None,
        handshake_ms: int,
        peek: bool = False,
    ) -> Listener:
        """Open a port on each address. `accept` names the handler of each stranger.

        Raises:
            OSError: an address cannot be bound; nothing is open then.
        """
        socks = bind(addresses)
        forget = self.listeners.discard
        listener = Listener(self, forget, socks, accept, tls, handshake_ms, peek)
        self.listeners.add(listener)
        return listener

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> None:
        """Call back at that time, from `on_time`."""
        self.timer_count += 1
        self.timers.append((at_ms, self.timer_count, callback))
        self.note(at_ms)

    # Time

    def note(self, at_ms: i64) -> None:
        """Something is due then."""
        self.deadline_ms = min(self.deadline_ms, at_ms)

    def on_time(self, now_ms: int) -> None:
        """Deadlines, read timeouts, attempts that are due."""
        self.now_ms = now_ms
        if self.failing:
            self.deliver_failures()
        if now_ms < self.deadline_ms and now_ms - self.checked_ms < CHECK_EVERY_MS:
            return
        self.checked_ms = now_ms
        self.deadline_ms = NEVER_MS
        due = sorted(timer for timer in self.timers if timer[0] <= now_ms)
        self.timers[:] = [timer for timer in self.timers if timer[0] > now_ms]
        for _, _, callback in due:
            callback()
        for listener in list(self.listeners):
            listener.resume()
        for dial in list(self.dials.values()):
            dial.step()
        for sock in list(self.sockets):
            self.check(sock)
        self.plan()

    def check(self, sock: PeerSocket) -> None:
        """Cut a link that is late."""
        now_ms = self.now_ms
        if sock.deadline_ms <= now_ms and sock.state != CONNECTING:
            sock.fail(sock.deadline_reason)
        elif 0 < sock.read_timeout_ms <= now_ms - sock.last_read_ms and sock.sock is not None:
            # This server may have stood still, and what it waits for lies in the kernel.
            sock.receive()
            if sock.is_alive() and 0 < sock.read_timeout_ms <= now_ms - sock.last_read_ms:
                sock.fail(f"nothing read for {now_ms - sock.last_read_ms} ms")

    def plan(self) -> None:
        """When `on_time` has something to do next."""
        at_ms = self.deadline_ms
        for due_ms, _, _ in self.timers:
            at_ms = min(at_ms, due_ms)
        for dial in self.dials.values():
            at_ms = min(at_ms, dial.until_ms)
            if dial.candidates:
                at_ms = min(at_ms, dial.next_ms)
        for sock in self.sockets:
            if sock.state == CONNECTING:
                continue
            at_ms = min(at_ms, sock.deadline_ms)
            if sock.read_timeout_ms > 0:
                at_ms = min(at_ms, sock.last_read_ms + sock.read_timeout_ms)
        for listener in self.listeners:
            if listener.paused_until_ms > 0:
                at_ms = min(at_ms, listener.paused_until_ms)
        self.deadline_ms = at_ms

    def on_names(self) -> None:
        """The poll was woken: names were answered, or something failed."""
        self.deliver_failures()
        for dial in list(self.dials.values()):
            dial.step()
        self.plan()

    def end_dial(self, sock: PeerSocket) -> None:
        self.dials.pop(sock, None)

    # PeerKeeper

    def add(self, sock: PeerSocket) -> None:
        self.sockets.add(sock)

    def forget(self, sock: PeerSocket) -> None:
        self.sockets.discard(sock)
        dial = self.dials.get(sock)
        if dial is not None:
            dial.end()
        for listener in self.listeners:
            listener.strangers.pop(sock, None)

    def fail_later(self, sock: PeerSocket, reason: str) -> None:
        self.failing.append((sock, reason))
        self.names.wake()

    def deliver_failures(self) -> None:
        while self.failing:
            failing = self.failing
            self.failing = []
            for sock, reason in failing:
                sock.fail(reason)

    def close(self) -> None:
        """Everything, silently."""
        for listener in list(self.listeners):
            listener.close()
        for sock in list(self.sockets):
            sock.close()
        self.timers.clear()
        self.names.close()
