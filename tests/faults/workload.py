"""Clients that write while a server is being hurt, and what must hold of it afterwards.

Each writer counts upward in a znode of its own, several writes ahead of their replies, and creates
sequential znodes. What a reply has acknowledged may never be missing; what was sent without an
answer may be there or not; nothing else may be there (trust.md I9).
"""

import asyncio
from dataclasses import dataclass, field

from ensemble.client import (
    Client,
    ClientError,
    ConnectionLossError,
    CreateMode,
    NodeExistsError,
    SessionExpiredError,
)

WINDOW = 8
RETRY_S = 0.02


@dataclass
class Writer:
    """What one writer knows. Its znodes: `/w<number>` and `/w<number>/s-…`."""

    number: int
    acked: int = 0
    sent: int = 0
    created: set[str] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)
    lost: int = 0  # connections

    @property
    def path(self) -> str:
        return f"/w{self.number}"

    async def run(self, address: str, stop: asyncio.Event) -> None:
        """Write until told to stop; a lost connection is waited out, the session lives."""
        async with Client(address, timeout=20.0) as client:
            await self.begin(client)
            while not stop.is_set():
                self.sessions.add(client.session_id)
                try:
                    await self.round(client)
                except (ConnectionLossError, SessionExpiredError):
                    self.lost += 1
                    await asyncio.sleep(RETRY_S)

    async def begin(self, client: Client) -> None:
        try:
            await client.create(self.path, b"0")
        except NodeExistsError:
            pass
        try:
            await client.create(f"/alive-{self.number}", b"", mode=CreateMode.EPHEMERAL)
        except NodeExistsError:
            pass

    async def round(self, client: Client) -> None:
        """A window of counted writes, and one sequential znode among them."""
        calls = []
        for _ in range(WINDOW):
            self.sent += 1
            calls.append((self.sent, client.set(self.path, str(self.sent).encode())))
        child = client.create(f"{self.path}/s-", b"", mode=CreateMode.PERSISTENT_SEQUENTIAL)
        failure: ClientError | None = None
        for value, call in calls:
            try:
                await call
                self.acked = value
            except ClientError as error:
                failure = error
        try:
            self.created.add(await child)
        except ClientError as error:
            failure = error
        if failure is not None:
            raise failure

    async def check(self, client: Client) -> None:
        """After everything: what was acknowledged is there, and nothing that was never written."""
        data, _ = await client.get(self.path)
        value = int(data or b"0")
        assert self.acked <= value <= self.sent, (
            f"{self.path} holds {value}, acknowledged {self.acked}, sent {self.sent}"
        )
        children = await client.children(self.path)
        missing = self.created - {f"{self.path}/{name}" for name in children}
        assert not missing, f"acknowledged and gone: {sorted(missing)[:5]}"


async def check_all(address: str, writers: list[Writer]) -> None:
    async with Client(address) as client:
        for writer in writers:
            await writer.check(client)
