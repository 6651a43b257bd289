"""Pages of large tables in slices: the node's thread is never held for long.

A page is the next `limit` keys after `after` in order, whatever came or went since the page before.
Finding them looks at every key; between slices everything else has its turn.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeVar, final

from aiohttp import web

from ensemble.server.admin_protocol import BadQuery, number

Key = TypeVar("Key", bytes, int)

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
SLICE: Final = 2_000  # keys looked at in one go: a fraction of a millisecond
PATH_BYTES_MAX: Final = 65_536  # of a path in a query
SCANS_MAX: Final = 2  # pages that are looked for at the same time
SCANS_WAITING_MAX: Final = 16  # and those that wait for that; more are refused


class TooManyScans(Exception):
    """More pages are asked for than may wait."""


@final
class Scans:
    """How many walks through tables run side by side; they share the node's thread."""

    def __init__(self) -> None:
        self.free: Final = asyncio.Semaphore(SCANS_MAX)
        self.waiting = 0

    async def __aenter__(self) -> None:
        if self.waiting >= SCANS_WAITING_MAX:
            raise TooManyScans(f"{self.waiting} other pages are waited for: ask again later")
        self.waiting += 1
        try:
            await self.free.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self.free.release()


@final
class Page:
    """What a query asks for. `after`: the last key of the page before, as that page gave it."""

    def __init__(self, request: web.Request) -> None:
        """Read `limit` and `after`.

        Raises:
            BadQuery: the limit is out of its bounds, or `after` too long.
        """
        self.limit: Final = number(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
        self.after: Final = request.query.get("after", "")
        if len(self.after) > PATH_BYTES_MAX:
            raise BadQuery(f"after has {len(self.after)} characters, at most {PATH_BYTES_MAX}")

    def after_path(self) -> bytes | None:
        return path_of(self.after) if self.after else None

    def after_session(self) -> int | None:
        return session_id_of(self.after, "after") if self.after else None


async def next_keys(
    keys: Iterable[Key],
    after: Key | None,
    limit: int,
    wanted: Callable[[Key], bool] | None = None,
) -> tuple[list[Key], bool]:
    """(the first `limit` keys behind `after`, whether there are more), in order.

    `keys` is copied at once, which takes 30 ms for a million; the rest goes in slices.
    """
    waiting = list(keys)
    found: list[Key] = []
    most: Key | None = None  # once there are enough, nothing behind this one matters
    keep = limit + 1
    for begin in range(0, len(waiting), SLICE):
        part = waiting[begin : begin + SLICE]
        if after is not None:
            part = [key for key in part if key > after]
        if most is not None:
            part = [key for key in part if key < most]
        if wanted is not None:
            part = [key for key in part if wanted(key)]
        found += part
        if len(found) >= 2 * keep:
            found.sort()
            del found[keep:]
            most = found[-1]
        await asyncio.sleep(0)
    found.sort()
    return found[:limit], len(found) > limit


def path_of(text: str) -> bytes:
    """A path out of a query, as the tree has it."""
    return text.encode("utf-8", "surrogateescape")


def shown(path: bytes) -> str:
    """A path for JSON; comes back through `path_of` as it was."""
    return path.decode("utf-8", "surrogateescape")


def session_id_of(text: str, name: str) -> int:
    """`0x1000abc` or a signed decimal, as it is in the tree.

    Raises:
        BadQuery: it is neither.
    """
    try:
        value = int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        raise BadQuery(f"{name}={text[:40]} is no session id: 0x and hex digits") from None
    if not -(1 << 63) <= value < 1 << 64:
        raise BadQuery(f"{name}={text[:40]} has more than 64 bits")
    return value - (1 << 64) if value >= 1 << 63 else value


def session_text(session_id: int) -> str:
    return f"0x{session_id & 0xFFFFFFFFFFFFFFFF:x}"
