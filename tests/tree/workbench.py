"""What the tests of the tree share: a tree with its preparer, requests as bytes, and an auditor."""

from collections.abc import Sequence

from librt.strings import BytesWriter

from ensemble.tree.acl import AclSchemes, DigestScheme, IpScheme, WorldScheme
from ensemble.tree.apply import Applied, apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import NO_SUMS, content_crc, is_counted, node_digest
from ensemble.tree.paths import parent_of
from ensemble.tree.prepare import Prepared, PrepareOptions, Preparer, WriteRequest
from ensemble.tree.znode import CONTAINER, EPHEMERAL, TTL, kind_of_owner
from ensemble.wire import codes
from ensemble.wire.jute import reader_of, write_buffer, write_int, write_text
from ensemble.wire.records import Acl, Id, write_acl_vector
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    MultiItem,
    ReconfigRequest,
    SetAclRequest,
    SetDataRequest,
    write_create,
    write_delete,
    write_multi,
    write_reconfig,
    write_set_acl,
    write_set_data,
)
from ensemble.wire.txns import read_txn
from tests.recount import recount, used

ALICE = Id("digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0=")
ADDRESS = Id("ip", "127.0.0.1")
ANYONE = Id("world", "anyone")
SUPER = Id("super", "")
NOW_MS = 1_700_000_000_000
SESSION = 0x100000000000001


def acl_bytes(entries: Sequence[Acl]) -> bytes:
    out = BytesWriter()
    write_acl_vector(out, list(entries))
    return out.getvalue()


OPEN = acl_bytes([Acl(codes.PERM_ALL, ANYONE)])


def only(perms: int, who: Id = ANYONE) -> bytes:
    """The ACL of one entry, as a client sends it."""
    return acl_bytes([Acl(perms, who)])


def create_request(
    path: bytes, data: bytes | None = b"", flags: int = 0, acl: bytes = OPEN, ttl: int = -1
) -> CreateRequest:
    return CreateRequest(path, data, acl, flags, ttl)


def created(path: bytes, data: bytes | None = b"", flags: int = 0, op: int = 1) -> MultiItem:
    """A create inside a multi."""
    return MultiItem(op, create_request(path, data, flags))


def written(path: bytes, data: bytes | None, version: int = -1) -> MultiItem:
    """A setData inside a multi."""
    return MultiItem(codes.OP_SET_DATA, SetDataRequest(path, data, version))


def deleted(path: bytes, version: int = -1) -> MultiItem:
    """A delete inside a multi."""
    return MultiItem(codes.OP_DELETE, DeleteRequest(path, version))


def checked(path: bytes, version: int = -1) -> MultiItem:
    """A check inside a multi."""
    return MultiItem(codes.OP_CHECK, DeleteRequest(path, version))


class Bench:
    """A tree and its preparer. What is proposed is applied at once unless `hold` is set."""

    def __init__(self, options: PrepareOptions | None = None, skip_acl: bool = False) -> None:
        self.options = options or PrepareOptions()
        self.tree = DataTree(self.options.extended_types)
        schemes = [WorldScheme(), IpScheme(), DigestScheme()]
        self.schemes = AclSchemes(schemes, skip_acl)
        self.preparer = Preparer(self.tree, self.schemes, self.options)
        self.zxid = 0
        self.now_ms = NOW_MS
        self.hold = False
        self.held: list[Prepared] = []
        self.log: list[bytes] = []
        self.applied = Applied(False)
        self.open_session(SESSION)

    # Requests: each gives what was prepared; `error` of it is the client's

    def submit(
        self,
        op: int,
        body: bytes,
        ids: Sequence[Id] = (ADDRESS,),
        session_id: int = SESSION,
        may_ephemeral: bool = True,
    ) -> Prepared:
        request = WriteRequest(session_id, 7, op, reader_of(body), list(ids), may_ephemeral)
        prepared = self.preparer.prepare(request, self.zxid + 1, self.now_ms)
        self.zxid += 1
        self.log.append(prepared.payload)
        self.held.append(prepared)
        if not self.hold:
            self.commit()
        return prepared

    def commit(self) -> Applied:
        """Apply everything that is held; what the last of it did."""
        applied = Applied(False)
        for prepared in self.held:
            # By turns as the proposer does it, and as everybody else.
            known = prepared.sums if prepared.header.zxid % 2 else NO_SUMS
            applied = apply(self.tree, prepared.header, prepared.txn, known)
            self.preparer.on_applied(prepared)
        self.held = []
        self.applied = applied
        return applied

    def create(
        self,
        path: bytes,
        data: bytes | None = b"",
        flags: int = 0,
        acl: bytes = OPEN,
        ttl: int = -1,
        op: int = codes.OP_CREATE,
        ids: Sequence[Id] = (ADDRESS,),
        session_id: int = SESSION,
        may_ephemeral: bool = True,
    ) -> Prepared:
        out = BytesWriter()
        write_create(out, CreateRequest(path, data, acl, flags, ttl), op)
        return self.submit(op, out.getvalue(), ids, session_id, may_ephemeral)

    def set_data(
        self,
        path: bytes,
        data: bytes | None,
        version: int = -1,
        ids: Sequence[Id] = (ADDRESS,),
        session_id: int = SESSION,
    ) -> Prepared:
        out = BytesWriter()
        write_set_data(out, SetDataRequest(path, data, version))
        return self.submit(codes.OP_SET_DATA, out.getvalue(), ids, session_id)

    def delete(
        self,
        path: bytes,
        version: int = -1,
        ids: Sequence[Id] = (ADDRESS,),
        session_id: int = SESSION,
    ) -> Prepared:
        out = BytesWriter()
        write_delete(out, DeleteRequest(path, version))
        return self.submit(codes.OP_DELETE, out.getvalue(), ids, session_id)

    def set_acl(
        self,
        path: bytes,
        acl: bytes,
        version: int = -1,
        ids: Sequence[Id] = (ADDRESS,),
        session_id: int = SESSION,
    ) -> Prepared:
        out = BytesWriter()
        write_set_acl(out, SetAclRequest(path, acl, version))
        return self.submit(codes.OP_SET_ACL, out.getvalue(), ids, session_id)

    def multi(
        self,
        items: Sequence[MultiItem],
        ids: Sequence[Id] = (ADDRESS,),
        session_id: int = SESSION,
        may_ephemeral: bool = True,
    ) -> Prepared:
        out = BytesWriter()
        write_multi(out, list(items))
        return self.submit(codes.OP_MULTI, out.getvalue(), ids, session_id, may_ephemeral)

    def multi_errors(self, items: Sequence[MultiItem]) -> list[int]:
        """The error of each part of an applied multi."""
        self.multi(items)
        assert self.applied.multi
        return [result.error for result in self.applied.results]

    def reconfig(self) -> Prepared:
        out = BytesWriter()
        write_reconfig(out, ReconfigRequest(None, None, None, -1))
        return self.submit(codes.OP_RECONFIG, out.getvalue())

    def open_session(self, session_id: int, timeout_ms: int = 10_000) -> Prepared:
        out = BytesWriter()
        write_int(out, timeout_ms)
        return self.submit(codes.OP_CREATE_SESSION, out.getvalue(), session_id=session_id)

    def close_session(self, session_id: int = SESSION) -> Prepared:
        return self.submit(codes.OP_CLOSE_SESSION, b"", session_id=session_id)

    def reap(self, path: bytes) -> Prepared:
        """The server's own deleteContainer."""
        out = BytesWriter()
        write_buffer(out, path)
        return self.submit(codes.OP_DELETE_CONTAINER, out.getvalue(), (), 0)

    # Looking

    def data(self, path: bytes) -> bytes | None:
        return self.tree.nodes[path].data

    def events(self) -> list[tuple[int, bytes]]:
        """What the last applied transaction told watchers."""
        return [(change.event, change.path) for change in self.applied.changes]

    def replayed(self) -> DataTree:
        """A new tree that has applied the whole log."""
        tree = DataTree(self.options.extended_types)
        for payload in self.log:
            logged = read_txn(payload)
            apply(tree, logged.header, logged.txn)
        return tree


