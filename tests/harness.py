"""Real server processes for tests: start, wait until ready, stop, kill, restart.

Loopback only, on ports of this test process, ended by process id.
"""

import contextlib
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests import forks
from tests.forks import ROOT
from tests.ports import free_port

__all__ = ["ROOT", "Node", "RawClient"]
READY_TIMEOUT_S = 60.0  # on a machine with a dozen processes a core


class Node:
    """One server process on a folder of its own."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, object],
        properties: dict[str, str],
        wrapper: list[str],
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.admin_port = free_port()
        self.config = config
        self.properties = properties
        self.wrapper = wrapper
        self.log_path = folder / "server.log"
        self.process: forks.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def write_config(self) -> Path:
        settings: dict[str, object] = {
            "tickTime": 2000,
            "dataDir": self.folder / "data",
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "*",
            "admin.serverPort": self.admin_port,
            "preAllocSize": 64,
        }
        settings.update(self.config)
        path = self.folder / "zoo.cfg"
        path.write_text("".join(f"{k}={v}\n" for k, v in settings.items() if v is not None))
        return path

    def start(self, wait: bool = True) -> "Node":
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.write_config()
        flags = [f"-D{k}={v}" for k, v in self.properties.items()]
        with self.log_path.open("ab") as log:
            arguments = ["server", *flags, str(path)]
            if self.wrapper:
                line = [*self.wrapper, sys.executable, "-m", forks.MODULE, *arguments]
                self.process = forks.command(line, log)
            else:
                self.process = forks.start(arguments, log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log()}")
            with contextlib.suppress(OSError):
                if b"Mode:" in self.word("srvr"):
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready within {READY_TIMEOUT_S} s:\n{self.log()}")

    def word(self, word: str) -> bytes:
        """A four-letter word's answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(word.encode())
            parts: list[bytes] = []
            while data := sock.recv(65536):
                parts.append(data)
            return b"".join(parts)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")[-8000:]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise AssertionError(f"did not stop on SIGTERM:\n{self.log()}") from None

    def kill9(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            process.kill()
            process.wait(10)


class RawClient:
    """Frames in and out of one connection; knows nothing of `ensemble.wire`."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session_id = 0
        self.password = bytes(16)
        self.read_only = False

    def send(self, payload: bytes) -> None:
        self.sock.sendall(struct.pack(">i", len(payload)) + payload)

    def read(self) -> bytes | None:
        """One frame's payload; None at the end of the stream."""
        head = self._exactly(4)
        if head is None:
            return None
        return self._exactly(struct.unpack(">i", head)[0])

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data

    def connect(
        self,
        timeout_ms: int = 30_000,
        session_id: int = 0,
        password: bytes = b"",
        read_only: bool = False,
    ) -> bool:
        """Open or re-attach a session; whether it is valid."""
        answer = self.ask_session(timeout_ms, session_id, password, read_only)
        assert answer is not None, "the server closed the connection"
        _, timeout, self.session_id, size = struct.unpack_from(">iiqi", answer)
        self.password = answer[20 : 20 + size]
        self.read_only = answer[20 + size] != 0
        return bool(timeout)

    def ask_session(
        self, timeout_ms: int, session_id: int, password: bytes, read_only: bool
    ) -> bytes | None:
        """Send a ConnectRequest; the answer, None where the server closes instead."""
        password = password or bytes(16)
        self.send(
            struct.pack(">iqiqi", 0, 0, timeout_ms, session_id, len(password))
            + password
            + bytes([read_only])
        )
        return self.read()

    def request(self, xid: int, op: int, body: bytes = b"") -> None:
        self.send(struct.pack(">ii", xid, op) + body)

    def reply(self) -> tuple[int, int, int, bytes]:
        """xid, zxid, err, body of the next frame."""
        frame = self.read()
        assert frame is not None, "the server closed the connection"
        xid, zxid, err = struct.unpack_from(">iqi", frame)
        return xid, zxid, err, frame[16:]

    def close(self) -> None:
        self.sock.close()


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">i", len(raw)) + raw


OPEN_ACL = struct.pack(">ii", 1, 31) + text("world") + text("anyone")


def create_body(path: str, data: bytes = b"", flags: int = 0) -> bytes:
    return text(path) + struct.pack(">i", len(data)) + data + OPEN_ACL + struct.pack(">i", flags)


def set_body(path: str, data: bytes, version: int = -1) -> bytes:
    return text(path) + struct.pack(">i", len(data)) + data + struct.pack(">i", version)
