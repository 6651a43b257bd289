"""The audit log: who asked for which change, and what came of it (audit.enable).

Source: admin.md section 4. One line an event, `key=value` pairs joined by a TAB, in Apache's order
and words. Unlike Apache's, values are escaped (a user name cannot forge a pair or a line) and
digests in ACLs are hidden. A write is noted when it is proposed and told when it is committed: also
where the client that asked is gone by then. What waits in between is bounded by what is proposed.
"""

import logging
import os
import pwd
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.server.connection import Connection
from ensemble.server.logs import AuditFormatter, JsonFormatter, escape
from ensemble.tree.acl import AclSchemes
from ensemble.tree.apply import Applied
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.records import Acl, Id
from ensemble.wire.requests import (
    CreateRequest,
    MultiItem,
    read_create,
    read_delete,
    read_multi,
    read_set_acl,
    read_set_data,
)
from ensemble.wire.txns import SetAclTxn, Txn, TxnHeader

SUCCESS: Final = "success"
FAILURE: Final = "failure"
CREATES: Final = (
    codes.OP_CREATE,
    codes.OP_CREATE2,
    codes.OP_CREATE_CONTAINER,
    codes.OP_CREATE_TTL,
)
OPERATIONS: Final = {
    **dict.fromkeys(CREATES, "create"),
    codes.OP_DELETE: "delete",
    codes.OP_SET_DATA: "setData",
    codes.OP_SET_ACL: "setAcl",
    codes.OP_MULTI: "multiOperation",
    codes.OP_RECONFIG: "reconfig",
}
EPHEMERAL_DELETION: Final = "ephemeralZNodeDeletionOnSessionCloseOrExpire"
MODES: Final = {
    codes.CREATE_PERSISTENT: "persistent",
    codes.CREATE_EPHEMERAL: "ephemeral",
    codes.CREATE_PERSISTENT_SEQUENTIAL: "persistent_sequential",
    codes.CREATE_EPHEMERAL_SEQUENTIAL: "ephemeral_sequential",
    codes.CREATE_CONTAINER: "container",
    codes.CREATE_PERSISTENT_WITH_TTL: "persistent_with_ttl",
    codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL: "persistent_sequential_with_ttl",
}
PERMISSION_LETTERS: Final = (
    (codes.PERM_CREATE, "c"),
    (codes.PERM_DELETE, "d"),
    (codes.PERM_READ, "r"),
    (codes.PERM_WRITE, "w"),
    (codes.PERM_ADMIN, "a"),
)


@final
class Asked:
    """A write that is proposed: who asked, and what. `parts`: (opcode, path, mode), one each."""

    def __init__(self, user: str, host: str, op: int, parts: list[tuple[int, bytes, str]]) -> None:
        self.user: Final = user
        self.host: Final = host
        self.op: Final = op
        self.parts: Final = parts


