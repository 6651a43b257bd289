"""Conversations with three Apache servers 3.9.3, held again with three of ours.

Held as in `test_vectors`. The captures name the server of each connection by its role.
"""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ensembles import Ensemble, Member
from tests.harness import RawClient, create_body
from tests.interop.replay import Replay
from tests.interop.test_vectors import VECTORS, differences
from tests.subject import subject

LOCAL = {"localSessionsEnabled": "true", "extendedTypesEnabled": "true"}
UPGRADING = {**LOCAL, "localSessionsUpgradingEnabled": "true"}
LIMITS = {"minSessionTimeout": 4000, "maxSessionTimeout": 40000}
# Connections that are left out. K asks for enableEagerACLCheck, which ours does not have. B gets
# no session from 3.9: ours always lets readers in (client.md 16; tests/server/test_read_only.py).
LEFT_OUT = {
    "34_local_sessions": "K(follower)",
    "35_local_session_upgrade": "K(follower)",
    "32_readonly_no_local_sessions": "B",
}


def load(name: str) -> list[dict[str, Any]]:
    items = json.loads((VECTORS / f"{name}.json").read_text())
    return [item for item in items if item["conn"] != LEFT_OUT.get(name)]


def by_role(ensemble: Ensemble) -> Callable[[str], socket.socket]:
    """`A(follower)`, `N(other follower)`, `B(leader)`: the member that a capture's label means."""
    leader = ensemble.wait_serving()
    followers = [member for member in ensemble.all if member is not leader]

    def connect(label: str) -> socket.socket:
        member: Member = leader
        if "other follower" in label or "follower2" in label:
            member = followers[1]
        elif "follower" in label:
            member = followers[0]
        return socket.create_connection(("127.0.0.1", member.client_port), timeout=8)

    return connect


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("30_ensemble_session_move", {}),
        ("34_local_sessions", LOCAL),
        ("35_local_session_upgrade", UPGRADING),
    ],
)
def test_sessions_go_the_way_of_the_capture(
    name: str, settings: dict[str, object], tmp_path: Path
) -> None:
    """A session that moves from server to server, and what its old connections still get. Local
    sessions: refusals, the upgrade and its zxids, no move but of an upgraded one (zab.md 6).

    A read's zxid is the last one that its server has applied, and servers apply each in their own
    time: so everybody is let come up to the others before another server is asked.
    """
    items = load(name)
    with Ensemble(tmp_path, [subject()] * 3, {**LIMITS, **settings}).start() as ensemble:
        replay = Replay(by_role(ensemble), ensemble.wait_equal)
        differing = differences(replay, items)
        for wire in replay.wires.values():
            wire.sock.close()
    found = {f"{i}: {items[i]['what']}": pair for i, pair in differing.items()}
    assert found == {}


READ_ONLY = {"readonlymode.enabled": "true", "tickTime": 1000, **LIMITS}
READ_ONLY_WITHIN_S = 20.0


def cut_off(ensemble: Ensemble, member: Member) -> None:
    """Kill the others, and wait until this one serves readers."""
    for other in ensemble.all:
        if other is not member:
            other.kill9()
    deadline = time.monotonic() + READ_ONLY_WITHIN_S
    while member.mode() != "read-only":
        assert time.monotonic() < deadline, member.log()
        time.sleep(0.05)


def hold_read_only(
    name: str, settings: dict[str, object], ephemeral: bool, folder: Path
) -> dict[int, tuple[object, object]]:
    """The capture's tree and session, its conversation, and the return of the others."""
    items = load(name)
    known = next(item for item in items if item["conn"] == "G")
    back = next(
        (i for i, item in enumerate(items) if item["conn"] == "D" and not item["hex"]), len(items)
    )
    with Ensemble(folder, [subject("-Dreadonlymode.enabled=true")] * 3, settings) as ensemble:
        leader = ensemble.start().wait_serving()
        member = next(member for member in ensemble.all if member is not leader)
        client = RawClient(member.client_port)
        assert client.connect(40_000)
        client.request(1, 1, create_body("/a", b"data"))
        client.request(2, 1, create_body("/a/k", flags=1 if ephemeral else 0))
        assert [client.reply()[2] for _ in range(2)] == [0, 0]
        cut_off(ensemble, member)
        replay = Replay(
            lambda label: socket.create_connection(("127.0.0.1", member.client_port), timeout=8)
        )
        captured = int.from_bytes(bytes.fromhex(known["hex"])[20:28], "big")
        replay.sessions[captured] = (client.session_id, client.password)
        replay.names[client.session_id] = captured
        differing = differences(replay, items[:back])
        ensemble.start(*(other.sid for other in ensemble.all if other is not member))
        ensemble.wait_serving()
        for index, pair in differences(replay, items[back:]).items():
            differing[back + index] = pair
        for wire in replay.wires.values():
            wire.sock.close()
        client.close()
    return differing


def test_a_server_without_a_quorum_goes_the_way_of_the_capture(tmp_path: Path) -> None:
    """Who is let in, what is read and refused, and how it ends (client.md 16)."""
    assert hold_read_only("33_readonly_mode", {**READ_ONLY, **UPGRADING}, True, tmp_path) == {}


def test_without_local_sessions_the_same_clients_are_turned_away(tmp_path: Path) -> None:
    assert hold_read_only("32_readonly_no_local_sessions", READ_ONLY, False, tmp_path) == {}
