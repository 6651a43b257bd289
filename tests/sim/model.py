"""The tree as the committed transactions make it, at every zxid: small, slow, and not the server's.

Nothing here is shared with `ensemble.tree`. It is built from decoded log records and notes each of
them that does not fit its place: a create of what is there, a version that skips one, a write of a
closed session. A transaction that was prepared on a history with a hole or a tail shows that way.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace

from ensemble.wire import codes
from ensemble.wire.txns import (
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    LoggedTxn,
    MultiTxn,
    SetDataTxn,
    TxnHeader,
)
from tests.sim.history import StatTuple

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4
SYSTEM = b"/zookeeper"


@dataclass(slots=True, frozen=True)
class Node:
    data: bytes | None
    czxid: int
    mzxid: int
    pzxid: int
    ctime: int
    mtime: int
    version: int
    creates: int
    owner: int
    children: frozenset[bytes]

    def stat(self) -> StatTuple:
        """As clients see it."""
        count = len(self.children)
        size = 0 if self.data is None else len(self.data)
        return (
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            2 * self.creates - count,
            0,
            self.owner,
            size,
            count,
            self.pzxid,
        )


def parent_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"


def name_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


@dataclass(slots=True)
class Change:
    """What a watcher of `path` may hear of; `order` sorts the changes of one transaction."""

    zxid: int
    order: int
    type: int
    path: bytes


@dataclass
class Model:
    """`versions[path]`: (zxid, node or None), oldest first. `changes[path]` likewise."""

    records: dict[int, LoggedTxn] = field(default_factory=dict)
    versions: dict[bytes, list[tuple[int, Node | None]]] = field(default_factory=dict)
    changes: dict[bytes, list[Change]] = field(default_factory=dict)
    opened: dict[int, int] = field(default_factory=dict)  # session -> zxid
    closed: dict[int, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    last_zxid: int = 0
    local_sessions: bool = False
    _live: dict[bytes, Node] = field(default_factory=dict)
    _owned: dict[int, set[bytes]] = field(default_factory=dict)
    _order: int = 0

    def __post_init__(self) -> None:
        root = Node(b"", 0, 0, 0, 0, 0, 0, 0, 0, frozenset([b"zookeeper"]))
        self._put(0, b"/", root)

    def at(self, path: bytes, zxid: int) -> Node | None:
        """The node as of `zxid`."""
        versions = self.versions.get(path)
        if versions is None:
            return None
        found = bisect_right(versions, zxid, key=lambda version: version[0])
        return versions[found - 1][1] if found else None

    def next_change(self, path: bytes, types: tuple[int, ...], after: int) -> Change | None:
        """The first change of one of these types with a zxid above `after`."""
        changes = self.changes.get(path, [])
        for change in changes[bisect_right(changes, after, key=lambda change: change.zxid) :]:
            if change.type in types:
                return change
        return None

    def is_open(self, session: int, zxid: int) -> bool:
        return (
            session in self.opened
            and self.opened[session] <= zxid
            and zxid < self.closed.get(session, 1 << 62)
        )

    def may_be_local(self, session: int) -> bool:
        """Whether some server may know a session that no transaction has opened until now."""
        return self.local_sessions and session not in self.opened

    def ephemerals(self) -> dict[int, set[bytes]]:
        """The owners of what is ephemeral at the end."""
        return {owner: set(paths) for owner, paths in self._owned.items() if paths}

    def paths(self) -> set[bytes]:
        return set(self._live)

    # Building it

    def add(self, logged: LoggedTxn) -> None:
        """The next committed transaction."""
        header, txn = logged.header, logged.txn
        zxid = int(header.zxid)
        if zxid <= self.last_zxid:
            self.problems.append(f"zxid {zxid:#x} after {self.last_zxid:#x}")
            return
        self.last_zxid = zxid
        self.records[zxid] = logged
        session = int(header.session_id)
        if isinstance(txn, ErrorTxn):
            return
        if isinstance(txn, CreateSessionTxn):
            if session in self.opened:
                self.problem(zxid, f"session {session:#x} is created a second time")
            self.opened[session] = zxid
            return
        if isinstance(txn, CloseSessionTxn):
            self.close(zxid, session, txn)
            return
        if isinstance(txn, MultiTxn) and any(isinstance(part, ErrorTxn) for part in txn.txns):
            return
        if session != 0 and not self.is_open(session, zxid) and not self.may_be_local(session):
            self.problem(zxid, f"a write of session {session:#x}, which is not open")
        if isinstance(txn, MultiTxn):
            for part in txn.txns:
                self.one(header, part)
            return
        self.one(header, txn)

    def problem(self, zxid: int, what: str) -> None:
        self.problems.append(f"A1: transaction {zxid:#x} does not fit its place: {what}")

    def close(self, zxid: int, session: int, txn: CloseSessionTxn) -> None:
        if session not in self.opened or session in self.closed:
            self.problem(zxid, f"session {session:#x} is closed without being open")
        owned = self._owned.pop(session, set())
        if txn.paths is not None and set(txn.paths) != owned:
            self.problem(zxid, f"it lists {sorted(txn.paths)}, the session owns {sorted(owned)}")
        listed = list(txn.paths or [])
        for path in [*listed, *sorted(owned - set(listed))]:
            if path in self._live:
                self.delete(zxid, path)
        self.closed[session] = zxid

    def one(self, header: TxnHeader, txn: object) -> None:
        zxid, time = int(header.zxid), int(header.time_ms)
        if isinstance(txn, CreateTxn):
            self.create(zxid, time, int(header.session_id), txn)
        elif isinstance(txn, DeleteTxn):
            if txn.path not in self._live:
                self.problem(zxid, f"it deletes {txn.path!r}, which is not there")
                return
            if self._live[txn.path].children:
                self.problem(zxid, f"it deletes {txn.path!r}, which has children")
            self.delete(zxid, txn.path)
        elif isinstance(txn, SetDataTxn) and not txn.path.startswith(SYSTEM):
            node = self._live.get(txn.path)
            if node is None:
                self.problem(zxid, f"it sets {txn.path!r}, which is not there")
                return
            if txn.version != node.version + 1:
                self.problem(zxid, f"version {txn.version} of {txn.path!r} after {node.version}")
            node = replace(node, data=txn.data, version=int(txn.version), mzxid=zxid, mtime=time)
            self._put(zxid, txn.path, node)
            self.note(zxid, CHANGED, txn.path)

    def create(self, zxid: int, time: int, session: int, txn: CreateTxn) -> None:
        path, up = txn.path, parent_of(txn.path)
        if path in self._live:
            self.problem(zxid, f"it creates {path!r}, which is there")
            return
        parent = self._live.get(up)
        if parent is None:
            self.problem(zxid, f"it creates {path!r}, whose parent is not there")
            return
        owner = session if txn.ephemeral else 0
        if owner and self.may_be_local(owner):
            self.problem(zxid, f"session {owner:#x}, which is local, owns {path!r}")
        node = Node(txn.data, zxid, zxid, zxid, time, time, 0, 0, owner, frozenset())
        self._put(zxid, path, node)
        if owner:
            self._owned.setdefault(owner, set()).add(path)
        creates = parent.creates + 1
        if txn.parent_cversion not in (-1, creates):
            self.problem(zxid, f"cversion {txn.parent_cversion} of {up!r}, not {creates}")
        names = parent.children | {name_of(path)}
        self._put(zxid, up, replace(parent, pzxid=zxid, creates=creates, children=names))
        self.note(zxid, CREATED, path)
        self.note(zxid, CHILDREN, up)

    def delete(self, zxid: int, path: bytes) -> None:
        node = self._live[path]
        if node.owner:
            self._owned.get(node.owner, set()).discard(path)
        self._put(zxid, path, None)
        up = parent_of(path)
        parent = self._live[up]
        names = parent.children - {name_of(path)}
        self._put(zxid, up, replace(parent, pzxid=zxid, children=names))
        self.note(zxid, DELETED, path)
        self.note(zxid, CHILDREN, up)

    def note(self, zxid: int, type: int, path: bytes) -> None:
        self._order += 1
        self.changes.setdefault(path, []).append(Change(zxid, self._order, type, path))

    def _put(self, zxid: int, path: bytes, node: Node | None) -> None:
        versions = self.versions.setdefault(path, [])
        if versions and versions[-1][0] == zxid:
            versions.pop()
        versions.append((zxid, node))
        if node is None:
            del self._live[path]
        else:
            self._live[path] = node


def model_of(records: list[LoggedTxn], local_sessions: bool = False) -> Model:
    """The model after these transactions, in this order."""
    model = Model(local_sessions=local_sessions)
    for logged in records:
        model.add(logged)
    return model


def error_fits(model: Model, kind: str, path: bytes, version: int, error: int, zxid: int) -> bool:
    """Whether refusing was right, given the tree just before `zxid`."""
    before = zxid - 1
    node = model.at(path, before)
    parent = model.at(parent_of(path), before)
    if error == codes.NODE_EXISTS:
        return kind == "create" and node is not None
    if error == codes.NO_NODE:
        return (parent if kind == "create" else node) is None
    if error == codes.BAD_VERSION:
        return node is not None and version not in (-1, node.version)
    if error == codes.NOT_EMPTY:
        return kind == "delete" and node is not None and bool(node.children)
    if error == codes.NO_CHILDREN_FOR_EPHEMERALS:
        return kind == "create" and parent is not None and parent.owner != 0
    return True
