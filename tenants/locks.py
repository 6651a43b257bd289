"""Finds the locks, elections, queues and barriers of a tree, and reads them: as whoever looks may.

A scan goes through the names of children, level by level, within bounds, and says how far it came.
What it found is kept for a while: a page that refreshes reads the recipes again, not the tree.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ensemble.client import Client, ClientError, NoAuthError, NoNodeError, Stat
from tenants import recipes
from tenants.recipes import Child, Recipe
from tenants.zk import Bridge
from tenants.znodes import child_path

SCANNED_MAX: Final = 5_000  # znodes whose children are asked for
SCAN_WITHIN_S: Final = 4.0
SCAN_AT_ONCE: Final = 200
FOUND_MAX: Final = 1_000
NAMES_MAX: Final = 2_000  # of one znode's children that are gone into
PARTICIPANTS_MAX: Final = 100  # of one recipe that are read; the first in their order
VALUE_MAX: Final = 16_384  # bytes; what is larger is not read
READ_AT_ONCE: Final = 50  # recipes
KEPT_S: Final = 60.0  # at most; what took little is looked for again sooner:
KEPT_LEAST_S: Final = 2.0
KEPT_FOR_COST: Final = 20.0  # so many times what it took
KEPT_MAX: Final = 200
OWN: Final = "/zookeeper"
READY: Final = "ready"
CONTAINER: Final = -(1 << 63)  # in place of an owner
TTL: Final = 0xFF  # its first byte


@dataclass(frozen=True, slots=True)
class Scan:
    """`paths` that are recipes by their children's names. `is_all` False: a bound ended it."""

    paths: tuple[str, ...]
    looked_at: int
    closed: int  # znodes that may not be read
    is_all: bool
    at: float  # seconds since 1970
    took_s: float = 0.0
    by_index: int = 0  # of `paths`: those that an index has told of besides

    @property
    def is_fresh(self) -> bool:
        kept_s = min(KEPT_S, max(KEPT_LEAST_S, KEPT_FOR_COST * self.took_s))
        return time.time() < self.at + kept_s