@final
class Journal:
    """Writes the audit log. The caller sets `schemes` before the first client comes."""

    def __init__(self, path: str, form: str) -> None:
        self.log: Final = audit_logger(path, form)
        self.server_user: Final = user_of_process()
        self.schemes = AclSchemes([])
        self.asked: Final[dict[int, Asked]] = {}

    def write(self, result: str, **pairs: str) -> None:
        """One line. Pairs without a value are left out."""
        pairs["result"] = result
        line = "\t".join(f"{key}={escape(value)}" for key, value in pairs.items() if value)
        self.log.log(logging.ERROR if result == FAILURE else logging.INFO, "%s", line)

    def on_server(self, operation: str, result: str) -> None:
        """serverStart, serverStop."""
        self.write(result, user=self.server_user, operation=operation)

    def on_proposed(self, zxid: int, conn: Connection, op: int, body: Reader) -> None:
        """A client's write, which has been decoded once: `body` stands at its beginning."""
        if op in OPERATIONS:
            names = [self.schemes.user_name(id) for id in conn.ids]
            user = ",".join(dict.fromkeys(name for name in names if name))
            self.asked[zxid] = Asked(user, conn.peer_host, op, parts_of(op, body))

    def on_committed(self, header: TxnHeader, error: int, txn: Txn, applied: Applied) -> None:
        """What became of it; and the ephemerals that went with a session."""
        session = f"{header.session_id & 0xFFFFFFFFFFFFFFFF:#x}"
        if header.type == codes.OP_CLOSE_SESSION:
            for change in applied.changes:
                if change.event == codes.EVENT_NODE_DELETED:
                    self.write(
                        SUCCESS,
                        session=session,
                        user=self.server_user,
                        operation=EPHEMERAL_DELETION,
                        znode=text(change.path),
                    )
            return
        asked = self.asked.pop(header.zxid, None)
        if asked is None:
            return  # the server's own: sessions, containers, TTLs
        failed = error != 0 or applied.error != 0
        parts = asked.parts
        if asked.op == codes.OP_MULTI and failed:
            parts = [(codes.OP_MULTI, b"", "")]
        for index, (op, path, mode) in enumerate(parts):
            if op not in OPERATIONS:
                continue  # a check in a multi
            if not failed and op in CREATES:
                path = applied.results[index].path  # the final one, with its sequence number
            self.write(
                FAILURE if failed else SUCCESS,
                session=session,
                user=asked.user,
                ip=asked.host,
                operation=OPERATIONS[op],
                znode=text(path),
                znode_type=mode,
                acl=acl_text(txn.acl) if isinstance(txn, SetAclTxn) else "",
            )


def parts_of(op: int, body: Reader) -> list[tuple[int, bytes, str]]:
    """The operations of a request with what they are about."""
    if op == codes.OP_MULTI:
        try:
            return [part_of(item) for item in read_multi(body)]
        except MarshallingError:
            return [(op, b"", "")]  # alone of all writes it takes its zxid even so, and fails
    if op in CREATES:
        return [part_of(MultiItem(op, read_create(body, op)))]
    if op == codes.OP_DELETE:
        return [(op, read_delete(body).path, "")]
    if op == codes.OP_SET_DATA:
        return [(op, read_set_data(body).path, "")]
    if op == codes.OP_SET_ACL:
        return [(op, read_set_acl(body).path, "")]
    return [(op, b"", "")]


def part_of(item: MultiItem) -> tuple[int, bytes, str]:
    request = item.request
    mode = ""
    if isinstance(request, CreateRequest):
        mode = MODES.get(int(request.flags), f"flags_{request.flags}")
    return item.op, request.path, mode


def text(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def acl_text(entries: list[Acl]) -> str:
    """`scheme:id:perms` of each entry, with nothing between them, as Apache's has it."""
    return "".join(f"{shown_id(entry.id)}:{permissions(int(entry.perms))}" for entry in entries)


def shown_id(id: Id) -> str:
    name = id.id or ""
    if id.scheme == "digest":
        name = name.partition(":")[0] + ":x"
    return f"{id.scheme}:{name}"


def permissions(perms: int) -> str:
    return "".join(letter for bit, letter in PERMISSION_LETTERS if perms & bit)


def user_of_process() -> str:
    """The name of the user that this process runs as, or the number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


class PrivateFileHandler(WatchedFileHandler):
    """A file for its owner alone, opened anew where somebody has moved it away (logrotate)."""

    def _open(self) -> TextIOWrapper:
        return open(
            self.baseFilename,
            "a",
            encoding="utf-8",
            opener=lambda path, flags: os.open(path, flags | os.O_CLOEXEC, 0o600),
        )


def audit_logger(path: str, form: str) -> logging.Logger:
    """A logger of its own: to the file, or beside everything else on standard error.

    Raises:
        ConfigError: the file cannot be opened.
    """
    handler: logging.Handler = logging.StreamHandler()
    if path:
        try:
            handler = PrivateFileHandler(path)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}", "ensemble.audit.file") from None
    handler.setFormatter(JsonFormatter(escaped=True) if form == "json" else AuditFormatter())
    logger = logging.getLogger("ensemble.audit")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger
