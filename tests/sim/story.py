"""Histories written by hand, for tests of the checkers: a log and what clients saw of it."""

from dataclasses import replace

from ensemble.wire import codes
from ensemble.wire.txns import (
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    LoggedTxn,
    SetDataTxn,
    SubTxn,
    Txn,
    TxnHeader,
)
from tests.sim.history import Connected, Entry, Event, History, Lost, Op, Pong
from tests.sim.model import Model, model_of

EPOCH = 1 << 32
SESSION = 0x100


class Story:
    """Each write is logged, answered rightly and takes 10 us; tests then bend what they will."""

    def __init__(self, clients: int = 2) -> None:
        self.log: list[LoggedTxn] = []
        self.history = History()
        self.zxid = EPOCH
        self.now_us = 0
        self.xid = 0
        for client in range(clients):
            self.record(SESSION + client, 0, codes.OP_CREATE_SESSION, CreateSessionTxn(4_000))
            self.enter(client, Connected(SESSION + client, 1, False, self.now_us))

    def record(self, session: int, cxid: int, type: int, txn: Txn) -> int:
        self.zxid += 1
        header = TxnHeader(session, cxid, self.zxid, 1_000, type)
        self.log.append(LoggedTxn(header, txn, False, 0, 0))
        return self.zxid

    def enter(self, client: int, entry: Entry) -> None:
        self.history.trail(client).entries.append(entry)

    def op(self, client: int, kind: str, path: bytes, **more: object) -> Op:
        """A request without its answer."""
        self.xid += 1
        self.now_us += 10
        op = Op(kind, client, SESSION + client, 1, self.xid, path, self.now_us)
        op = replace(op, **more)  # type: ignore[arg-type]
        self.history.ops.append(op)
        return op

    def answer(self, op: Op, zxid: int) -> Op:
        self.now_us += 10
        op.done_us, op.zxid = self.now_us, zxid
        self.enter(op.client, op)
        return op

    def model(self) -> Model:
        return model_of(self.log)

    def create(self, client: int, path: bytes, data: bytes = b"", ephemeral: bool = False) -> Op:
        op = self.op(client, "create", path, data=data, ephemeral=ephemeral)
        txn = CreateTxn(path, data, [], ephemeral, -1, 0)
        op.created = path
        return self.answer(op, self.record(op.session, op.xid, codes.OP_CREATE2, txn))

    def set(self, client: int, path: bytes, data: bytes, version: int = -1) -> Op:
        op = self.op(client, "set", path, data=data, version=version)
        old = self.model().at(path, self.zxid)
        assert old is not None
        txn = SetDataTxn(path, data, old.version + 1)
        zxid = self.record(op.session, op.xid, codes.OP_SET_DATA, txn)
        node = self.model().at(path, zxid)
        assert node is not None
        op.stat = node.stat()
        return self.answer(op, zxid)

    def delete(self, client: int, path: bytes) -> Op:
        op = self.op(client, "delete", path)
        zxid = self.record(op.session, op.xid, codes.OP_DELETE, DeleteTxn(path))
        return self.answer(op, zxid)

    def refused(self, client: int, kind: str, path: bytes, error: int, version: int = -1) -> Op:
        op = self.op(client, kind, path, version=version, error=error)
        return self.answer(op, self.record(op.session, op.xid, codes.OP_ERROR, ErrorTxn(error)))

    def parts(self, client: int, op: Op, txn: Txn | SubTxn, type: int) -> Op:
        return self.answer(op, self.record(op.session, op.xid, type, txn))

    def read(self, client: int, kind: str, path: bytes, watch: bool = False) -> Op:
        op = self.op(client, kind, path, watch=watch)
        node = self.model().at(path, self.zxid)
        if node is None:
            op.error = codes.NO_NODE
        else:
            op.stat, op.value, op.children = node.stat(), node.data, node.children
        return self.answer(op, self.zxid)

    def sync(self, client: int) -> Op:
        return self.answer(self.op(client, "sync", b"/"), self.zxid)

    def close(self, client: int, paths: list[bytes]) -> Op:
        op = self.op(client, "close", b"")
        txn = CloseSessionTxn(paths)
        return self.answer(op, self.record(op.session, op.xid, codes.OP_CLOSE_SESSION, txn))

    def event(self, client: int, type: int, path: bytes, zxid: int) -> Event:
        event = Event(zxid, type, path, self.now_us)
        self.enter(client, event)
        return event

    def pong(self, client: int, zxid: int) -> None:
        self.enter(client, Pong(zxid, self.now_us))

    def reconnect(self, client: int, resumed: bool = True) -> None:
        self.enter(client, Lost(self.now_us))
        self.enter(client, Connected(SESSION + client, 2, resumed, self.now_us))

    def set_watches(self, client: int, relative_zxid: int, **lists: list[bytes]) -> Op:
        return self.op(client, "set_watches", b"", relative_zxid=relative_zxid, lists=lists)
