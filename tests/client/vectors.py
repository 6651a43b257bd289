"""Captured conversations with Apache ZooKeeper 3.9.3 (tests/interop/vectors), for the client."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "interop" / "vectors"
SASL = 102


@dataclass
class Item:
    """One frame; an empty payload is a close."""

    conn: str
    from_client: bool
    payload: bytes

    @property
    def xid(self) -> int:
        return int(struct.unpack_from(">i", self.payload)[0])


@dataclass
class Turn:
    """A frame of the client, and what the server sends on it."""

    request: bytes
    answers: list[bytes] = field(default_factory=list)


def load(name: str) -> list[Item]:
    items = json.loads((FOLDER / f"{name}.json").read_text())
    return [
        Item(item["conn"], item["dir"] == "c2s", bytes.fromhex(item["hex"])[4:]) for item in items
    ]


def turns(items: list[Item], conn: str) -> list[Turn]:
    """A connection's frames in the client's order, each with its reply and the events before that.

    Pings are left out. A captured client may have pipelined; a replay answers one by one.
    """
    found: list[Turn] = []
    by_xid: dict[int, Turn] = {}
    events: list[bytes] = []
    for item in items:
        if item.conn != conn or not item.payload or (found and item.xid == -2):
            continue
        if item.from_client:
            turn = Turn(item.payload)
            found.append(turn)
            by_xid[item.xid if len(found) > 1 else 0] = turn
        elif not found[0].answers:
            found[0].answers.append(item.payload)
        elif item.xid == -1:
            events.append(item.payload)
        else:
            by_xid[item.xid].answers += [*events, item.payload]
            events = []
    found[-1].answers += events
    return found


def sasl_tokens(items: list[Item]) -> tuple[bytes, bytes, bytes]:
    """Of the first exchange: the challenge, the client's response, the server's proof."""
    client = [
        item.payload[12:]
        for item in items
        if item.from_client and len(item.payload) > 12
        if struct.unpack_from(">i", item.payload, 4)[0] == SASL
    ]
    server = [item.payload[20:] for item in items if not item.from_client and item.payload[20:]]
    tokens = [token for token in server if token.startswith((b"realm", b"rspauth"))]
    return tokens[0], client[0], tokens[1]
