"""Local sessions: what one server keeps for itself, and how such a session becomes everybody's.

Source: zab.md 6.6, client.md 15; trust.md C1. `tests/interop/test_ensemble_vectors.py` holds the
captured conversations with Apache's servers again.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ensembles import Ensemble, Member
from tests.harness import create_body
from tests.server.member_steps import (
    EPHEMERAL,
    OP_CLOSE,
    OP_CREATE,
    OP_CREATE2,
    OP_MULTI,
    ask,
    close_clients,
    exists,
    followers,
    gone,
    move,
    multi_body,
    nothing_is_left,
    number,
    session,
    start_three,
    zxid,
)
from tests.server.starting import until

LOCAL: dict[str, object] = {"localSessionsEnabled": "true"}
UPGRADING: dict[str, object] = {**LOCAL, "localSessionsUpgradingEnabled": "true"}
SHORTEST_MS = 1_000
EPHEMERAL_ON_LOCAL_SESSION, SESSION_EXPIRED = -120, -112


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    close_clients()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with start_three(tmp_path_factory.mktemp("plain"), LOCAL) as ensemble:
        ensemble.wait_serving()
        yield ensemble


@pytest.fixture(scope="module")
def upgrading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with start_three(tmp_path_factory.mktemp("upgrading"), UPGRADING) as ensemble:
        ensemble.wait_serving()
        yield ensemble


def members(ensemble: Ensemble) -> tuple[Member, Member, Member]:
    """The leader, and two who follow it."""
    leader = ensemble.wait_serving()
    one, other = followers(ensemble, leader)
    return leader, one, other


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
def test_a_local_session_takes_no_transaction(plain: Ensemble, at: int) -> None:
    member = members(plain)[at]
    before = zxid(member)
    client = session(member)
    assert zxid(member) == before
    assert (number(member, "local_sessions"), number(member, "global_sessions")) == (1, 0)
    assert ask(client, 1, OP_CLOSE)[1] == 0
    assert gone(client), "a closed session's connection is closed"
    assert zxid(member) == before
    assert number(member, "local_sessions") == 0


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
def test_a_local_session_expires_where_it_is(plain: Ensemble, at: int) -> None:
    member = members(plain)[at]
    before = zxid(member)
    client = session(member, SHORTEST_MS)
    assert gone(client), "nobody pinged"
    assert (number(member, "local_sessions"), zxid(member)) == (0, before)
    assert move(client, member) is None


def test_a_local_session_comes_back_to_its_server_and_to_no_other(plain: Ensemble) -> None:
    leader, one, other = members(plain)
    client = session(one)
    assert move(client, other) is None
    assert move(client, leader) is None
    back = move(client, one)
    assert back is not None
    assert gone(client), "a session has one connection"
    assert ask(back, 1, OP_CREATE, create_body("/came-back"))[1] == 0
    assert ask(back, 2, OP_CLOSE)[1] == 0


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
def test_a_local_session_owns_no_ephemeral_without_upgrading(plain: Ensemble, at: int) -> None:
    member = members(plain)[at]
    client = session(member)
    body = create_body("/e", flags=EPHEMERAL)
    assert ask(client, 1, OP_CREATE, body)[1] == EPHEMERAL_ON_LOCAL_SESSION
    assert ask(client, 2, OP_CREATE2, body)[1] == EPHEMERAL_ON_LOCAL_SESSION
    client.request(3, OP_MULTI, multi_body(create_body("/m"), body))
    assert SESSION_EXPIRED.to_bytes(4, "big", signed=True) in client.reply()[3]
    assert not exists(client, 4, "/m"), "all or nothing"
    assert not exists(client, 5, "/e")
    assert ask(client, 6, OP_CLOSE)[1] == 0


def test_a_local_session_lives_through_the_loss_of_the_leader(tmp_path: Path) -> None:
    """Ours: Apache's servers forget their local sessions when they lose their leader."""
    with start_three(tmp_path, LOCAL) as ensemble:
        leader, one, _ = members(ensemble)
        client = session(one)
        leader.kill9()
        assert gone(client), "every connection is cut"
        ensemble.wait_serving()
        back = move(client, one)
        assert back is not None
        assert ask(back, 1, OP_CREATE, create_body("/after"))[1] == 0


