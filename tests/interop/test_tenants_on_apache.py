"""Tenants in front of a quorum of Apache's servers: ours are its observers and hold the wall.

The guide is docs/tenants-on-apache.md; what is claimed there is tried here.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.client import (
    AuthFailedError,
    Client,
    CreateMode,
    NoAuthError,
    NoNodeError,
    QuotaExceededError,
)
from tests.ensembles import Ensemble, apache
from tests.subject import IS_OURS, subject
from tests.tenants import make_tenants, operator, tenant_client, trusting

CONNECTIONS = 16  # at each of our servers
PIPELINE = 40
THEIRS, FIRST, SECOND = 1, 3, 4  # server ids
NEW = 2  # znodes of a new tenant
TIMEOUT_S = 30.0

pytestmark = pytest.mark.skipif(not IS_OURS, reason="tenants are ours")


@pytest.fixture
def ensemble(classpath: str, tmp_path: Path) -> Iterator[Ensemble]:
    """Two voters of Apache's and two observers of ours."""
    theirs = apache(classpath, "-Xmx384m")
    with Ensemble(tmp_path, [theirs, theirs]) as ensemble:
        ensemble.start().wait_serving()
        for _ in (FIRST, SECOND):  # nothing of theirs is changed, nobody is started again
            ensemble.add(subject(), is_observer=True).config.update(trusting(tmp_path / "keys"))
        ensemble.start(FIRST, SECOND)
        assert not ensemble.wait_serving().software.is_ours
        assert ensemble[FIRST].mode() == ensemble[SECOND].mode() == "observer"
        yield ensemble


async def provided(ensemble: Ensemble, *slugs: str, **draft: object) -> dict[str, bytes]:
    """Tenants, made through one of our servers and known at the other."""
    tokens = await make_tenants(ensemble[FIRST].address, *slugs, **draft)
    async with operator(ensemble[SECOND].address) as admin:
        await admin.sync("/")
    return tokens


async def tried(request: Awaitable[object]) -> str:
    try:
        await request
    except QuotaExceededError:
        return "refused"
    return "done"


async def flood(
    ensemble: Ensemble,
    sids: tuple[int, ...],
    token: bytes,
    ask: Callable[[Client, str], Awaitable[object]],
) -> Counter[str]:
    """Every connection sends its whole pipeline at once."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                tenant_client(ensemble[sid].address, token, timeout=TIMEOUT_S)
            )
            for sid in sids
            for _ in range(CONNECTIONS)
        ]
        answers = await asyncio.gather(
            *(
                tried(ask(client, f"/n{number}-{at}"))
                for at in range(PIPELINE)
                for number, client in enumerate(clients)
            )
        )
        return Counter(answers)


async def count(ensemble: Ensemble, sid: int, token: bytes) -> int:
    """The tenant's own znodes, as it sees them."""
    async with tenant_client(ensemble[sid].address, token, timeout=TIMEOUT_S) as client:
        await client.sync("/")
        return len(set(await client.children("/")) - {"zookeeper"})


async def test_the_wall_stands_at_our_servers_and_at_no_other(ensemble: Ensemble) -> None:
    tokens = await provided(ensemble, "pay", "play")
    pay, play = ensemble[FIRST].address, ensemble[SECOND].address
    async with (
        tenant_client(pay, tokens["pay"], timeout=TIMEOUT_S) as ours,
        tenant_client(play, tokens["play"], timeout=TIMEOUT_S) as others,
        Client(pay, timeout=TIMEOUT_S) as stranger,
        Client(ensemble[THEIRS].address, timeout=TIMEOUT_S) as direct,
    ):
        await ours.create("/app", b"of pay")
        await ours.create("/app/lock", mode=CreateMode.EPHEMERAL)
        await others.sync("/")
        assert set(await others.children("/")) <= {"zookeeper"}
        with pytest.raises(NoNodeError):
            await others.get("/app")
        with pytest.raises(NoNodeError):
            await others.get("/tenants/pay/app")
        with pytest.raises((NoAuthError, NoNodeError)):
            await stranger.get("/tenants/pay/app")
        await direct.sync("/")
        data, _ = await direct.get("/tenants/pay/app")
        assert data == b"of pay", "clients at Apache's own servers pass round the wall"
        with pytest.raises(NoAuthError):
            await direct.get("/zookeeper/tenants/pay")
    async with tenant_client(play, tokens["pay"], timeout=TIMEOUT_S) as again:
        await again.sync("/")
        assert await again.exists("/app") is not None
        assert await again.exists("/app/lock") is None


