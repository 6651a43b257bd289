"""Znodes for pages and the API: read with pages of children, written by compare-and-set, and what
goes for a whole subtree, with a dry run.
"""

import asyncio
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from ensemble.client import (
    Acl,
    BadArgumentsError,
    BadVersionError,
    Client,
    ClientError,
    NoAuthError,
    NoNodeError,
    Stat,
)
from tenants.errors import ActionError, LimitError
from tenants.zk import Bridge

CHILDREN_PAGE_MAX: Final = 500
LISTINGS_MAX: Final = 16  # sorted lists of children that are kept
SUBTREE_MAX: Final = 10_000  # znodes that one request may delete, or give an ACL
SUBTREE_AT_ONCE: Final = 500  # of these, in one call of the bridge, which has its time
WALK_AT_ONCE: Final = 250

T = TypeVar("T")


@dataclass(frozen=True)
class Child:
    """A row of the tree."""

    name: str
    children: int
    ephemeral: bool
    data_bytes: int = 0


@dataclass(frozen=True)
class ChildrenPage:
    """`total` children in all; `rows` are those from `offset` on."""

    total: int
    offset: int
    rows: list[Child]


@dataclass(frozen=True)
class ZnodeView:
    """A znode as its page shows it."""

    path: str
    data: bytes
    stat: Stat
    acl: list[Acl] | None  # None: not readable


class Listings:
    """Sorted children by connection and path, so that paging through 100,000 of them sorts once.

    By connection, as each is somebody's: what one may list, another one may not.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str], tuple[Mark, list[str]]] = OrderedDict()
        self._numbers: WeakKeyDictionary[Client, int] = WeakKeyDictionary()
        self._last = 0
        self._lock = threading.Lock()

    async def of(self, client: Client, path: str) -> tuple[list[str], Stat]:
        stat = await client.exists(path)
        if stat is None:
            raise NoNodeError(path=path)
        mark = mark_of(stat)
        with self._lock:
            if client not in self._numbers:
                self._last += 1
                self._numbers[client] = self._last
            key = self._numbers[client], path
            kept = self._kept.get(key)
            if kept is not None and kept[0] == mark:
                self._kept.move_to_end(key)
                return kept[1], stat
        names, stat = await client.children_with_stat(path)
        names.sort()
        with self._lock:
            self._kept[key] = (mark_of(stat), names)
            while len(self._kept) > LISTINGS_MAX:
                self._kept.popitem(last=False)
        return names, stat


Mark = tuple[int, int, int, int]


def mark_of(stat: Stat) -> Mark:
    """What changes whenever the list of children does, or who may have it."""
    return int(stat.czxid), int(stat.pzxid), int(stat.cversion), int(stat.aversion)


listings = Listings()


def child_path(parent: str, name: str) -> str:
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


async def read_children(
    client: Client, path: str, offset: int, count: int, around: str = "", after: str = ""
) -> ChildrenPage:
    """A page of children with what a row needs, asked for in one go.

    `around`: the page, of those of `count` rows, on which this name stands or would stand.
    `after`: the page that begins with the first name behind this one.
    """
    names, _ = await listings.of(client, path)
    if after:
        offset = bisect_right(names, after)
    if around:
        at = min(bisect_left(names, around), max(0, len(names) - 1))
        offset = at - at % count
    wanted = names[offset : offset + count]
    stats = await asyncio.gather(
        *(client.exists(child_path(path, name)) for name in wanted), return_exceptions=True
    )
    rows = []
    for name, stat in zip(wanted, stats, strict=True):
        if isinstance(stat, NoAuthError):
            rows.append(Child(name, 0, False))
        elif isinstance(stat, BaseException):
            raise stat
        elif stat is not None:
            is_ephemeral = stat.ephemeral_owner != 0
            rows.append(Child(name, stat.num_children, is_ephemeral, stat.data_bytes))
        else:
            rows.append(Child(name, 0, False))  # deleted meanwhile: the next event takes it away
    return ChildrenPage(len(names), offset, rows)


async def read_names(client: Client, path: str, start: str, most: int) -> list[str]:
    """The first of the children's names that begin with `start`."""
    names, _ = await listings.of(client, path)
    found: list[str] = []
    for name in names[bisect_left(names, start) :]:
        if len(found) == most or not name.startswith(start):
            break
        found.append(name)
    return found


async def read_acl(client: Client, path: str) -> list[Acl] | None:
    """None: not readable, or not there any more."""
    try:
        return (await client.get_acl(path))[0]
    except (NoAuthError, NoNodeError):
        return None


async def read_znode(client: Client, path: str) -> ZnodeView:
    """Data, stat and ACL.

    Raises:
        NoNodeError, NoAuthError: as the server says.
    """
    got, acl = await asyncio.gather(client.get(path), client.get_acl(path), return_exceptions=True)
    if isinstance(got, BaseException):
        raise got
    data, stat = got
    return ZnodeView(path, data, stat, None if isinstance(acl, BaseException) else acl[0])


