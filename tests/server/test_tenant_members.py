"""Tenants in an ensemble: bindings move with sessions, revocations reach every server, local
sessions and read-only servers keep to the same rules.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.client import Client
from tests.ensembles import Ensemble, Member
from tests.harness import RawClient, create_body
from tests.server.member_steps import (
    EPHEMERAL,
    OP_CREATE,
    ask,
    close_clients,
    followers,
    gone,
    move,
    open_client,
    session,
    start_three,
    zxid,
)
from tests.server.starting import until
from tests.tenants import AUTH_FAILED, make_tenants, operator, present, session_name, trusting

TENANTS = "/zookeeper/tenants"
READ_ONLY: dict[str, object] = {"readonlymode.enabled": "true"}
LOCAL: dict[str, object] = {"localSessionsEnabled": "true"}
UPGRADING: dict[str, object] = {**LOCAL, "localSessionsUpgradingEnabled": "true"}
ENDED_WITHIN_S = 1.0

StartTrusting = Callable[..., Ensemble]


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    close_clients()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartTrusting]:
    """Three members that trust the tests' operator."""
    started: list[Ensemble] = []

    def make(settings: dict[str, object] | None = None) -> Ensemble:
        ensemble = start_three(tmp_path, {**trusting(tmp_path / "keys"), **(settings or {})})
        started.append(ensemble)
        ensemble.wait_serving()
        return ensemble

    yield make
    for ensemble in started:
        ensemble.kill()


def bound(member: Member, token: bytes) -> RawClient:
    """A session that is the token's tenant's."""
    client = session(member)
    assert present(client, "tenant", token) == 0
    return client


async def children(member: Member, slug: str) -> list[str]:
    async with operator(member.address) as admin:
        await admin.sync("/")
        return sorted(await admin.children(f"{TENANTS}/{slug}"))


async def test_a_revocation_reaches_the_sessions_at_every_server(start: StartTrusting) -> None:
    """Through one server, within a second at each of three; sessions of others go on."""
    ensemble = start()
    leader = ensemble.wait_serving()
    tokens = await make_tenants(leader.address, "a", "b")
    victims = [bound(member, tokens["a"]) for member in ensemble.all]
    others = [bound(member, tokens["b"]) for member in ensemble.all]
    away = bound(followers(ensemble, leader)[0], tokens["a"])
    away.close()
    async with operator(followers(ensemble, leader)[1].address) as admin:
        began = time.monotonic()
        await provision.revoke_credential(admin, "a", "app")
        for victim in victims:
            assert gone(victim)
        assert time.monotonic() - began < ENDED_WITHIN_S
        async with asyncio.timeout(10):
            while await admin.children(f"{TENANTS}/a"):  # noqa: ASYNC110 - servers decide when
                await asyncio.sleep(0.02)
        assert time.monotonic() - began < 2 * ENDED_WITHIN_S
    for victim in [*victims, away]:
        assert move(victim, leader) is None
    for other in others:
        assert present(other, "tenant", tokens["b"]) == 0


async def test_a_binding_moves_with_its_session(start: StartTrusting) -> None:
    """Takeover at each other server; the right credential there writes nothing."""
    ensemble = start()
    leader = ensemble.wait_serving()
    tokens = await make_tenants(leader.address, "a", "b")
    client = bound(ensemble[1], tokens["a"])
    name = session_name(client)
    for member in (ensemble[2], ensemble[3], ensemble[1]):
        thief = move(client, member)
        assert thief is not None
        assert present(thief, "tenant", tokens["b"]) == AUTH_FAILED
        assert gone(thief)
        moved = move(client, member)
        assert moved is not None
        before = zxid(member)
        assert present(moved, "tenant", tokens["a"]) == 0
        assert zxid(member) == before
    assert await children(leader, "a") == [name]
    assert await children(leader, "b") == []


