"""Server processes by fork: one process has imported the server already, and each start is a copy.

A third of a second of processor for imports, times the starts of a whole run, is minutes. The copy
runs the same `main` as the command line, with the same arguments, folder, environment and files;
`tests/test_up.py`, the interoperation tests and whoever needs a wrapper or another environment
start the command itself.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parent.parent
MODULE: Final = "ensemble.server.main"
# What a server imports, and what only one with an admin port or as a member does.
IMPORTED: Final = (
    MODULE,
    "ensemble.server.node",
    "ensemble.server.admin_port",
    "ensemble.server.peering",
)
MESSAGE_MAX: Final = 1 << 20
OF_TESTS: Final = ("PYTEST_CURRENT_TEST",)  # what differs from test to test and means nothing


class Forked:
    """A copy that runs; what tests use of `subprocess.Popen`."""

    def __init__(self, parent: "Parent", pid: int, args: list[str]) -> None:
        self.args: Final = args
        self.pid: Final = pid
        self.returncode: int | None = None
        self._parent: Final = parent
        self._descriptor: Final = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None and self._has_ended(0):
            self._learn()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not self._has_ended(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._learn()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        return bool(select.select([self._descriptor], [], [], timeout)[0])

    def _learn(self) -> None:
        self.returncode = self._parent.status(self.pid)
        os.close(self._descriptor)


Process = Forked | subprocess.Popen[bytes]


class Parent:
    """The process that has imported the server, and copies itself when it is asked to."""

    def __init__(self) -> None:
        self.environment: Final = own_environment()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process: Final = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._socket: Final = ours
        atexit.register(self.end)

    def start(self, arguments: list[str], log: IO[bytes]) -> Forked:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        asked = {"arguments": arguments, "environment": environment}
        socket.send_fds(self._socket, [json.dumps(asked).encode()], [log.fileno()])
        pid = int(self._socket.recv(MESSAGE_MAX))
        return Forked(self, pid, [MODULE, *arguments])

    def status(self, pid: int) -> int:
        """How a copy that has ended has ended, as `Popen.returncode` says it."""
        self._socket.send(json.dumps({"status": pid}).encode())
        return int(self._socket.recv(MESSAGE_MAX))

    def end(self) -> None:
        """It ends when nobody can ask any more; its copies are for their tests to end."""
        self._socket.close()
        self._process.wait(10)


_parents: list[Parent] = []


def start(arguments: list[str], log: IO[bytes]) -> Process:
    """`python -m ensemble.server.main` with these arguments; both outputs go to the log."""
    if not _parents:
        _parents.append(Parent())
    parent = _parents[0]
    if own_environment() == parent.environment:
        return parent.start(arguments, log)
    return command([sys.executable, "-m", MODULE, *arguments], log)


def command(line: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """A command itself, where a copy would not do."""
    return subprocess.Popen(
        line,
        cwd=ROOT,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def own_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OF_TESTS}


def serve(descriptor: int) -> None:
    """The parent's side: import, then copy and report until the tests are gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    asked = socket.socket(fileno=descriptor)
    while True:
        message, files, _, _ = socket.recv_fds(asked, MESSAGE_MAX, 1)
        if not message:
            return
        order = json.loads(message)
        if "status" in order:
            _, status = os.waitpid(order["status"], 0)
            asked.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            asked.close()
            run(order["arguments"], order["environment"], files[0])
        os.close(files[0])
        asked.send(str(pid).encode())


def run(arguments: list[str], environment: dict[str, str], log: int) -> None:
    """The copy's side: as if the command had been started. Does not return."""
    from ensemble.server.main import main

    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for output in (1, 2):
            os.dup2(log, output)
        os.close(log)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [MODULE, *arguments]
        status = main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
