"""What the tests of the server share: starts that are refused, counters, waiting with an end."""

import struct
import time
from collections.abc import Callable

from tests.harness import Node

Start = Callable[..., Node]
EXIT_CONFIG = 2
CONNECT = struct.pack(">iqiqi", 0, 0, 30_000, 0, 16) + bytes(17)  # a ConnectRequest


def refused(start_node: Start, settings: dict[str, object], *words: str) -> None:
    """The start is refused with status 2, and the log says all of `words`."""
    node = start_node(settings, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == EXIT_CONFIG
    assert "Traceback" not in node.log()
    for word in words:
        assert word in node.log()


def counter(node: Node, name: str) -> float:
    """A value of `mntr`."""
    for line in node.word("mntr").decode().splitlines():
        key, _, value = line.partition("\t")
        if key == f"zk_{name}":
            return float(value)
    raise AssertionError(f"mntr has no zk_{name}")


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, fifteen seconds at most."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
