"""A real `ensemble up` for tests, with what it printed. Loopback, ended by process id."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ensemble.up.control import NodeReport, list_nodes
from ensemble.up.folder import NodeFiles, load
from tests.harness import ROOT
from tests.ports import free_ports

READY = "Ctrl-C stops everything"
WITHIN_S = 60.0
KINDS = ("client", "admin", "quorum", "election")
PORTS_EACH = 10  # of a kind: five nodes and observers


class Up:
    """One folder, and the `ensemble up` that works there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / "up.log"
        ports = free_ports(len(KINDS) * PORTS_EACH + 1, in_a_row=True)
        self.base, self.console_port = ports[0], ports[-1]
        self.process: subprocess.Popen[bytes] | None = None

    def port(self, kind: str, sid: int = 1) -> int:
        return self.base + KINDS.index(kind) * PORTS_EACH + sid - 1

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port('client')}"

    def port_flags(self) -> list[str]:
        flags = [f"--{kind}-port={self.port(kind)}" for kind in KINDS]
        return [*flags, f"--console-port={self.console_port}"]

    def start(self, *flags: str, ports: bool = True) -> "Up":
        command = [sys.executable, "-m", "ensemble.server.main", "up", "--dir", str(self.folder)]
        command += [*(self.port_flags() if ports else ()), *flags]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        return self

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_said(self, text: str) -> None:
        assert self.process is not None
        deadline = time.monotonic() + WITHIN_S
        while re.search(text, self.said) is None:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"{text!r} was not said:\n{self.said}"
            time.sleep(0.02)

    def wait_ready(self) -> "Up":
        self.wait_said(READY)
        return self

    def wait_nodes(self, wanted: Callable[[list[NodeReport]], bool]) -> list[NodeReport]:
        """Until what `up` knows of its nodes is as wanted."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            nodes = list_nodes(self.folder)
            if wanted(nodes):
                return nodes
            assert time.monotonic() < deadline, f"{nodes}\n{self.said}"
            time.sleep(0.05)

    def files(self) -> list[NodeFiles]:
        return load(self.folder)

    def leader(self) -> int:
        nodes = self.wait_nodes(lambda nodes: any(n.mode == "leader" for n in nodes))
        return next(node.id for node in nodes if node.mode == "leader")

    def pid_of(self, what: str) -> int:
        """The process whose command line has this: `node2/zoo.cfg`, `console.asgi`."""
        for pid in self.children():
            if what.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError(f"no {what} among the processes\n{self.said}")

    def children(self) -> list[int]:
        assert self.process is not None
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in Path(path).read_text().split()]

    def ask_to_stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait_end(self) -> int:
        assert self.process is not None
        return self.process.wait(WITHIN_S)

    def stop(self) -> int:
        self.ask_to_stop()
        return self.wait_end()

    def clean_up(self) -> None:
        """Whatever became of the test."""
        if self.process is None or self.process.poll() is not None:
            return
        left = self.children()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        self.process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_running(pid: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def group_of(pid: int) -> list[int]:
    """All processes of its group, which begins with its id."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[2]) == pid and fields[0] != "Z":
                    found.append(int(path.name))
    return found


def wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while left := [member for pid in pids for member in group_of(pid)]:
        assert time.monotonic() < deadline, f"{left} are left"
        time.sleep(0.05)
