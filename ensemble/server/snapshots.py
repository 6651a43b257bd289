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
import time
from collections.abc import Callable
from typing import Final, final

log = logging.getLogger("ensemble.snapshots")

CHILD_NICENESS: Final = 10
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1


@final
class Snapshotter:
    """Runs at most one child at a time. `write` is called in the child and returns nothing."""

    def __init__(self, on_done: Callable[[int, float, bool], None]) -> None:
        self.on_done: Final = on_done  # zxid, seconds it took, success
        self.child_pid = 0
        self.last_fork_ms = 0.0
        self._began = 0.0
        self._zxid = 0

    @property
    def running(self) -> bool:
        return self.child_pid != 0

    def start(
        self, loop: asyncio.AbstractEventLoop, zxid: int, write: Callable[[], object]
    ) -> bool:
        """Fork. False: a snapshot is running already, or the fork failed (logged)."""
        if self.running:
            return False
        self._began = time.monotonic()
        self._zxid = zxid
        try:
            pid = os.fork()
        except OSError as error:
            log.error("snapshot %#x skipped, cannot fork: %s", zxid, error.strerror)
            return False
        if pid == 0:
            self._run_child(write)
        self.last_fork_ms = (time.monotonic() - self._began) * 1e3
        self.child_pid = pid
        pidfd = os.pidfd_open(pid)
        loop.add_reader(pidfd, self._reap, loop, pidfd)
        return True

    def _run_child(self, write: Callable[[], object]) -> None:
        code = EXIT_FAILED
        try:
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.nice(CHILD_NICENESS)
            write()
            code = EXIT_OK
        except BaseException as error:
            os.write(2, f"snapshot child: {error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(code)

    def _reap(self, loop: asyncio.AbstractEventLoop, pidfd: int) -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(self.child_pid, 0)
        self.child_pid = 0
        ok = os.waitstatus_to_exitcode(status) == EXIT_OK
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
        if self.child_pid:
            os.kill(self.child_pid, 9)
            os.waitpid(self.child_pid, 0)
            self.child_pid = 0
