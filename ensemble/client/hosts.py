"""Where the servers are: the connection string, the order of attempts, the pauses between them."""

import random
from typing import Final, NamedTuple

from ensemble.client.errors import BadArgumentsError
from ensemble.client.paths import Chroot

PORT_DEFAULT: Final = 2181
HOSTS_MAX: Final = 1_000

BACKOFF_FIRST_S: Final = 0.1  # at most this before the first attempt after a loss
BACKOFF_MAX_S: Final = 5.0


class Host(NamedTuple):
    """A server's client port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def parse_hosts(text: str) -> tuple[list[Host], Chroot]:
    """`host:port,host2:port2/chroot`; IPv6 addresses in brackets; the port defaults to 2181.

    Raises:
        BadArgumentsError: names the part that is not understood.
    """
    servers, slash, chroot = text.partition("/")
    hosts = [_parse_host(part.strip()) for part in servers.split(",") if part.strip()]
    if not hosts:
        raise BadArgumentsError(f"no server in {text!r}: host:port,host:port/chroot is wanted")
    if len(hosts) > HOSTS_MAX:
        raise BadArgumentsError(f"{len(hosts)} servers, at most {HOSTS_MAX}")
    return hosts, Chroot(slash + chroot)


def _parse_host(part: str) -> Host:
    if part.startswith("["):
        name, bracket, rest = part[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadArgumentsError(f"server {part!r}: [address]:port is wanted")
        port = rest[1:]
    elif part.count(":") > 1:
        raise BadArgumentsError(f"server {part!r}: an IPv6 address belongs in brackets")
    else:
        name, _, port = part.partition(":")
    if not name:
        raise BadArgumentsError(f"server {part!r}: no host name")
    if not port:
        return Host(name, PORT_DEFAULT)
    # isdecimal alone would let other scripts' digits through.
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise BadArgumentsError(f"server {part!r}: port {port!r} is not in 1..65535")
    return Host(name, int(port))


class HostRing:
    """The servers in shuffled order, one after the other, with growing and random pauses.

    Shuffled, so that the clients of an ensemble spread; random pauses, so that thousands of clients
    do not come back to a restarted server in the same millisecond.
    """

    def __init__(self, hosts: list[Host], rng: random.Random, backoff_max_s: float) -> None:
        self.hosts: Final = list(hosts)
        rng.shuffle(self.hosts)
        self._rng = rng
        self._backoff_max_s = min(BACKOFF_MAX_S, backoff_max_s)
        self._at = 0

    def next_host(self) -> Host:
        """The server to try now."""
        host = self.hosts[self._at % len(self.hosts)]
        self._at += 1
        return host

    def prefer(self, host: Host) -> None:
        """Make `host` the next one."""
        self._at = self.hosts.index(host)

    def pause_s(self, attempt: int) -> float:
        """Seconds to wait before attempt number `attempt`, from 0, since the last connection."""
        rounds = min(attempt // len(self.hosts), 16)
        return self._rng.uniform(0, min(self._backoff_max_s, BACKOFF_FIRST_S * 2.0**rounds))
