"""Live updates: a browser says which znodes it looks at and hears when they change.

One websocket a page. Messages in: `{"do": "watch" | "unwatch", "path": "/..."}`, `{"do": "seen"}`.
Messages out: `{"events": [{"event": "data" | "children" | "created" | "deleted" | "gap" |
"unwatched", "path": "/..."}]}`; the page fetches what it shows and then says `seen`. Until it does,
what happens is gathered, each change of a path once: a busy znode costs a slow browser nothing. A
page that does not answer at all is dropped, so what waits for it has a bound.
"""

import asyncio
import contextlib
import json
import logging
from collections import Counter
from typing import Any, ClassVar, Final

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied
from django.http import Http404

from console.access import ACTIONS
from console.scopes import Scope, scope_of
from console.second_factor import standing_with_factor
from console.sessions import user_of
from ensemble.client import ClientError, EventType, WatchEvent
from tenants.access import Standing, User
from tenants.keys import NoKeyError
from tenants.reach import BusyError
from tenants.zk import Bridge, UnreachableError, Watcher

PATHS_MAX: Final = 200  # that one page may watch
MESSAGE_BYTES_MAX: Final = 64 * 1024
PAGES_MAX: Final = 1_000  # open websockets of this process
PAGES_A_USER_MAX: Final = 50
MESSAGES_A_SECOND_MAX: Final = (
    100  # the page says one a click; opening it again says all it watches
)
MESSAGES_BURST_MAX: Final = 500
EVENTS_MAX: Final = 2_000  # that wait for a page
TELL_EVERY_S: Final = 0.1
SEEN_WITHIN_S: Final = 30.0
CHECK_USER_EVERY_S: Final = 4.0

CLOSE_SIGNED_OUT: Final = 4401
CLOSE_BAD_MESSAGE: Final = 4400
CLOSE_TOO_SLOW: Final = 4408
CLOSE_TOO_MANY: Final = 4429

EVENT_NAMES: Final = {
    EventType.CREATED: "created",
    EventType.DELETED: "deleted",
    EventType.DATA_CHANGED: "data",
    EventType.CHILDREN_CHANGED: "children",
    EventType.GAP: "gap",
}

