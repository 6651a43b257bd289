"""Read-only mode: a member without a quorum lets readers in, and changes nothing.

Source: client.md 16, admin.md 1.3, 1.4. `tests/interop/test_ensemble_vectors.py` holds the captured
conversation with Apache's server again.
"""

import hashlib
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.client import Client, NotReadOnlyError, State
from tests.client.waiting import until as async_until
from tests.ensembles import Ensemble, Member
from tests.harness import create_body, text
from tests.ports import free_ports
from tests.server.member_steps import (
    EPHEMERAL,
    OP_CREATE,
    OP_SYNC,
    ask,
    close_clients,
    exists,
    followers,
    gone,
    move,
    open_client,
    session,
    start_three,
    value,
)
from tests.server.starting import until

READ_ONLY: dict[str, object] = {"readonlymode.enabled": "true"}
DELAY_S = 2.0  # as Apache's, for ticks of up to two seconds
NOT_READ_ONLY = -119


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    close_clients()


def is_read_only(member: Member) -> bool:
    return member.mode() == "read-only"


def cut_off(ensemble: Ensemble, member: Member) -> None:
    """The others are gone, and readers are let in."""
    for other in ensemble.all:
        if other is not member:
            other.kill9()
    until(lambda: is_read_only(member))


def return_of_others(ensemble: Ensemble, member: Member) -> None:
    ensemble.start(*(other.sid for other in ensemble.all if other is not member))
    ensemble.wait_serving()