async def write_if(client: Client, path: str, data: bytes, version: int, czxid: int | None) -> Stat:
    """Replace a znode's data if it still is the one, with the version, that was looked at.

    A znode that was deleted and made again begins at version 0 once more, so its `czxid` is
    compared, too. None: whichever it is.

    Raises:
        BadVersionError: somebody else was faster; nothing has been changed.
    """
    await is_still(client, path, czxid)
    return await client.set(path, data, version)


async def delete_if(client: Client, path: str, version: int, czxid: int | None) -> None:
    """Delete a znode without children, if it still is the one that was looked at."""
    await is_still(client, path, czxid)
    await client.delete(path, version)


async def set_acl_if(
    client: Client, path: str, acl: Sequence[Acl], aversion: int, czxid: int | None
) -> Stat:
    """Replace an ACL, if it still is the one that was looked at."""
    await is_still(client, path, czxid)
    return await client.set_acl(path, acl, aversion)


async def is_still(client: Client, path: str, czxid: int | None) -> None:
    """Raises BadVersionError where another znode has come to this path."""
    if czxid is None:
        return
    now = await client.exists(path)
    if now is not None and now.czxid != czxid:
        raise BadVersionError("it was deleted and created again", path=path)


# Subtrees


class PartlyError(ActionError):
    """Some of it was done before something went wrong; the text says how much, and what."""

    code = "partly"
    status = 409

    def __init__(self, done: int, total: int, reason: str) -> None:
        super().__init__(
            f"{done} of {total} znodes were done, then: {reason} Look, and repeat for the rest."
        )
        self.done = done
        self.total = total


def subtree(bridge: Bridge, path: str) -> list[str]:
    """The path and all below it, parents first.

    Raises:
        LimitError: it has more than SUBTREE_MAX znodes.
        NoNodeError: it is not there.
    """
    return bridge.run(lambda client: walk_bounded(client, path))


async def walk_bounded(client: Client, path: str) -> list[str]:
    if await client.exists(path) is None:
        raise NoNodeError(path=path)
    found = [path]
    at = 0
    while at < len(found):
        part = found[at : at + WALK_AT_ONCE]
        at += len(part)
        for parent, names in zip(part, await children_of(client, part), strict=True):
            found += [child_path(parent, name) for name in sorted(names)]
        if len(found) > SUBTREE_MAX:
            raise LimitError(
                f"{path} has more than {SUBTREE_MAX} znodes below it, one request takes no more: "
                "go by its parts"
            )
    return found


async def children_of(client: Client, paths: list[str]) -> list[list[str]]:
    """The children of each; none of what has gone meanwhile."""
    answers = await asyncio.gather(*map(client.children, paths), return_exceptions=True)
    found: list[list[str]] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            if not isinstance(answer, NoNodeError):
                raise answer
            found.append([])
        else:
            found.append(answer)
    return found


def delete_subtree(bridge: Bridge, paths: list[str]) -> int:
    """Delete what `subtree` gave, children before their parents; how many were there.

    Raises:
        PartlyError: somebody made a znode meanwhile, or an ACL forbids one. Part of it is gone.
    """
    if paths[0] == "/":
        raise BadArgumentsError("the root cannot be deleted, only what is below it", path="/")
    return for_each(bridge, paths[::-1], lambda client, path: client.delete(path))


def set_acl_of_subtree(bridge: Bridge, paths: list[str], acl: Sequence[Acl]) -> int:
    """Give all that `subtree` gave this ACL; how many were there.

    Raises:
        PartlyError: the ACL of one forbids it. Part of it is done.
    """
    return for_each(bridge, paths, lambda client, path: client.set_acl(path, acl))


def for_each(
    bridge: Bridge, paths: list[str], do: Callable[[Client, str], Awaitable[object]]
) -> int:
    done = 0
    for start in range(0, len(paths), SUBTREE_AT_ONCE):
        part = paths[start : start + SUBTREE_AT_ONCE]

        async def work(client: Client, part: list[str] = part) -> tuple[int, ClientError | None]:
            results = await asyncio.gather(
                *(do(client, path) for path in part), return_exceptions=True
            )
            return counted(results)

        count, problem = bridge.run(work)
        done += count
        if problem is not None:
            raise PartlyError(done, len(paths), f"{problem}.")
    return done


def counted(results: Sequence[object]) -> tuple[int, ClientError | None]:
    """How many went well, and the first that did not, if it matters."""
    done, problem = 0, None
    for result in results:
        if isinstance(result, NoNodeError):
            continue  # somebody else has deleted it meanwhile
        if isinstance(result, ClientError):
            problem = problem or result
        elif isinstance(result, BaseException):
            raise result
        else:
            done += 1
    return done, problem
