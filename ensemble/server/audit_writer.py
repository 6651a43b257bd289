"""The audit's process: takes records from the node, makes lines, hashes, writes, syncs.

A message is looked at first, its lines are written, and only then is it taken out of the socket. So
a process that is killed loses nothing: the next one finds the message still there, and by the
numbers in it which of its records have their lines already.

What cannot be written, because the disk is full or broken, is counted, and a line says so as soon
as lines can be written again. It ends when the node's end of the socket is closed.
"""

import fcntl
import os
import select
import signal
import socket
import struct
import time
import traceback
from typing import Final, final

from ensemble.errors import EnsembleError
from ensemble.server import audit_records
from ensemble.server.audit_chain import Chain
from ensemble.server.audit_lines import LineMaker
from ensemble.server.audit_records import Record, read_message

STATUS: Final = struct.Struct(">qqqq32s")  # segment, seq, lines of this process, missing, head
MESSAGE_BYTES_MAX: Final = 1 << 20
RETRY_S: Final = 1.0  # between attempts to write after a failure
LOCK_NAME: Final = "lock"


@final
class Writer:
    """One process's work. `run`: the name of the node's run, `is_first`: it begins just now."""

    def __init__(self, chain: Chain, run: str, is_first: bool, sync_ms: int) -> None:
        self.chain: Final = chain
        self.run: Final = run
        self.is_first: Final = is_first
        self.sync_s: Final = sync_ms / 1_000
        self.lines: Final = LineMaker(chain.node)
        self.written = 0
        self.missing = 0
        # What could not be written: numbers of records, and zxids.
        self.lost: list[int] = []
        self.lost_why = ""
        self.next_try_s = 0.0
        self.sync_due_s = 0.0
        self.notes: list[str] = []
        self.is_resumed = False
        self.known = -1  # records up to this one of this run have their lines

    def resume(self) -> None:
        """Find the end of the chain; tried again with every message until it works."""
        for note in self.chain.resume():
            self.notes.append(self.lines.note("resume", note, wall_ms()))
        if not self.is_first:
            self.notes.append(
                self.lines.note("resume", "the audit process ended and was begun anew", wall_ms())
            )
            if self.chain.run == self.run:
                self.known = self.chain.number
        self.is_resumed = True

    def take(self, message: bytes, now_s: float) -> None:
        """Write a message's lines. Does not fail: what cannot be written is remembered."""
        fresh = [r for r in read_message(message) if last_number(r) > self.known]
        if not fresh:
            return
        if self.lost and now_s < self.next_try_s:
            self.lose(fresh)
            return
        try:
            if not self.is_resumed:
                self.resume()
                fresh = [r for r in fresh if last_number(r) > self.known]
            self.write(fresh)
        except (OSError, EnsembleError) as error:
            self.lost_why = f"writing failed: {error}"
            self.next_try_s = now_s + RETRY_S
            self.lose(fresh)
            return
        if self.chain.is_dirty and self.sync_due_s == 0.0:
            self.sync_due_s = now_s + self.sync_s

    def write(self, records: list[Record]) -> None:
        """All lines that are due, in one write."""
        run = self.chain.run
        texts = list(self.notes)
        if self.lost:
            number, number_to, zxid, zxid_to = self.lost
            texts.append(
                self.lines.gap(number, number_to, zxid, zxid_to, self.lost_why, wall_ms(), self.run)
            )
            run = self.run
        for record in records:
            if record.op == audit_records.START:
                run = self.run
                texts.append(self.lines.start(record, run))
            elif record.op == audit_records.GAP:
                texts.append(
                    self.lines.gap(
                        int(record.number),
                        last_number(record),
                        int(record.zxid),
                        int(record.session_id),
                        record.principal.decode(),
                        int(record.time_ms),
                        run,
                    )
                )
            else:
                texts.append(self.lines.event(record))
        if not texts:
            return
        self.chain.append(texts)
        self.chain.run = run
        self.notes.clear()
        self.written += len(texts)
        for record in records:
            if record.op == audit_records.GAP:
                self.missing += last_number(record) - int(record.number) + 1
        if self.lost:
            self.known = self.lost[1]
            self.lost = []
        if records:
            self.known = last_number(records[-1])
        self.chain.number = self.known

    def lose(self, records: list[Record]) -> None:
        """These get no lines of their own."""
        for record in records:
            last = last_number(record)
            zxid, zxid_to = int(record.zxid), int(record.zxid)
            if record.op == audit_records.GAP:
                zxid_to = int(record.session_id)
            self.missing += last - int(record.number) + 1
            if not self.lost:
                self.lost = [int(record.number), last, zxid, zxid_to]
            else:
                self.lost[1] = last
                self.lost[2] = self.lost[2] or zxid
                self.lost[3] = zxid_to or self.lost[3]
            self.known = last

    def on_time(self, now_s: float) -> bool:
        """Sync when it is due, try again what failed. True: there is news for the node."""
        if self.lost and now_s >= self.next_try_s:
            self.next_try_s = now_s + RETRY_S
            try:
                if not self.is_resumed:
                    known = self.known
                    self.resume()
                    self.known = known
                self.write([])
                self.sync_due_s = self.sync_due_s or now_s
            except (OSError, EnsembleError) as error:
                self.lost_why = f"writing failed: {error}"
        if self.sync_due_s and now_s >= self.sync_due_s:
            self.sync_due_s = 0.0
            self.sync()
            return True
        return False

    def sync(self) -> None:
        try:
            self.chain.sync()
        except OSError as error:
            # Nothing is tried again on this file: the kernel may have dropped what it had.
            reason = f"syncing {self.chain.path(self.chain.segment)} failed: {error}"
            self.chain.abandon()
            self.notes.append(self.lines.note("resume", reason, wall_ms()))

    def wait_s(self, now_s: float) -> float:
        """How long nothing is due; negative: until a message comes."""
        due = self.sync_due_s
        if self.lost and (due == 0.0 or self.next_try_s < due):
            due = self.next_try_s
        return -1.0 if due == 0.0 else max(0.0, due - now_s)

    def status(self) -> bytes:
        chain = self.chain
        return STATUS.pack(
            chain.segment, chain.seq, self.written, self.missing, bytes.fromhex(chain.head)
        )


