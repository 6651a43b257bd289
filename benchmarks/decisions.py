"""The numbers in docs/decisions, measured again: `python -m benchmarks.decisions [1 ... 5]`.

Each is a small experiment with the alternative that was not taken beside the one that was. On a
machine that does other things, run it a few times: most print the best of their rounds.
"""

import asyncio
import contextlib
import os
import queue
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Final, cast

from librt.strings import BytesWriter, write_i32_be, write_i64_be

from benchmarks.servers import ROOT, free_port
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout
from ensemble.storage.snapfile import save
from ensemble.tree.acl import AclSchemes, DigestScheme, IpScheme, WorldScheme
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import is_legal
from ensemble.tree.prepare import PrepareOptions, Preparer, WriteRequest
from ensemble.wire import codes
from ensemble.wire.jute import reader_of, write_buffer, write_int
from ensemble.wire.records import Acl, Id, write_acl_vector

ROUNDS: Final = 5
DATA: Final = bytes(100)
SESSION: Final = 1
SYNCS: Final = 200
BATCH_BYTES: Final = 8_192
PIECES_PER_TURN: Final = 50  # of some 20 us each
ECHO_CONNECTIONS: Final = 100
ECHO_MESSAGES: Final = 60_000
ZNODES: Final = 300_000
CONNECT_TIMEOUT_S: Final = 10.0


def best_ns(work: Callable[[int], object], count: int) -> float:
    """Nanoseconds for one of `count` repetitions, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        work(count)
        best = min(best, (time.perf_counter_ns() - began) / count)
    return best


# 1. Paths are bytes


def paths() -> None:
    """What a read pays for its path: as it came, or as text that was decoded and checked."""
    raw = [b"/services/orders/instance-%07d" % number for number in range(1_000)]
    by_bytes = dict.fromkeys(raw, 0)
    by_text = {path.decode(): 0 for path in raw}

    def look_up_bytes(count: int) -> None:
        for number in range(count):
            by_bytes[raw[number % 1_000]]

    def look_up_text(count: int) -> None:
        for number in range(count):
            by_text[raw[number % 1_000].decode()]

    def look_up_checked(count: int) -> None:
        for number in range(count):
            path = raw[number % 1_000]
            assert is_legal(path)
            by_text[path.decode()]

    base = best_ns(look_up_bytes, 200_000)
    print(f"1. a path of 33 bytes looked up: {base:.0f} ns as bytes; decoded first, ", end="")
    print(f"{best_ns(look_up_text, 200_000):.0f} ns; decoded and checked, ", end="")
    print(f"{best_ns(look_up_checked, 200_000):.0f} ns")


# 2. Compiled with mypyc


def create_body(path: bytes) -> bytes:
    out = BytesWriter()
    write_buffer(out, path)
    write_buffer(out, DATA)
    write_acl_vector(out, [Acl(31, Id("world", "anyone"))])
    write_int(out, codes.CREATE_PERSISTENT)
    return out.getvalue()


def set_body(path: bytes) -> bytes:
    out = BytesWriter()
    write_buffer(out, path)
    write_buffer(out, DATA)
    write_int(out, codes.VERSION_ANY)
    return out.getvalue()


class Writes:
    """Requests through prepare and apply, on a tree of their own."""

    def __init__(self) -> None:
        self.tree: Final = DataTree()
        self.tree.sessions[SESSION] = 30_000
        schemes = AclSchemes([WorldScheme(), IpScheme(), DigestScheme()])
        self.preparer: Final = Preparer(self.tree, schemes, PrepareOptions())
        self.ids: Final = [Id("ip", "127.0.0.1")]

    def write(self, op: int, body: bytes) -> None:
        zxid = self.tree.last_zxid + 1
        request = WriteRequest(SESSION, 1, op, reader_of(body), self.ids)
        prepared = self.preparer.prepare(request, zxid, 1_000)
        assert prepared.error == 0
        apply(self.tree, prepared.header, prepared.txn, prepared.sums)
        self.preparer.on_applied(prepared)

    def fill(self, count: int) -> None:
        parent = b""
        for number in range(count):
            if number % 1_000 == 0:
                parent = b"/p%05d" % (number // 1_000)
                self.write(codes.OP_CREATE, create_body(parent))
            self.write(codes.OP_CREATE, create_body(parent + b"/n%07d" % number))


def header_by_librt(count: int) -> None:
    for number in range(count):
        out = BytesWriter()
        write_i32_be(out, 16)
        write_i32_be(out, number)
        write_i64_be(out, number)
        write_i32_be(out, 0)
        out.getvalue()


def header_by_struct(count: int) -> None:
    layout = struct.Struct(">iiqi")
    for number in range(count):
        out = bytearray()
        out += layout.pack(16, number, number, 0)
        bytes(out)


def writes() -> None:
    """Prepare and apply, in this process's way of running them."""
    made = Writes()
    made.write(codes.OP_CREATE, create_body(b"/a"))
    body = set_body(b"/a")
    number = 0

    def sets(count: int) -> None:
        for _ in range(count):
            made.write(codes.OP_SET_DATA, body)

    def creates(count: int) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            made.write(codes.OP_CREATE, create_body(b"/a/n%07d" % number))

    def bodies(count: int) -> None:
        for other in range(count):
            create_body(b"/a/n%07d" % other)

    made_sets = best_ns(sets, 5_000) / 1e3
    made_creates = (best_ns(creates, 5_000) - best_ns(bodies, 5_000)) / 1e3
    print(f"a set {made_sets:.1f} us, a create {made_creates:.1f} us")


