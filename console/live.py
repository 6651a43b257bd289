"""Live updates: a browser says which znodes it looks at and hears when they change.

One websocket a page. Messages in: `{"do": "watch" | "unwatch", "path": "/..."}`. Messages out:
`{"event": "data" | "children" | "created" | "deleted" | "gap", "path": "/..."}`; the page then
fetches what it shows. Several changes of one path that were not delivered yet are told once, so a
busy znode costs a slow browser nothing, and what waits is bounded by what may be watched.
"""

import asyncio
import contextlib
import json
import logging
from typing import Any, Final

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model

from console.access import ACTIONS, Role, role_of
from console.zk import UnreachableError, bridge
from ensemble.client import ClientError, EventType, WatchEvent

PATHS_MAX: Final = 200  # that one page may watch
MESSAGE_BYTES_MAX: Final = 64 * 1024
PAGES_MAX: Final = 1_000  # open websockets of this process
TELL_EVERY_S: Final = 0.1
CHECK_USER_EVERY_S: Final = 30.0

CLOSE_SIGNED_OUT: Final = 4401
CLOSE_BAD_MESSAGE: Final = 4400
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

    open_pages = 0

    async def connect(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.paths: dict[str, Any] = {}
        self.waiting: dict[tuple[str, str], None] = {}
        self.wake = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.counted = False
        if role_of(self.scope["user"]) < Role.VIEWER:
            await self.close(CLOSE_SIGNED_OUT)
            return
        if LiveConsumer.open_pages >= PAGES_MAX:
            await self.close(CLOSE_TOO_MANY)
            return
        LiveConsumer.open_pages += 1
        self.counted = True
        await self.accept()
        self.tasks = [
            asyncio.create_task(self.tell()),
            asyncio.create_task(self.check_user()),
        ]

    async def disconnect(self, code: int) -> None:
        if self.counted:
            LiveConsumer.open_pages -= 1
            self.counted = False
        for task in self.tasks:
            task.cancel()
        for path in list(self.paths):
            await self.unwatch(path)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None or len(text_data) > MESSAGE_BYTES_MAX:
            await self.close(CLOSE_BAD_MESSAGE)
            return
        try:
            message = json.loads(text_data)
            action, path = message["do"], message["path"]
        except (ValueError, KeyError, TypeError, RecursionError):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        needed = ACTIONS.get(action) if isinstance(action, str) else None
        if needed is None or role_of(self.scope["user"]) < needed or not isinstance(path, str):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        if action == "watch":
            await self.watch(path)
        else:
            await self.unwatch(path)

    async def watch(self, path: str) -> None:
        if path in self.paths:
            return
        if len(self.paths) >= PATHS_MAX:
            await self.close(CLOSE_TOO_MANY)
            return

        def watcher(event: WatchEvent) -> None:
            # On the bridge's thread. Only hands over.
            name = EVENT_NAMES.get(event.type)
            if name is not None:
                with contextlib.suppress(RuntimeError):  # this process is stopping
                    self.loop.call_soon_threadsafe(self.remember, name, event.path)

        self.paths[path] = watcher
        try:
            await self.on_bridge(bridge().watch(path, watcher))
        except (ClientError, UnreachableError) as error:
            self.paths.pop(path, None)
            await self.send(json.dumps({"event": "unwatched", "path": path, "why": str(error)}))

    async def unwatch(self, path: str) -> None:
        watcher = self.paths.pop(path, None)
        if watcher is not None:
            with contextlib.suppress(ClientError, UnreachableError):
                await self.on_bridge(bridge().unwatch(path, watcher))

    async def on_bridge(self, work: Any) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, bridge().loop))

    def remember(self, name: str, path: str) -> None:
        self.waiting[name, path] = None
        self.wake.set()

    async def tell(self) -> None:
        """Send what happened, gathered over a moment."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            waiting, self.waiting = self.waiting, {}
            for name, path in waiting:
                await self.send(json.dumps({"event": name, "path": path}))
            await asyncio.sleep(TELL_EVERY_S)

    async def check_user(self) -> None:
        """Who was signed out, deactivated or demoted since is not served on."""
        while True:
            await asyncio.sleep(CHECK_USER_EVERY_S)
            if not await self.still_signed_in():
                await self.close(CLOSE_SIGNED_OUT)
                return

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def still_signed_in(self) -> bool:
        session = self.scope["session"]
        if not session.exists(session.session_key):
            return False
        user = get_user_model().objects.filter(pk=self.scope["user"].pk).first()
        if user is None or role_of(user) < Role.VIEWER:
            return False
        self.scope["user"] = user
        return True
