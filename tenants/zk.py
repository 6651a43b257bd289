"""The plane's way to an ensemble: a client of one identity, on one event loop in a thread.

Views and actions are synchronous and call `run`; websockets hang watches on the same session
through `watch`. All that happens in one process in one name shares a connection, so a thousand
browsers are one client to the server. `reach` says in whose name.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

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
PROLONG_EVERY_S: Final = 240.0  # an assertion is valid for ten minutes

Watcher = Callable[[WatchEvent], None]

T = TypeVar("T")

log = logging.getLogger("tenants.zk")

Auth = tuple[str, bytes | Callable[[], bytes]]
"""Scheme and credential; a function where the credential is valid for a while only."""


class UnreachableError(Exception):
    """No server answered in time. The text is for people."""


class Loop:
    """An event loop in a thread of its own, which all bridges of a process share."""

    def __init__(self) -> None:
        self.loop: Final = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="zookeeper", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def stop(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(CALL_TIMEOUT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_TIMEOUT_S)
        self.loop.close()


class Bridge:
    """Runs coroutines that need the client; starts and restarts the client as needed."""

    def __init__(self, hosts: str, auth: Auth | None, loop: asyncio.AbstractEventLoop) -> None:
        self.hosts: Final = hosts
        self.auth: Final = auth
        self.loop: Final = loop
        self.used_at = time.monotonic()
        self._client: Client | None = None
        self._connecting: Final = asyncio.Lock()
        self._reviving: asyncio.Task[None] | None = None
        self._failure = ""
        self._failed_at = 0.0
        self._running = 0
        self._prolonging: asyncio.Task[None] | None = None
        self._watchers: Final[list[tuple[str, Watcher]]] = []

    @property
    def is_idle(self) -> bool:
        """Whether nobody would miss it."""
        return not self._watchers and not self._running

    def run(
        self,
        work: Callable[[Client], Awaitable[T]],
        within_s: float = CALL_TIMEOUT_S + CONNECT_TIMEOUT_S,
    ) -> T:
        """From a thread: do `work` with the client and wait for the result.

        Raises:
            UnreachableError: no server within the time.
            ClientError: what the server answered.
        """
        future = asyncio.run_coroutine_threadsafe(self._run(work), self.loop)
        try:
            return future.result(within_s)
        except TimeoutError:
            future.cancel()
            raise UnreachableError(f"{self.hosts} did not answer in time") from None

    async def _run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        self._running += 1
        self.used_at = time.monotonic()
        try:
            return await self._work(work)
        finally:
            self._running -= 1
            self.used_at = time.monotonic()

    async def _work(self, work: Callable[[Client], Awaitable[T]]) -> T:
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
        if self.auth is not None and callable(self.auth[1]) and self._prolonging is None:
            self._prolonging = self.loop.create_task(self._prolong(*self.auth))
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

    async def _prolong(self, scheme: str, credential: bytes | Callable[[], bytes]) -> None:
        """Present the credential again before it runs out on a connection that lives long."""
        while True:
            await asyncio.sleep(PROLONG_EVERY_S)
            client = self._client
            if client is None or client.state.is_final or client.host is None:
                continue
            try:
                await client.add_auth(scheme, credential)
            except ClientError as error:
                log.warning("%s was not prolonged at %s: %s", scheme, self.hosts, error)

    async def close(self) -> None:
        """Close the session. On the bridge's loop only."""
        for task in (self._reviving, self._prolonging):
            if task is not None:
                task.cancel()
        if self._client is not None:
            await self._client.close()

    def stop(self) -> None:
        """Close the session, from a thread."""
        asyncio.run_coroutine_threadsafe(self.close(), self.loop).result(CALL_TIMEOUT_S)
