"""Tenants in front of Apache's servers: ours is an observer, whose registry, bindings and
revocations they replicate without knowing what they mean.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.admin import provision
from ensemble.client import Client, NoAuthError
from tests.ensembles import Ensemble, apache, ours
from tests.harness import RawClient, create_body
from tests.server.member_steps import (
    EPHEMERAL,
    OP_CREATE,
    ask,
    close_clients,
    gone,
    move,
    session,
)
from tests.tenants import (
    AUTH_FAILED,
    make_tenants,
    operator,
    present,
    session_name,
    tenant_client,
    trusting,
    whoami,
)

TENANTS = "/zookeeper/tenants"


@pytest.fixture
def in_front(classpath: str, tmp_path: Path) -> Iterator[Ensemble]:
    """Two voters of Apache's, and our observer, which trusts the tests' operator."""
    theirs = apache(classpath, "-Xmx256m")
    with Ensemble(tmp_path, [theirs, theirs], observers=[ours()]) as ensemble:
        ensemble[3].config.update(trusting(tmp_path / "keys"))
        ensemble.start().wait_serving()
        yield ensemble
    close_clients()


def bound(ensemble: Ensemble, token: bytes) -> RawClient:
    client = session(ensemble[3])
    assert present(client, "tenant", token) == 0
    return client


async def test_an_observer_serves_tenants_in_front_of_apaches_servers(in_front: Ensemble) -> None:
    observer = in_front[3]
    tokens = await make_tenants(observer.address, "a", "b")
    client, other = bound(in_front, tokens["a"]), bound(in_front, tokens["b"])
    assert ("tenant", "app@a") in whoami(client)
    for user, value in ((client, b"of-a"), (other, b"of-b")):
        assert ask(user, 1, OP_CREATE, create_body("/config", value))[1] == 0
        assert ask(user, 2, OP_CREATE, create_body("/e", flags=EPHEMERAL))[1] == 0
    async with Client(in_front[1].address) as theirs:  # an Apache member knows no wall
        await theirs.sync("/")
        assert (await theirs.get("/tenants/a/config"))[0] == b"of-a"
        assert (await theirs.get("/tenants/b/config"))[0] == b"of-b"
        stat = await theirs.exists("/tenants/a/e")
        assert stat is not None
        assert stat.ephemeral_owner == client.session_id
        with pytest.raises(NoAuthError):
            await theirs.get(TENANTS)
    thief = move(client, observer)
    assert thief is not None
    assert present(thief, "tenant", tokens["b"]) == AUTH_FAILED
    moved = move(client, observer)
    assert moved is not None
    assert present(moved, "tenant", tokens["a"]) == 0
    async with operator(observer.address) as admin:
        assert await admin.children(f"{TENANTS}/a") == [session_name(client)]
        await provision.revoke_credential(admin, "a", "app")
        assert gone(moved)
        async with asyncio.timeout(10):
            while await admin.children(f"{TENANTS}/a"):  # noqa: ASYNC110 - Apache's leader decides
                await asyncio.sleep(0.02)
    assert move(client, observer) is None
    async with tenant_client(observer.address, tokens["b"]) as user:
        assert (await user.get("/config"))[0] == b"of-b"
    async with operator(observer.address) as admin:
        await provision.delete(admin, "b", with_data=True)
    assert gone(other)
