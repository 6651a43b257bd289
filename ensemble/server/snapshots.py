"""Snapshots while serving: a forked child writes the tree as it was at one instant.

The fork copies page tables, not pages, so the loop stands still for milliseconds however large the
tree is; the kernel copies what the parent changes meanwhile. The child closes every descriptor it
inherited: a client's connection must not stay open because a snapshot is being written. A fork that
fails, or a child that does, costs a snapshot and raises an alarm; it never stops the server
(trust.md B6, F25).
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Final, final

log = logging.getLogger("ensemble.snapshots")

CHILD_NICENESS: Final = 10
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1


@final
class Child:
    """A forked process that does one thing. It keeps no descriptor but those in `keep`.

    Raises:
        OSError: no process can be forked.
    """

    def __init__(self, work: Callable[[], object], keep: set[int]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            run_child(work, keep)

    def watch(
        self, loop: asyncio.AbstractEventLoop, on_done: Callable[["Child", bool], None]
    ) -> None:
        """Call back when it has ended, with whether it succeeded; not after `kill`."""
        pidfd = os.pidfd_open(self.pid)
        loop.add_reader(pidfd, self._reap, loop, pidfd, on_done)

    def _reap(
        self,
        loop: asyncio.AbstractEventLoop,
        pidfd: int,
        on_done: Callable[["Child", bool], None],
    ) -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if self.pid:
            _, status = os.waitpid(self.pid, 0)
            self.pid = 0
            on_done(self, os.waitstatus_to_exitcode(status) == EXIT_OK)

    def kill(self) -> None:
        """End it now. What it was writing is incomplete."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def run_child(work: Callable[[], object], keep: set[int]) -> None:
    code = EXIT_FAILED
    try:
        last = 2
        for fd in sorted(keep):
            os.closerange(last + 1, fd)
            last = fd
        os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
        os.nice(CHILD_NICENESS)
        work()
        code = EXIT_OK
    except BaseException as error:
        os.write(2, f"snapshot child: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(code)


@final
class Snapshotter:
    """Runs at most one child at a time. `write` is called in the child and returns nothing."""

    def __init__(self, on_done: Callable[[int, float, bool], None]) -> None:
        self.on_done: Final = on_done  # zxid, seconds it took, success
        self.child: Child | None = None
        self.last_fork_ms = 0.0
        self._began = 0.0
        self._zxid = 0

    @property
    def running(self) -> bool:
        return self.child is not None

    def start(
        self, loop: asyncio.AbstractEventLoop, zxid: int, write: Callable[[], object]
    ) -> bool:
        """Fork. False: a snapshot is running already, or the fork failed (logged)."""
        if self.running:
            return False
        self._began = time.monotonic()
        self._zxid = zxid
        try:
            child = Child(write, set())
        except OSError as error:
            log.error("snapshot %#x skipped, cannot fork: %s", zxid, error.strerror)
            return False
        self.last_fork_ms = (time.monotonic() - self._began) * 1e3
        self.child = child
        child.watch(loop, self._on_done)
        return True

    def _on_done(self, child: Child, ok: bool) -> None:
        self.child = None
        took_s = time.monotonic() - self._began
        if ok:
            log.info(
                "snapshot %#x written in %.2f s, fork %.1f ms",
                self._zxid,
                took_s,
                self.last_fork_ms,
            )
        else:
            log.error(
                "snapshot %#x failed; the log is kept, the next one will be tried", self._zxid
            )
        self.on_done(self._zxid, took_s, ok)

    def stop(self) -> None:
        """Do not wait for a child at shutdown: its file is temporary until it is complete."""
        if self.child is not None:
            self.child.kill()
            self.child = None