async def test_one_of_our_servers_ends_exactly_at_a_limit(ensemble: Ensemble) -> None:
    """I18: Apache's leader would take all of it."""
    limit = 200
    tokens = await provided(ensemble, "pay", limits={"znodes": limit})
    counts = await flood(
        ensemble, (FIRST,), tokens["pay"], lambda client, path: client.create(path)
    )
    assert counts["done"] == limit - NEW
    assert await count(ensemble, SECOND, tokens["pay"]) == limit - NEW


@pytest.mark.parametrize("pipeline", [1, PIPELINE])
async def test_two_of_our_servers_exceed_a_limit_by_what_is_under_way_at_the_other(
    pipeline: int, ensemble: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured, and never more than that."""
    limit = 400
    tokens = await provided(ensemble, "pay", limits={"znodes": limit})

    async def ask(client: Client, path: str) -> None:
        async with windows[client.session_id]:
            await client.create(path)

    windows: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(pipeline))
    counts = await flood(ensemble, (FIRST, SECOND), tokens["pay"], ask)
    over = counts["done"] - (limit - NEW)
    with capsys.disabled():
        print(f"\n{over} znodes over a limit of {limit}, pipelines of {pipeline}")
    assert 0 <= over <= CONNECTIONS * pipeline
    left = limit - NEW + over
    for sid in (FIRST, SECOND):
        assert await count(ensemble, sid, tokens["pay"]) == left
        async with tenant_client(ensemble[sid].address, tokens["pay"], timeout=TIMEOUT_S) as client:
            await client.sync("/")
            if over:
                with pytest.raises(QuotaExceededError):
                    await client.create("/more")
            name = next(n for n in await client.children("/") if n != "zookeeper")
            await client.set(f"/{name}", b"1")
            await client.delete(f"/{name}")
            left -= 1


async def test_bytes_multis_and_ephemerals_are_held_too(ensemble: Ensemble) -> None:
    limits = {"znodes": NEW + 3, "znode_bytes": 200, "ephemerals": 1}
    tokens = await provided(ensemble, "pay", limits=limits)
    async with tenant_client(ensemble[FIRST].address, tokens["pay"], timeout=TIMEOUT_S) as client:
        with pytest.raises(QuotaExceededError):
            await client.create("/large", b"x" * 200)
        await client.create("/e", mode=CreateMode.EPHEMERAL)
        with pytest.raises(QuotaExceededError):
            await client.create("/f", mode=CreateMode.EPHEMERAL)
        await client.create("/a")
        with pytest.raises(QuotaExceededError):
            await client.transaction().create("/b").create("/c").commit()
        await client.transaction().create("/b").delete("/a").create("/c").commit()
        with pytest.raises(QuotaExceededError):
            await client.set("/b", b"x" * 200)
        await client.set("/b", b"x" * 100)


async def test_sessions_are_limited_and_a_new_limit_is_in_force_everywhere(
    ensemble: Ensemble,
) -> None:
    tokens = await provided(ensemble, "pay", limits={"sessions": 1})
    first, second = ensemble[FIRST].address, ensemble[SECOND].address
    async with tenant_client(first, tokens["pay"], timeout=TIMEOUT_S) as client:
        async with operator(second) as admin:
            await admin.sync("/")
            with pytest.raises(AuthFailedError):
                async with tenant_client(second, tokens["pay"], timeout=TIMEOUT_S):
                    pass

            def raise_limit(draft: Draft) -> None:
                draft.limits = {"sessions": 2, "znodes": NEW}

            await provision.update(admin, "pay", raise_limit)
        await client.sync("/")
        with pytest.raises(QuotaExceededError):
            await client.create("/a")
        async with tenant_client(second, tokens["pay"], timeout=TIMEOUT_S) as other:
            with pytest.raises(QuotaExceededError):
                await other.create("/a")
