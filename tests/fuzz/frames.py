"""Mutated and invented frames at a server: it stays up, serves the others, and says nothing odd.

`python -m tests.fuzz.frames --seconds 300 --seed 1` runs long; the tests run the same for seconds.
A failure prints its seed; the same seed sends the same bytes.
"""

import argparse
import contextlib
import json
import os
import random
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from tests.harness import Node, RawClient

VECTORS = Path(__file__).parent.parent / "interop" / "vectors"
OPS = [*range(-11, 25), 51, 100, 101, 102, 103, 104, 105, 106, 107, 108, 1 << 30]
INTS = [0, 1, -1, 2, 31, 255, 1 << 16, 0xFFFFF, (1 << 31) - 1, -(1 << 31)]
RESIDENT_GROWTH_MAX = 128 << 20
ANSWER_TIMEOUT_S = 5.0
CONNECT_REQUEST = struct.pack(">iqiqi", 0, 0, 8_000, 0, 16) + bytes(17)


def captured() -> list[bytes]:
    """Payloads that real clients sent."""
    frames: list[bytes] = []
    for path in sorted(VECTORS.glob("*.json")):
        for item in json.loads(path.read_text()):
            if isinstance(item, dict) and item.get("dir") == "c2s" and "hex" in item:
                frames.append(bytes.fromhex(item["hex"])[4:])
    return [frame for frame in frames if 8 <= len(frame) < 10_000]


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """A frame with a few things wrong."""
    data = bytearray(frame)
    for _ in range(rng.randrange(1, 4)):
        kind = rng.randrange(6)
        at = rng.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + 4] = struct.pack(">i", rng.choice(INTS))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data += rng.randbytes(rng.randrange(64))
        elif kind == 4:
            data[4:8] = struct.pack(">i", rng.choice(OPS))
        else:
            data[at:at] = rng.randbytes(rng.randrange(16))
    return bytes(data)


def invent(rng: random.Random) -> bytes:
    body = b"".join(
        struct.pack(">i", rng.choice(INTS))
        if rng.random() < 0.6
        else rng.randbytes(rng.randrange(9))
        for _ in range(rng.randrange(12))
    )
    return struct.pack(">ii", rng.choice(INTS), rng.choice(OPS)) + body


class Fuzz:
    """One seed against one server."""

    def __init__(self, node: Node, seed: int) -> None:
        self.node = node
        self.rng = random.Random(seed)
        self.seed = seed
        self.frames = captured()
        self.sent = 0
        self.witness = RawClient(node.port, ANSWER_TIMEOUT_S)
        self.witness.connect(timeout_ms=40_000)
        self.xid = 0
        self.resident = self.resident_bytes()

    def resident_bytes(self) -> int:
        assert self.node.process is not None
        pages = int(Path(f"/proc/{self.node.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def connection(self) -> None:
        """One connection's worth of bad frames."""
        rng = self.rng
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=2) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                if rng.random() < 0.1:
                    sock.sendall(rng.randbytes(rng.randrange(1, 200)))
                    return
                first = mutate(rng, CONNECT_REQUEST) if rng.random() < 0.2 else CONNECT_REQUEST
                sock.sendall(struct.pack(">i", len(first)) + first)
                for _ in range(rng.randrange(1, 30)):
                    frame = mutate(rng, rng.choice(self.frames))
                    if rng.random() < 0.3:
                        frame = invent(rng)
                    length = len(frame)
                    if rng.random() < 0.03:
                        length = rng.choice(INTS)
                    sock.sendall(struct.pack(">i", length) + frame)
                    self.sent += 1
                sock.settimeout(0.002)
                sock.recv(65_536)

    def check(self) -> None:
        """The server lives, answers somebody else at once, and has not grown."""
        where = f"seed {self.seed}, after {self.sent} frames"
        assert self.node.process is not None
        assert self.node.process.poll() is None, f"{where}: the server ended\n{self.node.log()}"
        self.xid += 1
        began = time.monotonic()
        self.witness.request(self.xid, 3, struct.pack(">i", 1) + b"/\0")
        assert self.witness.reply()[0] == self.xid, where
        assert time.monotonic() - began < 2.0, f"{where}: the others wait"
        grown = self.resident_bytes() - self.resident
        assert grown < RESIDENT_GROWTH_MAX, f"{where}: {grown >> 20} MB more"
        assert "Traceback" not in self.node.log(), f"{where}:\n{self.node.log()}"

    def run(self, seconds: float) -> int:
        """How many frames were sent."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for _ in range(20):
                self.connection()
            self.check()
        self.witness.close()
        return self.sent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder) / "node", {}, {}, []).start()
        try:
            count = Fuzz(node, options.seed).run(options.seconds)
        finally:
            node.kill9()
    print(f"{count} frames, seed {options.seed}: the server is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
