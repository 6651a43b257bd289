"""One look at a page for all who follow its part: rendered again and again, told when it differs.

A look is a request to the page itself, with the headers that the browser opened its websocket with:
the middleware, the access table and the view are those of the page, so nobody is shown what
they could not ask for. Pages of one browser at the same address share their looks.
"""

import asyncio
import io
import logging
import sys
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from channels.db import DatabaseSyncToAsync

from console.loops import OfLoop
from console.routes_parts import PART_HEADER
from console.sessions import BACKGROUND_HEADER
from console.wsgi import application

LOOKS_AT_ONCE: Final = 2  # of all pages of this process: those who click have their turn
SHARE_MAX: Final = 0.5  # of a thread's time for all looks; with many pages each has them less often
MARK: Final = b" data-fresh="
CARRIED: Final = (b"cookie", b"host", b"user-agent", b"x-forwarded-for", b"x-forwarded-proto")

log = logging.getLogger("console.parts")


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks at what: the address with its query, and what came with the websocket."""

    address: str
    headers: tuple[tuple[bytes, bytes], ...]
    scheme: str  # http, https
    client: str
    every_s: float

    @classmethod
    def of(cls, scope: dict[str, Any], address: str, every_s: float) -> "Look":
        headers = tuple((name, value) for name, value in scope["headers"] if name in CARRIED)
        client = (scope.get("client") or ("", 0))[0]
        scheme = "https" if scope.get("scheme") == "wss" else "http"
        return cls(address, headers, scheme, client, every_s)

    def environ(self) -> dict[str, Any]:
        """The request, as WSGI has it (PEP 3333)."""
        path, _, query = self.address.partition("?")
        host = dict(self.headers).get(b"host", b"localhost").decode("latin-1")
        name, _, port = host.rpartition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": name or host,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.client,
            key_of(BACKGROUND_HEADER): "1",  # nobody has clicked: the session grows old
            key_of(PART_HEADER): "1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for header, value in self.headers:
            environ[key_of(header.decode("latin-1"))] = value.decode("latin-1")
        return environ


def key_of(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look gave: HTTP's status, and the page if it has a part to follow.

    A page whose ensemble does not answer has one, too, and says so there.
    """

    status: int
    text: str = ""

    @property
    def is_refused(self) -> bool:
        """Signed out, or not for this person (any more)."""
        return not self.text and 300 <= self.status < 500


def look_at(look: Look) -> Seen:
    """Ask the page, on this thread."""
    answer = application(look.environ(), lambda status, headers, error=None: bytes)
    try:
        body = b"".join(answer)
    finally:
        answer.close()
    return Seen(answer.status_code, body.decode() if MARK in body else "")


class Follower(Protocol):
    """A page."""

    def offer(self, seen: Seen) -> None:
        """There is something newer. Must not wait."""


@dataclass(eq=False, slots=True)
class Part:
    """What is followed by some pages."""

    followers: set[Follower]
    task: asyncio.Task[None] | None = None
    seen: Seen | None = None


class PartsHub:
    """Who follows what. Belongs to one event loop."""

    def __init__(self) -> None:
        self.parts: dict[Look, Part] = {}
        self.turns: Final = asyncio.Semaphore(LOOKS_AT_ONCE)

    def follow(self, follower: Follower, look: Look) -> None:
        """From now on this page is told of this, and of nothing else."""
        self.leave(follower)
        part = self.parts.setdefault(look, Part(set()))
        part.followers.add(follower)
        if part.task is None:
            part.task = asyncio.get_running_loop().create_task(self.keep(look, part))
        elif part.seen is not None:
            follower.offer(part.seen)

    def leave(self, follower: Follower) -> None:
        for look in [look for look, part in self.parts.items() if follower in part.followers]:
            self.parts[look].followers.discard(follower)
            if not self.parts[look].followers:
                del self.parts[look]

    async def keep(self, look: Look, part: Part) -> None:
        """Look again and again, until nobody follows it."""
        clock = asyncio.get_running_loop()
        ask = DatabaseSyncToAsync(lambda: look_at(look), thread_sensitive=False)
        while part.followers:
            async with self.turns:
                began_s = clock.time()
                try:
                    seen = await ask()
                except Exception:
                    log.exception("no look at %s", look.address.partition("?")[0])
                    seen = Seen(500)
                spent_s = clock.time() - began_s
            if seen != part.seen:
                part.seen = seen
                for follower in list(part.followers):
                    follower.offer(seen)
            await asyncio.sleep(pause_s(look.every_s, spent_s, len(self.parts)))


def pause_s(every_s: float, spent_s: float, parts: int) -> float:
    """Until the next look, where the last took so long and so many are kept up to date."""
    return max(every_s, spent_s * parts / SHARE_MAX)


hub: Final = OfLoop(PartsHub)
"""This loop's."""
