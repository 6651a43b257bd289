"""Locks, elections, queues, barriers, members and services, told by their znodes.

Nothing in the protocol says that a znode is a lock: Curator, kazoo and the systems built on
ZooKeeper give their children names by which they can be known. Pure: names, values, owners and
times in, meaning out. tests/tenants_app/recipes.json has what the real libraries make.

| made by | children |
|---|---|
| kazoo Lock, Election, WriteLock; ReadLock | `<32 hex>__lock__<n>`; `<32 hex>__rlock__<n>` |
| kazoo Semaphore | `<32 hex>`, the parent's value how many; its queue `<path>-__lock__` |
| kazoo Queue, LockingQueue | `entry-100-<n>`; `entries/entry-100-<n>` beside `taken/<the same>` |
| kazoo DoubleBarrier | `<32 hex>`, and `ready` |
| kazoo Party, ShallowParty | `<32 hex>__party__`; `<32 hex>-<name>` |
| kazoo and Curator Barrier, Counter | no children: a value alone, which nothing tells apart |
| Curator InterProcessMutex, LeaderSelector | `_c_<uuid>-lock-<n>` |
| Curator InterProcessReadWriteLock | `_c_<uuid>-__READ__<n>`, `_c_<uuid>-__WRIT__<n>` |
| Curator InterProcessSemaphoreV2 | `leases/_c_<uuid>-lease-<n>` beside `locks/_c_<uuid>-lock-<n>` |
| Curator LeaderLatch | `_c_<uuid>-latch-<n>` |
| kazoo NonBlockingLease | `lease_holder` with JSON: who, until when |
| Curator DistributedQueue, ...PriorityQueue | `queue-<n>`, `queue-<9 digits><n>` |
| Curator SimpleDistributedQueue | `qn-<n>` |
| Curator DistributedDoubleBarrier | `<uuid>`, and `ready` |
| Curator ServiceDiscovery | `<uuid>`, each with the JSON of a service |
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

SHOWN_MAX: Final = 300  # characters of a value
JSON_BYTES_MAX: Final = 16_384  # of a value that is looked into
HOLDS: Final = "holds"
WAITS: Final = "waits"
MEMBER: Final = "is in"
ITEM: Final = "is queued"
TAKEN: Final = "is taken"

HEX: Final = r"[0-9a-f]{32}"
UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
NUMBER: Final = r"(-?\d{10,})"


@dataclass(frozen=True, slots=True)
class Child:
    """A znode below the one that is looked at. `owner` 0: no ephemeral."""

    name: str
    owner: int = 0
    created_ms: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Participant:
    """One of those that take part, or one entry of a queue. `says`: its value, if it is text."""

    name: str
    state: str
    owner: int
    since_ms: int
    says: str = ""
    reads: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a znode is. `participants`: who holds, then who waits, in the order of their turns.

    `limit`: how many may hold it, where that is known. `count`: of all, also those not listed.
    `note`: what else there is to know, for people.
    """

    kind: str
    made_by: str
    path: str
    participants: tuple[Participant, ...]
    count: int
    limit: int | None = None
    note: str = ""

    @property
    def holders(self) -> list[Participant]:
        return [one for one in self.participants if one.state in (HOLDS, TAKEN)]

    @property
    def waiters(self) -> list[Participant]:
        return [one for one in self.participants if one.state == WAITS]

    @property
    def others(self) -> list[Participant]:
        return [one for one in self.participants if one.state in (MEMBER, ITEM)]


@dataclass(frozen=True, slots=True)
class Form:
    """One recipe by the names of its children: `pattern` with the number, if any, as group 1.

    `judge` says of those that take part, in order, what each does.
    """

    kind: str
    made_by: str
    pattern: re.Pattern[str]
    judge: Callable[[Sequence[tuple[Child, re.Match[str]]]], list[str]]


Found = Sequence[tuple[Child, re.Match[str]]]


def first_holds(found: Found) -> list[str]:
    return [HOLDS if at == 0 else WAITS for at in range(len(found))]


def readers_share(found: Found) -> list[str]:
    """Readers share it up to the first writer; a writer has it alone."""
    states: list[str] = []
    for at, (_, match) in enumerate(found):
        reads = is_reader(match)
        shares = reads and all(is_reader(one) for _, one in found[:at])
        states.append(HOLDS if at == 0 or shares else WAITS)
    return states


def is_reader(match: re.Match[str]) -> bool:
    return "__READ__" in match[0] or "__rlock__" in match[0]


def all_hold(found: Found) -> list[str]:
    return [HOLDS for _ in found]


def all_are_in(found: Found) -> list[str]:
    return [MEMBER for _ in found]


def all_are_queued(found: Found) -> list[str]:
    return [ITEM for _ in found]


