"""Locks and elections as people know them: who holds and who waits, told by the names of znodes.

Curator and kazoo mark their sequential ephemerals; nothing in the protocol says that one is a lock.
Pure: names in, meaning out.

| recipe | a contender's name |
|---|---|
| Curator InterProcessMutex, LeaderSelector | `_c_<uuid>-lock-0000000001` |
| Curator InterProcessReadWriteLock | `_c_<uuid>-__READ__0000000001`, `...-__WRIT__0000000001` |
| Curator LeaderLatch | `_c_<uuid>-latch-0000000001` |
| Curator InterProcessSemaphoreV2 | `leases/_c_<uuid>-lease-0000000001`, beside it `locks` |
| kazoo Lock, Election, WriteLock | `<32 hex>__lock__0000000001` |
| kazoo ReadLock | `<32 hex>__rlock__0000000001` |
| kazoo Semaphore | `<32 hex>`, data of the parent: how many; beside it `<path>-__lock__` |
"""

import re
from typing import Final, final

PATTERN: Final = re.compile(
    rb"(?:_c_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-(lock-|latch-|lease-|__READ__|__WRIT__)"
    rb"|[0-9a-f]{32}(__lock__|__rlock__))(-?\d{10,})"
)
LEASE: Final = re.compile(rb"[0-9a-f]{32}")

KINDS: Final = {
    b"lock-": "curator lock",
    b"latch-": "curator latch",
    b"lease-": "curator semaphore",
    b"__READ__": "curator read-write lock",
    b"__WRIT__": "curator read-write lock",
    b"__lock__": "kazoo lock",
    b"__rlock__": "kazoo read-write lock",
}
KAZOO_SEMAPHORE: Final = "kazoo semaphore"
READERS: Final = (b"__READ__", b"__rlock__")


@final
class Contender:
    """One of those that want it. `mark`: what its name says of it."""

    __slots__ = ("mark", "name", "sequence")

    def __init__(self, name: bytes, mark: bytes, sequence: int) -> None:
        self.name: Final = name
        self.mark: Final = mark
        self.sequence: Final = sequence

    @property
    def is_reader(self) -> bool:
        return self.mark in READERS


def contender(name: bytes) -> Contender | None:
    """What a znode's name says; None for a name of no recipe."""
    match = PATTERN.fullmatch(name)
    if match is None:
        if LEASE.fullmatch(name):
            return Contender(name, b"", 0)
        return None
    return Contender(name, match[1] or match[2], int(match[3]))


def kind_of(contenders: list[Contender]) -> str:
    """The recipe that all of one parent's contenders belong to."""
    marks = {each.mark for each in contenders}
    if b"__rlock__" in marks:
        return KINDS[b"__rlock__"]
    for mark in KINDS:
        if mark in marks:
            return KINDS[mark]
    return KAZOO_SEMAPHORE


def holders(contenders: list[Contender]) -> int:
    """How many from the front hold it; `contenders` are in the order of their sequences.

    Of a lock the first. Readers share it up to the first writer. Who has a lease holds it.
    """
    if not contenders:
        return 0
    first = contenders[0]
    if first.mark in (b"", b"lease-"):
        return len(contenders)
    if not first.is_reader:
        return 1
    for at, each in enumerate(contenders):
        if not each.is_reader:
            return at
    return len(contenders)
