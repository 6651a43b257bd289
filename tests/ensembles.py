"""Ensembles of real server processes on loopback, each member ours or Apache's.

A member's data folder outlives its process: it may be killed, paused, and started again as the
other software on what it left. Nothing here judges what the servers do: that is `tests/chaos`.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests import forks
from tests.ports import free_ports

READY_TIMEOUT_S: Final = 60.0  # three JVMs on a busy machine
WORD_TIMEOUT_S: Final = 2.0
STOP_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.02
STOPPED_WITHIN_S: Final = 10.0
OURS: Final = [sys.executable, "-m", forks.MODULE]
APACHE_MAIN: Final = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
SETTINGS: Final[Mapping[str, object]] = {
    "tickTime": 2000,
    "initLimit": 10,
    "syncLimit": 5,
    "maxClientCnxns": 0,
    "clientPortAddress": "127.0.0.1",
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
}


@dataclass(frozen=True)
class Software:
    """What runs a member: a command to which the configuration file's path is added."""

    name: str
    command: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        return self.name == "ours"


def ours(*flags: str, python: str = sys.executable) -> Software:
    """Our server; flags as `-Dzookeeper.snapCount=60`."""
    return Software("ours", (python, "-m", forks.MODULE, "server", *flags))


def apache(classpath: str, *flags: str) -> Software:
    """Apache's server from the jars in `classpath`."""
    return Software("apache", ("java", *(flags or ("-Xmx512m",)), "-cp", classpath, APACHE_MAIN))


