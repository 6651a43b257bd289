"""Captured conversations, replayed at the level of the tree.

The frames are those of Apache ZooKeeper 3.9.3 and its clients (tests/interop/vectors). Writes go
through preparer and tree; for each one the error, the zxid and the body of the reply must be the
same, the clock aside. How they travel is tested elsewhere.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from librt.strings import BytesWriter
from workbench import ADDRESS, NOW_MS, SUPER

from ensemble.tree.acl import AclSchemes, DigestScheme, IpScheme, WorldScheme
from ensemble.tree.apply import Applied, OpResult, apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import PrepareOptions, Preparer, WriteRequest
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader, reader_of, write_buffer, write_int
from ensemble.wire.records import Id, write_stat
from ensemble.wire.requests import read_auth, write_multi_header

VECTORS = Path(__file__).parent.parent / "interop" / "vectors"
EXTENDED = {"extended_types": True}
WRITES = {1, 2, 5, 7, 14, 15, 16, 19, 21, -11}
FRAME, HEADER = 4, 12
TIMES = range(16, 32)  # ctime and mtime inside a stat
STAT_BYTES = 68

SCENARIOS: list[tuple[str, dict[str, bool]]] = [
    ("02_basic_ops", EXTENDED),
    ("03_create_modes", EXTENDED),
    ("04_sequence", {}),
    ("05_errors_order", EXTENDED),
    ("06_acl", {}),
    ("07_multi", EXTENDED),
    ("14_paths", {}),
    ("21_quota", {"enforce_quota": True}),
    ("22_reconfig_standalone_disabled", {}),
    ("23_reconfig_standalone_enabled", {"reconfig_enabled": True}),
    ("24_no_extended_types", {}),
]
# Where we differ on purpose.
DEVIATIONS = {
    # IPv6 entries are valid since 3.9.4 (auth.md 3).
    ("06_acl", "create with ACL ip:'::1'"),
    ("06_acl", "create with ACL ip:'fe80::/10'"),
    # Quotas are exact inside a multi (quotas.md 5).
    ("21_quota", "multi: two creates where only one fits the count quota"),
}


def result_body(out: BytesWriter, op: int, result: OpResult) -> None:
    if op in (codes.OP_SET_DATA, codes.OP_SET_ACL):
        assert result.stat is not None
        write_stat(out, result.stat)
    elif op not in (codes.OP_DELETE, codes.OP_CHECK):
        write_buffer(out, result.path)
        if op != codes.OP_CREATE:
            assert result.stat is not None
            write_stat(out, result.stat)


def reply_body(op: int, applied: Applied) -> bytes:
    out = BytesWriter()
    if not applied.multi:
        if op != codes.OP_CLOSE_SESSION:
            result_body(out, op, applied.results[0])
        return out.getvalue()
    for result in applied.results:
        op = 15 if result.op in (19, 21) else result.op
        write_multi_header(out, op, False, result.error)
        if op == codes.OP_ERROR:
            write_int(out, result.error)
        else:
            result_body(out, op, result)
    write_multi_header(out, -1, True, -1)
    return out.getvalue()


def without_times(body: bytes, op: int) -> bytes:
    """A reply with the clock's share of its stats set to 0."""
    out = bytearray(body)
    if op == codes.OP_MULTI:
        # The milliseconds of the capture begin with these bytes, and so do ours once replaced.
        at = 0
        while (at := out.find(NOW_MS.to_bytes(8, "big")[:3], at)) >= 0:
            out[at : at + 8] = bytes(8)
            at += 8
    elif op not in (codes.OP_CREATE, codes.OP_DELETE) and len(out) >= STAT_BYTES:
        start = len(out) - STAT_BYTES
        for i in TIMES:
            out[start + i] = 0
    return bytes(out)