FORMS: Final = (
    Form("read-write lock", "kazoo", re.compile(rf"{HEX}__(?:r?lock)__{NUMBER}"), readers_share),
    Form("lock", "Curator", re.compile(rf"_c_{UUID}-lock-{NUMBER}"), first_holds),
    Form(
        "read-write lock",
        "Curator",
        re.compile(rf"_c_{UUID}-__(?:READ|WRIT)__{NUMBER}"),
        readers_share,
    ),
    Form("election", "Curator LeaderLatch", re.compile(rf"_c_{UUID}-latch-{NUMBER}"), first_holds),
    Form("semaphore", "Curator", re.compile(rf"_c_{UUID}-lease-{NUMBER}"), all_hold),
    Form("members", "kazoo Party", re.compile(rf"{HEX}__party__()"), all_are_in),
    Form("queue", "kazoo", re.compile(rf"entry-(\d{{3}})-{NUMBER}"), all_are_queued),
    Form("queue", "Curator", re.compile(r"queue-([01][0-9A-F]{8})(-?\d{10})"), all_are_queued),
    Form("queue", "Curator", re.compile(r"queue-(-?\d{10})"), all_are_queued),
    Form("queue", "Curator", re.compile(rf"qn-{NUMBER}"), all_are_queued),
    Form(
        "election",
        "Solr",
        re.compile(rf"\d+-.{{1,200}}-n_{NUMBER}"),
        first_holds,
    ),
    Form("election", "ClickHouse", re.compile(rf"leader_election-{NUMBER}"), first_holds),
    Form("lease", "kazoo", re.compile(r"lease_holder()"), first_holds),
    Form("members", "kazoo ShallowParty", re.compile(rf"{HEX}-().+"), all_are_in),
    Form("service", "Curator ServiceDiscovery", re.compile(rf"{UUID}()"), all_are_in),
    Form("semaphore", "kazoo", re.compile(rf"{HEX}()"), all_hold),
)
READY: Final = "ready"
WORDS: Final = (
    *("__lock__", "__rlock__", "-lock-", "-latch-", "-lease-", "__READ__", "__WRIT__"),
    *("__party__", "entry-", "queue-", "qn-", "lease_holder", "leader_election-", "-n_0"),
    *("/controller", "/overseer_elect/leader", "ActiveStandbyElectorLock"),
)
"""What is in the names of those that take part: for an index that knows names."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """An ephemeral at an agreed place: who made it, leads. `rivals`: where others stand by."""

    kind: str
    made_by: str
    path: re.Pattern[str]
    rivals: str = ""
    name: str = ""  # the field of its JSON that says who it is


FIXED: Final = (
    Fixed("election", "Kafka controller", re.compile(r"(?:/.*)?/controller"), "", "brokerid"),
    Fixed("election", "HBase master", re.compile(r".*/hbase[^/]*/master"), "../backup-masters"),
    Fixed("election", "Solr overseer", re.compile(r".*/overseer_elect/leader"), "../election"),
    Fixed("election", "Patroni", re.compile(r".*/service/[^/]+/leader"), "../members"),
    Fixed("election", "Hadoop", re.compile(r".*/ActiveStandbyElectorLock")),
)
"""Known by path alone; the znode itself has an owner, and no children matter."""


def form_of(names: Iterable[str]) -> Form | None:
    """The recipe whose names these are: of the first form that any of them has."""
    listed = list(names)
    for form in FORMS:
        if any(form.pattern.fullmatch(name) for name in listed):
            return form
    return None


def order_of(form: Form, names: Iterable[str]) -> list[str]:
    """Those that take part, whose turn it is first. A name without a number: by the alphabet."""
    found = []
    for name in names:
        match = form.pattern.fullmatch(name)
        if match is not None:
            found.append((turn_of(match), name))
    return [name for _, name in sorted(found)]


def turn_of(match: re.Match[str]) -> tuple[str, int]:
    """What a name says of its turn: priority, where there is one, and number."""
    groups = match.groups()
    priority = groups[0] if len(groups) > 1 else ""
    return priority, int(groups[-1]) if groups[-1] else 0


def recognise(
    path: str,
    data: bytes,
    children: Sequence[Child],
    count: int | None = None,
    *,
    is_ready: bool = False,
) -> Recipe | None:
    """What a znode is, by those of its children that take part, in any order.

    `count`: how many there are where only the first were read. `is_ready`: it has a child `ready`,
    which is how a double barrier says that all have come.
    """
    form = form_of(child.name for child in children)
    if form is None:
        return None
    places = {name: at for at, name in enumerate(order_of(form, [c.name for c in children]))}
    found = [
        (child, match)
        for child in sorted(children, key=lambda one: places.get(one.name, 0))
        if (match := form.pattern.fullmatch(child.name)) is not None
    ]
    states = form.judge(found)
    kind, made_by, limit, note = form.kind, form.made_by, None, ""
    text = data.decode("utf-8", "replace").strip()
    if form.kind == "read-write lock" and form.made_by == "kazoo":
        if not any(is_reader(match) for _, match in found):
            kind, note = "lock", "Or an election, or a writers' lock: kazoo names them the same."
    elif form.made_by == "kazoo" and form.kind == "semaphore":
        if is_ready or not text.isdigit():
            kind, states = "barrier", [MEMBER for _ in found]
            note = barrier_note(len(found), is_ready=is_ready)
        elif len(text) < 10:
            limit = int(text)
    elif form.kind == "service":
        if is_ready or not any(service_of(child.data) for child, _ in found):
            if not is_ready and not all(child.owner for child, _ in found):
                return None  # anything may be called by a UUID
            kind, made_by = "barrier", "Curator"
            note = barrier_note(len(found), is_ready=is_ready)
    elif form.kind == "semaphore":
        note = "How many leases there are, Curator keeps in its clients."
    elif form.made_by == "Curator" and form.kind == "lock":
        note = "Or a LeaderSelector's election: Curator names them the same."
    participants = tuple(
        Participant(
            child.name,
            state,
            child.owner,
            child.created_ms,
            said(child.data),
            is_reader(match),
        )
        for (child, match), state in zip(found, states, strict=True)
    )
    return Recipe(kind, made_by, path, participants, count or len(participants), limit, note)


def barrier_note(count: int, *, is_ready: bool) -> str:
    if is_ready:
        return "Everybody has come: the barrier is open until all have left."
    verb = "has" if count == 1 else "have"
    return f"{count} {verb} come so far; how many it waits for is in its clients."


def with_queue(semaphore: Recipe, queue: Recipe) -> Recipe:
    """A semaphore, with those that stand in line for a lease in the lock beside it.

    Who is first in Curator's line has its lease already, and waits until it is among the first.
    """
    leases, line = list(semaphore.participants), list(queue.participants)
    if semaphore.made_by == "Curator" and line and leases and leases[-1].owner == line[0].owner:
        leases[-1] = replace(leases[-1], state=WAITS)
        del line[0]
    waiting = [replace(one, state=WAITS) for one in line]
    count = semaphore.count + queue.count - (len(queue.participants) - len(line))
    return replace(semaphore, participants=(*leases, *waiting), count=count)


def with_taken(queue: Recipe, taken: Sequence[Child]) -> Recipe:
    """kazoo's LockingQueue: the entries that somebody works on now, and who."""
    owners = {child.name: child for child in taken}
    participants = tuple(
        replace(
            one, state=TAKEN, owner=owners[one.name].owner, since_ms=owners[one.name].created_ms
        )
        if one.name in owners
        else one
        for one in queue.participants
    )
    return replace(queue, participants=participants)


