"""What a log or snapshot file holds, for people and scripts: one JSON object a line."""

import base64
import json
import posixpath
import sys
from collections.abc import Iterator

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk, OsDisk
from ensemble.storage.snapfile import load
from ensemble.storage.txnlog import read_log_file
from ensemble.wire.codes import name_of_op
from ensemble.wire.jute import MarshallingError
from ensemble.wire.txns import CreateTxn, DeleteTxn, ErrorTxn, MultiTxn, SetDataTxn, Txn, read_txn
from ensemble.wire.zxid import format_zxid

JsonObject = dict[str, object]


def data_text(data: bytes | None) -> str | None:
    """UTF-8 where it is, else base64 behind a mark."""
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()


def describe(type: int, txn: Txn) -> JsonObject:
    found: JsonObject = {"type": name_of_op(type)}
    if isinstance(txn, CreateTxn | SetDataTxn):
        found["path"] = txn.path.decode("utf-8", "replace")
        found["data"] = data_text(txn.data)
    elif isinstance(txn, DeleteTxn):
        found["path"] = txn.path.decode("utf-8", "replace")
    elif isinstance(txn, ErrorTxn):
        found["error"] = int(txn.err)
    elif isinstance(txn, MultiTxn):
        found["parts"] = [describe(t, x) for t, x in zip(txn.types, txn.txns, strict=True)]
    return found


def log_lines(disk: Disk, path: str) -> Iterator[JsonObject]:
    """One object a record; the last one says whether a tail was torn."""
    log = read_log_file(disk, path, newest=True)
    for record in log.records:
        line: JsonObject = {"offset": record.offset, "zxid": format_zxid(record.zxid)}
        try:
            logged = read_txn(record.payload)
        except MarshallingError as error:
            line["undecodable"] = str(error)
        else:
            header = logged.header
            line["time_ms"] = int(header.time_ms)
            line["session"] = format_zxid(header.session_id)
            line["cxid"] = int(header.cxid)
            line.update(describe(header.type, logged.txn))
            if logged.has_digest:
                line["digest"] = int(logged.digest)
        yield line
    if log.torn_at >= 0:
        yield {"torn_at": log.torn_at, "why": log.why}


def snapshot_lines(disk: Disk, path: str) -> Iterator[JsonObject]:
    """First the whole, then one object a znode."""
    zxid = int(posixpath.basename(path).split(".")[1], 16)
    snapshot = load(disk, path, zxid, extended_types=True)
    tree = snapshot.tree
    yield {
        "zxid": format_zxid(zxid),
        "znodes": len(tree.nodes),
        "sessions": len(tree.sessions),
        "digest": int(tree.digest),
    }
    for name in sorted(tree.nodes):
        node = tree.nodes[name]
        yield {
            "path": name.decode("utf-8", "replace"),
            "data": data_text(node.data),
            "czxid": format_zxid(node.czxid),
            "mzxid": format_zxid(node.mzxid),
            "version": int(node.version),
            "owner": format_zxid(node.owner),
            "acl": [repr(entry) for entry in node.acl.entries],
        }


def dump(path: str) -> int:
    """Print a file; the exit code."""
    disk = OsDisk()
    name = posixpath.basename(path)
    lines = snapshot_lines if name.startswith("snapshot.") else log_lines
    try:
        for line in lines(disk, path):
            sys.stdout.write(json.dumps(line) + "\n")
    except (StorageError, ValueError) as error:
        sys.stderr.write(f"ensemble: {error}\n")
        return 10
    return 0
