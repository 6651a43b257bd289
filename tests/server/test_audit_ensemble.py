"""The audit journals of an ensemble: each write stands in one, at the server that was asked."""

import json
import struct
import time
from collections import Counter
from pathlib import Path

from ensemble.client import Client
from tests.ensembles import Ensemble, Member, ours
from tests.harness import RawClient, create_body
from tests.server.audits import JOURNAL, Entry, entries, verified, wait_for

SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="  # super:test
SETTINGS = {**JOURNAL, "ensemble.audit.anchorMs": 200, "tickTime": 500}
AS_SUPER = f"-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}"


def journal_of(member: Member) -> Path:
    return member.data / "audit"


def creates(found: list[Entry]) -> list[object]:
    return [e["path"] for e in found if e["operation"] == "create" and e.get("address")]


def fill(member: Member, name: str, count: int, leave: bool = False) -> set[str]:
    """Creates through one server; with `leave` the client does not wait for the answers."""
    client = RawClient(member.client_port)
    client.connect()
    assert client.session_id >> 56 == member.sid, "another server has its port"
    for at in range(count):
        client.request(at + 1, 1, create_body(f"/{name}-{at}"))
    for _ in range(0 if leave else count):
        assert client.reply()[2] == 0
    client.close()
    return {f"/{name}-{at}" for at in range(count)}


def names(body: bytes) -> set[str]:
    """The children in the reply to getChildren."""
    found = set()
    at = 4
    while at < len(body):
        size = struct.unpack_from(">i", body, at)[0]
        found.add(body[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


async def anchors(address: str, nodes: int) -> dict[int, Entry]:
    """What each server has committed of its journal, once all have."""
    deadline = time.monotonic() + 30
    async with Client(address, auth=[("digest", b"super:test")]) as client:
        while True:
            found: dict[int, Entry] = {}
            for node in range(1, nodes + 1):
                if await client.exists(f"/zookeeper/audit/{node}"):
                    data, _ = await client.get(f"/zookeeper/audit/{node}")
                    found[node] = json.loads(data)
            if len(found) == nodes:
                return found
            assert time.monotonic() < deadline, f"anchors of {sorted(found)} alone"


async def test_each_write_stands_once_at_the_server_that_was_asked_and_heads_are_committed(
    tmp_path: Path,
) -> None:
    ensemble = Ensemble(tmp_path, [ours(AS_SUPER)] * 3, SETTINGS, observers=[ours(AS_SUPER)])
    with ensemble.start():
        ensemble.wait_serving()
        asked = {}
        for member in ensemble.all:
            asked[member.sid] = fill(member, f"stay-{member.sid}", 40)
            asked[member.sid] |= fill(member, f"leave-{member.sid}", 20, leave=True)
        for member in ensemble.all:
            found = wait_for(journal_of(member), lambda lines: len(creates(lines)) >= 60)
            assert Counter(creates(found)) == Counter(asked[member.sid])
        for node, head in (await anchors(ensemble.address, 4)).items():
            by_seq = {e["seq"]: e for e in entries(journal_of(ensemble[node]))}
            assert by_seq[head["seq"]]["hash"] == head["hash"]
        ensemble.stop()
        for member in ensemble.all:
            assert verified(journal_of(member)).problems == []


def test_the_leaders_death_leaves_no_write_untold(tmp_path: Path) -> None:
    """What was under way is told when it turns up in the new leader's history, or as unknown."""
    ensemble = Ensemble(tmp_path, [ours()] * 3, SETTINGS)
    with ensemble.start():
        leader = ensemble.wait_serving()
        follower = next(member for member in ensemble.all if member is not leader)
        client = RawClient(follower.client_port, 30)
        client.connect()
        sent = 400
        for at in range(sent):
            client.request(at + 1, 1, create_body(f"/n{at}"))
        for _ in range(50):
            assert client.reply()[2] == 0
        leader.kill9()
        client.close()
        ensemble.wait_serving()
        reader = RawClient(follower.client_port)
        reader.connect()
        reader.request(1, 8, b"\0\0\0\1/\0")
        there = names(reader.reply()[3]) - {"zookeeper"}
        found = wait_for(
            journal_of(follower), lambda lines: set(creates(lines)) >= {f"/{n}" for n in there}
        )
        told = {
            e["path"]: e["result"] for e in found if e["operation"] == "create" and e.get("address")
        }
        for name in there:
            assert told.get(f"/{name}") in ("Ok", "Unknown"), name
        assert set(told.values()) <= {"Ok", "Unknown"}
        assert list(told.values()).count("Ok") >= 50
        reader.close()
        assert verified(journal_of(follower)).problems == []
