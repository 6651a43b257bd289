"""Random requests, the same for any server, and what replies say without what may differ.

A reply's zxids, times and session ids are another server's for the same history: `Shown` puts
sessions by number, and zxids and times in an order that two histories can be compared by.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id, read_acl_vector, read_stat
from ensemble.wire.requests import read_multi_header
from tests.tenancy.bodies import OPEN_ACL, acl_of, create_body, number, path_body, watches_body
from tests.tenancy.hall import Reply

CLIENTS = 3
# What is above something comes before it.
NAMES = [b"/a", b"/a", b"/b", b"/a/x", b"/a/x", b"/a/y", b"/a/x/1", b"/b/x", b"/zookeepers"]
ODD = [b"", b"a", b"a/x", b"//", b"//a", b"/a/", b"/a//x", b"/..", b"/a/../b", b"/a\0", b"/\x01"]
ODD += [b"/\xed\xa0\x80", b"/\xf0\x9f\x92\xa9", b"/zookeeper", b"/zookeeper/quota"]
QUOTAS = [b"/zookeeper/quota/a", b"/zookeeper/quota/b"]
PLAIN = [0, 0, 0, 0, 1, 2, 3]
LIMITS = [b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3", b"count=1,bytes=1"]
ACLS = [
    OPEN_ACL,
    OPEN_ACL,
    acl_of(codes.PERM_READ, Id("world", "anyone")),
    acl_of(codes.PERM_READ | codes.PERM_WRITE, Id("ip", "127.0.0.1")),
    acl_of(codes.PERM_ALL, Id("ip", "10.0.0.1")),
    acl_of(codes.PERM_ALL, Id("nonsense", "")),
    number(0),
]
ZOOKEEPER = b"/zookeeper"
ALWAYS_THERE = tuple(path_body(path) for path in (b"/", ZOOKEEPER, ZOOKEEPER + b"/quota"))
END = number(-1) + b"\1" + number(-1)
READ_OPS = [
    codes.OP_EXISTS,
    codes.OP_GET_DATA,
    codes.OP_GET_CHILDREN,
    codes.OP_GET_CHILDREN2,
    codes.OP_GET_ACL,
    codes.OP_GET_ALL_CHILDREN_NUMBER,
    codes.OP_SYNC,
    codes.OP_GET_EPHEMERALS,
]
CREATES = [codes.OP_CREATE, codes.OP_CREATE2, codes.OP_CREATE_CONTAINER, codes.OP_CREATE_TTL]
WATCH_OPS = [codes.OP_ADD_WATCH, codes.OP_CHECK_WATCHES, codes.OP_REMOVE_WATCHES]


@dataclass
class Step:
    """A client asks; then perhaps everything that waits is committed.

    `body` is given the zxids at the end of the steps so far: setWatches names one of them.
    """

    client: int
    op: int
    body: Callable[[list[int]], bytes]
    commits: bool


def script(rng: random.Random, count: int) -> list[Step]:
    """So many steps.

    A create of what is always there is refused at once inside a tenant, and elsewhere in its turn
    among everybody's writes: nothing may be under way then, or events change places with it.
    """
    steps = [furnishing(path) for path in dict.fromkeys(NAMES) if rng.random() < 0.8]
    for _ in range(count):
        steps.append(step(rng))
        body = steps[-1].body([0])
        if steps[-1].op in CREATES and body.startswith(ALWAYS_THERE):
            steps[-1].commits = True
            if len(steps) > 1:
                steps[-2].commits = True
    return steps


def furnishing(path: bytes) -> Step:
    """Something to be there when the first ones look."""
    return Step(0, codes.OP_CREATE, lambda zxids: create_body(path, b"first"), True)


def step(rng: random.Random) -> Step:
    client, commits = rng.randrange(CLIENTS), rng.random() < 0.6
    kind = rng.random()
    if kind < 0.015:
        return Step(client, codes.OP_CLOSE_SESSION, lambda zxids: b"", True)
    if kind < 0.065:
        lists = [[name_of(rng) for _ in range(rng.randrange(3))] for _ in range(5)]
        back = rng.randrange(1, 12)
        op = rng.choice([codes.OP_SET_WATCHES, codes.OP_SET_WATCHES2])
        if op == codes.OP_SET_WATCHES:
            lists = lists[:3]
        return Step(client, op, lambda zxids: watches_body(zxids[-back:][0], *lists), commits)
    if kind < 0.50:
        op, body = read(rng)
    elif kind < 0.87:
        op, body = write(rng)
    elif kind < 0.95:
        op = codes.OP_MULTI
        body = b"".join(part(*written(rng)) for _ in range(rng.randrange(4))) + END
    else:
        op = codes.OP_MULTI_READ
        body = b"".join(part(*multi_read(rng)) for _ in range(rng.randrange(4))) + END
    if rng.random() < 0.02:
        body = body[: rng.randrange(len(body) + 1)]
    return Step(client, op, lambda zxids: body, commits)


def part(op: int, body: bytes) -> bytes:
    return number(op) + b"\0" + number(-1) + body


def name_of(rng: random.Random) -> bytes:
    """A path to watch or to look at."""
    return rng.choice(NAMES) if rng.random() < 0.85 else b"/"


def path_of(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.85:
        return rng.choice(NAMES)
    return b"/" if chance < 0.93 else rng.choice(ODD)


def read(rng: random.Random) -> tuple[int, bytes]:
    if rng.random() < 0.15:
        kind = number(rng.choice([-1, 0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 6]))
        return rng.choice(WATCH_OPS), path_body(name_of(rng), kind)
    op = rng.choice(READ_OPS)
    path = path_of(rng)
    if path == ZOOKEEPER:
        path = b"/"  # its own stat is another one: docs/tenancy.md
    if rng.random() < 0.1 and op != codes.OP_GET_EPHEMERALS:
        path = rng.choice([*QUOTAS, QUOTAS[0] + b"/zookeeper_limits"])
    watch = rng.random() < 0.4 and path != b"" and not path.startswith(ZOOKEEPER)
    if op in (codes.OP_GET_ACL, codes.OP_GET_ALL_CHILDREN_NUMBER, codes.OP_SYNC):
        return op, path_body(path)
    if op == codes.OP_GET_EPHEMERALS:
        return op, path_body(rng.choice([b"", b"/", b" ", b"/a", b"/a/", b"a", b"/b/x"]))
    return op, path_body(path, b"\1" if watch else b"\0")


def multi_read(rng: random.Random) -> tuple[int, bytes]:
    path = path_of(rng)
    if path == ZOOKEEPER:
        path = b"/b"
    return rng.choice([codes.OP_GET_DATA, codes.OP_GET_CHILDREN]), path_body(path, b"\0")


def write(rng: random.Random) -> tuple[int, bytes]:
    op, body = written(rng, alone=True)
    if rng.random() < 0.1:
        path = rng.choice(NAMES)  # never the root's: then one could not go on
        return codes.OP_SET_ACL, path_body(path, rng.choice(ACLS), version(rng))
    return op, body


def written(rng: random.Random, alone: bool = False) -> tuple[int, bytes]:
    """A write that a multi may hold, too; check in a multi alone."""
    path = path_of(rng)
    if rng.random() < 0.1:
        return quota_written(rng)
    chance = rng.random()
    if chance < 0.5:
        if rng.random() < 0.6:  # most of it has to go well, or there would be nothing to see
            return rng.choice(CREATES[:2]), create_body(rng.choice(NAMES), b"d", rng.choice(PLAIN))
        op = rng.choice(CREATES)
        flags = rng.choice([0, 0, 1, 2, 3, 4, 5, 6, 7])
        if (
            not alone
            and flags not in (2, 3, 6)
            and path in (b"/", ZOOKEEPER, ZOOKEEPER + b"/quota")
        ):
            path = b"/c"  # refused before the parts ahead of it are tried: docs/tenancy.md
        if path in (ZOOKEEPER, ZOOKEEPER + b"/quota") and (flags not in (0, 1) or op > 15):
            path = b"/zookeepers"
        if path == b"/" and flags not in (0, 1, 2, 3):
            path = b"/b"
        acl = OPEN_ACL if path == b"/" or path.startswith(ZOOKEEPER) else rng.choice(ACLS)
        if path == b"/" and op not in (codes.OP_CREATE, codes.OP_CREATE2):
            op = codes.OP_CREATE
        if path.startswith(ZOOKEEPER):
            op = codes.OP_CREATE
        return op, create_body(path, rng.randbytes(rng.randrange(4)), flags, acl, op)
    if chance < 0.6:
        return codes.OP_DELETE, path_body(path, version(rng))
    if chance < 0.9 or alone:
        if path == ZOOKEEPER:
            path = b"/"
        return codes.OP_SET_DATA, path_body(path, number(1), rng.randbytes(1), version(rng))
    if path == ZOOKEEPER:
        return codes.OP_CHECK, path_body(path, number(0))  # another version: as with creates
    return codes.OP_CHECK, path_body(path, version(rng))


def quota_written(rng: random.Random) -> tuple[int, bytes]:
    """The tenant's own quotas: limits on what it has, counted and held as on any server."""
    top = rng.choice(QUOTAS)
    path = rng.choice([top, top + b"/zookeeper_limits", top + b"/zookeeper_stats"])
    data = rng.choice(LIMITS)
    if rng.random() < 0.7:
        return codes.OP_CREATE, create_body(path, data)
    if rng.random() < 0.5:
        return codes.OP_SET_DATA, path_body(path, number(len(data)), data, version(rng))
    return codes.OP_DELETE, path_body(path, version(rng))


