"""Transactions as lines of the change feed: decoded, attributed, and in a tenant's own words.

Who it was: sessions of tenants are bound by znodes `/zookeeper/tenants/<slug>/<session>`, which
come by in the stream itself; those that are older are in the registry as long as they live. Others
have no principal here: the audit journal of the server that they were connected to knows them.

A tenant is told of nothing but its own tree: paths as it calls them, sessions only where they are
its own, no failed transaction (they carry no path), and of a multi the parts that it can see.
"""

import base64
import json
from collections import OrderedDict
from typing import Final, final

from ensemble.server.audit_chain import iso
from ensemble.server.journal import permissions
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.namespace import View
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError
from ensemble.wire.records import Acl
from ensemble.wire.txns import (
    CheckTxn,
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetAclTxn,
    SetDataTxn,
    SubTxn,
    TxnHeader,
    read_txn,
)

TENANTS: Final = b"/zookeeper/tenants/"
SESSION_DIGITS: Final = 16
NAMES_MAX: Final = 100_000  # sessions that a reader remembers by the stream

Fields = dict[str, object]


@final
class Lines:
    """One reader's lines. `view`: the tenant's, None for the whole tree."""

    def __init__(self, directory: Directory, slug: str, view: View | None, values: bool) -> None:
        self.directory: Final = directory
        self.slug: Final = slug
        self.view: Final = view
        self.values: Final = values
        self.names: Final[OrderedDict[int, tuple[str, str]]] = OrderedDict()

    def of(self, payload: bytes) -> bytes:
        """The line of a transaction; empty where this reader is not told of it."""
        try:
            logged = read_txn(payload)
        except MarshallingError as error:
            return b"" if self.view is not None else to_line({"error": str(error)})
        header, txn = logged.header, logged.txn
        slug, who = self.who(int(header.session_id))
        fields: Fields = {
            "zxid": f"{header.zxid:#x}",
            "time": iso(int(header.time_ms)),
        }
        if self.view is None or slug == self.slug:
            if header.session_id:
                fields["session"] = f"{header.session_id & 0xFFFFFFFFFFFFFFFF:#x}"
            if who:
                fields["principal"] = who
            if slug:
                fields["tenant"] = slug
        told = False
        if isinstance(txn, MultiTxn):
            told = self.add_multi(fields, header, txn)
        elif isinstance(txn, CreateTxn | DeleteTxn | SetDataTxn | SetAclTxn | CheckTxn):
            part = self.part(int(header.type), header, txn)
            if part is not None:
                fields.update(part)
                told = True
        elif self.view is None or slug == self.slug:
            told = self.add_session(fields, header, txn)
        elif isinstance(txn, CloseSessionTxn):
            told = self.add_foreign_close(fields, txn)
        if header.type == codes.OP_CLOSE_SESSION:
            self.names.pop(int(header.session_id), None)
        return to_line(fields) if told else b""

    def add_session(
        self, fields: Fields, header: TxnHeader, txn: CreateSessionTxn | CloseSessionTxn | ErrorTxn
    ) -> bool:
        """A session's begin or end, or a request that failed."""
        fields["operation"] = codes.name_of_op(int(header.type))
        if isinstance(txn, ErrorTxn):
            if self.view is not None:
                return False
            fields["result"] = codes.name_of_error(int(txn.err))
        elif isinstance(txn, CreateSessionTxn):
            fields["timeout_ms"] = int(txn.timeout_ms)
        else:
            fields["paths"] = [p for path in txn.paths or [] if (p := self.shown(path)) is not None]
        return True

    def add_foreign_close(self, fields: Fields, txn: CloseSessionTxn) -> bool:
        """Somebody else's session ends: the tenant sees which of its znodes go with it."""
        paths = [p for path in txn.paths or [] if (p := self.shown(path)) is not None]
        fields["operation"] = "closeSession"
        fields["paths"] = paths
        return bool(paths)

    def add_multi(self, fields: Fields, header: TxnHeader, txn: MultiTxn) -> bool:
        fields["operation"] = "multi"
        parts: list[Fields] = []
        failed = next((p for p in txn.txns if isinstance(p, ErrorTxn) and p.err != 0), None)
        if failed is not None or any(isinstance(part, ErrorTxn) for part in txn.txns):
            fields["result"] = codes.name_of_error(int(failed.err) if failed is not None else 0)
            return self.view is None
        for op, sub in zip(txn.types, txn.txns, strict=True):
            part = self.part(op, header, sub)
            if part is not None:
                parts.append(part)
        fields["parts"] = parts
        return bool(parts) or self.view is None

    def part(self, op: int, header: TxnHeader, txn: SubTxn | SetAclTxn) -> Fields | None:
        """One operation on a znode; None where this reader does not see it."""
        assert not isinstance(txn, ErrorTxn)
        if isinstance(txn, CreateTxn | SetDataTxn):
            self.learn(header, txn)
        path = self.shown(txn.path)
        if path is None:
            return None
        fields: Fields = {"operation": codes.name_of_op(op), "path": path}
        if isinstance(txn, CreateTxn):
            fields["version"] = 0
            if txn.ephemeral:
                fields["ephemeral"] = True
            if txn.ttl:
                fields["ttl"] = int(txn.ttl)
        elif isinstance(txn, SetAclTxn):
            fields["acl_version"] = int(txn.version)
        if isinstance(txn, CreateTxn | SetAclTxn):
            if not is_open(txn.acl):
                fields["closed"] = True
            if self.values:  # with hashes of passwords in it
                fields["acl"] = [entry_text(entry) for entry in txn.acl]
        elif isinstance(txn, SetDataTxn | CheckTxn):
            fields["version"] = int(txn.version)
        if isinstance(txn, CreateTxn | SetDataTxn):
            fields["bytes"] = 0 if txn.data is None else len(txn.data)
            if self.values and txn.data is not None:
                fields["value"] = base64.b64encode(txn.data).decode()
        return fields

    def shown(self, path: bytes) -> str | None:
        """A path as the reader calls it."""
        if self.view is not None:
            own = self.view.outward(path)
            if own is None:
                return None
            path = own
        return path.decode("utf-8", "backslashreplace")

    def who(self, session_id: int) -> tuple[str, str]:
        """Tenant and principal of a session; empty where nobody knows."""
        known = self.names.get(session_id)
        if known is not None:
            return known
        binding = self.directory.bindings.get(session_id)
        return ("", "") if binding is None else (binding.slug, binding.principal)

    def learn(self, header: TxnHeader, txn: CreateTxn | SetDataTxn) -> None:
        """A binding comes by."""
        path = txn.path
        if not path.startswith(TENANTS) or txn.data is None:
            return
        slug, _, session = path[len(TENANTS) :].partition(b"/")
        if len(session) != SESSION_DIGITS:
            return
        try:
            session_id = int(session, 16)
            who = json.loads(txn.data)["who"]
            name = slug.decode("ascii")
        except (ValueError, KeyError, TypeError):
            return
        if session_id >= 1 << 63:
            session_id -= 1 << 64
        if session_id != header.session_id or not isinstance(who, str):
            return
        self.names[session_id] = (name, who)
        self.names.move_to_end(session_id)
        if len(self.names) > NAMES_MAX:
            self.names.popitem(last=False)


def entry_text(entry: Acl) -> str:
    """`scheme:id:cdrwa`, as zkCli writes it."""
    return f"{entry.id.scheme}:{entry.id.id or ''}:{permissions(int(entry.perms))}"


def is_open(acl: list[Acl]) -> bool:
    """Whether everybody may read; so it is with no ACL at all, too."""
    return not acl or any(
        entry.perms & codes.PERM_READ and entry.id.scheme == "world" and entry.id.id == "anyone"
        for entry in acl
    )


def to_line(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
