"""One reader of the newest figures for all pages of this process.

It looks a few times a second whether a second has been written, reads what is new of everything
that somebody follows in a few statements, encodes each subject once, and offers the text to its
followers. Other web processes do the same by themselves: what they share is the database.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Final, Protocol

from channels.db import DatabaseSyncToAsync
from django.db import DatabaseError

from console.loops import OfLoop
from observability.dashboards import Newest, Subject

LOOK_EVERY_S: Final = 0.25
AFTER_ERROR_S: Final = 2.0
SUBJECTS_MAX: Final = 5_000  # of all pages of this process

log = logging.getLogger("console.figures")


class Follower(Protocol):
    """A page."""

    def offer(self, key: str, text: str) -> None:
        """There is something newer of a subject. Must not wait."""


class Hub:
    """Who follows what. Belongs to one event loop."""

    def __init__(self) -> None:
        self.subjects: dict[str, Subject] = {}
        self.followers: dict[str, set[Follower]] = {}
        self.task: asyncio.Task[None] | None = None
        self.told = 0  # updates that were encoded

    def follow(self, follower: Follower, subjects: Iterable[Subject]) -> bool:
        """From now on this page is told of these, and of nothing else; False: there is no room."""
        wanted = {subject.key: subject for subject in subjects}
        if len(self.subjects.keys() | wanted.keys()) > SUBJECTS_MAX:
            return False
        self.leave(follower)
        for key, subject in wanted.items():
            self.subjects[key] = subject
            self.followers.setdefault(key, set()).add(follower)
        if self.subjects and (self.task is None or self.task.done()):
            self.task = asyncio.get_running_loop().create_task(self.run())
        return True

    def leave(self, follower: Follower) -> None:
        for key in [key for key, found in self.followers.items() if follower in found]:
            self.followers[key].discard(follower)
            if not self.followers[key]:
                del self.followers[key], self.subjects[key]

    async def run(self) -> None:
        """Until nobody follows anything."""
        newest = Newest()
        look = DatabaseSyncToAsync(newest.look, thread_sensitive=False)
        while self.subjects:
            try:
                found = await look(list(self.subjects.values()))
            except DatabaseError as error:
                log.warning("no figures: %s", error)
                await asyncio.sleep(AFTER_ERROR_S)
                continue
            for key, (at, span, values) in found.items():
                text = json.dumps({"at": at, "span": span, "values": values})
                self.told += 1
                for follower in self.followers.get(key, ()):
                    follower.offer(key, text)
            await asyncio.sleep(LOOK_EVERY_S)


hub: Final = OfLoop(Hub)
"""This loop's."""
