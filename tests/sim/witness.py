"""Checker A: the servers name the order (every reply carries a zxid), so it is only to be verified.

Linear in the length of the history. The rules have the numbers of trust.md section 1: A1 the log
fits, A2 each answered write is in it once with the answer that was given, A3 real time, A4 reads,
A5 sync, A6 watches (`watching.py`), A7 ephemerals. Each function gives what is wrong, as sentences.
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter

from ensemble.wire import codes
from ensemble.wire.txns import ErrorTxn, LoggedTxn, MultiTxn
from tests.sim.history import (
    READS,
    WRITES,
    Connected,
    Entry,
    Event,
    History,
    Op,
    Pong,
)
from tests.sim.model import Model, error_fits, name_of, parent_of

SESSION_ENDED = frozenset([codes.SESSION_EXPIRED, codes.SESSION_MOVED])


def check_writes(model: Model, ops: Iterable[Op]) -> list[str]:
    """A2: every answered write is logged once, with its answer; an unanswered one at most once."""
    wrong = list(model.problems)
    asked: dict[tuple[int, int], list[LoggedTxn]] = {}
    for logged in model.records.values():
        header = logged.header
        if header.type != codes.OP_CREATE_SESSION and header.cxid != 0:
            asked.setdefault((int(header.session_id), int(header.cxid)), []).append(logged)
    sent: set[tuple[int, int]] = set()
    for op in ops:
        if op.kind not in WRITES:
            continue
        sent.add((op.session, op.xid))
        found = asked.get((op.session, op.xid), [])
        if len(found) > 1:
            zxids = ", ".join(f"{logged.header.zxid:#x}" for logged in found)
            wrong.append(f"A2: logged {len(found)} times, at {zxids}: {op}")
        elif op.is_done:
            if not found:
                wrong.append(f"A2: acknowledged and not in the log: {op}")
            elif found[0].header.zxid != op.zxid:
                wrong.append(f"A2: its zxid in the log is {found[0].header.zxid:#x}: {op}")
            else:
                wrong += check_answer(model, op, found[0])
    for (session, cxid), found in asked.items():
        if (session, cxid) not in sent:
            zxid = found[0].header.zxid
            wrong.append(f"A2: nobody asked for {zxid:#x}, of session {session:#x} xid {cxid}")
    return wrong


def check_answer(model: Model, op: Op, logged: LoggedTxn) -> list[str]:
    txn = logged.txn
    if isinstance(txn, ErrorTxn):
        if op.error != txn.err:
            return [f"A2: logged as error {txn.err}: {op}"]
        if not error_fits(model, op.kind, op.path, op.version, op.error, op.zxid):
            return [f"A2: refused without a reason: {op}"]
        return []
    if op.kind == "multi":
        return check_multi(model, op, txn)
    if op.error != 0:
        return [f"A2: logged as a success: {op}"]
    if op.kind == "create":
        node = model.at(op.created, op.zxid)
        if not op.created.startswith(op.path) or (not op.sequential and op.created != op.path):
            return [f"A2: created as {op.created!r}: {op}"]
        if node is None or node.czxid != op.zxid:
            return [f"A2: {op.created!r} is not what was created: {op}"]
        if op.sequential and op.created[len(op.path) :] != sequence_of(model, op):
            return [f"A2: the wrong sequence number, {op.created!r}: {op}"]
        if op.stat is not None and op.stat != node.stat():
            return [f"A2: stat {op.stat}, the log makes it {node.stat()}: {op}"]
    elif op.kind == "set":
        node = model.at(op.path, op.zxid)
        if node is None or node.mzxid != op.zxid or op.stat != node.stat():
            return [f"A2: stat {op.stat}, the log makes it {node and node.stat()}: {op}"]
        if op.version not in (-1, node.version - 1):
            return [f"A2: version {node.version} after one that was not asked for: {op}"]
    elif op.kind == "delete" and model.at(op.path, op.zxid) is not None:
        return [f"A2: deleted and still there: {op}"]
    return []


def sequence_of(model: Model, op: Op) -> bytes:
    parent = model.at(parent_of(op.path), op.zxid - 1)
    return b"%010d" % (-1 if parent is None else parent.creates)


def check_multi(model: Model, op: Op, txn: object) -> list[str]:
    """I16: all or nothing. The parts of our workload touch a path each, so they do not interact."""
    errors = [first_error(model, op, at) for at in range(len(op.parts))]
    failing = next((at for at, error in enumerate(errors) if error), None)
    if not isinstance(txn, MultiTxn):
        return [f"A2: logged as something else: {op}"]
    for at, part in enumerate(op.parts):
        if failing is None:
            wanted = 0
        elif at == failing:
            wanted = errors[at]
        else:
            wanted = 0 if at < failing else codes.RUNTIME_INCONSISTENCY
        if part.error != wanted:
            return [f"A2: part {at} gave {part.error}, not {wanted}: {op}"]
        node = model.at(part.path, op.zxid)
        touched = node is not None and op.zxid in (node.mzxid, node.czxid)
        if part.kind in ("create", "set") and touched != (failing is None):
            return [f"A2: part {at} took effect: {touched}, the whole did not agree: {op}"]
        if part.kind == "delete" and failing is None and node is not None:
            return [f"A2: part {at} deleted nothing: {op}"]
    return []


def first_error(model: Model, op: Op, at: int) -> int:
    part = op.parts[at]
    node = model.at(part.path, op.zxid - 1)
    if part.kind == "create":
        if model.at(parent_of(part.path), op.zxid - 1) is None:
            return codes.NO_NODE
        return codes.NODE_EXISTS if node is not None else 0
    if node is None:
        return codes.NO_NODE
    return codes.BAD_VERSION if part.version not in (-1, node.version) else 0


def check_real_time(ops: Iterable[Op]) -> list[str]:
    """A3: a write that was answered before another was sent comes before it."""
    wrong = []
    writes = [op for op in ops if op.kind in WRITES and op.is_done]
    by_done = sorted(writes, key=attrgetter("done_us"))
    latest: Op | None = None
    at = 0
    for op in sorted(writes, key=attrgetter("sent_us")):
        while at < len(by_done) and by_done[at].done_us < op.sent_us:
            if latest is None or by_done[at].zxid > latest.zxid:
                latest = by_done[at]
            at += 1
        if latest is not None and op.zxid <= latest.zxid:
            wrong.append(f"A3: {op} comes before {latest}, which was answered earlier")
    return wrong


def check_reads(model: Model, ops: Iterable[Op], may_watch: bool = True) -> list[str]:
    """A4: every read shows the tree as it was at the zxid of its reply.

    Args:
        may_watch: as much as clients like; else a read that watches may be refused.
    """
    wrong = []
    for op in ops:
        if op.kind not in READS or not op.is_done:
            continue
        node = model.at(op.path, op.zxid)
        if op.error == codes.NO_NODE:
            if node is not None:
                wrong.append(f"A4: not found, but it is there since {node.czxid:#x}: {op}")
        elif op.error == codes.QUOTA_EXCEEDED and op.watch and not may_watch:
            continue
        elif op.error != 0:
            wrong.append(f"A4: an error that no read gives: {op}")
        elif node is None:
            wrong.append(f"A4: found, but there is none: {op}")
        elif op.stat != node.stat():
            wrong.append(f"A4: stat {op.stat}, at that zxid it is {node.stat()}: {op}")
        elif op.kind == "get" and op.value != node.data:
            wrong.append(f"A4: {op.value!r}, at that zxid it is {node.data!r}: {op}")
        elif op.kind == "children" and op.children != node.children:
            wrong.append(f"A4: other children than at that zxid: {op}")
    return wrong


def zxid_of(entry: Entry) -> int:
    """What a client learns of the servers' progress from an entry of its trail."""
    if isinstance(entry, Op | Event | Pong):
        return entry.zxid
    return 0