def content(member: Member) -> dict[str, str]:
    """What stands in a member's data folder, by file."""
    return {
        str(path.relative_to(member.data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(member.data.rglob("*"))
        if path.is_file()
    }


def test_readers_are_let_in_after_the_delay_and_writers_are_not(tmp_path: Path) -> None:
    with start_three(tmp_path, READ_ONLY) as ensemble:
        leader = ensemble.wait_serving()
        member = followers(ensemble, leader)[0]
        assert member.word("isro") == b"rw"
        for other in ensemble.all:
            if other is not member:
                other.kill9()
        until(lambda: member.word("isro") == b"null")
        alone_at = time.monotonic()
        until(lambda: member.word("isro") == b"ro")
        assert time.monotonic() - alone_at > DELAY_S / 2, "a search that is short cuts nobody off"
        assert open_client(member).ask_session(10_000, 0, b"", False) is None
        reader = session(member, read_only=True)
        assert reader.read_only, "the answer says so"
        assert ask(reader, 1, OP_CREATE, create_body("/b"))[1] == NOT_READ_ONLY
        assert ask(reader, 2, OP_SYNC, text("/"))[1] == NOT_READ_ONLY
        lines = member.word("srvr").decode().splitlines()
        assert lines[1] == "READ-ONLY mode; serving only read-only clients"
        assert "Mode: read-only" in lines
        assert value(member, "server_state") == "read-only"
        assert value(member, "peer_state") == "looking - election"
        assert member.word("conf").decode().splitlines()[-1] == "peerType=0"


async def test_a_client_moves_to_a_server_that_writes_when_there_is_one(tmp_path: Path) -> None:
    """Ours, that asks `isro`; it had no session of the ensemble, so it gets a new one."""
    with start_three(tmp_path, READ_ONLY) as ensemble:
        member = followers(ensemble, ensemble.wait_serving())[0]
        assert ask(session(member), 1, OP_CREATE, create_body("/a", b"data"))[1] == 0
        cut_off(ensemble, member)
        async with Client(ensemble.address, read_only=True, timeout=20.0) as client:
            assert client.state is State.READ_ONLY
            assert (await client.get("/a"))[0] == b"data"
            with pytest.raises(NotReadOnlyError):
                await client.set("/a", b"other")
            return_of_others(ensemble, member)
            await async_until(lambda: client.state is State.CONNECTED, "it moves")
            await client.set("/a", b"other")
            assert (await client.get("/a"))[0] == b"other"


def test_sessions_of_the_ensemble_wait_for_it_and_the_servers_own_end_with_the_mode(
    tmp_path: Path,
) -> None:
    with start_three(tmp_path, READ_ONLY) as ensemble:
        member = followers(ensemble, ensemble.wait_serving())[0]
        client = session(member)
        assert ask(client, 1, OP_CREATE, create_body("/e", flags=EPHEMERAL))[1] == 0
        cut_off(ensemble, member)
        assert gone(client)
        again = open_client(member)
        refused = again.ask_session(10_000, client.session_id, client.password, True)
        assert refused is None, "it lives perhaps: nobody may say that it has expired"
        reader = session(member, read_only=True)
        assert exists(reader, 1, "/e")
        back = open_client(member)
        assert back.connect(10_000, reader.session_id, reader.password, True)
        assert gone(reader), "a session has one connection"
        return_of_others(ensemble, member)
        assert gone(back)
        assert move(back, member) is None
        kept = move(client, member)
        assert kept is not None
        assert exists(kept, 1, "/e")


def test_read_only_mode_leaves_the_disk_as_it_is(tmp_path: Path) -> None:
    """3526: Apache's server noted the ends of its readers' sessions with zxids of its own."""
    port = free_ports(1)[0]
    admin: dict[str, object] = {
        "admin.enableServer": "true",
        "admin.serverPort": port,
        "snapCount": 2,
    }
    with start_three(tmp_path, READ_ONLY) as ensemble:
        member = followers(ensemble, ensemble.wait_serving())[0]
        member.stop()
        member.config.update(admin)
        member.start(ensemble.all)
        ensemble.wait_serving()
        client = session(member)
        assert ask(client, 1, OP_CREATE, create_body("/a"))[1] == 0
        cut_off(ensemble, member)
        before = content(member)
        at = member.word("srvr").decode().split("Zxid: ")[1].split()[0]
        for turn in range(3):
            reader = session(member, 1_000, read_only=True)
            assert ask(reader, 1, OP_CREATE, create_body(f"/b{turn}"))[1] == NOT_READ_ONLY
        assert gone(reader), "a reader that is silent expires"
        until(lambda: value(member, "local_sessions") == "0")
        answer = command(port, "snapshot", {"Authorization": "digest a:b"})
        assert "read-only" in str(answer["error"])
        assert command(port, "is_read_only")["read_only"] is True
        assert command(port, "leader")["leader_id"] == -1
        assert command(port, "zabstate")["zabstate"] == "election"
        assert content(member) == before
        assert f"Zxid: {at}" in member.word("srvr").decode()
        return_of_others(ensemble, member)
        kept = move(client, member)
        assert kept is not None
        assert exists(kept, 1, "/a")
        assert not exists(kept, 2, "/b0")


def command(port: int, name: str, headers: dict[str, str] | None = None) -> dict[str, object]:
    """A command of the AdminServer; an error's answer, too."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/commands/{name}", headers=headers or {}
    )
    opener = urllib.request.build_opener(NoError())
    with opener.open(request, timeout=10) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found


class NoError(urllib.request.HTTPErrorProcessor):
    """An answer is an answer, whatever its status."""

    def http_response(self, request, response):  # type: ignore[no-untyped-def]
        return response


def test_what_no_quorum_has_is_not_shown(tmp_path: Path) -> None:
    """A leader's last proposals, which nobody acknowledged, are beside the tree, not in it."""
    with start_three(tmp_path, {**READ_ONLY, "syncLimit": 2}) as ensemble:
        leader = ensemble.wait_serving()
        client = session(leader)
        assert ask(client, 1, OP_CREATE, create_body("/committed"))[1] == 0
        for other in followers(ensemble, leader):
            other.pause()
        client.request(2, OP_CREATE, create_body("/proposed"))
        assert gone(client), "it has lost its quorum"
        until(lambda: is_read_only(leader))
        reader = session(leader, read_only=True)
        assert exists(reader, 1, "/committed")
        assert not exists(reader, 2, "/proposed")


def test_without_the_setting_nobody_is_let_in(tmp_path: Path) -> None:
    with start_three(tmp_path, {}) as ensemble:
        member = followers(ensemble, ensemble.wait_serving())[0]
        for other in ensemble.all:
            if other is not member:
                other.kill9()
        until(lambda: b"not currently serving" in member.word("srvr"))
        deadline = time.monotonic() + DELAY_S + 1
        while time.monotonic() < deadline:
            assert open_client(member).ask_session(10_000, 0, b"", True) is None
            time.sleep(0.2)
