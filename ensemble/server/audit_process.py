"""The node's hold on the audit's process: fork it, hand it messages, hear how far it is.

Nothing here waits. The node keeps both ends of the socket pair, so what was sent and not taken
stays there when the process dies, and the next one takes it. A message is whole or not at all
(SOCK_SEQPACKET).
"""

import logging
import os
import signal
import socket
import time
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.server.audit_chain import Chain
from ensemble.server.audit_config import AuditOptions
from ensemble.server.audit_tap import AuditTap
from ensemble.server.audit_writer import STATUS, open_lock, run_child
from ensemble.server.poll import Poll
from ensemble.tenancy.journal_line import NO_HASH

log = logging.getLogger("ensemble.audit.journal")

SOCKET_BUFFER_BYTES: Final = 1 << 20
STATUS_MAX: Final = 64  # read in one turn
RESTART_S: Final = 1.0  # between one process's end and the next one's begin
STOP_TIMEOUT_S: Final = 10.0


@final
class AuditProcess:
    """See above. `segment`, `seq`, `head`: of the last line that is known to be on the disk.

    Raises:
        ConfigError: the folder cannot be used.
    """

    def __init__(self, options: AuditOptions, node: int, run: str) -> None:
        self.options: Final = options
        self.node: Final = node
        self.run: Final = run
        self.segment = 0
        self.seq = 0
        self.head = NO_HASH
        self.lines = 0
        self.missing = 0
        self.restarts = 0
        self.sends_blocked = 0
        self._lines_before = 0  # of processes that have ended
        self._missing_before = 0
        self._lines_now = 0
        self._missing_now = 0
        self._restart_at_s = 0.0
        self.ours, self.childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.ours, self.childs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        self.ours.setblocking(False)
        self.pid = 0
        try:
            os.close(open_lock(options.folder))
        except OSError as error:
            raise ConfigError(
                f"{error.filename}: {error.strerror}", "ensemble.audit.folder"
            ) from None
        self.fork(is_first=True)

    def fork(self, is_first: bool) -> None:
        options = self.options
        chain = Chain(options.folder, self.node, options.segment_bytes, options.keep_bytes)
        pid = os.fork()
        if pid == 0:
            run_child(self.childs, chain, self.run, is_first, options.sync_ms)
        self.pid = pid

    def watch(self, poll: Poll) -> None:
        poll.watch(self.ours.fileno(), self.on_status)

    def hand_over(self, tap: AuditTap) -> None:
        """Give the process what it takes; the rest stays with the tap."""
        messages = tap.messages
        while messages:
            try:
                self.ours.send(messages[0])
            except BlockingIOError:
                self.sends_blocked += 1
                return
            except OSError as error:
                log.error("the audit process cannot be reached: %s", error)
                return
            tap.take_message()

    def on_status(self, events: int = 0) -> None:
        for _ in range(STATUS_MAX):
            try:
                raw = self.ours.recv(STATUS.size)
            except (BlockingIOError, ConnectionError):
                return
            if len(raw) < STATUS.size:
                return
            self.segment, self.seq, self._lines_now, self._missing_now, head = STATUS.unpack(raw)
            self.head = head.hex()
            self.lines = self._lines_before + self._lines_now
            self.missing = self._missing_before + self._missing_now

    def on_tick(self) -> None:
        """Has the process ended? Then another one goes on, a second later."""
        if self.pid:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if not ended:
                return
            self.on_status()
            log.error(
                "the audit process ended (%s): another one goes on with what it has not written",
                os.waitstatus_to_exitcode(status),
            )
            self.pid = 0
            self.restarts += 1
            self._lines_before, self._missing_before = self.lines, self.missing
            self._restart_at_s = time.monotonic() + RESTART_S
        if time.monotonic() >= self._restart_at_s:
            self.fork(is_first=False)

    def stop(self) -> None:
        """Close both ends: the process writes what it has, syncs and ends."""
        if not self.pid:
            self.fork(is_first=False)  # for what the last one has left in the socket
        self.childs.close()
        self.ours.close()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            time.sleep(0.005)
        log.error("the audit process did not end within %d s: killed", int(STOP_TIMEOUT_S))
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
