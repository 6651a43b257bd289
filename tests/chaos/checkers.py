"""What must hold of a history and of the trees in the end (trust.md I9-I13, checker A).

ZooKeeper hands out the order of its writes: each reply carries a zxid. So linearizability is
checked in linear time, by asking whether the order of the zxids explains all that the clients saw.
Each function gives the violations it found, in words; none found is an empty list.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.chaos.history import History, Outcome, Read, Write

FIRST_VALUE: Final = "first"  # every key begins with this, at version 0
SHOWN_MAX: Final = 10


@dataclass(frozen=True)
class Znode:
    """A znode as a client of one member sees it."""

    value: bytes
    stat: tuple[int, ...]
    acl: str
    ephemeral_owner: int


Tree = dict[str, Znode]


def check_history(history: History, sync_is_linearizable: bool = True) -> list[str]:
    """Everything that can be said without knowing the final state."""
    found = check_real_time(history.writes)
    found += check_versions(history)
    found += check_reads(history, sync_is_linearizable)
    found += check_sequentials(history)
    found += [
        f"session {session:#x} expired while its client pinged" for session in history.expired
    ]
    return found


def done(writes: Iterable[Write]) -> list[Write]:
    return [write for write in writes if write.outcome is Outcome.DONE]


def check_real_time(writes: Iterable[Write]) -> list[str]:
    """A write that was answered before another was sent has the smaller zxid; none is shared."""
    found = []
    acked = sorted(done(writes), key=lambda write: write.zxid)
    for one, other in pairwise(acked):
        if one.zxid == other.zxid:
            found.append(f"two writes at {one.zxid:#x}: {one.changes} and {other.changes}")
    by_done = sorted(acked, key=lambda write: write.done)
    newest: Write | None = None
    at = 0
    for write in sorted(acked, key=lambda write: write.sent):
        while by_done[at].done < write.sent:
            if newest is None or by_done[at].zxid > newest.zxid:
                newest = by_done[at]
            at += 1
        if newest is not None and newest.zxid > write.zxid:
            found.append(
                f"{write.changes} got {write.zxid:#x}, sent after {newest.changes} was answered "
                f"with {newest.zxid:#x}"
            )
    return found


def check_versions(history: History) -> list[str]:
    """Of one key: zxid, version and value belong together, and grow together."""
    found = []
    seen: dict[str, dict[int, tuple[int, str]]] = {}

    def note(key: str, zxid: int, version: int, value: str, who: str) -> None:
        known = seen.setdefault(key, {}).setdefault(zxid, (version, value))
        if known != (version, value):
            found.append(f"{who}: {key} at {zxid:#x} is {(version, value)}, and also {known}")

    for write in done(history.writes):
        for change in write.changes:
            note(change.key, write.zxid, change.version, change.value, f"client {write.client}")
            if change.expected_version not in (-1, change.version - 1):
                found.append(f"{change} was done, though another version was expected")
    for read in history.reads:
        note(read.key, read.mzxid, read.version, read.value, f"client {read.client}")
    for key, states in seen.items():
        ordered = sorted(states.items())
        for (zxid, state), (later, next_state) in pairwise(ordered):
            if state[0] >= next_state[0]:
                found.append(
                    f"{key}: version {state[0]} ({state[1]}) at {zxid:#x}, "
                    f"then {next_state[0]} ({next_state[1]}) at {later:#x}: a write is gone"
                )
    written = {
        (change.key, change.value)
        for write in history.writes
        if write.outcome is not Outcome.REFUSED
        for change in write.changes
    }
    for read in history.reads:
        if read.value != FIRST_VALUE and (read.key, read.value) not in written:
            found.append(f"client {read.client} read {read.value!r} of {read.key}: never written")
    return found


def check_reads(history: History, sync_is_linearizable: bool = True) -> list[str]:
    """A read shows its key as it was at the reply's zxid, which never goes back in a session."""
    found = []
    states: dict[str, set[int]] = {}
    for write in done(history.writes):
        for change in write.changes:
            states.setdefault(change.key, set()).add(write.zxid)
    for read in history.reads:
        states.setdefault(read.key, set()).add(read.mzxid)
    ordered = {key: sorted(zxids) for key, zxids in states.items()}
    for read in history.reads:
        zxids = ordered[read.key]
        at = bisect_right(zxids, read.zxid)
        wanted = zxids[at - 1] if at else 0
        if read.mzxid != wanted:
            found.append(
                f"client {read.client} read {read.key} of {read.mzxid:#x} at {read.zxid:#x}, "
                f"where {wanted:#x} is the last write"
            )
    found += check_sessions(history)
    if sync_is_linearizable:
        found += check_syncs(history)
    return found


