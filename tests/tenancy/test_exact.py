"""Size limits at running servers: 32 connections with deep pipelines end exactly at them (I18).

On one node, and through three: the leader alone decides, whichever server a client is at.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.client import AuthFailedError, Client, CreateMode, NodeExistsError, QuotaExceededError
from tests.ensembles import Ensemble
from tests.harness import Node
from tests.subject import subject
from tests.tenants import make_tenants, operator, start_trusting, tenant_client, trusting

CONNECTIONS = 32
PIPELINE = 60  # requests of each connection, all of them sent before the first is answered
ROOT = "/tenants/pay"
EMPTY = 27 + len("/n00-00")  # what a znode without data weighs: its ACL and its path
NEW = 2  # znodes of a new tenant: its root and the place of its quotas
NEW_BYTES = len("/") + len("/zookeeper/quota") + 2 * 27


@pytest.fixture(params=["one node", "three nodes"])
def addresses(
    request: pytest.FixtureRequest, start_node: Callable[..., Node], tmp_path: Path
) -> Iterator[list[str]]:
    """Client addresses of a server that stands alone, or of three."""
    if request.param == "one node":
        yield [start_trusting(start_node, tmp_path / "keys").address]
        return
    with Ensemble(tmp_path, [subject()] * 3, trusting(tmp_path / "keys")) as ensemble:
        ensemble.start().wait_serving()
        yield [member.address for member in ensemble.all]


async def limited(addresses: list[str], **limits: int) -> bytes:
    """A tenant with these limits, which all servers know of; its token."""
    tokens = await make_tenants(addresses[0], "pay", mode="permissive", limits=limits)
    for address in addresses:
        async with operator(address) as admin:
            await admin.sync("/")
    return tokens["pay"]


async def set_limits(admin: Client, **limits: int) -> None:
    def change(draft: Draft) -> None:
        draft.limits = dict(limits)

    await provision.update(admin, "pay", change)


async def tried(request: Awaitable[object]) -> str:
    try:
        await request
    except QuotaExceededError:
        return "refused"
    except NodeExistsError:
        return "there"
    return "done"


async def flood(
    addresses: list[str],
    ask: Callable[[Client, int, int], Awaitable[object]],
    pipeline: int = PIPELINE,
    token: bytes = b"",
) -> Counter[str]:
    """Every connection sends its whole pipeline at once; how often a request passed.

    As the tenant with its token, else from outside.
    """
    auth = [("tenant", token)] if token else []
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(addresses[number % len(addresses)], auth=auth))
            for number in range(CONNECTIONS)
        ]
        answers = await asyncio.gather(
            *(
                tried(ask(client, number, at))
                for number, client in enumerate(clients)
                for at in range(pipeline)
            )
        )
        return Counter(answers)


async def names_left(address: str) -> list[str]:
    async with operator(address) as admin:
        await admin.sync(ROOT)
        return await admin.children(ROOT)


async def test_znodes_end_exactly_at_the_limit(addresses: list[str]) -> None:
    limit = 500
    await limited(addresses, znodes=limit)
    counts = await flood(addresses, lambda c, n, i: c.create(f"{ROOT}/n{n:02}-{i:02}"))
    assert counts["done"] == limit - NEW
    assert counts["refused"] == CONNECTIONS * PIPELINE - counts["done"]
    for address in addresses:
        assert len(await names_left(address)) == limit - NEW


async def test_bytes_end_exactly_at_the_limit(addresses: list[str]) -> None:
    data = b"x" * 100
    fit = 300
    await limited(addresses, bytes=NEW_BYTES + fit * (EMPTY + len(data)) + EMPTY)
    counts = await flood(addresses, lambda c, n, i: c.create(f"{ROOT}/n{n:02}-{i:02}", data))
    assert counts["done"] == fit
    async with operator(addresses[-1]) as admin:
        await admin.create(f"{ROOT}/m00-00")
        with pytest.raises(QuotaExceededError):
            await admin.set(f"{ROOT}/m00-00", b"1")
        name = next(name for name in await admin.children(ROOT) if name.startswith("n"))
        await admin.set(f"{ROOT}/{name}", data[1:])
        await admin.set(f"{ROOT}/m00-00", b"1")


async def test_multis_end_exactly_at_the_limit(addresses: list[str]) -> None:
    """Each makes three znodes or none. This time in the tenant's own name."""
    limit = 500
    token = await limited(addresses, znodes=limit)

    def three(client: Client, number: int, at: int) -> Awaitable[object]:
        transaction = client.transaction()
        for part in range(3):
            transaction.create(f"/n{number:02}-{at:02}-{part}")
        return transaction.commit()

    counts = await flood(addresses, three, token=token)
    assert counts["done"] == (limit - NEW) // 3
    assert len(await names_left(addresses[0])) == (limit - NEW) // 3 * 3


