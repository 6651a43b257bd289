"""A server without its event loop: a test takes its turns, and says what time it is."""

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.server.config import load_config
from ensemble.server.node import Node
from ensemble.tenancy.seat import Seat, Tenant
from ensemble.tenancy.spec import ACTIVE, ENFORCE, WRITER, Limits, TenantSpec
from tests.harness import create_body, set_body, text

CREATE, GET, SET, PING, CLOSE = 1, 4, 5, 11, -11
PING_XID = -2
TURNS_MAX = 20_000
QUIET_S = 2.0
STEP_MS = 500


class World:
    """A standalone node whose turns the test takes. `now_us` moves by `pass_ms` alone."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]
    ) -> None:
        settings: dict[str, object] = {
            "dataDir": folder / "data",
            "clientPort": 0,
            "maxClientCnxns": 0,
            "tickTime": 2_000,
            "preAllocSize": 64,
            "admin.enableServer": "false",
            **config,
        }
        path = folder / "zoo.cfg"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self.now_us = 10_000_000
        monkeypatch.setattr("ensemble.server.node.monotonic_us", lambda: self.now_us)
        monkeypatch.setattr("ensemble.server.node.monotonic_ms", lambda: self.now_us // 1_000)
        self.node = Node(load_config([str(path)], {}))
        self.node.loop = asyncio.new_event_loop()
        self.node.recover()
        self.port = self.node.port
        self.port.poll.watch(self.node.log_writer.notify_fd, self.node.on_log_synced)
        self.number = self.port.listen("127.0.0.1", 0, None)
        self.node.begin_sessions()
        self.node.serving = True
        self.callers: list[Caller] = []

    def close(self) -> None:
        for caller in self.callers:
            caller.sock.close()
        self.port.close()
        self.node.log_writer.stop()
        self.node.loop.close()

    def turn(self) -> bool:
        """One turn; True where another is due."""
        self.node.set_clocks()
        return self.port.on_ready()

    def pass_ms(self, ms: int) -> None:
        self.now_us += ms * 1_000

    def serve_ms(self, ms: int) -> None:
        """Time passes in which the server is awake: sessions age by it."""
        for _ in range(ms // STEP_MS):
            self.pass_ms(STEP_MS)
            self.turn()

    def until(self, is_done: Callable[[], bool]) -> None:
        """Turns until it is so; where nothing is left to do the log is waited for."""
        for _ in range(TURNS_MAX):
            if is_done():
                return
            if not self.turn() and not is_done():
                ready, _, _ = select.select([self.port.epoll], [], [], QUIET_S)
                assert ready, "nothing is due, nothing has come, and it is not done"
        raise AssertionError(f"not within {TURNS_MAX} turns")

    def settle(self) -> None:
        """Turns until nothing is left to do."""
        for _ in range(TURNS_MAX):
            if not self.turn() and self.node.authority.is_idle():
                return
        raise AssertionError(f"not at rest within {TURNS_MAX} turns")

    def tenant(self, slug: str, weight: int = 100, limits: Limits | None = None) -> Tenant:
        """A tenant of the directory, whose root exists."""
        root = f"/tenants/{slug}"
        spec = TenantSpec(
            slug,
            root.encode(),
            ACTIVE,
            ENFORCE,
            weight,
            limits or Limits(),
            [],
            {},
            False,
            0,
        )
        with_roots = self.caller()
        for path in ("/tenants", root):
            with_roots.send(with_roots.frame(CREATE, create_body(path)))
        self.until(lambda: len(with_roots.take()) == 2)
        return self.node.directory.put(spec)

    def scheduler_note(self, tenant: Tenant) -> None:
        """The tenant has work, as far as others have to share with it."""
        self.port.turns.scheduler.note(tenant.flow, self.now_us)

    def caller(self, tenant: Tenant | None = None) -> "Caller":
        """A client with a session, in the tenant's name."""
        caller = Caller(self, 30_000)
        self.callers.append(caller)
        self.until(lambda: caller.hears() and caller.session_id != 0)
        if tenant is not None:
            conn = self.node.pipeline.session_connections[caller.session_id]
            conn.seat = Seat(tenant, tenant.view, WRITER, f"app@{tenant.spec.slug}")
        return caller


class Caller:
    """A socket, and the replies on it in the order in which they came: xid and error."""

    def __init__(self, world: World, timeout_ms: int) -> None:
        self.world = world
        self.sock = socket.create_connection(("127.0.0.1", world.number))
        self.sock.setblocking(False)
        self.session_id = 0
        self.buffer = b""
        self.next_xid = 1
        self.replies: list[tuple[int, int]] = []
        self.bodies: list[bytes] = []
        self.ended = False
        hello = struct.pack(">iqiqi", 0, 0, timeout_ms, 0, 16) + bytes(17)
        self.send(struct.pack(">i", len(hello)) + hello)

    def frame(self, op: int, body: bytes = b"", xid: int = 0) -> bytes:
        if xid == 0:
            xid = self.next_xid
            self.next_xid += 1
        return struct.pack(">iii", 8 + len(body), xid, op) + body

    def ping(self) -> bytes:
        return self.frame(PING, xid=PING_XID)

    def get(self, path: str) -> bytes:
        return self.frame(GET, text(path) + b"\0")

    def set(self, path: str, data: bytes = b"x") -> bytes:
        return self.frame(SET, set_body(path, data))

    def send(self, data: bytes) -> None:
        """All of it, in turns if the kernel does not take it at once."""
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                self.world.turn()

    def hears(self) -> bool:
        """Read what is there."""
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
                break
            self.buffer += data
        at = 0
        while len(self.buffer) - at >= 4:
            (size,) = struct.unpack_from(">i", self.buffer, at)
            if len(self.buffer) - at < 4 + size:
                break
            frame = self.buffer[at + 4 : at + 4 + size]
            at += 4 + size
            if self.session_id == 0:
                (self.session_id,) = struct.unpack_from(">q", frame, 8)
            else:
                xid, _, error = struct.unpack_from(">iqi", frame)
                self.replies.append((xid, error))
                self.bodies.append(frame[16:])
        self.buffer = self.buffer[at:]
        return True

    def take(self) -> list[tuple[int, int]]:
        """All replies so far."""
        self.hears()
        return self.replies
