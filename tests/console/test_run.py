"""One command starts a node and the console, and stops both. Real processes."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, free_port

READY_TIMEOUT_S = 60.0
READY = "Ctrl-C stops both"


class Run:
    """One `python -m console.run`, with what it printed."""

    def __init__(self, var: Path, **environment: str) -> None:
        self.var = var
        self.log = var.parent / "run.log"
        self.environment = {**os.environ, **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> "Run":
        command = [sys.executable, "-m", "console.run", "--var", str(self.var), *flags]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, env=self.environment
            )
        return self

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        assert self.process is not None
        while READY not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def wait_end(self) -> int:
        assert self.process is not None
        return self.process.wait(READY_TIMEOUT_S)

    def ask_to_stop(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def children(self) -> list[int]:
        assert self.process is not None
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in Path(path).read_text().split()]


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def run(tmp_path: Path, ports: tuple[int, int]) -> Iterator[Run]:
    run = Run(
        tmp_path / "var",
        ENSEMBLE_CLIENT_PORT=str(ports[0]),
        ENSEMBLE_ADMIN_PORT=str(free_port()),
        ENSEMBLE_CONSOLE_PORT=str(ports[1]),
    )
    yield run
    if run.process is not None and run.process.poll() is None:
        run.ask_to_stop(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait_end()
        run.process.kill()
        run.process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_starts_and_stops_both_and_shows_the_first_password_once(
    run: Run, ports: tuple[int, int]
) -> None:
    run.start().wait_ready()
    assert f"127.0.0.1:{ports[0]}" in run.said
    assert f"http://127.0.0.1:{ports[1]}/" in run.said
    password = re.search(r"Sign in as admin with (\S{20})\n", run.said)
    assert password is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/health", timeout=10) as answer:
        assert answer.read() == b"ok\n"
    run.ask_to_stop(signal.SIGTERM)
    assert run.wait_end() == 0
    assert run.said.endswith("Stopped.\n")
    assert not is_open(ports[0])
    assert not is_open(ports[1])
    for path in run.var.rglob("*"):
        if path.is_file():
            assert password.group(1).encode() not in path.read_bytes(), f"the password is in {path}"
    for name in ("console.key", "zookeeper.auth"):
        assert (run.var / name).stat().st_mode & 0o077 == 0, name

    config = (run.var / "zoo.cfg").read_text()
    began = time.monotonic()
    run.start().wait_ready()
    assert time.monotonic() - began < 20, "later starts have less to do"
    assert "Sign in as" not in run.said
    assert (run.var / "zoo.cfg").read_text() == config
    run.ask_to_stop(signal.SIGINT)
    assert run.wait_end() == 0


@pytest.mark.parametrize(("index", "name"), [(0, "node"), (1, "console")])
def test_if_one_dies_the_other_is_stopped_and_the_reason_is_shown(
    index: int, name: str, run: Run, ports: tuple[int, int]
) -> None:
    run.start().wait_ready()
    os.kill(run.children()[index], signal.SIGKILL)
    assert run.wait_end() == 1
    assert f"The {name} ended with status -9" in run.said
    assert f"The last lines of {run.var / f'{name}.log'}" in run.said
    assert not is_open(ports[1 - index])


def test_a_port_that_is_taken_is_named(run: Run, ports: tuple[int, int]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports[1]))
        other.listen()
        assert run.start().wait_end() == 1
    assert f"Port {ports[1]} is taken" in run.said
    assert not is_open(ports[0])


def test_a_client_port_that_is_taken_at_the_first_start_gives_the_next_one(
    run: Run, ports: tuple[int, int]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports[0]))
        other.listen()
        run.start().wait_ready()
        assert f"ZooKeeper clients   127.0.0.1:{ports[0]}\n" not in run.said
        run.ask_to_stop(signal.SIGINT)
        assert run.wait_end() == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dataDir=/nowhere\n", "has no clientPort"),
        ("clientPort={port}\ndataDir={var}/data\ntickTime=soon\n", "tickTime"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_with_its_reason(
    text: str, words: str, run: Run, ports: tuple[int, int]
) -> None:
    run.var.mkdir()
    (run.var / "zoo.cfg").write_text(text.format(port=ports[0], var=run.var))
    assert run.start().wait_end() == 1
    assert words in run.said
    assert not is_open(ports[1])


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_refused(text: str, run: Run) -> None:
    assert run.start(f"--console-port={text}").wait_end() == 2
    assert f"'{text}' is not a port" in run.said
