"""Host names to addresses, off the server's thread: a resolver that hangs delays its own name only.

Literal addresses never leave the thread. Answers are kept until a connection to one fails; then
the name is asked again in the background and the old answer serves until the new one is there
(trust.md A15).
"""

import ipaddress
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, final

from ensemble.server.poll import Poll

LOOKUPS_MAX: Final = 32  # at once, one thread each; a name more waits for one of them
NAMES_MAX: Final = 1_024
ADDRESSES_MAX: Final = 16  # of one name

Address = tuple[str, int]
SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Resolve = Callable[[str], list[tuple[int, str]]]


def resolve(host: str) -> list[tuple[int, str]]:
    """Ask the system: (address family, address) of the host, in the system's order.

    Raises:
        OSError: unknown, or the resolver does not answer.
    """
    found: list[tuple[int, str]] = []
    for family, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        pair = (int(family), str(address[0]))
        if pair not in found:
            found.append(pair)
    return found


def literal(host: str) -> list[tuple[int, str]]:
    """The answer for an address that needs no asking, else nothing."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    return [(socket.AF_INET6 if address.version == 6 else socket.AF_INET, host)]


@final
class Names:
    """The resolver. `on_answers` is called on the server's thread when something was learned."""

    def __init__(
        self, poll: Poll, on_answers: Callable[[], None], resolver: Resolve = resolve
    ) -> None:
        self.poll: Final = poll
        self.on_answers: Final = on_answers
        self.resolver: Final = resolver
        self.known: Final[dict[str, list[tuple[int, str]]]] = {}
        self.failed: Final[dict[str, str]] = {}
        self.asking: Final[set[str]] = set()
        self.waiting: Final[deque[str]] = deque()
        # Filled by the threads; a deque's append and popleft need no lock.
        self.answers: Final[deque[tuple[str, list[tuple[int, str]], str]]] = deque()
        self.wake_fd: Final = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.closed = False
        poll.watch(self.wake_fd, self.on_wake)

    def find(self, host: str) -> list[tuple[int, str]] | None:
        """Addresses of `host`; empty where it has none (`why` says it), None: it is being asked."""
        found = literal(host) or self.known.get(host)
        if found:
            return found
        if host in self.failed:
            return []
        self.ask(host)
        return None

    def why(self, host: str) -> str:
        return self.failed.get(host, "unknown")

    def renew(self, host: str) -> None:
        """A connection to it failed: perhaps it has moved."""
        self.failed.pop(host, None)
        if not literal(host):
            self.ask(host)

    def ask(self, host: str) -> None:
        if host in self.asking or host in self.waiting or len(self.waiting) >= NAMES_MAX:
            return
        self.waiting.append(host)
        self.start_waiting()

    def start_waiting(self) -> None:
        while self.waiting and len(self.asking) < LOOKUPS_MAX:
            host = self.waiting.popleft()
            self.asking.add(host)
            # A daemon: a resolver that never answers must not hold up the end of the process.
            threading.Thread(target=self.look_up, args=(host,), daemon=True).start()

    def look_up(self, host: str) -> None:
        """On a thread of its own."""
        found: list[tuple[int, str]] = []
        reason = ""
        try:
            found = self.resolver(host)[:ADDRESSES_MAX]
        except (OSError, UnicodeError) as error:
            reason = str(error)
        self.answers.append((host, found, reason))
        self.wake()

    def wake(self) -> None:
        """Have the poll come back at once; from any thread."""
        if not self.closed:
            try:
                os.eventfd_write(self.wake_fd, 1)
            except OSError:
                return  # closed between the two lines

    def on_wake(self, events: int) -> None:
        try:
            os.eventfd_read(self.wake_fd)
        except BlockingIOError:
            pass
        while self.answers:
            host, found, reason = self.answers.popleft()
            self.asking.discard(host)
            if found:
                if len(self.known) >= NAMES_MAX:
                    self.known.clear()
                self.known[host] = found
                self.failed.pop(host, None)
            elif host not in self.known:  # an old answer is better than none
                if len(self.failed) >= NAMES_MAX:
                    self.failed.clear()
                self.failed[host] = reason or "it has no address"
        self.start_waiting()
        self.on_answers()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.poll.unwatch(self.wake_fd)
            os.close(self.wake_fd)