def version(rng: random.Random) -> bytes:
    return number(rng.choice([-1, -1, -1, 0, 1]))


@dataclass(frozen=True)
class Zxid:
    value: int


@dataclass(frozen=True)
class Time:
    value: int


class Shown:
    """What one server's replies say. What is as old as `since`, or older, has no age."""

    def __init__(self, sessions: dict[int, int], since_zxid: int, since_ms: int) -> None:
        self.sessions = sessions
        self.since_zxid = since_zxid
        self.since_ms = since_ms

    def stat(self, reader: Reader) -> tuple[object, ...]:
        stat = read_stat(reader)
        owner = int(stat.ephemeral_owner)
        return (
            *(self.zxid(int(zxid)) for zxid in (stat.czxid, stat.mzxid, stat.pzxid)),
            *(self.time(int(time)) for time in (stat.ctime, stat.mtime)),
            *(int(stat.version), int(stat.cversion), int(stat.aversion)),
            *(int(stat.data_bytes), int(stat.num_children)),
            self.sessions.get(owner, f"session {owner:#x}") if owner else None,
        )

    def zxid(self, zxid: int) -> Zxid:
        return Zxid(zxid if zxid > self.since_zxid else 0)

    def time(self, time: int) -> Time:
        return Time(time if time > self.since_ms else 0)

    def reply(self, op: int, reply: Reply) -> tuple[object, ...]:
        """Everything of a reply, its header's zxid aside: the last one that anybody wrote."""
        reader = reply.reader()
        found: list[object] = [reply.xid, reply.error]
        if reply.error == 0:
            if op in (codes.OP_MULTI, codes.OP_MULTI_READ):
                self.parts(reader, found)
            else:
                self.body(op, reader, found)
        found.append(reader.rest())
        return tuple(found)

    def body(self, op: int, reader: Reader, found: list[object]) -> None:
        if op in (*CREATES, codes.OP_SYNC, codes.OP_GET_DATA):
            found.append(reader.read_buffer())
        elif op in (codes.OP_GET_CHILDREN, codes.OP_GET_CHILDREN2):
            found.append(sorted(reader.read_paths()))
        elif op == codes.OP_GET_EPHEMERALS:
            found.append(reader.read_paths())
        elif op == codes.OP_GET_ACL:
            found.append(read_acl_vector(reader))
        if op in (
            *(codes.OP_EXISTS, codes.OP_GET_DATA, codes.OP_GET_CHILDREN2, codes.OP_GET_ACL),
            *(codes.OP_SET_DATA, codes.OP_SET_ACL, *CREATES[1:]),
        ):
            found.append(self.stat(reader))

    def parts(self, reader: Reader, found: list[object]) -> None:
        while True:
            op = read_multi_header(reader)
            found.append(op)
            if op is None:
                return
            if op == codes.OP_ERROR:
                found.append(int(reader.read_int()))
            else:
                self.body(op, reader, found)


def ranked(history: list[object]) -> list[object]:
    """The history with zxids and times by their place among all that are in it."""
    places: dict[object, int] = {}
    for kind in (Zxid, Time):
        seen: set[int] = set()
        collect(history, kind, seen)
        places.update({kind(value): place for place, value in enumerate(sorted(seen | {0}))})
    return [replaced(item, places) for item in history]


def collect(item: object, kind: type, seen: set[int]) -> None:
    if isinstance(item, Zxid | Time):
        if isinstance(item, kind):
            seen.add(item.value)
    elif isinstance(item, list | tuple):
        for inner in item:
            collect(inner, kind, seen)


def replaced(item: object, places: dict[object, int]) -> object:
    if isinstance(item, Zxid | Time):
        return places[item]
    if isinstance(item, tuple):
        return tuple(replaced(inner, places) for inner in item)
    if isinstance(item, list):
        return [replaced(inner, places) for inner in item]
    return item
