"""Live parts of pages: a page says at which address it is, and is told when that looks different.

Messages in: `{"do": "follow", "part": "/ensembles/main/locks?below=/app"}`, which replaces what was
followed before, and `{"do": "seen"}`. Messages out: `{"part": "<section ...>"}`, without what is
around it; empty while the page cannot be made. Until the page has said `seen`, only the newest
waits for it.
"""

import asyncio
import json
from collections import Counter
from typing import ClassVar, Final

from django.urls import Resolver404, resolve

from console.parts_hub import Look, Seen, hub
from console.routes_parts import PART_ACTIONS, PARTS
from console.socket import CLOSE_BAD_MESSAGE, CLOSE_SIGNED_OUT, Message, PageSocket
from tenants.access import User

ADDRESS_MAX: Final = 16_384  # a path of a znode, quoted, and what else is asked for


class PartsConsumer(PageSocket):
    """One page's websocket."""

    actions = PART_ACTIONS
    harmless = frozenset({"seen"})
    open_pages: ClassVar[Counter[int]] = Counter()

    async def connect(self) -> None:
        self.waiting: Seen | None = None
        self.wake = asyncio.Event()
        await super().connect()

    async def may_look(self, user: User) -> bool:
        return True  # to sign in is enough to open it; each look is a request of its own

    async def opened(self) -> None:
        self.begin(self.tell())

    async def ended(self) -> None:
        hub().leave(self)

    def is_sound(self, message: Message) -> bool:
        if message["do"] != "follow":
            return True
        part = message.get("part")
        return isinstance(part, str) and len(part) <= ADDRESS_MAX and every_s_of(part) is not None

    async def act(self, action: str, user: User, message: Message) -> None:
        if action == "seen":
            self.has_seen.set()
            return
        every_s = every_s_of(message["part"])
        if every_s is None:
            await self.close(CLOSE_BAD_MESSAGE)
            return
        hub().follow(self, Look.of(self.scope, message["part"], every_s))

    def offer(self, seen: Seen) -> None:
        self.waiting = seen
        self.wake.set()

    async def tell(self) -> None:
        """Send the newest, again when the page has seen the last of it."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            seen = self.waiting
            if seen is None:
                continue
            if seen.is_refused:
                await self.close(CLOSE_SIGNED_OUT)
                return
            if not await self.told(json.dumps({"part": seen.text})):
                return


def every_s_of(address: str) -> float | None:
    """How often what is at this address is looked at; None: no part of a page."""
    try:
        return PARTS.get(resolve(address.partition("?")[0]).view_name)
    except Resolver404:
        return None
