"""Is a port free, and which ones does an ensemble on one machine want?"""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ensemble.up.errors import StartError

HOST: Final = "127.0.0.1"
PORT_MAX: Final = 65_535
TRIES_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Of a new folder: the first one of each kind; node 1 has it, node 2 the next."""

    client: int = 2181
    admin: int = 8080
    quorum: int = 2888
    election: int = 3888


@dataclass(frozen=True, slots=True)
class Wanted:
    """A port, what for, and how to have another one: `advice` ends a sentence."""

    port: int
    purpose: str
    advice: str


def why_not(port: int) -> str:
    """Why nobody can listen on it now; "" where it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken: stop what listens there"
            return f"cannot be used ({error.strerror})"
    return ""


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def check(wanted: Iterable[Wanted]) -> None:
    """All of them can be had at once.

    Raises:
        StartError: names the first that cannot, what for, and what to do.
    """
    purposes: dict[int, str] = {}
    for want in wanted:
        if want.port > PORT_MAX:
            raise StartError(
                f"Port {want.port} ({want.purpose}) is above {PORT_MAX}: {want.advice}."
            )
        if want.port in purposes:
            raise StartError(
                f"Port {want.port} is wanted twice, {purposes[want.port]} and {want.purpose}: "
                f"{want.advice}."
            )
        purposes[want.port] = want.purpose
        reason = why_not(want.port)
        if reason:
            raise StartError(f"Port {want.port} ({want.purpose}) {reason}, or {want.advice}.")


def next_free(first: int, besides: set[int]) -> int:
    """The first port from `first` on that is free and not one of `besides`.

    Raises:
        StartError: there is none among the next ones.
    """
    last = min(first + TRIES_MAX - 1, PORT_MAX)
    for port in range(first, last + 1):
        if port not in besides and not why_not(port):
            return port
    raise StartError(f"No port is free between {first} and {last}.")
