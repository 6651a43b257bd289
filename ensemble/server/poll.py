"""Descriptors and who is called when they are ready: one epoll for a whole server.

The client port serves its clients from the same epoll by tables of its own; the log, snapshot
children and the links to other servers come through here.
"""

import select
from collections.abc import Callable
from typing import Final, final

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
READY_MAX: Final = 1_024  # descriptors served in one turn


@final
class Poll:
    """An epoll with a callback for each descriptor; the callback is told which events came.

    A callback must bear being called for nothing: where one turn closes a descriptor and the kernel
    gives its number to the next socket, an event of the old one may still be in the list.
    """

    __slots__ = ("callbacks", "epoll")

    def __init__(self) -> None:
        self.epoll: Final = select.epoll()
        self.callbacks: Final[dict[int, Callable[[int], None]]] = {}

    def watch(self, fd: int, callback: Callable[[int], None], events: int = IN) -> None:
        self.epoll.register(fd, events)
        self.callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        self.epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Before the descriptor is closed."""
        del self.callbacks[fd]
        self.epoll.unregister(fd)

    def serve(self, timeout_s: float) -> None:
        """Wait once and call back; for those that have no other user of this epoll."""
        for fd, events in self.epoll.poll(timeout_s, READY_MAX):
            callback = self.callbacks.get(fd)
            if callback is not None:
                callback(events)

    def close(self) -> None:
        self.callbacks.clear()
        self.epoll.close()