def compiled() -> None:
    """Prepare and apply compiled and interpreted; a reply's header in two ways."""
    for name, value in (("as installed", ""), ("interpreted", "1")):
        environment = {**os.environ, "ENSEMBLE_PURE": value, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", "from benchmarks import decisions; decisions.writes()"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        print(f"2. prepare and apply {name}: {done.stdout.strip()}")
    ours = best_ns(header_by_librt, 200_000)
    theirs = best_ns(header_by_struct, 200_000)
    print(f"2. a reply's header from interpreted code: librt {ours:.0f} ns, struct {theirs:.0f} ns")


# 3. The log in a process of its own


class Folder:
    """A file to sync, on the disk of the working directory."""

    def __init__(self) -> None:
        self.folder: Final = tempfile.TemporaryDirectory(dir=".")
        self.fd: Final = os.open(os.path.join(self.folder.name, "log"), os.O_CREAT | os.O_WRONLY)
        os.write(self.fd, bytes(SYNCS * BATCH_BYTES * 2))
        os.fsync(self.fd)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def sync(self, batch: bytes) -> None:
        os.write(self.fd, batch)
        os.fdatasync(self.fd)


def busy_until(sock: socket.socket) -> int:
    """What the loop does meanwhile: turns of a millisecond without a system call, as with
    pipelined requests, and a look at its sockets.
    """
    pieces = 0
    while True:
        for _ in range(PIECES_PER_TURN):
            sum(range(1_000))
        pieces += PIECES_PER_TURN
        with contextlib.suppress(BlockingIOError):
            sock.recv(1)
            return pieces


def time_batches(submit: Callable[[bytes], None], ours: socket.socket) -> str:
    batch = bytes(BATCH_BYTES)
    took = []
    pieces = 0
    ours.setblocking(False)
    for _ in range(SYNCS):
        began = time.perf_counter_ns()
        submit(batch)
        pieces += busy_until(ours)
        took.append((time.perf_counter_ns() - began) / 1e3)
    total_s = sum(took) / 1e6
    took.sort()
    return (
        f"median {took[SYNCS // 2]:,.0f} us, p90 {took[SYNCS * 9 // 10]:,.0f} us, "
        f"{pieces / total_s:,.0f} pieces of other work a second"
    )


def by_thread(switch_s: float) -> str:
    folder = Folder()
    ours, theirs = socket.socketpair()
    batches: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def run() -> None:
        while batch := batches.get():
            folder.sync(batch)
            theirs.send(b"x")

    before = sys.getswitchinterval()
    sys.setswitchinterval(switch_s)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        return time_batches(batches.put, ours)
    finally:
        batches.put(b"")
        thread.join()
        sys.setswitchinterval(before)


def by_process() -> str:
    folder = Folder()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while batch := theirs.recv(BATCH_BYTES, socket.MSG_WAITALL):
            folder.sync(batch)
            theirs.send(b"x")
        os._exit(0)
    theirs.close()
    try:
        return time_batches(ours.sendall, ours)
    finally:
        ours.close()
        os.waitpid(pid, 0)


def log() -> None:
    """A batch of 8 KB written and synced while the interpreter's lock is busy."""
    folder = Folder()
    alone = []
    for _ in range(SYNCS):
        began = time.perf_counter_ns()
        folder.sync(bytes(BATCH_BYTES))
        alone.append((time.perf_counter_ns() - began) / 1e3)
    alone.sort()
    print(f"3. a sync of 8 KB with nothing beside it: median {alone[SYNCS // 2]:.0f} us")
    print(f"3. by a thread, switching every 5 ms: {by_thread(0.005)}")
    print(f"3. by a thread, switching every 0.1 ms: {by_thread(0.0001)}")
    print(f"3. by a process: {by_process()}")


# 4. An epoll of our own


class EchoProtocol(asyncio.Protocol):
    """asyncio's lower interface: a callback for what came in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def echo_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def echo_by_asyncio(kind: str, port: int) -> None:
    if kind == "streams":
        await asyncio.start_server(echo_streams, "127.0.0.1", port)
    else:
        await asyncio.get_running_loop().create_server(EchoProtocol, "127.0.0.1", port)
    await asyncio.Event().wait()


def serve_echo(kind: str, port: int, loop: str) -> None:
    """In a process of its own: echo until killed."""
    import uvloop

    from benchmarks.echo import serve

    work = serve(port) if kind == "epoll" else echo_by_asyncio(kind, port)
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


def cpu_us_of_echo(kind: str, loop: str) -> float:
    """Processor time of an echo server for one message on one of a hundred busy connections."""
    port = free_port()
    command = f"from benchmarks import decisions; decisions.serve_echo({kind!r}, {port}, {loop!r})"
    child = subprocess.Popen([sys.executable, "-c", command], cwd=ROOT)
    try:
        sockets = [connect(port) for _ in range(ECHO_CONNECTIONS)]
        message = bytes(64)
        before = cpu_s(child.pid)
        for _ in range(ECHO_MESSAGES // ECHO_CONNECTIONS):
            for sock in sockets:
                sock.sendall(message)
            for sock in sockets:
                sock.recv(64, socket.MSG_WAITALL)
        used = cpu_s(child.pid) - before
        for sock in sockets:
            sock.close()
    finally:
        child.kill()
        child.wait()
    return used / ECHO_MESSAGES * 1e6


def connect(port: int) -> socket.socket:
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has used, kernel included."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def epoll() -> None:
    """An echo on 100 connections with one message each under way."""
    for loop in ("uvloop", "asyncio"):
        for kind in ("streams", "protocols", "epoll"):
            rounds = sorted(cpu_us_of_echo(kind, loop) for _ in range(3))
            text = ", ".join(f"{used:.1f}" for used in rounds)
            print(f"4. {loop}, {kind}: {text} us of processor for a message")


# 5. Snapshots by a forked child


def fork() -> None:
    """How long the server stands still, and how long the child writes."""
    made = Writes()
    made.fill(ZNODES)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    forks = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        forks.append((time.perf_counter() - began) * 1e3)
        os.waitpid(pid, 0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        layout = Layout(folder)
        layout.make_folders(OsDisk())
        began = time.perf_counter()
        save(OsDisk(), layout, made.tree)
        took_s = time.perf_counter() - began
    print(
        f"5. {ZNODES:,} znodes of 100 bytes in {memory_mb} MB: a fork {min(forks):.1f} to "
        f"{max(forks):.1f} ms, a snapshot {took_s:.2f} s"
    )


EXPERIMENTS: Final = {"1": paths, "2": compiled, "3": log, "4": epoll, "5": fork}


def main() -> int:
    wanted = sys.argv[1:] or list(EXPERIMENTS)
    unknown = set(wanted) - set(EXPERIMENTS)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known are 1 to 5", file=sys.stderr)
        return 2
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    for name in wanted:
        EXPERIMENTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
