"""The console as a process of its own, for tests."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.harness import ROOT
from tests.ports import free_port
from tests.ups import is_open

READY_TIMEOUT_S = 100.0


class Run:
    """One `python -m console.run`; what it says and what it logs.

    `environment`: what it has beside, or in the place of, that of the tests; with `ENSEMBLE_VAR` in
    it two share a folder.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.environment = {**os.environ, **(environment or {})}
        self.var = Path((environment or {}).get("ENSEMBLE_VAR", folder / "var"))
        self.out = folder / "out"
        self.log = folder / "log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> "Run":
        command = [sys.executable, "-m", "console.run", "--var", str(self.var), *flags]
        environment = {**self.environment, "ENSEMBLE_CONSOLE_PORT": str(self.port)}
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

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def password(self) -> str:
        """The first operator's, which it has said once."""
        found = re.search(r"Sign in as admin with (\S{20})\n", self.out.read_text())
        assert found is not None, self.out.read_text()
        return found.group(1)