def check_sessions(history: History) -> list[str]:
    """A4, I11: within a session the zxid never goes back, whichever server answers."""
    wrong = []
    for trail in history.trails:
        session = seen = 0
        for entry in trail.entries:
            if isinstance(entry, Connected) and entry.session != session:
                session, seen = entry.session, 0
            zxid = zxid_of(entry)
            if 0 < zxid < seen:
                wrong.append(f"A4: client {trail.client} goes back from {seen:#x} with {entry}")
            seen = max(seen, zxid)
    return wrong


def check_closed(model: Model, ops: Iterable[Op]) -> list[str]:
    """I13: a session that is closed is served nowhere: no answer but that to its own close."""
    return [
        f"I13: its session was closed at {model.closed[op.session]:#x}: {op}"
        for op in ops
        if op.is_done
        and op.kind != "close"
        and op.error not in SESSION_ENDED
        and op.zxid >= model.closed.get(op.session, 1 << 62)
    ]


def check_replies(history: History) -> list[str]:
    """I15: requests of a session are answered in the order of sending, each once."""
    wrong = []
    for trail in history.trails:
        last: dict[int, int] = {}
        for entry in trail.entries:
            if isinstance(entry, Op) and entry.xid > 0:
                if entry.xid <= last.get(entry.session, 0):
                    wrong.append(f"I15: answered after xid {last[entry.session]}: {entry}")
                last[entry.session] = entry.xid
    return wrong


