"""Clients that write, read and keep records while an ensemble is being hurt.

Each client does one thing at a time, so that its records have a clear order; many clients make the
concurrency. A lost connection makes the outcome of a write unknown; the session has to live.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ensemble.client import (
    BadVersionError,
    Client,
    ConnectionLossError,
    CreateMode,
    NodeExistsError,
    NoNodeError,
    SessionExpiredError,
    State,
    walk,
)
from tests.chaos.checkers import FIRST_VALUE, Tree, Znode
from tests.chaos.history import Change, History, Outcome, Read, Sequential, Write
from tests.ensembles import Ensemble
from tests.harness import RawClient, create_body

CLIENTS: Final = 9
KEYS: Final = [f"/chaos/k{number}" for number in range(6)]
QUEUE: Final = "/chaos/queue"
EPHEMERALS: Final = "/chaos/ephemerals"
EPHEMERALS_MAX: Final = 3  # of one client at a time
SESSION_TIMEOUT_S: Final = 30.0
OPERATION_TIMEOUT_S: Final = 60.0  # twice a session's: without an answer by then something hangs
PAUSE_S: Final = 0.004  # between two operations of a client: the load leaves room for elections
RETRY_S: Final = 0.05
ABANDONED_TIMEOUT_MS: Final = 2_000
OP_CREATE: Final = 1
EPHEMERAL_FLAG: Final = 1
DUMP_TIMEOUT_S: Final = 30.0
READER: Final = b"user:secret"  # who may see what tests close to others


@dataclass
class Worker:
    """One client of the run."""

    number: int
    history: History
    rng: random.Random
    stop: asyncio.Event
    pace_s: float = PAUSE_S
    count: int = 0
    mine: list[str] = field(default_factory=list)  # its ephemerals
    client: Client | None = None
    connections: int = 0  # so far

    async def run(self, address: str) -> None:
        """Until told to stop. The session stays open then: `close` ends it."""
        self.client = Client(address, timeout=SESSION_TIMEOUT_S, rng=self.rng)
        self.client.on_state(self.on_state)
        await self.client.connect()
        choices: list[Callable[[Client], Awaitable[None]]] = [self.set, self.set, self.set]
        choices += [self.get, self.get, self.sync_get, self.compare_and_set, self.both]
        choices += [self.sequential, self.ephemeral]
        while not self.stop.is_set():
            try:
                async with asyncio.timeout(OPERATION_TIMEOUT_S):
                    await self.rng.choice(choices)(self.client)
            except ConnectionLossError:
                self.history.connections_lost += 1
                await asyncio.sleep(RETRY_S)
            except SessionExpiredError:
                self.history.expired.append(self.client.session_id)
                return
            await asyncio.sleep(self.rng.uniform(0, 2 * self.pace_s))

    def on_state(self, state: State) -> None:
        self.connections += state is State.CONNECTED

    async def close(self) -> None:
        if self.client is not None:
            await self.client.close()

    def next_value(self) -> str:
        self.count += 1
        return f"{self.number}.{self.count}"

    async def write(self, changes: list[Change], send: Callable[[], Awaitable[int]]) -> None:
        """Send, and keep what came of it. `send` fills in the versions and gives the zxid."""
        sent = time.monotonic()
        record = Write(self.number, sent, sent, Outcome.UNKNOWN, changes)
        self.history.writes.append(record)
        try:
            record.zxid = await send()
            record.outcome = Outcome.DONE
        except BadVersionError:
            record.outcome = Outcome.REFUSED
        finally:
            record.done = time.monotonic()

    async def set(self, client: Client, version: int = -1, key: str = "") -> None:
        change = Change(key or self.rng.choice(KEYS), self.next_value(), version)

        async def send() -> int:
            stat = await client.set(change.key, change.value.encode(), version)
            change.version = stat.version
            return stat.mzxid

        await self.write([change], send)

    async def both(self, client: Client) -> None:
        """Two keys in one transaction: both or none."""
        changes = [Change(key, self.next_value()) for key in self.rng.sample(KEYS, 2)]

        async def send() -> int:
            transaction = client.transaction()
            for change in changes:
                transaction.set(change.key, change.value.encode())
            stats = await transaction.commit()
            for change, stat in zip(changes, stats, strict=True):
                change.version = stat.version
            assert stats[0].mzxid == stats[1].mzxid, "one transaction, one zxid"
            return int(stats[0].mzxid)

        await self.write(changes, send)

    async def get(self, client: Client, synced_from: float = -1.0, key: str = "") -> int:
        key = key or self.rng.choice(KEYS)
        sent = time.monotonic()
        value, stat = await client.get(key)
        zxid, done = client.last_zxid, time.monotonic()
        self.history.reads.append(
            Read(
                self.number,
                sent,
                done,
                key,
                value.decode(),
                stat.version,
                stat.mzxid,
                zxid,
                synced_from,
            )
        )
        return stat.version

    async def sync_get(self, client: Client) -> None:
        synced_from = time.monotonic()
        await client.sync(KEYS[0])
        synced_on = self.connections
        await self.get(client, synced_from)
        if self.connections != synced_on:  # it waited, and went out on another connection
            self.history.reads[-1].synced_from = -1.0

    async def compare_and_set(self, client: Client) -> None:
        key = self.rng.choice(KEYS)
        version = await self.get(client, key=key)
        await self.set(client, version, key)

    async def sequential(self, client: Client) -> None:
        sent = time.monotonic()
        path = await client.create(f"{QUEUE}/n-", b"", mode=CreateMode.PERSISTENT_SEQUENTIAL)
        self.history.sequentials.append(Sequential(self.number, sent, time.monotonic(), path))

    async def ephemeral(self, client: Client) -> None:
        """Make one, or delete the oldest."""
        if len(self.mine) < EPHEMERALS_MAX:
            path = f"{EPHEMERALS}/{self.next_value()}"
            await client.create(path, b"", mode=CreateMode.EPHEMERAL)
            self.mine.append(path)
            self.history.ephemerals[path] = client.session_id
        else:
            path = self.mine.pop(0)
            del self.history.ephemerals[path]  # from here on it may be gone
            await client.delete(path)


async def prepare(address: str) -> None:
    """What every client expects to be there."""
    async with Client(address, timeout=SESSION_TIMEOUT_S) as client:
        for path in ("/chaos", QUEUE, EPHEMERALS, *KEYS):
            data = FIRST_VALUE.encode() if path in KEYS else b""
            while True:
                try:
                    await client.create(path, data)
                except ConnectionLossError:
                    await asyncio.sleep(RETRY_S)
                    continue
                except NodeExistsError:
                    pass
                break


def abandon_session(port: int) -> str:
    """A client that goes without a word: what it leaves has to go by itself. Its ephemeral."""
    client = RawClient(port)
    assert client.connect(ABANDONED_TIMEOUT_MS), "a new session is refused"
    path = f"{EPHEMERALS}/abandoned-{client.session_id:x}"
    client.request(1, OP_CREATE, create_body(path, flags=EPHEMERAL_FLAG))
    assert client.reply()[2] == 0
    client.close()
    return path


async def dump(address: str) -> Tree:
    """Everything that a member shows, after a sync."""
    tree: Tree = {}
    auth = [("digest", READER)]
    async with asyncio.timeout(DUMP_TIMEOUT_S), Client(address, auth=auth) as client:
        await client.sync("/")
        async for path in walk(client, "/"):
            if path == "/zookeeper/config":
                continue  # each member's own, where the addresses differ
            try:
                value, stat = await client.get(path)
                acl, _ = await client.get_acl(path)
            except NoNodeError:
                continue  # an ephemeral that went meanwhile
            fields = (stat.czxid, stat.mzxid, stat.ctime, stat.mtime, stat.version)
            fields += (stat.cversion, stat.aversion, stat.pzxid, stat.num_children)
            tree[path] = Znode(value, fields, str(acl), stat.ephemeral_owner)
    return tree


async def dump_all(ensemble: Ensemble) -> dict[str, Tree]:
    """The tree of each member that runs."""
    return {f"server {member.sid}": await dump(member.address) for member in ensemble.running}
