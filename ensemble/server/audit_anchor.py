"""The head of the audit journal, committed into the tree from time to time.

Who can write the journal's folder could write another chain. What has been committed by a quorum
cannot be changed by one server: `ensemble audit verify --server` compares the two. One znode for
each server, `/zookeeper/audit/<id>`, that only operators and super users read and write.
"""

import json
import logging
import time
from typing import Final, final

from librt.strings import BytesWriter

from ensemble.server.audit_process import AuditProcess
from ensemble.server.inner_client import InnerClient
from ensemble.tree.acl import closed_entries
from ensemble.wire import codes
from ensemble.wire.jute import Reader, write_buffer, write_int
from ensemble.wire.records import write_acl_vector

log = logging.getLogger("ensemble.audit.journal")

FOLDER: Final = "/zookeeper/audit"
OWN_LINES: Final = 1  # an anchor is a write, and a line of the journal itself


def anchor_path(node: int) -> str:
    return f"{FOLDER}/{node}"


@final
class Anchor:
    """Writes one server's anchor. `seq`: of the head that was committed last, -1 for none."""

    def __init__(
        self, client: InnerClient, process: AuditProcess, node: int, every_ms: int
    ) -> None:
        self.client: Final = client
        self.process: Final = process
        self.path: Final = anchor_path(node).encode()
        self.every_s: Final = every_ms / 1_000
        self.seq = -1
        self.failures = 0
        self.due_s = time.monotonic() + min(self.every_s, 1.0)
        self.is_writing = False
        self.asked_seq = -1

    def on_tick(self, now_s: float) -> None:
        if now_s < self.due_s or self.process.seq == 0:
            return
        if not self.client.is_open:
            self.is_writing = False
            return
        if self.is_writing:
            return
        self.due_s = now_s + self.every_s
        if self.process.seq > self.seq + OWN_LINES or self.seq < 0:
            self.write()

    def write(self) -> None:
        """setData, and where there is nothing yet the znode and the one above it."""
        process = self.process
        self.asked_seq = process.seq
        out = BytesWriter()
        write_buffer(out, self.path)
        write_buffer(out, self.content())
        write_int(out, codes.VERSION_ANY)
        self.is_writing = self.client.ask(codes.OP_SET_DATA, out.getvalue(), self.on_set)

    def content(self) -> bytes:
        process = self.process
        head = {"segment": process.segment, "seq": process.seq, "hash": process.head}
        return json.dumps(head, separators=(",", ":")).encode()

    def on_set(self, error: int, body: Reader) -> None:
        if error == codes.NO_NODE:
            self.client.ask(codes.OP_CREATE, create(FOLDER.encode(), b""), self.on_folder)
            return
        self.on_written(error, body)

    def on_folder(self, error: int, body: Reader) -> None:
        if error not in (codes.OK, codes.NODE_EXISTS):
            self.on_written(error, body)
            return
        self.asked_seq = self.process.seq
        self.client.ask(codes.OP_CREATE, create(self.path, self.content()), self.on_written)

    def on_written(self, error: int, body: Reader) -> None:
        self.is_writing = False
        if error == codes.OK:
            self.seq = self.asked_seq
            return
        self.failures += 1
        log.error("the journal's head was not committed: %s", codes.name_of_error(error))


def create(path: bytes, data: bytes) -> bytes:
    """The body of a create of a plain znode that is closed to everybody."""
    out = BytesWriter()
    write_buffer(out, path)
    write_buffer(out, data)
    write_acl_vector(out, closed_entries())
    write_int(out, codes.CREATE_PERSISTENT)
    return out.getvalue()