# The upgrade


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
def test_the_first_ephemeral_makes_a_session_everybodys(upgrading: Ensemble, at: int) -> None:
    """createSession goes ahead of the create: one zxid more, once (vector 26)."""
    chosen = members(upgrading)
    member, elsewhere = chosen[at], chosen[2]
    client = session(member)
    path = f"/up-{at}"
    first = ask(client, 1, OP_CREATE, create_body(path))
    second = ask(client, 2, OP_CREATE, create_body(f"{path}/e", flags=EPHEMERAL))
    third = ask(client, 3, OP_CREATE2, create_body(f"{path}/f", flags=EPHEMERAL))
    assert [first[1], second[1], third[1]] == [0, 0, 0]
    assert (second[0] - first[0], third[0] - second[0]) == (2, 1)
    assert (number(member, "local_sessions"), number(member, "global_sessions")) == (0, 1)
    moved = move(client, elsewhere)
    assert moved is not None, "an upgraded session moves like any other"
    assert exists(moved, 1, f"{path}/e")
    assert ask(moved, 2, OP_CLOSE)[1] == 0
    nothing_is_left(upgrading)


def test_a_multi_with_an_ephemeral_upgrades_too(upgrading: Ensemble) -> None:
    _, one, _ = members(upgrading)
    client = session(one)
    body = multi_body(create_body("/multi"), create_body("/multi-e", flags=EPHEMERAL))
    assert ask(client, 1, OP_MULTI, body)[1] == 0
    assert exists(client, 2, "/multi-e")
    assert number(one, "global_sessions") == 1
    assert ask(client, 3, OP_CLOSE)[1] == 0
    nothing_is_left(upgrading)


def test_a_body_that_cannot_be_decoded_upgrades_nothing(upgrading: Ensemble) -> None:
    _, one, _ = members(upgrading)
    client = session(one)
    marshalling_error = -5
    for xid, op in enumerate((OP_CREATE, OP_CREATE2, OP_MULTI), 1):
        assert ask(client, xid, op, b"\0\0\0\5/a")[1] == marshalling_error
    assert (number(one, "local_sessions"), number(one, "global_sessions")) == (1, 0)
    assert ask(client, 4, OP_CLOSE)[1] == 0


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
def test_what_is_pipelined_behind_an_upgrade_is_answered_in_order(
    upgrading: Ensemble, at: int
) -> None:
    """3471, 1496: the close of a session that is being upgraded takes its ephemerals with it."""
    client = session(members(upgrading)[at])
    root = f"/burst-{at}"
    client.request(1, OP_CREATE, create_body(root))
    for xid in range(2, 12):
        client.request(xid, OP_CREATE, create_body(f"{root}/e{xid}", flags=EPHEMERAL))
    client.request(12, OP_MULTI, multi_body(create_body(f"{root}/m", flags=EPHEMERAL)))
    client.request(13, OP_CLOSE)
    replies = [client.reply() for _ in range(13)]
    assert [reply[0] for reply in replies] == list(range(1, 14))
    assert [reply[2] for reply in replies] == [0] * 13
    zxids = [reply[1] for reply in replies]
    assert zxids == sorted(zxids)
    assert gone(client)
    nothing_is_left(upgrading)


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
def test_a_connection_lost_while_upgrading_leaves_nothing_behind(
    upgrading: Ensemble, at: int
) -> None:
    """C1: whatever of the burst was taken, its session's end takes it away."""
    member = members(upgrading)[at]
    for turn in range(10):
        client = session(member, SHORTEST_MS)
        for xid in range(1, 6):
            client.request(xid, OP_CREATE, create_body(f"/lost-{at}-{turn}-{xid}", flags=EPHEMERAL))
        if turn % 2:
            assert client.reply()[2] == 0, "half of them know that the upgrade is done"
        client.close()
    until(lambda: number(member, "local_sessions") == 0)
    nothing_is_left(upgrading)


def test_a_client_that_comes_back_while_upgrading_keeps_its_session(upgrading: Ensemble) -> None:
    """It waits for its createSession; or its create was not read, and it is local still."""
    _, one, _ = members(upgrading)
    for turn in range(10):
        client = session(one)
        client.request(1, OP_CREATE, create_body(f"/back-{turn}", flags=EPHEMERAL))
        client.close()
        back = move(client, one)
        assert back is not None
        assert ask(back, 2, OP_CLOSE)[1] == 0
    nothing_is_left(upgrading)


def test_a_leader_lost_while_upgrading_leaves_nothing_behind(tmp_path: Path) -> None:
    """The session and its ephemerals are both there under the next leader, or neither is."""
    with start_three(tmp_path, UPGRADING) as ensemble:
        leader, one, other = members(ensemble)
        clients = [session(member, SHORTEST_MS) for member in (one, other) for _ in range(5)]
        for at, client in enumerate(clients):
            for xid in range(1, 4):
                path = f"/lost-{at}-{xid}"
                client.request(xid, OP_CREATE, create_body(path, flags=EPHEMERAL))
        leader.kill9()
        assert all(gone(client) for client in clients), "every connection is cut"
        ensemble.wait_serving()
        nothing_is_left(ensemble)
