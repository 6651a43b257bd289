"""Local sessions where our servers and Apache's make one ensemble (zab.md 6.6)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ensembles import Ensemble, Member, Software, apache, ours
from tests.harness import RawClient, create_body
from tests.server.member_steps import (
    EPHEMERAL,
    OP_CLOSE,
    OP_CREATE,
    OP_CREATE2,
    OP_MULTI,
    OP_SET,
    ask,
    close_clients,
    exists,
    move,
    multi_body,
    nothing_is_left,
    number,
    session,
)
from tests.server.starting import until

LOCAL = {"localSessionsEnabled": "true"}
UPGRADING = {**LOCAL, "localSessionsUpgradingEnabled": "true"}
EPHEMERAL_ON_LOCAL_SESSION, SESSION_EXPIRED = REFUSED = (-120, -112)


@pytest.fixture
def their(classpath: str) -> Software:
    return apache(classpath, "-Xmx256m")


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    close_clients()


def start(folder: Path, first: Software, leader: Software, settings: dict[str, object]) -> Ensemble:
    """Servers 1 and 2 run `first`, 3 runs `leader`, and leads: it is the largest of the quorum that
    comes first. The caller enters it."""
    ensemble = Ensemble(folder, [first, first, leader], settings)
    ensemble.start(1, 3).wait_leader()
    ensemble.start(2)
    assert ensemble.wait_serving().sid == 3
    return ensemble


def plain_requests(member: Member, other: Member) -> RawClient:
    """What a local session may ask for; it lives at its server only."""
    client = session(member)
    path = f"/of-{member.sid}"
    assert ask(client, 1, OP_CREATE, create_body(path))[1] == 0
    assert (
        ask(client, 2, OP_SET, create_body(path)[: 4 + len(path)] + b"\0\0\0\0\xff\xff\xff\xff")[1]
        == 0
    )
    assert exists(client, 3, path)
    assert (number(member, "local_sessions"), number(member, "global_sessions")) == (1, 0)
    assert move(client, other) is None
    return client


def refused(client: RawClient, path: str) -> None:
    body = create_body(path, flags=EPHEMERAL)
    assert ask(client, 10, OP_CREATE, body)[1] == EPHEMERAL_ON_LOCAL_SESSION
    assert ask(client, 11, OP_CREATE2, body)[1] == EPHEMERAL_ON_LOCAL_SESSION
    client.request(12, OP_MULTI, multi_body(body))
    results = client.reply()[3]
    # -112, but for clients of Apache's leader itself: they hear -120 here, too.
    assert any(code.to_bytes(4, "big", signed=True) in results for code in REFUSED)
    assert not exists(client, 13, path)
    assert ask(client, 14, OP_CLOSE)[1] == 0


def upgraded(client: RawClient, path: str, other: Member) -> None:
    """The session becomes the leader's, whoever that is, and moves to whomever.

    As a client would it moves to a server that has seen what it has seen. Apache's servers drop
    requests of sessions of whose beginning they have not heard yet, and never answer them.
    """
    for xid in range(10, 15):
        client.request(xid, OP_CREATE, create_body(f"{path}-{xid}", flags=EPHEMERAL))
    replies = [client.reply() for _ in range(5)]
    assert [error for _, _, error, _ in replies] == [0] * 5
    until(lambda: other.zxid() >= replies[-1][1])
    moved = move(client, other)
    assert moved is not None
    assert exists(moved, 20, f"{path}-14")
    assert ask(moved, 21, OP_CLOSE)[1] == 0


@pytest.mark.parametrize("leads", ["ours", "theirs"])
def test_local_sessions_on_learners_of_the_other_kind(
    leads: str, their: Software, tmp_path: Path
) -> None:
    first, leader = (their, ours()) if leads == "ours" else (ours(), their)
    with start(tmp_path, first, leader, LOCAL) as ensemble:
        refused(plain_requests(ensemble[1], ensemble[2]), "/e1")
        refused(plain_requests(ensemble[3], ensemble[1]), "/e3")


@pytest.mark.parametrize("leads", ["ours", "theirs"])
def test_upgrades_on_learners_of_the_other_kind(
    leads: str, their: Software, tmp_path: Path
) -> None:
    first, leader = (their, ours()) if leads == "ours" else (ours(), their)
    with start(tmp_path, first, leader, UPGRADING) as ensemble:
        upgraded(plain_requests(ensemble[1], ensemble[2]), "/e1", ensemble[2])
        nothing_is_left(ensemble)
        upgraded(plain_requests(ensemble[3], ensemble[1]), "/e3", ensemble[1])
        nothing_is_left(ensemble)