log = logging.getLogger("console.live")


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # the library is untyped
    """One page's websocket."""

    open_pages: ClassVar[Counter[int]] = Counter()  # by user

    async def connect(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.paths: dict[str, tuple[Bridge, Watcher]] = {}
        named = self.scope.get("url_route", {}).get("kwargs", {})
        self.slug, self.ensemble = named.get("slug", ""), named.get("ensemble", "")
        self.waiting: dict[tuple[str, str], None] = {}
        self.wake = asyncio.Event()
        self.has_seen = asyncio.Event()
        self.allowance = Allowance(MESSAGES_A_SECOND_MAX, MESSAGES_BURST_MAX)
        self.tasks: list[asyncio.Task[None]] = []
        self.overflowed = False
        self.counted_as: int | None = None
        user, standing = await self.person()
        if standing < min(ACTIONS.values()) or await self.tree(user) is None:
            await self.close(CLOSE_SIGNED_OUT)
            return
        pages = LiveConsumer.open_pages
        if pages[user.pk] >= PAGES_A_USER_MAX or pages.total() >= PAGES_MAX:
            await self.close(CLOSE_TOO_MANY)
            return
        self.counted_as = user.pk
        pages[user.pk] += 1
        await self.accept()
        self.tasks = [
            asyncio.create_task(self.tell()),
            asyncio.create_task(self.check_user()),
        ]

    async def disconnect(self, code: int) -> None:
        if self.counted_as is not None:
            LiveConsumer.open_pages -= Counter([self.counted_as])
            self.counted_as = None
        for task in self.tasks:
            task.cancel()
        for path in list(self.paths):
            await self.forget(path)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None or len(text_data) > MESSAGE_BYTES_MAX:
            await self.close(CLOSE_BAD_MESSAGE)
            return
        if not self.allowance.take(self.loop.time()):
            await self.close(CLOSE_TOO_MANY)
            return
        try:
            message = json.loads(text_data)
            action, path = message["do"], message.get("path", "/")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        needed = ACTIONS.get(action) if isinstance(action, str) else None
        if needed is None or not isinstance(path, str):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        user, standing = await self.person()
        if standing < needed:
            await self.close(CLOSE_SIGNED_OUT)
            return
        await {"watch": self.watch, "unwatch": self.unwatch, "seen": self.seen}[action](user, path)

    async def seen(self, user: User, path: str) -> None:
        self.has_seen.set()

    async def watch(self, user: User, path: str) -> None:
        if path in self.paths:
            return
        if len(self.paths) >= PATHS_MAX:
            self.remember("unwatched", path)
            return

        def watcher(event: WatchEvent) -> None:
            # On the bridge's thread. Only hands over.
            name = EVENT_NAMES.get(event.type)
            if name is not None:
                with contextlib.suppress(RuntimeError):  # this process is stopping
                    self.loop.call_soon_threadsafe(self.remember, name, event.path)

        tree = await self.tree(user)
        if tree is None:
            await self.close(CLOSE_SIGNED_OUT)
            return
        self.paths[path] = tree.bridge, watcher
        try:
            await self.on(tree.bridge, tree.bridge.watch(path, watcher))
        except (ClientError, UnreachableError) as error:
            self.paths.pop(path, None)
            log.info("not watched: %s", error)
            self.remember("unwatched", path)

    async def unwatch(self, user: User, path: str) -> None:
        await self.forget(path)

    async def forget(self, path: str) -> None:
        bridge, watcher = self.paths.pop(path, (None, None))
        if bridge is not None and watcher is not None:
            with contextlib.suppress(ClientError, UnreachableError):
                await self.on(bridge, bridge.unwatch(path, watcher))

    async def on(self, bridge: Bridge, work: Any) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, bridge.loop))

    def remember(self, name: str, path: str) -> None:
        if len(self.waiting) < EVENTS_MAX:
            self.waiting[name, path] = None
        else:  # a page that watches and forgets without end: it has lost track anyway
            self.overflowed = True
        self.wake.set()

    async def tell(self) -> None:
        """Send what happened, gathered since the page has seen the last of it."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            waiting, self.waiting = self.waiting, {}
            events = [{"event": name, "path": path} for name, path in waiting]
            self.has_seen.clear()
            await self.send(json.dumps({"events": events}))
            try:
                async with asyncio.timeout(SEEN_WITHIN_S):
                    await self.has_seen.wait()
            except TimeoutError:
                await self.close(CLOSE_TOO_SLOW)
                return
            if self.overflowed:
                await self.close(CLOSE_TOO_SLOW)
                return
            await asyncio.sleep(TELL_EVERY_S)

    async def check_user(self) -> None:
        """Who was signed out, deactivated or demoted since is not served on."""
        while True:
            await asyncio.sleep(CHECK_USER_EVERY_S)
            user, standing = await self.person()
            if standing < min(ACTIONS.values()) or await self.tree(user) is None:
                await self.close(CLOSE_SIGNED_OUT)
                return

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def person(self) -> tuple[User, Standing]:
        """Whose session it is, as the database has it now."""
        key = self.scope["session"].session_key
        user = user_of(key)
        return user, standing_with_factor(user, SessionStore(key))

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def tree(self, user: User) -> Scope | None:
        """What this page may look at now: the whole tree, an ensemble's, a tenant's."""
        try:
            return scope_of(user, self.slug, self.ensemble)
        except (Http404, PermissionDenied, NoKeyError, BusyError) as error:
            log.info("not followed: %s", error)
            return None


class Allowance:
    """So many a second, and so many at once."""

    def __init__(self, a_second: float, at_once: float) -> None:
        self.a_second: Final = a_second
        self.at_once: Final = at_once
        self.left = at_once
        self.at_s = 0.0

    def take(self, now_s: float) -> bool:
        self.left = min(self.at_once, self.left + (now_s - self.at_s) * self.a_second)
        self.at_s = now_s
        if self.left < 1:
            return False
        self.left -= 1
        return True
