"""Ports for the servers of tests, which keep theirs while they are down.

A server that is killed and started again, a follower's quorum port that only a leader opens: such
ports are free for anybody to take for as long as nobody listens. So each test process has a block
of its own, below the ports that the kernel gives to outgoing connections, and goes round in it. A
block is claimed by a name in the abstract namespace of unix sockets: the kernel gives it to one
process on the machine, and takes it back when that ends, however it ends.
"""

import os
import socket
from typing import Final

FIRST, END = 10_000, 32_500
BLOCK: Final = 450
BLOCKS: Final = (END - FIRST) // BLOCK


class Ports:
    """A process's block; `at` is the next port that is given out."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.claim, block = claim_block()
        self.first = FIRST + block * BLOCK
        self.at = 0

    def take(self, in_a_row: int = 1) -> int:
        """The first of so many free ports; the ones before it come again after all others."""
        for _ in range(2 * BLOCK):
            if self.at + in_a_row > BLOCK:
                self.at = 0
            ports = range(self.first + self.at, self.first + self.at + in_a_row)
            self.at += in_a_row
            if all(is_free(port) for port in ports):
                return ports[0]
        raise AssertionError(f"no {in_a_row} ports are free in {BLOCK} from {self.first} on")


def claim_block() -> tuple[socket.socket, int]:
    """A block that no other process has, and what holds it."""
    for block in range(BLOCKS):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0ports-for-tests-{FIRST + block * BLOCK}")
        except OSError:
            claim.close()
        else:
            return claim, block
    raise AssertionError(f"all {BLOCKS} blocks of ports are taken: which tests are running?")


def is_free(port: int) -> bool:
    """Does nobody listen there?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_ports: list[Ports] = []


def free_ports(count: int, in_a_row: bool = False) -> list[int]:
    """Ports that nobody listens on, none of which another test process is given."""
    if not _ports or _ports[-1].pid != os.getpid():  # a forked child needs a block of its own
        _ports.append(Ports())
    ports = _ports[-1]
    if in_a_row:
        first = ports.take(count)
        return list(range(first, first + count))
    return [ports.take() for _ in range(count)]


def free_port() -> int:
    return free_ports(1)[0]
