"""How long it takes until thousands of a tenant's clients are back after their server was killed.

    python -m benchmarks.reconnects [--clients 10000] [--tenants 1]

One server of ours, killed with all its connections and started again. Every client then comes back
at once as the C client does: a ConnectRequest with its session, its credential as soon as that is
answered, a ping behind it. The clock runs from the first connect until the last reply; for contrast
the same without credentials. Clients are raw sockets of this process in one epoll.
"""

import argparse
import asyncio
import json
import resource
import select
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.admin.keys import OperatorKey
from ensemble.client import Client
from tests.harness import Node

KEY: Final = OperatorKey("bench", bytes(range(32)))
WITHIN_S: Final = 300.0
CONNECTING_MAX: Final = 500  # at once: the kernel's queue of a listener is not what is measured
AUTH: Final = 100
PING: Final = struct.pack(">iii", 8, -2, 11)
DESCRIPTORS_SPARE: Final = 100


def text(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


class Peer:
    """One client: its session, and how far its connection has come."""

    def __init__(self, token: bytes) -> None:
        body = struct.pack(">iii", -4, AUTH, 0) + text(b"tenant") + text(token)
        self.auth = text(body) + PING if token else PING
        self.awaited = 2 if token else 1
        self.session_id = 0
        self.password = bytes(16)
        self.sock: socket.socket | None = None
        self.data = b""
        self.left = 0
        self.is_open = False

    def hello(self) -> bytes:
        body = struct.pack(">iqiq", 0, 0, 40_000, self.session_id) + text(self.password) + b"\0"
        return text(body)

    def feed(self, data: bytes) -> bytes:
        """What it has to say to that."""
        self.data += data
        said = b""
        while len(self.data) >= 4:
            end = 4 + struct.unpack_from(">i", self.data)[0]
            if len(self.data) < end:
                break
            frame, self.data = self.data[4:end], self.data[end:]
            if not self.is_open:
                _, timeout, self.session_id, size = struct.unpack_from(">iiqi", frame)
                assert timeout > 0, "the session is over"
                self.password = frame[20 : 20 + size]
                self.is_open = True
                said += self.auth
            else:
                xid, _, error = struct.unpack_from(">iqi", frame)
                assert error == 0, f"error {error} for {xid}"
                self.left -= 1
        return said


def storm(peers: list[Peer], port: int) -> float:
    """Connect all of them; seconds until each has its last reply."""
    poll = select.epoll()
    by_fd: dict[int, Peer] = {}
    waiting = list(reversed(peers))
    opening = unfinished = 0
    for peer in peers:
        peer.data, peer.left, peer.is_open = b"", peer.awaited, False
    began = time.monotonic()
    unfinished = len(peers)
    while unfinished:
        assert time.monotonic() < began + WITHIN_S, f"{unfinished} are not back"
        while waiting and opening < CONNECTING_MAX:
            peer = waiting.pop()
            peer.sock = socket.socket()
            peer.sock.setblocking(False)
            peer.sock.connect_ex(("127.0.0.1", port))
            by_fd[peer.sock.fileno()] = peer
            poll.register(peer.sock.fileno(), select.EPOLLOUT)
            opening += 1
        for fd, event in poll.poll(1, 1_024):
            peer = by_fd[fd]
            assert peer.sock is not None
            if event & select.EPOLLOUT:
                peer.sock.sendall(peer.hello())
                poll.modify(fd, select.EPOLLIN)
                continue
            data = peer.sock.recv(4_096)
            assert data, "the server closed a connection"
            was_open = peer.is_open
            said = peer.feed(data)
            if peer.is_open and not was_open:
                opening -= 1
            if said:
                peer.sock.sendall(said)
            if peer.left == 0:
                unfinished -= 1
                poll.modify(fd, 0)
    took = time.monotonic() - began
    poll.close()
    return took


def hang_up(peers: list[Peer]) -> None:
    for peer in peers:
        if peer.sock is not None:
            peer.sock.close()
            peer.sock = None


async def provision_tenants(address: str, count: int) -> list[bytes]:
    tokens: list[bytes] = []
    async with Client(address, auth=[("operator", KEY.sign("bench"))]) as admin:
        await provision.init(admin, KEY.id, KEY.public)
        for number in range(count):
            slug = f"t{number}"
            await provision.create(admin, Draft(slug=slug))
            made = await provision.add_credential(admin, slug, "app", "writer")
            tokens.append(made.token.encode())
    return tokens


def measure(folder: Path, clients: int, tenants: int) -> dict[str, float]:
    """Seconds to come, and to come back."""
    keys = folder / "operators"
    keys.write_text(KEY.line)
    config: dict[str, object] = {
        "ensemble.operator.keys": keys,
        "globalOutstandingLimit": 100_000,
        "clientPortListenBacklog": 4_096,
    }
    node = Node(folder / "node", config, {}, [])
    node.start()
    peers: list[Peer] = []
    try:
        tokens = asyncio.run(provision_tenants(node.address, tenants)) if tenants else [b""]
        peers = [Peer(tokens[i % len(tokens)]) for i in range(clients)]
        first = storm(peers, node.port)
        node.kill9()
        hang_up(peers)
        node.start()
        again = storm(peers, node.port)
        return {"clients": clients, "tenants": tenants, "first_s": first, "again_s": again}
    finally:
        hang_up(peers)
        node.kill9()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--tenants", type=int, default=10)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < options.clients + DESCRIPTORS_SPARE:
        parser.error(f"--clients {options.clients}, the limit of descriptors is {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for tenants in (0, options.tenants):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), options.clients, tenants)
        sys.stdout.write(json.dumps({k: round(v, 2) for k, v in found.items()}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