def last_number(record: Record) -> int:
    """Of a gap the last record that is missing, else the record's own."""
    if record.op == audit_records.GAP:
        return int(record.address)
    return int(record.number)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def serve(end: socket.socket, writer: Writer) -> None:
    """Until the node's end is closed."""
    poll = select.poll()
    poll.register(end.fileno(), select.POLLIN)
    while True:
        if writer.on_time(time.monotonic()):
            tell(end, writer.status())
        wait_s = writer.wait_s(time.monotonic())
        if not poll.poll(-1 if wait_s < 0 else int(wait_s * 1_000) + 1):
            continue
        message = end.recv(MESSAGE_BYTES_MAX, socket.MSG_PEEK)
        if not message:
            return
        writer.take(message, time.monotonic())
        end.recv(1)  # one call takes the whole message out


def tell(end: socket.socket, status: bytes) -> None:
    """A node that does not listen misses nothing: the next status says all again."""
    try:
        end.send(status, socket.MSG_DONTWAIT)
    except OSError:
        pass


def run_child(end: socket.socket, chain: Chain, run: str, is_first: bool, sync_ms: int) -> None:
    """What the forked process does; it never returns."""
    code = 0
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        close_others(end.fileno())
        writer = Writer(chain, run, is_first, sync_ms)
        lock = lock_folder(chain.folder)
        serve(end, writer)
        writer.sync()
        chain.close()
        os.close(lock)
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        os._exit(code)


def lock_folder(folder: str) -> int:
    """Wait until the process of a node that was killed has ended: the lock goes with it."""
    fd = open_lock(folder)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def open_lock(folder: str) -> int:
    os.makedirs(folder, 0o700, exist_ok=True)
    return os.open(os.path.join(folder, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def close_others(keep: int) -> None:
    """All descriptors of the node but the standard ones: ends must be seen to be closed."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd != keep:
            try:
                os.close(fd)
            except OSError:
                pass
