"""One child process: started, started again with growing pauses, stopped for certain."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
STEADY_S: Final = 60.0  # who ran for so long begins again with the shortest pause
TAIL_BYTES: Final = 4_096
PROJECT: Final = Path(__file__).parent.parent.parent
PR_SET_PDEATHSIG: Final = 1

RUNNING: Final = "runs"
WAITING: Final = "waits"
ENDED: Final = "ended"


def dies_with_parent() -> None:
    """In the child: a signal when this process is killed, so that nothing is ever left behind."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class Process:
    """A command that should run. `state` is one of the words above."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log_path: Path,
        environment: Mapping[str, str],
        shares_output: bool = False,
    ) -> None:
        self.name: Final = name
        self.command: Final = command
        self.log_path: Final = log_path
        self.environment: Final = environment
        self.shares_output: Final = shares_output
        self.child: subprocess.Popen[bytes] | None = None
        self.state = ENDED
        self.starts = 0
        self.pause_s = PAUSE_FIRST_S
        self.due_s = 0.0
        self.began_s = 0.0

    @property
    def pid(self) -> int:
        return 0 if self.child is None else self.child.pid

    def start(self) -> None:
        """In a session of its own: Ctrl-C reaches `up` alone, which stops everything in order.

        Raises:
            OSError: no process can be made.
        """
        with self.log_path.open("ab") as log:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=None if self.shares_output else log,
                stderr=log,
                env={**os.environ, **self.environment},
                cwd=PROJECT,
                start_new_session=True,
                preexec_fn=dies_with_parent,
            )
        self.state = RUNNING
        self.starts += 1
        self.began_s = time.monotonic()

    def ended(self) -> int | None:
        """Its status, if it ran and has ended since."""
        if self.state != RUNNING or self.child is None:
            return None
        status = self.child.poll()
        if status is not None:
            self.state = ENDED
        return status

    def wait_to_restart(self) -> float:
        """Plan the next start; the seconds until then."""
        now_s = time.monotonic()
        if now_s - self.began_s >= STEADY_S:
            self.pause_s = PAUSE_FIRST_S
        pause_s = self.pause_s
        self.pause_s = min(PAUSE_MAX_S, 2 * pause_s)
        self.due_s = now_s + pause_s
        self.state = WAITING
        return pause_s

    def is_due(self) -> bool:
        return self.state == WAITING and time.monotonic() >= self.due_s

    def ask_to_stop(self) -> None:
        self.state = ENDED
        if self.is_alive() and self.child is not None:
            self.child.terminate()

    def is_alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def kill(self) -> None:
        """It and what it has started: they are a group that begins with its id."""
        if self.is_alive() and self.child is not None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def last_words(self, lines: int = 1) -> str:
        """The end of its log; what would steer a terminal is a question mark."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = file.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""
        shown = text.strip().splitlines()[-lines:]
        return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in shown)
