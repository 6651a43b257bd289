"""What the pages read from the tree: a page of children, one znode with all about it."""

import asyncio
import threading
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from console import formats
from ensemble.client import Acl, Client, NoAuthError, NoNodeError, Stat

CHILDREN_PAGE_MAX: Final = 500
LISTINGS_MAX: Final = 64  # sorted lists of children that are kept
PERMISSIONS: Final = ((1, "read"), (2, "write"), (4, "create"), (8, "delete"), (16, "admin"))


@dataclass(frozen=True)
class Child:
    """A row of the tree."""

    name: str
    children: int
    ephemeral: bool


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
    """Sorted children by path, so that paging through 100,000 of them sorts once.

    Each person has their own of each tree: what one may read is never answered to another.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[tuple[int, int, int], list[str]]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    async def of(self, client: Client, path: str, key: str) -> tuple[list[str], Stat]:
        stat = await client.exists(path)
        if stat is None:
            raise NoNodeError(path=path)
        mark = mark_of(stat)
        with self._lock:
            kept = self._kept.get((key, path))
            if kept is not None and kept[0] == mark:
                self._kept.move_to_end((key, path))
                return kept[1], stat
        names, stat = await client.children_with_stat(path)
        names.sort()
        with self._lock:
            self._kept[key, path] = (mark_of(stat), names)
            while len(self._kept) > LISTINGS_MAX:
                self._kept.popitem(last=False)
        return names, stat


def mark_of(stat: Stat) -> tuple[int, int, int]:
    """What changes whenever the list of children does."""
    return int(stat.czxid), int(stat.pzxid), int(stat.cversion)


listings = Listings()


def child_path(parent: str, name: str) -> str:
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


async def read_children(
    client: Client, path: str, offset: int, count: int, around: str = "", key: str = ""
) -> ChildrenPage:
    """A page of children with what a row needs, asked for in one go.

    `around`: the page, of those of `count` rows, on which this name stands or would stand. `key`:
    whose tree it is, and who looks at it.
    """
    names, _ = await listings.of(client, path, key)
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
            rows.append(Child(name, stat.num_children, stat.ephemeral_owner != 0))
        else:
            rows.append(Child(name, 0, False))  # deleted meanwhile: the next event takes it away
    return ChildrenPage(len(names), offset, rows)


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


def as_json(view: ZnodeView, format: str = "") -> dict[str, Any]:
    """A znode for the page's script. 64-bit numbers go as text: a browser would round them."""
    too_large = len(view.data) > formats.SHOWN_BYTES_MAX
    shown = formats.Shown("hex", "") if too_large else formats.show(view.data, format)
    return {
        "path": view.path,
        "format": shown.format,
        "text": shown.text,
        "too_large": too_large,
        "bytes": len(view.data),
        "version": view.stat.version,
        "czxid": hex(view.stat.czxid),
        "mzxid": hex(view.stat.mzxid),
        "children": view.stat.num_children,
        "stat": stat_rows(view.stat),
        "acl": None if view.acl is None else acl_rows(view.acl),
    }


def stat_rows(stat: Stat) -> list[list[str]]:
    """Name, value and explanation of each field, in ZooKeeper's words."""
    owner = stat.ephemeral_owner & 0xFFFFFFFFFFFFFFFF
    return [
        ["version", str(stat.version), "changes of the data"],
        ["mtime", when(stat.mtime), "last change of the data"],
        ["mzxid", hex(stat.mzxid), "transaction of the last change of the data"],
        ["ctime", when(stat.ctime), "creation"],
        ["czxid", hex(stat.czxid), "transaction of the creation"],
        ["dataLength", f"{stat.data_bytes:,}", "bytes"],
        ["numChildren", f"{stat.num_children:,}", "children"],
        ["cversion", str(stat.cversion), "changes of the children"],
        ["pzxid", hex(stat.pzxid), "transaction of the last change of the children"],
        ["aversion", str(stat.aversion), "changes of the ACL"],
        ["ephemeralOwner", hex(owner) if owner else "-", "session whose end deletes this znode"],
    ]


def acl_rows(acl: list[Acl]) -> list[list[str]]:
    """Scheme, id and permissions of each entry."""
    rows = []
    for entry in acl:
        allowed = [name for bit, name in PERMISSIONS if entry.perms & bit]
        text = "all" if len(allowed) == len(PERMISSIONS) else ", ".join(allowed) or "none"
        rows.append([entry.id.scheme or "", entry.id.id or "", text])
    return rows


def when(ms: int) -> str:
    """An instant in UTC; the number itself where it is no date that Python knows."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
