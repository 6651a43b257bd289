"""Live figures: a page says whose it shows, and is told each second that was collected.

Messages in: `{"do": "follow", "subjects": ["tenant:<slug>", "ensemble:<name>",
"node:<ensemble>:<name>"]}`, which replaces what was followed before, and `{"do": "seen"}`. Messages
out: `{"missed": 0, "figures": {"tenant:<slug>": {"at": ..., "span": ..., "values": {...}}}}`. Until
the page has said `seen`, only the newest of each subject waits for it: a slow page is told less
often and how many it has missed, and what waits for it does not grow.
"""

import asyncio
import json
from collections import Counter
from typing import ClassVar, Final

from channels.db import database_sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import Http404

from console.figure_subjects import is_subject, subject_of
from console.figures_guard import guard
from console.figures_hub import hub
from console.routes_figures import FIGURE_ACTIONS
from console.socket import (
    CLOSE_BAD_MESSAGE,
    CLOSE_SIGNED_OUT,
    CLOSE_TOO_MANY,
    Message,
    PageSocket,
)
from observability.dashboards import Subject
from tenants.access import User

SUBJECTS_A_PAGE_MAX: Final = 8
WORD_MAX: Final = 240


class FiguresConsumer(PageSocket):
    """One dashboard's websocket."""

    actions = FIGURE_ACTIONS
    harmless = frozenset({"seen"})  # once a second from every page
    open_pages: ClassVar[Counter[int]] = Counter()

    async def connect(self) -> None:
        self.words: list[str] = []  # what is followed, as the page calls it
        self.called: dict[str, str] = {}  # by the subject's key
        self.waiting: dict[str, str] = {}
        self.missed = 0
        self.wake = asyncio.Event()
        await super().connect()

    async def may_look(self, user: User) -> bool:
        """Whether all that is followed may still be: rights are lost while a page is open, too."""
        return await self.found(user, self.words) is not None

    def stay(self) -> None:
        guard().take(self)

    @property
    def session_key(self) -> str | None:
        found: str | None = self.scope["session"].session_key
        return found

    async def opened(self) -> None:
        self.begin(self.tell())

    async def ended(self) -> None:
        guard().leave(self)
        hub().leave(self)

    def is_sound(self, message: Message) -> bool:
        if message["do"] != "follow":
            return True
        words = message.get("subjects")
        return (
            isinstance(words, list)
            and len(words) <= SUBJECTS_A_PAGE_MAX
            and all(isinstance(word, str) and len(word) <= WORD_MAX for word in words)
        )

    async def act(self, action: str, user: User, message: Message) -> None:
        await {"follow": self.follow, "seen": self.seen}[action](user, message)

    async def seen(self, user: User, message: Message) -> None:
        self.has_seen.set()

    async def follow(self, user: User, message: Message) -> None:
        words = list(dict.fromkeys(message["subjects"]))
        if not all(is_subject(word) for word in words):
            await self.close(CLOSE_BAD_MESSAGE)
            return
        found = await self.found(user, words)
        if found is None:
            await self.close(CLOSE_SIGNED_OUT)
            return
        self.words = words
        self.called = {subject.key: word for word, subject in found.items()}
        self.waiting.clear()
        if not hub().follow(self, found.values()):
            await self.close(CLOSE_TOO_MANY)

    def offer(self, key: str, text: str) -> None:
        self.missed += key in self.waiting
        self.waiting[key] = text
        self.wake.set()

    async def tell(self) -> None:
        """Send the newest, again when the page has seen the last of it."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            waiting, self.waiting = self.waiting, {}
            missed, self.missed = self.missed, 0
            figures = ",".join(
                f"{json.dumps(self.called[key])}:{text}"
                for key, text in waiting.items()
                if key in self.called
            )
            if not figures:
                continue
            if not await self.told(f'{{"missed":{missed},"figures":{{{figures}}}}}'):
                return

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def found(self, user: User, words: list[str]) -> dict[str, Subject] | None:
        """The subjects that these words name; None where one of them is not for this person."""
        try:
            return {word: subject_of(user, word) for word in words}
        except (Http404, PermissionDenied):
            return None