def check_sessions(history: History) -> list[str]:
    """What a client is told never goes back, also when it moves to another member (I11)."""
    found = []
    events: list[Write | Read] = [*done(history.writes), *history.reads]
    newest: dict[int, int] = {}
    for event in sorted(events, key=lambda event: event.done):
        if event.zxid < newest.get(event.client, 0):
            found.append(
                f"client {event.client} is told {event.zxid:#x} after "
                f"{newest[event.client]:#x}: {event}"
            )
        newest[event.client] = max(event.zxid, newest.get(event.client, 0))
    return found


def check_syncs(history: History) -> list[str]:
    """A read after a sync shows every write that was answered before the sync was sent."""
    found = []
    acked = sorted(done(history.writes), key=lambda write: write.done)
    newest, at = 0, 0
    synced = [read for read in history.reads if read.synced_from >= 0]
    for read in sorted(synced, key=lambda read: read.synced_from):
        while at < len(acked) and acked[at].done < read.synced_from:
            newest = max(newest, acked[at].zxid)
            at += 1
        if read.zxid < newest:
            found.append(
                f"client {read.client} read at {read.zxid:#x} after a sync, sent when "
                f"{newest:#x} was acknowledged"
            )
    return found


def check_sequentials(history: History) -> list[str]:
    """No name twice, and names of one parent grow in real time."""
    found = []
    given = Counter(one.path for one in history.sequentials)
    found += [f"{path} was given twice" for path, times in given.items() if times > 1]
    by_done = sorted(history.sequentials, key=lambda one: one.done)
    newest, at = "", 0
    for one in sorted(history.sequentials, key=lambda one: one.sent):
        while by_done[at].done < one.sent:
            newest = max(newest, by_done[at].path)
            at += 1
        if one.path < newest:
            found.append(f"{one.path} was asked for after {newest} had been given")
    return found


def check_final(history: History, tree: Tree, keys: Iterable[str]) -> list[str]:
    """The tree in the end holds all that was acknowledged, and nothing that was never sent (I9)."""
    found = []
    for key in keys:
        if key not in tree:
            found.append(f"{key} is gone")
            continue
        znode = tree[key]
        mzxid, version = znode.stat[1], znode.stat[4]
        of_key = [
            (write, change)
            for write in history.writes
            for change in write.changes
            if change.key == key
        ]
        acked = [(w, c) for w, c in of_key if w.outcome is Outcome.DONE]
        unknown = [(w, c) for w, c in of_key if w.outcome is Outcome.UNKNOWN]
        value = znode.value.decode()
        if not len(acked) <= version <= len(acked) + len(unknown):
            found.append(
                f"{key} has version {version} after {len(acked)} acknowledged and "
                f"{len(unknown)} unknown writes"
            )
        last = max(acked, key=lambda pair: pair[0].zxid, default=None)
        if last is not None and last[0].zxid > mzxid:
            found.append(f"{key} was last written at {mzxid:#x}, acknowledged {last[0].zxid:#x}")
        if last is not None and last[0].zxid == mzxid and last[1].value != value:
            found.append(f"{key} holds {value!r}, acknowledged at {mzxid:#x}: {last[1].value!r}")
        if value not in {c.value for _, c in acked + unknown} | {FIRST_VALUE}:
            found.append(f"{key} holds {value!r}, which nobody wrote")
    for one in history.sequentials:
        if one.path not in tree:
            found.append(f"{one.path} was acknowledged and is gone")
    for path, session in history.ephemerals.items():
        if path not in tree:
            found.append(f"ephemeral {path} of session {session:#x} is gone, its session lives")
        elif tree[path].ephemeral_owner != session:
            found.append(f"{path} belongs to {tree[path].ephemeral_owner:#x}, not {session:#x}")
    return found


def check_equal(trees: Mapping[str, Tree]) -> list[str]:
    """All members hold the same znodes, to the last field of their stats (I12)."""
    found = []
    (first, wanted), *others = trees.items()
    for name, tree in others:
        for path in sorted(wanted.keys() | tree.keys()):
            if wanted.get(path) != tree.get(path):
                found.append(f"{path}: {first} has {wanted.get(path)}, {name} has {tree.get(path)}")
    return found


def check_no_ephemerals(trees: Mapping[str, Tree]) -> list[str]:
    """After the last session is over nothing of it is left (I13)."""
    return [
        f"{name} still has {path} of session {znode.ephemeral_owner:#x}"
        for name, tree in trees.items()
        for path, znode in tree.items()
        if znode.ephemeral_owner
    ]


def fail_if(found: list[str]) -> None:
    """Raise with the first few of what was found."""
    if found:
        more = f"\n… and {len(found) - SHOWN_MAX} more" if len(found) > SHOWN_MAX else ""
        raise AssertionError("\n".join(found[:SHOWN_MAX]) + more)
