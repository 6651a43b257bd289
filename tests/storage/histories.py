"""Made-up histories of transactions, and what a tree must hold after each of them."""

import random

from librt.strings import BytesWriter

from ensemble.storage.txnlog import encode_record
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import signed64
from ensemble.wire import codes
from ensemble.wire.records import Acl, Id
from ensemble.wire.txns import (
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetDataTxn,
    Txn,
    TxnHeader,
    read_txn,
    write_digest,
    write_txn_body,
    write_txn_header,
)

ANYONE = [Acl(codes.PERM_ALL, Id("world", "anyone"))]
SESSION = 0x1000000000000AB
TIME_MS = 1_700_000_000_000
Picture = tuple[object, ...]


def payload(tree: DataTree, zxid: int, op: int, txn: Txn, session_id: int = SESSION) -> bytes:
    """Apply a transaction to `tree`, and give the log payload with the digest that follows."""
    header = TxnHeader(session_id, zxid, zxid, TIME_MS + (zxid & 0xFFFFFFFF), op)
    out = BytesWriter()
    write_txn_header(out, header)
    write_txn_body(out, op, txn)
    apply(tree, header, txn)
    if op != codes.OP_ERROR:
        write_digest(out, signed64(tree.digest))
    return out.getvalue()


class History:
    """Grows by one random transaction at a time; zxids are 1, 2, 3, ... within `epoch`.

    Data of many kinds: nothing, zeros over whole sectors, whole log records.
    """

    def __init__(self, seed: int, epoch: int = 0, zeros: bool = True) -> None:
        self.rng = random.Random(seed)
        self.zeros = zeros
        self.epoch = epoch
        self.payloads: list[bytes] = []
        self.tree = DataTree()
        self.tree.last_zxid = epoch << 32
        self.serial = 0

    @property
    def last_zxid(self) -> int:
        return (self.epoch << 32) + len(self.payloads)

    def grow(self) -> tuple[int, bytes]:
        """One more transaction: its zxid and payload."""
        zxid = self.last_zxid + 1
        op, txn = self.choose()
        made = payload(self.tree, zxid, op, txn)
        self.payloads.append(made)
        return zxid, made

    def choose(self) -> tuple[int, Txn]:
        self.serial += 1
        rng = self.rng
        mine = sorted(path for path in self.tree.nodes if path.startswith(b"/n"))
        leaves = [path for path in mine if self.tree.nodes[path].children is None]
        kind = rng.randrange(10)
        if kind == 0 and leaves:
            return codes.OP_DELETE, DeleteTxn(rng.choice(leaves))
        if kind in (1, 2) and mine:
            path = rng.choice(mine)
            version = int(self.tree.nodes[path].version) + 1
            return codes.OP_SET_DATA, SetDataTxn(path, self.data(), version)
        if kind == 3:
            return codes.OP_CREATE_SESSION, CreateSessionTxn(10_000 + self.serial)
        if kind == 4:
            return codes.OP_ERROR, ErrorTxn(codes.NO_NODE)
        if kind == 5 and self.tree.sessions:
            paths = sorted(self.tree.ephemerals.get(SESSION, ()))
            return codes.OP_CLOSE_SESSION, CloseSessionTxn(paths)
        if kind == 6:
            parts = [self.create(b"/n%d-m%d" % (self.serial, i)) for i in range(rng.randint(1, 3))]
            return codes.OP_MULTI, MultiTxn([codes.OP_CREATE] * len(parts), list(parts))
        parent = rng.choice(mine) if mine and rng.random() < 0.3 else b""
        path = parent + b"/n%d" % self.serial
        ephemeral = rng.random() < 0.2 and SESSION in self.tree.sessions and not parent
        return codes.OP_CREATE, self.create(path, ephemeral)

    def create(self, path: bytes, ephemeral: bool = False) -> CreateTxn:
        return CreateTxn(path, self.data(), ANYONE, ephemeral, -1, 0)

    def data(self) -> bytes | None:
        rng = self.rng
        kind = rng.randrange(6)
        if kind == 0:
            return None
        if kind == 1:
            return bytes(rng.randrange(1_500)) if self.zeros else b""
        if kind == 2 and self.payloads:
            return encode_record(rng.choice(self.payloads))
        return rng.randbytes(rng.randrange(1, 40) ** 2)

    def forget_after(self, zxid: int) -> None:
        """What was not kept has never been: history goes on from `zxid`."""
        del self.payloads[zxid - (self.epoch << 32) :]
        self.tree = tree_of(self.payloads, self.epoch << 32)


def tree_of(payloads: list[bytes], zxid: int = 0) -> DataTree:
    """The tree after these transactions, by applying each of them."""
    tree = DataTree()
    tree.last_zxid = zxid
    for raw in payloads:
        logged = read_txn(raw)
        apply(tree, logged.header, logged.txn)
    return tree


def picture(tree: DataTree) -> Picture:
    """All that a tree holds, as plain values: equal pictures are equal trees."""
    nodes = {
        path: (
            node.data,
            tuple((entry.perms, entry.id.scheme, entry.id.id) for entry in node.acl.entries),
            frozenset(node.children or ()),
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
        for path, node in tree.nodes.items()
    }
    ephemerals = {owner: frozenset(paths) for owner, paths in tree.ephemerals.items()}
    return (
        int(tree.last_zxid),
        signed64(tree.digest),
        int(tree.data_bytes),
        dict(tree.sessions),
        ephemerals,
        frozenset(tree.containers),
        frozenset(tree.ttls),
        nodes,
    )
