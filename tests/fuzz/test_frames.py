"""Seeded fuzzing of the client port, bounded; and the malformed frames of client.md section 18."""

import struct
import time

import pytest

from tests.fuzz.frames import Fuzz, captured
from tests.harness import Node, RawClient

SECONDS = 6.0


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_frames_harm_nobody(seed: int, node: Node) -> None:
    assert len(captured()) > 300, "the captures are where the mutations start from"
    assert Fuzz(node, seed).run(SECONDS) > 300


def frame(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


CONNECT = frame(struct.pack(">iqiqi", 0, 0, 30_000, 0, 16) + bytes(17))
MALFORMED = {
    "negative length": struct.pack(">i", -5),
    "length above jute.maxbuffer": struct.pack(">i", 0x100000),
    "length of 2 GB": struct.pack(">i", 0x7FFFFFFF),
    "empty first frame": frame(b""),
    "short ConnectRequest": frame(bytes(10)),
    "password length beyond the frame": frame(struct.pack(">iqiqi", 0, 0, 30_000, 0, 1 << 30)),
    "request without a header": CONNECT + frame(b"\0\0\0"),
    "auth packet cut short": CONNECT + frame(struct.pack(">iii", -4, 100, 0)),
    "sasl token longer than its frame": CONNECT + frame(struct.pack(">iii", 1, 102, 1 << 20)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_closes_its_connection_and_is_counted(name: str, node: Node) -> None:
    bad = RawClient(node.port)
    bad.sock.sendall(MALFORMED[name])
    began = time.monotonic()
    while bad.read() is not None:
        pass
    assert time.monotonic() - began < 5, "closed at once"
    bad.close()
    while "closed connection of 127.0.0.1: " not in node.log():
        assert time.monotonic() - began < 5, "logged with a reason"
        time.sleep(0.01)
    good = RawClient(node.port)
    assert good.connect()
    good.close()


BAD_BODIES = {
    "getData without a body": (4, b""),
    "getData with a path beyond the frame": (4, struct.pack(">i", 1000) + b"/a"),
    "getData with a negative length": (4, struct.pack(">i", -7)),
    "create with an endless ACL": (
        1,
        struct.pack(">i", 2) + b"/a" + struct.pack(">ii", 0, 1 << 30),
    ),
    "multi without its end": (14, struct.pack(">i?i", 1, False, -1)),
    "multi of unknown operations": (14, struct.pack(">i?i", 77, False, -1)),
    "setWatches with too many paths": (101, struct.pack(">qi", 0, 1 << 28)),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_cannot_be_decoded_is_an_error_and_no_more(name: str, node: Node) -> None:
    op, body = BAD_BODIES[name]
    client = RawClient(node.port)
    client.connect()
    client.request(1, op, body)
    assert client.reply()[2] == -5
    client.request(2, 3, struct.pack(">i", 1) + b"/\0")
    assert client.reply()[:1] == (2,), "the connection lives on"
    client.close()
