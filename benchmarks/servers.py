"""Servers under measurement: started on equal terms, watched through /proc, ended by process id."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S: Final = 120.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
APACHE_HEAP: Final = "-Xmx1000m"
APACHE_MAIN: Final = "org.apache.zookeeper.server.quorum.QuorumPeerMain"

# What both get: Apache's defaults, but no limit on connections, and no port besides the client's.
CONFIG: Final = """\
tickTime=2000
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
4lw.commands.whitelist=*
admin.enableServer=false
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s_of(pids: list[int]) -> float:
    """Processor seconds that these have used so far, with those of children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_S


class Server:
    """One server process and its children, on a data folder of its own."""

    def __init__(self, name: str, folder: Path, command: list[str]) -> None:
        self.name: Final = name
        self.folder: Final = folder
        self.port: Final = free_port()
        self._command: Final = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start and wait until it answers; the seconds that took."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "zoo.cfg"
        config.write_text(CONFIG.format(data=self.folder / "data", port=self.port))
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, str(config)], stdout=log, stderr=log, cwd=ROOT
            )
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() - began > READY_TIMEOUT_S:
                raise RuntimeError(f"{self.name} does not start, see {self.folder / 'log'}")
            time.sleep(0.005)
        return time.monotonic() - began

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return b"Mode:" in self.word("srvr")
        return False

    def word(self, word: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall(word.encode())
            parts = []
            while part := sock.recv(65_536):
                parts.append(part)
        return b"".join(parts)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def processes(self) -> list[int]:
        """The server, and what it has forked: our log writer and snapshot writers."""
        assert self._process is not None
        pids = [self._process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                pids += [int(child) for child in listed.split()]
        return pids

    def cpu_s(self) -> float:
        """Processor seconds used so far, with those of children that have ended."""
        return cpu_s_of(self.processes())

    def memory_bytes(self) -> int:
        """Proportional set size: pages that processes share are counted once."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total


def ours(folder: Path) -> Server:
    return Server("Ensemble", folder, [sys.executable, "-m", "ensemble.server.main", "server"])


def apache(folder: Path, libraries: str) -> Server:
    return Server("Apache", folder, ["java", APACHE_HEAP, "-cp", libraries, APACHE_MAIN])


def apache_libraries(given: str) -> str:
    """The class path of Apache's server; empty where there is no Java or no Maven to fetch it."""
    if given:
        return f"{given}/*"
    if not shutil.which("java") or not shutil.which("mvn"):
        return ""
    folder = ROOT / "tests" / "interop" / "java"
    if not list(folder.glob("target/lib/zookeeper-3*.jar")):
        fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"]
        subprocess.run(fetch, cwd=folder, check=True, timeout=300)
    return f"{folder / 'target' / 'lib'}/*"


def is_compiled() -> bool:
    return any((ROOT / "ensemble" / "server").glob("pipeline.cpython-*.so"))