@dataclass
class Member:
    """One server of an ensemble: its folder, its ports, and its process while it runs."""

    sid: int
    folder: Path
    software: Software
    is_observer: bool = False
    config: dict[str, object] = field(default_factory=dict)
    wrapper: list[str] = field(default_factory=list)
    process: forks.Process | None = None
    is_paused: bool = False
    keep_config: bool = False  # what the server has made of its zoo.cfg meanwhile
    dials: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Ports by which this member reaches another one's quorum and election ports, where these
    are not the other's own: what stands between can cut them (`tests/chaos/links.py`)."""

    def __post_init__(self) -> None:
        self.client_port, self.quorum_port, self.election_port = free_ports(3)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def data(self) -> Path:
        return Path(str(self.config.get("dataDir", self.folder / "data")))

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.software.name}.log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def write_config(self, members: Iterable["Member"]) -> Path:
        settings = {**SETTINGS, "dataDir": self.data, "clientPort": self.client_port}
        if self.is_observer:
            settings["peerType"] = "observer"
        for other in members:
            host, ports = "127.0.0.1", (other.quorum_port, other.election_port)
            if other.sid in self.dials:
                ports = self.dials[other.sid]
            elif self.dials:
                # Its own address goes to the others with each election connection, and they would
                # call back past what stands between. A wildcard is not called (election.md 1.2).
                host = "0.0.0.0"
            role = "observer" if other.is_observer else "participant"
            settings[f"server.{other.sid}"] = f"{host}:{ports[0]}:{ports[1]}:{role}"
        settings.update(self.config)
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "myid").write_text(f"{self.sid}\n")
        path = self.folder / "zoo.cfg"
        path.write_text("".join(f"{k}={v}\n" for k, v in settings.items() if v is not None))
        return path

    def start(self, members: Iterable["Member"]) -> None:
        """Start the process; it serves when a quorum does (`Ensemble.wait_serving`)."""
        assert not self.is_running, f"server {self.sid} runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = self.folder / "zoo.cfg"
        path = kept if self.keep_config else self.write_config(members)
        with self.log_path.open("ab") as log:
            command = [*self.software.command, str(path)]
            if not self.wrapper and command[:3] == OURS:
                self.process = forks.start(command[3:], log)
            else:
                self.process = forks.command([*self.wrapper, *command], log)

    def word(self, word: str) -> bytes:
        """A four-letter word's answer."""
        with socket.create_connection(("127.0.0.1", self.client_port), WORD_TIMEOUT_S) as sock:
            sock.sendall(word.encode())
            parts: list[bytes] = []
            while part := sock.recv(65_536):
                parts.append(part)
            return b"".join(parts)

    def mode(self) -> str:
        """`leader`, `follower`, `observer`, `read-only`; empty while it does not serve."""
        if not self.is_running or self.is_paused:
            return ""
        with contextlib.suppress(OSError):
            for line in self.word("srvr").decode(errors="replace").splitlines():
                if line.startswith("Mode: "):
                    return line.removeprefix("Mode: ")
        return ""

    def zxid(self) -> int:
        """The last transaction that it has applied; -1 where it serves nobody."""
        found = re.search(rb"Zxid: 0x([0-9a-f]+)", self.word("srvr"))
        return int(found[1], 16) if found else -1

    def log(self) -> str:
        if not self.log_path.exists():
            return f"server {self.sid} has written no log"
        return f"server {self.sid}:\n{self.log_path.read_text(errors='replace')[-4_000:]}"

    def processes(self) -> list[int]:
        """The server, and what it has forked: our log writer and snapshot writers."""
        pids = [] if self.process is None else [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                pids += [int(child) for child in listed.split()]
        return pids

    def kill9(self) -> None:
        """SIGKILL, also while it is paused."""
        if self.process is not None:
            pids = self.processes()
            process, self.process, self.is_paused = self.process, None, False
            for pid in pids:  # a crashed machine takes the log writer with it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        self.resume()
        process, self.process = self.process, None
        process.terminate()
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise AssertionError(f"did not stop on SIGTERM: {self.log()}") from None

    def pause(self) -> None:
        """SIGSTOP for it and its children: all its sockets stay open, nobody answers.

        A thread on another processor goes on for a moment: not behind this call.
        """
        pids = self.processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self.is_paused = True
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while any(has_running_thread(pid) for pid in pids):
            assert time.monotonic() < deadline, f"{pids} do not stand still"
            time.sleep(0.001)

    def resume(self) -> None:
        if self.is_paused:
            self.is_paused = False
            for pid in reversed(self.processes()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


class Ensemble:
    """Members by server id. As a context manager it ends what it has started."""

    def __init__(
        self,
        folder: Path,
        software: Iterable[Software],
        config: Mapping[str, object] | None = None,
        observers: Iterable[Software] = (),
    ) -> None:
        self.folder: Final = folder
        self.config: Final = dict(config or {})
        self.members: Final[dict[int, Member]] = {}
        for one in software:
            self.add(one)
        for one in observers:
            self.add(one, is_observer=True)

    def add(self, software: Software, is_observer: bool = False) -> Member:
        """One member more, with the next id, not started. Running ones do not hear of it."""
        sid = len(self.members) + 1
        folder = self.folder / f"server-{sid}"
        member = Member(sid, folder, software, is_observer, dict(self.config))
        self.members[sid] = member
        return member

    def __enter__(self) -> "Ensemble":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def __getitem__(self, sid: int) -> Member:
        return self.members[sid]

    @property
    def all(self) -> list[Member]:
        return list(self.members.values())

    @property
    def running(self) -> list[Member]:
        return [member for member in self.all if member.is_running and not member.is_paused]

    @property
    def address(self) -> str:
        """A connection string with every member."""
        return ",".join(member.address for member in self.all)

    def start(self, *sids: int) -> "Ensemble":
        """Start these members, or all, without waiting for them."""
        for sid in sids or self.members:
            self.members[sid].start(self.all)
        return self

    def kill(self) -> None:
        for member in self.all:
            member.kill9()

    def stop(self) -> None:
        """Followers first, so that nobody has to elect."""
        for member in sorted(self.all, key=lambda member: member.mode() == "leader"):
            member.stop()

    def leader(self) -> Member | None:
        """Who says that it leads, if exactly one does."""
        leaders = [member for member in self.running if member.mode() == "leader"]
        return leaders[0] if len(leaders) == 1 else None

    def wait_leader(self, within_s: float = READY_TIMEOUT_S) -> Member:
        """Until somebody leads; whoever else runs may still be joining."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            leader = self.leader()
            if leader is not None:
                return leader
            time.sleep(POLL_S)
        raise AssertionError(f"nobody leads within {within_s} s\n{self.logs()}")

    def wait_serving(self, within_s: float = READY_TIMEOUT_S) -> Member:
        """Until every member that runs serves, under one leader; the leader."""
        deadline = time.monotonic() + within_s
        modes: dict[int, str] = {}
        while time.monotonic() < deadline:
            for member in self.all:
                if member.process is not None and member.process.poll() is not None:
                    raise AssertionError(f"server {member.sid} ended\n{member.log()}")
            modes = {member.sid: member.mode() for member in self.running}
            served = [mode for mode in modes.values() if mode in ("leader", "follower", "observer")]
            leaders = [sid for sid, mode in modes.items() if mode == "leader"]
            if len(leaders) == 1 and len(served) == len(modes):
                return self.members[leaders[0]]
            time.sleep(POLL_S)
        raise AssertionError(f"within {within_s} s only {modes}\n{self.logs()}")

    def wait_equal(self, within_s: float = READY_TIMEOUT_S) -> None:
        """Until all running members have applied the same transactions."""
        deadline = time.monotonic() + within_s
        zxids: list[int] = []
        while True:
            zxids = [member.zxid() for member in self.running]
            if len(set(zxids)) == 1 and zxids[0] >= 0:
                return
            assert time.monotonic() < deadline, f"they have applied up to {zxids}"
            time.sleep(0.01)

    def swap(self, sid: int, software: Software) -> None:
        """Stop a member and start it as `software` on the same folder."""
        self.members[sid].stop()
        self.members[sid].software = software
        self.members[sid].start(self.all)

    def logs(self) -> str:
        return "\n".join(member.log() for member in self.all)


def has_running_thread(pid: int) -> bool:
    """Whether a process that was told to stop has not done so yet; one that has ended has none."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return True
    return False
