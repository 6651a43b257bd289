"""Clients that write while a server is being hurt, and what must hold of it afterwards.

Each writer counts upward in a znode of its own, several writes ahead of their replies, creates
sequential znodes, and keeps one ephemeral. What a reply has acknowledged may never be missing; what
was sent without an answer may be there or not; nothing else may be there (trust.md I9). Versions
and sequence numbers only grow, and no name is given twice.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ensemble.client import (
    Client,
    ClientError,
    ConnectionLossError,
    CreateMode,
    NodeExistsError,
    SessionExpiredError,
)
from tests.harness import Node

WRITERS = 6
WINDOW = 8
RETRY_S = 0.02
IDLE_TIMEOUT_S = 40.0


@dataclass
class Writer:
    """What one writer knows. Its znodes: `/w<number>` and `/w<number>/s-…`."""

    number: int
    acked: int = 0
    sent: int = 0
    version: int = 0  # of the last acknowledged write
    creating: int = 0  # sequential znodes that were asked for
    created: list[str] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    lost: int = 0  # connections
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # stopped, the session still open

    @property
    def path(self) -> str:
        return f"/w{self.number}"

    async def run(self, address: str, stop: asyncio.Event, done: asyncio.Event) -> None:
        """Write until told to stop; a lost connection is waited out, the session lives.

        After `stop` the session stays open, so that its ephemeral can be looked at, until `done`.
        """
        async with Client(address, timeout=20.0) as client:
            await self.begin(client)
            while not stop.is_set():
                self.sessions.add(client.session_id)
                try:
                    await self.round(client)
                except (ConnectionLossError, SessionExpiredError):
                    self.lost += 1
                    await asyncio.sleep(RETRY_S)
            self.idle.set()
            await done.wait()

    async def begin(self, client: Client) -> None:
        await self.make_once(client, self.path, CreateMode.PERSISTENT)
        await self.make_once(client, f"/alive-{self.number}", CreateMode.EPHEMERAL)

    async def make_once(self, client: Client, path: str, mode: CreateMode) -> None:
        while True:
            try:
                await client.create(path, b"0", mode=mode)
                return
            except NodeExistsError:
                return  # made by a request whose answer was lost
            except ConnectionLossError:
                await asyncio.sleep(RETRY_S)

    async def round(self, client: Client) -> None:
        """A window of counted writes, and one sequential znode among them."""
        calls = []
        for _ in range(WINDOW):
            self.sent += 1
            calls.append((self.sent, client.set(self.path, str(self.sent).encode())))
        self.creating += 1
        child = client.create(f"{self.path}/s-", b"", mode=CreateMode.PERSISTENT_SEQUENTIAL)
        failure: ClientError | None = None
        for value, call in calls:
            try:
                stat = await call
                assert stat.version > self.version, f"{self.path}: an older version comes later"
                self.version = stat.version
                self.acked = value
            except ClientError as error:
                failure = error
        try:
            self.created.append(await child)
        except ClientError as error:
            failure = error
        if failure is not None:
            raise failure

    async def check(self, client: Client) -> None:
        """After everything: what was acknowledged is there, and nothing that was never written."""
        data, stat = await client.get(self.path)
        value = int(data or b"0")
        assert self.acked <= value <= self.sent, (
            f"{self.path} holds {value}, acknowledged {self.acked}, sent {self.sent}"
        )
        assert self.version <= stat.version <= self.sent, "nobody else writes here"
        children = await client.children(self.path)
        missing = set(self.created) - {f"{self.path}/{name}" for name in children}
        assert not missing, f"acknowledged and gone: {sorted(missing)[:5]}"
        assert len(children) <= self.creating, "more znodes than were asked for"
        assert self.created == sorted(set(self.created)), "a sequence number twice, or going back"
        alive = await client.exists(f"/alive-{self.number}")
        assert alive is not None, "I13: its session lives"
        assert {alive.ephemeral_owner} == self.sessions, "I11: sessions outlive their server"


async def under_load(node: Node, hurt: Callable[[], object]) -> list[Writer]:
    """Run writers while `hurt` does its work in a thread; then check what they know."""
    writers = [Writer(number) for number in range(WRITERS)]
    stop = asyncio.Event()
    done = asyncio.Event()
    tasks = [asyncio.create_task(writer.run(node.address, stop, done)) for writer in writers]
    try:
        await asyncio.to_thread(hurt)
        await asyncio.sleep(0.5)
        stop.set()
        for writer in writers:
            await asyncio.wait_for(writer.idle.wait(), IDLE_TIMEOUT_S)
        async with Client(node.address) as client:
            for writer in writers:
                await writer.check(client)
    finally:
        stop.set()
        done.set()
        await asyncio.gather(*tasks)
    return writers


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def log_process(node: Node) -> int:
    """The process that writes the log: the first child."""
    assert node.process is not None
    return min(children_of(node.process.pid))


def kill_log_process(node: Node) -> int:
    """SIGKILL for the log's process alone; the status with which the server ends by itself."""
    assert node.process is not None
    process, node.process = node.process, None
    os.kill(min(children_of(process.pid)), signal.SIGKILL)
    return process.wait(20)