class Scans:
    """The last scan of each person and tree."""

    def __init__(self) -> None:
        self._kept: Final[OrderedDict[tuple[object, ...], Scan]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def get(self, key: tuple[object, ...]) -> Scan | None:
        with self._lock:
            found = self._kept.get(key)
            return found if found is not None and found.is_fresh else None

    def put(self, key: tuple[object, ...], scan: Scan) -> None:
        with self._lock:
            self._kept[key] = scan
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


scans: Final = Scans()


def find(
    bridge: Bridge,
    key: tuple[object, ...],
    root: str = "/",
    *,
    again: bool = False,
    more: Callable[[], Sequence[str]] | None = None,
) -> Scan:
    """The recipes below a path, as old as KEPT_S at most. `key`: who looks, and at which tree.

    `more` says where else they may be, where the tree is too large to be looked through.

    Raises:
        NoNodeError: there is no such path.
    """
    kept = None if again else scans.get((*key, root))
    if kept is None:
        kept = bridge.run(lambda client: scan(client, root))
        if not kept.is_all and more is not None:
            others = sorted(set(more()) - set(kept.paths))[:FOUND_MAX]
            paths = tuple(sorted({*kept.paths, *others}))
            kept = replace(kept, paths=paths, by_index=len(others))
        scans.put((*key, root), kept)
    return kept


async def scan(client: Client, root: str) -> Scan:
    began_s = time.monotonic()
    waiting = [root]
    found: list[str] = []
    looked_at = closed = 0
    while waiting and looked_at < SCANNED_MAX and len(found) < FOUND_MAX:
        if time.monotonic() >= began_s + SCAN_WITHIN_S:
            break
        part, waiting = waiting[:SCAN_AT_ONCE], waiting[SCAN_AT_ONCE:]
        looked_at += len(part)
        answers = await asyncio.gather(*map(client.children, part), return_exceptions=True)
        for path, names in zip(part, answers, strict=True):
            if isinstance(names, NoNodeError):
                if path == root:
                    raise names
            elif isinstance(names, ClientError):
                closed += 1
            elif isinstance(names, BaseException):
                raise names
            else:
                form = recipes.form_of(names)
                if form is not None or recipes.fixed_of(path) is not None:
                    found.append(path)
                waiting += [
                    child
                    for name in names[:NAMES_MAX]
                    if (form is None or not form.pattern.fullmatch(name))
                    and (child := child_path(path, name)) != OWN
                ]
    took_s = time.monotonic() - began_s
    return Scan(tuple(sorted(found)), looked_at, closed, not waiting, time.time(), took_s)


def read_all(bridge: Bridge, paths: Sequence[str]) -> list[Recipe]:
    """The recipes at these paths, as they are now; those that are none any more are missing."""

    async def work(client: Client) -> list[Recipe | BaseException | None]:
        return await asyncio.gather(
            *(read(client, path) for path in paths[:READ_AT_ONCE]), return_exceptions=True
        )

    found = []
    for one in bridge.run(work):
        if isinstance(one, Recipe):
            found.append(one)
        elif isinstance(one, BaseException) and not isinstance(one, ClientError):
            raise one
    return without_queues(found)


def without_queues(found: list[Recipe]) -> list[Recipe]:
    """A semaphore's own lock, and what is taken of a queue, are shown with it, not beside it."""
    beside = {queue_of(one.path) for one in found if one.kind == "semaphore"}
    beside |= {taken_of(one.path) for one in found if one.path.endswith("/entries")}
    return [one for one in found if one.path not in beside]


def queue_of(path: str) -> str:
    """Where those stand in line who want a lease of this semaphore."""
    if path.endswith("/leases"):
        return f"{path.removesuffix('leases')}locks"
    return f"{path}-__lock__"


def taken_of(path: str) -> str:
    """Where kazoo's LockingQueue says what is worked on, beside its entries."""
    return f"{path.removesuffix('entries')}taken"


def wholes_of(path: str) -> list[str]:
    """The recipes of which a znode with children may be a part, itself among them."""
    found = [path]
    if path.endswith("-__lock__"):
        found.append(path.removesuffix("-__lock__"))
    elif path.endswith("/locks"):
        found.append(f"{path.removesuffix('locks')}leases")
    elif path.endswith("/taken"):
        found.append(f"{path.removesuffix('taken')}entries")
    return found


async def read(client: Client, path: str) -> Recipe | None:
    """What a znode is; None where it is no recipe.

    Raises:
        ClientError: it cannot be read.
    """
    fixed = recipes.fixed_of(path)
    if fixed is not None:
        own = await one_child(client, path, path.rpartition("/")[2])
        if own is not None and own.owner:
            rivals: list[Child] = []
            if fixed.rivals:
                parent = path.rpartition("/")[0]
                rivals = await children(client, f"{parent}/{fixed.rivals.removeprefix('../')}")
            return recipes.led(fixed, path, own, rivals)
    names = await client.children(path)
    form = recipes.form_of(names)
    if form is None:
        return None
    order = recipes.order_of(form, names)
    own = await one_child(client, path, "")
    data = b"" if own is None else own.data
    found = await some(client, path, order)
    recipe = recipes.recognise(path, data, found, len(order), is_ready=READY in names)
    if recipe is None:
        return None
    if recipe.kind == "semaphore":
        queue = await sibling(client, queue_of(path))
        return recipe if queue is None else recipes.with_queue(recipe, queue)
    if recipe.kind == "queue" and path.endswith("/entries"):
        taken = await children(client, taken_of(path))
        return recipes.with_taken(recipe, taken)
    return recipe


async def sibling(client: Client, path: str) -> Recipe | None:
    found = await children(client, path)
    return recipes.recognise(path, b"", found) if found else None


async def children(client: Client, path: str) -> list[Child]:
    """Some of the children; none where there is nothing to read."""
    try:
        names = await client.children(path)
    except ClientError:
        return []
    form = recipes.form_of(names)
    order = sorted(names) if form is None else recipes.order_of(form, names)
    return await some(client, path, order)


async def some(client: Client, path: str, names: Sequence[str]) -> list[Child]:
    found = await asyncio.gather(
        *(one_child(client, child_path(path, name), name) for name in names[:PARTICIPANTS_MAX])
    )
    return [one for one in found if one is not None]


async def one_child(client: Client, path: str, name: str) -> Child | None:
    """A participant; its value only where it may be read, and is no larger than values here are."""
    stat = await client.exists(path)
    if stat is None:
        return None
    data = b""
    if 0 < stat.data_bytes <= VALUE_MAX:
        try:
            data, stat = await client.get(path)
        except NoNodeError:
            return None
        except NoAuthError:
            pass
    return Child(name, owner_of(stat), int(stat.ctime), data)


def owner_of(stat: Stat) -> int:
    """The session that an ephemeral ends with; 0 for everything else, containers and TTLs too."""
    owner = int(stat.ephemeral_owner)
    return 0 if owner == CONTAINER or owner >> 56 & 0xFF == TTL else owner


def without(recipe: Recipe, owner: int) -> Recipe:
    """The same, as it would be once this session has ended: who is next moves up."""
    left = [one for one in recipe.participants if one.owner != owner]
    gone = len(recipe.participants) - len(left)
    if recipe.kind in ("lock", "read-write lock", "election") and left:
        again = [Child(one.name, one.owner, one.since_ms) for one in left]
        seen = recipes.recognise(recipe.path, b"", again)
        if seen is not None:
            states = {one.name: one.state for one in seen.participants}
            left = [replace(one, state=states.get(one.name, one.state)) for one in left]
    return replace(recipe, participants=tuple(left), count=recipe.count - gone)
