"""The console's way to ZooKeeper: one client on one event loop in a thread of its own.

Pages are synchronous and call `run`; websockets hang watches on the same session through `watch`.
All of them share one connection, so a thousand browsers are one client to the server.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from django.conf import settings

from ensemble.client import (
    Client,
    ClientError,
    ConnectionLossError,
    EventType,
    SessionExpiredError,
    State,
    WatchEvent,
)

CALL_TIMEOUT_S: Final = 8.0
CONNECT_TIMEOUT_S: Final = 3.0
SESSION_TIMEOUT_S: Final = 15.0
REVIVE_EVERY_S: Final = 2.0

Watcher = Callable[[WatchEvent], None]

T = TypeVar("T")

log = logging.getLogger("console.zk")


class UnreachableError(Exception):
    """No server answered in time. The text is for people."""


class Bridge:
    """Runs coroutines that need the client; starts and restarts the client as needed."""

    def __init__(self, hosts: str, auth: tuple[str, bytes] | None) -> None:
        self.hosts: Final = hosts
        self.auth: Final = auth
        self.loop: Final = asyncio.new_event_loop()
        self._client: Client | None = None
        self._connecting: asyncio.Lock | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._failure = ""
        self._failed_at = 0.0
        self._watchers: Final[list[tuple[str, Watcher]]] = []
        self._thread = threading.Thread(target=self._serve, name="zookeeper", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._connecting = asyncio.Lock()
        self.loop.run_forever()

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """From a thread: do `work` with the client and wait for the result.

        Raises:
            UnreachableError: no server within the time.
            ClientError: what the server answered.
        """
        future = asyncio.run_coroutine_threadsafe(self._run(work), self.loop)
        try:
            return future.result(CALL_TIMEOUT_S + CONNECT_TIMEOUT_S)
        except TimeoutError:
            future.cancel()
            raise UnreachableError(f"{self.hosts} did not answer in time") from None

    async def _run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        client = await self.client()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await work(client)
        except TimeoutError:
            raise UnreachableError(
                f"{self.hosts} did not answer within {CALL_TIMEOUT_S:.0f} s"
            ) from None
        except (ConnectionLossError, SessionExpiredError) as error:
            raise UnreachableError(f"the connection to {self.hosts} broke: {error}") from None

    async def client(self) -> Client:
        """The connected client; on the bridge's loop only."""
        assert self._connecting is not None
        asked_at = self.loop.time()
        async with self._connecting:
            client = self._client
            if client is not None and not client.state.is_final and client.host is not None:
                return client
            if self._failed_at >= asked_at:  # somebody waited in vain meanwhile, for all
                raise UnreachableError(self._failure)
            try:
                if client is None or client.state.is_final:
                    return await self._connect()
                await self._reconnected(client)
            except UnreachableError as error:
                self._failure, self._failed_at = str(error), self.loop.time()
                raise
            return client

    async def _connect(self) -> Client:
        """A new session, with all watches on it."""
        auth = [] if self.auth is None else [self.auth]
        client = Client(self.hosts, timeout=SESSION_TIMEOUT_S, auth=auth)
        try:
            await client.connect(CONNECT_TIMEOUT_S)
        except ClientError as error:
            raise UnreachableError(f"no server at {self.hosts}: {error}") from None
        self._client = client
        client.on_state(self._on_state)
        for path, watcher in list(self._watchers):
            await client.add_watch(path, watcher)
            watcher(WatchEvent(EventType.GAP, path))
        return client

    async def _reconnected(self, client: Client) -> None:
        """Wait until the client, which is at it, has a connection again."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                async for _ in client.states():
                    if client.host is not None:
                        return
        except TimeoutError:
            pass
        raise UnreachableError(f"no server at {self.hosts}; trying again all the time")

    def _on_state(self, state: State) -> None:
        """The session is over, though nobody closed it: its watches need another one."""
        if state.is_final and state is not State.CLOSED and self._reviving is None:
            self._reviving = self.loop.create_task(self._revive())

    async def _revive(self) -> None:
        while True:
            try:
                await self.client()
                break
            except (UnreachableError, ClientError) as error:
                log.warning("still without a session: %s", error)
                await asyncio.sleep(REVIVE_EVERY_S)
        self._reviving = None

    async def watch(self, path: str, watcher: Watcher) -> None:
        """Hang a persistent watch on a path; it outlives sessions. On the bridge's loop only."""
        client = await self.client()
        await client.add_watch(path, watcher)
        self._watchers.append((path, watcher))

    async def unwatch(self, path: str, watcher: Watcher) -> None:
        """Take it back. On the bridge's loop only."""
        if (path, watcher) in self._watchers:
            self._watchers.remove((path, watcher))
            if self._client is not None and not self._client.state.is_final:
                await self._client.remove_watcher(path, watcher)

    def stop(self) -> None:
        """Close the session and end the thread."""

        async def close() -> None:
            if self._reviving is not None:
                self._reviving.cancel()
            if self._client is not None:
                await self._client.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(CALL_TIMEOUT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_TIMEOUT_S)
        self.loop.close()


def credential() -> tuple[str, bytes] | None:
    """What the console signs in with at the server, if anything: `scheme:credential`."""
    text = settings.ZOOKEEPER_AUTH
    path = Path(settings.ZOOKEEPER_AUTH_FILE)
    if not text and path.exists():
        text = path.read_text().strip()
    if not text:
        return None
    scheme, _, token = text.partition(":")
    return scheme, token.encode()


_bridge: Bridge | None = None
_lock = threading.Lock()


def bridge() -> Bridge:
    """This process's bridge."""
    global _bridge
    with _lock:
        if _bridge is None:
            _bridge = Bridge(settings.ZOOKEEPER_HOSTS, credential())
        return _bridge


def stop() -> None:
    """For tests: the next `bridge()` is a new one."""
    global _bridge
    with _lock:
        if _bridge is not None:
            _bridge.stop()
            _bridge = None
