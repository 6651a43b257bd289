"""A client's socket at the port: what the kernel holds, and where it waits for its turn."""

import select
import socket
import ssl
from typing import Final, final

from mypy_extensions import i64

from ensemble.server.connection import Connection

# Edge-triggered: an event says that something new has come, `readable` remembers it. So a
# connection whose turn has not come costs nothing, and need not be taken out of the epoll.
EPOLL_IN: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
EPOLL_OUT: Final = select.EPOLLOUT
EPOLL_GONE: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

# Where a connection waits
NOWHERE: Final = 0
QUEUED: Final = 1  # for a turn of its flow
HELD: Final = 2  # for tokens of its tenant
BLOCKED: Final = 3  # for answers to what is ahead


@final
class ClientSocket:
    """A socket and its connection. `unsent` is what the kernel did not take yet.

    `readable`: the kernel may hold more. `is_gone`: the other end has closed, as the kernel said.
    """

    __slots__ = (
        "conn",
        "context",
        "fd",
        "handshaking",
        "held_us",
        "in_blocked",
        "interest",
        "is_gone",
        "parting_ms",
        "paused_ms",
        "place",
        "readable",
        "sock",
        "unsent",
    )

    def __init__(
        self,
        sock: socket.socket,
        fd: int,
        conn: Connection,
        handshaking: bool,
        context: ssl.SSLContext | None,
    ) -> None:
        self.sock = sock
        self.context = context  # of a port for both: until the first byte tells TLS from plain
        self.fd: Final = fd
        self.conn: Final = conn
        self.handshaking = handshaking
        self.interest: i64 = EPOLL_IN
        self.unsent = b""
        self.readable = False
        self.is_gone = False
        self.parting_ms: i64 = 0  # since when the other's end is waited for; 0: it is not
        self.paused_ms: i64 = 0
        self.place: i64 = NOWHERE
        self.in_blocked = False
        self.held_us: i64 = 0  # since when a rate holds its next request; 0: it does not
