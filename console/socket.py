"""What the websockets of pages share: who may open one, how many, and for how long.

A subclass names its `actions` with what each needs, says in `may_look` whether this person may see
what the address names, and works in `opened`, `act` and `ended`. The person is looked up anew
before each action and every few seconds: who was signed out, deactivated or demoted since is not
served on.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar, Final

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import AnonymousUser

from console.second_factor import person_of_session
from tenants.access import Standing, User

MESSAGE_BYTES_MAX: Final = 64 * 1024
PAGES_MAX: Final = 1_000  # open websockets of one kind in this process
PAGES_A_USER_MAX: Final = 50
MESSAGES_A_SECOND_MAX: Final = (
    100  # the page says one a click; opening it again says all it watches
)
MESSAGES_BURST_MAX: Final = 500
CHECK_USER_EVERY_S: Final = 4.0
SEEN_WITHIN_S: Final = 30.0

CLOSE_SIGNED_OUT: Final = 4401
CLOSE_BAD_MESSAGE: Final = 4400
CLOSE_TOO_SLOW: Final = 4408
CLOSE_TOO_MANY: Final = 4429

Message = Mapping[str, Any]

log = logging.getLogger("console.socket")


class PageSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # the library is untyped
    """One page's websocket."""

    actions: ClassVar[Mapping[str, Standing]]
    harmless: ClassVar[frozenset[str]] = frozenset()  # actions that give nothing: not looked up for
    open_pages: ClassVar[Counter[int]]  # by user; each kind has its own

    async def connect(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.named: dict[str, str] = self.scope.get("url_route", {}).get("kwargs", {})
        self.allowance = Allowance(MESSAGES_A_SECOND_MAX, MESSAGES_BURST_MAX)
        self.tasks: list[asyncio.Task[None]] = []
        self.has_seen = asyncio.Event()
        self.counted_as: int | None = None
        user, standing = await self.person()
        if standing < min(self.actions.values()) or not await self.may_look(user):
            await self.close(CLOSE_SIGNED_OUT)
            return
        pages = type(self).open_pages
        if pages[user.pk] >= PAGES_A_USER_MAX or pages.total() >= PAGES_MAX:
            await self.close(CLOSE_TOO_MANY)
            return
        self.counted_as = user.pk
        pages[user.pk] += 1
        await self.accept()
        self.stay()
        await self.opened()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on until the page closes."""
        self.tasks.append(asyncio.create_task(work))

    async def disconnect(self, code: int) -> None:
        if self.counted_as is not None:
            pages = type(self).open_pages
            pages[self.counted_as] -= 1
            if not pages[self.counted_as]:
                del pages[self.counted_as]
            self.counted_as = None
        for task in self.tasks:
            task.cancel()
        await self.ended()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None or len(text_data) > MESSAGE_BYTES_MAX:
            await self.close(CLOSE_BAD_MESSAGE)
            return
        if not self.allowance.take(self.loop.time()):
            await self.close(CLOSE_TOO_MANY)
            return
        try:
            message = json.loads(text_data)
            action = message["do"]
        except (ValueError, KeyError, TypeError, RecursionError):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        needed = self.actions.get(action) if isinstance(action, str) else None
        if needed is None or not isinstance(message, dict) or not self.is_sound(message):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        user: User = AnonymousUser()
        if action not in self.harmless:
            user, standing = await self.person()
            if standing < needed:
                await self.close(CLOSE_SIGNED_OUT)
                return
        await self.act(action, user, message)

    def stay(self) -> None:
        """See to it that the page is closed when its person may not look any more."""
        self.begin(self.check_user())

    async def told(self, text: str) -> bool:
        """Send, and wait until the page says that it has seen it; False: it is dropped."""
        self.has_seen.clear()
        await self.send(text)
        try:
            async with asyncio.timeout(SEEN_WITHIN_S):
                await self.has_seen.wait()
        except TimeoutError:
            await self.close(CLOSE_TOO_SLOW)
            return False
        return True

    async def check_user(self) -> None:
        """Who was signed out, deactivated or demoted since is not served on."""
        while True:
            await asyncio.sleep(CHECK_USER_EVERY_S)
            user, standing = await self.person()
            if standing < min(self.actions.values()) or not await self.may_look(user):
                await self.close(CLOSE_SIGNED_OUT)
                return

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def person(self) -> tuple[User, Standing]:
        """Whose session it is, as the database has it now."""
        return person_of_session(self.scope["session"].session_key)

    # What a kind of page says

    def is_sound(self, message: Message) -> bool:
        """Whether a message has what its action needs."""
        return True

    async def may_look(self, user: User) -> bool:
        """Whether this person may see what the address names, now."""
        raise NotImplementedError

    async def opened(self) -> None:
        """It is accepted."""

    async def act(self, action: str, user: User, message: Message) -> None:
        """Do what a sound message of somebody with the right asks for."""
        raise NotImplementedError

    async def ended(self) -> None:
        """It is closed, or was never accepted."""


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
