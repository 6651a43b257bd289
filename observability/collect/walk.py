"""Reads a whole tree through the client, a directory after the other, at a bounded pace.

Not atomic: what comes and goes meanwhile may be in it or not. Where it is can be said in two
words, so that a walk that was broken off goes on there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from ensemble.client import Acl, Client, ClientError, NoAuthError, NoNodeError, Stat
from observability.changes import NOBODYS, Policy
from observability.index.rows import OWN, TEXT_BYTES_MAX, Found, is_indexed, text_of
from observability.models import Znode
from observability.roots import Roots

AT_ONCE: Final = 8  # reads in flight, and as many of ACLs: more would hold up others in a turn
ZNODES_A_SECOND: Final = 1_000
BYTES_A_SECOND: Final = 8 << 20
READ: Final = 1
CONTAINER: Final = 1 << 63
TTL_BITS: Final = 0xFF << 56


@dataclass(frozen=True, slots=True)
class Page:
    """Some children of `place`, up to `name`; the root itself has an empty place."""

    place: str
    name: str
    found: list[Found]


class Pace:
    """Waits so that no more than so many znodes and bytes are read in a second."""

    def __init__(self, znodes: float = ZNODES_A_SECOND, size: float = BYTES_A_SECOND) -> None:
        self.znodes: Final = znodes
        self.size: Final = size
        self.due_s = time.monotonic()

    async def spend(self, znodes: int, size: int) -> None:
        now_s = time.monotonic()
        taken_s = max(znodes / self.znodes, size / self.size)
        self.due_s = max(now_s, self.due_s + taken_s)
        await asyncio.sleep(self.due_s - now_s)


class Walk:
    """A walk of one tree, from the root or from where an earlier one has stopped."""

    def __init__(
        self,
        client: Client,
        pace: Pace,
        roots: Roots,
        policies: dict[str, Policy],
        place: str = "",
        name: str = "",
    ) -> None:
        self.client: Final = client
        self.pace: Final = pace
        self.roots = roots  # these two may change on the way
        self.policies = policies
        self.place: Final = place
        self.name: Final = name
        self.pending: Final[list[tuple[str, str]]] = []  # place, and the name to go on behind

    async def pages(self) -> AsyncIterator[Page]:
        """Everything, page by page.

        Raises:
            ClientError: the ensemble does not answer.
        """
        await self.client.sync("/")
        if self.place:
            await self.find_back()
        else:
            found, _ = await self.read(["/"])
            yield Page("", "", found)
            self.pending.append(("/", ""))
        while self.pending:
            place, after = self.pending.pop()
            names = await self.children(place)
            below = [child(place, name) for name in names if name <= after]
            rest = [name for name in names if name > after]
            for start in range(0, len(rest), AT_ONCE):
                some = rest[start : start + AT_ONCE]
                found, parents = await self.read([child(place, name) for name in some])
                below += parents
                yield Page(place, some[-1], found)
            self.pending.extend((path, "") for path in reversed(below))

    async def find_back(self) -> None:
        """What was pending: of each ancestor of the place the children behind it, all of them."""
        parts = [part for part in self.place.split("/") if part]
        at = "/"
        for part in parts:
            later = [name for name in await self.children(at) if name > part]
            self.pending.extend((child(at, name), "") for name in reversed(later))
            at = child(at, part)
        self.pending.append((self.place, self.name))

    async def children(self, path: str) -> list[str]:
        try:
            names = await self.client.children(path)
        except (NoNodeError, NoAuthError):
            return []
        await self.pace.spend(1, sum(map(len, names)))
        return sorted(name for name in names if path != "/" or f"/{name}" != OWN)

    async def read(self, paths: Sequence[str]) -> tuple[list[Found], list[str]]:
        """These znodes, and those of them that may have children."""
        results = await asyncio.gather(*map(self.client.get, paths), return_exceptions=True)
        # Behind the values: who closes one meanwhile is seen here, or by the change feed.
        acls = await asyncio.gather(*map(self.client.get_acl, paths), return_exceptions=True)
        found: list[Found] = []
        parents: list[str] = []
        size = 0
        for path, result, acl in zip(paths, results, acls, strict=True):
            if isinstance(result, NoNodeError):
                continue
            if isinstance(result, NoAuthError):
                parents.append(path)
                found.append(await self.unread(path))
            elif isinstance(result, BaseException):
                raise result
            else:
                data, stat = result
                size += len(data)
                if stat.num_children:
                    parents.append(path)
                found.append(self.found_of(path, data, stat, is_closed(acl)))
        await self.pace.spend(len(paths), size)
        return [one for one in found if is_indexed(one.path)], parents

    async def unread(self, path: str) -> Found:
        """A znode that may not be read: its stat says the rest."""
        try:
            stat = await self.client.exists(path)
        except ClientError:
            stat = None
        if stat is None:
            return Found(path, 0, 0, why=Znode.Why.ACL, is_closed=True)
        return Found(
            *(path, stat.mzxid, stat.mtime, stat.version, stat.data_bytes),
            why=Znode.Why.ACL,
            owner=owner_of(stat),
            is_closed=True,
        )

    def found_of(self, path: str, data: bytes, stat: Stat, is_closed: bool) -> Found:
        policy = self.policies.get(self.roots.tenant_of(path), NOBODYS)
        if policy.is_secret(path):
            text, why = "", Znode.Why.SECRET.value
        else:
            text, why = text_of(data[: TEXT_BYTES_MAX + 1], len(data))
        return Found(
            *(path, stat.mzxid, stat.mtime, stat.version, len(data), text, why, owner_of(stat)),
            is_closed=is_closed,
        )


def child(place: str, name: str) -> str:
    return f"/{name}" if place == "/" else f"{place}/{name}"


def is_closed(found: tuple[list[Acl], Stat] | BaseException) -> bool:
    """Whether not everybody may read it; where its ACL was not told, it counts as closed.

    Raises:
        ClientError: the ensemble does not answer.
    """
    if isinstance(found, NoNodeError | NoAuthError):
        return True
    if isinstance(found, BaseException):
        raise found
    acl = found[0]
    return bool(acl) and not any(
        entry.perms & READ and (entry.id.scheme, entry.id.id) == ("world", "anyone")
        for entry in acl
    )


def owner_of(stat: Stat) -> str:
    """The session; containers and znodes with a time to live have none."""
    owner = stat.ephemeral_owner & 0xFFFFFFFFFFFFFFFF
    if owner in (0, CONTAINER) or owner & TTL_BITS == TTL_BITS:
        return ""
    return f"{owner:#x}"