async def test_a_binding_outlives_its_leader(start: StartTrusting) -> None:
    ensemble = start()
    leader = ensemble.wait_serving()
    tokens = await make_tenants(leader.address, "a", "b")
    client = bound(leader, tokens["a"])
    leader.kill9()
    new = ensemble.wait_serving()
    thief = move(client, new)
    assert thief is not None
    assert present(thief, "tenant", tokens["b"]) == AUTH_FAILED
    moved = move(client, new)
    assert moved is not None
    assert present(moved, "tenant", tokens["a"]) == 0
    assert await children(new, "a") == [session_name(client)]
    leader.start(ensemble.all)
    ensemble.wait_serving()
    thief = move(client, leader)
    assert thief is not None
    assert present(thief, "tenant", tokens["b"]) == AUTH_FAILED


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
async def test_a_local_session_is_bound_in_memory(start: StartTrusting, at: int) -> None:
    """No znode; the same rules after a reconnect; a revocation ends it."""
    ensemble = start(LOCAL)
    leader = ensemble.wait_serving()
    member = [leader, *followers(ensemble, leader)][at]
    tokens = await make_tenants(leader.address, "a", "b")
    before = zxid(leader)
    client = bound(member, tokens["a"])
    thief = move(client, member)
    assert thief is not None
    assert present(thief, "tenant", tokens["b"]) == AUTH_FAILED
    moved = move(client, member)
    assert moved is not None
    assert present(moved, "tenant", tokens["a"]) == 0
    assert zxid(leader) == before
    async with operator(leader.address) as admin:
        await provision.revoke_credential(admin, "a", "app")
        assert gone(moved)
    until(lambda: move(client, member) is None)


@pytest.mark.parametrize("at", [0, 1], ids=["leader", "follower"])
async def test_a_local_session_that_becomes_everybodys_stays_its_tenants(
    start: StartTrusting, at: int
) -> None:
    ensemble = start(UPGRADING)
    leader = ensemble.wait_serving()
    member = [leader, *followers(ensemble, leader)][at]
    tokens = await make_tenants(leader.address, "a", "b")
    client = bound(member, tokens["a"])
    assert await children(leader, "a") == []
    assert ask(client, 1, OP_CREATE, create_body("/e", flags=EPHEMERAL))[1] == 0
    assert await children(leader, "a") == [session_name(client)]
    for other in ensemble.all:
        thief = move(client, other)
        assert thief is not None
        assert present(thief, "tenant", tokens["b"]) == AUTH_FAILED


async def test_a_server_that_is_read_only_lets_tenants_in(start: StartTrusting) -> None:
    ensemble = start(READ_ONLY)
    member = followers(ensemble, ensemble.wait_serving())[0]
    tokens = await make_tenants(member.address, "a", "b")
    for other in ensemble.all:
        if other is not member:
            other.kill9()
    until(lambda: member.mode() == "read-only")
    client = session(member, read_only=True)
    assert present(client, "tenant", tokens["a"]) == 0
    assert present(client, "tenant", tokens["b"]) == AUTH_FAILED
    again = open_client(member)
    assert again.connect(20_000, client.session_id, client.password, True)
    assert present(again, "tenant", tokens["b"]) == AUTH_FAILED
    stranger = session(member, read_only=True)
    assert present(stranger, "tenant", b"a:wrong") == AUTH_FAILED


async def test_credentials_that_meet_half_way_leave_one_tenant(start: StartTrusting) -> None:
    """A session is bound at two servers at once: the first in the order has it, on all of them."""
    ensemble = start()
    leader = ensemble.wait_serving()
    tokens = await make_tenants(leader.address, "a", "b")
    for _ in range(10):
        client = session(leader)
        results: list[tuple[str, int]] = []
        for slug, member in (("a", ensemble[2]), ("b", ensemble[3])):
            moved = move(client, member)
            assert moved is not None
            results.append((slug, present(moved, "tenant", tokens[slug])))
        assert results == [("a", 0), ("b", AUTH_FAILED)]
        assert session_name(client) in await children(leader, "a")


async def test_an_operator_is_known_at_every_server(start: StartTrusting) -> None:
    ensemble = start()
    await make_tenants(ensemble.wait_serving().address, "a")
    for member in ensemble.all:
        async with operator(member.address) as admin:
            assert await admin.children(TENANTS) == ["a"]
            await admin.set(f"{TENANTS}/a", (await admin.get(f"{TENANTS}/a"))[0])
        async with Client(member.address) as stranger:
            assert "a" not in str(await stranger.whoami())
