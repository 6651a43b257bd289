"""What a log or snapshot file holds, for people and scripts: one JSON object a line.

Nothing is changed on the disk. A log is read up to its damage, if there is any: the last line says
where it is and what was found.
"""

import base64
import json
import posixpath
import sys
from collections.abc import Iterator
from typing import Final

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk, OsDisk
from ensemble.storage.layout import zxid_of
from ensemble.storage.logreader import CLEAN, TORN, LogReader, LogRecord
from ensemble.storage.snapfile import load
from ensemble.tree.digest import signed64
from ensemble.tree.znode import Znode
from ensemble.wire.codes import name_of_error, name_of_op
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
    Txn,
    read_txn,
)
from ensemble.wire.zxid import format_zxid

JsonObject = dict[str, object]

EXIT_OK: Final = 0
EXIT_UNREADABLE: Final = 1


def data_text(data: bytes | None) -> str | None:
    """UTF-8 where it is, else base64 behind a mark."""
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()


def path_text(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def acl_text(entries: list[Acl]) -> list[str]:
    """`perms:scheme:id` for each entry."""
    return [f"{entry.perms}:{entry.id.scheme}:{entry.id.id}" for entry in entries]


def describe(op: int, txn: Txn) -> JsonObject:
    """A transaction's body."""
    found: JsonObject = {"type": name_of_op(op)}
    if isinstance(txn, CreateTxn):
        found["path"] = path_text(txn.path)
        found["data"] = data_text(txn.data)
        found["acl"] = acl_text(txn.acl)
        found["parent_cversion"] = int(txn.parent_cversion)
        if txn.ephemeral:
            found["ephemeral"] = True
        if txn.ttl:
            found["ttl_ms"] = int(txn.ttl)
    elif isinstance(txn, SetDataTxn):
        found["path"] = path_text(txn.path)
        found["data"] = data_text(txn.data)
        found["version"] = int(txn.version)
    elif isinstance(txn, SetAclTxn):
        found["path"] = path_text(txn.path)
        found["acl"] = acl_text(txn.acl)
        found["version"] = int(txn.version)
    elif isinstance(txn, CheckTxn):
        found["path"] = path_text(txn.path)
        found["version"] = int(txn.version)
    elif isinstance(txn, DeleteTxn):
        found["path"] = path_text(txn.path)
    elif isinstance(txn, ErrorTxn):
        found["error"] = name_of_error(int(txn.err))
    elif isinstance(txn, CreateSessionTxn):
        found["timeout_ms"] = int(txn.timeout_ms)
    elif isinstance(txn, CloseSessionTxn):
        found["paths"] = None if txn.paths is None else [path_text(path) for path in txn.paths]
    elif isinstance(txn, MultiTxn):
        found["parts"] = [describe(t, x) for t, x in zip(txn.types, txn.txns, strict=True)]
    return found


def describe_record(record: LogRecord) -> JsonObject:
    line: JsonObject = {"offset": record.offset, "zxid": format_zxid(record.zxid)}
    try:
        logged = read_txn(record.payload)
    except MarshallingError as error:
        line["undecodable"] = str(error)
        return line
    header = logged.header
    line["time_ms"] = int(header.time_ms)
    line["session"] = format_zxid(header.session_id)
    line["cxid"] = int(header.cxid)
    line.update(describe(header.type, logged.txn))
    if logged.has_digest:
        line["digest"] = int(logged.digest)
    return line


def log_lines(disk: Disk, path: str) -> Iterator[JsonObject]:
    """One object a record; a last one where the file does not end cleanly."""
    reader = LogReader(disk, path)
    try:
        while (record := reader.next_record()) is not None:
            yield describe_record(record)
    finally:
        reader.close()
    if reader.end != CLEAN:
        what = "torn_at" if reader.end == TORN else "damaged_at"
        yield {what: reader.end_offset, "why": reader.why}


def describe_znode(path: bytes, node: Znode) -> JsonObject:
    """The stored values: `cversion` is not the one that clients see (storage.md 5.2)."""
    return {
        "path": path_text(path),
        "data": data_text(node.data),
        "acl": acl_text(node.acl.entries),
        "czxid": format_zxid(node.czxid),
        "mzxid": format_zxid(node.mzxid),
        "pzxid": format_zxid(node.pzxid),
        "ctime_ms": int(node.ctime),
        "mtime_ms": int(node.mtime),
        "version": int(node.version),
        "cversion": int(node.cversion),
        "aversion": int(node.aversion),
        "owner": format_zxid(node.owner),
    }


def snapshot_lines(disk: Disk, path: str) -> Iterator[JsonObject]:
    """First the whole, then one object a znode, by path."""
    zxid = zxid_of(path)
    if zxid is None:
        raise StorageError(f"{path}: the name says no zxid, snapshot.<zxid> is expected")
    snapshot = load(disk, path, zxid, extended_types=True)
    tree = snapshot.tree
    yield {
        "zxid": format_zxid(zxid),
        "znodes": len(tree.nodes),
        "sessions": {format_zxid(id): timeout for id, timeout in sorted(tree.sessions.items())},
        "digest": signed64(tree.digest),
        "written_digest": snapshot.digest if snapshot.digest_zxid >= 0 else None,
        "written_digest_zxid": format_zxid(snapshot.digest_zxid),
    }
    for name in sorted(tree.nodes):
        yield describe_znode(name, tree.nodes[name])


def dump(path: str) -> int:
    """Print a file; the exit code."""
    lines = snapshot_lines if posixpath.basename(path).startswith("snapshot.") else log_lines
    try:
        for line in lines(OsDisk(), path):
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    except StorageError as error:
        sys.stderr.write(f"ensemble: {error}\n")
        return EXIT_UNREADABLE
    return EXIT_OK