async def test_ephemerals_end_exactly_at_the_limit_and_leave_room(addresses: list[str]) -> None:
    limit = 200
    await limited(addresses, ephemerals=limit)
    counts = await flood(
        addresses,
        lambda c, n, i: c.create(f"{ROOT}/n{n:02}-", mode=CreateMode.EPHEMERAL_SEQUENTIAL),
    )
    assert counts["done"] == limit
    assert await names_left(addresses[0]) == []  # their sessions are closed
    async with Client(addresses[-1]) as client:
        await client.create(f"{ROOT}/e", mode=CreateMode.EPHEMERAL)


async def test_sessions_end_exactly_at_the_limit(addresses: list[str]) -> None:
    """Whoever comes first: all of them ask at once, through all servers."""
    limit = 9
    token = await limited(addresses, sessions=limit)

    async def enter(stack: AsyncExitStack, number: int) -> bool:
        client = tenant_client(addresses[number % len(addresses)], token)
        try:
            await stack.enter_async_context(client)
        except AuthFailedError:
            return False
        return True

    async with AsyncExitStack() as stack:
        entered = await asyncio.gather(*(enter(stack, number) for number in range(CONNECTIONS)))
        assert sum(entered) == limit
        async with operator(addresses[0]) as admin:
            await admin.sync("/")
            assert len(await admin.children("/zookeeper/tenants/pay")) == limit
    async with tenant_client(addresses[-1], token):
        pass  # sessions that are closed make room


async def test_a_new_limit_is_in_force_on_every_server_and_takes_nothing_away(
    addresses: list[str],
) -> None:
    await limited(addresses, znodes=NEW + 2)
    async with operator(addresses[0]) as admin, Client(addresses[-1]) as client:
        await client.create(f"{ROOT}/a", b"12")
        await client.create(f"{ROOT}/b")
        with pytest.raises(QuotaExceededError):
            await client.create(f"{ROOT}/c")
        await set_limits(admin, znodes=NEW)
        await client.sync("/")
        with pytest.raises(QuotaExceededError):
            await client.create(f"{ROOT}/c")
        await client.set(f"{ROOT}/a", b"1234567")
        await client.delete(f"{ROOT}/b")
        with pytest.raises(QuotaExceededError):
            await client.create(f"{ROOT}/b")
        await set_limits(admin)
        await client.sync("/")
        await client.create(f"{ROOT}/c")


async def test_a_tenant_divides_its_limit_by_quotas_of_its_own(addresses: list[str]) -> None:
    """Both hold, and `enforceQuota` is not set; quotas are made as the stock client makes them."""
    token = await limited(addresses, znodes=NEW + 8)
    quota = "/zookeeper/quota/part"
    async with tenant_client(addresses[-1], token) as client:
        await client.create("/part")
        await client.create(quota, None)
        await client.create(f"{quota}/zookeeper_limits", b"count=-1,bytes=-1=;countHardLimit=3")
        await client.create(f"{quota}/zookeeper_stats", b"count=0,bytes=0")
        counts = Counter(
            await asyncio.gather(*(tried(client.create(f"/part/n{i}")) for i in range(6)))
        )
        assert counts == {"done": 2, "refused": 4}, "the quota"
        counts = Counter(await asyncio.gather(*(tried(client.create(f"/n{i}")) for i in range(6))))
        assert counts == {"done": 2, "refused": 4}, "the tenant's limit"
        usage, _ = await client.get(f"{quota}/zookeeper_stats")
        assert usage == b"count=3,bytes=0"


async def test_usage_and_limit_survive_a_restart(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    """From a snapshot and the log behind it; twice, for what the first start has written."""
    node = start_trusting(start_node, tmp_path / "keys", snapCount=20)
    limit = NEW + 60
    await limited([node.address], znodes=limit, bytes=NEW_BYTES + 60 * (EMPTY + 10))
    done = 0
    for turn in range(3):
        counts = await flood(
            [node.address],
            lambda c, n, i: c.create(f"{ROOT}/n{n:02}-{i:02}", b"x" * 10),
            pipeline=1 if turn < 1 else PIPELINE,
        )
        done += counts["done"]
        if turn == 1:
            node.kill9()
        else:
            assert node.stop() == 0
        node.start()
    assert done == 60
    assert len(await names_left(node.address)) == 60
