"""Apache's server and tools as processes, for tests that put them beside ours."""

import contextlib
import socket
import subprocess
import time
from pathlib import Path

from tests.ports import free_port

READY_TIMEOUT_S = 90.0


class ApacheNode:
    """A standalone Apache server on a data folder."""

    def __init__(
        self, folder: Path, data: Path, classpath: str, flags: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.data = data
        self.classpath = classpath
        self.flags = flags
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "ApacheNode":
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "zoo.cfg"
        config.write_text(
            f"tickTime=2000\ndataDir={self.data}\nclientPort={self.port}\n"
            "clientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\nadmin.enableServer=false\n"
            "maxClientCnxns=0\nextendedTypesEnabled=true\n"
        )
        with (self.folder / "apache.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx512m", *self.flags, "-cp", self.classpath]
                + ["org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "Apache's server ended; its data may be refused"
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock,
            ):
                sock.sendall(b"srvr")
                if b"Mode:" in sock.recv(4096):
                    return self
            time.sleep(0.05)
        raise AssertionError("Apache's server is not ready")

    def kill9(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def run_tool(classpath: str, main: str, *arguments: str) -> str:
    """One of the tools in Apache's jar; what it prints."""
    done = subprocess.run(
        ["java", "-Xmx256m", "-cp", classpath, main, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
