"""Asking a running `ensemble up`: one line of JSON each way over a socket in its folder.

The socket's file is for its owner alone (0600). Requests and answers have bounds, so has the time
they may take.

    {"do": "list"}              -> {"nodes": [{"id": 1, "role": "leader", ...}]}
    {"do": "add"}               -> {"node": {...}}       a further observer
    {"do": "remove", "id": 4}   -> {"removed": 4}        that observer, with its folder
    anything else               -> {"error": "..."}
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensemble.up.errors import NotRunningError, RefusedError

SOCKET_FILE: Final = "up.sock"
REQUEST_BYTES_MAX: Final = 1_024
ANSWER_BYTES_MAX: Final = 64 * 1_024
ANSWER_WITHIN_S: Final = 30.0  # stopping a node may take half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node as `up` sees it."""

    id: int
    role: str  # voter, observer
    state: str  # what its process does: runs, waits (to be started again), ended
    mode: str  # what it says: leader, follower, observer, standalone, looking, silent
    zxid: int
    clients: int
    starts: int
    pid: int  # 0 while it has none
    client_port: int
    admin_port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.client_port}"


def list_nodes(folder: Path) -> list[NodeReport]:
    """All nodes, by id.

    Raises:
        NotRunningError, RefusedError: as with `ask`.
    """
    nodes = ask(folder, {"do": "list"}).get("nodes")
    return [read_report(node) for node in nodes] if isinstance(nodes, list) else []


def add_observer(folder: Path) -> NodeReport:
    """Start a further observer; it serves soon after."""
    return read_report(ask(folder, {"do": "add"}).get("node"))


def remove_observer(folder: Path, id: int) -> None:
    """Stop an observer and remove its folder."""
    ask(folder, {"do": "remove", "id": id})


def read_report(value: object) -> NodeReport:
    if not isinstance(value, dict):
        raise NotRunningError("the answer is not understood: is `up` of another version?")
    try:
        return NodeReport(**value)
    except TypeError as error:
        raise NotRunningError(f"the answer is not understood: {error}") from None


def ask(folder: Path, request: dict[str, object]) -> dict[str, object]:
    """One request to the `up` that works in `folder`.

    Raises:
        NotRunningError: nobody is there, or no answer came in time.
        RefusedError: the answer is no.
    """
    line = json.dumps(request).encode() + b"\n"
    if len(line) > REQUEST_BYTES_MAX:
        raise RefusedError(f"a request of {len(line)} bytes, at most {REQUEST_BYTES_MAX}")
    try:
        with socket.socket(socket.AF_UNIX) as sock, short_path(folder) as path:
            sock.settimeout(ANSWER_WITHIN_S)
            sock.connect(path)
            sock.sendall(line)
            raw = read_line(sock)
    except TimeoutError:
        raise NotRunningError(
            f"the `ensemble up` in {folder} did not answer within {ANSWER_WITHIN_S:.0f} s"
        ) from None
    except OSError as error:
        raise NotRunningError(
            f"no `ensemble up` runs in {folder} ({error.strerror or error})"
        ) from None
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NotRunningError(f"the `ensemble up` in {folder} gave no answer: is it stopping?")
    if "error" in answer:
        raise RefusedError(str(answer["error"]))
    return answer


def read_line(sock: socket.socket) -> bytes:
    """Up to the end of the stream, within the bound."""
    parts = b""
    while len(parts) <= ANSWER_BYTES_MAX and (part := sock.recv(16_384)):
        parts += part
    return parts


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """The socket's path through a descriptor of its folder: a long one would not fit an address."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_FILE}"
    finally:
        os.close(descriptor)
