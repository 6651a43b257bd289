"""A get every millisecond on a connection of its own until told to stop; then JSON.


In a process of its own, so that the pauses are the server's and not those of whoever loads it.
"""

import json
import signal
import socket
import struct
import sys
import time
from types import FrameType

CONNECT = struct.pack(">iiqiqi", 45, 0, 0, 60_000, 0, 16) + bytes(17)
EVERY_S = 0.001


def main() -> None:
    took: list[float] = []

    def end(number: int, frame: FrameType | None) -> None:
        took.sort()
        at = int(len(took) * 0.99)
        print(json.dumps({"gets": len(took), "p99_ms": took[at], "worst_ms": took[-1]}), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(CONNECT)
        sock.recv(64)
        request = struct.pack(">iiii", 14, 1, 4, 1) + b"/\0"  # getData of the root, no watch
        while True:
            began = time.perf_counter()
            sock.sendall(request)
            if not sock.recv(4096):
                raise SystemExit("the server closed the connection")
            took.append((time.perf_counter() - began) * 1e3)
            time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