def malformed_acl(*entries: tuple[int, str | None, str | None]) -> bytes:
    """A vector of ACL entries with whatever texts, null ones included."""
    out = BytesWriter()
    write_int(out, len(entries))
    for perms, scheme, id in entries:
        write_int(out, perms)
        write_text(out, scheme)
        write_text(out, id)
    return out.getvalue()


def full_digest(tree: DataTree) -> int:
    """The digest computed anew over all nodes (storage.md 6.4)."""
    total = 0
    for path, node in tree.nodes.items():
        if is_counted(path):
            total += node_digest(
                content_crc(path, node.data),
                node.czxid,
                node.mzxid,
                node.pzxid,
                node.ctime,
                node.mtime,
                node.version,
                node.cversion,
                node.aversion,
                node.owner,
            )
    return total


def audit(tree: DataTree) -> None:
    """Check every invariant that `DataTree` promises, the slow way."""
    kinds: dict[int, set[bytes]] = {EPHEMERAL: set(), CONTAINER: set(), TTL: set(), 0: set()}
    owned: dict[int, set[bytes]] = {}
    users: dict[int, int] = {}
    links = 0
    size = 0
    for path, node in tree.nodes.items():
        size += len(path) + len(node.data or b"")
        users[node.acl.id] = users.get(node.acl.id, 0) + 1
        assert tree.acls.by_id[node.acl.id] is node.acl
        kinds[kind_of_owner(node.owner, tree.extended_types)].add(path)
        if kind_of_owner(node.owner, tree.extended_types) == EPHEMERAL:
            owned.setdefault(node.owner, set()).add(path)
        assert node.children is None or node.children, f"an empty set of children at {path!r}"
        for child in node.children or ():
            links += 1
            assert child in tree.nodes
            assert parent_of(child) == path
    assert links == len(tree.nodes) - 1
    assert tree.data_bytes == size
    assert tree.digest == full_digest(tree)
    assert (tree.containers, tree.ttls) == (kinds[CONTAINER], kinds[TTL])
    assert tree.ephemerals == owned
    assert tree.ephemeral_bytes == {id: sum(map(len, paths)) for id, paths in owned.items()}
    users[-1] = users.get(-1, 0) + 1  # the table itself keeps the open list
    assert {id: acl.users for id, acl in tree.acls.by_id.items()} == users
    assert len(tree.acls.by_entries) <= len(tree.acls.by_id)
    for budget in tree.budgets.by_name.values():
        assert used(budget) == recount(tree, budget), budget.name


def contents(tree: DataTree, quota_data: bool = True) -> dict[str, object]:
    """Everything replicas must agree on, in a form that compares."""
    nodes = {}
    for path, node in tree.nodes.items():
        hidden = not quota_data and path.startswith(b"/zookeeper/quota/")
        nodes[path] = (
            None if hidden else node.data,
            node.acl.entries,
            tree.stat_of(node).as_tuple()[:8] + tree.stat_of(node).as_tuple()[9:],
            node.owner,
            node.cversion,
            node.children or set(),
        )
    return {
        "nodes": nodes,
        "sessions": dict(tree.sessions),
        "ephemerals": dict(tree.ephemerals),
        "containers": set(tree.containers),
        "ttls": set(tree.ttls),
        "limited": set(tree.quotas.by_path),
        "zxid": tree.last_zxid,
        "digest": tree.digest,
    }
