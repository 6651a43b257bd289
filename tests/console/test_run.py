"""The console alone, as `ensemble up` starts it: makes ready what is its own, becomes Daphne."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.ports import free_port
from tests.ups import is_open

READY_TIMEOUT_S = 100.0


class Run:
    """One `python -m console.run`; what it says and what it logs."""

    def __init__(self, folder: Path) -> None:
        self.var = folder / "var"
        self.out = folder / "out"
        self.log = folder / "log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> "Run":
        command = [sys.executable, "-m", "console.run", "--var", str(self.var), *flags]
        environment = {**os.environ, "ENSEMBLE_CONSOLE_PORT": str(self.port)}
        with self.out.open("wb") as out, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=log, env=environment
            )
        return self

    def wait_open(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        assert self.process is not None
        while not is_open(self.port):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(READY_TIMEOUT_S)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()
        run.process.wait()


def test_it_makes_its_own_ready_and_shows_the_first_password_once_and_never_in_the_log(
    run: Run,
) -> None:
    run.start("--zookeeper", "127.0.0.1:1,127.0.0.1:2").wait_open()
    password = re.search(r"Sign in as admin with (\S{20})\n", run.out.read_text())
    assert password is not None
    assert password.group(1) not in run.log.read_text()
    with urllib.request.urlopen(f"http://127.0.0.1:{run.port}/health", timeout=10) as answer:
        assert answer.read() == b"ok\n"
    assert run.stop() in (0, -signal.SIGTERM)
    run.start().wait_open()
    assert run.out.read_text() == ""
    assert run.stop() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_refused(text: str, run: Run) -> None:
    process = run.start(f"--port={text}").process
    assert process is not None
    assert process.wait(READY_TIMEOUT_S) == 2
    assert f"'{text}' is not a port" in run.log.read_text()
