"""Live updates: a browser says which znodes it looks at and hears when they change.

One websocket a page. Messages in: `{"do": "watch" | "unwatch", "path": "/..."}`, `{"do": "seen"}`;
a `watch` with `"gap": true` is answered by the event `gap` once it hangs, since what the page has
read before that may have changed meanwhile.
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
from django.core.exceptions import PermissionDenied
from django.http import Http404

from console.access import ACTIONS
from console.scopes import Scope, scope_of
from console.socket import CLOSE_SIGNED_OUT, CLOSE_TOO_SLOW, Message, PageSocket
from ensemble.client import ClientError, EventType, WatchEvent
from tenants.access import User
from tenants.keys import NoKeyError
from tenants.reach import BusyError
from tenants.zk import Bridge, UnreachableError, Watcher

PATHS_MAX: Final = 200  # that one page may watch
EVENTS_MAX: Final = 2_000  # that wait for a page
TELL_EVERY_S: Final = 0.1
SEEN_WITHIN_S: Final = 30.0

EVENT_NAMES: Final = {
    EventType.CREATED: "created",
    EventType.DELETED: "deleted",
    EventType.DATA_CHANGED: "data",
    EventType.CHILDREN_CHANGED: "children",
    EventType.GAP: "gap",
}

log = logging.getLogger("console.live")


class LiveConsumer(PageSocket):
    """One page's websocket of znodes."""

    actions = ACTIONS
    open_pages: ClassVar[Counter[int]] = Counter()

    async def connect(self) -> None:
        self.paths: dict[str, tuple[Bridge, Watcher]] = {}
        self.waiting: dict[tuple[str, str], None] = {}
        self.wake = asyncio.Event()
        self.has_seen = asyncio.Event()
        self.overflowed = False
        self.wants_gap = False
        await super().connect()

    async def may_look(self, user: User) -> bool:
        return await self.tree(user) is not None

    async def opened(self) -> None:
        self.begin(self.tell())

    async def ended(self) -> None:
        for path in list(self.paths):
            await self.forget(path)

    def is_sound(self, message: Message) -> bool:
        return isinstance(message.get("path", "/"), str)

    async def act(self, action: str, user: User, message: Message) -> None:
        path = message.get("path", "/")
        self.wants_gap = message.get("gap") is True
        await {"watch": self.watch, "unwatch": self.unwatch, "seen": self.seen}[action](user, path)

    async def seen(self, user: User, path: str) -> None:
        self.has_seen.set()

    async def watch(self, user: User, path: str) -> None:
        wants_gap = self.wants_gap
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
            if wants_gap:
                self.remember("gap", path)
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

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def tree(self, user: User) -> Scope | None:
        """What this page may look at now: the whole tree, an ensemble's, a tenant's."""
        try:
            return scope_of(user, self.named.get("slug", ""), self.named.get("ensemble", ""))
        except (Http404, PermissionDenied, NoKeyError, BusyError) as error:
            log.info("not followed: %s", error)
            return None