class Replay:
    """Every connection of one capture, against one tree."""

    def __init__(self, name: str, options: dict[str, bool]) -> None:
        self.name = name
        self.items: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
        settings = PrepareOptions(**options)
        self.tree = DataTree(settings.extended_types)
        schemes = AclSchemes([WorldScheme(), IpScheme(), DigestScheme()])
        self.preparer = Preparer(self.tree, schemes, settings)
        self.zxid = 0
        self.connections: dict[str, tuple[int, list[Id]]] = {}
        self.replies: dict[str, list[dict[str, Any]]] = {}
        self.compared = 0
        for item in self.items:
            frame = bytes.fromhex(item["hex"])
            if item["dir"] == "s2c" and frame[4:8] != b"\xff\xff\xff\xff":
                self.replies.setdefault(item["conn"], []).append(item)

    def run(self) -> None:
        for item in self.items:
            if item["dir"] == "c2s":
                self.on_frame(item, bytes.fromhex(item["hex"]))

    def on_frame(self, item: dict[str, Any], frame: bytes) -> None:
        name = item["conn"]
        if not frame:
            self.connections.pop(name, None)
            return
        reply = self.replies[name].pop(0)
        if name not in self.connections:
            session_id = int(reply["dec"]["sessionId"], 16)
            self.connections[name] = (session_id, [ADDRESS])
            if int.from_bytes(frame[20:28], "big") == 0:
                self.write(session_id, 0, codes.OP_CREATE_SESSION, reader_of(b"\0\0\x27\x10"), [])
            return
        session_id, ids = self.connections[name]
        xid = int.from_bytes(frame[4:8], "big", signed=True)
        op = int.from_bytes(frame[8:12], "big", signed=True)
        body = Reader(frame, HEADER, len(frame))
        if op == codes.OP_AUTH:
            self.connections[name] = (session_id, ids + self.held(body))
        elif op in WRITES:
            self.compare(item["what"], op, self.write(session_id, xid, op, body, ids), reply)

    def held(self, body: Reader) -> list[Id]:
        """What an auth packet is worth; the captures' super user is super:secret."""
        try:
            packet = read_auth(body)
        except MarshallingError:
            return []
        if packet.scheme != "digest" or packet.auth is None:
            return []
        user = packet.auth.partition(b":")[0].decode()
        digest = base64.b64encode(hashlib.sha1(packet.auth).digest()).decode()
        ids = [Id("digest", f"{user}:{digest}")]
        return [*ids, SUPER] if packet.auth == b"super:secret" else ids

    def write(
        self, session_id: int, xid: int, op: int, body: Reader, ids: list[Id]
    ) -> tuple[int, int, bytes]:
        """The zxid, the error and the body of the reply."""
        request = WriteRequest(session_id, xid, op, body, ids)
        try:
            prepared = self.preparer.prepare(request, self.zxid + 1, NOW_MS)
        except MarshallingError:
            return self.zxid, codes.MARSHALLING_ERROR, b""
        self.zxid += 1
        applied = apply(self.tree, prepared.header, prepared.txn)
        self.preparer.on_applied(prepared)
        if prepared.header.type != codes.OP_ERROR:
            assert prepared.digest == self.tree.digest
        if prepared.error != 0 or op == codes.OP_CREATE_SESSION:
            return self.zxid, prepared.error, b""
        return self.zxid, 0, reply_body(op, applied)

    def compare(
        self, what: str, op: int, ours: tuple[int, int, bytes], reply: dict[str, Any]
    ) -> None:
        if (self.name, what) in DEVIATIONS:
            return
        frame = bytes.fromhex(reply["hex"])
        zxid = int.from_bytes(frame[8:16], "big", signed=True)
        error = int.from_bytes(frame[16:20], "big", signed=True)
        assert ours[:2] == (zxid, error), what
        found, wanted = without_times(ours[2], op), without_times(frame[20:], op)
        if op == codes.OP_MULTI:
            wanted = self.clock_free(frame[20:], ours[2])
        assert found == wanted, what
        self.compared += 1

    def clock_free(self, wanted: bytes, ours: bytes) -> bytes:
        """A captured multi reply with its times set to 0 where ours has them."""
        out = bytearray(wanted)
        at = 0
        while (at := ours.find(NOW_MS.to_bytes(8, "big")[:3], at)) >= 0:
            out[at : at + 8] = bytes(8)
            at += 8
        return bytes(out)


@pytest.mark.parametrize(("name", "options"), SCENARIOS, ids=[name for name, _ in SCENARIOS])
def test_writes_of_a_capture_fare_as_they_did(name: str, options: dict[str, bool]) -> None:
    """Golden: errors, zxids, paths and stats, in the order in which they were recorded."""
    replay = Replay(name, options)
    replay.run()
    assert replay.compared > 0