def fixed_of(path: str) -> Fixed | None:
    """What is known at this path, whatever it is below."""
    return next((one for one in FIXED if one.path.fullmatch(path)), None)


def led(fixed: Fixed, path: str, leader: Child, rivals: Sequence[Child] = ()) -> Recipe:
    """A leader at an agreed place, and who stands by."""
    told = name_in(leader.data, fixed.name) or said(leader.data)
    first = Participant(leader.name, HOLDS, leader.owner, leader.created_ms, told)
    standing_by = [
        Participant(one.name, WAITS, one.owner, one.created_ms, said(one.data))
        for one in rivals
        if one.owner != leader.owner and one.name != told
    ]
    return Recipe(fixed.kind, fixed.made_by, path, (first, *standing_by), 1 + len(standing_by))


def name_in(data: bytes, field: str) -> str:
    found = json_of(data) if field else None
    return f"{field} {found[field]}"[:SHOWN_MAX] if found and field in found else ""


def service_of(data: bytes) -> dict[str, Any] | None:
    """An instance as Curator's ServiceDiscovery writes it."""
    found = json_of(data)
    return found if found is not None and {"name", "id", "address"} <= set(found) else None


def json_of(data: bytes) -> dict[str, Any] | None:
    if len(data) > JSON_BYTES_MAX:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def said(data: bytes) -> str:
    """A participant's value where it is text: libraries put host, process or name there."""
    service = service_of(data)
    if service is not None:
        port = service.get("port")
        where = f"{service['address']}:{port}" if port else str(service["address"])
        return f"{service['name']} at {where}"[:SHOWN_MAX]
    holder = json_of(data)
    if holder is not None and {"holder", "end"} <= set(holder):
        return f"{holder['holder']} until {holder['end']}"[:SHOWN_MAX]
    try:
        return data[:SHOWN_MAX].decode("utf-8")
    except UnicodeDecodeError:
        return f"{len(data)} bytes"