def check_syncs(ops: Iterable[Op]) -> list[str]:
    """A5: after a sync a server has every write that was answered before the sync was sent."""
    wrong = []
    ops = list(ops)
    by_done = sorted(
        (op for op in ops if op.kind in WRITES and op.is_done), key=attrgetter("done_us")
    )
    latest: Op | None = None
    at = 0
    for op in sorted((op for op in ops if op.kind == "sync"), key=attrgetter("sent_us")):
        while at < len(by_done) and by_done[at].done_us < op.sent_us:
            if latest is None or by_done[at].zxid > latest.zxid:
                latest = by_done[at]
            at += 1
        if latest is not None and op.is_done and op.error == 0 and op.zxid < latest.zxid:
            wrong.append(f"A5: {op} does not show {latest}")
    return wrong


def check_ephemerals(model: Model) -> list[str]:
    """A7: what is ephemeral at the end belongs to a session that is open."""
    return [
        f"A7: {sorted(paths)} of session {owner:#x}, which is closed"
        for owner, paths in model.ephemerals().items()
        if owner in model.closed
    ]


def check_tree(
    model: Model, server: int, seen: Mapping[bytes, tuple[bytes | None, object]]
) -> list[str]:
    """I12: a server's tree, as path -> (data, stat), is what the log makes."""
    wrong = []
    for path in sorted(model.paths() | set(seen)):
        if path.startswith(b"/zookeeper"):
            continue
        node = model.at(path, model.last_zxid)
        if path not in seen:
            wrong.append(f"I12: server {server} lacks {path!r}")
        elif node is None:
            wrong.append(f"I12: server {server} has {path!r}, which the log does not make")
        elif seen[path] != (node.data, node.stat()):
            wrong.append(
                f"I12: server {server} has {seen[path]} at {path!r}, "
                f"the log makes it {(node.data, node.stat())}"
            )
    return wrong


def check_names(model: Model) -> list[str]:
    """The model's own promise: children and nodes agree."""
    return [
        f"{path!r} is not in its parent's children"
        for path in model.paths()
        if path != b"/"
        and not path.startswith(b"/zookeeper")
        and (parent := model.at(parent_of(path), model.last_zxid)) is not None
        and name_of(path) not in parent.children
    ]
